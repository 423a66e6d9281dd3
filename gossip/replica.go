package gossip

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A replica is one server's copy of the state of one server: its own, or
// another's. Only the owner writes. All that the others ever do is to replace
// their copy by a later one of the owner's, whole or by way of a delta, and they
// may have either from anybody.
//
// So the copies of one state are all of them states that the owner was once in,
// and they are ordered. That order is the stamp, and the one rule of the whole
// protocol is that the later stamp wins. It does not matter then how often, in
// which order and through whom a delta arrives.
//
// An example: the owner set a and b (versions 1 and 2), deleted a (3), and set
// b once more (4). It holds
//
//	a  deleted  3
//	b  "new"    4
//
// A copy at version 2 needs both, one at version 3 needs b alone. Some time
// later the owner forgets the tombstone of a, and its stamp says that whatever
// was deleted up to version 3 is forgotten: collected = 3. A copy at version 3
// forgets it as well. A copy at version 2 never heard that a is gone, and cannot
// hear it any more; it is given the whole state and starts from nothing, and
// thus loses a.
type replica struct {
	stamp
	entries map[string]entry
	// held is since when the copy is kept, of use for a server that is in no
	// table yet.
	held time.Time
}

// entry is what a key says.
type entry struct {
	value   string
	version uint64
	// deleted makes it a tombstone. It is when the key was deleted, or when
	// this server heard of it.
	deleted time.Time
	// expires is when the key loses its value unless it is set again, or zero.
	expires time.Time
}

// live reports whether the key has a value at a time. A copy looks at its own
// clock for that, because the owner may not be there any more to delete the key.
func (e entry) live(now time.Time) bool {
	return e.deleted.IsZero() && (e.expires.IsZero() || now.Before(e.expires))
}

// lineage is one life of a server, as its state knows it. The generation orders
// the lives. The run is that of the server's meta: it ties the state to the
// process that the table of servers lists, and it keeps two lives apart that
// took the same generation by mistake.
type lineage struct {
	generation uint64
	run        runID
}

// maxGeneration bounds generations, so that there is always a larger one for an
// owner to go to.
const maxGeneration = 1 << 48

func (l lineage) compare(other lineage) int {
	return cmp.Or(cmp.Compare(l.generation, other.generation), bytes.Compare(l.run[:], other.run[:]))
}

// stamp says how far a copy has come.
type stamp struct {
	lineage
	// collected is the version up to which tombstones are forgotten.
	collected uint64
	// version is that of the owner's last change that the copy contains. It
	// contains all those before as well, unless they were overwritten.
	version uint64
}

// compare orders stamps lexicographically. A copy's stamp never decreases. It
// may lose versions only when a complete state with a later collected, or of a
// later life, replaces it.
func (s stamp) compare(other stamp) int {
	return cmp.Or(s.lineage.compare(other.lineage), cmp.Compare(s.collected, other.collected), cmp.Compare(s.version, other.version))
}

// delta is what brings a copy to a stamp: all entries above the version from.
// Who has less than from cannot use it. A delta from 0 is the complete state.
// One that leaves out the entries (from is the version, then) announces that
// there is news without telling them.
type delta struct {
	name string // of the owner
	stamp
	from    uint64
	entries []deltaEntry // in ascending order of version
}

type deltaEntry struct {
	key, value string
	version    uint64
	deleted    bool
	// timed says that the key has a time to live, of which ttl is left. It is 0
	// if the time is over but the owner was not there to say so.
	timed bool
	ttl   time.Duration
}

// since returns the delta for a copy of the given version.
func (r *replica) since(name string, from uint64, now time.Time) delta {
	if from < r.collected || from > r.version {
		from = 0 // the forced reset; see the example above
	}
	d := delta{name: name, stamp: r.stamp, from: from}
	for key, e := range r.entries {
		if e.version <= from {
			continue
		}
		de := deltaEntry{key: key, value: e.value, version: e.version, deleted: !e.deleted.IsZero(), timed: !e.expires.IsZero()}
		if de.timed {
			de.ttl = max(0, e.expires.Sub(now))
		}
		d.entries = append(d.entries, de)
	}
	slices.SortFunc(d.entries, func(a, b deltaEntry) int { return cmp.Compare(a.version, b.version) })
	return d
}

// verdict is what becomes of a delta.
type verdict int

const (
	verdictOld     verdict = iota // nothing in it is new
	verdictApplied                // the copy has its stamp now
	verdictGap                    // it is new, and what lies before it is missing
	verdictTooBig                 // the state would be beyond the limits
)

