package logstore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// TestPowerFailureAtEveryWrite runs a history of Saves and pulls the plug before
// every single operation that changes the disk, with none, some or all of what
// was not synced surviving. After each of these crashes the store must open with
// exactly what some number of Saves has left: at least those that had returned,
// and at most the one that was under way.
func TestPowerFailureAtEveryWrite(t *testing.T) {
	seeds := uint64(2)
	if testing.Short() {
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
	t     *testing.T
	disk  *vfs.MemFS
	steps []crashStep

	mu  sync.Mutex
	rng *rand.Rand
	// acknowledged is the number of steps that have returned. Step 0 is the
	// creation of the store.
	acknowledged int
	identity     Identity
	crashes      int
	// outcomes counts how often how many steps beyond the acknowledged ones
	// survived.
	outcomes map[int]int
}

// crashStep changes the store, and knows what it must hold after that.
type crashStep struct {
	do    func(s *Store) error
	after contents
	// cluster is the cluster id after that.
	cluster [16]byte
}

func newCrashRun(t *testing.T, seed uint64) *crashRun {
	r := &crashRun{t: t, disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 7)), outcomes: map[int]int{}}
	h := history{rng: rand.New(rand.NewPCG(seed, 8))}

	first := founding(t)
	h.hs, h.log = raft.FoundingHardState(), []raft.Entry{first}
	r.steps = []crashStep{{after: expected(raft.HardState{}, nil)}}
	step := func(do func(s *Store) error) {
		r.steps = append(r.steps, crashStep{do: do, after: expected(h.hs, h.log), cluster: clusterA})
	}
	step(func(s *Store) error { return s.Found(clusterA, raft.FoundingHardState(), []raft.Entry{first}) })
	for i := range 20 {
		writes := []raft.Write{h.write()}
		for range h.rng.IntN(3) {
			writes = append(writes, h.write())
		}
		if i == 12 { // more than the first memtable holds
			for range 6 {
				e := command(h.hs.CurrentTerm, raft.Index(len(h.log)+1), strings.Repeat("x", 60<<10))
				h.log = append(h.log, e)
				writes = append(writes, raft.Write{HardState: h.hs, Entries: []raft.Entry{e}})
			}
		}
		step(func(s *Store) error { return s.Save(writes) })
		if i%8 == 3 {
			step(func(s *Store) error { return s.db.Flush() })
		}
		if i == 16 {
			step(func(s *Store) error { return s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false) })
		}
	}
	return r
}

func (r *crashRun) run() {
	fs := errorfs.Wrap(r.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			r.crash(op)
		}
		return nil
	}))
	s := mustOpen(r.t, fs)
	r.mu.Lock()
	r.identity = s.Identity()
	r.mu.Unlock()
	for i, step := range r.steps[1:] {
		if err := step.do(s); err != nil {
			r.t.Fatal(err)
		}
		r.mu.Lock()
		r.acknowledged = i + 1
		r.mu.Unlock()
	}
	if err := s.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("%d crashes; steps that survived without being acknowledged, and how often: %v", r.crashes, r.outcomes)
	if r.crashes < 200 || r.outcomes[0] == 0 || r.outcomes[1] == 0 {
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
				r.crashes, op.Kind, op.Path, percent, r.acknowledged, err)
		}
	}
}

// recover opens the store on what a crash has left of the disk.
func (r *crashRun) recover(disk *vfs.MemFS) error {
	s, survivor, err := r.reopen(disk)
	if err != nil {
		return err
	}
	got, err := read(s)
	if err != nil {
		return err
	}
	for extra := 0; ; extra++ {
		k := r.acknowledged + extra
		if extra > 1 || k >= len(r.steps) {
			return fmt.Errorf("the store holds %s, which is no state between steps", got)
		}
		if r.steps[k].after.equal(got) && r.steps[k].cluster == survivor.ClusterID {
			r.outcomes[extra]++
			break
		}
	}

	// What the node has seen after the crash, it may tell others. So a second
	// crash, right now, must not take any of it away.
	again, identity, err := r.reopen(disk.CrashClone(vfs.CrashCloneCfg{}))
	if err != nil {
		return fmt.Errorf("second crash: %w", err)
	}
	if after, err := read(again); err != nil || !after.equal(got) || identity != survivor {
		return fmt.Errorf("second crash: the store holds %s, %v; before that, %s", after, err, got)
	}
	// And the store goes on.
	hs := raft.HardState{CurrentTerm: got.HardState.CurrentTerm + 1}
	if err := again.Save([]raft.Write{{HardState: hs, Entries: commands(hs.CurrentTerm, got.Log.Last+1, got.Log.Last+1)}}); err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return err
	}
	return s.Close()
}

// reopen opens the store and checks its identity, if one was ever acknowledged.
func (r *crashRun) reopen(disk *vfs.MemFS) (*Store, Identity, error) {
	s, err := Open(testDir, Options{NodeID: 1, FS: disk, Fatal: func(message string) { panic(message) }})
	if err != nil {
		return nil, Identity{}, err
	}
	id := s.Identity()
	if r.identity.NodeID != raft.None && (id.NodeID != r.identity.NodeID || id.InstanceID != r.identity.InstanceID) {
		return nil, Identity{}, fmt.Errorf("identity %+v, was %+v", id, r.identity)
	}
	return s, id, nil
}
