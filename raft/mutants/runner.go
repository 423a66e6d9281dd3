package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Runner builds programs with a mutant in them, and runs checks. The tree is never
// changed: the go command is told to read another file in place of one of the
// tree's ("go help build", -overlay). A Runner can be used by several goroutines.
type Runner struct {
	// Root is the directory of the module.
	Root string
	// Dir is where programs are put; it must exist and is the caller's to remove.
	Dir string
	// Timeout bounds one build, and one run. Default 2 minutes.
	Timeout time.Duration
}

// Patience is enough for every check on a machine that has a lot else to do.
const Patience = 5 * time.Minute

// Outcome is what became of a check.
type Outcome struct {
	// Passed says that the check has found nothing wrong. Otherwise Verdict is the
	// line in which it says what is, as far as it is the expected one.
	Passed  bool
	Verdict string
	// Output is all that the check has said.
	Output string
	// Built and Ran are how long that took.
	Built, Ran time.Duration
}

// Killed reports whether the check has noticed what it was to notice.
func (o Outcome) Killed() bool { return !o.Passed && o.Verdict != "" }

// Program is a check that was built: the tests of a package, or the command trial.
type Program struct {
	runner *Runner
	path   string
	pkg    string
	Built  time.Duration
}

// Build builds the program that does the checks of a package, with a mutant in it,
// or without if m is nil. An error means that the mutant does not apply or does
// not compile.
func (r *Runner) Build(m *Mutant, pkg string) (*Program, error) {
	began := time.Now()
	name := "real"
	var overlay []string
	if m != nil {
		name = m.Name
		file, err := r.overlay(*m)
		if err != nil {
			return nil, err
		}
		overlay = []string{"-overlay=" + file}
	}
	p := &Program{runner: r, pkg: pkg, path: filepath.Join(r.Dir, name+"."+strings.ReplaceAll(pkg, "/", "-"))}
	arguments := []string{"test", "-c"}
	if pkg == TrialPackage {
		arguments = []string{"build"}
	}
	arguments = append(arguments, overlay...)
	arguments = append(arguments, "-ldflags=-s -w", "-o", p.path, "./"+pkg)
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout())
	defer cancel()
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = r.Root
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s with %s: %w\n%s", pkg, name, err, out)
	}
	p.Built = time.Since(began)
	return p, nil
}

// overlay writes a mutant's file and the description that the go command reads, and
// returns the path of that.
func (r *Runner) overlay(m Mutant) (string, error) {
	text, err := m.Apply(r.Root)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(r.Dir, m.Name+".go")
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		return "", err
	}
	original := filepath.Join(r.Root, filepath.FromSlash(m.File))
	description, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(r.Dir, m.Name+".json")
	return file, os.WriteFile(file, description, 0o600)
}

// Remove removes the program.
func (p *Program) Remove() error { return os.Remove(p.path) }

// Run runs a check. An error means that nothing can be said: the program could not
// be run, or did not come to an end.
func (p *Program) Run(c Check) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.runner.timeout())
	defer cancel()
	command := exec.CommandContext(ctx, p.path, c.arguments()...)
	command.Dir = filepath.Join(p.runner.Root, filepath.FromSlash(p.pkg)) // where a test expects its files
	began := time.Now()
	out, err := command.CombinedOutput()
	o := Outcome{Passed: err == nil, Output: string(out), Built: p.Built, Ran: time.Since(began)}
	if ctx.Err() != nil {
		return o, fmt.Errorf("%s: not done after %s", c.Command(), p.runner.timeout())
	}
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		return o, fmt.Errorf("%s: %w", c.Command(), err)
	}
	if c.Kind() != Simulator && strings.Contains(o.Output, "no tests to run") {
		return o, fmt.Errorf("%s: there is no such test", c.Command())
	}
	if !o.Passed {
		o.Verdict = verdictLine(o.Output, c.Verdict)
	}
	return o, nil
}

// verdictLine returns the first line of a program's output that says what is
// expected, or nothing.
func verdictLine(output, verdict string) string {
	pattern := regexp.MustCompile(verdict)
	for line := range strings.Lines(output) {
		if pattern.MatchString(line) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// Kill builds the program of a mutant's check and runs it.
func (r *Runner) Kill(m Mutant) (Outcome, error) {
	p, err := r.Build(&m, m.Dies.Package)
	if err != nil {
		return Outcome{}, err
	}
	o, err := p.Run(m.Dies)
	return o, errors.Join(err, p.Remove())
}

func (r *Runner) timeout() time.Duration {
	if r.Timeout == 0 {
		return 2 * time.Minute
	}
	return r.Timeout
}
