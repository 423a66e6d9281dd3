package sim

import (
	"fmt"
	"reflect"
	"strings"
)

// Result is what happened in a run.
type Result struct {
	Seed  uint64
	Nodes int
	// Hash is made of every event of the run: the same options give the same
	// hash, always.
	Hash uint64
	// State is the hash of what the run has led to, and of nothing else.
	State uint64
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
	QuickRestarts                             int
	TrueHints, FalseHints                     int
	// Writes are those begun, GroupedWrites those that finished together with
	// the next one, LostWrites those that a crash prevented.
	Writes, GroupedWrites, LostWrites int
	// FailedWrites are those that ended with an error.
	FailedWrites               int
	Flushes, Loads, ApplyLoads int

	Snapshots  SnapshotStatistics
	Forgetting ForgettingStatistics
	Members    MemberStatistics
	Transfers  TransferStatistics
	Leases     LeaseStatistics
	Recovery   RecoveryStatistics
}

// SnapshotStatistics counts what became of logs and snapshots.
type SnapshotStatistics struct {
	// Compactions are the times that a log was cut, BrutalCompactions those when
	// everything was to go that may go.
	Compactions, BrutalCompactions int
	// Needed are the times that a core wanted a snapshot sent, Spare the snapshots
	// that nobody wanted. Resumed are offers of
	// a picture of which the receiver has a part already, Refused those that it does
	// not want, Replaced those that took the place of another one that had arrived
	// in part, DiskFull the pieces for which there was no room. GivenUp are those of
	// which the sender heard nothing any more.
	Needed, Spare, Resumed, Refused, Replaced, DiskFull, GivenUp int
	// Arrived are the pictures that were there as a whole. Of these, Stale brought
	// nothing new, SuffixKept said only that a part of the log is committed,
	// WhileInstalling came in the middle of an installation, and OfDeposedLeader
	// were wanted although their leader was one of an earlier term.
	Arrived, Stale, SuffixKept, WhileInstalling, OfDeposedLeader int
	// Installed are those that replaced a state machine. LogsDropped are the logs
	// that were replaced after that, LogsKept those that held the snapshot's last
	// entry by then.
	Installed, LogsDropped, LogsKept int
	// InstallCrashes are the crashes: outside of an installation, before it, when
	// the core does not know of it, and when the stored log is still the old one.
	InstallCrashes [installStages]int
}

// ForgettingStatistics counts what became of disks that forget. Damaged and
// Restored are the times that an entry was damaged and that an old copy of a log was
// put back, Losses those when something was lost by that, or just so, RestoredAll
// those when nothing on the disk told of the loss. Noticed are the times that a core
// noticed, Told those when it was a leader who knew, Recovered those when it had
// everything again.
type ForgettingStatistics struct {
	Damaged, Restored, RestoredAll, Losses, Noticed, Told, Recovered int
}

// MemberStatistics counts changes of members.
type MemberStatistics struct {
	// What was accepted. Several are changes of more than one server, Readded are
	// servers that had been removed with another disk.
	Added, Readded, Promoted, Demoted, Removed, Several int
	LeaderRemoved, LeaderDemoted                        int
	// What was refused, and why.
	RefusedWrongServer, RefusedPending, RefusedTooNew, RefusedOther int
	RefusedNotCaughtUp, RefusedNoMajority, RefusedInvalid           int
	// JointLeftByLater are joint configurations that a later leader than the one
	// that committed them has left. RolledBack are configurations in force that
	// another leader's log contradicted.
	JointCommitted, JointLeft, JointLeftByLater, RolledBack int
	// Wipes are lost disks, MessagesRefused what did not get through because a
	// server was removed or has another disk.
	Wipes, MessagesRefused int
}

// TransferStatistics counts transfers of leadership.
type TransferStatistics struct {
	Begun, Refused, GivenUp int
	// Orders are those given, Retired those of leaders that vote no more, Succeeded
	// the elections won by order.
	Orders, Retired, Succeeded int
}

// LeaseStatistics counts reads that asked nobody, votes that were refused because
// of a promise, and attempts to get another leader elected meanwhile.
type LeaseStatistics struct{ Reads, VotesRefused, Attacks int }

// RecoveryStatistics counts what was found at the end of the faults.
type RecoveryStatistics struct {
	// Recovered are the times that a cluster came back to life, BeyondHelp those
	// when more than a minority of the voters was lost for good, so that it need
	// not.
	Recovered, BeyondHelp int
	// Hardships are recoveries although something remained broken. SnapshotsNeeded
	// are those in which somebody needed a snapshot, JointAtFirst those that began
	// with a joint configuration in force somewhere.
	Hardships, SnapshotsNeeded, JointAtFirst int
}

// Add adds the numbers of another run.
func (s *Statistics) Add(other Statistics) {
	add(reflect.ValueOf(s).Elem(), reflect.ValueOf(other))
}

func add(total, s reflect.Value) {
	switch total.Kind() {
	case reflect.Struct:
		for i := range total.NumField() {
			add(total.Field(i), s.Field(i))
		}
	case reflect.Array:
		for i := range total.Len() {
			add(total.Index(i), s.Index(i))
		}
	default:
		total.SetInt(total.Int() + s.Int())
	}
}

func (s Statistics) String() string {
	return fmt.Sprintf("%d steps, %s ticks, %d campaigns, %d leaders, %d committed, %d truncations, "+
		"puts %d/%d/%d, gets %d/%d/%d (unknown/done/failed), %d messages (%d lost, %d twice, %d late, %d clogged), "+
		"%d partitions, %d crashes (%d quickly back), %d power losses, %d pauses, %d leader falls, %d+%d hints, %d writes (%d grouped, %d lost, %d failed), "+
		"%d flushes, %d loads, %d apply loads\nsnapshots %+v\nforgetting %+v\nmembers %+v\ntransfers %+v\nleases %+v\nrecovery %+v",
		s.Steps, s.Duration, s.Campaigns, s.Leaders, s.Committed, s.Truncations,
		s.Operations[Put][Unknown], s.Operations[Put][Done], s.Operations[Put][Failed],
		s.Operations[Get][Unknown], s.Operations[Get][Done], s.Operations[Get][Failed],
		s.Messages, s.Lost, s.Duplicated, s.Late, s.Clogged,
		s.Partitions, s.Crashes, s.QuickRestarts, s.PowerLosses, s.Pauses, s.LeaderFalls, s.TrueHints, s.FalseHints,
		s.Writes, s.GroupedWrites, s.LostWrites, s.FailedWrites, s.Flushes, s.Loads, s.ApplyLoads,
		s.Snapshots, s.Forgetting, s.Members, s.Transfers, s.Leases, s.Recovery)
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
