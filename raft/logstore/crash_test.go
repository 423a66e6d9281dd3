package logstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// TestPowerFailureAtEveryWrite runs a history of everything that changes a store,
// and pulls the plug before every single operation that changes the disk, with
// none, some or all of what was not synced surviving. After each of these crashes
// the store must open with exactly what some number of steps has left: at least
// those that had been synced, and at most the one that was under way. No crash ever
// looks like a loss, and what the witness had said when a step was acknowledged it
// still says.
//
// With an odd seed the witness is lazy.
//
// Trap 2.
// Rules: vote.persist.
func TestPowerFailureAtEveryWrite(t *testing.T) {
	seeds := uint64(2)
	if testing.Short() || raceDetector() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			newCrashRun(t, seed).run()
		})
	}
}

// crashRun is one history on a disk that is cloned before every operation.
type crashRun struct {
	t       *testing.T
	disk    *vfs.MemFS
	lazy    bool
	history history
	steps   []crashStep

	mu  sync.Mutex
	rng *rand.Rand
	// returned is the number of steps that have returned, and synced how many of
	// them must survive: those up to the last one that has synced something. Step
	// 0 is the creation of the store.
	returned, synced int
	// attested is the last step that the witness spoke for when a call returned.
	attested int
	identity Identity
	crashes  int
	// outcomes counts how often how many steps more than the returned ones have
	// survived, or fewer.
	outcomes map[int]int
}

// crashStep changes the store, and knows what it must hold after that.
type crashStep struct {
	do    func(s *Store) error
	after contents
	// cluster is the cluster id after that.
	cluster [16]byte
	// attests says that the witness speaks for this step, and for all before, when it
	// has returned.
	attests bool
}

func newCrashRun(t *testing.T, seed uint64) *crashRun {
	r := &crashRun{
		t: t, disk: vfs.NewCrashableMem(), lazy: seed%2 == 1, rng: rand.New(rand.NewPCG(seed, 7)), outcomes: map[int]int{},
		history: history{rng: rand.New(rand.NewPCG(seed, 8))},
	}
	h := &r.history
	r.steps = []crashStep{{after: h.contents()}}
	first := founding(t)
	h.save(raft.Write{HardState: raft.FoundingHardState(), Entries: []raft.Entry{first}})
	r.step(func(s *Store) error { return s.Found(clusterA, raft.FoundingHardState(), []raft.Entry{first}) })
	r.steps[len(r.steps)-1].attests = true
	for i := range 17 {
		r.saveStep(i)
		if i%4 == 2 {
			id := h.compaction()
			r.step(func(s *Store) error { return s.Compact(id) })
			r.step(func(s *Store) error { return s.reclaim(0) })
		}
		if i%8 == 3 {
			r.step(func(s *Store) error { return s.db.Flush() })
		}
		if i == 16 {
			r.step(func(s *Store) error { return s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false) })
		}
	}
	return r
}

// saveStep saves a few writes at once. Some of these Saves reset the log, and
// one is of more than the first memtable holds.
func (r *crashRun) saveStep(i int) {
	h := &r.history
	writes := []raft.Write{h.write()}
	if i%6 == 5 {
		writes = append(writes, h.reset())
	}
	for range h.rng.IntN(3) {
		writes = append(writes, h.write())
	}
	if i == 12 {
		for range 6 {
			e := command(h.hs.CurrentTerm, h.last()+1, strings.Repeat("x", 60<<10))
			w := raft.Write{HardState: h.hs, Witness: e.ID(), Entries: []raft.Entry{e}}
			h.save(w)
			writes = append(writes, w)
		}
	}
	if i%3 == 1 {
		r.step(func(s *Store) error { return s.Save(writes) })
		return
	}
	r.step(func(s *Store) error {
		// As in a node, the witness may still be busy with the step before.
		attested := make(chan error, 1)
		go func() { attested <- s.Attest() }()
		return errors.Join(s.Save(writes), <-attested, s.Attest())
	})
	r.steps[len(r.steps)-1].attests = true
}

// step adds a step that leaves the store as the history is now.
func (r *crashRun) step(do func(s *Store) error) {
	r.steps = append(r.steps, crashStep{do: do, after: r.history.contents(), cluster: clusterA})
}

func (r *crashRun) run() {
	fs := errorfs.Wrap(r.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			r.crash(op)
		}
		return nil
	}))
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, LazyWitness: r.lazy, Fatal: func(message string) { panic(message) }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.identity = s.Identity()
	after := recovered(r.history.model, r.identity)
	r.steps = append(r.steps, crashStep{
		do: func(s *Store) error { return s.Recover(clusterB, raft.Snapshot{}, false) }, after: after.contents(), cluster: clusterB,
		attests: true,
	})
	r.mu.Unlock()
	for i, step := range r.steps[1:] {
		syncs := s.Stats().Syncs
		if err := step.do(s); err != nil {
			r.t.Fatal(err)
		}
		r.mu.Lock()
		r.returned = i + 1
		if s.Stats().Syncs > syncs {
			r.synced = r.returned
		}
		if step.attests {
			r.attested = r.returned
		}
		r.mu.Unlock()
	}
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("%d crashes; steps that survived without having returned, or were lost, and how often: %v", r.crashes, r.outcomes)
	lost := r.crashes - r.outcomes[0] - r.outcomes[1]
	if r.crashes < 200 || lost == 0 || r.outcomes[0] == 0 || r.outcomes[1] == 0 {
		r.t.Fatal("the crashes do not cover what they are meant to")
	}
}

