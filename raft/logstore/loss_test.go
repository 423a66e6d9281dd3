package logstore

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// image is what is in the files of a store: those of the log, and the witness.
type image map[string][]byte

// imageOf reads the files of a store.
func imageOf(t testing.TB, files vfs.FS) image {
	t.Helper()
	names, err := files.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	m := image{}
	paths := []string{witnessName(testDir)}
	for _, name := range names {
		paths = append(paths, files.PathJoin(testDir, name))
	}
	for _, path := range paths {
		f, err := files.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		m[path] = data
	}
	return m
}

// disk returns a file system with these files.
func (m image) disk() (*vfs.MemFS, error) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		return nil, err
	}
	for path, data := range m {
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		_, err = f.Write(slices.Clone(data))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

// with returns the same files but for one, which is removed if data is nil.
func (m image) with(path string, data []byte) image {
	changed := image{}
	for p, d := range m {
		changed[p] = d
	}
	if changed[path] = data; data == nil {
		delete(changed, path)
	}
	return changed
}

// newestLog returns the path of the newest write-ahead log.
func (m image) newestLog() string {
	newest := ""
	for path := range m {
		if strings.HasSuffix(path, ".log") {
			newest = max(newest, path)
		}
	}
	return newest
}

// lossyRun is a store that has acknowledged all that it was given, and what it was.
type lossyRun struct {
	want contents
	// written is every entry that was ever written.
	written map[raft.EntryID]string
	// images are the files after each write; the last one is as of a power failure.
	images []image
}

func newLossyRun(t testing.TB, lazy bool) *lossyRun {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s, err := Open(testDir, Options{NodeID: 1, FS: disk, LazyWitness: lazy, Fatal: func(message string) { panic(message) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := &lossyRun{written: map[raft.EntryID]string{}}
	h := history{rng: rand.New(rand.NewPCG(5, 6)), small: true}
	first := founding(t)
	founded := raft.Write{HardState: raft.FoundingHardState(), Witness: first.ID(), Entries: []raft.Entry{first}}
	h.save(founded)
	if err := s.Found(clusterA, founded.HardState, founded.Entries); err != nil {
		t.Fatal(err)
	}
	r.written[first.ID()] = string(first.Encoded())
	for range 36 {
		w := h.write()
		for _, e := range w.Entries {
			r.written[e.ID()] = string(e.Encoded())
		}
		mustSave(t, s, w)
		r.images = append(r.images, imageOf(t, disk.CrashClone(vfs.CrashCloneCfg{})))
	}
	r.want = h.contents()
	return r
}

// judge opens a store that something was taken from, and says what became of it, or
// what is wrong with that: reported, if it refuses to go on; recovering, if the core
// knows what it lacks; complete, if nothing is missing.
func (r *lossyRun) judge(m image) (string, error) {
	fs, err := m.disk()
	if err != nil {
		return "", err
	}
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(string) {}})
	if err != nil {
		return "reported", nil
	}
	defer s.Close()
	got, err := read(s)
	if err != nil {
		return "reported", nil
	}
	if got.HardState != r.want.HardState {
		return "", fmt.Errorf("%+v was acknowledged, and the store says %+v", r.want.HardState, got.HardState)
	}
	if s.Identity().ClusterID != clusterA {
		return "", fmt.Errorf("the store has forgotten its cluster: %+v", s.Identity())
	}
	for _, e := range got.Entries {
		if r.written[e.ID()] != string(e.Encoded()) {
			return "", fmt.Errorf("the store returns an entry %s that nobody wrote", e.ID())
		}
	}
	core, err := raft.New(raft.Config{ID: 1, Random: rand.IntN}, raft.InitialState{HardState: got.HardState, Log: got.Log})
	if err != nil {
		return "", fmt.Errorf("no server can start with this: %w", err)
	}
	switch lost := core.Status().Lost; {
	case lost == r.want.Log.Witness:
		return "recovering", nil
	case lost != raft.EntryID{}:
		return "", fmt.Errorf("%s is lost, the log had ended with %s", lost, r.want.Log.Witness)
	case !got.equal(r.want):
		return "", fmt.Errorf("the store holds %s without any complaint; acknowledged was %s", got, r.want)
	}
	return "complete", nil
}

// judgeAll judges a number of images, and returns how often what became of them.
func (r *lossyRun) judgeAll(t *testing.T, n int, make func(i int) image) map[string]int {
	t.Helper()
	var mu sync.Mutex
	outcomes := map[string]int{}
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := worker; i < n; i += runtime.GOMAXPROCS(0) {
				outcome, err := r.judge(make(i))
				if err != nil {
					t.Errorf("case %d: %v", i, err)
				}
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d cases: %v", n, outcomes)
	return outcomes
}

var everyByte = flag.Bool("every-byte", false, "damage the write-ahead log at every byte, not at a sample of them")

// everyNth is how many positions of a file the tests go on at a time.
func everyNth() int {
	switch {
	case *everyByte:
		return 1
	case testing.Short() || raceDetector():
		return 71
	}
	return 23
}

// The newest write-ahead log is where Pebble takes damage for the end that a crash
// has left. Wherever it is damaged, the store either refuses to go on, or the core
// learns what it lacks; and no vote is ever forgotten.
func TestNoDamageToTheNewestWriteAheadLogCostsAnythingUnnoticed(t *testing.T) {
	r := newLossyRun(t, false)
	last := r.images[len(r.images)-1]
	path := last.newestLog()
	data := last[path]
	n := len(data) / everyNth()
	bits := rand.New(rand.NewPCG(1, 1)).Perm(8)

	t.Run("bit flips", func(t *testing.T) {
		outcomes := r.judgeAll(t, n, func(i int) image {
			i *= everyNth()
			flipped := slices.Clone(data)
			flipped[i] ^= 1 << bits[i%8]
			return last.with(path, flipped)
		})
		if outcomes["recovering"] == 0 {
			t.Error("no flipped bit has cost anything")
		}
	})
	t.Run("truncation", func(t *testing.T) {
		outcomes := r.judgeAll(t, n, func(i int) image {
			return last.with(path, data[:i*everyNth()])
		})
		if outcomes["recovering"] == 0 {
			t.Error("no truncation has cost anything")
		}
	})
	t.Run("deletion", func(t *testing.T) {
		if outcomes := r.judgeAll(t, 1, func(int) image { return last.with(path, nil) }); outcomes["recovering"] != 1 {
			t.Errorf("outcomes: %v", outcomes)
		}
	})
}

// An older copy of the log's directory has forgotten votes and entries. The witness
// is not in that directory.
func TestAnOldCopyOfTheLogIsNoticed(t *testing.T) {
	r := newLossyRun(t, false)
	last := r.images[len(r.images)-1]
	witness := witnessName(testDir)
	outcomes := r.judgeAll(t, len(r.images)-1, func(i int) image { return r.images[i].with(witness, last[witness]) })
	if outcomes["recovering"] < len(r.images)/2 {
		t.Errorf("outcomes: %v", outcomes)
	}
}

// A lazy witness misses what is lost of the last entries. It never invents a loss,
// and term and vote are as safe as with a strict one.
func TestALazyWitnessMissesEntriesOnly(t *testing.T) {
	r := newLossyRun(t, true)
	last := r.images[len(r.images)-1]
	path := last.newestLog()
	data, missed := last[path], 0
	for i := 0; i < len(data); i += 11 {
		_, err := r.judge(last.with(path, data[:i]))
		if err != nil && strings.Contains(err.Error(), "without any complaint") {
			missed++
		} else if err != nil && !strings.Contains(err.Error(), "the log had ended with") {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if missed == 0 {
		t.Error("a lazy witness misses nothing: then there is no reason to be strict")
	}
	if outcome, err := r.judge(last); outcome != "complete" {
		t.Errorf("without any damage: %s, %v", outcome, err)
	}
}

// Recover goes on without what is lost, and begins after what was applied, if the
// log does not even hold that.
func TestRecoveryGoesOnWithoutWhatIsLost(t *testing.T) {
	r := newLossyRun(t, false)
	last := r.images[len(r.images)-1]
	path := last.newestLog()
	fs, err := last.with(path, last[path][:len(last[path])/2]).disk()
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Store {
		t.Helper()
		s, err := Open(testDir, Options{NodeID: 1, FS: fs, ForRecovery: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	before, err := read(s)
	if err := errors.Join(err, s.Close()); err != nil || before.Log.Witness != r.want.Log.Witness || before.Log.Last >= r.want.Log.Last {
		t.Fatalf("the store holds %s, %v; want less than %s", before, err, r.want)
	}
	s = open() // nothing has changed
	state := raft.Snapshot{
		Last:          raft.EntryID{Term: r.want.Log.Witness.Term, Index: before.Log.Last + 5},
		Configuration: before.Log.Configurations[0],
	}
	if err := s.Recover(clusterB, state, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hs, log, err := openForTest(t, fs).State()
	next := raft.EntryID{Term: r.want.HardState.CurrentTerm + 1, Index: state.Last.Index + 1}
	if err != nil || hs != inTerm(next.Term) || log.Start != state.Last || log.Last != next.Index || log.Witness != next {
		t.Errorf("after the recovery: %+v, %+v, %v", hs, log, err)
	}
}
