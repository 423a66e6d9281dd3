package linearizability_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa/api/client"
	"balsa/api/wire"
)

var duration = flag.Duration("duration", 12*time.Second, "how long clients work while processes are killed")

// binary is the program under test, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "balsa-linearizability-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "balsa")
	build := exec.Command("go", "build", "-o", binary, "balsa/cmd/balsa")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the program under test:", err)
		return 1
	}
	return m.Run()
}

// cluster is some real processes on this machine.
type cluster struct {
	t     *testing.T
	nodes []*process
}

// process is one node. Only the goroutine of the test touches it.
type process struct {
	t      *testing.T
	id     int
	args   []string
	api    string
	gossip string
	dir    string // its data
	client *client.Client

	log    string // the file that its output goes to
	cmd    *exec.Cmd
	exited chan error
}

// startCluster starts n nodes that found a cluster, and waits until they are
// ready.
func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := planCluster(t, n, "--bootstrap-expect", fmt.Sprint(n))
	for i, p := range c.nodes {
		if i == 0 {
			p.args = append(p.args, "--seed-gossip-addrs", c.nodes[1].gossip)
		}
		p.start()
	}
	c.waitReady(30 * time.Second)
	return c
}

// planCluster prepares n nodes, which are not started. The first one has no
// seeds, and the others have all others as seeds.
func planCluster(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	dir := t.TempDir()
	addresses := freeAddresses(t, 3*n)
	for i := range n {
		p := &process{
			t: t, id: i + 1, api: addresses[i], gossip: addresses[2*n+i],
			dir: filepath.Join(dir, fmt.Sprintf("n%d", i+1)), log: filepath.Join(dir, fmt.Sprintf("n%d.log", i+1)),
		}
		p.args = append([]string{
			"serve", "--id", fmt.Sprint(p.id),
			"--api-addr", p.api, "--rpc-addr", addresses[n+i], "--gossip-addr", p.gossip, "--data-dir", p.dir,
		}, flags...)
		for j := range n {
			if i > 0 && j != i {
				p.args = append(p.args, "--seed-gossip-addrs", addresses[2*n+j])
			}
		}
		var err error
		p.client, err = client.New(client.Config{Addresses: []string{p.api}, Connections: 32})
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, p)
	}
	t.Cleanup(func() {
		for _, p := range c.nodes {
			p.kill()
			p.client.Close()
			if t.Failed() {
				t.Logf("the last lines of n%d:\n%s", p.id, tail(p.log, 40))
			}
		}
	})
	return c
}

// freeAddresses returns loopback addresses whose ports, TCP and UDP, were free a
// moment ago.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for len(addresses) < n {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close() // only at the end, so that no port is given twice
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			continue
		}
		defer udp.Close()
		addresses = append(addresses, tcp.Addr().String())
	}
	return addresses
}

func (p *process) start() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	exited := make(chan error, 1)
	p.exited = exited
	go func(cmd *exec.Cmd) { exited <- cmd.Wait() }(p.cmd)
}

// kill ends the process as kill -9 does, and waits until it is gone. It does
// nothing if the process is not running.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.cmd = nil
}

// exitPatience is how long a process may take to end.
const exitPatience = 20 * time.Second

// terminate asks the process to stop, as an operator does, and waits until it
// has. Anything but a clean end is an error.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.waitExit(); err != nil {
		p.t.Errorf("n%d was asked to stop and ended with %v:\n%s", p.id, err, tail(p.log, 40))
	}
}

// waitExit waits until the process ends by itself.
func (p *process) waitExit() error {
	p.t.Helper()
	select {
	case err := <-p.exited:
		p.cmd = nil
		return err
	case <-time.After(exitPatience):
		p.t.Fatalf("n%d does not end:\n%s", p.id, tail(p.log, 40))
		return nil
	}
}

// died returns an error if the process has ended by itself.
func (p *process) died() error {
	if p.cmd == nil {
		return nil
	}
	select {
	case err := <-p.exited:
		p.cmd = nil
		return fmt.Errorf("n%d ended by itself (%v):\n%s", p.id, err, tail(p.log, 40))
	default:
		return nil
	}
}

func (p *process) status(ctx context.Context) (wire.ClusterStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return p.client.Status(ctx)
}

// waitReady waits until every running node answers a linearizable read.
func (c *cluster) waitReady(limit time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	for _, p := range c.nodes {
		if p.cmd == nil {
			continue
		}
		for {
			if err := p.died(); err != nil {
				c.t.Fatal(err)
			}
			attempt, stop := context.WithTimeout(ctx, 2*time.Second)
			_, err := p.client.Get(attempt, []byte("ready?"))
			stop()
			if err == nil || isNotFound(err) {
				break
			}
			if ctx.Err() != nil {
				c.t.Fatalf("n%d is not ready after %v: %v", p.id, limit, err)
			}
		}
	}
}

// leader returns the process that the others follow, or nil while there is none.
func (c *cluster) leader() *process {
	for _, p := range c.nodes {
		if p.cmd == nil {
			continue
		}
		if s, err := p.status(c.t.Context()); err == nil && s.Role == "leader" {
			return p
		}
	}
	return nil
}

func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	all = all[max(0, len(all)-lines):]
	return strings.ToValidUTF8(string(bytes.Join(all, []byte("\n"))), "?")
}
