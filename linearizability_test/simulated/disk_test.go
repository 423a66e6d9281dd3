package simulated_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a server's disk as one process sees it. When the process ends, the next
// one gets a disk of its own, with what is left of this one.
type disk struct {
	mem *vfs.MemFS
	// fs is mem with the faults in front of it.
	fs vfs.FS
	// lies says that syncing is reported and not done.
	lies bool

	// cloning is held while a copy is made and while a file is linked: MemFS
	// would wait for itself for ever.
	cloning sync.Mutex
	rng     *rand.Rand // guarded by cloning

	// mended says that nothing fails any more.
	mended atomic.Bool
	mu     sync.Mutex
	trap   *trap
}

// trap goes off at one of the next operations that change the disk.
type trap struct {
	// part is what the path of such an operation contains.
	part string
	// meant, unless it is nil, says which of those operations count.
	meant func(errorfs.Op) bool
	// after is how many of them are let pass.
	after int
	// spring says what becomes of the operation. It is called without locks.
	spring func(errorfs.Op) error
}

func newDisk(mem *vfs.MemFS, rng *rand.Rand, lies bool) *disk {
	d := &disk{mem: mem, rng: rng, lies: lies}
	var files vfs.FS = apart{mem, &d.cloning}
	if lies {
		files = lyingFS{files}
	}
	d.fs = errorfs.Wrap(files, errorfs.InjectorFunc(d.operation))
	return d
}

// clone returns what is left of the disk after a power failure, with so many
// percent of the blocks and names that had not been synced.
func (d *disk) clone(unsyncedPercent int) *vfs.MemFS {
	d.cloning.Lock()
	defer d.cloning.Unlock()
	return d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: d.rng})
}

func (d *disk) set(t *trap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trap = t
}

// mend ends all faults of the disk for good.
func (d *disk) mend() { d.mended.Store(true) }

// operation is called before every operation on the disk.
func (d *disk) operation(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || d.mended.Load() {
		return nil
	}
	d.mu.Lock()
	t := d.trap
	if t == nil || !strings.Contains(op.Path, t.part) || t.meant != nil && !t.meant(op) {
		d.mu.Unlock()
		return nil
	}
	if t.after > 0 {
		t.after--
		d.mu.Unlock()
		return nil
	}
	d.trap = nil
	d.mu.Unlock()
	return t.spring(op)
}

// mayFail says for which operations Pebble survives an error in a process that
// goes on for a moment. A real process ends there; here it would take all other
// servers along. (A failure of the rest is tested in processes of their own, in
// the packages of the two stores.)
func mayFail(op errorfs.Op) bool {
	table := strings.HasSuffix(op.Path, ".sst")
	switch op.Kind {
	case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData:
		return table || strings.HasSuffix(op.Path, ".log")
	case errorfs.OpCreate:
		return table
	}
	return false
}

// apart keeps apart what MemFS cannot do at the same time as a clone.
type apart struct {
	vfs.FS
	cloning *sync.Mutex
}

func (a apart) Link(oldname, newname string) error {
	a.cloning.Lock()
	defer a.cloning.Unlock()
	return a.FS.Link(oldname, newname)
}

func (a apart) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	a.cloning.Lock()
	defer a.cloning.Unlock()
	return a.FS.ReuseForWrite(oldname, newname, category)
}

// lyingFS is a disk that says "synced" when it is not: a bug to be caught.
type lyingFS struct{ vfs.FS }

type lyingFile struct{ vfs.File }

func (lyingFile) Sync() error                       { return nil }
func (lyingFile) SyncData() error                   { return nil }
func (lyingFile) SyncTo(length int64) (bool, error) { return false, nil }

func (l lyingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, category)
	return l.lie(name, f), err
}

func (l lyingFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.ReuseForWrite(oldname, newname, category)
	return l.lie(newname, f), err
}

// lie is told about the log only. On a disk that forgets everything not even the
// stores would open again.
func (lyingFS) lie(name string, f vfs.File) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return lyingFile{f}
}
