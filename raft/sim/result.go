package sim

import (
	"fmt"
	"strings"
)

// Result is what happened in a run.
type Result struct {
	Seed  uint64
	Nodes int
	// Hash is made of every event of the run: the same options give the same
	// hash, always.
	Hash uint64
	Statistics
	// History is what the clients did and saw, in the order in which they asked.
	History []Operation
}

// Statistics counts what happened in a run.
type Statistics struct {
	// Steps are the events of the simulation, Duration is the virtual time that
	// they took.
	Steps    int
	Duration Time

	// Campaigns are the times that a node became candidate or pre-candidate,
	// Leaders the elections won. FirstLeader is when the first was, LastCampaign
	// when the last campaign before the recovery began.
	Campaigns, Leaders        int
	FirstLeader, LastCampaign Time
	// Committed is the highest index that any server committed. Truncations are
	// the times that a server removed entries that another leader contradicted.
	Committed, Truncations int
	// Operations counts those of clients, by kind and outcome.
	Operations [2][3]int

	Messages, Lost, Duplicated, Late, Clogged int
	Partitions                                int
	Crashes, PowerLosses, Pauses, LeaderFalls int
	TrueHints, FalseHints                     int
	// Writes are those begun, GroupedWrites those that finished together with
	// the next one, LostWrites those that a crash prevented.
	Writes, GroupedWrites, LostWrites int
	Flushes, Loads, ApplyLoads        int
}

func (s Statistics) String() string {
	return fmt.Sprintf("%d steps, %s ticks, %d campaigns, %d leaders, %d committed, %d truncations, "+
		"puts %d/%d/%d, gets %d/%d/%d (unknown/done/failed), %d messages (%d lost, %d twice, %d late, %d clogged), "+
		"%d partitions, %d crashes, %d power losses, %d pauses, %d leader falls, %d+%d hints, %d writes (%d grouped, %d lost), "+
		"%d flushes, %d loads, %d apply loads",
		s.Steps, s.Duration, s.Campaigns, s.Leaders, s.Committed, s.Truncations,
		s.Operations[Put][Unknown], s.Operations[Put][Done], s.Operations[Put][Failed],
		s.Operations[Get][Unknown], s.Operations[Get][Done], s.Operations[Get][Failed],
		s.Messages, s.Lost, s.Duplicated, s.Late, s.Clogged,
		s.Partitions, s.Crashes, s.PowerLosses, s.Pauses, s.LeaderFalls, s.TrueHints, s.FalseHints,
		s.Writes, s.GroupedWrites, s.LostWrites, s.Flushes, s.Loads, s.ApplyLoads)
}

// Violation is the error of a run in which something happened that must never
// happen.
type Violation struct {
	Seed uint64
	// Rule names the property that was violated.
	Rule   string
	Detail string
	At     Time
	// Repeat is a command that repeats the run, or says what else it needs.
	Repeat string
	// Trace is the end of the run's trace, up to the violation.
	Trace string
}

func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sim: seed %d violates %s at tick %s: %s\n", v.Seed, v.Rule, v.At, v.Detail)
	fmt.Fprintf(&b, "To see the whole run: %s\n", v.Repeat)
	b.WriteString(v.Trace)
	return b.String()
}
