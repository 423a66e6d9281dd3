package logstore

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The memory that a store takes, in bytes: up to memTables * memTableSize for
// what is not flushed yet (usually two of them), blockCache for what is read
// back, and maxBatch for the batch that is kept for the next Save.
//
// On disk, the write-ahead logs take up to (memTables+2) * memTableSize for good:
// they are used again.
const (
	memTableSize = 32 << 20
	memTables    = 4
	blockCache   = 8 << 20
	maxBatch     = 4 << 20

	// maxOpenFiles bounds the table files that are open at a time. A log is read
	// in order, so few are needed.
	maxOpenFiles = 256
	// blockSize is large because nearly all reads are of runs of entries.
	blockSize = 32 << 10
	// tableSize is the size of the files that a flush makes.
	tableSize = 16 << 20
	// flushesToMerge is after how many flushes Pebble merges what they have made.
	// It is many because the entries need it never: they are written in order, and
	// their files do not overlap. Only the few other keys do, and when it merges
	// those, Pebble takes the entries along.
	flushesToMerge = 16
)

// pebbleOptions returns how Pebble is set up for a log.
func pebbleOptions(fs vfs.FS, lock *pebble.Lock, log *slog.Logger, a *alarm) *pebble.Options {
	o := &pebble.Options{
		FS:   fs,
		Lock: lock,
		// By name, and not the newest or the default, which is the oldest: only
		// since FormatWALSyncChunks can damage in the middle of the write-ahead
		// log be told from its end, and a format is changed deliberately.
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      logger{log, a},
		EventListener:               eventListener(log, a),
		CacheSize:                   blockCache,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		MaxOpenFiles:                maxOpenFiles,
	}
	// Table files hold either entries or something else. The other keys are before
	// and after all entries: a file that holds some of them, too, would overlap
	// the entries of every other file, and Pebble would merge them all the time.
	entries := pebble.KeyRange{Start: []byte{entryPrefix}, End: prefixEnd(entryPrefix)}
	o.Experimental.SpanPolicyFunc = pebble.MakeStaticSpanPolicyFunc(bytes.Compare, entries, pebble.SpanPolicy{})
	// Statistics of the files serve to free space, which the reclaimer does. To
	// collect them, Pebble would read the files in the background.
	o.DisableTableStats = true
	o.L0CompactionThreshold = flushesToMerge
	o.L0StopWritesThreshold = 4 * flushesToMerge
	o.Levels[0].BlockSize = blockSize
	o.TargetFileSizes[0] = tableSize
	// Compression costs more time than it saves for data that is written once,
	// seldom read and soon removed.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return o
}

// firstLine is what an operator can use of Pebble's account of some damage. The
// rest are Go stack traces.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// logger is what Pebble logs to. Its information is of use only to those who
// look into Pebble.
type logger struct {
	log   *slog.Logger
	alarm *alarm
}

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	l.alarm.raise(fmt.Errorf(format, args...))
}

// eventListener logs what an operator can do something about. Pebble calls it
// while it holds locks, so it must not call Pebble.
func eventListener(log *slog.Logger, a *alarm) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if pebble.IsCorruptionError(err) {
				err = readError(a.dir, 0, err)
			} else {
				err = fmt.Errorf("a flush or compaction failed: %w", err)
			}
			a.raise(err)
			// Pebble would try again at once and without an end.
			select {}
		},
		// The read that met the damage, or the compaction, reports the error.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("a file of the log is damaged", "file", info.Path, "detail", firstLine(info.Details))
		},
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			log.Warn("the disk of the log is nearly full", "space", info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			log.Warn("writes to the log are stalled", "reason", info.Reason)
		},
		WriteStallEnd: func() {
			log.Warn("writes to the log go on")
		},
	}
}
