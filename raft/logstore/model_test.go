package logstore

import (
	"math/rand/v2"
	"slices"

	"balsa/raft"
)

// model is the simplest thing that a store can be compared with: its log is a
// slice.
type model struct {
	hs    raft.HardState
	start raft.EntryID
	// configuration is the one in force at start; its index is zero if there is
	// none.
	configuration raft.IndexedConfiguration
	// log holds the entries after start.
	log []raft.Entry
}

func (m *model) last() raft.Index { return m.start.Index + raft.Index(len(m.log)) }

func (m *model) lastID() raft.EntryID {
	if n := len(m.log); n > 0 {
		return m.log[n-1].ID()
	}
	return m.start
}

// save does what Save must do with one write.
func (m *model) save(w raft.Write) {
	if w.Reset != nil {
		m.start, m.configuration, m.log = w.Reset.Last, w.Reset.Configuration, nil
	}
	if w.TruncateFrom != 0 && w.TruncateFrom <= m.last() {
		m.log = slices.Clone(m.log[:w.TruncateFrom-m.start.Index-1])
	}
	m.log = append(m.log, w.Entries...)
	m.hs = w.HardState
}

// compact does what Compact must do.
func (m *model) compact(last raft.EntryID) {
	if last.Index <= m.start.Index {
		return
	}
	for _, c := range m.configurations() {
		if c.Index <= last.Index {
			m.configuration = c
		}
	}
	m.log = slices.Clone(m.log[last.Index-m.start.Index:])
	m.start = last
}

func (m *model) configurations() []raft.IndexedConfiguration {
	var configurations []raft.IndexedConfiguration
	if m.configuration.Index != 0 {
		configurations = append(configurations, m.configuration)
	}
	for _, e := range m.log {
		if e.Kind != raft.EntryConfiguration {
			continue
		}
		c, err := raft.DecodeConfiguration(e.Data)
		if err != nil {
			panic(err)
		}
		configurations = append(configurations, raft.IndexedConfiguration{Index: e.Index, Configuration: c})
	}
	return configurations
}

// contents is what a store that equals the model must say about itself.
func (m *model) contents() contents {
	c := contents{HardState: m.hs, Entries: append([]raft.Entry(nil), m.log...)}
	c.Log = raft.LogState{Witness: m.lastID(), Start: m.start, Last: m.last(), Configurations: m.configurations()}
	for i, e := range m.log {
		if i == 0 || e.Term != m.log[i-1].Term {
			c.Log.Spans = append(c.Log.Spans, raft.TermSpan{Term: e.Term, First: e.Index})
		}
	}
	return c
}

// history makes up what happens to a store, and knows what it must hold after
// that.
type history struct {
	model
	rng *rand.Rand
	// small keeps the commands short, and the configuration the first one.
	small bool
}

// write appends to the log, or replaces the end of it, as a new term often does.
func (h *history) write() raft.Write {
	var w raft.Write
	w.HardState = h.hs
	last := h.last()
	if h.hs.CurrentTerm == 0 || h.rng.IntN(4) == 0 {
		w.HardState = raft.HardState{CurrentTerm: h.hs.CurrentTerm + 1 + raft.Term(h.rng.IntN(2))}
		if h.rng.IntN(2) == 0 {
			w.HardState.VotedFor = raft.NodeID(1 + h.rng.IntN(3))
		}
		if n := len(h.log); n > 0 && h.rng.IntN(2) == 0 {
			w.TruncateFrom = last - raft.Index(h.rng.IntN(min(n, 10)))
			last = w.TruncateFrom - 1
		}
	} else if h.hs.VotedFor == raft.None && h.rng.IntN(4) == 0 {
		w.HardState.VotedFor = raft.NodeID(1 + h.rng.IntN(3))
	}
	w.Entries = h.entries(raft.EntryID{Term: w.HardState.CurrentTerm, Index: last + 1})
	h.save(w)
	w.Witness = h.lastID()
	return w
}

// reset replaces the log by what follows a snapshot, which may end within it or
// beyond it.
func (h *history) reset() raft.Write {
	w := raft.Write{HardState: h.hs}
	w.HardState.CurrentTerm++
	w.HardState.VotedFor = raft.None
	id := raft.EntryID{
		Term:  h.start.Term + 1 + raft.Term(h.rng.IntN(int(w.HardState.CurrentTerm-h.start.Term))),
		Index: h.start.Index + 1 + raft.Index(h.rng.IntN(len(h.log)+5)),
	}
	w.Reset = &raft.Snapshot{Last: id, Configuration: raft.IndexedConfiguration{
		Index:         1 + raft.Index(h.rng.IntN(int(id.Index))),
		Configuration: configuration(1, 2, raft.NodeID(3+h.rng.IntN(5))),
	}}
	w.Entries = h.entries(raft.EntryID{Term: w.HardState.CurrentTerm, Index: id.Index + 1})
	h.save(w)
	w.Witness = h.lastID()
	return w
}

// entries makes up a few entries. The first of a log is a configuration, as it
// is in every cluster.
func (h *history) entries(next raft.EntryID) []raft.Entry {
	var entries []raft.Entry
	for range h.rng.IntN(6) {
		e := raft.NewEntry(next, raft.EntryNoop, nil)
		kind := h.rng.IntN(8)
		switch {
		case next.Index == 1 || kind == 0 && !h.small:
			e = configurationEntry(next.Term, next.Index, 1, 2, raft.NodeID(3+h.rng.IntN(5)))
		case kind <= 5:
			size := 200
			if h.small {
				size = 8
			}
			data := make([]byte, h.rng.IntN(size))
			for i := range data {
				data[i] = byte(h.rng.Uint32())
			}
			e = raft.NewEntry(next, raft.EntryCommand, data)
		}
		entries = append(entries, e)
		next.Index++
	}
	return entries
}

// compaction picks up to where to compact, now and then an entry that is gone
// already.
func (h *history) compaction() raft.EntryID {
	id := h.start
	if n := len(h.log); n > 0 && h.rng.IntN(8) > 0 {
		id = h.log[h.rng.IntN(n)].ID()
	}
	h.compact(id)
	return id
}
