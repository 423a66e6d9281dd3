package simulated_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// planted are bugs, each with a part of what somebody must say about it.
var planted = map[string]struct {
	bugs    bugs
	noticed string
}{
	"a log that is acknowledged before it is synced": {
		bugs{disksLie: true},
		// The core sees it, too, when a leader contradicts what was committed. If the
		// witness was honest, servers know that they have lost something, and nobody
		// leads who lacks it: no acknowledged write is lost, nor does anything go on.
		"has lost an acknowledged write|not linearizable|another server has applied|does not start|broken invariant|lead in term|nobody leads",
	},
	"reads that nobody has confirmed":        {bugs{staleReads: true}, "not linearizable"},
	"a state machine that mixes up commands": {bugs{confused: 2}, "has state|has the state|not linearizable"},
}

const plantedVariable = "BALSA_TEST_PLANTED"

// A judge who has never found anybody guilty proves nothing. Each of the planted
// bugs must be noticed in one of the first few runs, for a reason that one would
// expect. The runs are in a process of their own, which an invariant of the core
// may end.
func TestPlantedBugsAreNoticed(t *testing.T) {
	for name, bug := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0], "-test.run=^TestWithPlantedBug$")
			command.Env = append(os.Environ(), plantedVariable+"="+name)
			out, err := command.CombinedOutput()
			reason := regexp.MustCompile(".*(" + bug.noticed + ").*").Find(out)
			if err == nil || reason == nil {
				t.Fatalf("nobody has noticed it, or for no good reason: %v\n%s", err, out)
			}
			t.Logf("noticed: %s", reason)
		})
	}
}

// TestWithPlantedBug is what TestPlantedBugsAreNoticed runs.
func TestWithPlantedBug(t *testing.T) {
	bug, ok := planted[os.Getenv(plantedVariable)]
	if !ok {
		t.Skip("this is a part of TestPlantedBugsAreNoticed")
	}
	for seed := range uint64(30) {
		if o := simulate(t, seed+1, bug.bugs); len(o.wrong) > 0 {
			t.Fatalf("seed %d:\n%s", seed+1, strings.Join(o.wrong, "\n"))
		}
	}
}
