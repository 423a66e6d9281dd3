package logstore

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// entrySize is the size of the commands that the benchmarks write, in bytes.
const entrySize = 128

// openForBenchmark opens a store on a real disk.
func openForBenchmark(b *testing.B, dir string) *Store {
	b.Helper()
	s, err := Open(dir, Options{NodeID: 1})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkSave makes batches durable one after the other, and with overlap, as a
// node does under load: the witness of a batch is synced while the log is busy with
// the next one.
func BenchmarkSave(b *testing.B) {
	for _, batch := range []int{1, 64, 1024} {
		for _, mode := range []string{"lazy", "strict", "strict-overlapped"} {
			b.Run(fmt.Sprintf("entries=%d/%s", batch, mode), func(b *testing.B) {
				s, err := Open(filepath.Join(b.TempDir(), "log"), Options{NodeID: 1, LazyWitness: mode == "lazy"})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				benchmarkSave(b, s, batch, mode == "strict-overlapped")
			})
		}
	}
}

func benchmarkSave(b *testing.B, s *Store, batch int, overlapped bool) {
	data := []byte(strings.Repeat("x", entrySize))
	before := s.Stats()
	next := raft.Index(1)
	entries := make([]raft.Entry, batch)
	attested := make(chan error, 1)
	attested <- nil
	b.SetBytes(int64(batch * entrySize))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range entries {
			entries[i] = raft.NewEntry(raft.EntryID{Term: 1, Index: next}, raft.EntryCommand, data)
			next++
		}
		writes := []raft.Write{write(entries...)}
		b.StartTimer()
		if err := s.Save(writes); err != nil {
			b.Fatal(err)
		}
		if err := <-attested; err != nil {
			b.Fatal(err)
		}
		if overlapped {
			go func() { attested <- s.Attest() }()
		} else {
			attested <- s.Attest()
		}
	}
	if err := <-attested; err != nil {
		b.Fatal(err)
	}
	after := s.Stats()
	b.ReportMetric(float64(after.Syncs-before.Syncs)/float64(b.N), "fsyncs/op")
	b.ReportMetric(float64(after.WitnessSyncs-before.WitnessSyncs)/float64(b.N), "witness-fsyncs/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(after.Entries-before.Entries), "ns/entry")
}

// BenchmarkEntries reads runs of entries back, from all over the log: after a
// flush, as a follower that lags behind needs it, and before.
func BenchmarkEntries(b *testing.B) {
	const length, run = 100_000, 64
	for _, flushed := range []bool{false, true} {
		b.Run(fmt.Sprintf("flushed=%t", flushed), func(b *testing.B) {
			s := openForBenchmark(b, filepath.Join(b.TempDir(), "log"))
			defer s.Close()
			data := []byte(strings.Repeat("x", entrySize))
			for next := raft.Index(1); next <= length; {
				var entries []raft.Entry
				for ; len(entries) < 1000; next++ {
					entries = append(entries, raft.NewEntry(raft.EntryID{Term: 1, Index: next}, raft.EntryCommand, data))
				}
				mustSave(b, s, write(entries...))
			}
			if flushed {
				if err := s.db.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(run * entrySize)
			b.ReportAllocs()
			first := raft.Index(1)
			for b.Loop() {
				first = 1 + (first+7919)%(length-run)
				got, err := s.Entries(first, first+run-1, 1<<20)
				if err != nil || len(got) != run {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// fillForBenchmark saves a configuration and entries up to last.
func fillForBenchmark(b *testing.B, s *Store, next, last raft.Index) {
	b.Helper()
	if next == 1 {
		mustSave(b, s, write(configurationEntry(1, 1, 1)))
		next = 2
	}
	data := []byte(strings.Repeat("x", entrySize))
	for next <= last {
		var entries []raft.Entry
		for ; len(entries) < 1000 && next <= last; next++ {
			entries = append(entries, raft.NewEntry(raft.EntryID{Term: 1, Index: next}, raft.EntryCommand, data))
		}
		mustSave(b, s, write(entries...))
	}
}

// BenchmarkCompact compacts so many entries at a time. A million of them take a
// second to write, which is not timed: use -benchtime=10x.
func BenchmarkCompact(b *testing.B) {
	for _, count := range []raft.Index{1000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			s := openForBenchmark(b, filepath.Join(b.TempDir(), "log"))
			defer s.Close()
			last := raft.Index(0)
			for b.Loop() {
				b.StopTimer()
				fillForBenchmark(b, s, last+1, last+count)
				last += count
				b.StartTimer()
				mustCompact(b, s, 1, last)
			}
		})
	}
}

// BenchmarkSaveBesideCompaction saves single entries, with and without a million
// entries being freed at the same time.
func BenchmarkSaveBesideCompaction(b *testing.B) {
	const length = 1_000_000
	for _, compacting := range []bool{false, true} {
		b.Run(fmt.Sprintf("compacting=%t", compacting), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "log")
			s := openForBenchmark(b, dir)
			defer s.Close()
			fillForBenchmark(b, s, 1, length)
			data := []byte(strings.Repeat("x", entrySize))
			before := tableBytes(b, vfs.Default, dir)
			if compacting {
				mustCompact(b, s, 1, length-1000)
			}
			next := raft.Index(length + 1)
			latencies := make([]time.Duration, 0, 100_000)
			for b.Loop() {
				e := raft.NewEntry(raft.EntryID{Term: 1, Index: next}, raft.EntryCommand, data)
				start := time.Now()
				mustSave(b, s, write(e))
				latencies = append(latencies, time.Since(start))
				next++
			}
			slices.Sort(latencies)
			n := len(latencies)
			for name, latency := range map[string]time.Duration{
				"p50-us": latencies[n/2], "p99-us": latencies[n*99/100], "max-us": latencies[n-1],
			} {
				b.ReportMetric(float64(latency.Microseconds()), name)
			}
			b.ReportMetric(float64(before>>20), "MiB-before")
			b.ReportMetric(float64(tableBytes(b, vfs.Default, dir)>>20), "MiB-after")
		})
	}
}

// BenchmarkOpen opens a log of a million entries and describes it.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	s := openForBenchmark(b, dir)
	data := []byte(strings.Repeat("x", entrySize))
	for next := raft.Index(1); next <= 1_000_000; {
		var entries []raft.Entry
		for ; len(entries) < 10_000; next++ {
			id := raft.EntryID{Term: 1 + raft.Term(next/100_000), Index: next}
			entries = append(entries, raft.NewEntry(id, raft.EntryCommand, data))
		}
		mustSave(b, s, write(entries...))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := openForBenchmark(b, dir)
		_, log, err := s.State()
		if err != nil || log.Last != 1_000_000 || len(log.Spans) != 11 {
			b.Fatal(log.Last, len(log.Spans), err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
