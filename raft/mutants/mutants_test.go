package mutants

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	allFlag     = flag.Bool("all", false, "kill every mutant, and check that the real code passes the same checks; otherwise a few are killed")
	onlyFlag    = flag.String("only", "", "with -all: only the mutants whose name matches this regular expression")
	rewriteFlag = flag.Bool("rewrite", false, "write docs/mutants.md anew")
)

const root = "../.."

func TestEveryMutantApplies(t *testing.T) {
	names := map[string]bool{}
	for _, m := range All() {
		if err := m.validate(); err != nil {
			t.Error(err)
		}
		if names[m.Name] {
			t.Errorf("two mutants are called %s", m.Name)
		}
		names[m.Name] = true
		if _, err := m.Apply(root); err != nil {
			t.Error(err)
		}
	}
}

var rulePattern = regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z-]+)` \\|")

func TestEveryRuleHasAMutantAndEveryMutantARule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	unbroken := map[string]bool{}
	for _, m := range rulePattern.FindAllStringSubmatch(string(text), -1) {
		unbroken[m[1]] = true
	}
	if len(unbroken) < 60 {
		t.Fatalf("found %d rules; has the table changed its form?", len(unbroken))
	}
	rules := map[string]bool{}
	for rule := range unbroken {
		rules[rule] = true
	}
	for _, m := range All() {
		if m.Rule == "" && m.Source != "" {
			continue // a rule of the paper that has no name of its own yet
		}
		if !rules[m.Rule] {
			t.Errorf("mutant %s breaks rule %q, which docs/rules.md does not list", m.Name, m.Rule)
		}
		delete(unbroken, m.Rule)
	}
	for rule := range unbroken {
		t.Errorf("no mutant breaks rule %s", rule)
	}
}

// The list of mistakes has the entries M1 to M43, with 31b and 31c.
func TestEveryEntryOfTheListHasAMutantOrAReason(t *testing.T) {
	mentioned := " "
	for _, m := range All() {
		mentioned += m.Source + " "
	}
	for _, e := range slices.Concat(NotExpressed, Equivalent) {
		mentioned += strings.NewReplacer(",", " ", ":", " ").Replace(e.What) + " "
	}
	entries := []string{"M31b", "M31c"}
	for i := range 43 {
		entries = append(entries, fmt.Sprintf("M%d", i+1))
	}
	for _, entry := range entries {
		if !strings.Contains(mentioned, " "+entry+" ") {
			t.Errorf("%s is nowhere", entry)
		}
	}
}

func TestThePageIsUpToDate(t *testing.T) {
	path := filepath.Join(root, "docs", "mutants.md")
	if *rewriteFlag {
		if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != Page() {
		t.Error("docs/mutants.md is not what the mutants say; run go test ./raft/mutants -rewrite")
	}
}

// few are killed in every run of the tests: quick ones, of each kind.
var few = []string{"one-vote-too-few", "any-log-will-do", "a-deposed-leader-puts-elections-off", "campaigns-while-a-snapshot-is-installed"}

func chosen(t *testing.T) []Mutant {
	only, err := regexp.Compile(*onlyFlag)
	if err != nil {
		t.Fatal(err)
	}
	if !*allFlag && testing.Short() {
		t.Skip("builds programs")
	}
	return slices.DeleteFunc(All(), func(m Mutant) bool {
		return *allFlag && !only.MatchString(m.Name) || !*allFlag && !slices.Contains(few, m.Name)
	})
}

// Every mutant compiles, and dies of what is wrong with it.
func TestMutantsDie(t *testing.T) {
	r := &Runner{Root: absolute(t, root), Dir: t.TempDir(), Timeout: Patience}
	work := make(chan Mutant)
	var wg sync.WaitGroup
	var mu sync.Mutex
	slowest, killed, began := time.Duration(0), 0, time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for m := range work {
				o, err := r.Kill(m)
				mu.Lock()
				switch {
				case err != nil:
					t.Errorf("%s: %v", m.Name, err)
				case o.Passed:
					t.Errorf("%s SURVIVED %s, although %s", m.Name, m.Dies.Command(), m.Why)
				case !o.Killed():
					t.Errorf("%s fails %s, but not with %q:\n%s", m.Name, m.Dies.Command(), m.Dies.Verdict, o.Output)
				default:
					killed++
					t.Logf("%s (built in %.1f s, killed in %.1f s): %s", m.Name, o.Built.Seconds(), o.Ran.Seconds(), o.Verdict)
				}
				slowest = max(slowest, o.Built+o.Ran)
				mu.Unlock()
			}
		})
	}
	for _, m := range chosen(t) {
		work <- m
	}
	close(work)
	wg.Wait()
	t.Logf("%d mutants killed in %.0f s, the slowest in %.0f s", killed, time.Since(began).Seconds(), slowest.Seconds())
}

// What a mutant dies of, the real code survives.
func TestTheRealCodePassesTheSameChecks(t *testing.T) {
	if !*allFlag {
		t.Skip("with -all")
	}
	r := &Runner{Root: absolute(t, root), Dir: t.TempDir(), Timeout: Patience}
	checks := map[string][]Check{} // by package
	for _, m := range chosen(t) {
		checks[m.Dies.Package] = add(checks[m.Dies.Package], m.Dies)
	}
	for pkg, list := range checks {
		p, err := r.Build(nil, pkg)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			t.Run(c.inWords(), func(t *testing.T) {
				t.Parallel()
				o, err := p.Run(c)
				if err != nil {
					t.Fatal(err)
				}
				if !o.Passed {
					t.Errorf("%s fails on the real code:\n%s", c.Command(), o.Output)
				}
			})
		}
	}
}

// add adds a check to a list unless one of the list includes it. For the real code
// it makes no difference whether broken promises are overlooked: then they must not
// be.
func add(list []Check, c Check) []Check {
	c.Verdict, c.verdicts, c.Consequences = "", "", false
	i := slices.IndexFunc(list, func(other Check) bool { return other.Run == c.Run && other.Faults == c.Faults })
	if i < 0 {
		return append(list, c)
	}
	list[i].Seeds = max(list[i].Seeds, c.Seeds)
	return list
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
