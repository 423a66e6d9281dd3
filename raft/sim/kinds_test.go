package sim

import (
	"maps"
	"strings"
	"testing"
)

func TestAListOfFaultsSaysWhichHappen(t *testing.T) {
	on := func(text string) string {
		kinds, err := ParseKinds(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKinds(FormatKinds(kinds))
		if err != nil || !maps.Equal(again, kinds) {
			t.Errorf("%q is written %q", text, FormatKinds(kinds))
		}
		return FormatKinds(kinds)
	}
	for text, want := range map[string]string{
		"none":               "none",
		"crash, drop":        "drop,crash",
		"+wipe,-clock":       "-clock,+wipe",
		"crash,power,-power": "crash",
	} {
		if got := on(text); got != want {
			t.Errorf("%q means %q, want %q", text, got, want)
		}
	}
	if all := on("all,-drop"); strings.Count(all, ",") != len(faultKinds)-3 || strings.Contains(all, "drift") {
		t.Errorf("all but one are %q", all)
	}
	if _, err := ParseKinds("crash,earthquake"); err == nil || !strings.Contains(err.Error(), "earthquake") || !strings.Contains(err.Error(), "partition") {
		t.Errorf("an unknown kind: %v", err)
	}
	if _, err := Run(Options{Kinds: map[string]bool{"earthquake": true}}); err == nil {
		t.Error("an unknown kind is simulated")
	}
}

// A kind that is left out does not happen, and the seed decides the rest as before.
func TestAKindOfFaultCanBeLeftOut(t *testing.T) {
	kinds, err := ParseKinds("none")
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(Options{Seed: 1, Nodes: 3, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	// One or the other may belong to the hardships of the end.
	if result.Partitions+result.Pauses+result.Duplicated+result.Late+result.FailedWrites+result.Members.Wipes+result.PowerLosses > 0 || result.Crashes > 1 {
		t.Errorf("without faults: %s", result.Statistics)
	}
	with, err := Options{Seed: 7}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	without, err := Options{Seed: 7, Kinds: map[string]bool{"crash": false}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	with.Faults.CrashEvery = 0
	if *with.Faults != *without.Faults {
		t.Errorf("without crashes: %+v\nwith: %+v", without.Faults, with.Faults)
	}
}
