package mutants

// logs are bugs in sending entries and in receiving them (§5.3).
var logs = []Mutant{
	{
		Name: "no-heartbeats", Rule: "append.heartbeat",
		File: "raft/leader.go",
		Old:  `		c.beginRound() // rule:append.heartbeat`,
		New:  `		// rule:append.heartbeat`,
		Why:  "Followers of an idle leader take it for dead.",
		Dies: simulated("Liveness", 10, "any"),
	},
	{
		Name: "heartbeats-are-not-checked", Rule: "append.heartbeat", Source: "M19",
		File: "raft/follower.go",
		Old:  `	if !c.log.matches(request.Prev) { // rule:append.consistency`,
		New: `	if len(request.Entries) == 0 {
		c.commitTo(min(request.LeaderCommit, c.log.last))
	}
	if !c.log.matches(request.Prev) { // rule:append.consistency`,
		Why:  "A heartbeat says what the leader has committed, and the follower commits entries of its own that stand there.",
		Dies: simulated(safety, 60, "any"),
	},
	{
		Name: "previous-term-is-not-compared", Rule: "append.consistency", Source: "M16",
		File: "raft/follower.go",
		Old:  `	if !c.log.matches(request.Prev) { // rule:append.consistency`,
		New:  `	if request.Prev.Index > c.log.last { // rule:append.consistency`,
		Why:  "Entries are put behind an entry that is another one than on the leader. The logs never agree again.",
		Dies: consequence(safety, 60, "any"),
	},
	{
		Name: "every-message-cuts-the-log", Rule: "append.truncate", Source: "M15",
		File: "raft/follower.go",
		Old:  `	appended := c.appendMissing(request.Entries)`,
		New: `	if request.Prev.Index >= c.log.start.Index && request.Prev.Index < c.log.last {
		c.truncateFrom(request.Prev.Index + 1)
	}
	appended := c.appendMissing(request.Entries)`,
		Why:  "A late, shorter message removes entries that were acknowledged, and perhaps committed.",
		Dies: consequence(safety+"|Assertion", 10, "any"),
	},
	{
		Name: "entries-before-the-log-are-taken-for-new", Rule: "append.new", Source: "M31b",
		File: "raft/follower.go",
		Old: `		if c.log.matches(e.ID()) {
			continue
		}
		if e.Index <= c.log.last { // rule`,
		New: `		if term, known := c.log.term(e.Index); known && term == e.Term {
			continue
		}
		if e.Index <= c.log.last { // rule`,
		Why:  "A late message brings entries that a snapshot has replaced. They are not in the log any more, and are taken for new ones.",
		Dies: simulated("Assertion", 20, "any"),
	},
	{
		Name: "only-one-entry-of-a-message-is-appended", Rule: "append.new",
		File: "raft/follower.go",
		Old:  `		c.appendToLog(entries[i:]...) // rule:append.new`,
		New:  `		c.appendToLog(entries[i]) // rule:append.new`,
		Why:  "A follower acknowledges all entries of a message and has kept the first of them.",
		Dies: consequence(safety+"|Assertion", 10, "any"),
	},
	{
		Name: "entries-that-are-there-are-appended-again", Rule: "append.new",
		File: "raft/follower.go",
		Old: `		if c.log.matches(e.ID()) {
			continue
		}
		if e.Index <= c.log.last { // rule:append.truncate`,
		New:  `		if e.Index <= c.log.last { // rule:append.truncate`,
		Why:  "A message that arrives twice removes what came after it the first time.",
		Dies: simulated("Assertion", 10, "any"),
	},
	{
		Name: "removed-entries-are-overwritten-in-place", Rule: "append.new",
		File: "raft/log.go",
		Old:  `		l.tail = slices.Clone(l.tail[:n])`,
		New:  `		l.tail = l.tail[:n]`,
		Why:  "Entries that were handed out, to be sent, written or applied, turn into others while somebody holds them.",
		Dies: tested("raft", "TestEntriesThatWereHandedOutDoNotChange", "FAIL"),
	},
	{
		Name: "follower-commits-what-was-not-verified", Rule: "append.commit", Source: "M18",
		File: "raft/follower.go",
		Old:  `	c.commitTo(min(request.LeaderCommit, c.verified)) // rule:append.commit`,
		New:  `	c.commitTo(min(request.LeaderCommit, c.log.last)) // rule:append.commit`,
		Why:  "Behind what a message has verified, a follower's log may hold entries of a deposed leader. It commits them.",
		Dies: simulated(safety, 20, "any"),
	},
	{
		Name: "what-an-earlier-leader-verified-stays-verified", Rule: "append.commit",
		File: "raft/core.go",
		Old:  `		c.verified, c.heardRound = 0, 0`,
		New:  `		c.heardRound = 0`,
		Why:  "What equals the log of the leader of one term need not equal that of the next.",
		Dies: simulated(safety+"|Core", 20, "any"),
	},
	{
		Name: "reads-commit-what-was-not-verified", Rule: "append.commit",
		File: "raft/read.go",
		Old:  `	c.commitTo(min(reply.Index, c.verified))`,
		New:  `	c.commitTo(min(reply.Index, c.log.last))`,
		Why:  "The answer to a read says how far the leader has committed, and nothing about this server's log.",
		Dies: simulated(safety, 120, "any"),
	},
	{
		Name: "success-claims-the-whole-log", Rule: "append.reply", Source: "M23",
		File: "raft/follower.go",
		Old:  `	reply := &AppendEntriesReply{Success: true, MatchIndex: lastNew, Round: request.Round, Lost: lost} // rule:append.reply`,
		New: `	lastNew = c.log.last
	reply := &AppendEntriesReply{Success: true, MatchIndex: lastNew, Round: request.Round, Lost: lost} // rule:append.reply`,
		Why:  "A follower acknowledges entries of a deposed leader that stand behind what the message has verified.",
		Dies: simulated("Match Index|Durability", 25, "any"),
	},
	{
		Name: "match-is-what-was-sent", Rule: "append.reply", Source: "M22",
		File: "raft/leader.go",
		Old:  `	p.acknowledged(reply.MatchIndex, c.log.start.Index)`,
		New:  `	p.acknowledged(p.next-1, c.log.start.Index)`,
		Why:  "The answer to a heartbeat is taken for the acknowledgement of all that was sent meanwhile.",
		Dies: simulated("Match Index|Durability", 10, "any"),
	},
	{
		Name: "next-does-not-go-back", Rule: "append.backup",
		File: "raft/progress.go",
		Old:  `	p.next = max(next, p.match+1) // rule:append.backup`,
		New:  `	p.next = max(p.next, p.match+1) // rule:append.backup`,
		Why:  "A follower that refused a message is sent the same one again, forever.",
		Dies: simulated("Liveness", 10, "any"),
	},
	{
		Name: "next-goes-back-below-match", Rule: "append.backup",
		File: "raft/progress.go",
		Old:  `	p.next = max(next, p.match+1) // rule:append.backup`,
		New:  `	p.next = next // rule:append.backup`,
		Why:  "A hint from a follower takes back what that follower has proved.",
		Dies: tested("raft", "TestNoReplyWhateverItSaysMovesMatchBackOrNextBelowIt", "FAIL"),
	},
	{
		Name: "old-rejections-are-obeyed", Rule: "append.backup",
		File: "raft/progress.go",
		Old: `	case prev <= p.match:
		return false // the logs are known to match there: answered before that was known
`,
		New:  ``,
		Why:  "A rejection that was long under way makes the leader give up a follower's window and probe anew.",
		Dies: tested("raft", "TestALateRejectionDoesNotInterruptReplication", "want replicate"),
	},
	{
		Name: "leader-drops-what-it-does-not-know-to-be-committed", Rule: "append.only",
		File: "raft/leader.go",
		Old: `	c.failReads()
	c.role, c.leader = Leader, c.id`,
		New: `	c.failReads()
	if known := max(c.commitIndex, 1); c.log.last > known {
		c.truncateFrom(known + 1)
	}
	c.role, c.leader = Leader, c.id`,
		Why:  "A new leader has all that was committed, but does not know which entries those are. It throws some of them away.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "match-goes-back", Rule: "match.monotonic", Source: "M21",
		File: "raft/progress.go",
		Old:  `	p.match = max(p.match, i) // rule:match.monotonic`,
		New:  `	p.match = i // rule:match.monotonic`,
		Why:  "An acknowledgement that arrives late takes back a later one.",
		Dies: simulated("Match Index", 10, "any"),
	},
	{
		Name: "loaded-entries-are-not-compared", Rule: "append.only",
		File: "raft/leader.go",
		Old: `	for _, e := range entries {
		if !c.log.matches(e.ID()) {
			return
		}
	}
	c.sendAppendEntries(to, p, entries)`,
		New:  `	c.sendAppendEntries(to, p, entries)`,
		Why:  "Entries that were asked for from the disk arrive when the server has lost them and leads again. It sends what is not in its log.",
		Dies: tested("raft", "TestOldEntriesThatArriveLateAreNotSentIfTheLogHasChanged", "which its log does not hold"),
	},
	{
		Name: "acknowledgements-of-what-was-never-sent", Rule: "append.reply",
		File: "raft/leader.go",
		Old:  `	if reply.Success && reply.MatchIndex > c.log.last || reply.Round > c.confirm.round {`,
		New:  `	if false {`,
		Why:  "A follower that is mistaken, or a message that was damaged, makes the leader believe anything.",
		Dies: tested("raft", "TestAnAcknowledgementOfWhatWasNeverSentIsIgnored", "is beyond the last entry"),
	},
}