// crash is called before each operation on the disk.
func (r *crashRun) crash(op errorfs.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, percent := range []int{0, r.rng.IntN(100), 100} {
		clone := r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r.rng})
		r.crashes++
		if err := r.recover(clone); err != nil {
			r.t.Errorf("crash %d, before %v of %s, with %d %% of the unsynced data, after %d steps: %v",
				r.crashes, op.Kind, op.Path, percent, r.returned, err)
		}
	}
}

// recover opens the store on what a crash has left of the disk.
func (r *crashRun) recover(disk *vfs.MemFS) error {
	if err := r.checkWitness(disk); err != nil {
		return err
	}
	s, survivor, err := r.reopen(disk)
	if err != nil {
		return err
	}
	got, err := read(s)
	if err != nil {
		return err
	}
	step := r.find(got, survivor.ClusterID)
	if step < 0 {
		return fmt.Errorf("the store holds %s, which is no state between the steps %d and %d", got, r.synced, r.returned+1)
	}
	r.outcomes[step-r.returned]++

	// What the node has seen after the crash, it may tell others. So a second
	// crash, right now, must not take any of it away.
	again, identity, err := r.reopen(disk.CrashClone(vfs.CrashCloneCfg{}))
	if err != nil {
		return fmt.Errorf("second crash: %w", err)
	}
	if after, err := read(again); err != nil || !after.equal(got) || identity != survivor {
		return fmt.Errorf("second crash: the store holds %s, %v; before that, %s", after, err, got)
	}
	if err := r.goOn(again, got); err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return err
	}
	return s.Close()
}

// checkWitness looks at what a strict witness says, before anybody has opened the
// store: what some step has left, and no step before the last acknowledged one.
func (r *crashRun) checkWitness(disk *vfs.MemFS) error {
	if r.lazy || r.returned == 0 {
		return nil
	}
	w, err := openWitness(disk, witnessName(testDir), false)
	if err := errors.Join(err, w.abandon()); err != nil {
		return err
	}
	var last, hard bool
	for _, step := range r.steps[r.attested:min(r.returned+2, len(r.steps))] {
		last = last || step.after.Log.Witness == w.said.last
		hard = hard || step.after.HardState == w.said.hard
	}
	if !last || !hard {
		return fmt.Errorf("the witness says %s and %+v, which is not what the steps %d to %d have left", w.said.last, w.said.hard, r.attested, r.returned+1)
	}
	return nil
}

// find returns the newest step that may have survived and after which the store
// holds that, or -1.
func (r *crashRun) find(got contents, cluster [16]byte) int {
	for k := min(r.returned+1, len(r.steps)-1); k >= r.synced; k-- {
		if r.steps[k].after.equal(got) && r.steps[k].cluster == cluster {
			return k
		}
	}
	return -1
}

// goOn does what a server does next with the store that a crash has left.
func (r *crashRun) goOn(s *Store, before contents) error {
	m := model{hs: before.HardState, start: before.Log.Start, log: before.Entries}
	if n := len(before.Log.Configurations); n > 0 && before.Log.Configurations[0].Index <= m.start.Index {
		m.configuration = before.Log.Configurations[0]
	}
	next := raft.EntryID{Term: m.hs.CurrentTerm + 1, Index: m.last() + 1}
	w := raft.Write{HardState: inTerm(next.Term), Entries: []raft.Entry{configurationEntry(next.Term, next.Index, 1)}}
	m.save(w)
	w.Witness = next
	m.compact(next)
	if err := errors.Join(saveAndAttest(s, w), s.Compact(next)); err != nil {
		return err
	}
	if after, err := read(s); err != nil || !after.equal(m.contents()) {
		return fmt.Errorf("the store goes on with %s, %v", after, err)
	}
	return nil
}

// reopen opens the store and checks its identity, if one was ever acknowledged.
func (r *crashRun) reopen(disk *vfs.MemFS) (*Store, Identity, error) {
	s, err := Open(testDir, Options{NodeID: 1, FS: disk, LazyWitness: r.lazy, Fatal: func(message string) { panic(message) }})
	if err != nil {
		return nil, Identity{}, err
	}
	id := s.Identity()
	if r.identity.NodeID != raft.None && (id.NodeID != r.identity.NodeID || id.InstanceID != r.identity.InstanceID) {
		return nil, Identity{}, fmt.Errorf("identity %+v, was %+v", id, r.identity)
	}
	return s, id, nil
}
