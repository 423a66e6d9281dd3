package modelcheck

// Scopes returns the scopes that are explored again and again. Each is there for
// something: bounds are chosen by what they can show, see doc.go.
func Scopes() []Scope {
	change := func(c ...Change) []Change { return c }
	return []Scope{
		// Elections.
		{Name: "elections", Why: "who is elected, with crashes at every point",
			Voters: 3, Terms: 2, Crashes: 1, StepsDown: true, Window: 1},
		{Name: "refusals", Why: "votes that are refused, answers of a newer term, messages that arrive twice",
			Voters: 3, Terms: 1, Crashes: 1, Duplicates: 1, Refusals: true, StaleAnswers: true, StepsDown: true, Window: 1},
		{Name: "five-voters", Why: "votes that are counted twice are too few among three",
			Voters: 5, Terms: 1, Duplicates: 1, Window: 1},
		{Name: "pre-votes", Why: "questions and answers that are long under way",
			Voters: 3, Terms: 1, PreVotes: true, Window: 1},
		{Name: "refused-elections", Effort: Thorough, Why: "the same as elections and refusals, together",
			Voters: 3, Terms: 2, Crashes: 1, Refusals: true, StaleAnswers: true, StepsDown: true, Window: 1},
		{Name: "pre-votes-again", Effort: Nightly, Why: "PreVotes of an earlier term",
			Voters: 3, Terms: 2, PreVotes: true, Window: 1},
		{Name: "five-voters-again", Effort: Nightly, Why: "votes of an earlier term, among five",
			Voters: 5, Terms: 2, Duplicates: 1, Window: 1},

		// The log.
		{Name: "log", Why: "logs that contradict each other",
			Voters: 3, Terms: 2, Commands: 2, StepsDown: true, Window: 1},
		{Name: "three-terms", Why: "leaders that come back",
			Voters: 3, Terms: 3, StepsDown: true, Window: 1},
		{Name: "figure-8", Effort: Thorough, Why: "entries of an earlier term on a majority",
			Voters: 3, Terms: 4, StepsDown: true, Window: 1},
		{Name: "copies", Why: "messages that arrive late, and twice",
			Voters: 3, Terms: 1, Commands: 1, Heartbeats: 1, Duplicates: 1, Window: 2},
		{Name: "heartbeats", Why: "heartbeats beside entries, in two terms",
			Voters: 3, Terms: 2, Commands: 1, Heartbeats: 1, Window: 2},
		{Name: "slow-disks", Why: "writes that take their time, and are lost in a crash",
			Voters: 3, Terms: 2, Writes: 2, Crashes: 1, Window: 1},
		{Name: "transfers", Why: "orders to take over, that may arrive late",
			Voters: 3, Terms: 2, Commands: 1, Transfers: 1, Window: 1},
		{Name: "copies-and-crashes", Effort: Thorough, Why: "the same as copies, with a crash",
			Voters: 3, Terms: 1, Commands: 1, Heartbeats: 1, Duplicates: 1, Crashes: 1, Window: 2},
		{Name: "log-and-crashes", Effort: Thorough, Why: "two commands, two terms, a crash",
			Voters: 3, Terms: 2, Commands: 2, Crashes: 1, StepsDown: true, Window: 1},
		{Name: "three-terms-and-a-command", Effort: Thorough, Why: "logs of equal length and different terms",
			Voters: 3, Terms: 3, Commands: 1, StepsDown: true, Window: 1},
		{Name: "slow-disks-and-commands", Effort: Nightly, Why: "the same as slow-disks, with a command",
			Voters: 3, Terms: 2, Commands: 1, Writes: 2, Crashes: 1, Window: 1},
		{Name: "four-terms", Effort: Nightly, Why: "Figure 8 with a command and a crash",
			Voters: 3, Terms: 4, Commands: 1, Crashes: 1, Window: 1},
		{Name: "three-terms-and-crashes", Effort: Nightly, Why: "what a small cluster can come to in three terms",
			Voters: 3, Terms: 3, Commands: 2, Crashes: 1, StepsDown: true, Window: 1},

		// Reads.
		{Name: "reads", Why: "a read while the leader changes",
			Voters: 3, Terms: 2, Reads: 1, StepsDown: true, Window: 1},
		{Name: "reads-and-commands", Effort: Thorough, Why: "a read beside a command",
			Voters: 3, Terms: 2, Commands: 1, Reads: 1, Window: 1},
		{Name: "reads-and-heartbeats", Effort: Thorough, Why: "a read that is confirmed by an earlier round",
			Voters: 3, Terms: 2, Reads: 1, Heartbeats: 1, Window: 1},
		{Name: "two-reads", Effort: Nightly, Why: "a read that is taken for another",
			Voters: 3, Terms: 2, Commands: 1, Reads: 2, Window: 1},

		// Snapshots.
		{Name: "snapshots", Why: "snapshots that arrive late, or after newer ones",
			Voters: 3, Terms: 2, Commands: 1, Compactions: 2, Window: 1},
		{Name: "snapshots-and-crashes", Why: "crashes between a state and its log",
			Voters: 3, Terms: 1, Commands: 1, Compactions: 2, Crashes: 1, Window: 1},
		{Name: "snapshots-ahead", Effort: Nightly, Why: "snapshots beside entries that were sent ahead",
			Voters: 3, Terms: 2, Commands: 2, Compactions: 2, Window: 2},

		// Disks that forget.
		{Name: "losses", Why: "a disk that forgets the end of its log",
			Voters: 3, Terms: 2, Losses: 1, Window: 1},
		{Name: "losses-and-commands", Effort: Nightly, Why: "the same, with a command and a crash",
			Voters: 3, Terms: 2, Commands: 1, Crashes: 1, Losses: 1, StepsDown: true, Window: 1},
		{Name: "losses-and-snapshots", Effort: Thorough, Why: "what was lost comes back with a snapshot",
			Voters: 3, Terms: 2, Commands: 1, Compactions: 1, Losses: 1, Window: 1},

		// Members.
		{Name: "growing", Why: "from two voters to three, by way of a learner",
			Voters: 2, Strangers: 1, Terms: 1, Changes: change(Add, Promote), MaxChanges: 2, Window: 1},
		{Name: "shrinking", Why: "from three voters to two, and to one",
			Voters: 3, Terms: 1, Changes: change(Remove), MaxChanges: 2, Window: 1},
		{Name: "one-remains", Why: "two voters that are removed at once",
			Voters: 3, Terms: 2, Changes: change(RemoveOthers), MaxChanges: 1, Window: 1},
		{Name: "promotion", Why: "from two voters to three, while the leader changes",
			Voters: 2, Learners: 1, Terms: 2, Changes: change(Promote), MaxChanges: 1, Window: 1},
		{Name: "changes", Effort: Thorough, Why: "from two voters to three and back, while the leader changes",
			Voters: 2, Learners: 1, Terms: 2, Changes: change(Promote, Remove), MaxChanges: 2, Window: 1},
		{Name: "removal-and-crashes", Effort: Thorough, Why: "a voter that is removed, while leaders change and crash",
			Voters: 3, Terms: 2, Changes: change(Remove), MaxChanges: 1, Crashes: 1, Window: 1},
		{Name: "four-servers", Effort: Nightly, Why: "two leaders with a change each",
			Voters: 3, Learners: 1, Terms: 2, Changes: change(Promote, Remove), MaxChanges: 2, Window: 1},
	}
}
