package sim

import (
	"fmt"
	"io"
	"strings"

	"balsa/raft"
)

// Options says what to simulate. The zero value is a run in which seed 0
// decides everything.
type Options struct {
	// Seed decides all that is left to chance.
	Seed uint64
	// Nodes is how many servers found the cluster: 1 to 9. If it is zero the seed
	// decides between 1, 2, 3, 5 and 7.
	Nodes int
	// Pool is how many servers there are in all, founders and others, which may
	// become members: up to 9. If it is zero the seed decides; without changes of
	// members there are no others.
	Pool int
	// Ticks is how long faults happen, in ticks of a correct clock. Default
	// 1500. Recovery takes place after that: see [Run].
	Ticks int
	// Faults says what goes wrong, and how often. If it is nil the seed decides:
	// each run then has some kinds of faults and lacks others, because faults
	// that are always all there hide each other's effects.
	Faults *Faults
	// Core sets the timeouts and limits of every core. If it is nil the seed
	// decides, and prefers limits so small that every one of them is reached.
	// ID, Random and Trace are the simulator's own.
	Core *raft.Config
	// Kinds says of some kinds of faults, by name, that the run has them or lacks
	// them, where Faults is nil: see [ParseKinds]. The seed decides about the others.
	Kinds map[string]bool
	// Workload says what clients do. If it is nil the seed decides.
	Workload *Workload

	// Overlook are the rules whose violation does not end the run: where a server has
	// broken a promise, one wants to see what comes of it. The rules are those that a
	// [Violation] names. A core that stops itself cannot be overlooked.
	Overlook []string

	// Trace, if set, receives every event as a line of text.
	Trace io.Writer
	// TraceLength is the number of events that a [Violation] shows. Default 200.
	TraceLength int
}

// MaxNodes bounds the servers of a simulation, MaxKeys the keys of its clients.
const (
	MaxNodes = 9
	MaxKeys  = 256
)

// Faults says what goes wrong while faults happen. The zero value is a world
// without faults. Times are in ticks; "every" is the mean time between two
// faults of a kind in the whole cluster, and zero means never.
type Faults struct {
	// Loss is the probability that a message is lost.
	Loss float64
	// Duplicate is the probability that a message arrives again, up to
	// DuplicateTicks after the first time. It may be from a term long past.
	Duplicate      float64
	DuplicateTicks int
	// Late is the probability that a message arrives up to LateTicks after the
	// others. It comes out of order, perhaps in another term.
	Late      float64
	LateTicks int
	// MaxDelay is the longest ordinary delay of a message.
	MaxDelay Time
	// LinkLoss and LinkDelay are the worst that the quality of a single link, in one
	// direction, adds to Loss and MaxDelay.
	LinkLoss  float64
	LinkDelay Time

	// PartitionEvery and PartitionTicks are how often the network falls apart,
	// and for how long on average.
	PartitionEvery, PartitionTicks int
	// ClogEvery and ClogTicks are how often a link in one direction stops
	// delivering, and when, on average, it delivers everything that it held.
	ClogEvery, ClogTicks int

	// CrashEvery is how often a node crashes at a random time, DownTicks how
	// long it stays down on average.
	CrashEvery, DownTicks int
	// CrashPoint is the probability of a crash at each of the points where it
	// matters: before and after each write, each message and each application.
	// InstallCrash is that at each point of the installation of a snapshot.
	CrashPoint, InstallCrash float64
	// PowerLossEvery is how often all nodes crash at once.
	PowerLossEvery int
	// PauseEvery and PauseTicks are how often a process stops and later goes on
	// as if nothing had happened, and for how long on average.
	PauseEvery, PauseTicks int

	// LeaderFall is the probability that a new leader crashes, is stopped or is
	// cut off right after its election, just when it has begun to change logs.
	LeaderFall float64

	// DiskTicks, ApplyTicks and LoadTicks are the longest times that a write,
	// the application of some entries, and the loading of old entries take. Most
	// take a fraction of a tick; if these are zero, all do.
	DiskTicks, ApplyTicks, LoadTicks int
	// WriteFails is the probability that a write of the log ends with an error, which
	// ends the process.
	WriteFails float64
	// FlushEvery is the mean number of applied entries after which the state
	// machine makes its state durable. What is not flushed is applied again
	// after a crash. Zero means that every application is flushed.
	FlushEvery int

	// CompactEvery is how often a node forgets a part of its log that its state
	// machine has on disk, and Brutal the probability that it is all of it.
	CompactEvery int
	Brutal       float64
	// SpareSnapshotEvery is how often a leader sends a snapshot to a server that may
	// not need it.
	SpareSnapshotEvery int
	// DiskFullEvery and DiskFullTicks are how often a node has no room for a
	// snapshot that arrives, and for how long on average.
	DiskFullEvery, DiskFullTicks int
	// WriteFailsWhenFull is WriteFails during that time.
	WriteFailsWhenFull float64
	// ReportTicks is the longest time that a core waits to hear that the sending
	// of a snapshot has ended.
	ReportTicks int

	// ForgetEvery is how often a disk forgets what was durable, or somebody makes a
	// copy of a log, in order to put it back later.
	ForgetEvery int

	// ChangeEvery is how often an operator asks for a change of members, Lies the
	// probability that what it believes about the servers is wrong.
	ChangeEvery int
	Lies        float64
	// WipeEvery is how often a server loses its disk and starts with an empty one.
	WipeEvery int
	// TransferEvery is how often an operator asks for a transfer of leadership.
	// OrderTicks is how late the order to the successor can be.
	TransferEvery, OrderTicks int

	// SlowestClock and FastestClock are the rates between which clocks run, and
	// ticks with them. If they are zero, clocks are nearly right.
	SlowestClock, FastestClock float64
	// LeaseAttackEvery is how often somebody tries to get a leader replaced while it
	// has a lease.
	LeaseAttackEvery int
	// QuickRestart is the probability that a node that has crashed is back within
	// a tick.
	QuickRestart float64
	// TrueHints is the probability that a node is told when the connection to
	// another breaks. FalseHintEvery is how often one is told so by mistake.
	TrueHints      float64
	FalseHintEvery int
	// MaxWake is how long a node may let its inbox fill before it looks.
	MaxWake Time
}

