package gossip

import (
	"slices"
	"testing"
)

func TestAFewOfTheLivingCallEachOfTheDead(t *testing.T) {
	dead := make([]string, 20)
	for living := range callers + 1 {
		if got := someOf(slices.Clone(dead), living); len(got) != len(dead) {
			t.Errorf("one of %d servers calls %d of %d dead ones", living, len(got), len(dead))
		}
	}
	const living, rounds = 180, 100
	calls := 0
	for range living * rounds {
		calls += len(someOf(slices.Clone(dead), living))
	}
	if each := float64(calls) / rounds / float64(len(dead)); each < 0.7*callers || each > 1.3*callers {
		t.Errorf("each is called by %.1f in a round, want about %d", each, callers)
	}
}
