package mutants

// snapshots are bugs in forgetting the log and in replacing a state (§7).
var snapshots = []Mutant{
	{
		Name: "log-is-cut-before-it-is-applied", Rule: "snap.applied",
		File: "raft/snapshot.go",
		Old:  `	i = min(i, c.lastApplied, c.log.durable) // rule:snap.applied`,
		New:  `	i = min(i, c.commitIndex, c.log.durable) // rule:snap.applied`,
		Why:  "Entries go whose effect is in no state.",
		Dies: simulated("Compaction", 10, "any"),
	},
	{
		Name: "log-is-cut-before-the-state-is-flushed", Rule: "snap.applied",
		File: "raft/node/compaction.go",
		Old:  `	target := min(flushed, c.saved.tailAfter(cfg.TailEntries, cfg.TailBytes))`,
		New:  `	target := c.saved.tailAfter(cfg.TailEntries, cfg.TailBytes)`,
		Why:  "Entries go whose effect a crash takes back.",
		Dies: tested("raft/node", "TestTheLogIsCutOnlyAsFarAsTheStateIsFlushed", "FAIL"),
	},
	{
		Name: "boundary-term-is-forgotten", Rule: "snap.applied",
		File: "raft/log.go",
		Old:  `	l.start = EntryID{Term: term, Index: i}`,
		New:  `	l.start = EntryID{Term: min(term, 1), Index: i}`,
		Why:  "The log check of the first entry that is left needs the term of the last one that is gone.",
		Dies: simulated("Compaction|Core", 10, "any"),
	},
	{
		Name: "snapshots-know-no-configuration", Rule: "snap.config",
		File: "kv/apply.go",
		Old:  `			if err := batch.Set(configurationKey, record, nil); err != nil {`,
		New:  `			if err := batch.Set([]byte("\xffforgotten"), record, nil); err != nil {`,
		Why:  "A server that was brought a snapshot does not know who is in the cluster, since the entry that says so is gone.",
		Dies: tested("kv", "TestASnapshotIsLabelledWithWhatItContains", "FAIL"),
	},
	{
		Name: "old-snapshots-are-installed", Rule: "snap.stale", Source: "M31",
		File: "raft/snapshot.go",
		Old: `	case s.Last.Index <= c.commitIndex: // rule:snap.stale §7 what is known to be committed is not replaced by less
		c.trace(Event{Kind: EventSnapshotIgnored, Entry: s.Last, Cause: "nothing new"})
	case c.log.matches(s.Last): // rule:snap.suffix`,
		New:  `	case s.Last.Index > c.commitIndex && c.log.matches(s.Last): // rule:snap.suffix`,
		Why:  "A snapshot that was long under way takes a state machine back to where it was.",
		Dies: simulated("Snapshots", 10, "any"),
	},
	{
		Name: "snapshot-drops-the-log-behind-it", Rule: "snap.suffix", Source: "M31c",
		File: "raft/snapshot.go",
		Old:  `	case c.log.matches(s.Last): // rule:snap.suffix`,
		New:  `	case false: // rule:snap.suffix`,
		Also: &Edit{
			Old: `	if !c.log.matches(s.Last) {
		if c.role == Leader {`,
			New: `	if true {
		if c.role == Leader {`,
		},
		Why:  "A late snapshot removes entries that were acknowledged, although the log holds them and the snapshot is their beginning.",
		Dies: simulated("Snapshots|Core", 100, "any"),
	},
	{
		Name: "log-goes-before-the-state-is-there", Rule: "snap.order",
		File: "raft/snapshot.go",
		Old: `		c.installing = &s
		return`,
		New: `		c.installing = &s
		c.log.reset(s)
		c.configurationChanged()
		return`,
		Why:  "A crash between the two leaves a server that has neither the log nor the state that replaces it.",
		Dies: consequence("Restart", 30, "any"),
	},
	{
		Name: "applies-while-a-snapshot-is-installed", Rule: "snap.order",
		File: "raft/host.go",
		Old:  `	if c.installing != nil || c.handedApply > c.lastApplied || c.handedApply >= end {`,
		New:  `	if c.handedApply > c.lastApplied || c.handedApply >= end {`,
		Why:  "Entries are applied to a state that is being replaced.",
		Dies: simulated("Apply", 20, "any"),
	},
	{
		Name: "installs-before-the-disk-knows-the-term", Rule: "snap.order",
		File: "raft/snapshot.go",
		Old: `	if c.installing == nil || c.installHandedOut || c.handedApply > c.lastApplied ||
		c.durableTerm < c.installing.Last.Term {`,
		New:  `	if c.installing == nil || c.installHandedOut || c.handedApply > c.lastApplied {`,
		Why:  "After a crash the state is of a later term than any that the server remembers.",
		Dies: simulated("Term Durability", 70, "any"),
	},
	{
		Name: "campaigns-while-a-snapshot-is-installed", Rule: "snap.order",
		File: "raft/core.go",
		Old:  `		c.installing == nil && slices.ContainsFunc(`,
		New:  `		slices.ContainsFunc(`,
		Why:  "A server is elected whose log is about to be replaced by what another leader has committed.",
		Dies: scripted("no-election-while-installing", "FAIL"),
	},
}

