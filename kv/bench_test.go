package kv

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// benchmarkApply applies batches of 64 commands that make makes, and reports
// time and allocations per entry.
func benchmarkApply(b *testing.B, make func(i int) command) {
	opts := testOptions(b, vfs.NewMem())
	opts.CacheBytes, opts.MemTableBytes = 0, 0
	s := mustOpen(b, opts)
	const batch = 64
	commands := [1024][]byte{}
	for i := range commands {
		commands[i] = make(i).encode()
	}
	entries := [batch]raft.Entry{}
	index := raft.Index(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range entries {
			index++
			id := raft.EntryID{Term: 1, Index: index}
			entries[i] = raft.NewEntry(id, raft.EntryCommand, commands[int(index)%len(commands)])
		}
		b.StartTimer()
		if _, err := s.Apply(entries[:]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
}

func key(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }

func BenchmarkApplyPut(b *testing.B) {
	benchmarkApply(b, func(i int) command {
		return command{kind: commandPut, key: key(i), value: make([]byte, 128)}
	})
}

func BenchmarkApplyCompareAndSet(b *testing.B) {
	benchmarkApply(b, func(i int) command {
		return command{kind: commandCompareAndSet, key: key(i), value: make([]byte, 128)}
	})
}

func BenchmarkApplyMixed(b *testing.B) {
	kinds := []commandKind{commandPut, commandPut, commandCompareAndSet, commandDelete}
	benchmarkApply(b, func(i int) command {
		c := command{kind: kinds[i%len(kinds)], key: key(i)}
		if c.kind.sets() {
			c.value = make([]byte, 128)
		}
		return c
	})
}

func BenchmarkGet(b *testing.B) {
	s := openMem(b)
	var commands []command
	for i := range 1024 {
		commands = append(commands, command{kind: commandPut, key: key(i), value: make([]byte, 128)})
	}
	mustApply(b, s, logOf(commands...))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, _, err := s.Get(commands[i%1024].key); err != nil {
			b.Fatal(err)
		}
	}
}
