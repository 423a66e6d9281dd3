package modelcheck

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var withMutants = flag.Bool("mutants", false, "build this test with bugs in package raft, and see that it finds them")

// TestMutantsDie puts bugs into the core, each a few lines of one file, and checks that
// the exploration of a scope finds a way in which they break a promise. The scope
// without the bug has none: that is TestScope.
func TestMutantsDie(t *testing.T) {
	if !*withMutants {
		t.Skip("builds a program for each: see the flag -mutants")
	}
	raftDir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		name, file, old, new string
		scope, verdict       string
	}{
		{"Figure 8: entries of an earlier term are committed by counting", "leader.go",
			"if term, _ := c.log.term(n); term != c.currentTerm {", "if term, _ := c.log.term(n); term == 0 {",
			"figure-8", "Leader Completeness"},
		{"a server votes for everybody", "election.go",
			"c.votedFor == None && c.leader == None //", "true //",
			"elections", "One Vote"},
		{"a read is answered without asking a quorum", "read.go",
			"	c.reads.waiting = nil\n	c.beginRound()", "	c.reads.waiting = nil\n	c.readsConfirmed(c.confirm.round + 1)",
			"reads", "Linearizable Reads"},
		{"a read is confirmed by the round before it", "read.go",
			"round: c.confirm.round + 1, //", "round: c.confirm.round, //",
			"reads-and-heartbeats", "Linearizable Reads"},
		{"a leader answers reads before it has committed anything", "read.go",
			"if term, _ := c.log.term(c.commitIndex); term != c.currentTerm {", "if term, _ := c.log.term(c.commitIndex); term > c.currentTerm {",
			"reads", "Linearizable Reads"},
		{"the voters change in one step", "change.go",
			"return next.joinedWith(c), nil", "return next, nil",
			"one-remains", "Disjoint Quorums"},
		{"a second change does not wait for the first", "change.go",
			"if latest.Index > c.commitIndex || latest.Configuration.Joint() {", "if latest.Configuration.Joint() {",
			"shrinking", "Configuration"},
		{"a vote is not written", "election.go",
			"	c.votedFor = candidate\n	c.hardStateDirty = true", "	c.votedFor = candidate",
			"elections", "Vote Durability"},
		{"a server that has lost something votes as if it had never had it", "election.go",
			"mine := newer(c.log.lastID(), c.lost) //", "mine := c.log.lastID() //",
			"losses", "Leader Completeness"},
		{"a server that has lost something stands for election", "core.go",
			"return !c.recovering() && //", "return true && //",
			"losses", "Leader Completeness"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			original := filepath.Join(raftDir, m.file)
			text, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), m.old); n != 1 {
				t.Fatalf("%q occurs %d times in %s, want once: the code has changed, so look what the bug would be now", m.old, n, m.file)
			}
			mutated, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
			replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
			if err != nil {
				t.Fatal(err)
			}
			for path, content := range map[string][]byte{
				mutated: []byte(strings.Replace(string(text), m.old, m.new, 1)), overlay: replace,
			} {
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("go", "test", "-overlay", overlay, "-run", "^TestScope$/^"+m.scope+"$", "-effort", "thorough", "-timeout", "5m", ".").CombinedOutput()
			if err == nil {
				t.Fatalf("scope %s does not find it", m.scope)
			}
			said := string(out)
			if !strings.Contains(said, "violates "+m.verdict) {
				t.Errorf("scope %s does not violate %s:\n%s", m.scope, m.verdict, said)
			}
			t.Log(said)
			again := exec.Command("go", "test", "-overlay", overlay, "-run", "^TestTheSimulatorFindsItToo$", "-found-in", m.scope, "-timeout", "5m", ".")
			if out, err := again.CombinedOutput(); err != nil {
				t.Errorf("the counterexample does not convince the simulator:\n%s", out)
			}
		})
	}
}
