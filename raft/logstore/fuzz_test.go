package logstore

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// FuzzRecords reads the same payload as every kind of record. Each kind has one
// form only: what is read must be written as it was.
func FuzzRecords(f *testing.F) {
	for _, payload := range [][]byte{
		encodeFormat(formatVersion),
		encodeHardState(raft.HardState{CurrentTerm: 3, VotedFor: 2, Promised: true}),
		encodeEntryID(raft.EntryID{Term: 3, Index: 7}),
		encodeIdentity(Identity{NodeID: 1, InstanceID: raft.InstanceID{2}, ClusterID: clusterA}),
		configuration(1, 2, 3).Encode(),
		{},
	} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := openRecord(startKey, sealRecord(startKey, payload))
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%x was sealed, and is opened as %x, %v", payload, got, err)
		}
		// Without its own checksum in front, or under another key, it is damaged.
		if opened, err := openRecord(identityKey, sealRecord(startKey, payload)); err == nil {
			t.Fatalf("the record of another key is opened as %x", opened)
		}
		_, _ = openRecord(startKey, payload) // must not panic

		again(t, payload, decodeFormat, encodeFormat)
		again(t, payload, decodeHardState, encodeHardState)
		again(t, payload, decodeEntryID, encodeEntryID)
		again(t, payload, decodeIdentity, encodeIdentity)
	})
}

// again checks that what decode makes of a payload encode turns into it again.
func again[T any](t *testing.T, payload []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	t.Helper()
	v, err := decode(payload)
	if err != nil {
		if !errors.Is(err, raft.ErrCorrupt) {
			t.Errorf("error %v does not wrap ErrCorrupt", err)
		}
		return
	}
	if written := encode(v); !bytes.Equal(written, payload) {
		t.Errorf("%x was read as %+v, which is written as %x", payload, v, written)
	}
}

// FuzzStored puts something else in the place of one of the things that a store
// holds, sound as far as its checksum goes, and opens the store. It must open or
// say what is wrong, and so must everything that a node reads when it starts.
func FuzzStored(f *testing.F) {
	keys := [][]byte{
		formatKey, identityKey, hardStateKey, startKey,
		indexKey(configurationPrefix, 1), indexKey(entryPrefix, 2), indexKey(entryPrefix, 9), []byte("e"), []byte("c1"),
	}
	f.Add(uint8(0), encodeFormat(formatVersion+1), true)
	f.Add(uint8(1), encodeIdentity(Identity{NodeID: 2}), true)
	f.Add(uint8(2), encodeHardState(raft.HardState{CurrentTerm: 1}), true)
	f.Add(uint8(3), encodeEntryID(raft.EntryID{Term: 1, Index: 2}), true)
	f.Add(uint8(3), encodeEntryID(raft.EntryID{Term: 1, Index: 70}), true)
	f.Add(uint8(4), configuration(7).Encode(), true)
	f.Add(uint8(5), command(1, 2, "another").Encoded(), false)
	f.Add(uint8(6), command(1, 9, "beyond a gap").Encoded(), false)
	f.Add(uint8(7), []byte{}, false)
	f.Add(uint8(8), []byte{}, false)
	f.Fuzz(func(t *testing.T, which uint8, value []byte, seal bool) {
		key := keys[int(which)%len(keys)]
		if seal {
			value = sealRecord(key, value)
		}
		fs := vfs.NewMem()
		s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(message string) { t.Error(message) }})
		if err != nil {
			t.Fatal(err)
		}
		writes := []raft.Write{{HardState: raft.FoundingHardState(), Entries: []raft.Entry{founding(t)}}, write(commands(1, 2, 4)...)}
		err = errors.Join(s.Save(writes), s.db.Set(key, value, pebble.Sync), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		s, err = Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(message string) { t.Error(message) }})
		if err != nil {
			return // it says what is wrong
		}
		defer s.Close()
		_, log, err := s.State()
		if err != nil {
			return
		}
		entries, err := s.Entries(log.Start.Index+1, log.Last, 1<<20)
		for i, e := range entries {
			if want := log.Start.Index + 1 + raft.Index(i); e.Index != want {
				t.Errorf("entry %d is in the place of %d", e.Index, want)
			}
		}
		if err == nil && len(entries) == 0 && log.Last > log.Start.Index {
			t.Errorf("a log from %d to %d has no entries", log.Start.Index+1, log.Last)
		}
	})
}
