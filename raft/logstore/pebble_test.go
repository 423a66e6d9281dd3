package logstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestLogTellsTheOperatorWhatMattersAndNoMore(t *testing.T) {
	var output bytes.Buffer
	log := slog.New(slog.NewTextHandler(&output, nil))
	s, err := Open(testDir, Options{NodeID: 1, FS: vfs.NewMem(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(commands(1, 1, 10)...))
	if err := errors.Join(s.db.Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if output.Len() > 0 {
		t.Errorf("a store in good health logs:\n%s", &output)
	}

	listener := eventListener(log, newAlarm(testDir))
	listener.WriteStallBegin(pebble.WriteStallBeginInfo{Reason: "memtable count limit reached"})
	listener.WriteStallEnd()
	listener.LowDiskSpace(pebble.LowDiskSpaceInfo{PercentThreshold: 5})
	logger{log, newAlarm(testDir)}.Errorf("something %s", "odd")
	for _, want := range []string{
		`level=WARN msg="writes to the log are stalled" reason="memtable count limit reached"`,
		`level=WARN msg="writes to the log go on"`,
		`level=WARN msg="the disk of the log is nearly full"`,
		`level=ERROR msg="something odd"`,
	} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("no line %q in:\n%s", want, &output)
		}
	}
}

func TestPebblesOwnLogIsForDebugging(t *testing.T) {
	var output bytes.Buffer
	log := slog.New(slog.NewTextHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(testDir, Options{NodeID: 1, FS: vfs.NewMem(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(output.String(), "level=DEBUG") || strings.Contains(output.String(), "level=INFO") {
		t.Errorf("with debugging on, a store logs:\n%s", &output)
	}
}

func TestMetricsShowHowLongSyncsTake(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	mustSave(t, s, write(commands(1, 1, 10)...))
	if m := s.Metrics(); m.LogWriter.FsyncLatency == nil || m.WAL.BytesIn == 0 {
		t.Fatalf("metrics:\n%s", m)
	}
}
