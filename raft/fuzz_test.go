package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
)

// FuzzDecodeEntry looks for bytes that are taken for an entry, and that no
// encoder has made. The checksum is put right first, or hardly any input would
// come past it.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(NewEntry(EntryID{3, 7}, EntryCommand, []byte("x")).Encoded(), true)
	f.Add(NewEntry(EntryID{3, 7}, EntryNoop, nil).Encoded(), true)
	f.Add(append(NewEntry(EntryID{1, 1}, EntryConfiguration, testConfiguration(3).Encode()).Encoded(), 1, 2, 3), true)
	f.Add(NewEntry(EntryID{3, 7}, EntryCommand, []byte("x")).Encoded()[:20], false)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend && len(b) >= EntryOverhead {
			b = bytes.Clone(b)
			size := min(EntryOverhead+int(binary.LittleEndian.Uint32(b[4:])), len(b))
			binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:size], castagnoli))
		}
		e, rest, err := DecodeEntry(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		again := NewEntry(e.ID(), e.Kind, e.Data).Encoded()
		if !bytes.Equal(append(bytes.Clone(again), rest...), b) || !bytes.Equal(e.Encoded(), again) || e.Size() != len(again) {
			t.Fatalf("decoded from %x, encodes to %x, and %x follows", b, again, rest)
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	s := Snapshot{Last: EntryID{3, 17}, Configuration: IndexedConfiguration{9, everyKindOfMember()}}
	f.Add(s.AppendTo(nil))
	f.Add(s.AppendTo(nil)[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSnapshot(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		if again := s.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("decoded from %x, encodes to %x", b, again)
		}
	})
}
