package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Mutant is a deliberate bug: a few lines of one file that are put in place of
// those that are there.
type Mutant struct {
	// Name is unique, and reads like the name of the mistake.
	Name string
	// Rule is the rule of docs/rules.md that is broken.
	Rule string
	// Source says where the mistake comes from, if it has been made or described
	// elsewhere: an entry M1 to M43 of the list of mistakes that docs/mutants.md speaks
	// of, or a section.
	Source string
	// File is the path of the file, from the root of the module. Old is the text
	// that is replaced, which occurs exactly once in it, and New what replaces it.
	File, Old, New string
	// Also is a second change of the same file, for a bug that needs one.
	Also *Edit
	// Why says what goes wrong.
	Why string
	// Dies says which check notices.
	Dies Check
}

// Edit replaces a text that occurs exactly once in a file.
type Edit struct{ Old, New string }

// Check is a program that succeeds on the real code and fails on the mutant: the
// tests of a package, or the command trial.
type Check struct {
	// Package is the path of the package from the root of the module. Run selects
	// tests, as the flag -run of "go test" does; it is empty for the command trial.
	Package, Run string
	// Seeds is within how many seeds the simulator must notice, from seed 1 on, and
	// Faults which kinds of faults happen: see the flags of the command trial.
	Seeds  int
	Faults string
	// Consequences says that broken promises are overlooked, so that what comes of
	// them has to show.
	Consequences bool
	// Verdict is a regular expression: what the failing check must say. A mutant
	// that fails otherwise has not died of what is wrong with it.
	Verdict string
	// verdicts are the properties that the simulator may find violated.
	verdicts string
}

// Kind says in what way a check notices a mutant.
type Kind string

// The kinds of checks, from the one that shows best what a mutant means to the
// one that shows it least.
const (
	// Simulator: a property is violated in a whole cluster.
	Simulator Kind = "simulator"
	// Test: a test that plays a scene or examines one part.
	Test Kind = "test"
	// Script: what a small cluster does differs from what is written down.
	Script Kind = "script"
)

// TrialPackage is the path of the command trial from the root of the module.
const TrialPackage = "raft/mutants/trial"

// Kind returns the kind of a check.
func (c Check) Kind() Kind {
	switch {
	case c.Package == TrialPackage:
		return Simulator
	case strings.HasPrefix(c.Run, "^TestScripts$"):
		return Script
	}
	return Test
}

// Command returns a command line that does the check on the code as it is.
func (c Check) Command() string {
	if c.Kind() == Simulator {
		return "go run ./" + c.Package + " " + strings.Join(c.arguments(), " ")
	}
	return "go test ./" + c.Package + " -run '" + c.Run + "'"
}

// arguments returns those of the program that does the check.
func (c Check) arguments() []string {
	if c.Kind() == Simulator {
		arguments := []string{fmt.Sprintf("-seeds=%d", c.Seeds), "-faults=" + c.Faults}
		if c.Consequences {
			arguments = append(arguments, "-consequences")
		}
		return arguments
	}
	return []string{"-test.run=" + c.Run, "-test.v"}
}

// simulated returns the check that the simulator violates one of the properties
// within so many seeds, in which the named kinds of faults happen.
func simulated(verdict string, seeds int, faults string) Check {
	return Check{Package: TrialPackage, Seeds: seeds, Faults: faults, Verdict: "violates (" + verdict + ") at", verdicts: verdict}
}

// safety are the properties of Figure 3, as the simulator names them.
const safety = "Election Safety|Leader Append-Only|Log Matching|Leader Completeness|State Machine Safety"

// consequence is like simulated, but broken promises are overlooked.
func consequence(verdict string, seeds int, faults string) Check {
	c := simulated(verdict, seeds, faults)
	c.Consequences = true
	return c
}

// tested returns the check that a test of a package fails and says so.
func tested(pkg, test, verdict string) Check {
	return Check{Package: pkg, Run: "^" + test + "$", Verdict: verdict}
}

// scripted returns the check that a script of package raft goes another way.
func scripted(script, verdict string) Check {
	return Check{Package: "raft", Run: "^TestScripts$/^" + script + "$", Verdict: verdict}
}

// All returns every mutant, in the order of the book: elections, the log,
// commitment, reads, snapshots, members, hosts.
func All() []Mutant {
	return slices.Concat(elections, promises, forgetting, logs, commitment, reading, snapshots, members, hosts)
}

// Apply returns the file of a mutant with the bug in it. The module is in the
// directory root.
func (m Mutant) Apply(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.File)))
	if err != nil {
		return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	edits := []Edit{{m.Old, m.New}}
	if m.Also != nil {
		edits = append(edits, *m.Also)
	}
	changed := string(text)
	for _, e := range edits {
		if n := strings.Count(changed, e.Old); n != 1 {
			return nil, fmt.Errorf("mutant %s: %q occurs %d times in %s, it must occur once; "+
				"the code has changed, so look what the bug would be now", m.Name, e.Old, n, m.File)
		}
		changed = strings.Replace(changed, e.Old, e.New, 1)
	}
	return []byte(changed), nil
}

// validate returns what is wrong with the description of a mutant.
func (m Mutant) validate() error {
	switch {
	case m.Name == "" || m.Rule+m.Source == "" || m.File == "" || m.Old == "" || m.Why == "":
		return fmt.Errorf("mutant %q lacks a part of its description", m.Name)
	case m.Old == m.New:
		return fmt.Errorf("mutant %s changes nothing", m.Name)
	case m.Dies.Package == "" || m.Dies.Verdict == "":
		return fmt.Errorf("mutant %s dies of nothing", m.Name)
	}
	if _, err := regexp.Compile(m.Dies.Verdict); err != nil {
		return fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return nil
}
