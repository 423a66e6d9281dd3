package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// failingDisk is a disk whose chosen operations fail once it is switched on.
type failingDisk struct {
	vfs.FS
	toggle *errorfs.Toggle
}

func newFailingDisk(disk vfs.FS, kind errorfs.OpReadWrite, cause error) failingDisk {
	toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == kind && strings.HasSuffix(op.Path, ".sst") && op.Kind != errorfs.OpFileClose {
			return &os.PathError{Op: "inject", Path: op.Path, Err: cause}
		}
		return nil
	})}
	return failingDisk{FS: errorfs.Wrap(disk, toggle), toggle: toggle}
}

// expectFailure makes the failure of the disk something that the test expects,
// and returns where it is reported.
func expectFailure(opts *Options) <-chan error {
	reported := make(chan error, 100)
	opts.Fatal = func(err error) { reported <- err }
	return reported
}

func TestAFailedFlushStopsTheStore(t *testing.T) {
	mem := vfs.NewCrashableMem()
	disk := newFailingDisk(mem, errorfs.OpIsWrite, syscall.EIO)
	opts := testOptions(t, disk)
	reported := expectFailure(&opts)
	l := logOf(put("a", "1"), put("a", "2"), put("a", "3"))
	s := mustOpen(t, opts)
	mustApply(t, s, l[:1])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, l[1:2])

	disk.toggle.On()
	err := s.Flush() // must return although Pebble goes on trying
	wantError(t, err, ErrFailed)
	wantError(t, err, syscall.EIO)
	wantError(t, <-reported, syscall.EIO)

	if results, err := s.Apply(l[2:]); !errors.Is(err, ErrFailed) || results != nil {
		t.Errorf("Apply on a failed disk returns %v, %v", results, err)
	}
	_, _, err = s.Get([]byte("a"))
	wantError(t, err, ErrFailed)
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	disk.toggle.Off() // too late: nobody knows what the disk has lost
	_, err = s.Apply(l[2:])
	wantError(t, err, ErrFailed)
	wantError(t, s.Close(), ErrFailed)
	if n := len(reported); n != 0 {
		t.Errorf("the failure was reported %d more times", n)
	}

	s = mustOpen(t, testOptions(t, crashed))
	if got := appliedID(t, s); got != l[0].ID() {
		t.Errorf("applied is %s after the restart, want %s", got, l[0].ID())
	}
}

// A commit error is the one that Pebble turns into success if its Logger lets
// it. Nothing in a store without a WAL makes a commit fail, so the Logger is
// called directly.
//
// Trap 74.
func TestApplyIsNeverAcknowledgedOnceACommitHasFailed(t *testing.T) {
	opts := testOptions(t, vfs.NewMem())
	reported := expectFailure(&opts)
	s := mustOpen(t, opts)
	pebbleLogger{failure: s.failure}.Fatalf("fatal commit error: %v", syscall.EIO)
	wantError(t, <-reported, ErrFailed)
	results, err := s.Apply(logOf(put("a", "1")))
	wantError(t, err, ErrFailed)
	if results != nil {
		t.Errorf("acknowledged with %v", results)
	}
}

// A disk that first hangs and then fails once: Apply waits in the middle of its
// commit, and when Pebble recovers and lets it go on, it must not acknowledge.
func TestApplyThatWaitsWhileTheDiskFailsIsNotAcknowledged(t *testing.T) {
	stalled, release, once := make(chan struct{}), make(chan struct{}), sync.Once{}
	disk := failingDisk{toggle: &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) (err error) {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			once.Do(func() { <-release; err = syscall.EIO })
		}
		return err
	})}}
	disk.FS = errorfs.Wrap(vfs.NewMem(), disk.toggle)
	opts := testOptions(t, disk)
	reported := expectFailure(&opts)
	opts.Logger = slog.New(onMessage{"applying waits", sync.OnceFunc(func() { close(stalled) })})
	s := mustOpen(t, opts)
	disk.toggle.On()

	failed := make(chan error)
	go func() {
		for index := raft.Index(1); ; index++ {
			c := put("a", strings.Repeat("x", 10<<10))
			id := raft.EntryID{Term: 1, Index: index}
			if _, err := s.Apply([]raft.Entry{raft.NewEntry(id, raft.EntryCommand, c.encode())}); err != nil {
				failed <- err
				return
			}
		}
	}()
	<-stalled
	before := appliedID(t, s)
	close(release)
	err := <-failed
	wantError(t, err, ErrFailed)
	wantError(t, err, syscall.EIO)
	wantError(t, <-reported, syscall.EIO)
	if got := appliedID(t, s); got != before {
		t.Errorf("applied is %s, want %s as before the failure", got, before)
	}
}

