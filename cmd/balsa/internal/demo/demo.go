// Package demo runs a whole cluster on one machine, each node a process of its
// own, and shows what happens to it.
//
// Reading order: demo.go (a run from beginning to end), plan.go (ports and
// command lines), process.go (one node's process), output.go (what is printed),
// health.go (when the cluster is ready).
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Config says which cluster to run.
type Config struct {
	// Executable is the balsa program.
	Executable string
	// Nodes is how many nodes there are, 1 to [MaxNodes].
	Nodes int
	// APIPort, RPCPort and GossipPort are the ports of node 1; the others' count
	// up from there, to 65535 at most. 0 takes any free ports.
	APIPort, RPCPort, GossipPort int
	// DataDir is where the nodes keep their data. Empty means a temporary
	// directory, which is removed at the end.
	DataDir string
	// Restart starts a node again that ended.
	Restart bool
	// Args are further arguments for every node.
	Args []string
	// Out receives everything that is printed, in colour if Color is set.
	Out   io.Writer
	Color bool
}

// MaxNodes is how many nodes have a colour of their own and fit on a screen.
const MaxNodes = 9

// stopPatience is how long a node may take to stop before it is killed.
const stopPatience = 15 * time.Second

// restartPause keeps a node that ends at once from being restarted all the time.
const restartPause = time.Second

// demo is one run.
type demo struct {
	cfg       Config
	out       *output
	dir       string
	temporary bool
	nodes     []*process
	// ended receives each process whose end has been seen.
	ended chan *process
	// signals receives what asks to stop. The first one ends the context of
	// Run; the second one means now.
	signals chan os.Signal
}

// Run runs a cluster until ctx ends, and then stops it. It returns an error if
// the cluster could not be started.
func Run(ctx context.Context, cfg Config) (err error) {
	plans, err := plan(ctx, cfg)
	if err != nil {
		return err
	}
	d := &demo{
		cfg: cfg, out: newOutput(cfg.Out, cfg.Color),
		ended: make(chan *process, cfg.Nodes), signals: make(chan os.Signal, 2),
	}
	// Without this, a second Ctrl-C would leave a temporary directory behind.
	signal.Notify(d.signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(d.signals)
	if err := d.makeDir(); err != nil {
		return err
	}
	defer d.removeDir()
	d.out.say("starting %d nodes; their data is in %s", cfg.Nodes, d.dir)
	for _, p := range plans {
		d.nodes = append(d.nodes, newProcess(p, cfg, d.dir, d.out))
	}
	began := time.Now()
	defer d.stop()
	for _, p := range d.nodes {
		if err := p.start(d.ended); err != nil {
			return fmt.Errorf("starting node %d: %w", p.id, err)
		}
	}
	return d.watch(ctx, began)
}

func (d *demo) makeDir() error {
	if d.cfg.DataDir != "" {
		d.dir = d.cfg.DataDir
		return nil // the nodes create what is missing
	}
	dir, err := os.MkdirTemp("", "balsa-demo-")
	d.dir, d.temporary = dir, true
	return err
}

// watch waits for the cluster to become ready, and then for ctx to end. It tells
// of every node that ends meanwhile.
func (d *demo) watch(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if waitReady(ctx, d.nodes, d.out) {
			close(ready)
		}
	}()
	defer func() { cancel(); <-watching }()

	isReady := false
	for {
		select {
		case <-ready:
			isReady, ready = true, nil
			d.out.banner(d.nodes, leaderOf(ctx, d.nodes), d.dir, d.temporary, time.Since(began))
		case p := <-d.ended:
			if !isReady {
				return fmt.Errorf("node %d ended before the cluster was ready (%s): see its last lines above", p.id, p.howEnded())
			}
			d.tellEnd(ctx, p)
		case <-ctx.Done():
			return nil
		}
	}
}

// tellEnd says that a node has ended and what can be done.
func (d *demo) tellEnd(ctx context.Context, p *process) {
	running := 0
	for _, other := range d.nodes {
		if other.running() || answers(other.apiAddr) { // it may have been restarted by hand
			running++
		}
	}
	d.out.ended(p, running, len(d.nodes), d.cfg.Restart)
	if !d.cfg.Restart {
		return
	}
	select {
	case <-time.After(restartPause):
	case <-ctx.Done():
		return
	}
	if err := p.start(d.ended); err != nil {
		d.out.say("node %d could not be restarted: %v", p.id, err)
		return
	}
	d.out.say("node %d runs again, pid %d", p.id, p.pid())
}

// stop asks all nodes to stop, waits, and kills those that do not.
func (d *demo) stop() {
	d.out.say("stopping the cluster")
	select {
	case <-d.signals: // the one that has led here
	default:
	}
	for _, p := range d.nodes {
		p.terminate()
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	for _, p := range d.nodes {
		select {
		case <-p.done():
			continue
		case <-d.signals:
			d.out.say("killing the nodes that have not stopped yet")
		case <-patience.C:
			d.out.say("killing the nodes that have not stopped in %v", stopPatience)
		}
		for _, p := range d.nodes {
			p.kill()
		}
		<-p.done()
	}
}

// removeDir removes a temporary data directory, unless a node that was restarted
// by hand still uses it.
func (d *demo) removeDir() {
	if !d.temporary {
		d.out.say("stopped; the data is kept in %s", d.dir)
		return
	}
	for _, p := range d.nodes {
		if answers(p.apiAddr) {
			d.out.say("stopped, except for node %d, which was restarted by hand and still uses %s: remove that when it is stopped", p.id, d.dir)
			return
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.out.say("stopped; removing the data failed: %v", err)
		return
	}
	d.out.say("stopped; %s is removed", d.dir)
}
