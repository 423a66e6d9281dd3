package docs_test

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the pages that are generated from the code anew")

// marker is a comment that ties a place of the code to a trap or to a rule:
//
//	// Trap 30.                            above a test, or in it: it fails if the
//	// Traps 28 and 29.                    mistake is made here
//	// Rules: vote.once, vote.persist.     the same for the lines that decide these
//	# Trap 21.                             in a script
//	// Trap 7 cannot happen here: why.     in the code, beside what makes it so
type marker struct {
	trap, rule string // one of them
	reason     string // why the trap cannot happen
	file       string // from the root of the module
	name       string // of the test or the script; empty in the code
}

func (m marker) link() string {
	name := m.name
	if name == "" {
		name = m.file
	}
	return fmt.Sprintf("[`%s`](../%s)", name, m.file)
}

func (m marker) place() string { return strings.TrimSpace(m.file + " " + m.name) }

var (
	trapMarker = regexp.MustCompile(`^Traps? ([0-9]+[a-z]?(?:(?:, | and )[0-9]+[a-z]?)*)(?:\.$| cannot happen here: (\S.*)\.$)`)
	ruleMarker = regexp.MustCompile(`^Rules: ([a-z]+\.[a-z-]+(?:, [a-z]+\.[a-z-]+)*)\.$`)
	// markerBegins is how a line begins that is meant as a marker.
	markerBegins = regexp.MustCompile(`^(Traps? [0-9]|Rules?: )`)
	idSeparator  = regexp.MustCompile(`, | and `)
)

// findMarkers returns all markers of the module, in the order of the files.
func findMarkers(t *testing.T, root string) []marker {
	t.Helper()
	var found []marker
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && path != root {
				return filepath.SkipDir
			}
			return nil
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		script := strings.Contains(file, "testdata/scripts/")
		if !script && !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read := goMarkers
		if script {
			read = scriptMarkers
		}
		markers, err := read(file, string(text))
		if err != nil {
			t.Error(err)
		}
		found = append(found, markers...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// scriptMarkers returns the markers in the comments of a script.
func scriptMarkers(file, text string) ([]marker, error) {
	var comment []string
	for line := range strings.Lines(text) {
		if line, ok := strings.CutPrefix(line, "#"); ok {
			comment = append(comment, line)
		} else {
			comment = append(comment, "")
		}
	}
	return markersIn(marker{file: file, name: file[strings.LastIndex(file, "/")+1:]}, comment)
}

// goMarkers returns the markers in the comments of a Go file. In a test file each
// must belong to a test.
func goMarkers(file, text string) ([]marker, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var all []marker
	var problems []error
	for _, group := range parsed.Comments {
		where := marker{file: file}
		if strings.HasSuffix(file, "_test.go") {
			where.name = testAround(parsed, group)
		}
		var lines []string
		for _, comment := range group.List {
			lines = append(lines, strings.TrimPrefix(comment.Text, "//"))
		}
		markers, err := markersIn(where, lines)
		if err == nil && len(markers) > 0 && strings.HasSuffix(file, "_test.go") && where.name == "" {
			err = fmt.Errorf("%s: a marker that belongs to no test", set.Position(group.Pos()))
		}
		problems = append(problems, err)
		all = append(all, markers...)
	}
	return all, errors.Join(problems...)
}

// testAround returns the name of the test that a comment belongs to, or nothing.
func testAround(file *ast.File, comment *ast.CommentGroup) string {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
			continue
		}
		if f.Doc == comment || f.Pos() <= comment.Pos() && comment.End() <= f.End() {
			return f.Name.Name
		}
	}
	return ""
}

// markersIn returns the markers in the lines of a comment.
func markersIn(where marker, lines []string) ([]marker, error) {
	var all []marker
	for _, paragraph := range paragraphs(lines) {
		if !markerBegins.MatchString(paragraph) {
			continue
		}
		traps, rules := trapMarker.FindStringSubmatch(paragraph), ruleMarker.FindStringSubmatch(paragraph)
		m := where
		switch inCode := where.name == "" && !strings.HasSuffix(where.file, "_test.go"); {
		case traps != nil && (traps[2] != "") == inCode:
			m.reason = traps[2]
			for _, id := range idSeparator.Split(traps[1], -1) {
				m.trap = id
				all = append(all, m)
			}
		case rules != nil && !inCode:
			for rule := range strings.SplitSeq(rules[1], ", ") {
				m.rule = rule
				all = append(all, m)
			}
		default:
			return all, fmt.Errorf("%s: what is the marker %q to say? See marker in docs/markers_test.go", where.place(), paragraph)
		}
	}
	return all, nil
}

