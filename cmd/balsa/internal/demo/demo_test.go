package demo

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

func TestPlanGivesEveryNodePortsAndTheOthersAsSeeds(t *testing.T) {
	plans, err := plan(t.Context(), Config{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for i, p := range plans {
		for _, addr := range []string{p.apiAddr, p.rpcAddr, p.gossipAddr} {
			if taken[addr] {
				t.Errorf("%s is given away twice", addr)
			}
			taken[addr] = true
		}
		if p.id != i+1 || len(p.seeds) != 2 || strings.Contains(strings.Join(p.seeds, ","), p.gossipAddr) {
			t.Errorf("plan of node %d: %+v", i+1, p)
		}
	}
	args := strings.Join(plans[0].args(Config{Nodes: 3, Args: []string{"--log-level", "debug"}}, "data"), " ")
	for _, want := range []string{"serve --id 1 ", "--bootstrap-expect 3", "--data-dir data/n1", "--log-level debug"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q lacks %q", args, want)
		}
	}
}

// Whatever a path contains, the printed command line gives it to a shell as one
// word.
func TestQuotedWordsSurviveAShell(t *testing.T) {
	for _, word := range []string{"plain-1.2_3/x:4,5=6", "", "two words", "it's", `a"b$c\d`, "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q becomes %q, %v", word, out, err)
		}
	}
}

// Lines of different nodes never mix, however they are written.
func TestLinesArePrefixedAndWhole(t *testing.T) {
	var b strings.Builder
	out := newOutput(&b, false)
	one, two := out.lines(1), out.lines(2)
	for _, text := range []struct {
		w    io.Writer
		text string
	}{{one, "first "}, {two, "other\n"}, {one, "line\nsecond"}, {one, " line\nthird"}} {
		fmt.Fprint(text.w, text.text)
	}
	one.flush()
	two.flush()
	if want := "n2| other\nn1| first line\nn1| second line\nn1| third\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestLineWithoutEndIsBroken(t *testing.T) {
	var b strings.Builder
	w := newOutput(&b, false).lines(1)
	fmt.Fprint(w, strings.Repeat("x", maxLine+10))
	if len(w.rest) >= maxLine {
		t.Errorf("%d bytes are kept", len(w.rest))
	}
	w.flush()
	if got := strings.Count(b.String(), "x"); got != maxLine+10 {
		t.Errorf("%d of %d bytes arrived", got, maxLine+10)
	}
}

func TestColorOnlyWhereItIsWanted(t *testing.T) {
	for _, color := range []bool{false, true} {
		var b strings.Builder
		out := newOutput(&b, color)
		out.say("hello")
		fmt.Fprintln(out.lines(1), "line")
		if got := strings.Contains(b.String(), "\x1b["); got != color {
			t.Errorf("color %v: %q", color, b.String())
		}
	}
}
