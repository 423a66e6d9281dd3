package logstore

import (
	"bufio"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

func TestOpenOnARealDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	entries := commands(1, 1, 100)
	for round := range 2 {
		s, err := Open(dir, Options{NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			mustSave(t, s, write(entries...))
		}
		mustContain(t, s, inTerm(1), entries)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecondOpenInTheSameProcessIsRefused(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": nil} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			s, err := Open(dir, Options{NodeID: 1, FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{NodeID: 1, FS: fs}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("second Open: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err = Open(dir, Options{NodeID: 1, FS: fs})
			if err != nil {
				t.Fatalf("Open after Close: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDirectoryOfAnotherProcessIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdDirVariable+"="+dir)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}

	if _, err := Open(dir, Options{NodeID: 1}); !errors.Is(err, ErrInUse) {
		t.Errorf("Open of a directory that another process uses: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{NodeID: 1})
	if err != nil {
		t.Fatalf("Open after the other process ended: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryThatCannotBeCreated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "log"), Options{NodeID: 1})
	if err == nil || errors.Is(err, ErrInUse) || !errors.Is(err, syscall.ENOTDIR) {
		t.Fatalf("Open below a file: %v", err)
	}
}

func TestStoreOfAnotherNodeIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 3)...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(testDir, Options{NodeID: 2, FS: fs})
	wrong, ok := errors.AsType[*WrongNodeError](err)
	if !ok || wrong.Stored != 1 || wrong.Given != 2 || !strings.Contains(err.Error(), "--id 1") {
		t.Fatalf("Open as node 2: %v", err)
	}
	mustContain(t, openForTest(t, fs), inTerm(1), commands(1, 1, 3))
}

func TestNodeIDIsRequired(t *testing.T) {
	fs := vfs.NewMem()
	if _, err := Open(testDir, Options{FS: fs}); err == nil {
		t.Fatal("opened the store of nobody")
	}
	if _, err := fs.Stat("data"); err == nil {
		t.Fatal("the refused Open has created the directory")
	}
}

// tamper changes the database of a closed store.
func tamper(t testing.TB, fs vfs.FS, change func(db *pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open(testDir, &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatNewest,
		Logger: logger{slog.New(slog.DiscardHandler), newAlarm(testDir)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// storeWith returns a file system with a closed store that holds the entries.
func storeWith(t testing.TB, entries ...raft.Entry) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustSave(t, s, write(entries...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestUnknownLayoutIsRefused(t *testing.T) {
	fs := storeWith(t, commands(1, 1, 3)...)
	tamper(t, fs, func(db *pebble.DB) error {
		return db.Set(formatKey, sealRecord(formatKey, encodeFormat(7)), pebble.Sync)
	})
	_, err := Open(testDir, Options{NodeID: 1, FS: fs})
	format, ok := errors.AsType[*FormatError](err)
	if !ok || format.Stored != 7 || format.Known != formatVersion {
		t.Fatalf("Open of layout version 7: %v", err)
	}
}

func TestStoreUsesTheFormatThatProtectsItsWriteAheadLog(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	if got := s.db.FormatMajorVersion(); got != pebble.FormatValueSeparation || got < pebble.FormatWALSyncChunks {
		t.Fatalf("Pebble's format is %s", got)
	}
}

// TestOpenOnAFailingDisk fails the nth operation that writes, and all after it,
// for every n that an Open gets to: of a new store, and of one with a
// write-ahead log to replay and flush. Pebble alone tries that flush again and
// again, without an end.
func TestOpenOnAFailingDisk(t *testing.T) {
	for name, test := range map[string]struct {
		image *vfs.MemFS
		fault syscall.Errno
	}{
		"full, new store":      {vfs.NewCrashableMem(), syscall.ENOSPC},
		"full, after a crash":  {crashedStore(t), syscall.ENOSPC},
		"error, new store":     {vfs.NewCrashableMem(), syscall.EIO},
		"error, after a crash": {crashedStore(t), syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			var disks []*failingDisk
			for n := int64(1); ; n++ {
				disk := &failingDisk{from: n, fault: test.fault}
				if !openOn(t, disk, test.image.CrashClone(vfs.CrashCloneCfg{})) {
					break
				}
				disks = append(disks, disk)
			}
			if len(disks) < 10 {
				t.Fatalf("only %d operations of Open write", len(disks))
			}
			t.Logf("%d operations failed in turn", len(disks))
			// A goroutine that tries without an end has had time to show it. (A
			// compaction after Open may create its table twice, because a full
			// disk gets a second chance.)
			for _, disk := range disks {
				if tables := disk.tables.Load(); tables > 2 {
					t.Errorf("disk failing from operation %d: %d attempts to write a table", disk.from, tables)
				}
			}
		})
	}
}

// failingDisk makes every writing operation fail, from one of them on.
type failingDisk struct {
	from  int64
	fault syscall.Errno

	operations, tables atomic.Int64
	mended             atomic.Bool
}

func (d *failingDisk) MaybeError(op errorfs.Op) error {
	if d.mended.Load() || !writes(op) || d.operations.Add(1) < d.from {
		return nil
	}
	if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
		d.tables.Add(1)
	}
	return d.fault
}

func (d *failingDisk) String() string { return "failing disk" }

// writes reports whether the operation can meet a full disk.
func writes(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpMkdirAll, errorfs.OpRename, errorfs.OpFileSync, errorfs.OpFileSyncData:
		return true
	}
	return false
}

// openOn opens the store on a failing disk and checks what comes of it. It
// reports whether Open met the fault at all.
func openOn(t *testing.T, disk *failingDisk, image vfs.FS) bool {
	t.Helper()
	fatal := make(chan string, 100)
	opened := make(chan error, 1)
	var s *Store
	go func() {
		var err error
		s, err = Open(testDir, Options{
			NodeID: 1, FS: errorfs.Wrap(image, disk), Fatal: func(message string) { fatal <- message },
		})
		opened <- err
	}()
	select {
	case <-time.After(time.Minute):
		t.Fatalf("disk failing from operation %d: Open does not return", disk.from)
	case err := <-opened:
		if err != nil {
			if !strings.Contains(err.Error(), disk.fault.Error()) || !strings.Contains(err.Error(), testDir) {
				t.Fatalf("disk failing from operation %d: %v", disk.from, err)
			}
			return true
		}
	}
	if disk.operations.Load() >= disk.from {
		// Open had returned when a compaction met the fault.
		if message := <-fatal; !strings.Contains(message, disk.fault.Error()) {
			t.Fatalf("disk failing from operation %d: %s", disk.from, message)
		}
		return true
	}
	disk.mended.Store(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return false
}

// crashedStore returns the disk of a store after a power failure: its entries
// are in the write-ahead log only.
func crashedStore(t *testing.T) *vfs.MemFS {
	fs := vfs.NewCrashableMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 50)...))
	return fs.CrashClone(vfs.CrashCloneCfg{})
}
