package modelcheck_test

import (
	"errors"
	"flag"
	"testing"

	"balsa/raft/modelcheck"
	"balsa/raft/sim"
)

var foundIn = flag.String("found-in", "", "a scope in which something is wrong: the counterexample is told to the simulator")

// A counterexample is a scenario, which the simulator replays and its judges judge,
// who share no code with this package. TestMutantsDie runs this on cores with bugs.
func TestTheSimulatorFindsItToo(t *testing.T) {
	if *foundIn == "" {
		t.Skip("the core has no bug to find: see the flag -found-in, and TestMutantsDie")
	}
	for _, scope := range modelcheck.Scopes() {
		if scope.Name != *foundIn {
			continue
		}
		checker, err := modelcheck.New(scope)
		if err != nil {
			t.Fatal(err)
		}
		result, err := checker.Explore(nil)
		if err != nil || result.Counterexample == nil {
			t.Fatalf("nothing is wrong in scope %s, %v", scope.Name, err)
		}
		text, err := result.Counterexample.Scenario(scope)
		if err != nil {
			t.Fatal(err)
		}
		scenario, err := sim.ParseScenario([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if _, err = sim.Replay(scenario, nil); !errors.As(err, new(*sim.Violation)) {
			t.Errorf("the simulator finds nothing wrong: %v\n%s", err, text)
		}
		return
	}
	t.Fatalf("there is no scope %q", *foundIn)
}
