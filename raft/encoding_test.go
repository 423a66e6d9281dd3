package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

func testEntry(term Term, index Index, data string) Entry {
	return NewEntry(EntryID{term, index}, EntryCommand, []byte(data))
}

func testMessages() []Message {
	configuration := NewEntry(EntryID{4, 9}, EntryConfiguration, testConfiguration(3).Encode())
	bodies := []Body{
		&RequestVote{LastLog: EntryID{3, 17}},
		&RequestVote{PreVote: true, Transfer: true, LastLog: EntryID{3, 17}},
		&RequestVoteReply{Granted: true},
		&RequestVoteReply{PreVote: true},
		&AppendEntries{Prev: EntryID{3, 17}, LeaderCommit: 12, Round: 99},
		&AppendEntries{Prev: EntryID{3, 6}, Entries: []Entry{testEntry(3, 7, "x"), testEntry(4, 8, ""), configuration}},
		&AppendEntriesReply{Lost: true, RejectedPrev: 7, Hint: EntryID{1, 2}},
		&AppendEntriesReply{Success: true, MatchIndex: 17, Round: 99},
		&AppendEntriesReply{RejectedPrev: 17, Hint: EntryID{2, 11}, Round: 5},
		&AppendEntries{Prev: EntryID{3, 17}, Round: 100, Match: EntryID{2, 9}, Lease: true},
		&ReadIndex{ID: 1 << 63},
		&ReadIndex{ID: 7, Lease: true},
		&ReadIndexReply{ID: 1 << 63, Index: 17},
		&InstallSnapshot{Snapshot{Last: EntryID{3, 17}, Configuration: IndexedConfiguration{9, everyKindOfMember()}}},
		&TimeoutNow{},
	}
	var messages []Message
	for _, body := range bodies {
		messages = append(messages, Message{From: 1, To: 2, Term: 4, Body: body})
	}
	return messages
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, m := range testMessages() {
		encoded := m.AppendTo(nil)
		if len(encoded) > m.Size() {
			t.Errorf("%s: %d bytes, Size says %d", m, len(encoded), m.Size())
		}
		got, err := DecodeMessage(encoded)
		if err != nil {
			t.Errorf("%s: %v", m, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("sent %s, received %s", m, got)
		}
	}
}

func TestDecoderRefusesEveryTruncation(t *testing.T) {
	for _, m := range testMessages() {
		encoded := m.AppendTo(nil)
		for n := range encoded {
			if _, err := DecodeMessage(encoded[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: error %v", m, n, len(encoded), err)
			}
		}
		if _, err := DecodeMessage(append(encoded, 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s with a byte too many: error %v", m, err)
		}
	}
}

func TestEveryFlippedBitOfAnEntryIsNoticed(t *testing.T) {
	encoded := testEntry(3, 7, "some command").Encoded()
	for bit := range len(encoded) * 8 {
		flipped := bytes.Clone(encoded)
		flipped[bit/8] ^= 1 << (bit % 8)
		if e, _, err := DecodeEntry(flipped); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d flipped: got %v, error %v", bit, e, err)
		}
	}
}

// Trap: an AppendEntries that was packed from a log that was being truncated.
func TestDecoderRefusesEntriesThatDoNotContinuePrev(t *testing.T) {
	for name, ae := range map[string]*AppendEntries{
		"a gap after prev":     {Prev: EntryID{3, 5}, Entries: []Entry{testEntry(3, 7, "")}},
		"a gap":                {Prev: EntryID{3, 6}, Entries: []Entry{testEntry(3, 7, ""), testEntry(3, 9, "")}},
		"a term going back":    {Prev: EntryID{3, 6}, Entries: []Entry{testEntry(3, 7, ""), testEntry(2, 8, "")}},
		"no configuration":     {Prev: EntryID{3, 6}, Entries: []Entry{NewEntry(EntryID{3, 7}, EntryConfiguration, []byte("x"))}},
		"an entry of term 0":   {Prev: EntryID{0, 0}, Entries: []Entry{NewEntry(EntryID{0, 1}, EntryNoop, nil)}},
		"a configuration of 0": {Prev: EntryID{3, 6}, Entries: []Entry{NewEntry(EntryID{3, 7}, EntryConfiguration, Configuration{}.Encode())}},
	} {
		if _, err := DecodeMessage(Message{From: 1, To: 2, Term: 3, Body: ae}.AppendTo(nil)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDecoderDoesNotBelieveCounts(t *testing.T) {
	m := Message{From: 1, To: 2, Term: 3, Body: &AppendEntries{Prev: EntryID{3, 6}}}
	encoded := m.AppendTo(nil)
	binary.LittleEndian.PutUint32(encoded[len(encoded)-4:], 1<<31) // two thousand million entries
	allocated := testing.AllocsPerRun(10, func() {
		if _, err := DecodeMessage(encoded); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("error %v", err)
		}
	})
	if allocated > 20 {
		t.Errorf("%v allocations", allocated)
	}
}

func everyKindOfMember() Configuration {
	return Configuration{
		Members: []Member{
			{ID: 1, Instance: InstanceID{1, 2, 3}, Address: "127.0.0.1:21001", Votes: true},
			{ID: 2, Address: "host:1", VotedBefore: true},
			{ID: 4, VotedBefore: true, Leaving: true},
			{ID: 7, Held: true},
		},
		Removed: []RemovedMember{{ID: 3, Instance: InstanceID{9}}, {ID: 3, Instance: InstanceID{8}}},
	}
}

func TestConfigurationsSurviveEncoding(t *testing.T) {
	c := everyKindOfMember()
	got, err := DecodeConfiguration(c.Encode())
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("encoded %v, got %v, error %v", c, got, err)
	}
}

func TestAConfigurationWithoutVotersIsRefused(t *testing.T) {
	for name, c := range map[string]Configuration{
		"empty":             {},
		"only a learner":    {Members: []Member{{ID: 1}}},
		"not in order":      {Members: []Member{{ID: 2, Votes: true}, {ID: 1, Votes: true}}},
		"twice the same":    {Members: []Member{{ID: 1, Votes: true}, {ID: 1, Votes: true}}},
		"a server nobody":   {Members: []Member{{ID: None, Votes: true}}},
		"leaving, and not":  {Members: []Member{{ID: 1, Votes: true, VotedBefore: true, Leaving: true}}},
		"leaving a learner": {Members: []Member{{ID: 1, Votes: true}, {ID: 2, Leaving: true}}},
		"too many removed":  {Members: []Member{{ID: 1, Votes: true}}, Removed: make([]RemovedMember, MaxRemoved+1)},
	} {
		if _, err := FoundingEntry(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range testMessages() {
		f.Add(m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v does not wrap ErrCorrupt", err)
			}
			return
		}
		// There is one encoding for each message.
		if again := m.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("%s: decoded from %x, encodes to %x", m, b, again)
		}
	})
}

func FuzzDecodeConfiguration(f *testing.F) {
	f.Add(testConfiguration(3).Encode())
	f.Add(everyKindOfMember().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeConfiguration(b)
		if err == nil && !bytes.Equal(c.Encode(), b) {
			t.Fatalf("decoded from %x, encodes to %x", b, c.Encode())
		}
	})
}

func TestSnapshotDescriptionsSurviveEncoding(t *testing.T) {
	s := Snapshot{Last: EntryID{3, 17}, Configuration: IndexedConfiguration{9, everyKindOfMember()}}
	encoded := s.AppendTo(nil)
	if got, err := DecodeSnapshot(encoded); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("encoded %v, got %v, error %v", s, got, err)
	}
	for n := range encoded {
		if _, err := DecodeSnapshot(encoded[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: error %v", n, len(encoded), err)
		}
	}
	for name, s := range map[string]Snapshot{
		"of nothing":                   {Configuration: IndexedConfiguration{0, everyKindOfMember()}},
		"with a later configuration":   {Last: EntryID{3, 8}, Configuration: IndexedConfiguration{9, everyKindOfMember()}},
		"with a configuration of none": {Last: EntryID{3, 8}},
	} {
		if _, err := DecodeSnapshot(s.AppendTo(nil)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a snapshot %s: error %v", name, err)
		}
	}
}
