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
	if each := float64(calls) / rounds / float64(len(dead)); each < callers-1 || each > callers+1 {
		t.Errorf("each is called %.1f times in a round, want about %d", each, callers)
	}
}
