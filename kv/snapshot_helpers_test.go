package kv

import (
	"bytes"
	"testing"

	"balsa/raft"
	"balsa/raft/node"
)

// offerOf announces a snapshot under an ID that ends with the given byte.
func offerOf(src node.SnapshotSource, id byte) node.SnapshotOffer {
	return node.SnapshotOffer{
		ID: node.SnapshotID{15: id}, From: 2, To: 1, Term: 9, Snapshot: src.Snapshot(), Size: src.Size(),
	}
}

func mustSnapshot(t testing.TB, s *State) *source {
	t.Helper()
	src, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*source)
}

func mustReceive(t testing.TB, s *State, offer node.SnapshotOffer) *sink {
	t.Helper()
	k, err := s.Receive(offer)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*sink)
}

// send carries up to n chunks, or all of them if n is negative, from where the
// sink wants them. It reports whether the last one was among them.
func send(src node.SnapshotSource, k node.SnapshotSink, n int) (last bool, err error) {
	if err := src.Seek(k.Position()); err != nil {
		return false, err
	}
	for ; n != 0; n-- {
		c, err := src.Next()
		if err != nil {
			return false, err
		}
		if err := k.Write(c); err != nil || c.Last {
			return c.Last, err
		}
	}
	return false, nil
}

// mustTransfer carries what is missing of a snapshot, finishes it and installs it.
func mustTransfer(t testing.TB, src node.SnapshotSource, s *State, offer node.SnapshotOffer) {
	t.Helper()
	k := mustReceive(t, s, offer)
	if _, err := send(src, k, -1); err != nil {
		t.Fatal(err)
	}
	if err := k.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(k); err != nil {
		t.Fatal(err)
	}
}

// chunks returns copies of all chunks from a position on.
func chunks(t testing.TB, src node.SnapshotSource, from node.Position) []node.Chunk {
	t.Helper()
	if err := src.Seek(from); err != nil {
		t.Fatal(err)
	}
	var all []node.Chunk
	for {
		c, err := src.Next()
		if err != nil {
			t.Fatal(err)
		}
		c.Data = bytes.Clone(c.Data)
		if all = append(all, c); c.Last {
			return all
		}
	}
}

// leaderAt returns a state with the effects of the entries, whose chunks have
// about 200 bytes, so that a small state has many.
func leaderAt(t testing.TB, entries []raft.Entry) *State {
	t.Helper()
	s := openMem(t)
	s.chunkBytes = 200
	mustApply(t, s, entries)
	return s
}

// hashesOf returns the contents' hash after each entry, from 0 on, of a serial
// replay.
func hashesOf(t testing.TB, entries []raft.Entry) []string {
	t.Helper()
	s := openMem(t)
	hashes := []string{contentHash(t, s)}
	for i := range entries {
		mustApply(t, s, entries[i:i+1])
		hashes = append(hashes, contentHash(t, s))
	}
	return hashes
}

// wantInstalled checks that the state says that it is the snapshot, or, if that
// is nil, that it says nothing.
func wantInstalled(t testing.TB, s *State, want *raft.Snapshot) {
	t.Helper()
	got, installed, err := s.Contents()
	if err != nil {
		t.Fatal(err)
	}
	if installed != (want != nil) || installed && !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
		t.Errorf("Contents are %v, installed: %v, want %v", got, installed, want)
	}
}

// received returns the names in the directory of the snapshot that is on its way.
func received(t testing.TB, s *State) []string {
	t.Helper()
	names, err := s.receiver.fs.List(s.receiver.dir)
	if err != nil {
		return nil
	}
	return names
}
