package kv

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

var largeState = flag.Int("large", 0, "size of the state that TestALargeState measures, in MiB; 0 leaves it out")

// fill applies puts of incompressible values until the state has so many bytes.
func fill(t testing.TB, s *State, bytes, valueSize int) {
	t.Helper()
	l := logBuilder{term: 1}
	l.configuration(3)
	mustApply(t, s, l.entries)
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, valueSize)
	var entries []raft.Entry
	for i := range bytes / valueSize {
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		c := command{kind: commandPut, key: fmt.Appendf(nil, "key%010d", i), value: value}
		id := raft.EntryID{Term: 1, Index: raft.Index(i + 2)}
		if entries = append(entries, raft.NewEntry(id, raft.EntryCommand, c.encode())); len(entries) == 256 {
			mustApply(t, s, entries)
			entries = entries[:0]
		}
	}
	mustApply(t, s, entries)
}

var snapshotValueSizes = []int{128, 4096}

// BenchmarkSource reads a state of 64 MiB chunk by chunk, from memory.
func BenchmarkSource(b *testing.B) {
	for _, size := range snapshotValueSizes {
		b.Run(fmt.Sprintf("values=%d", size), func(b *testing.B) {
			opts := testOptions(b, vfs.NewMem())
			opts.CacheBytes, opts.MemTableBytes = 0, 0
			s := mustOpen(b, opts)
			fill(b, s, 64<<20, size)
			src := mustSnapshot(b, s)
			for b.Loop() {
				c, err := src.Next()
				if err == nil && c.Last {
					err = src.Seek(node.Position{})
				}
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(c.Data)))
			}
		})
	}
}

// BenchmarkSink writes chunks of a state of 64 MiB to a disk.
func BenchmarkSink(b *testing.B) {
	for _, size := range snapshotValueSizes {
		b.Run(fmt.Sprintf("values=%d", size), func(b *testing.B) {
			opts := testOptions(b, vfs.NewMem())
			opts.CacheBytes, opts.MemTableBytes = 0, 0
			leader := mustOpen(b, opts)
			fill(b, leader, 64<<20, size)
			src := mustSnapshot(b, leader)
			all := chunks(b, src, node.Position{})
			s, err := OpenState(b.TempDir(), testOptions(b, nil))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var k *sink
			i := len(all)
			for id := byte(0); b.Loop(); i++ {
				if i == len(all) {
					i, id = 0, id+1
					k = mustReceive(b, s, offerOf(src, id))
				}
				if err := k.Write(all[i]); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(all[i].Data)))
			}
		})
	}
}

// TestALargeState measures what a state of -large MiB costs on a real disk. It
// asserts nothing: run it with -v.
func TestALargeState(t *testing.T) {
	if *largeState == 0 {
		t.Skip("measures only; run it with -v -large=1024")
	}
	for _, valueSize := range snapshotValueSizes {
		t.Run(fmt.Sprintf("values=%d", valueSize), func(t *testing.T) { measureLargeState(t, valueSize) })
	}
}

func measureLargeState(t *testing.T, valueSize int) {
	total := *largeState << 20
	// A small cache, so that what is measured is not the cache.
	opts := Options{Identity: testIdentity, CacheBytes: 16 << 20, Fatal: func(err error) { t.Error(err) }}
	dir := t.TempDir()
	open := func(name string) (*State, time.Duration) {
		start := time.Now()
		s, err := OpenState(dir+"/"+name, opts)
		if err != nil {
			t.Fatal(err)
		}
		return s, time.Since(start)
	}
	rate := func(d time.Duration) string {
		return fmt.Sprintf("%s, %.0f MiB/s", d.Round(time.Millisecond), float64(total)/d.Seconds()/(1<<20))
	}
	leader, _ := open("leader")
	fill(t, leader, total, valueSize)
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	leader, opened := open("leader")
	defer leader.Close()
	t.Logf("opened in %s", opened.Round(time.Millisecond))
	follower, _ := open("follower")

	start := time.Now()
	src := mustSnapshot(t, leader)
	t.Logf("picture taken in %s, announced as %d MiB", time.Since(start).Round(time.Millisecond), src.Size()>>20)
	before := residentMiB(t)
	k := mustReceive(t, follower, offerOf(src, 1))
	var reading, writing time.Duration
	var bytes, peak int
	for last := false; !last; {
		start := time.Now()
		c, err := src.Next()
		if err != nil {
			t.Fatal(err)
		}
		read := time.Now()
		reading += read.Sub(start)
		if err := k.Write(c); err != nil {
			t.Fatal(err)
		}
		writing += time.Since(read)
		bytes, last = bytes+len(c.Data), c.Last
		peak = max(peak, residentMiB(t))
	}
	start = time.Now()
	if err := k.Finish(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB in %d tables; read: %s; written: %s; finished: %s",
		bytes>>20, len(k.tables), rate(reading), rate(writing), time.Since(start).Round(time.Millisecond))
	t.Logf("resident: %d MiB before, at most %d MiB during the transfer, both sides together", before, peak)
	start = time.Now()
	if err := follower.Install(k); err != nil {
		t.Fatal(err)
	}
	t.Logf("installed in %s", time.Since(start).Round(time.Millisecond))
	if err := follower.Close(); err != nil {
		t.Fatal(err)
	}
	follower, opened = open("follower")
	defer follower.Close()
	t.Logf("opened after that in %s", opened.Round(time.Millisecond))
}

// residentMiB returns how much memory the process occupies.
func residentMiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("the memory of the process can be read on Linux only")
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib := 0
	if _, err := fmt.Sscan(strings.TrimSpace(string(rest[:min(len(rest), 30)])), &kib); err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}
