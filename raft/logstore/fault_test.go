package logstore

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// failNthSync makes the nth sync of a write-ahead log fail, once, unless the disk
// has been mended before: as with a real disk, the next sync reports success
// again, although the data is gone.
func failNthSync(disk vfs.FS, n int64, mended *atomic.Bool) vfs.FS {
	var syncs atomic.Int64
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
		if isSync && strings.HasSuffix(op.Path, ".log") && syncs.Add(1) == n && !mended.Load() {
			return syscall.EIO
		}
		return nil
	}))
}

// TestNothingIsAcknowledgedAfterAFailedSync lets each sync of a history fail in
// turn. Pebble's way to deal with that is to end the process. If whoever is
// asked to do so returns instead, or panics and somebody recovers, no Save may
// succeed from then on.
//
// Trap 19.
func TestNothingIsAcknowledgedAfterAFailedSync(t *testing.T) {
	for name, fatal := range map[string]func(message string){
		"Fatal returns": func(string) {},
		"Fatal panics":  func(message string) { panic(message) },
	} {
		t.Run(name, func(t *testing.T) {
			n := int64(3) // the first ones belong to Open
			for failOneSync(t, n, fatal) {
				n++
			}
			if n < 15 {
				t.Fatalf("only %d syncs failed", n-3)
			}
		})
	}
}

// failOneSync runs a history whose nth sync fails, and reports whether it got
// that far.
func failOneSync(t *testing.T, n int64, fatal func(message string)) bool {
	t.Helper()
	disk := vfs.NewCrashableMem()
	var mended atomic.Bool
	s, err := Open(testDir, Options{NodeID: 1, FS: failNthSync(disk, n, &mended), Fatal: fatal})
	if err != nil {
		t.Fatal(err)
	}
	h := history{rng: rand.New(rand.NewPCG(1, 1))}
	acknowledged := h.contents()
	var failure error
	for range 30 {
		err := saveRecovered(s, h.write())
		switch {
		case err == nil && failure != nil:
			t.Fatalf("sync %d: a Save succeeded after %v", n, failure)
		case err == nil:
			acknowledged = h.contents()
		case failure == nil:
			if !strings.Contains(err.Error(), syscall.EIO.Error()) {
				t.Fatalf("sync %d: %v", n, err)
			}
			failure = s.Save(nil)
			if failure == nil {
				t.Fatalf("sync %d: a Save succeeded after %v", n, err)
			}
		case err != failure:
			t.Fatalf("sync %d: Save returned %v, later %v", n, failure, err)
		}
	}
	if failure == nil {
		mended.Store(true)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return false
	}
	if err := s.Join(clusterA); err != failure {
		t.Fatalf("sync %d: Join after it failed: %v", n, err)
	}
	if err := s.Close(); err != failure {
		t.Fatalf("sync %d: Close after it failed: %v", n, err)
	}
	got, err := read(openForTest(t, disk.CrashClone(vfs.CrashCloneCfg{})))
	if err != nil || !got.equal(acknowledged) {
		t.Fatalf("sync %d: after a crash the store holds %s, %v; acknowledged was %s", n, got, err, acknowledged)
	}
	return true
}

// saveRecovered turns a panic of Save into an error.
func saveRecovered(s *Store, w raft.Write) (err error) {
	if message := panicOf(func() { err = saveAndAttest(s, w) }); message != "" {
		return errors.New(message)
	}
	return err
}

func TestFailureInTheBackgroundStopsTheStore(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			return syscall.ENOSPC
		}
		return nil
	}))
	fatal := make(chan string, 10)
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(message string) { fatal <- message }})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(commands(1, 1, 3)...))
	full.Store(true)
	if _, err := s.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	if message := <-fatal; !strings.Contains(message, testDir) || !strings.Contains(message, "free some space") {
		t.Errorf("the process is ended with %q", message)
	}
	if err := s.Save([]raft.Write{write(commands(1, 4, 4)...)}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save after a failed flush: %v", err)
	}
}

// TestCloseDoesNotWaitForWhatFailsMeanwhile lets a flush fail after Close has
// found nothing wrong: Pebble waits for the flush, and the flush has been stopped
// for good.
func TestCloseDoesNotWaitForWhatFailsMeanwhile(t *testing.T) {
	var s *Store
	var err error
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !full.Load() || op.Kind != errorfs.OpCreate || !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		for closed := false; !closed; {
			s.writing.Lock()
			closed = s.closed
			s.writing.Unlock()
		}
		return syscall.ENOSPC
	}))
	s, err = Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(commands(1, 1, 3)...))
	full.Store(true)
	if _, err := s.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Close: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close does not return")
	}
}

func TestFailureEndsTheProcessWithOneClearLine(t *testing.T) {
	for on, want := range map[string]string{
		"sync":     "input/output error (check the disk, then start the node again)",
		"rotation": "no space left on device (free some space on the disk, then start the node again)",
	} {
		t.Run(on, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			process := exec.Command(os.Args[0])
			process.Env = append(os.Environ(), failDirVariable+"="+dir, failOnVariable+"="+on)
			var output bytes.Buffer
			process.Stdout, process.Stderr = &output, &output
			err := process.Run()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 1 {
				t.Errorf("the process ended with %v", err)
			}
			lines := strings.Split(strings.TrimSpace(output.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, want) || !strings.Contains(last, dir) {
				t.Errorf("the process said:\n%s", &output)
			}
			if strings.Contains(output.String(), "goroutine") {
				t.Errorf("the process ended with a stack trace:\n%s", &output)
			}
		})
	}
}
