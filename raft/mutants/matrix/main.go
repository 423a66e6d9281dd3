// Command matrix runs the mutants of the core that the simulator can see in worlds in which different things
// go wrong, and writes docs/fault-matrix.md: which fault makes which missing rule
// visible, by which seed, as the violation of which property.
//
//	go run ./raft/mutants/matrix
//	go run ./raft/mutants/matrix -only figure-8 -seeds 1000 -o /dev/stdout
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"balsa/raft/mutants"
)

// worlds are the columns: what they are called, and what goes wrong there.
var worlds = []struct{ title, faults string }{
	{"nothing", "none"},
	{"loss", "loss"},
	{"+ reordering", "loss,reorder"},
	{"+ duplicates", "loss,duplicate"},
	{"+ crashes", "loss,crash"},
	{"+ partitions", "loss,partition"},
	{"all of these", "loss,reorder,duplicate,crash,partition"},
	{"any", "any"},
}

const introduction = `# Which fault makes which missing rule visible

Each row is a mutant: the core with one rule broken (see mutants.md). Each column is
a kind of world in the simulator: nothing goes wrong; messages are lost; they are
lost and something else happens, too; all of these; and "any", where each seed
decides among all that the simulator knows, slow disks, snapshots, changes of
members, transfers and drifting clocks among them. A cell says which of the seeds 1
to %d was the first to show the bug, and as a violation of what; a dash means none.
The first row is the real code. Mutants that only a test sees, as mutants.md says,
are left out. Whatever the world, each run ends with a part in which servers may be
down, deaf or mute, and the cluster must come back to life.

Made by ` + "`go run ./raft/mutants/matrix`" + `, which takes a while.

`

func main() {
	var (
		seeds        = flag.Int("seeds", 40, "how many seeds to try in each cell")
		only         = flag.String("only", "", "only the mutants whose name matches this regular expression")
		consequences = flag.Bool("consequences", false, "overlook broken promises, to see what comes of them")
		out          = flag.String("o", "docs/fault-matrix.md", "where to write the table")
	)
	flag.Parse()
	if err := run(*seeds, *only, *consequences, *out); err != nil {
		fmt.Fprintf(os.Stderr, "matrix: %v\n", err)
		os.Exit(1)
	}
}

func run(seeds int, only string, consequences bool, out string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return fmt.Errorf("run this in the directory of the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "matrix")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &matrix{
		runner: &mutants.Runner{Root: root, Dir: dir, Timeout: mutants.Patience},
		seeds:  seeds, consequences: consequences,
	}
	rows := []*row{{name: "(the real code)"}}
	for _, mutant := range mutants.All() {
		if pattern.MatchString(mutant.Name) && filepath.Dir(mutant.File) == "raft" && mutant.Dies.Kind() == mutants.Simulator {
			rows = append(rows, &row{name: mutant.Name, rule: mutant.Rule, mutant: &mutant})
		}
	}
	if err := m.fill(rows); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(table(rows, seeds)), 0o644)
}

// row is one line of the table.
type row struct {
	name, rule string
	mutant     *mutants.Mutant // nil for the real code
	cells      []string
}

type matrix struct {
	runner       *mutants.Runner
	seeds        int
	consequences bool
}

// fill fills the rows, as many at a time as there are processors.
func (m *matrix) fill(rows []*row) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		work  = make(chan *row)
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for r := range work {
				err := m.fillRow(r)
				mu.Lock()
				if err != nil && first == nil {
					first = err
				}
				fmt.Fprintf(os.Stderr, "%s: %s\n", r.name, strings.Join(r.cells, " | "))
				mu.Unlock()
			}
		})
	}
	for _, r := range rows {
		work <- r
	}
	close(work)
	wg.Wait()
	return first
}

var violation = regexp.MustCompile(`^seed (\d+) violates (.+?) at tick`)

func (m *matrix) fillRow(r *row) error {
	p, err := m.runner.Build(r.mutant, mutants.TrialPackage)
	if err != nil {
		return err
	}
	defer p.Remove()
	for _, w := range worlds {
		o, err := p.Run(mutants.Check{
			Package: mutants.TrialPackage, Seeds: m.seeds, Faults: w.faults, Consequences: m.consequences, Verdict: ".",
		})
		switch found := violation.FindStringSubmatch(o.Output); {
		case err != nil:
			return err
		case o.Passed:
			r.cells = append(r.cells, "-")
		case found == nil:
			return fmt.Errorf("%s: %s", r.name, o.Output)
		default:
			r.cells = append(r.cells, found[1]+" "+found[2])
		}
	}
	return nil
}

// table returns the page.
func table(rows []*row, seeds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, introduction, seeds)
	b.WriteString("| Mutant | Rule |")
	for _, w := range worlds {
		b.WriteString(" " + w.title + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(worlds)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, r.rule, strings.Join(r.cells, " | "))
	}
	return b.String()
}
