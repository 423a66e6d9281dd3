package main

import (
	"testing"

	"balsa/api/wire"
)

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "17": 17, "17B": 17, "4KiB": 4096, "2 MiB": 2 << 20, "1GiB": 1 << 30} {
		var b byteSize
		if err := b.Set(text); err != nil || int(b) != want {
			t.Errorf("%q: %d, %v; want %d", text, int(b), err, want)
		}
		again := byteSize(0)
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%q is printed as %q, which is %d, %v", text, b.String(), int(again), err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1kb", "9999999GiB", "99999999999999999999"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func member(id uint64, match *uint64) wire.Member {
	return wire.Member{ID: id, Role: wire.RoleFollower, Status: wire.StatusAlive, APIAddr: "127.0.0.1:1", MatchIndex: match}
}

// The report believes the leader of the newest term, and each node about itself.
func TestReportJoinsTheAnswersOfAllNodes(t *testing.T) {
	answers := map[uint64]wire.ClusterStatus{
		1: { // was the leader until the others could not reach it
			ClusterID: "c", NodeID: 1, LeaderID: 1, Term: 2, LastIndex: 9, Voters: []uint64{1, 2, 3, 4},
			Members: []wire.Member{member(1, new(uint64(9)))},
		},
		2: {
			ClusterID: "c", NodeID: 2, LeaderID: 2, Term: 3, LastIndex: 20, CommitIndex: 20, Voters: []uint64{1, 2, 3},
			Members: []wire.Member{member(1, nil), member(2, new(uint64(20))), member(3, new(uint64(15))), member(4, new(uint64(0)))},
		},
	}
	r := report(answers)
	if r.LeaderID != 2 || r.Term != 3 || len(r.Members) != 4 {
		t.Fatalf("report %+v", r)
	}
	for i, want := range []struct {
		answers, voter bool
		lag            *uint64
	}{
		{answers: true, voter: true, lag: new(uint64(11))}, // from its own last index
		{answers: true, voter: true, lag: new(uint64(0))},
		{answers: false, voter: true, lag: new(uint64(5))}, // from what the leader knows
		{answers: false, voter: false, lag: nil},           // the leader never heard of it
	} {
		m := r.Members[i]
		sameLag := (m.Lag == nil) == (want.lag == nil) && (m.Lag == nil || *m.Lag == *want.lag)
		if m.Answers != want.answers || m.Voter != want.voter || !sameLag {
			t.Errorf("node %d: answers %v, voter %v, lag %v; want %+v", m.ID, m.Answers, m.Voter, m.Lag, want)
		}
	}
}
