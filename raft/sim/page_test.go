package sim

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// scenarioPage is what docs/scenarios.md says about the words of a scenario.
func scenarioPage() string {
	var b strings.Builder
	b.WriteString("| action | | what happens |\n|---|---|---|\n")
	for _, verb := range slices.Sorted(maps.Keys(forms)) {
		form := forms[verb]
		words := []string{}
		switch form.who {
		case aNode:
			words = append(words, "n1")
		case aLink:
			words = append(words, "n1>n2")
		}
		switch verb {
		case Deliver, Copy, Lose:
			words = append(words, "AppendEntries")
		case Cut:
			words = append(words, "n1>n2 n2>n1")
		}
		for _, f := range form.fields {
			words = append(words, f.name+"="+map[unit]string{isTime: "2.000", isNumber: "2", isServer: "n2"}[f.unit])
		}
		example := strings.Join(words, " ")
		if example != "" {
			example = "`" + example + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", verb, example, form.help)
	}
	b.WriteString("\n| point | where | value | what it decides |\n|---|---|---|---|\n")
	for _, p := range points {
		where := [...]string{nobody: "", aNode: "node", aLink: "link, kind of message"}[p.who]
		value := [...]string{isFlag: "", isTime: "ticks", isNumber: "number", isServer: "node"}[p.unit]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.name, where, value, p.help)
	}
	return b.String()
}

// The tables of docs/scenarios.md are made here, with -update.
func TestThePageAboutScenariosIsUpToDate(t *testing.T) {
	const path, mark = "../../docs/scenarios.md", "<!-- what follows is generated: go test ./raft/sim -run Page -update -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), mark)
	switch {
	case !found:
		t.Fatalf("%s lacks the line %q", path, mark)
	case *updateFlag:
		if err := os.WriteFile(path, []byte(before+mark+"\n"+scenarioPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	case after != "\n"+scenarioPage():
		t.Errorf("%s is not up to date: go test ./raft/sim -run Page -update", path)
	}
}