// commitment are bugs in deciding what is committed, and in applying it (§5.3,
// §5.4.2).
var commitment = []Mutant{
	{
		Name: "one-copy-too-few", Rule: "commit.majority", Source: "M14",
		File: "raft/quorum.go",
		Old:  `	return values[(len(values)-1)/2]`,
		New:  `	return values[min(len(values)-1, (len(values)+1)/2)]`,
		Why:  "An entry counts as committed on one server less than a majority.",
		Dies: consequence(safety, 30, "any"),
	},
	{
		Name: "the-new-voters-commit-alone", Rule: "commit.majority",
		File: "raft/quorum.go",
		Old:  `	return min(q[0].reached(of), q[1].reached(of))`,
		New:  `	return q[0].reached(of)`,
		Why:  "While a joint configuration is in force, its new voters commit something without the old ones, who can elect a leader that lacks it.",
		Dies: simulated("Durability|Confirmation", 100, "any"),
	},
	{
		Name: "figure-8", Rule: "commit.ownterm", Source: "M13",
		File: "raft/leader.go",
		Old: ` // rule:commit.ownterm §5.4.2 only an entry of the own term is committed by counting
		return`,
		New: ` // rule:commit.ownterm
		c.commitTo(n)
		c.configurationCommitted()
		return`,
		Why:  "A leader commits an entry of an earlier term because a majority stores it. A server whose last entry is of a later term can still be elected, and replaces it.",
		Dies: consequence(safety, 600, "any"),
	},
	{
		Name: "commit-goes-back", Rule: "commit.monotonic", Source: "M20",
		File: "raft/follower.go",
		Old:  `	if i <= c.commitIndex { // rule:commit.monotonic`,
		New:  `	if i == c.commitIndex { // rule:commit.monotonic`,
		Why:  "A message that was overtaken by a newer one takes commitIndex back.",
		Dies: simulated("Commit Monotonic", 10, "any"),
	},
	{
		Name: "no-entry-of-the-own-term", Rule: "commit.noop",
		File: "raft/leader.go",
		Old:  `	c.appendToLog(NewEntry(EntryID{c.currentTerm, c.log.last + 1}, EntryNoop, nil)) // rule:commit.noop`,
		New:  `	// rule:commit.noop`,
		Why:  "Until somebody writes, a new leader commits nothing that earlier leaders have left behind, and answers no read.",
		Dies: consequence("Liveness", 10, "any"),
	},
	{
		Name: "an-entry-is-skipped", Rule: "apply.order", Source: "M41",
		File: "raft/host.go",
		Old:  `	apply := Apply{First: c.handedApply + 1, Last: end} // rule:apply.order`,
		New:  `	apply := Apply{First: min(c.handedApply+2, end), Last: end} // rule:apply.order`,
		Why:  "A state machine misses a command, and is another one than the others from then on.",
		Dies: consequence(safety, 10, "any"),
	},
	{
		Name: "applies-before-commit", Rule: "apply.order", Source: "M41",
		File: "raft/host.go",
		Old:  `	end := min(c.commitIndex, c.log.durable)`,
		New:  `	end := c.log.durable`,
		Why:  "A state machine applies what another leader replaces later.",
		Dies: consequence(safety, 10, "any"),
	},
}
