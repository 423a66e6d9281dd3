package kv

import (
	"bytes"
	"errors"
	"testing"

	"balsa/raft"
)

// FuzzRecords reads the same payload as every kind of record in the store, with
// a checksum that is right. Each kind has one form only: what is read must be
// written as it was. What is not understood is damage, and nothing else.
func FuzzRecords(f *testing.F) {
	value := make([]byte, valueHeader+1)
	putValue(value, appliedKey, 7, []byte("x"))
	id := make([]byte, entryIDSize)
	putEntryID(id, appliedKey, raft.EntryID{Term: 3, Index: 7})
	l := logBuilder{term: 1}
	l.configuration(3)
	for _, record := range [][]byte{value, id, encodeConfiguration(5, l.entries[0].Data), encodeIdentity(testIdentity), {1, 2, 3, 4}} {
		f.Add(record[sealSize:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		record := func(key []byte) []byte {
			b := append(make([]byte, sealSize), payload...)
			seal(key, b)
			return b
		}
		if revision, value, err := openValue(appliedKey, record(appliedKey)); understood(t, err) {
			again := make([]byte, valueHeader+len(value))
			putValue(again, appliedKey, revision, value)
			sameRecord(t, record(appliedKey), again)
		}
		if id, err := openEntryID(appliedKey, record(appliedKey)); understood(t, err) {
			again := make([]byte, entryIDSize)
			putEntryID(again, appliedKey, id)
			sameRecord(t, record(appliedKey), again)
		}
		if c, err := openConfiguration(record(configurationKey)); understood(t, err) {
			sameRecord(t, record(configurationKey), encodeConfiguration(c.Index, c.Configuration.Encode()))
		}
		if id, err := decodeIdentity(record(identityKey)); err == nil || !errors.Is(err, ErrWrongIdentity) && understood(t, err) {
			sameRecord(t, record(identityKey), encodeIdentity(id))
		}
		// The checksum covers the key.
		if _, err := unseal(identityKey, record(appliedKey)); err == nil {
			t.Errorf("the record of another key is taken for this one's: %x", payload)
		}
		_, _ = unseal(appliedKey, payload) // must not panic
	})
}

// understood reports whether a record was read. If not, it must be damaged.
func understood(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v does not wrap ErrCorrupt", err)
	}
	return err == nil
}

func sameRecord(t *testing.T, stored, again []byte) {
	t.Helper()
	if !bytes.Equal(stored, again) {
		t.Errorf("%x was read, and is written as %x", stored, again)
	}
}
