package sim

import (
	"fmt"
	"io"
	"strings"

	"balsa/raft"
)

// recorder keeps the last events of a run, so that a violation can be explained,
// and hashes all of them, so that two runs can be compared.
type recorder struct {
	lines []traceLine
	next  int
	hash  uint64
	// writer, if set, gets every event at once.
	writer  io.Writer
	columns columns
}

// traceLine is an event of a core, or of the world if note is set. It becomes
// text only if somebody wants to read it.
type traceLine struct {
	at    Time
	node  raft.NodeID // None: the world
	event raft.Event
	note  string
	// doing is an action that somebody does.
	doing *Action
	// aside says that this is about how the run was thought up. A scenario of the
	// run does not know it.
	aside bool
}

func newRecorder(o Options) recorder {
	r := recorder{
		lines:   make([]traceLine, 0, o.TraceLength),
		writer:  o.Trace,
		columns: newColumns(o.Pool),
	}
	if r.writer != nil {
		fmt.Fprintln(r.writer, r.columns.heading())
	}
	return r
}

func (r *recorder) record(line traceLine) {
	if !line.aside {
		r.hash = mix(mix(r.hash, uint64(line.at)), uint64(line.node)<<8|uint64(line.event.Kind))
		r.hash = mix(mix(r.hash, uint64(line.event.Term)), uint64(line.event.Last))
	}
	if len(r.lines) < cap(r.lines) {
		r.lines = append(r.lines, line)
	} else {
		r.lines[r.next] = line
		r.next = (r.next + 1) % len(r.lines)
	}
	if r.writer != nil {
		fmt.Fprintln(r.writer, r.columns.format(line))
	}
}

// tail renders the last events.
func (r *recorder) tail() string {
	columns := newColumns(len(r.columns.cells))
	var b strings.Builder
	b.WriteString(columns.heading() + "\n")
	for i := range r.lines {
		b.WriteString(columns.format(r.lines[(r.next+i)%len(r.lines)]) + "\n")
	}
	return b.String()
}

// columns prints events with a column for each node, which shows its role and
// term: L for a leader, f for a follower, p and c for the two kinds of
// candidates, x for a node that is down, and ? before it was first seen. The
// node that the event is about stands in brackets.
type columns struct{ cells []string }

func newColumns(nodes int) columns {
	c := columns{make([]string, nodes)}
	for i := range c.cells {
		c.cells[i] = "?"
	}
	return c
}

func (c columns) heading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10s ", "tick")
	for i := range c.cells {
		fmt.Fprintf(&b, " %-6s", fmt.Sprintf("n%d", i+1))
	}
	return b.String()
}

func (c columns) format(line traceLine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10s ", line.at)
	text := line.note
	if line.doing != nil {
		_, text, _ = strings.Cut(line.doing.String(), " ")
		text = "-- " + text
	}
	if line.node != raft.None {
		i := line.node - 1
		switch {
		case line.note == "":
			text = line.event.String()
			c.cells[i] = string("fpcL"[line.event.Role]) + fmt.Sprint(line.event.Term)
		case strings.HasPrefix(line.note, "crashes"):
			c.cells[i] = "x"
		}
	}
	for i, cell := range c.cells {
		if raft.NodeID(i+1) == line.node {
			cell = "[" + cell + "]"
		} else {
			cell = " " + cell
		}
		fmt.Fprintf(&b, " %-6s", cell)
	}
	return b.String() + " " + text
}

// trace is the tracer of a node's core.
func (n *node) trace(e raft.Event) {
	n.w.recorder.record(traceLine{at: n.w.now, node: n.id, event: e})
	n.w.oracle.saw(n, e)
}

// note records an event of the world, or of one node if it is not nil.
func (w *world) note(n *node, format string, args ...any) {
	line := traceLine{at: w.now, note: fmt.Sprintf(format, args...)}
	if n != nil {
		line.node = n.id
	}
	w.recorder.record(line)
}

// aside notes why something is about to happen, for those who read the trace.
func (w *world) aside(n *node, format string, args ...any) {
	line := traceLine{at: w.now, note: fmt.Sprintf(format, args...), aside: true}
	if n != nil {
		line.node = n.id
	}
	w.recorder.record(line)
}
