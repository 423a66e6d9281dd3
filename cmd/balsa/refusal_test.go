package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// stoppedNode returns a node that has founded a cluster, written some keys, and
// stopped.
func stoppedNode(t *testing.T) *node {
	t.Helper()
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"))
	c := clientOf(t, n)
	for i := range 100 {
		put(t, c, fmt.Sprintf("key %d", i), strings.Repeat("v", 2000))
	}
	n.signal(syscall.SIGTERM)
	if code := n.exitCode(); code != exitOK {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	return n
}

// wantRefused starts a node that must not start: it ends with an error and one
// line that says everything of what is wanted.
func wantRefused(t *testing.T, args []string, wants ...string) {
	t.Helper()
	p := start(t, args...)
	if code := p.exitCode(); code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	var last string
	for line := range strings.Lines(p.out.String()) {
		if strings.HasPrefix(line, "balsa: ") {
			last = line
		}
	}
	for _, want := range wants {
		if !strings.Contains(last, want) {
			t.Errorf("it ended with %q, which lacks %q", last, want)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(p.out.String()), strings.TrimSpace(last)) {
		t.Errorf("the reason is not the last line of\n%s", p.out)
	}
}

// replaced returns arguments in which one value has been exchanged.
func replaced(args []string, flag, value string) []string {
	args = slices.Clone(args)
	args[slices.Index(args, flag)+1] = value
	return args
}

func TestDataDirectoryOfAnotherNodeIsRefused(t *testing.T) {
	n := stoppedNode(t)
	wantRefused(t, replaced(n.serve(), "--id", "2"),
		"is the log of node 1, but this node was started as node 2", "start it with --id 1")
	n.restart(t) // nothing is lost
	wantValue(t, clientOf(t, n), "key 0", strings.Repeat("v", 2000))
}

func TestDataDirectoryInUseIsRefused(t *testing.T) {
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"))
	args := n.serve()
	for _, flag := range []string{"--api-addr", "--rpc-addr", "--gossip-addr"} {
		args = replaced(args, flag, anyPort)
	}
	wantRefused(t, args, "the directory is in use by another balsa process")
	n.ready(t) // the first one is not disturbed
}

func TestStateWithoutItsLogIsRefused(t *testing.T) {
	n := stoppedNode(t)
	if err := os.RemoveAll(filepath.Join(n.dir, "log")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, n.serve(), "log.witness", "knows of a log, which is gone", "wipe the node's data directory")
	if err := os.Remove(filepath.Join(n.dir, "log.witness")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, n.serve(), "--data-dir", "holds the state of a cluster member, but its log", "is empty or gone")
}

func TestLogWithoutItsWitnessIsRefused(t *testing.T) {
	n := stoppedNode(t)
	if err := os.Remove(filepath.Join(n.dir, "log.witness")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, n.serve(), "log.witness", "is missing", "balsa recover")
}

func TestDamagedLogIsRefused(t *testing.T) {
	n := stoppedNode(t)
	// The largest file of the log holds the entries. Damage in its last 32 KiB
	// would look like the end of it, which Pebble cannot tell apart.
	files, err := filepath.Glob(filepath.Join(n.dir, "log", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	largest, content := "", []byte(nil)
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && len(b) > len(content) {
			largest, content = file, b
		}
	}
	if len(content) < 150<<10 {
		t.Fatalf("the log's files are %v, the largest has %d bytes", files, len(content))
	}
	content[len(content)/2] ^= 0xff
	if err := os.WriteFile(largest, content, 0o644); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, n.serve(), "is damaged", filepath.Join(n.dir, "log"), "wipe its data directory and let it rejoin")
}

func TestPortInUseIsRefused(t *testing.T) {
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"))
	for flag, taken := range map[string]string{"--api-addr": n.api, "--rpc-addr": n.rpc, "--gossip-addr": n.gossip} {
		t.Run(flag, func(t *testing.T) {
			other := &node{id: 2, dir: filepath.Join(t.TempDir(), "n2"), api: anyPort, rpc: anyPort, gossip: anyPort}
			wantRefused(t, replaced(other.serve(), flag, taken),
				flag+" "+taken+": the port is in use by another process: stop that one, or choose another port")
			if _, err := os.Stat(other.dir); !os.IsNotExist(err) {
				t.Errorf("the data directory exists: %v", err)
			}
		})
	}
}
