package sim

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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
}

// The judges are right to object where clocks drift by more than leases allow. Of
// a run of thousands of actions a handful is to blame.
func TestAViolationShrinksToItsCause(t *testing.T) {
	var (
		s   Scenario
		err error
	)
	for seed := uint64(1); err == nil; seed++ {
		s, _, err = Record(leaseRuns(seed, 0.4, 2.5))
	}
	if !errors.As(err, new(*Violation)) {
		t.Fatal(err)
	}
	short, err := Shrink(s, 5000, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d actions shrink to %d:\n%s", len(s.Actions), len(short.Actions), short)
	if len(s.Actions) < 1000 || len(short.Actions) > 20 || short.Ending.Rule != s.Ending.Rule {
		t.Errorf("%d actions that violate %s shrink to %d that violate %s", len(s.Actions), s.Ending.Rule, len(short.Actions), short.Ending.Rule)
	}
	if _, err := Check(short, nil); err != nil {
		t.Error(err)
	}
}

var updateFlag = flag.Bool("update", false, "TestScenarios: write how each scenario ends into its file")

// The scenarios of testdata end as their last lines say.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseScenario(text)
			if err != nil {
				t.Fatal(err)
			}
			var trace strings.Builder
			result, err := Check(s, &trace)
			if err != nil && *updateFlag {
				_, replayed := Replay(s, nil)
				before, _, _ := strings.Cut(string(text), "\nend ")
				updated := strings.TrimRight(before, "\n") + "\nend " + EndingOf(result, replayed).String() + "\n"
				if err := os.WriteFile(file, []byte(updated), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err != nil {
				t.Errorf("%v\n%s", err, trace.String())
			}
			t.Logf("%s\n%s", result.Statistics, trace.String())
		})
	}
}