// onMessage is a log handler that waits for a message.
type onMessage struct {
	part string
	do   func()
}

func (onMessage) Enabled(context.Context, slog.Level) bool { return true }
func (h onMessage) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h onMessage) WithGroup(string) slog.Handler          { return h }

func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.part) {
		h.do()
	}
	return nil
}

// Trap 74.
func TestAReadErrorInApplyStopsIt(t *testing.T) {
	mem := vfs.NewCrashableMem()
	disk := newFailingDisk(mem, errorfs.OpIsRead, syscall.EIO)
	// The value fills a block of its own, which opening the store does not read.
	large := strings.Repeat("x", 64<<10)
	l := logOf(put("a", large), put("b", "2"), cas("a", 1, "3"))
	s := mustOpen(t, testOptions(t, disk))
	mustApply(t, s, l[:1])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t, disk)
	expectFailure(&opts) // Pebble may read in the background as well
	s = mustOpen(t, opts)
	disk.toggle.On()
	results, err := s.Apply(l[1:])
	wantError(t, err, syscall.EIO)
	if results != nil {
		t.Errorf("acknowledged with %v", results)
	}
	if got := appliedID(t, s); got != l[0].ID() {
		t.Errorf("applied is %s, want %s", got, l[0].ID())
	}
	s.Close() // flushes, if it can: nothing of the failed batch may be there
	disk.toggle.Off()
	s = mustOpen(t, testOptions(t, mem.CrashClone(vfs.CrashCloneCfg{})))
	wantAbsent(t, s, "b") // the put in front of the comparison that failed
	wantItem(t, s, "a", large, 1)
}

func TestOpeningOnAFullDiskGivesAnError(t *testing.T) {
	disk := newFailingDisk(vfs.NewMem(), errorfs.OpIsWrite, syscall.ENOSPC)
	disk.toggle.On()
	opts := testOptions(t, disk)
	expectFailure(&opts)
	s, err := OpenState("state", opts)
	if err == nil {
		s.Close()
	}
	wantError(t, err, syscall.ENOSPC)
	disk.toggle.Off()
	s = mustOpen(t, testOptions(t, disk)) // once there is room again
	mustApply(t, s, logOf(put("a", "1")))
}

// By default a failed disk ends the process. The test runs itself once more and
// lets that process's disk fail.
func TestByDefaultAFailedDiskEndsTheProcess(t *testing.T) {
	if os.Getenv("KV_TEST_FAILED_DISK") != "" {
		disk := newFailingDisk(vfs.NewMem(), errorfs.OpIsWrite, syscall.EIO)
		opts := testOptions(t, disk)
		opts.Fatal = nil
		s := mustOpen(t, opts)
		mustApply(t, s, logOf(put("a", "1")))
		disk.toggle.On()
		err := s.Flush()
		fmt.Println("still alive:", err)
		os.Exit(0)
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), "KV_TEST_FAILED_DISK=yes")
	out, err := command.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || bytes.Contains(out, []byte("still alive")) ||
		!bytes.Contains(out, []byte("state store has failed")) {
		t.Errorf("the process ended with %v and said:\n%s", err, out)
	}
}

