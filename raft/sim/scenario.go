package sim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"balsa/raft"
)

// Scenario is a run in which nothing is left to chance. It is a small world in
// which everything takes its usual time, and a list of what is done to it and where
// it departs from the usual. It comes from a random run (see [Record]), from the
// model checker, or from a person; [Shrink] makes it short. In whatever way the
// simulator thinks up its faults tomorrow, it replays.
//
// scenario_text.go says how it is written to a file.
type Scenario struct {
	// Nodes, Pool and Ticks are those of [Options].
	Nodes, Pool, Ticks int
	// Clients is how many clients there are, Keys how many keys they use.
	Clients, Keys int
	// Core sets the timeouts and limits of every core.
	Core raft.Config
	// Settle is how long after the end of the actions some of their effects may
	// last: no less than the longest time that an action mentions. Zero: more than twice that.
	Settle Time
	// Drift says that clocks differ by more than leases allow.
	Drift bool
	// ByHand says that until the end of the actions no clock ticks, no message
	// arrives and no write finishes unless an action says so.
	ByHand bool

	// Actions are in the order of their times.
	Actions []Action
	// Ending is how the run must end, if that is known.
	Ending *Ending
}

// Ending is how a run ends.
type Ending struct {
	// Rule is the property that is violated, or empty.
	Rule string
	// State is what the run leads to: see [Result].
	State uint64
}

func (e Ending) String() string {
	if e.Rule == "" {
		return fmt.Sprintf("%016x clean", e.State)
	}
	return fmt.Sprintf("%016x violates %s", e.State, e.Rule)
}

// EndingOf says how a run has ended that has returned these.
func EndingOf(r Result, err error) *Ending {
	e := &Ending{State: r.State}
	if violation, ok := errors.AsType[*Violation](err); ok {
		e.Rule = violation.Rule
	}
	return e
}

// The bounds of a scenario. Files can come from anywhere.
const (
	MaxActions = 400_000
	MaxClients = 64
	// MaxScenarioTicks bounds the length of a scenario.
	MaxScenarioTicks = 100_000
	maxElectionTicks = 1000
	maxLimit         = 1 << 30
	// maxPadding bounds a command, maxPaddingInAll all of them together.
	maxPadding, maxPaddingInAll = 4096, 16 << 20
	// maxTicksAtOnce bounds the ticks of one action, maxTicksInAll all of them.
	maxTicksAtOnce, maxTicksInAll = 10_000, 1_000_000
	slowestPeriod, fastestPeriod  = 10 * Tick, Tick / 10
)

// Record is [Run], and returns the run as a scenario as well: its replay has the
// same hash.
func Record(o Options) (Scenario, Result, error) {
	t := &tape{recording: true, passed: map[place]passage{}}
	result, err := runs(o, t)
	if err != nil && !errors.As(err, new(*Violation)) {
		return Scenario{}, result, err
	}
	o, _ = o.withDefaults()
	core := *o.Core
	core.Random, core.Trace = nil, nil
	return Scenario{
		Nodes: o.Nodes, Pool: o.Pool, Ticks: o.Ticks, Clients: o.Workload.Clients, Keys: max(1, o.Workload.Keys),
		Core: core, Settle: o.aftermath(), Drift: o.clocksDriftTooMuch(),
		Actions: t.actions, Ending: EndingOf(result, err),
	}, result, err
}

// Replay runs a scenario, and writes every event to trace, as [Run] does, unless
// that is nil. It does not compare the end with that of the scenario: see [Check].
func Replay(s Scenario, trace io.Writer) (Result, error) {
	if err := s.validate(); err != nil {
		return Result{}, err
	}
	w := newWorld(Options{
		Nodes: s.Nodes, Pool: s.Pool, Ticks: s.Ticks, Core: &s.Core, Faults: &Faults{},
		Workload: &Workload{Clients: s.Clients, Keys: s.Keys}, Trace: trace, TraceLength: 200,
	})
	w.scripted, w.byHand, w.drifts = true, s.ByHand, s.Drift
	w.aftermath = cmp.Or(s.Settle, Tick+2*s.longest())
	w.repeat = "balsa sim --scenario FILE --trace"
	w.tape = &tape{ahead: map[place][]Action{}, passed: map[place]passage{}}
	for _, a := range s.Actions {
		if a.Verb == Next {
			p := place{a.Point, a.Kind, a.Node, a.Peer}
			w.tape.ahead[p] = append(w.tape.ahead[p], a)
		} else {
			w.plan(a.At, func() { w.perform(a) })
		}
	}
	return w.result()
}

