package modelcheck

import (
	"fmt"

	"balsa/raft"
)

// Scope bounds a world, so that it can be explored to its end: who there is, how
// often each thing may happen, and what may happen at all.
type Scope struct {
	Name string
	// Effort says how long it takes to explore, and Why what for.
	Effort Effort
	Why    string

	// Voters, Learners and Strangers are the servers, in the order of their names:
	// those that vote in the founding configuration, those that only listen, and
	// those that it does not name.
	Voters, Learners, Strangers int

	// Terms is how many terms there may be beside the founding one, Commands how many
	// commands are proposed, and so on, all servers together.
	Terms, Commands, Reads, Heartbeats, Duplicates, Crashes, Compactions, Transfers, Losses int

	// Changes are the changes of members that may be asked for, MaxChanges how often.
	Changes    []Change
	MaxChanges int

	// Writes is how many writes of a server may be unfinished while it goes on.
	// With 0 the disk is done before anything else happens; a crash still comes
	// before or after the disk is done.
	Writes int
	// Window is how many messages with entries may be on the way to a follower.
	Window int

	// PreVotes sends the messages of a PreVote like all others. Without it an
	// election timeout asks the others at once, and comes to nothing if there is no
	// majority for an election.
	PreVotes bool
	// StepsDown lets leaders step down because they hear from nobody.
	StepsDown bool
	// StaleAnswers delivers the answers to messages of an older term, and Refusals
	// the votes that are refused. Both are lost otherwise. They tell nothing but a
	// newer term, or that somebody will not be elected.
	StaleAnswers, Refusals bool

	// Unreduced explores worlds that differ only in the names of servers, and keeps
	// messages that cannot change anything any more. It is for tests of the
	// reductions.
	Unreduced Reductions
}

// Effort says how long it takes to explore a scope, on one core of a small machine.
type Effort uint8

const (
	// Quick scopes take about a second or less.
	Quick Effort = iota
	// Thorough ones take up to half a minute.
	Thorough
	// Nightly ones take longer, and much memory.
	Nightly
)

// Reductions names those that are switched off.
type Reductions struct{ Symmetry, DeadMessages bool }

// Change is what an operator may ask a leader for.
type Change uint8

const (
	// Promote makes a learner a voter.
	Promote Change = iota
	// Demote makes a voter a learner.
	Demote
	// Remove removes a member.
	Remove
	// Add adds a stranger as a learner.
	Add
	// RemoveOthers removes everybody else.
	RemoveOthers
)

func (c Change) String() string {
	return [...]string{"promote", "demote", "remove", "add", "remove all but"}[c]
}

// change returns what is asked of a leader whose configuration is given, or false if
// that makes no sense.
func (c Change) change(configuration raft.Configuration, id raft.NodeID) (raft.Change, bool) {
	m, member := configuration.Member(id)
	switch c {
	case Promote:
		return raft.Change{Set: []raft.Member{{ID: id, Votes: true}}}, member && !m.Votes
	case Demote:
		return raft.Change{Set: []raft.Member{{ID: id}}}, m.Votes
	case Remove:
		return raft.Change{Remove: []raft.NodeID{id}}, member
	case RemoveOthers:
		var others []raft.NodeID
		for _, other := range configuration.Members {
			if other.ID != id {
				others = append(others, other.ID)
			}
		}
		return raft.Change{Remove: others}, member
	default:
		return raft.Change{Set: []raft.Member{{ID: id}}}, !member
	}
}

func (s *Scope) servers() int { return s.Voters + s.Learners + s.Strangers }

// founding is the configuration of entry 1.
func (s *Scope) founding() raft.Configuration {
	var c raft.Configuration
	for i := range s.Voters + s.Learners {
		c.Members = append(c.Members, raft.Member{ID: raft.NodeID(i + 1), Votes: i < s.Voters})
	}
	return c
}

// validate reports what is wrong with a scope.
func (s *Scope) validate() error {
	switch {
	case s.Voters < 1 || s.servers() > maxServers:
		return fmt.Errorf("modelcheck: scope %s: %d voters among %d servers, want at least one and at most %d servers",
			s.Name, s.Voters, s.servers(), maxServers)
	case s.Window < 1:
		return fmt.Errorf("modelcheck: scope %s: a window of %d messages, want at least one", s.Name, s.Window)
	}
	for _, n := range s.limits() {
		if n < 0 || n > maxBudget {
			return fmt.Errorf("modelcheck: scope %s: a limit of %d, want 0 to %d", s.Name, n, maxBudget)
		}
	}
	return nil
}

// limits are how often things may happen, in the order of the budgets.
func (s *Scope) limits() [budgets]int {
	return [budgets]int{
		commands: s.Commands, reads: s.Reads, heartbeats: s.Heartbeats, duplicates: s.Duplicates,
		crashes: s.Crashes, compactions: s.Compactions, changes: s.MaxChanges, transfers: s.Transfers, losses: s.Losses,
	}
}

// roundsMatter reports whether the numbers of rounds decide anything in this scope:
// reads are confirmed by them, and new members are told from old ones.
func (s *Scope) roundsMatter() bool { return s.Reads > 0 || s.MaxChanges > 0 }

// maxTerm is the last term that anybody campaigns in.
func (s *Scope) maxTerm() raft.Term { return raft.Term(s.Terms + 1) }
