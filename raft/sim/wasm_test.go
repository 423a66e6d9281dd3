package sim

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var hashesFlag = flag.Bool("hashes", false, "TestPrintHashes: print the hashes of some runs")

var browserFlag = flag.Bool("browser", false, "TestARunInABrowserIsTheSame: compile for js/wasm and compare, which takes a while")

// hashes describes some runs and their replays by their hashes.
func hashes() (string, error) {
	var b strings.Builder
	for seed := uint64(1); seed <= 6; seed++ {
		s, result, err := Record(Options{Seed: seed, Ticks: 150})
		if err != nil {
			return "", err
		}
		parsed, err := ParseScenario([]byte(s.String()))
		if err != nil {
			return "", err
		}
		replayed, err := Check(parsed, nil)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "hash: seed %d, run %016x, state %016x, %d steps, %d actions, replayed %016x\n",
			seed, result.Hash, result.State, result.Steps, len(s.Actions), replayed.Hash)
	}
	return b.String(), nil
}

// TestPrintHashes is what TestARunInABrowserIsTheSame runs where a browser would.
func TestPrintHashes(t *testing.T) {
	if !*hashesFlag {
		t.Skip("prints hashes if asked to with -hashes")
	}
	text, err := hashes()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Print(text)
}

// A seed gives the same run on every machine, and in a browser as well.
func TestARunInABrowserIsTheSame(t *testing.T) {
	if !*browserFlag || runtime.GOOS == "js" {
		t.Skip("compiles for another machine, if asked to with -browser")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node, which runs what is compiled for browsers: install nodejs")
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "sim.wasm")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c for js/wasm: %v\n%s", err, out)
	}
	run := exec.Command(node, "--stack-size=8192", filepath.Join(strings.TrimSpace(string(goroot)), "lib", "wasm", "wasm_exec_node.js"),
		program, "-test.run=^TestPrintHashes$", "-hashes")
	run.Env = []string{"PATH=" + os.Getenv("PATH")} // there is room for little
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	var there strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "hash: ") {
			there.WriteString(line)
		}
	}
	here, err := hashes()
	if err != nil {
		t.Fatal(err)
	}
	if there.String() != here {
		t.Errorf("here:\n%sthere:\n%s", here, out)
	}
	t.Log(here)
}
