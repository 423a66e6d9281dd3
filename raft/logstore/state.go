package logstore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// State describes what is stored. However long the log is, State reads only the
// configurations and, for each term in the log, about two entries for each
// doubling of the number of the term's entries.
func (s *Store) State() (raft.HardState, raft.LogState, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return raft.HardState{}, raft.LogState{}, ErrClosed
	}
	known, _ := s.witness.current()
	log := raft.LogState{
		Witness: known.last,
		Start:   *s.start.Load(), Last: raft.Index(s.last.Load()),
	}
	var err error
	if log.Spans, err = s.termSpans(log.Start, log.Last); err != nil {
		return raft.HardState{}, raft.LogState{}, s.noteDamage(err)
	}
	if log.Configurations, err = s.configurations(); err != nil {
		return raft.HardState{}, raft.LogState{}, err
	}
	return s.hard, log, nil
}

// termSpans returns the terms of the entries after start, up to last.
func (s *Store) termSpans(start raft.EntryID, last raft.Index) ([]raft.TermSpan, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{entryPrefix}, UpperBound: prefixEnd(entryPrefix),
	})
	if err != nil {
		return nil, s.readError(0, err)
	}
	defer it.Close()
	spans, err := findTermSpans(start, last, func(i raft.Index) (raft.Term, error) {
		e, err := seekEntry(it, i)
		return e.Term, s.readError(i, err)
	})
	return spans, s.readError(0, err)
}

// seekEntry reads one entry. It aliases the iterator's memory.
func seekEntry(it *pebble.Iterator, i raft.Index) (raft.Entry, error) {
	if !it.SeekGE(indexKey(entryPrefix, i)) {
		if err := it.Error(); err != nil {
			return raft.Entry{}, err
		}
		return raft.Entry{}, errMissing
	}
	if found, err := indexOf(it.Key()); err != nil || found != i {
		return raft.Entry{}, errMissing
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return raft.Entry{}, err
	}
	return decodeEntryAt(i, value)
}

// findTermSpans finds where each term begins in a log whose terms termOf reads
// one by one. It makes use of what every log has: terms that never decrease
// from one entry to the next, and few of them.
func findTermSpans(start raft.EntryID, last raft.Index, termOf func(raft.Index) (raft.Term, error)) ([]raft.TermSpan, error) {
	if last == start.Index {
		return nil, nil
	}
	lastTerm, err := termOf(last)
	if err != nil {
		return nil, err
	}
	var spans []raft.TermSpan
	for first := start.Index + 1; ; {
		term, err := termOf(first)
		if err != nil {
			return nil, err
		}
		if term < start.Term || term > lastTerm {
			return nil, fmt.Errorf("%w: term %d at entry %d of a log that ends in term %d",
				raft.ErrCorrupt, term, first, lastTerm)
		}
		spans = append(spans, raft.TermSpan{Term: term, First: first})
		if term == lastTerm {
			return spans, nil
		}
		if first, err = firstAbove(term, first, last, termOf); err != nil {
			return nil, err
		}
	}
}

// firstAbove returns the first index after low whose term is above the given
// one. The term at low is not above it, the term at high is.
func firstAbove(term raft.Term, low, high raft.Index, termOf func(raft.Index) (raft.Term, error)) (raft.Index, error) {
	// Steps of double length each, and not the middle at once: the effort then
	// grows with the length of this term and not with that of the whole log.
	for step := raft.Index(1); low+1 < high; {
		probe := low + step
		if probe >= high {
			probe = low + (high-low)/2
		}
		t, err := termOf(probe)
		if err != nil {
			return 0, err
		}
		if t > term {
			high = probe
		} else {
			low = probe
			step *= 2
		}
	}
	return high, nil
}

// configurations returns the stored configurations in ascending order, and checks
// that the first one is in force where the log begins. The caller holds writing.
func (s *Store) configurations() ([]raft.IndexedConfiguration, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{configurationPrefix}, UpperBound: prefixEnd(configurationPrefix),
	})
	if err != nil {
		return nil, s.readError(0, err)
	}
	defer it.Close()
	var configurations []raft.IndexedConfiguration
	last := raft.Index(s.last.Load())
	for ok := it.First(); ok; ok = it.Next() {
		c, err := configurationAt(it)
		if s.damaged != 0 && c.Index >= s.damaged {
			break // Recover will remove it
		}
		if err == nil && c.Index > last {
			err = fmt.Errorf("%w: the log ends with entry %d", raft.ErrCorrupt, last)
		}
		if err != nil {
			return nil, s.readError(c.Index, err)
		}
		configurations = append(configurations, c)
	}
	if err := it.Error(); err != nil {
		return nil, s.readError(0, err)
	}
	return configurations, s.readError(0, checkConfigurations(s.start.Load().Index, configurations))
}

// checkConfigurations notices that a configuration is missing at the beginning of
// a log. What is compacted leaves exactly one behind.
func checkConfigurations(start raft.Index, configurations []raft.IndexedConfiguration) error {
	before, want := 0, 0
	for _, c := range configurations {
		if c.Index <= start {
			before++
		}
	}
	if start > 0 {
		want = 1
	}
	if before != want {
		return fmt.Errorf("%w: the log begins after entry %d with %d configurations, want %d", raft.ErrCorrupt, start, before, want)
	}
	return nil
}

// configurationAt reads the configuration that the iterator is at. If it is
// damaged its index is returned all the same, as far as it is known.
func configurationAt(it *pebble.Iterator) (raft.IndexedConfiguration, error) {
	var c raft.IndexedConfiguration
	var err error
	if c.Index, err = indexOf(it.Key()); err != nil {
		return c, err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return c, err
	}
	payload, err := openRecord(it.Key(), value)
	if err != nil {
		return c, err
	}
	c.Configuration, err = raft.DecodeConfiguration(payload)
	return c, err
}