// Check replays a scenario and compares its end with what the scenario says of it.
// The error says what is different.
func Check(s Scenario, trace io.Writer) (Result, error) {
	result, err := Replay(s, trace)
	if err != nil && !errors.As(err, new(*Violation)) {
		return result, err
	}
	switch e := EndingOf(result, err); {
	case s.Ending == nil:
		return result, errors.New("sim: the scenario does not say how it must end")
	case e.Rule != s.Ending.Rule:
		return result, fmt.Errorf("sim: the scenario must end with %q and ends with %q: %w", s.Ending, e, cmp.Or(err, errNoViolation))
	case e.State != s.Ending.State:
		return result, fmt.Errorf("sim: the scenario must end with %q and ends with %q", s.Ending, e)
	}
	return result, nil
}

var errNoViolation = errors.New("nothing is violated")

// byItself lets a world that was moved by hand move by itself. What was on its way
// is lost.
func (w *world) byItself() {
	if !w.byHand {
		return
	}
	w.byHand = false
	w.network.waiting = nil
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		for _, p := range n.disk.unfinished {
			n.finishLater(p)
		}
		n.scheduleTick(n.clock.period)
	}
}

// longest is the longest time that an action mentions.
func (s Scenario) longest() Time {
	var longest Time
	for _, a := range s.Actions {
		longest = max(longest, a.Length)
		if a.Verb == Next && points[a.Point].unit == isTime && points[a.Point].lasts {
			longest = max(longest, Time(a.Value))
		}
	}
	return longest
}

// validate checks everything that the world takes for granted.
func (s Scenario) validate() error {
	refuse := func(format string, args ...any) error { return fmt.Errorf("sim: "+format, args...) }
	switch c := s.Core; {
	case s.Nodes < 1 || s.Nodes > MaxNodes || s.Pool < s.Nodes || s.Pool > MaxNodes:
		return refuse("%d nodes in a pool of %d; there can be 1 to %d, and no more nodes than the pool has", s.Nodes, s.Pool, MaxNodes)
	case s.Ticks < 1 || s.Ticks > MaxScenarioTicks:
		return refuse("%d ticks; 1 to %d are possible", s.Ticks, MaxScenarioTicks)
	case s.Clients < 0 || s.Clients > MaxClients || s.Keys < 1 || s.Keys > MaxKeys:
		return refuse("%d clients with %d keys; 0 to %d and 1 to %d are possible", s.Clients, s.Keys, MaxClients, MaxKeys)
	case c.ElectionTicks < 2 || c.ElectionTicks > maxElectionTicks || c.HeartbeatTicks < 1 || 2*c.HeartbeatTicks > c.ElectionTicks:
		return refuse("an election timeout of %d ticks and a heartbeat of %d; the first must be 2 to %d, and no less than twice the second",
			c.ElectionTicks, c.HeartbeatTicks, maxElectionTicks)
	case c.LeaseTime > uint64(ticks(c.ElectionTicks)) && !s.Drift:
		return refuse("a lease of %d is longer than the election timeout", c.LeaseTime)
	case len(s.Actions) > MaxActions:
		return refuse("%d actions; at most %d are possible", len(s.Actions), MaxActions)
	}
	for _, limit := range coreLimits(&s.Core) {
		if *limit.value < 0 || *limit.value > maxLimit {
			return refuse("%s is %d; 0 to %d is possible", limit.name, *limit.value, maxLimit)
		}
	}
	padding, ticksInAll, last := 0, 0, Time(0)
	shortest, longest := Tick, Tick
	for _, a := range s.Actions {
		if err := s.validateAction(a); err != nil {
			return fmt.Errorf("sim: %q: %w", a, err)
		}
		if a.At < last {
			return refuse("%q comes after an action of %s", a, last)
		}
		last = a.At
		padding += a.Padding
		if a.Verb == Ticks || a.Verb == Pause {
			ticksInAll += a.Count
		}
		if a.Verb == Next && a.Point == pointClock {
			shortest, longest = min(shortest, Time(a.Value)), max(longest, Time(a.Value))
		}
	}
	switch {
	case s.Settle < 0 || s.Settle > 2*ticks(MaxScenarioTicks) || s.Settle > 0 && s.Settle < s.longest():
		return refuse("a time of %s to settle; it must be at least the longest that is mentioned, %s", s.Settle, s.longest())
	case padding > maxPaddingInAll:
		return refuse("%d bytes of padding; at most %d are possible", padding, maxPaddingInAll)
	case ticksInAll > maxTicksInAll:
		return refuse("%d extra ticks; at most %d are possible", ticksInAll, maxTicksInAll)
	case !s.Drift && s.Core.LeaseTime > 0 && uint64(longest)*s.Core.LeaseTime >= uint64(shortest)*uint64(ticks(s.Core.ElectionTicks)):
		return refuse("ticks of %s and of %s differ by more than leases allow; say that clocks drift", shortest, longest)
	}
	return nil
}

