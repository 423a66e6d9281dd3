package logstore

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// slowDisk is how long an operation of the file system may take before it is
// logged. By then the default election timeout has passed.
const slowDisk = time.Second

// watchDisk returns the file system that Pebble is to use: fs, or the operating
// system's if fs is nil, with every write and sync watched. The closer is for
// after Pebble was closed.
func watchDisk(fs vfs.FS, log *slog.Logger, a *alarm) (vfs.FS, io.Closer) {
	var closer io.Closer = io.NopCloser(nil)
	if fs == nil {
		fs, closer = vfs.WithDiskHealthChecks(vfs.Default, slowDisk, nil, func(info vfs.DiskSlowInfo) {
			log.Warn("the disk of the log is slow", "operation", info.String())
		})
	}
	return watchedFS{fs, a}, closer
}

// watchedFS raises the alarm at the first write or sync that fails, before
// Pebble hears of it. What Pebble does about it depends on where it is at that
// moment: some failures it returns, some it tries again without an end, and
// some end the process by the panic of a goroutine in the background or, worse,
// by the unlock of an unlocked mutex. None of that reads like "the disk is
// full" to whoever runs the node.
type watchedFS struct {
	vfs.FS
	alarm *alarm
}

// watchedFile is a file of a watchedFS.
type watchedFile struct {
	vfs.File
	name  string
	alarm *alarm
}

// checkDisk raises the alarm if the operation failed, and returns err.
func checkDisk(a *alarm, operation, name string, err error) error {
	if err == nil {
		return nil
	}
	remedy := "check the disk, then start the node again"
	if vfs.IsNoSpaceError(err) {
		remedy = "free some space on the disk, then start the node again"
	}
	a.raise(fmt.Errorf("%s %q: %w (%s)", operation, name, err, remedy))
	return err
}

func (w watchedFS) Unwrap() vfs.FS { return w.FS }

func (w watchedFS) watch(f vfs.File, operation, name string, err error) (vfs.File, error) {
	if err := checkDisk(w.alarm, operation, name, err); err != nil {
		return nil, err
	}
	return watchedFile{f, name, w.alarm}, nil
}

func (w watchedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	return w.watch(f, "creating", name, err)
}

func (w watchedFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(old, name, category)
	return w.watch(f, "reusing a file as", name, err)
}

func (w watchedFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := w.FS.OpenReadWrite(name, category, opts...)
	return w.watch(f, "opening", name, err)
}

func (w watchedFS) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	return w.watch(f, "opening directory", name, err)
}

func (w watchedFS) Rename(old, name string) error {
	return checkDisk(w.alarm, "renaming a file to", name, w.FS.Rename(old, name))
}

func (f watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, checkDisk(f.alarm, "writing", f.name, err)
}

func (f watchedFile) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(p, offset)
	return n, checkDisk(f.alarm, "writing", f.name, err)
}

func (f watchedFile) Sync() error {
	return checkDisk(f.alarm, "syncing", f.name, f.File.Sync())
}

func (f watchedFile) SyncData() error {
	return checkDisk(f.alarm, "syncing", f.name, f.File.SyncData())
}

func (f watchedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, checkDisk(f.alarm, "syncing", f.name, err)
}
