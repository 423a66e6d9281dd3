package raft

import (
	"math/rand/v2"
	"testing"
)

func values(m map[NodeID]uint64) func(NodeID) uint64 {
	return func(id NodeID) uint64 { return m[id] }
}

func TestMajorityReachedIsTheHighestValueOfMoreThanHalf(t *testing.T) {
	for _, test := range []struct {
		values []uint64
		want   uint64
	}{
		{[]uint64{7}, 7},
		{[]uint64{3, 7}, 3},
		{[]uint64{3, 7, 5}, 5},
		{[]uint64{0, 0, 9}, 0},
		{[]uint64{1, 2, 3, 4}, 2},
		{[]uint64{1, 2, 3, 4, 5}, 3},
		{[]uint64{5, 5, 5, 1, 1}, 5},
	} {
		var m majority
		reached := map[NodeID]uint64{}
		for i, v := range test.values {
			m = append(m, NodeID(i+1))
			reached[NodeID(i+1)] = v
		}
		if got := m.reached(values(reached)); got != test.want {
			t.Errorf("reached%v = %d, want %d", test.values, got, test.want)
		}
	}
}

// The definition, counted by hand: how many have reached it, how many more.
//
// Rules: commit.majority.
func TestMajorityReachedAgreesWithCounting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + rng.IntN(12)
		var m majority
		reached := map[NodeID]uint64{}
		for id := NodeID(1); id <= NodeID(n); id++ {
			m = append(m, id)
			reached[id] = rng.Uint64N(6)
		}
		got := m.reached(values(reached))
		atLeast, more := 0, 0
		for _, v := range reached {
			if v >= got {
				atLeast++
			}
			if v > got {
				more++
			}
		}
		if 2*atLeast <= n || 2*more > n {
			t.Fatalf("reached(%v) = %d: %d of %d have it, %d have more", reached, got, atLeast, n, more)
		}
	}
}

// Trap 70.
// Rules: elect.majority, commit.majority.
func TestJointQuorumNeedsBothMajorities(t *testing.T) {
	q := quorum{majority{3, 4, 5}, majority{1, 2, 3}}
	onlyNew := map[NodeID]uint64{3: 9, 4: 9, 5: 9}
	if got := q.reached(values(onlyNew)); got != 0 {
		t.Errorf("only the new majority has reached 9, the quorum says %d", got)
	}
	both := map[NodeID]uint64{1: 4, 3: 9, 4: 9}
	if got := q.reached(values(both)); got != 4 {
		t.Errorf("reached = %d, want 4, what both majorities have", got)
	}
	if got := q.votes(map[NodeID]bool{3: true, 4: true, 5: true}); got != pending {
		t.Errorf("votes of one side only: %d, want pending", got)
	}
	if got := q.votes(map[NodeID]bool{1: true, 3: true, 4: true}); got != won {
		t.Errorf("votes of both sides: %d, want won", got)
	}
	if got := q.votes(map[NodeID]bool{1: false, 2: false, 3: true, 4: true, 5: true}); got != lost {
		t.Errorf("votes with the old side against: %d, want lost", got)
	}
}

// Trap 9.
// Rules: elect.majority.
func TestBallotsOfStrangersDoNotCount(t *testing.T) {
	m := majority{1, 2, 3}
	if got := m.votes(map[NodeID]bool{1: true, 8: true, 9: true}); got != pending {
		t.Errorf("votes = %d, want pending: 8 and 9 are no voters", got)
	}
}

func TestQuorumOfUsualSizeDoesNotAllocate(t *testing.T) {
	q := testConfiguration(7).quorum()
	reached := map[NodeID]uint64{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}
	of := values(reached)
	if n := testing.AllocsPerRun(100, func() { q.reached(of) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