// Whatever single byte of the tables at rest changes (every eleventh, to save
// time), no read returns a wrong value, or nothing where there was something.
//
// Trap 63.
func TestAFlippedByteAtRestIsNeverServed(t *testing.T) {
	pristine := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(t, pristine))
	mustApply(t, s, logOf(put("a", "first"), put("b", strings.Repeat("second", 20))))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := pristine.List("state")
	if err != nil {
		t.Fatal(err)
	}
	if readAfterDamage(t, pristine.CrashClone(vfs.CrashCloneCfg{}), "nothing") {
		t.Fatal("damage was noticed where there is none")
	}
	flips, detected := 0, 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := pristine.PathJoin("state", name)
		info, err := pristine.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < int(info.Size()); i += 11 {
			fs := pristine.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
			flip(t, fs, path, i)
			flips++
			if readAfterDamage(t, fs, fmt.Sprintf("byte %d of %s", i, name)) {
				detected++
			}
		}
	}
	if flips < 100 || detected < flips/4 {
		t.Errorf("%d flips, %d noticed: did the test damage anything?", flips, detected)
	}
}

// flip changes one byte of a file. It writes a changed copy, because the files
// of a clone share their contents with the original.
func flip(t *testing.T, fs *vfs.MemFS, path string, offset int) {
	t.Helper()
	contents, err := fs.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(contents)
	data[offset] ^= 0x10
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// readAfterDamage reports whether the damage was noticed, and fails the test if
// it showed in any other way.
func readAfterDamage(t *testing.T, fs *vfs.MemFS, what string) (noticed bool) {
	t.Helper()
	opts := testOptions(t, fs)
	expectFailure(&opts)
	s, err := OpenState("state", opts)
	if err != nil {
		return true
	}
	defer s.Close()
	for key, want := range map[string]string{"a": "first", "b": strings.Repeat("second", 20)} {
		item, found, err := s.Get([]byte(key))
		switch {
		case err != nil:
			wantError(t, err, ErrCorrupt)
			noticed = true
		case !found || string(item.Value) != want:
			t.Errorf("%s flipped: %q reads as %q, found %v", what, key, item.Value, found)
		}
	}
	return noticed
}

// The store's own checksums catch what Pebble's cannot, because Pebble has
// sealed the damage itself.
func TestARecordThatIsNotWhatApplyWroteIsCorrupt(t *testing.T) {
	damage := map[string]func(record []byte) []byte{
		"flipped checksum": func(r []byte) []byte { r[0] ^= 1; return r },
		"flipped revision": func(r []byte) []byte { r[sealSize] ^= 1; return r },
		"flipped value":    func(r []byte) []byte { r[len(r)-1] ^= 1; return r },
		"cut short":        func(r []byte) []byte { return r[:len(r)-1] },
		"empty":            func(r []byte) []byte { return nil },
		"sealed too short": func(r []byte) []byte { r = r[:sealSize+2]; seal([]byte("ka"), r); return r },
	}
	for name, change := range damage {
		t.Run(name, func(t *testing.T) {
			s := openMem(t)
			l := logOf(put("a", "1"), cas("a", 1, "2"))
			mustApply(t, s, l[:1])
			rewrite(t, s, "ka", "ka", change)
			_, _, err := s.Get([]byte("a"))
			wantError(t, err, ErrCorrupt)
			_, err = s.Apply(l[1:])
			wantError(t, err, ErrCorrupt)
		})
	}
	t.Run("under another key", func(t *testing.T) {
		s := openMem(t)
		mustApply(t, s, logOf(put("a", "1"), put("b", "1")))
		rewrite(t, s, "ka", "kb", func(r []byte) []byte { return r })
		_, _, err := s.Get([]byte("b"))
		wantError(t, err, ErrCorrupt)
		wantItem(t, s, "a", "1", 1)
	})
	for _, key := range []string{string(identityKey), string(appliedKey)} {
		for name, change := range damage {
			t.Run(name+" in "+key, func(t *testing.T) {
				opts := testOptions(t, vfs.NewMem())
				s := mustOpen(t, opts)
				mustApply(t, s, logOf(put("a", "1")))
				rewrite(t, s, key, key, change)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				_, err := OpenState("state", opts)
				wantError(t, err, ErrCorrupt)
			})
		}
	}
}

// rewrite stores a changed copy of one record behind the state's back.
func rewrite(t *testing.T, s *State, from, to string, change func([]byte) []byte) {
	t.Helper()
	record, err := read(s.db, []byte(from))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set([]byte(to), change(record), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
}