// members are bugs in changing who is in the cluster, and in handing over
// leadership (§6, thesis 3.10 and chapter 4).
var members = []Mutant{
	{
		Name: "a-lost-disk-still-counts", Rule: "member.disk", Source: "M2",
		File: "raft/core.go",
		Old:  `		return ok && m.Instance != InstanceID{} && m.Instance != member.Instance // rule:member.disk`,
		New:  `		return ok && m.Instance != InstanceID{} && m.Instance == InstanceID{} && m.Instance != member.Instance // rule:member.disk`,
		Why:  "A server whose disk was wiped returns with its old id and votes a second time, or acknowledges what it does not have.",
		Dies: consequence(safety, 20, "members,crash,reorder"),
	},
	{
		Name: "a-server-takes-itself-for-its-predecessor", Rule: "member.instance",
		File: "raft/core.go",
		Old:  `		(m.Instance == c.cfg.Instance || c.cfg.Instance == InstanceID{}) // rule:member.instance`,
		New:  `		true // rule:member.instance`,
		Why:  "A server that was wiped finds its own id among the voters of an old configuration, and stands for election with a log that lacks everything.",
		Dies: simulated("Campaign", 40, "members,partition"),
	},
	{
		Name: "two-changes-at-a-time", Rule: "member.one", Source: "M32",
		File: "raft/change.go",
		Old:  `	if latest.Index > c.commitIndex || latest.Configuration.Joint() { // rule:member.one`,
		New:  `	if latest.Configuration.Joint() { // rule:member.one`,
		Why:  "Two changes, neither of which is committed, lead to configurations whose majorities share nobody.",
		Dies: simulated("Configuration", 40, "any"),
	},
	{
		Name: "a-change-right-after-the-election", Rule: "member.ownterm", Source: "M33",
		File: "raft/change.go",
		Old:  `	if term, _ := c.log.term(c.commitIndex); term != c.currentTerm { // rule:member.ownterm`,
		New:  `	if false { // rule:member.ownterm`,
		Why:  "Two leaders each change the configuration that they believe to be in force, and the results share no majority (the error of the published single-server change).",
		Dies: simulated("Configuration", 30, "any"),
	},
	{
		Name: "voters-are-exchanged-in-one-step", Rule: "", Source: "§6",
		File: "raft/change.go",
		Old:  `	return next.joinedWith(c), nil`,
		New:  `	return next, nil`,
		Why:  "While some servers decide by the old voters and others by the new ones, two majorities that share nobody decide differently.",
		Dies: simulated("Configuration", 20, "any"),
	},
	{
		Name: "a-newcomer-votes-at-once", Rule: "member.catchup",
		File: "raft/change.go",
		Old:  `		if p == nil || p.state != replicating || p.match+Index(c.cfg.MaxPromotionLag) < c.commitIndex { // rule:member.catchup`,
		New:  `		if false { // rule:member.catchup`,
		Why:  "A voter that has nothing is needed for the majority, and nothing can be committed until it has received the whole log.",
		Dies: scripted("change-refused", "FAIL"),
	},
	{
		Name: "joint-configuration-is-never-left", Rule: "member.leave",
		File: "raft/change.go",
		Old: `	case latest.Configuration.Joint():
		c.appendConfiguration(latest.Configuration.left()) // rule:member.leave`,
		New: `	case latest.Configuration.Joint():
		// rule:member.leave`,
		Why:  "Old and new voters have to agree forever, and no other change can be made.",
		Dies: simulated("Liveness", 10, "any"),
	},
	{
		Name: "joint-configuration-is-left-too-early", Rule: "member.leave",
		File: "raft/change.go",
		Old: `	case latest.Index > c.commitIndex:
	case latest.Configuration.Joint():`,
		New:  `	case latest.Configuration.Joint():`,
		Why:  "The new configuration is appended before the joint one is committed: the new voters decide while the old ones may still do so without them.",
		Dies: simulated("One Change|Configuration|Transfer", 90, "any"),
	},
	{
		Name: "leader-that-was-left-out-stays", Rule: "member.self",
		File: "raft/change.go",
		Old: `	case !c.votes:
		c.retire() // rule:member.self`,
		New: `	case !c.votes && false:
		c.retire() // rule:member.self`,
		Why:  "A server that is no member any more goes on leading.",
		Dies: simulated("Liveness", 500, "members,crash"),
	},
	{
		Name: "leader-retires-before-it-is-committed", Rule: "member.self",
		File: "raft/change.go",
		Old: `	switch {
	case latest.Index > c.commitIndex:
	case latest`,
		New: `	switch {
	case latest.Index > c.commitIndex && c.votes:
	case latest`,
		Why:  "A leader that is left out steps down when it appends the new configuration, although nobody else may know of it yet.",
		Dies: simulated("Transfer", 150, "any"),
	},
	{
		Name: "only-the-latest-voters-may-campaign", Rule: "member.campaign",
		File: "raft/core.go",
		Old: `		c.installing == nil && slices.ContainsFunc(c.log.configurations, func(ic IndexedConfiguration) bool {
		return c.votesIn(ic.Configuration) // rule:member.campaign thesis 4.2.2 a voter of any configuration that may still be in force
	})`,
		New:  `		c.installing == nil && c.votes`,
		Why:  "The server whose log is the only up-to-date one may be no voter of the latest configuration, which nobody else has. If it does not stand for election, nobody can win.",
		Dies: scripted("leader-removed-and-restarted", "FAIL"),
	},
	{
		Name: "anybody-may-campaign", Rule: "member.campaign",
		File: "raft/core.go",
		Old:  `		return c.votesIn(ic.Configuration) // rule:member.campaign`,
		New:  `		return true || c.votesIn(ic.Configuration) // rule:member.campaign`,
		Why:  "A learner, or a server that was removed, disturbs the others with elections.",
		Dies: simulated("Campaign", 10, "any"),
	},
	{
		Name: "configuration-takes-effect-too-late", Rule: "member.on-append",
		File: "raft/follower.go",
		Old:  `		c.configurationChanged() // rule:member.on-append`,
		New:  `		// rule:member.on-append`,
		Why:  "A leader decides by the voters of the configuration before, while others already decide by the new ones.",
		Dies: simulated("Assertion|Durability|Election Quorum|Confirmation", 10, "any"),
	},
	{
		Name: "truncation-keeps-the-configuration", Rule: "member.on-append", Source: "M40",
		File: "raft/log.go",
		Old: `	for n := len(l.configurations); n > 0 && l.configurations[n-1].Index > kept; n-- {
		l.configurations = l.configurations[:n-1]
	}`,
		New:  ``,
		Why:  "A server decides by a configuration whose entry another leader has replaced.",
		Dies: tested("raft", "TestTruncationTakesTheConfigurationBack", "want 3"),
	},
	{
		Name: "truncation-keeps-the-quorum", Rule: "member.on-append", Source: "M40",
		File: "raft/follower.go",
		Old: `	c.log.truncateFrom(i)
	c.configurationChanged()`,
		New:  `	c.log.truncateFrom(i)`,
		Why:  "The configuration is taken back, and what follows from it is not: the server counts the majority of a configuration that is gone.",
		Dies: tested("raft", "TestTruncationTakesTheQuorumBack", "with two votes of three"),
	},
	{
		Name: "removed-servers-are-still-counted", Rule: "member.on-append", Source: "M43",
		File: "raft/core.go",
		Old:  `	c.quorum = configuration.quorum()`,
		New: `	if c.quorum[0] == nil || len(configuration.Voters()) >= len(c.quorum[0]) {
		c.quorum = configuration.quorum()
	}`,
		Why:  "After a server was removed, its votes and acknowledgements still make up majorities.",
		Dies: simulated("Durability|Election Quorum|Confirmation", 10, "any"),
	},
	{
		Name: "a-removed-server-comes-back", Rule: "", Source: "thesis 4.4",
		File: "raft/change.go",
		Old:  `	if c.WasRemoved(m.ID, m.Instance) {`,
		New:  `	if false {`,
		Why:  "A server that was removed is taken in again by whoever finds it alive.",
		Dies: simulated("Configuration", 20, "members,partition"),
	},
	{
		Name: "order-before-the-successor-has-everything", Rule: "transfer.order",
		File: "raft/transfer.go",
		Old:  `	if p == nil || p.match < c.log.last {`,
		New:  `	if p == nil {`,
		Why:  "The successor stands for election with a log that lacks entries, and loses; the cluster has no leader for a while.",
		Dies: simulated("Transfer", 40, "any"),
	},
	{
		Name: "election-by-order-does-not-say-so", Rule: "transfer.flag",
		File: "raft/election.go",
		Old:  `&RequestVote{Transfer: transfer, LastLog: c.log.lastID()}) // rule:transfer.flag`,
		New:  `&RequestVote{LastLog: c.log.lastID()}) // rule:transfer.flag`,
		Why:  "The voters hear from the leader and refuse, out of loyalty to the one who has given the order.",
		Dies: simulated("Liveness", 10, "any"),
	},
	{
		Name: "transfer-is-never-given-up", Rule: "transfer.abort",
		File: "raft/transfer.go",
		Old:  `		c.transfer = transfer{} // rule:transfer.abort`,
		New:  `		// rule:transfer.abort`,
		Why:  "A leader that hands over to a server that is dead takes no proposals any more.",
		Dies: simulated("Liveness", 60, "transfer,crash"),
	},
}
