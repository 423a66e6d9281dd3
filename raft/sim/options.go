package sim

import (
	"fmt"
	"io"

	"balsa/raft"
)

// Options says what to simulate. The zero value is a run in which seed 0
// decides everything.
type Options struct {
	// Seed decides all that is left to chance.
	Seed uint64
	// Nodes is the size of the cluster: 1 to 9. If it is zero the seed decides
	// between 1, 2, 3, 5 and 7.
	Nodes int
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
	// Workload says what clients do. If it is nil the seed decides.
	Workload *Workload

	// Trace, if set, receives every event as a line of text.
	Trace io.Writer
	// TraceLength is the number of events that a [Violation] shows. Default 200.
	TraceLength int
}

// MaxNodes bounds the cluster of a simulation, MaxKeys the keys of its clients.
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
	CrashPoint float64
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
	// FlushEvery is the mean number of applied entries after which the state
	// machine makes its state durable. What is not flushed is applied again
	// after a crash. Zero means that every application is flushed.
	FlushEvery int

	// ClockDrift lets clocks run at rates between one half and double.
	ClockDrift bool
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
	// Reads is the fraction of operations that are reads.
	Reads float64
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
	nodes, core, workload := pick(r, 1, 2, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5, 5, 7), randomCore(r), randomWorkload(r)
	faults := randomFaults(r, core.ElectionTicks)
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
	if o.Ticks == 0 {
		o.Ticks = 1500
	}
	if o.TraceLength == 0 {
		o.TraceLength = 200
	}
	return o, o.validate()
}

func (o Options) validate() error {
	switch {
	case o.Nodes < 1 || o.Nodes > MaxNodes:
		return fmt.Errorf("sim: a cluster of %d nodes; 1 to %d can be simulated", o.Nodes, MaxNodes)
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

// repeat says how to repeat a run with these options, before the seed has filled
// them in.
func (o Options) repeat() string {
	command := fmt.Sprintf("go test ./raft/sim -run 'TestSeed$' -seed=%d -v", o.Seed)
	if o.Nodes != 0 {
		command += fmt.Sprintf(" -nodes=%d", o.Nodes)
	}
	if o.Ticks != 0 {
		command += fmt.Sprintf(" -ticks=%d", o.Ticks)
	}
	if o.Faults != nil || o.Core != nil || o.Workload != nil {
		command = fmt.Sprintf("sim.Run with seed %d and the same Faults, Core and Workload", o.Seed)
	}
	return command
}

// randomCore draws limits that are small enough to be reached: one entry in a
// message, one message in the window, nothing kept in memory.
func randomCore(r random) raft.Config {
	cfg := raft.Config{
		MaxMessageBytes:     pick(r, 1, 60, 200, 1000, 0),
		MaxWindowMessages:   pick(r, 1, 2, 3, 8, 0),
		MaxWindowBytes:      pick(r, 1, 100, 1000, 0),
		MaxUncommittedBytes: pick(r, 100, 1000, 0),
		MaxApplyBytes:       pick(r, 1, 100, 1000, 0),
		CacheBytes:          pick(r, 1, 50, 500, 5000, 0),
	}
	cfg.ElectionTicks = pick(r, 10, 10, 10, 20)
	cfg.HeartbeatTicks = pick(r, cfg.ElectionTicks/10, cfg.ElectionTicks/5, cfg.ElectionTicks/2)
	return cfg
}

func randomWorkload(r random) Workload {
	return Workload{
		Clients:    1 + r.IntN(8),
		Keys:       1 + r.IntN(5),
		Reads:      pick(r, 0.2, 0.5, 0.8),
		ThinkTicks: pick(r, 1, 1, 3, 10),
		MaxPadding: pick(r, 0, 20, 200),
	}
}

// randomFaults draws which faults a run has. Half of the kinds are missing on
// average. How often they happen and how long they last is measured in the
// shortest election timeout, e: what matters is whether an election fits in.
func randomFaults(r random, e int) Faults {
	f := Faults{MaxDelay: pick(r, Tick/4, Tick, 2*Tick), DownTicks: pick(r, e/3, e, 4*e)}
	enabled := func() bool { return r.IntN(2) == 0 }
	if enabled() {
		f.Loss = pick(r, 0.01, 0.05, 0.2)
	}
	if enabled() {
		f.Duplicate, f.DuplicateTicks = pick(r, 0.01, 0.1, 0.3), pick(r, 1, 2*e, 6*e, 15*e)
	}
	if enabled() {
		f.Late, f.LateTicks = pick(r, 0.01, 0.05, 0.2), pick(r, e/2, 2*e, 5*e, 15*e)
	}
	if enabled() {
		f.PartitionEvery, f.PartitionTicks = pick(r, 3*e, 8*e, 20*e), pick(r, e, 3*e, 8*e)
	}
	if enabled() {
		f.ClogEvery, f.ClogTicks = pick(r, 2*e, 6*e, 15*e), pick(r, e, 4*e, 10*e)
	}
	if enabled() {
		f.CrashEvery = pick(r, 5*e, 15*e, 40*e)
	}
	if enabled() {
		f.CrashPoint = pick(r, 0.0005, 0.002, 0.005)
	}
	if enabled() {
		if enabled() { // rarer than the others
			f.PowerLossEvery = pick(r, 20*e, 50*e)
		}
	}
	if enabled() {
		f.PauseEvery, f.PauseTicks = pick(r, 5*e, 15*e), pick(r, e/2, 3*e, 8*e)
	}
	if enabled() {
		f.LeaderFall = pick(r, 0.3, 0.6, 0.9)
	}
	if enabled() {
		f.DiskTicks = pick(r, 1, e/2, 2*e, 4*e)
	}
	if enabled() {
		f.ApplyTicks, f.LoadTicks = pick(r, 1, e/2, 3*e), pick(r, 1, e/2, 3*e)
	}
	if enabled() {
		f.FlushEvery = pick(r, 3, 20, 100)
	}
	f.ClockDrift = enabled()
	if enabled() {
		f.TrueHints = pick(r, 0.3, 1)
	}
	if enabled() {
		f.FalseHintEvery = pick(r, 2*e, 10*e)
	}
	if enabled() {
		f.MaxWake = pick(r, Tick/10, Tick, ticks(e/2), ticks(2*e))
	}
	return f
}

// aftermath is how long after the end of the faults something that they have
// delayed can still arrive, or a process that they have stopped goes on.
func (o Options) aftermath() Time {
	f := o.Faults
	longest := max(f.LateTicks, f.DuplicateTicks, 2*f.ClogTicks, 2*f.PauseTicks, f.DiskTicks, f.ApplyTicks, f.LoadTicks)
	if f.LeaderFall > 0 {
		longest = max(longest, 2*o.fallTicks())
	}
	return ticks(longest) + f.MaxDelay + f.MaxWake
}

// fallTicks is for how long, on average, a new leader that falls is stopped or
// cut off: long enough for another to be elected.
func (o Options) fallTicks() int { return max(2*o.Core.ElectionTicks, o.Faults.DownTicks) }