// Workload says what clients do.
type Workload struct {
	// Clients is how many there are. Each waits for one answer before it asks
	// for something else.
	Clients int
	// Keys is how many keys they use.
	Keys int
	// Reads is the fraction of operations that are reads, LeaseReads the fraction
	// of the reads that are content with the leader's lease.
	Reads, LeaseReads float64
	// ThinkTicks is the mean pause between two operations of a client.
	ThinkTicks int
	// MaxPadding is the largest number of bytes that a command carries beside
	// its key and value.
	MaxPadding int
}

// withDefaults fills in what is left to the seed.
func (o Options) withDefaults() (Options, error) {
	r := newRandom(o.Seed, "options")
	// The seed decides everything first, so that setting one thing by hand
	// leaves the others as they were.
	nodes, core, workload := pick(r, 1, 2, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 7), randomCore(r, o.Kinds), randomWorkload(r)
	others := 1 + r.IntN(5)
	faults := randomFaults(r, core, o.Kinds)
	if o.Nodes == 0 {
		o.Nodes = nodes
	}
	if o.Core != nil {
		core = *o.Core
	}
	// The simulator measures in these, so they cannot be left to the core.
	if core.ElectionTicks == 0 {
		core.ElectionTicks = 30
	}
	if core.HeartbeatTicks == 0 {
		core.HeartbeatTicks = 5
	}
	o.Core = &core
	if o.Faults == nil {
		o.Faults = &faults
	}
	if o.Workload == nil {
		o.Workload = &workload
	}
	if o.Pool == 0 {
		o.Pool = o.Nodes
		if o.Faults.ChangeEvery > 0 {
			o.Pool = min(max(o.Nodes, MaxNodes), o.Nodes+others)
		}
	}
	if o.Ticks == 0 {
		o.Ticks = 1500
	}
	if o.TraceLength == 0 {
		o.TraceLength = 200
	}
	return o, o.validate()
}

// Validate checks the options. Run does so too.
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) validate() error {
	switch {
	case unknownKind(o.Kinds) != "":
		return fmt.Errorf("sim: there is no kind of fault %q; there are %s", unknownKind(o.Kinds), strings.Join(KindNames(), ", "))
	case o.Nodes < 1 || o.Nodes > MaxNodes:
		return fmt.Errorf("sim: a cluster of %d nodes; 1 to %d can be simulated", o.Nodes, MaxNodes)
	case o.Pool < o.Nodes || o.Pool > MaxNodes:
		return fmt.Errorf("sim: %d servers for a cluster of %d nodes; there can be %d to %d", o.Pool, o.Nodes, o.Nodes, MaxNodes)
	case o.Ticks < 0 || o.TraceLength < 0:
		return fmt.Errorf("sim: %d ticks, a trace of %d events; neither can be negative", o.Ticks, o.TraceLength)
	case o.Workload.Clients > 0 && (o.Workload.Keys < 1 || o.Workload.Keys > MaxKeys):
		return fmt.Errorf("sim: clients with %d keys; they need 1 to %d", o.Workload.Keys, MaxKeys)
	case o.Workload.ThinkTicks < 0 || o.Workload.MaxPadding < 0:
		return fmt.Errorf("sim: clients that pause for %d ticks and pad by up to %d bytes; neither can be negative",
			o.Workload.ThinkTicks, o.Workload.MaxPadding)
	}
	return nil
}

// Repeat is the command that repeats a run with these options, or says what else
// that needs.
func (o Options) Repeat() string {
	command := fmt.Sprintf("balsa sim --trace --seed %d", o.Seed)
	if o.Nodes != 0 {
		command += fmt.Sprintf(" --nodes %d", o.Nodes)
	}
	if o.Pool != 0 {
		command += fmt.Sprintf(" --pool %d", o.Pool)
	}
	if o.Ticks != 0 {
		command += fmt.Sprintf(" --ticks %d", o.Ticks)
	}
	if len(o.Kinds) > 0 {
		command += " --faults " + FormatKinds(o.Kinds)
	}
	if o.Faults != nil || o.Core != nil || o.Workload != nil {
		command = fmt.Sprintf("sim.Run with seed %d and the same Faults, Core and Workload", o.Seed)
	}
	return command
}
