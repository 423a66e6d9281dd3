package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"balsa/api/client"
	"balsa/api/wire"
)

// patience is how long tests wait for something that must happen. It is long
// because the machine may be busy; a test that passes does not take it.
const patience = 60 * time.Second

// eventually waits until try returns nil.
func eventually(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in %v: %v", what, patience, err)
		}
	}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a balsa command that runs. The test ends it, if it has not ended
// before.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *output // stdout and stderr
	exited chan struct{}
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("balsa", args...), out: &output{}, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("balsa %s\n%s", strings.Join(args, " "), p.out)
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process as a power failure would, and waits for its end.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// exitCode waits for the end of the process and returns its exit code, or -1 if
// a signal ended it.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("balsa %v did not end in %v", p.cmd.Args, patience)
		return 0
	}
}

// run runs a command to its end and returns its output and exit code.
func runBalsa(t *testing.T, args ...string) (string, int) {
	t.Helper()
	p := start(t, args...)
	code := p.exitCode()
	return p.out.String(), code
}

// node is a node as a process of its own.
type node struct {
	*process
	id   int
	dir  string
	args []string // beside id, directory, log format and ports

	// Where it listens.
	api, rpc, gossip string
}

// anyPort has the kernel choose a port, which the node announces through gossip.
const anyPort = "127.0.0.1:0"

// startNode starts a node on any ports and waits until it listens.
func startNode(t *testing.T, id int, dir string, args ...string) *node {
	t.Helper()
	n := &node{id: id, dir: dir, args: args, api: anyPort, rpc: anyPort, gossip: anyPort}
	n.restart(t)
	return n
}

// restart starts the node on the ports that it had before.
func (n *node) restart(t *testing.T) {
	t.Helper()
	n.process = start(t, n.serve()...)
	var listening struct{ Msg, API, RPC, Gossip string }
	eventually(t, fmt.Sprintf("node %d listens", n.id), func(context.Context) error {
		for line := range strings.Lines(n.out.String()) {
			if json.Unmarshal([]byte(line), &listening) == nil && listening.Msg == "listening" {
				return nil
			}
		}
		select {
		case <-n.exited:
			t.Fatalf("node %d ended: %s", n.id, n.out)
		default:
		}
		return errors.New("it does not say so")
	})
	n.api, n.rpc, n.gossip = strings.TrimPrefix(listening.API, "http://"), listening.RPC, listening.Gossip
}

// serve returns the arguments that start the node.
func (n *node) serve() []string {
	return append([]string{
		"serve", "--id", strconv.Itoa(n.id), "--data-dir", n.dir, "--log-format", "json",
		"--api-addr", n.api, "--rpc-addr", n.rpc, "--gossip-addr", n.gossip,
	}, n.args...)
}

// client returns a client that only talks to some nodes.
func clientOf(t *testing.T, nodes ...*node) *client.Client {
	t.Helper()
	var addresses []string
	for _, n := range nodes {
		addresses = append(addresses, n.api)
	}
	c, err := client.New(client.Config{Addresses: addresses, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func put(t *testing.T, c *client.Client, key, value string) {
	t.Helper()
	if _, err := c.Put(t.Context(), []byte(key), []byte(value)); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// wantValue reads a key, linearizably, and compares.
func wantValue(t *testing.T, c *client.Client, key, want string) {
	t.Helper()
	item, err := c.Get(t.Context(), []byte(key))
	if err != nil || string(item.Value) != want {
		t.Fatalf("get %s = %q, %v; want %q", key, item.Value, err, want)
	}
}

// status asks one node about the cluster.
func (n *node) status(ctx context.Context) (wire.ClusterStatus, error) {
	var s wire.ClusterStatus
	code, err := getJSON(ctx, "http://"+n.api+"/api/cluster", &s)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d", code)
	}
	return s, err
}

func (n *node) ready(t *testing.T) {
	t.Helper()
	eventually(t, fmt.Sprintf("node %d is ready", n.id), func(ctx context.Context) error {
		var answer struct{ Detail string }
		code, err := getJSON(ctx, "http://"+n.api+"/readyz", &answer)
		if err == nil && code != http.StatusOK {
			err = errors.New(answer.Detail)
		}
		return err
	})
}

func getJSON(ctx context.Context, url string, into any) (code int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, json.NewDecoder(response.Body).Decode(into)
}
