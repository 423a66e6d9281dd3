package demo

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// output is what the demo prints: the nodes' logs with the name of the node in
// front, and the demo's own words.
type output struct {
	color bool

	mu sync.Mutex
	w  io.Writer
}

func newOutput(w io.Writer, color bool) *output { return &output{w: w, color: color} }

const (
	colorReset = "\x1b[0m"
	colorBold  = "\x1b[1m"
)

// nodeColors tell the nodes apart. Red stays reserved for errors in their logs.
var nodeColors = []string{"\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[95m", "\x1b[92m"}

func (o *output) paint(color, text string) string {
	if !o.color {
		return text
	}
	return color + text + colorReset
}

// say prints a line of the demo's own.
func (o *output) say(format string, args ...any) {
	o.print(o.paint(colorBold, "demo| "+fmt.Sprintf(format, args...)) + "\n")
}

func (o *output) print(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = io.WriteString(o.w, text)
}

// lines returns a writer that puts the node's name in front of every line.
func (o *output) lines(id int) *lineWriter {
	name := o.paint(nodeColors[(id-1)%len(nodeColors)], fmt.Sprintf("n%d|", id))
	return &lineWriter{out: o, prefix: name + " "}
}

// lineWriter prints whole lines, so that those of different nodes do not mix.
// Only one goroutine writes to it at a time.
type lineWriter struct {
	out    *output
	prefix string
	rest   []byte
}

// maxLine is where a line without an end is broken.
const maxLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 && len(w.rest) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			end = maxLine - 1
		}
		line := w.rest[:end+1]
		w.rest = w.rest[end+1:]
		w.out.print(w.prefix + strings.TrimSuffix(string(line), "\n") + "\n")
	}
}

// flush prints a last line that did not end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.out.print(w.prefix + string(w.rest) + "\n")
		w.rest = nil
	}
}

// banner says that the cluster is ready, where it is and what to try.
func (o *output) banner(nodes []*process, leader *process, dir string, temporary bool, took time.Duration) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	first, last := nodes[0], nodes[len(nodes)-1]
	line("")
	line("%s", o.paint(colorBold, fmt.Sprintf("A cluster of %d is ready in %.1f s.", len(nodes), took.Seconds())))
	line("")
	for _, p := range nodes {
		line("  %s  http://%s  pid %d", o.paint(nodeColors[(p.id-1)%len(nodeColors)], fmt.Sprintf("node %d", p.id)), p.apiAddr, p.pid())
	}
	kept := "kept"
	if temporary {
		kept = "removed at the end"
	}
	line("  data    %s (%s)", dir, kept)
	line("")
	line("Try, in another terminal:")
	line("")
	line("  # the cluster; a browser shows the API at http://%s", first.apiAddr)
	line("  curl http://%s/api/cluster", first.apiAddr)
	line("")
	line("  # write on one node, read on another")
	line("  curl http://%s/api/write -X POST -H 'Content-Type: application/json' -d '{\"key\":\"hello\",\"value\":\"world\"}'", first.apiAddr)
	line("  curl http://%s/api/consistent_read/hello", last.apiAddr)
	line("")
	joiner := len(nodes) + 1
	line("  # grow: node %d joins by itself, and votes as soon as node %d has done the same; see: balsa members", joiner, joiner+1)
	line("  balsa serve --id %d --rpc-addr 127.0.0.1:0 --api-addr 127.0.0.1:0 --gossip-addr 127.0.0.1:0 \\", joiner)
	line("    --seed-gossip-addrs %s --data-dir %s --stabilization-time %s", first.gossipAddr, filepath.Join(dir, fmt.Sprintf("n%d", joiner)), stabilizationTime)
	line("")
	if len(nodes) > 2 {
		line("  # kill the leader, node %d: the others elect a new one, and this window says how to start it again", leader.id)
		line("  kill -9 %d", leader.pid())
		line("")
	}
	line("Ctrl-C ends the cluster.")
	line("")
	o.print(b.String())
}

// ended says that a node's process has ended.
func (o *output) ended(p *process, running, all int, restart bool) {
	o.say("node %d (pid %d) ended: %s", p.id, p.pid(), p.howEnded())
	majority := all/2 + 1
	switch {
	case running >= majority:
		o.say("%d of %d nodes run, which is a majority: the cluster goes on without it", running, all)
	default:
		o.say("%d of %d nodes run, and it takes %d: writes and consistent reads wait until enough are back", running, all, majority)
	}
	if restart {
		o.say("restarting node %d", p.id)
		return
	}
	o.say("start it again, in another terminal, with:")
	o.print("  " + p.commandLine() + "\n")
}