// paragraphs joins the lines of a comment. A marker begins a paragraph of its own.
func paragraphs(lines []string) []string {
	var all []string
	open := false
	for _, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			open = false
		case open && !markerBegins.MatchString(line):
			all[len(all)-1] += " " + line
		default:
			all = append(all, line)
			open = true
		}
	}
	return all
}

// checkPage compares a generated page with the one that is there, or writes it.
func checkPage(t *testing.T, file, page string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != page {
		t.Errorf("docs/%s is out of date: %s\nwrite it anew with: go test ./docs -run '%s' -update", file, firstDifference(string(there), page), t.Name())
	}
}

func firstDifference(old, now string) string {
	a, b := strings.Split(old, "\n"), strings.Split(now, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is\n%s\nand should be\n%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("it has %d lines and should have %d", len(a), len(b))
}

func TestMarkersAreRead(t *testing.T) {
	const text = `package p

// f decides.
//
// Traps 7 and 12b cannot happen here: nothing else runs
// meanwhile.
func f() {}
`
	const test = `package p

// TestF says
// something, see trap 99.
//
// Trap 30.
// Rules: a.b, c.d-e.
func TestF(t *testing.T) {
	// Traps 1, 2b and 3.
	f()
}
`
	const script = "# Something.\n#\n# Trap 21.\n\ncluster\n----\nRules: x.y.\n"
	want := []marker{
		{trap: "7", reason: "nothing else runs meanwhile", file: "p/f.go"},
		{trap: "12b", reason: "nothing else runs meanwhile", file: "p/f.go"},
		{trap: "30", file: "p/f_test.go", name: "TestF"},
		{rule: "a.b", file: "p/f_test.go", name: "TestF"},
		{rule: "c.d-e", file: "p/f_test.go", name: "TestF"},
		{trap: "1", file: "p/f_test.go", name: "TestF"},
		{trap: "2b", file: "p/f_test.go", name: "TestF"},
		{trap: "3", file: "p/f_test.go", name: "TestF"},
		{trap: "21", file: "p/testdata/scripts/s", name: "s"},
	}
	a, err1 := goMarkers("p/f.go", text)
	b, err2 := goMarkers("p/f_test.go", test)
	c, err3 := scriptMarkers("p/testdata/scripts/s", script)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if got := slices.Concat(a, b, c); !slices.Equal(got, want) {
		t.Errorf("read %v\nwant %v", got, want)
	}
}

func TestMarkersThatSayNothingAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ file, text string }{
		"a trap that the code is said to test":  {"p/f.go", "package p\n\n// Trap 7.\nvar x int\n"},
		"a reason in a test":                    {"p/f_test.go", "package p\n\n// Trap 7 cannot happen here: because.\nfunc TestF() {}\n"},
		"a reason that is missing":              {"p/f.go", "package p\n\n// Trap 7 cannot happen here: .\nvar x int\n"},
		"something else after the number":       {"p/f_test.go", "package p\n\n// Trap 7: votes.\nfunc TestF() {}\n"},
		"a rule without an area":                {"p/f_test.go", "package p\n\n// Rules: vote.\nfunc TestF() {}\n"},
		"one rule":                              {"p/f_test.go", "package p\n\n// Rule: vote.once.\nfunc TestF() {}\n"},
		"a rule that the code is said to test":  {"p/f.go", "package p\n\n// Rules: vote.once.\nvar x int\n"},
		"a marker above something else":         {"p/f_test.go", "package p\n\n// Trap 7.\nfunc helper() {}\n"},
		"a marker that belongs to no test":      {"p/f_test.go", "package p\n\n// Trap 7.\n\nfunc TestF() {}\n"},
		"a file that the compiler would refuse": {"p/f.go", "package\n"},
	} {
		if found, err := goMarkers(test.file, test.text); err == nil {
			t.Errorf("%s: read as %v", name, found)
		}
	}
}

func TestThePageOfTrapsSeesWhatIsMissing(t *testing.T) {
	var complete []marker
	for _, group := range trapGroups {
		for _, trap := range group.traps {
			if trap.later == "" {
				complete = append(complete, marker{trap: trap.id, file: "p/f_test.go", name: "TestF"})
			}
		}
	}
	if _, problems := trapsPage(complete); len(problems) > 0 {
		t.Fatalf("all is guarded: %v", problems)
	}
	for name, found := range map[string][]marker{
		"a trap that nothing guards": complete[1:],
		"a trap that is not listed":  append(slices.Clone(complete), marker{trap: "999", file: "p/f_test.go"}),
		"a trap of a later time":     append(slices.Clone(complete), marker{trap: "72", file: "p/f_test.go"}),
	} {
		if _, problems := trapsPage(found); len(problems) != 1 {
			t.Errorf("%s: %v, want one problem", name, problems)
		}
	}
}
