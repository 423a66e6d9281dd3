package mutants

// hosts are bugs of those who carry out what the core wants: the node, the log
// store and the key-value store.
var hosts = []Mutant{
	{
		Name: "messages-leave-before-the-write", Rule: "log.persist", Source: "M25",
		File: "raft/node/pipeline.go",
		Old: `	if len(writes) > 0 {
		if err := n.cfg.Log.Save(writes); err != nil {`,
		New: `	n.cfg.Transport.Send(saved.toPeers)
	saved.toPeers = nil
	if len(writes) > 0 {
		if err := n.cfg.Log.Save(writes); err != nil {`,
		Why:  "Votes and acknowledgements leave before the disk has what they speak of.",
		Dies: tested("raft/node", "TestAFollowerWhoseDiskFailsAcknowledgesNothing", "want ErrOutcomeUnknown"),
	},
	{
		Name: "counts-as-durable-before-the-witness-knows", Rule: "log.persist", Source: "",
		File: "raft/node/pipeline.go",
		Old: `	n.attest.add(saved)
	return nil`,
		New: `	n.inbox.written(saved.last, nil)
	n.attest.add(saved)
	return nil`,
		Why:  "An entry counts that the witness does not speak for yet. If the disk then forgets it, nobody notices.",
		Dies: tested("raft/node", "TestNothingIsAcknowledgedBeforeTheWitnessSaysSo", "answers, durable"),
	},
	{
		Name: "write-without-a-sync", Rule: "log.persist", Source: "M25",
		File: "raft/logstore/save.go",
		Old:  `	if err := s.commit(pebble.Sync); err != nil {`,
		New:  `	if err := s.commit(pebble.NoSync); err != nil {`,
		Why:  "What was reported as durable is in the memory of the operating system, and is gone when the power fails.",
		Dies: tested("raft/logstore", "TestWhatWasSavedSurvivesAPowerFailure", "FAIL"),
	},
	{
		Name: "a-vote-alone-is-not-stored", Rule: "vote.persist", Source: "M1",
		File: "raft/logstore/save.go",
		Old:  `	if hs == x.hard {`,
		New:  `	if hs.CurrentTerm == x.hard.CurrentTerm {`,
		Why:  "The log store writes the hard state when the term changes, and the vote that follows it is lost.",
		Dies: tested("raft/logstore", "TestWhatWasSavedSurvivesAPowerFailure", "FAIL"),
	},
	{
		Name: "answered-before-it-is-applied", Rule: "client.applied",
		File: "raft/node/pipeline.go",
		Old:  `	results, err := n.cfg.StateMachine.Apply(entries)`,
		New: `	for _, w := range waiting {
		if entries[0].Index <= w.id.Index && w.id.Index <= entries[len(entries)-1].Index {
			w.proposal.finish(outcome{})
		}
	}
	waiting = nil
	results, err := n.cfg.StateMachine.Apply(entries)`,
		Why:  "A client is told that its command is done before it has had an effect, and without its result.",
		Dies: tested("raft/node", "TestAProposalIsAnsweredWithItsResultAndReachesEveryNode", "FAIL"),
	},
	{
		Name: "the-index-alone-says-whose-entry-it-is", Rule: "client.match", Source: "M38",
		File: "raft/node/waiters.go",
		Old:  `	if term != waiting.id.Term { // rule:client.match`,
		New:  `	if term < waiting.id.Term { // rule:client.match`,
		Why:  "A client's entry was overwritten, and it is given the result of the command that took its place.",
		Dies: tested("raft/node", "TestAProposalThatWasOverwrittenIsReportedAsDropped", "FAIL"),
	},
	{
		Name: "a-lost-leader-means-failed", Rule: "client.match", Source: "M37",
		File: "raft/node/loop.go",
		Old:  `		l.publish()`,
		New: `		if l.core.Role() != raft.Leader {
			for _, waiting := range l.waiters.current {
				waiting.proposal.finish(outcome{err: ErrDropped})
			}
			l.waiters.current = nil
		}
		l.publish()`,
		Why:  "A client is told that its command was dropped because its leader was deposed. The entry may still be committed by the successor.",
		Dies: tested("raft/node", "TestAProposalThatASuccessorCommitsSucceeds", "FAIL"),
	},
	{
		Name: "applied-index-lags-behind-the-effects", Rule: "apply.once",
		File: "kv/apply.go",
		Old:  `	putEntryID(op.Value, op.Key, last)`,
		New:  `	putEntryID(op.Value, op.Key, s.applied)`,
		Why:  "The record is written with the effects of the entries after it. A crash between the two leaves effects of entries that count as not applied, and they are applied again.",
		Dies: tested("kv", "TestEffectsAndAppliedRecordAreNeverApart", "holds the effect of entry"),
	},
	{
		Name: "outcome-depends-on-the-batch", Rule: "apply.deterministic",
		File: "kv/apply.go",
		Old:  `	if revision, ok := s.batch.touched[string(key)]; ok {`,
		New:  `	if revision, ok := s.batch.touched[string(key)]; ok && false {`,
		Why:  "A compare-and-set sees what was there before the batch. How entries are put into batches differs from server to server, and so do the states.",
		Dies: tested("kv", "TestStateDependsOnTheEntriesAndNotOnTheirBatches", "FAIL"),
	},
}
