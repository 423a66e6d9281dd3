package simulated_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/kv"
	"balsa/raft"
	"balsa/raft/node"
)

// judge knows what the servers have done and says what they must not do. Beside
// it there are the history of the clients, for Porcupine, and the world, which
// sees to it that servers start, stop only when told to, and agree in the end.
type judge struct {
	w *world

	mu sync.Mutex
	// entries are those that any server has applied, by index: State Machine
	// Safety (Figure 3).
	entries map[raft.Index]raft.Entry
	// leaders are the leaders by term: Election Safety.
	leaders map[raft.Term]raft.NodeID
	// acknowledged are the writes to keys that are written only once.
	acknowledged map[string]acknowledged
}

type acknowledged struct {
	value    string
	revision uint64
}

func newJudge(w *world) *judge {
	return &judge{
		w: w, entries: map[raft.Index]raft.Entry{}, leaders: map[raft.Term]raft.NodeID{},
		acknowledged: map[string]acknowledged{},
	}
}

// applied takes note of what a server has applied. What it does after its death
// does not count: what it takes for committed then may rest on its own log, which
// is lost.
func (j *judge) applied(p *process, entries []raft.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.dead.Load() {
		return
	}
	for _, e := range entries {
		known, ok := j.entries[e.Index]
		switch {
		case !ok:
			j.entries[e.Index] = e
		case known.Term != e.Term || !bytes.Equal(known.Encoded(), e.Encoded()):
			j.w.violation("n%d applies %s %s, another server has applied %s %s", p.id, e.Kind, e.ID(), known.Kind, known.ID())
		}
	}
}

func (j *judge) leads(id raft.NodeID, term raft.Term) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if other, ok := j.leaders[term]; ok && other != id {
		j.w.violation("n%d and n%d lead in term %d", other, id, term)
	}
	j.leaders[term] = id
}

// acknowledge takes note that a write was acknowledged.
func (j *judge) acknowledge(key, value string, revision uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acknowledged[key] = acknowledged{value, revision}
}

// checkAcknowledged looks for the acknowledged writes in a server's own state.
func (j *judge) checkAcknowledged(p *process) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, want := range j.acknowledged {
		item, found, err := p.store.Get([]byte(key))
		if err != nil || !found || string(item.Value) != want.value || item.Revision != want.revision {
			j.w.violation("n%d has lost an acknowledged write: %q is %.40q at revision %d, found %v, error %v; want %.40q at revision %d",
				p.id, key, item.Value, item.Revision, found, err, want.value, want.revision)
			return
		}
	}
}

// replay returns the hash of what the entries that were applied lead to, and
// false if one of them is not known because whoever has applied it died at that
// moment.
func (j *judge) replay(last raft.EntryID) (string, bool) {
	var entries []raft.Entry
	j.mu.Lock()
	for i := raft.Index(1); i <= last.Index; i++ {
		e, ok := j.entries[i]
		if !ok {
			j.mu.Unlock()
			return "", false
		}
		entries = append(entries, e)
	}
	j.mu.Unlock()
	if len(entries) > 0 && entries[len(entries)-1].ID() != last {
		return fmt.Sprintf("nothing: entry %d is of term %d", last.Index, entries[len(entries)-1].Term), true
	}
	s, err := kv.OpenState("state", kv.Options{
		Identity: kv.Identity{Cluster: testCluster, Node: 1}, FS: vfs.NewMem(), CacheBytes: 1 << 20,
		Fatal: func(err error) { panic(err) },
	})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	if _, err := s.Apply(entries); err != nil {
		panic(err)
	}
	hash, err := hashOf(s)
	if err != nil {
		panic(err)
	}
	return hash, true
}

// hashOf returns a hash of everything in a state that is replicated.
func hashOf(s *kv.State) (string, error) {
	src, err := s.Snapshot()
	if err != nil {
		return "", err
	}
	defer src.Close()
	hash := sha256.New()
	if err := src.Seek(node.Position{}); err != nil {
		return "", err
	}
	for last := false; !last; {
		chunk, err := src.Next()
		if err != nil {
			return "", err
		}
		hash.Write(chunk.Data)
		last = chunk.Last
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// checkState compares what a server has found on its disk, or has been sent, with
// a replay of the log up to where it says that it is.
func (p *process) checkState() {
	last, err := p.state.Applied()
	if err != nil || last.Index == 0 {
		return // Applied does not fail; and an empty state has nothing to compare
	}
	got, err := hashOf(p.state)
	if err != nil {
		if !p.dead.Load() && p.struck.Load() == nil {
			p.w.violation("n%d cannot read its state: %v", p.id, err)
		}
		return
	}
	if want, known := p.w.judge.replay(last); known && got != want && !p.dead.Load() {
		p.w.violation("n%d has state %s after entry %s, a replay of the log leads to %s", p.id, got, last, want)
	} else if known {
		p.w.seen.statesChecked.Add(1)
	}
}

// changes is how often the leader has been another one than in the term before.
func (j *judge) changes() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var terms []raft.Term
	for term := range j.leaders {
		terms = append(terms, term)
	}
	slices.Sort(terms)
	for i := 1; i < len(terms); i++ {
		if j.leaders[terms[i]] != j.leaders[terms[i-1]] {
			n++
		}
	}
	return n
}
