package raft

import "slices"

// raftLog is the server's log as the core sees it: the term of every entry, the
// newest entries themselves, and how much of it the disk is known to hold.
//
// Older entries live on the disk only. The core never reads a disk: where it
// needs such entries it asks the host for them, see [Load] and [Apply].
type raftLog struct {
	// start is the entry before the first one: the last that compaction
	// removed, or zero.
	start EntryID
	// last is the index of the last entry, or start.Index.
	last Index
	// spans holds the term of each index after start. A log has few terms, so
	// this is short whatever its length.
	spans []TermSpan

	// tail holds the entries tailFirst..last. It is contiguous and never
	// overwritten in place: slices of it are handed out.
	tail      []Entry
	tailBytes int

	// configurations are the configuration entries that may still be in force,
	// ascending: the newest committed one and all after it.
	configurations []IndexedConfiguration

	// Invariant: durable <= handedOut <= last.
	//
	// durable is the last index that is known to be on disk, in this log's
	// present form.
	durable Index
	// handedOut is the last index that some Write has carried.
	handedOut Index
	// truncate is where the next Write must cut the stored log; zero: nowhere.
	truncate Index
	// resetTo, if set, is what the next Write must replace the stored log by.
	resetTo *Snapshot
	// inFlight are the writes that the host has not reported yet.
	inFlight []writeInFlight
}

// writeInFlight remembers what a write will prove when it completes.
type writeInFlight struct {
	id WriteID
	// last is the index up to which the stored log will equal this one. A
	// truncation lowers it: see raftLog.truncateFrom.
	last Index
	term Term
}

func newLog(s LogState) raftLog {
	return raftLog{
		start: s.Start, last: s.Last, durable: s.Last, handedOut: s.Last,
		spans:          slices.Clone(s.Spans),
		configurations: slices.Clone(s.Configurations),
	}
}

// tailFirst is the index of the oldest entry in memory, or last+1.
func (l *raftLog) tailFirst() Index { return l.last + 1 - Index(len(l.tail)) }

// lastID identifies the last entry, or the start of an empty log.
func (l *raftLog) lastID() EntryID {
	term, _ := l.term(l.last)
	return EntryID{Term: term, Index: l.last}
}

// term returns the term of the entry at index i, if this log knows it: it does
// for its entries and for the one just before the first.
func (l *raftLog) term(i Index) (Term, bool) {
	if i == l.start.Index {
		return l.start.Term, true
	}
	if i < l.start.Index || i > l.last {
		return 0, false
	}
	// Nearly every question is about the end of the log.
	for k := len(l.spans) - 1; ; k-- {
		if l.spans[k].First <= i {
			return l.spans[k].Term, true
		}
	}
}

// matches reports whether this log holds the given entry. What compaction has
// removed was committed, and every leader's log holds what was committed, so an
// index before the start cannot disagree.
func (l *raftLog) matches(id EntryID) bool {
	if id.Index < l.start.Index {
		return true
	}
	term, ok := l.term(id.Index)
	return ok && term == id.Term
}

// append adds entries after the last one.
func (l *raftLog) append(entries ...Entry) {
	for _, e := range entries {
		if e.Index != l.last+1 {
			broken("entry %s appended after index %d", e.ID(), l.last)
		}
		if lastTerm := l.lastID().Term; e.Term < lastTerm {
			broken("entry %s appended after an entry of term %d", e.ID(), lastTerm)
		} else if e.Term > lastTerm || len(l.spans) == 0 {
			l.spans = append(l.spans, TermSpan{Term: e.Term, First: e.Index})
		}
		l.tail = append(l.tail, e)
		l.tailBytes += e.Size()
		l.last = e.Index
	}
}

// truncateFrom removes the entry at index i and all that follow.
//
// Writes in flight may still carry removed entries to the disk, and the next
// write will remove them from there. Until then a completion must not be taken
// as proof for what has been put in their place. Example: entries 4 and 5 of
// term 1 are being written when the leader of term 2 replaces them by its own.
// The first write completes. It proves index 3, not 5, although an entry 5
// exists again: the one that was written is another. Lowering what the writes
// in flight will prove settles this for good; comparing indexes or even terms
// at completion would not, for the same (index, term) can be appended again.
func (l *raftLog) truncateFrom(i Index) {
	kept := i - 1
	if i <= l.start.Index || i > l.last {
		broken("log %d..%d truncated from %d", l.start.Index+1, l.last, i)
	}
	if n := len(l.tail) - int(l.last-kept); n > 0 {
		// A fresh copy: the slots of the removed entries belong to whoever holds
		// a slice of the old tail.
		l.tail = slices.Clone(l.tail[:n])
	} else {
		l.tail = nil
	}
	l.tailBytes = entriesSize(l.tail)
	for len(l.spans) > 0 && l.spans[len(l.spans)-1].First > kept {
		l.spans = l.spans[:len(l.spans)-1]
	}
	for n := len(l.configurations); n > 0 && l.configurations[n-1].Index > kept; n-- {
		l.configurations = l.configurations[:n-1]
	}
	if l.handedOut > kept {
		// Some of what is removed has reached the disk, or will.
		l.handedOut = kept
		if l.truncate == 0 || i < l.truncate {
			l.truncate = i
		}
	}
	l.last = kept
	l.durable = min(l.durable, kept)
	for k := range l.inFlight { // rule:persist.aba thesis 3.8 a late completion proves only what is still there
		l.inFlight[k].last = min(l.inFlight[k].last, kept)
	}
}

