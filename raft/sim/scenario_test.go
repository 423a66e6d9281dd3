package sim

import (
	"errors"
	"reflect"
	"testing"
)

// A run and the replay of its record are the same, event by event, whatever
// happens in it.
func TestAReplayIsTheRunThatWasRecorded(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 10
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		plain, err := Run(Options{Seed: seed, Ticks: 400})
		if err != nil {
			t.Fatal(err)
		}
		s, recorded, err := Record(Options{Seed: seed, Ticks: 400})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(plain, recorded) {
			t.Fatalf("seed %d: a run that is recorded is another one", seed)
		}
		replayed, err := Check(s, nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if replayed.Hash != recorded.Hash || replayed.Steps != recorded.Steps || !reflect.DeepEqual(replayed.History, recorded.History) {
			t.Fatalf("seed %d: the replay differs:\n%s\n%s", seed, recorded.Statistics, replayed.Statistics)
		}
		read, err := ParseScenario([]byte(s.String()))
		if err != nil || !reflect.DeepEqual(read, s) {
			t.Fatalf("seed %d: what was written and read is another scenario (%v)", seed, err)
		}
	}
	_ = errors.New
}
