package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sections are the places of the paper and the dissertation that exist.
var sections = func() map[string]bool {
	all := map[string]bool{}
	for _, s := range strings.Fields("1 2 3 4 5 5.1 5.2 5.3 5.4 5.4.1 5.4.2 5.4.3 5.5 5.6 6 7 8 9 9.1 9.2 9.3 10 11 12") {
		all["§"+s] = true
	}
	for _, s := range strings.Fields(`1 2 2.1 2.2 2.3 3 3.1 3.2 3.3 3.4 3.5 3.6 3.6.1 3.6.2 3.6.3 3.7 3.8 3.9 3.10 3.11
		4 4.1 4.2 4.2.1 4.2.2 4.2.3 4.2.4 4.3 4.4 5 5.1 5.1.1 5.1.2 5.1.3 5.2 5.3 5.3.1 5.3.2 5.3.3 5.4 5.4.1 5.4.2
		6 6.1 6.2 6.3 6.4 6.4.1 6.5 7 8 8.1 8.2 8.3 9 9.1 9.2 9.3 9.4 9.5 9.6 10 10.1 10.2 10.2.1 10.2.2 10.3 11 12`) {
		all["thesis "+s] = true
	}
	for _, s := range strings.Fields("2 3 4 5 6 7 8 9 10 11 12 13") {
		all["Fig. "+s] = true
	}
	return all
}()

var (
	tagPattern      = regexp.MustCompile(`// rule:([a-z]+\.[a-z-]+) (§[0-9.]*[0-9]|thesis [0-9.]*[0-9]|Fig\. [0-9]+) (\S.*)$`)
	citationPattern = regexp.MustCompile(`§[0-9.]*[0-9]|thesis (?:[0-9]+(?:\.[0-9]+)*)`)
	rowPattern      = regexp.MustCompile("^\\| `([a-z]+\\.[a-z-]+)` \\| ([^|]+) \\| ([^|]+) \\|")
)

// goFiles calls f for every Go file of the module with its lines.
func goFiles(t *testing.T, f func(path string, lines []string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return errOrSkip(err)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(strings.TrimPrefix(path, "../")), strings.Split(string(text), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return filepath.SkipDir
}

func TestEveryRuleHasItsTagItsTestsAndItsMutants(t *testing.T) {
	table, err := os.ReadFile("rules.md")
	if err != nil {
		t.Fatal(err)
	}
	page, problems := rulesPage(string(table), ruleTags(t), findMarkers(t, ".."), mutantsByRule(t, "../raft/mutants"))
	for _, problem := range problems {
		t.Error(problem)
	}
	checkPage(t, "rules.md", page)
}

// rulesPage returns the page of rules with what is known of each rule by now, and
// what is wrong with that. The first three columns of the table are written by hand
// and stay; the others are made anew. Without mutants there is no column for them.
func rulesPage(table string, tags map[string][]string, found []marker, mutants map[string][]string) (page string, problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	tests := map[string][]string{}
	for _, m := range found {
		if m.rule != "" {
			tests[m.rule] = append(tests[m.rule], m.link())
			if !strings.Contains(table, "| `"+m.rule+"` |") {
				wrong("%s names rule %s, which is not listed", m.place(), m.rule)
			}
		}
	}
	known := map[string]bool{}
	var b strings.Builder
	for line := range strings.Lines(table) {
		m := rowPattern.FindStringSubmatch(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(line, "| Rule |"):
			line = "| Rule | What it says | Source | Code | Tests |"
			if mutants != nil {
				line += " Mutants |"
			}
			b.WriteString(line + "\n")
			continue
		case strings.HasPrefix(line, "|---"):
			b.WriteString(strings.Repeat("|---", 5+min(1, len(mutants))) + "|\n")
			continue
		case m == nil:
			b.WriteString(line)
			continue
		}
		rule := m[1]
		if known[rule] {
			wrong("rules.md lists %s twice", rule)
		}
		known[rule] = true
		for source := range strings.SplitSeq(m[3], ", ") {
			if !sections[source] {
				wrong("rules.md: %s cites %q, which does not exist", rule, source)
			}
		}
		if len(tags[rule]) != 1 {
			wrong("rule %s: tags are in %v; want exactly one", rule, tags[rule])
		}
		if len(tests[rule]) == 0 {
			wrong("rule %s: no test and no script says that it fails without it", rule)
		}
		columns := []string{fileLinks(tags[rule]), strings.Join(tests[rule], ", ")}
		if mutants != nil {
			columns = append(columns, strings.Join(mutants[rule], ", "))
			if len(mutants[rule]) == 0 {
				wrong("rule %s: no mutant breaks it", rule)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", rule, m[2], m[3], strings.Join(columns, " | "))
	}
	for _, all := range []map[string][]string{tags, mutants} {
		for rule, where := range all {
			if !known[rule] {
				wrong("%s, named in %v, is not listed in rules.md", rule, where)
			}
		}
	}
	if len(known) < 30 {
		wrong("rules.md: found only %d rules; has the table changed its form?", len(known))
	}
	slices.Sort(problems)
	return b.String(), problems
}

func fileLinks(files []string) string {
	var links []string
	for _, file := range files {
		links = append(links, marker{file: file}.link())
	}
	return strings.Join(links, ", ")
}

// ruleTags returns the files in which each rule is tagged.
func ruleTags(t *testing.T) map[string][]string {
	t.Helper()
	tagged := map[string][]string{}
	goFiles(t, func(path string, lines []string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "raft/mutants/") {
			return // a mutant quotes the line that it changes, with its tag
		}
		for _, line := range lines {
			if !strings.Contains(line, "rule:") || !strings.Contains(line, "//") || strings.Contains(line, `"rule:`) {
				continue
			}
			m := tagPattern.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s: want \"// rule:<area>.<rule> <section> <what>\" in %q", path, strings.TrimSpace(line))
				continue
			}
			tagged[m[1]] = append(tagged[m[1]], path)
		}
	})
	return tagged
}

// mutantsByRule returns the links to the mutants that break each rule, or nil if
// there is no such directory. A mutant is a composite literal with the fields Name
// and Rule.
func mutantsByRule(t *testing.T, dir string) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var mutants map[string][]string
	for _, path := range paths {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			name, rule := stringField(literal, "Name"), stringField(literal, "Rule")
			if name != "" && rule != "" {
				if mutants == nil {
					mutants = map[string][]string{}
				}
				link := marker{file: strings.TrimPrefix(filepath.ToSlash(path), "../"), name: name}.link()
				mutants[rule] = append(mutants[rule], link)
			}
			return true
		})
	}
	return mutants
}

