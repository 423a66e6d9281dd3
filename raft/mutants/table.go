package mutants

import (
	"fmt"
	"strings"
)

// Page returns docs/mutants.md.
func Page() string {
	var b strings.Builder
	all := All()
	kinds := map[Kind]int{}
	for _, m := range all {
		kinds[m.Dies.Kind()]++
	}
	fmt.Fprintf(&b, `# The mutants

A mutant is a deliberate bug: the code with one rule broken. There are %d, and each
must be noticed by the check that is named here, with the verdict that is given: %d by the simulator,
%d by a test that plays a scene, %d by a script that goes another way. The
code as it is passes the same checks. Package raft/mutants holds them; its
package comment says how to run them. This page is made from them
(`+"`go test ./raft/mutants -rewrite`"+`), so it cannot be out of date.

"M1" to "M43" are the entries of a list of mistakes that were found in other
systems or derived from the paper, each with the shortest schedule that exposes it.
For the simulator, "within" is the number of seeds, from 1 on, of which one must
show the violation; "any" faults means that each seed decides what goes wrong.
"Overlooking promises" means that a server may, for instance, say something that
its disk does not hold: what counts is what comes of it.

| Mutant | Rule | Source | What goes wrong | Noticed by | Verdict |
|---|---|---|---|---|---|
`, len(all), kinds[Simulator], kinds[Test], kinds[Script])
	for _, m := range all {
		rule := m.Rule
		if rule != "" {
			rule = "`" + rule + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", m.Name, rule, m.Source, m.Why, m.Dies.inWords(), m.Dies.verdictInWords())
	}
	b.WriteString("\n## Entries of the list without a mutant\n\n| Entry | Why |\n|---|---|\n")
	for _, e := range NotExpressed {
		fmt.Fprintf(&b, "| %s | %s |\n", e.What, e.Why)
	}
	b.WriteString("\n## Changes that are no bugs\n\nThese break no property, although a trace may show them.\n\n| Change | Why |\n|---|---|\n")
	for _, e := range Equivalent {
		fmt.Fprintf(&b, "| %s | %s |\n", e.What, e.Why)
	}
	return b.String()
}

// inWords says what a check is.
func (c Check) inWords() string {
	switch c.Kind() {
	case Simulator:
		s := fmt.Sprintf("simulator, within %d seeds, faults: %s", c.Seeds, strings.ReplaceAll(c.Faults, ",", ", "))
		if c.Consequences {
			s += ", overlooking promises"
		}
		return s
	case Script:
		return "script " + strings.Trim(strings.TrimPrefix(c.Run, "^TestScripts$/"), "^$")
	}
	return c.Package + ", " + strings.Trim(c.Run, "^$")
}

// verdictInWords is the pattern of a check, for people.
func (c Check) verdictInWords() string {
	switch {
	case c.Kind() == Simulator && c.verdicts == safety:
		return "a property of Figure 3"
	case c.Kind() == Simulator:
		return strings.ReplaceAll(strings.ReplaceAll(c.verdicts, safety, "a property of Figure 3"), "|", " or ")
	case c.Kind() == Script:
		return "it goes another way"
	case c.Verdict == "FAIL":
		return "it fails"
	}
	return "\"... " + strings.ReplaceAll(c.Verdict, "|", " or ") + " ...\""
}