// validateAction checks one action by itself.
func (s Scenario) validateAction(a Action) error {
	form, known := forms[a.Verb]
	if !known {
		return fmt.Errorf("there is no action %q", a.Verb)
	}
	if a.At < 0 || a.At > ticks(s.Ticks) && a.Verb != Next || a.At > 2*ticks(MaxScenarioTicks) {
		return fmt.Errorf("the time must be between 0 and %d ticks", s.Ticks)
	}
	isNode := func(id raft.NodeID) bool { return id >= 1 && int(id) <= s.Pool }
	who := form.who
	if a.Verb == Next {
		var err error
		if who, err = a.validatePoint(); err != nil {
			return err
		}
	}
	switch {
	case who == aNode && !isNode(a.Node), who == aLink && (!isNode(a.Node) || !isNode(a.Peer)):
		return fmt.Errorf("there are n1 to n%d", s.Pool)
	case who == aLink && a.Node == a.Peer:
		return errors.New("a link joins two nodes")
	case who != aLink && a.Peer != raft.None && !isNode(a.Peer):
		return fmt.Errorf("there are n1 to n%d", s.Pool)
	case a.Verb == Hint && a.Peer == raft.None:
		return errors.New("it lacks lost=, the node that the connection led to")
	case a.Length < 0 || a.Length > ticks(MaxScenarioTicks):
		return fmt.Errorf("a time must be between 0 and %d ticks", MaxScenarioTicks)
	case a.Count < 0 || a.Count > maxTicksAtOnce:
		return fmt.Errorf("a number must be between 0 and %d", maxTicksAtOnce)
	case a.Client < 0 || a.Client > s.Clients || a.Key < 0 || a.Key >= s.Keys:
		return fmt.Errorf("there are %d clients and %d keys, numbered from 0", s.Clients, s.Keys)
	case a.Padding < 0 || a.Padding > maxPadding:
		return fmt.Errorf("a padding must be between 0 and %d bytes", maxPadding)
	case (a.Verb == Change) != (a.Change != nil):
		return errors.New("a change, and nothing else, says set= or remove=")
	}
	for _, l := range a.Links {
		if !isNode(l.From) || !isNode(l.To) || l.From == l.To {
			return fmt.Errorf("there is no link %s>%s", l.From, l.To)
		}
	}
	if c := a.Change; c != nil {
		if slices.ContainsFunc(c.Set, func(s Server) bool { return !isNode(s.ID) || s.Disk < 0 || s.Disk > 1<<16-1 }) ||
			slices.ContainsFunc(c.Remove, func(id raft.NodeID) bool { return !isNode(id) }) || len(c.Set) > MaxNodes || len(c.Remove) > MaxNodes {
			return fmt.Errorf("there are n1 to n%d, and disks up to 65535", s.Pool)
		}
	}
	return nil
}

// validatePoint checks the place and the value of a departure, and says who is
// there.
func (a Action) validatePoint() (who, error) {
	if int(a.Point) >= len(points) || a.Kind >= messageKind(len(messageKinds)) || a.Skip < 0 || a.Skip > maxLimit {
		return nobody, errors.New("there is no such point")
	}
	p := points[a.Point]
	most := int64(maxLimit)
	switch p.unit {
	case isFlag:
		most = 1
	case isTime:
		most = int64(ticks(MaxScenarioTicks))
	}
	switch {
	case a.Value < 0 || a.Value > most || p.unit == isFlag && a.Value == 0:
		return nobody, fmt.Errorf("the value must be between 0 and %d", most)
	case a.Point == pointClock && (Time(a.Value) < fastestPeriod || Time(a.Value) > slowestPeriod):
		return nobody, fmt.Errorf("the length of a tick must be between %s and %s", fastestPeriod, slowestPeriod)
	case (p.who == aLink) != (a.Kind != noMessage):
		return nobody, errors.New("what happens on a link, and only that, happens to a kind of messages")
	}
	return p.who, nil
}

// limit is one of the numbers of a core's configuration.
type limit struct {
	name  string
	value *int
}

func coreLimits(c *raft.Config) []limit {
	return []limit{
		{"max-message-bytes", &c.MaxMessageBytes},
		{"max-window-messages", &c.MaxWindowMessages},
		{"max-window-bytes", &c.MaxWindowBytes},
		{"max-uncommitted-bytes", &c.MaxUncommittedBytes},
		{"max-apply-bytes", &c.MaxApplyBytes},
		{"max-promotion-lag", &c.MaxPromotionLag},
		{"cache-bytes", &c.CacheBytes},
	}
}
