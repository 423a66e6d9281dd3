package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	rowPattern      = regexp.MustCompile("^\\| `([a-z]+\\.[a-z-]+)` \\| (.+) \\| (.+) \\| (.+) \\|$")
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

func TestEveryRuleIsTaggedOnceAndEveryTagIsARule(t *testing.T) {
	table, err := os.ReadFile("rules.md")
	if err != nil {
		t.Fatal(err)
	}
	file := map[string]string{} // by rule
	for line := range strings.Lines(string(table)) {
		m := rowPattern.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		rule, sources := m[1], m[3]
		if file[rule] != "" {
			t.Errorf("rules.md lists %s twice", rule)
		}
		file[rule] = m[4]
		for source := range strings.SplitSeq(sources, ", ") {
			if !sections[source] {
				t.Errorf("rules.md: %s cites %q, which does not exist", rule, source)
			}
		}
	}
	if len(file) < 30 {
		t.Fatalf("rules.md: found only %d rules; has the table changed its form?", len(file))
	}

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
	for rule, path := range file {
		if got := tagged[rule]; !slices.Equal(got, []string{path}) {
			t.Errorf("rule %s: rules.md says %s, tags are in %v; want exactly that one", rule, path, got)
		}
	}
	for rule, paths := range tagged {
		if file[rule] == "" {
			t.Errorf("tag rule:%s in %v is not listed in rules.md", rule, paths)
		}
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