// apply brings the copy forward, or leaves it as it is. It returns the keys that
// may say something else now. Whether the delta really is the owner's, nobody
// can tell: who holds the key of gossip can forge one. Then the owner hears of
// it and takes a new generation; see refute.
func (r *replica) apply(d delta, now time.Time) (verdict, []string) {
	switch {
	case d.stamp.compare(r.stamp) <= 0:
		return verdictOld, nil
	case d.from == 0:
		keys := r.keys()
		r.stamp, r.entries = d.stamp, make(map[string]entry, len(d.entries))
		for _, de := range d.entries {
			r.entries[de.key] = de.entry(now)
		}
		return verdictApplied, append(keys, r.keys()...)
	case d.lineage != r.lineage || d.from > r.version || d.collected > r.version || d.version < r.version:
		return verdictGap, nil
	}
	entries := maps.Clone(r.entries)
	var keys []string
	for _, de := range d.entries {
		// What is not above our version we have already, and know better how
		// long it lasts.
		if de.version > r.version {
			entries[de.key] = de.entry(now)
			keys = append(keys, de.key)
		}
	}
	collect(entries, d.collected)
	if checkSize(entries) != nil {
		return verdictTooBig, nil
	}
	r.stamp, r.entries = d.stamp, entries
	return verdictApplied, keys
}

func (de deltaEntry) entry(now time.Time) entry {
	e := entry{value: de.value, version: de.version}
	if de.deleted {
		e.deleted = now
	}
	if de.timed {
		e.expires = now.Add(de.ttl)
	}
	return e
}

// change is what an owner wants a key to say. A ttl of 0 means for ever.
type change struct {
	key, value string
	deleted    bool
	ttl        time.Duration
}

// check reports why the change is not possible, whatever else there is.
func (c change) check() error {
	if err := checkKey(c.key); err != nil {
		return err
	}
	return checkValue(c.key, c.value)
}

// write makes all changes at once or, when it returns an error, none. It returns
// the keys that changed: to say the same as before is no change. Only the owner
// calls it.
func (r *replica) write(changes []change, now time.Time) ([]string, error) {
	entries, version := maps.Clone(r.entries), r.version
	var keys []string
	for _, c := range changes {
		if err := c.check(); err != nil {
			return nil, err
		}
		if c.same(entries[c.key], now) {
			continue
		}
		version++
		e := entry{value: c.value, version: version}
		if c.deleted {
			e.deleted = now
		}
		if c.ttl > 0 {
			e.expires = now.Add(c.ttl)
		}
		entries[c.key] = e
		keys = append(keys, c.key)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	collected := r.collected
	if checkSize(entries) != nil {
		// Tombstones never stand in the way of a key. To forget them early
		// costs the others a whole state instead of a delta.
		collected = version
		collect(entries, collected)
	}
	if err := checkSize(entries); err != nil {
		return nil, err
	}
	r.entries, r.version, r.collected = entries, version, collected
	return keys, nil
}

// same reports whether the change would change nothing. To give a key a time to
// live always does: it starts anew.
func (c change) same(e entry, now time.Time) bool {
	there := e.version > 0 && e.live(now)
	if c.deleted {
		return !there
	}
	return there && e.value == c.value && e.expires.IsZero() && c.ttl == 0
}

// expire turns keys whose time is over into tombstones and returns them. Only
// the owner calls it. That the copies need not be told in time is seen in live;
// that they are told at all keeps them equal.
func (r *replica) expire(now time.Time) []string {
	var over []change
	for _, key := range slices.Sorted(maps.Keys(r.entries)) {
		if e := r.entries[key]; e.deleted.IsZero() && !e.live(now) {
			over = append(over, change{key: key, deleted: true})
		}
	}
	keys := make([]string, 0, len(over))
	for _, c := range over {
		r.version++
		r.entries[c.key] = entry{version: r.version, deleted: now}
		keys = append(keys, c.key)
	}
	return keys
}

// forget drops the tombstones that are older than a time and reports whether
// there were any. Only the owner calls it; the others follow its collected, so
// that equal stamps mean equal copies.
func (r *replica) forget(before time.Time) bool {
	var upTo uint64
	for _, e := range r.entries {
		if !e.deleted.IsZero() && e.deleted.Before(before) {
			upTo = max(upTo, e.version)
		}
	}
	if upTo == 0 {
		return false
	}
	// Whatever was deleted before that version was deleted before that time.
	r.collected = upTo
	collect(r.entries, upTo)
	return true
}

// collect drops the tombstones up to a version.
func collect(entries map[string]entry, upTo uint64) {
	maps.DeleteFunc(entries, func(_ string, e entry) bool { return !e.deleted.IsZero() && e.version <= upTo })
}

// checkSize reports which limit a state exceeds. Tombstones count: they are kept
// and sent like everything else.
func checkSize(entries map[string]entry) error {
	if n := len(entries); n > MaxKeys {
		return &LimitError{What: "number of keys", Size: n, Max: MaxKeys}
	}
	size := 0
	for key, e := range entries {
		size += len(key) + len(e.value) + EntryOverhead
	}
	if size > MaxState {
		return &LimitError{What: "state", Size: size, Max: MaxState}
	}
	return nil
}

func (r *replica) keys() []string { return slices.Collect(maps.Keys(r.entries)) }

// state returns what the copy says now, under keys with a prefix.
func (r *replica) state(prefix string, now time.Time) State {
	s := State{Generation: r.generation, Version: r.version, Values: make(map[string]string)}
	for key, e := range r.entries {
		if e.live(now) && strings.HasPrefix(key, prefix) {
			s.Values[key] = e.value
		}
	}
	return s
}
