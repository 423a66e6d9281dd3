package sim

import (
	"fmt"
	"runtime/debug"
	"slices"

	"balsa/raft"
)

// world is a whole simulation.
type world struct {
	queue
	options Options
	// nodes are all servers that there are, members or not, in the order of their
	// ids.
	nodes   []*node
	network network
	clients []*client
	oracle  *oracle

	// faults are those that happen now; chaos says that they do. What a node or
	// a link does is random even if there are none.
	faults Faults
	chaos  bool

	faultRandom, clientRandom, operatorRandom random
	// operations and pictures count those that there have been.
	operations, pictures uint64
	targetVoters         int // how many the operators want
	// scripted says that what is done to the cluster is known from the start; tape
	// is where departures from what is usual are read from, or written to if the
	// run is to become a scenario. byHand says that nothing moves by itself.
	scripted, byHand bool
	tape             *tape
	// outside says that somebody acts on the cluster.
	outside bool
	// aftermath is how long after the end of the faults some of their effects last.
	aftermath Time
	// drifts says that clocks run at rates that differ by more than leases allow.
	drifts bool
	// attack is the one under way, or the last one.
	attack   *attack
	history  []Operation
	recorder recorder
	stats    Statistics
	// nextLook is the step at which whole logs are compared again.
	nextLook int
	// failure is the violation that ended the run, repeat says how to repeat it.
	failure *Violation
	repeat  string
}

// Run simulates a cluster: first with faults, for Options.Ticks, and then
// without, to see that it recovers. It returns what happened. If something
// happened that must not happen it stops there, and the error is a *[Violation].
func Run(o Options) (Result, error) {
	return runs(o, nil)
}

// runs simulates a random cluster, and writes a tape if there is one.
func runs(o Options, t *tape) (Result, error) {
	repeat := o.Repeat()
	o, err := o.withDefaults()
	if err != nil {
		return Result{}, err
	}
	w := newWorld(o)
	w.repeat, w.tape = repeat, t
	return w.result()
}

// result runs the simulation.
func (w *world) result() (Result, error) {
	w.run()
	w.stats.Duration = w.now
	result := Result{
		Seed: w.options.Seed, Nodes: w.options.Nodes,
		Hash: w.recorder.hash, State: w.state(), Statistics: w.stats, History: w.history,
	}
	if w.failure != nil {
		return result, w.failure
	}
	return result, nil
}

// state hashes what a run has led to: what is committed, and what each server has
// on its disk and in its state machine.
func (w *world) state() uint64 {
	hash := mix(uint64(w.oracle.committed()), w.oracle.committedChain(w.oracle.committed()))
	for _, n := range w.nodes {
		hash = mix(mix(hash, uint64(n.disk.hardState.CurrentTerm)), uint64(n.disk.hardState.VotedFor))
		for _, id := range []raft.EntryID{n.disk.log.start, n.disk.log.lastID(), n.machine.applied} {
			hash = mix(mix(hash, uint64(id.Term)), uint64(id.Index))
		}
		chain, _ := n.disk.log.chainAt(n.disk.log.last())
		hash = mix(mix(hash, chain), n.machine.digest)
	}
	return hash
}

func newWorld(o Options) *world {
	w := &world{
		options: o, faults: *o.Faults, chaos: true,
		faultRandom:    newRandom(o.Seed, "faults"),
		clientRandom:   newRandom(o.Seed, "clients"),
		operatorRandom: newRandom(o.Seed, "operators"),
		recorder:       newRecorder(o),
		targetVoters:   o.Nodes,
		drifts:         o.clocksDriftTooMuch(),
		aftermath:      o.aftermath(),
	}
	w.oracle = newOracle(w)
	for i := range o.Pool {
		w.nodes = append(w.nodes, newNode(w, raft.NodeID(i+1)))
	}
	w.network = newNetwork(w)
	for i := range o.Workload.Clients {
		w.clients = append(w.clients, &client{w: w, number: i + 1})
	}
	return w
}

