package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shown is a command that the README shows and the output that it shows for it.
type shown struct {
	command string
	output  string
}

// readmeBlocks returns the commands in the console blocks of a section, block by
// block.
func readmeBlocks(t *testing.T, section string) [][]shown {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var blocks [][]shown
	for _, part := range strings.Split(rest, "```console\n")[1:] {
		body, _, _ := strings.Cut(part, "```")
		var block []shown
		for line := range strings.Lines(body) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				block = append(block, shown{command: strings.TrimSpace(command)})
			} else if n := len(block); n > 0 {
				block[n-1].output += line
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// numbers differ from run to run; how the output looks does not.
var numbers = regexp.MustCompile(`[0-9]+`)

// run runs a command of the README in dir, with its addresses replaced, and
// compares what it prints.
func (s shown) run(t *testing.T, dir string, replace *strings.Replacer, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-c", replace.Replace(strings.ReplaceAll(s.command, "curl ", "curl -sS ")))
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("$ %s\n%v\n%s", s.command, err, out)
		return
	}
	normal := func(s string) string { return numbers.ReplaceAllString(strings.TrimSpace(s), "N") }
	if got := normal(string(out)); s.output != "" && got != normal(s.output) {
		t.Errorf("$ %s\nprints\n%s\nthe README says\n%s", s.command, out, s.output)
	}
}

func needTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this test runs the README's commands, which needs %s", tool)
		}
	}
}

// build builds the binary where the README's commands expect it.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	command := exec.Command("go", "build", "-o", filepath.Join(dir, "balsa"), "./cmd/balsa")
	command.Dir = ".."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// start runs a long-running command until the test ends, and returns its
// output as it comes.
func start(t *testing.T, dir string, args ...string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, filepath.Join(dir, "balsa"), args...)
	command.Dir = dir
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 20 * time.Second
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // ended by the signal
	})
	return bufio.NewScanner(out)
}

func TestTheQuickStartOfTheReadmeIsTrue(t *testing.T) {
	needTools(t)
	blocks := readmeBlocks(t, "Quick start")
	if len(blocks) != 3 {
		t.Fatalf("the quick start has %d blocks of commands, this test knows 3", len(blocks))
	}
	if got := blocks[0][1].command; got != "./balsa demo" {
		t.Fatalf("the quick start starts the cluster with %q", got)
	}
	dir := build(t)
	demo := start(t, dir, "demo", "--base-api-port", "0", "--base-rpc-port", "0", "--base-gossip-port", "0")

	// The banner says where the nodes are.
	at := regexp.MustCompile(`node ([0-9])\s+http://(\S+)`)
	var replace, endpoints []string
	var printed bytes.Buffer
	for len(endpoints) < 3 && demo.Scan() {
		printed.WriteString(demo.Text() + "\n")
		if m := at.FindStringSubmatch(demo.Text()); m != nil {
			replace = append(replace, "localhost:300"+m[1], m[2])
			endpoints = append(endpoints, m[2])
		}
	}
	if len(endpoints) < 3 {
		t.Fatalf("the demo does not become ready:\n%s", &printed)
	}
	go func() {
		for demo.Scan() { // keep reading, or the demo would block
		}
	}()
	for _, s := range blocks[1] {
		s.run(t, dir, strings.NewReplacer(replace...), []string{"BALSA_ENDPOINTS=" + strings.Join(endpoints, ",")})
	}
}

func TestTheNodesOfTheReadmeStartByHand(t *testing.T) {
	needTools(t)
	blocks := readmeBlocks(t, "Quick start")
	dir := build(t)

	// Each address of the README is given a free port.
	address := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	var replace []string
	seen := map[string]bool{}
	var api []string
	for _, s := range blocks[2] {
		for _, a := range address.FindAllString(s.command, -1) {
			if seen[a] {
				continue
			}
			seen[a] = true
			free := freeAddress(t)
			replace = append(replace, a, free)
			if strings.Contains(s.command, "--api-addr "+a) {
				api = append(api, free)
			}
		}
	}
	for _, s := range blocks[2] {
		args := strings.Fields(strings.NewReplacer(replace...).Replace(s.command))
		out := start(t, dir, args[1:]...)
		go func() {
			for out.Scan() {
			}
		}()
	}
	env := []string{"BALSA_ENDPOINTS=" + strings.Join(api, ",")}
	shown{command: "./balsa put --timeout 20s key value"}.run(t, dir, strings.NewReplacer(), env)
	shown{command: "./balsa get key", output: "value"}.run(t, dir, strings.NewReplacer(), env)
	waitForVoters(t, dir, env, 3)
}

// waitForVoters waits until the cluster has that many voters, which nobody but
// its own autopilot makes.
func waitForVoters(t *testing.T, dir string, env []string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		command := exec.CommandContext(ctx, "./balsa", "members", "--output", "json")
		command.Dir, command.Env = dir, append(os.Environ(), env...)
		out, err := command.Output()
		var members struct{ Voters []uint64 }
		if err == nil && json.Unmarshal(out, &members) == nil && len(members.Voters) == want {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no %d voters: %v\n%s", want, err, out)
		}
	}
}

// freeAddress returns a loopback address whose port, TCP and UDP, was free a
// moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		if udp, err := net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			defer udp.Close()
			return tcp.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
