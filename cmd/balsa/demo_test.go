package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"balsa/api/client"
)

// freePorts make a demo that runs beside anything.
var freePorts = []string{"--base-api-port", "0", "--base-rpc-port", "0", "--base-gossip-port", "0"}

// demoProcess is balsa demo, and what its banner says.
type demoProcess struct {
	*process
	apis   []string
	pids   []int
	leader int // its pid
	dir    string
}

var (
	bannerNode   = regexp.MustCompile(`(?m)^  node \d  http://(\S+)  pid (\d+)$`)
	bannerData   = regexp.MustCompile(`(?m)^  data    (\S+) `)
	bannerKill   = regexp.MustCompile(`(?m)^  kill -9 (\d+)$`)
	restartAgain = regexp.MustCompile(`(?m)^demo\| start it again.*\n  (.+)$`)
)

func startDemo(t *testing.T, args ...string) *demoProcess {
	t.Helper()
	d := &demoProcess{process: start(t, append(append([]string{"demo"}, freePorts...), args...)...)}
	d.waitFor(t, bannerKill)
	text := d.out.String()
	for _, found := range bannerNode.FindAllStringSubmatch(text, -1) {
		d.apis = append(d.apis, found[1])
		d.pids = append(d.pids, atoi(t, found[2]))
	}
	d.leader = atoi(t, bannerKill.FindStringSubmatch(text)[1])
	d.dir = bannerData.FindStringSubmatch(text)[1]
	if len(d.pids) != 3 {
		t.Fatalf("the banner names %d nodes:\n%s", len(d.pids), text)
	}
	return d
}

// waitFor waits until the output matches, and returns the groups of the match.
func (d *demoProcess) waitFor(t *testing.T, pattern *regexp.Regexp) (groups []string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the demo prints %v", pattern), func(context.Context) error {
		select {
		case <-d.exited:
			t.Fatalf("the demo ended:\n%s", d.out)
		default:
		}
		if groups = pattern.FindStringSubmatch(d.out.String()); groups == nil {
			return errors.New("it did not")
		}
		return nil
	})
	return groups
}

// interrupt ends the demo as Ctrl-C does.
func (d *demoProcess) interrupt(t *testing.T) {
	t.Helper()
	d.signal(syscall.SIGINT)
	if code := d.exitCode(); code != exitOK {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
}

func (d *demoProcess) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Addresses: d.apis, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// processGone reports whether no process has that id any more.
func processGone(pid int) error {
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d is still there (%v)", pid, err)
	}
	return nil
}

// The demo starts a cluster of processes, says how to kill its leader, goes on
// without it, says how to start it again, and ends without leaving anything.
func TestDemoFromStartToEnd(t *testing.T) {
	d := startDemo(t)
	put(t, d.client(t), "hello", "world")

	if err := syscall.Kill(d.leader, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	command := d.waitFor(t, restartAgain)[1]
	if !strings.Contains(d.out.String(), fmt.Sprintf("(pid %d) ended: signal: killed", d.leader)) ||
		!strings.Contains(d.out.String(), "2 of 3 nodes run, which is a majority") {
		t.Errorf("the demo does not say which node ended, and how:\n%s", d.out)
	}
	put(t, d.client(t), "without the leader", "yes")

	// What it prints can be pasted.
	words := strings.Fields(command)
	again := &node{process: start(t, words[1:]...), id: 0}
	again.api = words[indexOf(t, words, "--api-addr")+1]
	again.ready(t)
	wantValue(t, clientOf(t, again), "without the leader", "yes")
	again.signal(syscall.SIGTERM)
	if code := again.exitCode(); code != exitOK {
		t.Errorf("the restarted node ended with %d", code)
	}

	d.interrupt(t)
	for _, pid := range d.pids {
		if err := processGone(pid); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory %s is still there (%v)", d.dir, err)
	}
	if strings.Contains(d.out.String(), "\x1b[") {
		t.Error("there is colour in what does not go to a terminal")
	}
}

func indexOf(t *testing.T, words []string, word string) int {
	t.Helper()
	for i, w := range words {
		if w == word {
			return i
		}
	}
	t.Fatalf("%q is not among %q", word, words)
	return 0
}

// With a directory of its own the demo keeps the data, and goes on with it.
func TestDemoKeepsItsDataDirectory(t *testing.T) {
	dir := t.TempDir()
	d := startDemo(t, "--data-dir", dir)
	put(t, d.client(t), "hello", "world")
	d.interrupt(t)
	d = startDemo(t, "--data-dir", dir)
	wantValue(t, d.client(t), "hello", "world")
	d.interrupt(t)
}

func TestDemoRestartsNodesIfAsked(t *testing.T) {
	d := startDemo(t, "--restart")
	if err := syscall.Kill(d.leader, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.waitFor(t, regexp.MustCompile(`node \d runs again, pid \d+`))
	for i, api := range d.apis {
		(&node{id: i + 1, api: api}).ready(t)
	}
	d.interrupt(t)
}

// A demo that is killed cannot stop its nodes. They end nevertheless.
func TestNodesEndWithTheirDemo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the nodes notice at the end of their stdin")
	}
	d := startDemo(t)
	t.Cleanup(func() { _ = os.RemoveAll(d.dir) })
	d.kill()
	for _, pid := range d.pids {
		eventually(t, fmt.Sprintf("process %d ends", pid), func(context.Context) error { return processGone(pid) })
	}
}

// A taken port is found before anything is started.
func TestDemoRefusesTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	out, code := runBalsa(t, "demo", "--nodes", "1", "--base-api-port", "0", "--base-rpc-port", port, "--base-gossip-port", "0", "--data-dir", dir)
	want := "balsa: port " + port + ", for node 1, is in use"
	if code != exitError || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
		t.Errorf("ended with %d and %q, want one line that begins %q", code, out, want)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("it left %v (%v)", files, err)
	}
}

// A demo whose nodes cannot start says so and ends.
func TestDemoEndsWithNodesThatCannotStart(t *testing.T) {
	args := append(append([]string{"demo"}, freePorts...), "--data-dir", t.TempDir(), "--", "--heartbeat", "1s")
	out, code := runBalsa(t, args...)
	if code != exitError || !strings.Contains(out, "--election-timeout 300ms is too short") ||
		!strings.Contains(out, "ended before the cluster was ready (exit status 2)") {
		t.Errorf("ended with %d:\n%s", code, out)
	}
}