func (w *world) run() {
	// A core panics when it finds one of its own invariants broken. That is one
	// more oracle.
	defer func() {
		if p := recover(); p != nil {
			w.violated("Assertion", fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}()
	w.begin()
	w.until(ticks(w.options.Ticks), nil)
	w.recovery()
	w.checkWholeLogs()
	w.checkWrites()
}

// begin starts the founders of a new cluster, servers that wait to be members of
// it, and its clients.
func (w *world) begin() {
	w.found()
	for _, n := range w.nodes {
		n.start()
	}
	for _, c := range w.clients {
		c.thinks()
	}
	if !w.scripted {
		w.scheduleFaults()
	}
}

// found writes the founding entry to the disks of the founders.
func (w *world) found() {
	founders := w.nodes[:w.options.Nodes]
	var configuration raft.Configuration
	for _, n := range founders {
		configuration.Members = append(configuration.Members, n.member(true))
	}
	entry, err := raft.FoundingEntry(configuration)
	if err != nil {
		w.violated("Founding", err.Error())
		return
	}
	founding := &raft.Write{HardState: raft.FoundingHardState(), Entries: []raft.Entry{entry}}
	for _, n := range founders {
		n.disk.hardState = founding.HardState
		if err := n.disk.log.write(founding, 0); err != nil {
			w.violated("Founding", err.Error())
		}
	}
	w.oracle.founded(&founders[0].disk.log)
}

// until lets events happen until a condition is true, or the deadline passes, or
// a violation is found. It returns whether the condition became true.
func (w *world) until(deadline Time, condition func() bool) bool {
	for w.failure == nil {
		if condition != nil && condition() {
			return true
		}
		event, ok := w.next(deadline)
		if !ok {
			w.now = deadline
			return false
		}
		if event.inside {
			w.stats.Steps++
		}
		event.do()
		if w.stats.Steps >= w.nextLook {
			w.nextLook = w.stats.Steps + 5000
			w.checkWholeLogs()
		}
	}
	return false
}

func (w *world) checkWholeLogs() {
	for _, n := range w.nodes {
		if n.up && !n.waking {
			w.oracle.wholeLogs(n)
		}
	}
}

// checkWrites checks at the end that every write that was acknowledged took
// effect once, none that failed did, and none did twice.
func (w *world) checkWrites() {
	if w.failure != nil {
		return
	}
	effects := map[string]int{}
	for _, c := range w.oracle.commits {
		if c.operation != 0 {
			effects[valueName(c.operation)]++
		}
	}
	for _, op := range w.history {
		n := effects[op.Value]
		if op.Kind == Put && (n > 1 || op.Outcome == Done && n == 0 || op.Outcome == Failed && n > 0) {
			w.violated("Acknowledged Writes", fmt.Sprintf("the write of %s to %s has the outcome %s and took effect %d times", op.Value, op.Key, op.Outcome, n))
		}
	}
}

// violated ends the run. The first violation is the one that counts.
func (w *world) violated(rule, detail string) {
	if w.failure != nil || slices.Contains(w.options.Overlook, rule) {
		return
	}
	w.note(nil, "%s is violated: %s", rule, detail)
	w.failure = &Violation{Seed: w.options.Seed, Rule: rule, Detail: detail, At: w.now, Repeat: w.repeat, Trace: w.recorder.tail()}
}

func (w *world) node(id raft.NodeID) *node { return w.nodes[id-1] }

// leaders are the nodes that believe that they lead. One that was deposed and
// has not heard of it is as good as any for a client who does not know better.
func (w *world) leaders() []*node {
	var leaders []*node
	for _, n := range w.nodes {
		if n.up && n.core.Role() == raft.Leader {
			leaders = append(leaders, n)
		}
	}
	return leaders
}

// leader returns the node that leads the latest term, or nil.
func (w *world) leader() *node {
	var leader *node
	for _, n := range w.leaders() {
		if leader == nil || n.core.Term() > leader.core.Term() {
			leader = n
		}
	}
	return leader
}

// members are those of the newest committed configuration.
func (w *world) members() []*node { return w.membersThat(func(raft.Member) bool { return true }) }

// voters are those of the newest committed configuration: of both its halves if it
// is joint.
func (w *world) voters() []*node {
	return w.membersThat(func(m raft.Member) bool { return m.Votes || m.VotedBefore })
}

func (w *world) membersThat(are func(raft.Member) bool) []*node {
	var members []*node
	for _, m := range w.oracle.newestConfiguration().Configuration.Members {
		if are(m) {
			members = append(members, w.node(m.ID))
		}
	}
	return members
}