// nextWrite returns the write that brings the disk up to date with the log, and
// counts it as in flight.
func (l *raftLog) nextWrite(id WriteID, hs HardState, witness EntryID) *Write {
	w := &Write{ID: id, HardState: hs, Witness: witness, Reset: l.resetTo, TruncateFrom: l.truncate}
	if l.handedOut < l.last {
		w.Entries = l.slice(l.handedOut+1, l.last)
	}
	l.resetTo, l.truncate, l.handedOut = nil, 0, l.last
	l.inFlight = append(l.inFlight, writeInFlight{id: id, last: l.last, term: hs.CurrentTerm})
	return w
}

// needsWrite reports whether the log has changed since the last write.
func (l *raftLog) needsWrite() bool {
	return l.resetTo != nil || l.truncate != 0 || l.handedOut < l.last
}

// written takes note that all writes up to id are durable, and returns the term
// of the newest of them, or zero if none was outstanding.
func (l *raftLog) written(id WriteID) Term {
	var term Term
	n := 0
	for ; n < len(l.inFlight) && l.inFlight[n].id <= id; n++ {
		l.durable = max(l.durable, l.inFlight[n].last)
		term = l.inFlight[n].term
	}
	l.inFlight = slices.Delete(l.inFlight, 0, n)
	return term
}

// slice returns the entries lo..hi, which must be in memory. The result may be
// kept; its capacity is cut so that nobody can append into the tail.
func (l *raftLog) slice(lo, hi Index) []Entry {
	first := l.tailFirst()
	a, b := lo-first, hi+1-first
	return l.tail[a:b:b]
}

// upTo returns entries from lo on, at least one, at most hi and at most about
// maxBytes; nil if entry lo is not in memory.
func (l *raftLog) upTo(lo, hi Index, maxBytes int) []Entry {
	first := l.tailFirst()
	if lo < first || lo > hi {
		return nil
	}
	size, end := 0, lo
	for ; end <= hi; end++ {
		size += l.tail[end-first].Size()
		if size > maxBytes && end > lo {
			break
		}
	}
	return l.slice(lo, end-1)
}

// trim forgets entries up to index done, oldest first, once the memory that
// they take exceeds twice the budget. Forgetting down to the budget in one go,
// into a fresh array, costs little per entry and really frees the old ones.
func (l *raftLog) trim(done Index, budget int) {
	if l.tailBytes <= 2*budget {
		return
	}
	n := 0
	for n < len(l.tail) && l.tail[n].Index <= done && l.tailBytes > budget {
		l.tailBytes -= l.tail[n].Size()
		n++
	}
	if n > 0 {
		l.tail = slices.Clone(l.tail[n:])
	}
}

// lastNotAbove returns the last entry at or before index i whose term is not
// above t, which may be the start of the log.
func (l *raftLog) lastNotAbove(i Index, t Term) EntryID {
	i = min(i, l.last)
	for k := len(l.spans) - 1; k >= 0; k-- {
		span := l.spans[k]
		if span.First <= i && span.Term <= t {
			return EntryID{Term: span.Term, Index: i}
		}
		if span.First <= i {
			i = span.First - 1
		}
	}
	return l.start
}

// compact forgets entries up to index i. The term of the last one is kept: the
// log check of the entry after it needs it.
func (l *raftLog) compact(i Index) {
	term, ok := l.term(i)
	if !ok || i > l.durable {
		broken("log %d..%d compacted up to %d", l.start.Index+1, l.last, i)
	}
	l.start = EntryID{Term: term, Index: i}
	if n := int(i + 1 - l.tailFirst()); i >= l.tailFirst() {
		l.tail = slices.Clone(l.tail[n:])
		l.tailBytes = entriesSize(l.tail)
	}
	for len(l.spans) > 1 && l.spans[1].First <= i+1 {
		l.spans = slices.Delete(l.spans, 0, 1)
	}
	if l.last == i {
		l.spans = nil
	} else {
		l.spans[0].First = max(l.spans[0].First, i+1)
	}
}

// reset replaces the log by an empty one that begins after a snapshot.
//
// It is durable up to there at once, although the write that says so is still to
// come: the state machine holds the snapshot, and a server that starts again
// finds it there. Writes in flight prove nothing about the new log.
func (l *raftLog) reset(s Snapshot) {
	l.start, l.last, l.durable, l.handedOut = s.Last, s.Last.Index, s.Last.Index, s.Last.Index
	l.spans, l.tail, l.tailBytes = nil, nil, 0
	l.configurations = []IndexedConfiguration{s.Configuration}
	l.truncate, l.resetTo = 0, &s
	for k := range l.inFlight {
		l.inFlight[k].last = 0
	}
}

// configuration returns the one in force: the latest in the log, committed or
// not (thesis 4.1).
func (l *raftLog) configuration() Configuration { return l.latestConfiguration().Configuration }

func (l *raftLog) latestConfiguration() IndexedConfiguration {
	if n := len(l.configurations); n > 0 {
		return l.configurations[n-1]
	}
	return IndexedConfiguration{}
}

// configurationsCommitted forgets the configurations that nothing can roll back
// to any more.
func (l *raftLog) configurationsCommitted(commit Index) {
	for len(l.configurations) > 1 && l.configurations[1].Index <= commit {
		l.configurations = slices.Delete(l.configurations, 0, 1)
	}
}
