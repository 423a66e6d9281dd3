package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The floors of the house: who may import whom. Each package of ours is listed
// with the packages of ours that it may import, and the others that it exists
// for. A package that is not listed is an error, so a new room is a decision.
var floors = map[string]struct{ ours, others []string }{
	"balsa/raft":                {},
	"balsa/raft/node":           {ours: []string{"balsa/raft"}},
	"balsa/raft/logstore":       {ours: []string{"balsa/raft", "balsa/raft/node"}, others: []string{"github.com/cockroachdb/pebble/v2"}},
	"balsa/raft/sim":            {ours: []string{"balsa/raft"}},
	"balsa/raft/modelcheck":     {ours: []string{"balsa/raft"}},
	"balsa/raft/mutants":        {},
	"balsa/raft/mutants/trial":  {ours: []string{"balsa/raft", "balsa/raft/sim"}},
	"balsa/raft/mutants/matrix": {ours: []string{"balsa/raft/mutants"}},
	"balsa/rpc":                 {ours: []string{"balsa/raft", "balsa/raft/node"}},
	"balsa/gossip":              {others: []string{"github.com/hashicorp/memberlist"}},
	"balsa/gossip/founding":     {ours: []string{"balsa/gossip"}},
	"balsa/gossip/autopilot":    {ours: []string{"balsa/gossip", "balsa/raft", "balsa/raft/node"}},
	"balsa/kv":                  {ours: []string{"balsa/raft", "balsa/raft/node"}, others: []string{"github.com/cockroachdb/pebble/v2"}},
	"balsa/kv/history":          {others: []string{"github.com/anishathalye/porcupine"}},
	"balsa/api":                 {ours: []string{"balsa/kv", "balsa/api/wire"}, others: []string{"github.com/go-chi/chi/v5", "github.com/danielgtaylor/huma/v2", "github.com/swaggest/swgui"}},
	"balsa/api/wire":            {},
	"balsa/api/client":          {ours: []string{"balsa/api/wire"}},
	"balsa/docs":                {},
}

// composers may import everything: they put the rooms together.
var composers = []string{"balsa/cmd/balsa", "balsa/linearizability_test"}

// impure is what the algorithm must not know: time, machines and other
// goroutines. It also must compile for a browser.
var impure = []string{"time", "net", "os", "sync", "log", "math/rand", "math/rand/v2", "crypto/rand", "context", "syscall", "runtime", "unsafe", "testing"}

type listedPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...")
	command.Dir = ".."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listedPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// violations returns what is wrong with the imports of one package.
func violations(p listedPackage) []string {
	if slices.ContainsFunc(composers, func(c string) bool { return within(p.ImportPath, c) }) {
		return nil
	}
	if strings.Contains(p.ImportPath, "/internal/") {
		return nil // only its neighbours can import it, and they are listed
	}
	floor, ok := floors[p.ImportPath]
	if !ok {
		return []string{"package " + p.ImportPath + " is not listed in docs/floors_test.go: which floor is it on?"}
	}
	var bad []string
	for _, imported := range p.Imports {
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case within(imported, "balsa"):
			if !slices.Contains(floor.ours, imported) && !strings.HasPrefix(imported, p.ImportPath+"/internal/") {
				bad = append(bad, fmt.Sprintf("%s must not import %s", p.ImportPath, imported))
			}
		case strings.Contains(first, "."):
			if strings.HasPrefix(p.ImportPath, "balsa/raft") && !slices.ContainsFunc(floor.others, func(o string) bool { return within(imported, o) }) {
				bad = append(bad, fmt.Sprintf("%s must not import %s", p.ImportPath, imported))
			}
		case p.ImportPath == "balsa/raft":
			if slices.ContainsFunc(impure, func(i string) bool { return within(imported, i) }) {
				bad = append(bad, fmt.Sprintf("the algorithm must not import %s", imported))
			}
		}
	}
	return bad
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestEveryPackageImportsOnlyWhatItsFloorAllows(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 8 {
		t.Fatalf("go list names only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
}

func TestTheFloorCheckSeesViolations(t *testing.T) {
	for _, p := range []listedPackage{
		{ImportPath: "balsa/raft", Imports: []string{"time"}},
		{ImportPath: "balsa/raft", Imports: []string{"balsa/kv"}},
		{ImportPath: "balsa/raft", Imports: []string{"math/rand/v2"}},
		{ImportPath: "balsa/raft/node", Imports: []string{"balsa/rpc"}},
		{ImportPath: "balsa/raft/sim", Imports: []string{"github.com/anishathalye/porcupine"}},
		{ImportPath: "balsa/gossip", Imports: []string{"balsa/raft"}},
		{ImportPath: "balsa/kv", Imports: []string{"balsa/rpc"}},
		{ImportPath: "balsa/api", Imports: []string{"balsa/gossip"}},
		{ImportPath: "balsa/somewhere/new"},
	} {
		if len(violations(p)) == 0 {
			t.Errorf("%s importing %v is not seen as a violation", p.ImportPath, p.Imports)
		}
	}
}

func TestTheAlgorithmCompilesForABrowser(t *testing.T) {
	command := exec.Command("go", "build", "./raft", "./raft/sim")
	command.Dir = ".."
	command.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("GOOS=js GOARCH=wasm go build: %v\n%s", err, out)
	}
}