// stringField returns the value of a field that is given by a string literal, or
// nothing.
func stringField(literal *ast.CompositeLit, field string) string {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, ok := pair.Key.(*ast.Ident)
		value, isLiteral := pair.Value.(*ast.BasicLit)
		if ok && isLiteral && key.Name == field {
			text, _ := strconv.Unquote(value.Value)
			return text
		}
	}
	return ""
}

func TestThePageOfRulesSeesWhatIsMissing(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Rule | What it says | Source | File |\n|---|---|---|---|\n")
	tags, mutants := map[string][]string{}, map[string][]string{}
	var found []marker
	for i := range 30 {
		rule := "area.rule-" + string(rune('a'+i%26)) + strings.Repeat("z", i/26)
		fmt.Fprintf(&table, "| `%s` | It says. | §5.1, thesis 3.8 | old |\n", rule)
		tags[rule] = []string{"raft/core.go"}
		mutants[rule] = []string{"mutant"}
		found = append(found, marker{rule: rule, file: "raft/x_test.go", name: "TestX"})
	}
	page, problems := rulesPage(table.String(), tags, found, mutants)
	if len(problems) > 0 || !strings.Contains(page, "| `area.rule-a` | It says. | §5.1, thesis 3.8 | [`raft/core.go`](../raft/core.go) | [`TestX`](../raft/x_test.go) | mutant |") {
		t.Fatalf("%v\n%s", problems, page)
	}
	if again, _ := rulesPage(page, tags, found, mutants); again != page {
		t.Error("the page is another one when it is made from itself")
	}
	if page, problems := rulesPage(page, tags, found, nil); len(problems) > 0 || strings.Contains(page, "utant") {
		t.Errorf("without mutants: %v\n%s", problems, page)
	}
	const one = "area.rule-a"
	for name, change := range map[string]func(){
		"a tag that is missing":       func() { delete(tags, one) },
		"a tag twice":                 func() { tags[one] = []string{"a.go", "b.go"} },
		"a rule without a tag":        func() { tags["area.unknown"] = tags[one] },
		"a mutant that is missing":    func() { delete(mutants, one) },
		"a mutant of nothing":         func() { mutants["area.unknown"] = mutants[one] },
		"a test that is missing":      func() { found = found[1:] },
		"a test of nothing":           func() { found = append(found, marker{rule: "area.unknown"}) },
		"a section that is not there": func() { page = strings.Replace(page, "§5.1", "§5.9", 1) },
	} {
		oldTags, oldMutants, oldFound, oldPage := maps.Clone(tags), maps.Clone(mutants), slices.Clone(found), page
		change()
		if _, problems := rulesPage(page, tags, found, mutants); len(problems) != 1 {
			t.Errorf("%s: %v, want one problem", name, problems)
		}
		tags, mutants, found, page = oldTags, oldMutants, oldFound, oldPage
	}
}

func TestEveryCitationNamesASectionThatExists(t *testing.T) {
	cited := 0
	goFiles(t, func(path string, lines []string) {
		for i, line := range lines {
			_, comment, ok := strings.Cut(line, "//")
			if !ok {
				continue
			}
			for _, citation := range citationPattern.FindAllString(comment, -1) {
				cited++
				if !sections[citation] {
					t.Errorf("%s:%d: %q does not exist", path, i+1, citation)
				}
			}
		}
	})
	if cited < 50 {
		t.Errorf("found only %d citations; is the pattern still right?", cited)
	}
}
