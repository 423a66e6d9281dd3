package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// trap is a mistake that other systems have made.
type trap struct {
	id    string // a number, with a letter if need be
	wrong string // what goes wrong
	where string // where it really happened, as far as that is public
	later string // why nothing here is about it yet; empty if something must be
}

// trapGroups are all of them.
var trapGroups = []struct {
	title string
	traps []trap
}{
	{"Terms, votes, elections", []trap{
		{id: "1", wrong: "A candidate asks for votes before its own disk knows the term and its vote for itself. It crashes, forgets both, and votes for somebody else in that term.",
			where: "eliben/raft#26"},
		{id: "1b", wrong: "Only the answers wait for the disk, the request for votes does not. A candidate wins a term that its disk does not know, crashes, and wins the same term again with another log.",
			where: "etcd-io/raft with AsyncStorageWrites, where MsgVote does not wait for the write of the term"},
		{id: "2", wrong: "Term and vote are two writes. A crash between them pairs a new term with an old vote.",
			where: "hashicorp/raft#661, willemt/raft#47"},
		{id: "3", wrong: "Whoever steps down forgets the vote although the term is still the same, and votes a second time.",
			where: "eliben/raft#27, microsoft/CCF#8094, nats-io/nats-server@bf8ebe7dd"},
		{id: "4", wrong: "A candidate begins a term and still holds the vote that it gave to another in the term before.",
			where: "nats-io/nats-server@f4aca783c"},
		{id: "5", wrong: "Term and vote are written and not synced, and a power failure takes them.",
			where: "nats-io/nats-server@53c85c2cd"},
		{id: "6", wrong: "A second goroutine answers heartbeats and raises the term while the first is in the middle of something. An entry gets a term in which its author does not lead.",
			where: "hashicorp/raft#695"},
		{id: "7", wrong: "The condition for a vote is checked, the lock is let go to flush the log, entries arrive, and the vote is given on what was true before.",
			where: "sofastack/sofa-jraft#882"},
		{id: "8", wrong: "Votes are counted by the message. One that arrives twice elects a leader with a minority.",
			where: "xnnyygn/xraft#27; on purpose, as an exercise for tools, in microsoft/coyote-samples#8"},
		{id: "9", wrong: "Votes and acknowledgements of servers that were removed go on counting.",
			where: "nats-io/nats-server@efabcbf87, nats-io/nats-server@f618bca80"},
		{id: "10", wrong: "An answer to a question of an earlier term is taken for one of this term.",
			where: "eliben/raft#27, nats-io/nats-server@6d8b95029"},
		{id: "11", wrong: "A server in a later term than all others ignores their leader and cannot win itself; nobody tells the leader.",
			where: "etcd-io/raft and lni/dragonboat answer for this reason"},
		{id: "12", wrong: "PreVotes block each other: answered with a term that the asker takes for old, not answered at all, or refused by those in a later term to the only one whose log is long enough.",
			where: "etcd-io/etcd#8243, etcd-io/etcd#8501, etcd-io/etcd#8334, databendlabs/openraft#1796, canonical/raft#142"},
		{id: "13", wrong: "A PreVote is stored, counts as a vote, or puts the voter's own election off.",
			where: "etcd-io/raft records real votes only, and says so"},
		{id: "14", wrong: "A follower that cannot take entries, or whose disk is slower than an election timeout, takes its leader for dead and campaigns again and again.",
			where: "redpanda-data/redpanda#30817, logcabin/logcabin#200"},
		{id: "15", wrong: "A server that was removed and does not know it deposes leader after leader. Refusing votes because the asker is no member, on the other hand, blocks elections where the voter's configuration is the old one.",
			where: "hashicorp/raft#526"},
		{id: "16", wrong: "A learner refuses its vote to a candidate that knows already that it votes, and nobody can win.",
			where: "etcd-io/etcd#10998"},
		{id: "17", wrong: "Some pairs of servers cannot talk. A leader that reaches too few is still heard by one, which keeps the others from electing a better one.",
			where: "Cloudflare's outage of November 2020, databendlabs/openraft#2080"},
		{id: "18", wrong: "Leadership is handed over to a server that is dead, and proposals are refused for good; or an old order to take over is obeyed in a later term; or the old leader goes on to trust its lease.",
			where: "hashicorp/raft#581"},
		{id: "19", wrong: "After a failed sync a server goes on to vote and to acknowledge, although nobody can know what is on its disk.",
			where: "nats-io/nats-server#8290"},
		{id: "20", wrong: "Where a configuration takes effect when it is applied, a server campaigns under an old one, with the new one in its log.",
			where: "etcd-io/etcd#12133, etcd-io/etcd#7280, etcd-io/etcd#12359, tikv/raft-rs#221"},
	}},
	{"Replication and commitment", []trap{
		{id: "21", wrong: "An entry of an earlier term is committed because a majority stores it, and is overwritten (Figure 8).",
			where: "nats-io/nats-server#7955, in 2026"},
		{id: "22", wrong: "A new leader appends nothing of its own. What it has inherited stays uncommitted until somebody writes, and reads stall.",
			where: "the reason for the empty entry in etcd-io/raft and others"},
		{id: "23", wrong: "A follower commits what stands behind the entries that a message has verified: its own old tail.",
			where: "scylladb/scylladb#9965, rabbitmq/ra#508, atomix/copycat#266, canonical/raft#423, camunda/camunda#30354, etcd-io/etcd#1203"},
		{id: "24", wrong: "A heartbeat checks nothing and carries a commit index. A follower whose log differs believes it.",
			where: "etcd-io/raft#138, cockroachdb/cockroach#122100"},
		{id: "25", wrong: "A late, shorter message cuts off entries that were acknowledged.",
			where: "logcabin/logcabin names it in handleAppendEntries"},
		{id: "26", wrong: "An uncommitted configuration is removed from the log and stays in force.",
			where: "canonical/raft#250, camunda/camunda#57393, scylladb/scylladb#30936, nats-io/nats-server@2f60ea8fe"},
		{id: "27", wrong: "A server is told to remove an entry that it knows to be committed, and obeys.",
			where: "an assertion in etcd-io/raft"},
		{id: "28", wrong: "Going back one entry at a time takes for ever; going back by hints goes wrong when a hint is old, nonsense, or points into what was compacted.",
			where: "etcd-io/etcd#11964, etcd-io/raft#149, tikv/raft-rs#555"},
		{id: "29", wrong: "A rejection that comes twice or late takes a follower's progress back.",
			where: "etcd-io/raft guards against it in MaybeDecrTo"},
		{id: "30", wrong: "The completion of a write is taken for proof that the entries are on disk that have replaced the written ones since.",
			where: "a test of etcd-io/raft is named after it, tikv/raft-rs#417"},
		{id: "31", wrong: "What is in memory is acknowledged, or the leader counts itself before its own disk is done. A power failure of all servers takes acknowledged writes.",
			where: "the default of NATS JetStream, measured by Jepsen"},
		{id: "32", wrong: "The leader waits for its own disk before it sends; or counts a write of its own that is lost.",
			where: "thesis 10.2.1"},
		{id: "33", wrong: "A follower reports the end of its log instead of what the message has proved.",
			where: "nats-io/nats-server@233851a0f"},
		{id: "34", wrong: "commitIndex goes back.",
			where: "nats-io/nats-server@c6f6c25ac, etcd-io/etcd#1717"},
		{id: "35", wrong: "A message carries entries with a gap between them, because the log was cut while it was packed.",
			where: "logcabin/logcabin#160"},
		{id: "36", wrong: "Entries that were handed out share memory with the log, which is cut and grows again over them.",
			where: "etcd-io/raft#34"},
		{id: "37", wrong: "Committed entries are handed out in portions, and one is left out or comes twice, above all around a restart.",
			where: "etcd-io/etcd#10063"},
		{id: "38", wrong: "What needs a sync is not synced, or every message costs one because the commit index has moved.",
			where: "tikv/raft-rs#372"},
		{id: "39", wrong: "A message or its answer is lost, the leader waits for it, and the follower gets nothing more until somebody writes.",
			where: "etcd-io/etcd#7042, etcd-io/raft#52, etcd-io/raft#54"},
		{id: "40", wrong: "The count of what is uncommitted does not come back to zero, and in the end everything is refused.",
			where: "etcd-io/raft exempts empty entries from its limit"},
		{id: "41", wrong: "A proposal waits in a queue and is appended in a later term, or its client is told that it has failed when it may still succeed.",
			where: "nats-io/nats-server@13a0a6a71, nats-io/nats-server@98c2891b0"},
		{id: "42", wrong: "A server loses its disk, or its end, and returns under its old name. What it has acknowledged is counted on, and it helps to elect who lacks it.",
			where: "etcd-io/etcd#3519, etcd-io/etcd#10817, etcd-io/etcd#20269, lni/dragonboat#254"},
		{id: "43", wrong: "The stored commit index is beyond the stored log, and the server does not start; or it is behind, and taken for what was applied.",
			where: "etcd-io/etcd#5664"},
	}},
	{"Membership", []trap{
		{id: "44", wrong: "Two leaders in turn change the configuration that each finds in its log, and the two results have majorities that share nobody.",
			where: "the correction of 2015 to thesis 4.1, nats-io/nats-server@12fff3a32"},
		{id: "45", wrong: "A new leader does not see that its log holds a change that is not committed, and makes a second one.",
			where: "etcd-io/etcd#9073, etcd-io/raft#354"},
		{id: "46", wrong: "The leader dies, or is busy, when the joint configuration is committed, and nobody leaves it.",
			where: "etcd-io/etcd#12137"},
		{id: "47", wrong: "A leader that removes itself goes too early, or goes on counting itself, or never goes.",
			where: "etcd-io/raft#83, cockroachdb/cockroach#42251, redpanda-data/redpanda#3055, tikv/tikv#10595"},
		{id: "48", wrong: "A smaller quorum is reached already and nobody looks; or a member that was just added counts as one that is silent.",
			where: "comments in etcd-io/raft, switchToConfig"},
		{id: "49", wrong: "A cluster of one waits for answers of others, or commits what its own disk lacks; the last voter is removed.",
			where: "nats-io/nats-server@9c5fc82ba"},
		{id: "50", wrong: "A server with an empty log is made a voter, and nothing can be committed until it has received everything.",
			where: "thesis 4.2.1"},
		{id: "51", wrong: "A change is judged when it is proposed and again when it is applied, and the two judgements differ.",
			where: "etcd-io/raft#80"},
		{id: "52", wrong: "A cluster is founded twice, or a wrong flag at a restart makes two clusters of one.",
			where: "hashicorp/raft refuses it"},
	}},
	{"Snapshots and compaction", []trap{
		{id: "53", wrong: "The log is cut before the state that takes its place is on disk.",
			where: "nats-io/nats-server@4f202b641"},
		{id: "54", wrong: "The term of the last entry that was cut is forgotten, and the next log check cannot be made.",
			where: "hashicorp/raft#86"},
		{id: "55", wrong: "A snapshot is installed, and entries that contradict it stay behind it; or entries that agree with it and were acknowledged are removed.",
			where: "hashicorp/raft#697, scylladb/scylladb#9551, etcd-io/etcd#1763"},
		{id: "56", wrong: "An old snapshot takes a state back; or is ignored without a word, and the leader waits for an answer.",
			where: "etcd-io/raft answers with the commit index for this reason"},
		{id: "57", wrong: "The report that a snapshot has arrived is lost, and its receiver is never sent anything again.",
			where: "etcd-io/etcd#10225, dgraph-io/dgraph#2707"},
		{id: "58", wrong: "A snapshot is labelled with an index whose effects it does not hold, or holds too many.",
			where: "nats-io/nats-server@aaf0373d2"},
		{id: "59", wrong: "The index of the last applied entry and its effects are two writes. A crash between them applies an entry twice, or never.",
			where: "etcd-io/etcd#13766"},
		{id: "60", wrong: "A server campaigns while a snapshot is being installed.",
			where: "canonical/raft@2a38d3d"},
		{id: "61", wrong: "The leader that has sent a snapshot is deposed. The snapshot is thrown away, or its arrival is reported to the wrong server.",
			where: "cockroachdb/cockroach accepts such a snapshot"},
		{id: "62", wrong: "Chunks of two snapshots are mixed after a restart or a change of leader.",
			where: "logcabin/logcabin and lni/dragonboat check what a chunk belongs to"},
		{id: "63", wrong: "A damaged state is read as it is, or silently brought back from somewhere else.",
			where: "rqlite/rqlite compares checksums at the start"},
	}},
	{"Reads", []trap{
		{id: "64", wrong: "A new leader answers reads with a commit index that lacks what its predecessor has committed.",
			where: "etcd-io/etcd#7331, RedisLabs/redisraft#22"},
		{id: "65", wrong: "A late answer to an earlier round confirms a read, because numbers or names are used again.",
			where: "etcd-io/etcd#20418, etcd-io/raft#397"},
		{id: "66", wrong: "Any answer that arrives after the read counts, also one to a message that was sent before.",
			where: "thesis 6.4 asks for a new round"},
		{id: "67", wrong: "A read is served before the state has come to its index.",
			where: "thesis 6.4, step 4"},
		{id: "68", wrong: "The result of a read and the news that the leader has changed wait in two channels, and chance decides which is seen first.",
			where: "etcd-io/etcd#21375"},
		{id: "69", wrong: "A lease outlives the promise that it rests on: after a pause, a transfer, a change of members, a restart of who promised.",
			where: "thesis 6.4.1"},
		{id: "70", wrong: "Learners confirm reads, or one half of a joint configuration does.",
			where: "a risk of every second place that counts servers"},
		{id: "71", wrong: "A read that was sent to the leader is lost, and its client waits for ever.",
			where: "etcd-io/etcd asks again every half second"},
	}},
	{"Clients and the state machine", []trap{
		{id: "72", wrong: "A command that is sent again is carried out twice; or what is remembered of it is not in the snapshot, or is forgotten by a local clock.",
			where: "thesis 6.3", later: "Sessions, which make every command take effect exactly once, are yet to come. Until then a client whose connection breaks is told that the outcome is unknown, and conditional writes let it find out."},
		{id: "73", wrong: "A state machine uses a clock, randomness or the order of a map, and the servers drift apart.",
			where: "thesis 2.1"},
		{id: "74", wrong: "The state machine's disk fails, and the client is told that its command has failed, while others apply it.",
			where: "an error of a disk is not an answer of a state machine"},
		{id: "75", wrong: "Entries without a command do not move the applied index, and whoever waits for them waits for ever.",
			where: "a client of a new leader waits for its no-op"},
	}},
}

var (
	referencePattern = regexp.MustCompile(`([A-Za-z0-9-]+/[A-Za-z0-9-]+)([#@])([0-9a-f]+)`)
	trapIDPattern    = regexp.MustCompile(`^[0-9]+[a-z]?$`)
)

// linked makes links of references to issues and to commits.
func linked(where string) string {
	return referencePattern.ReplaceAllStringFunc(where, func(reference string) string {
		m := referencePattern.FindStringSubmatch(reference)
		kind := map[string]string{"#": "issues", "@": "commit"}[m[2]]
		return fmt.Sprintf("[%s](https://github.com/%s/%s/%s)", reference, m[1], kind, m[3])
	})
}

const trapsIntroduction = `# Traps

Raft is small, and real systems that are built on it have gone wrong in many ways.
These are mistakes that were made, with where they came to light, and what keeps
balsa from making them: a script or a test that fails if the mistake is made here,
or the reason why it cannot happen.

This page is generated from comments in the code ("Trap 30." above a test, in a
script; "Trap 20 cannot happen here: ..." beside what makes it impossible). To write
it anew: ` + "`go test ./docs -run Traps -update`" + `. A test fails when it is out of date, when
a trap is guarded by nothing, and when a comment names a trap that is not listed.
`

func TestTrapsAreAllGuardedAndThePageSaysHow(t *testing.T) {
	found := findMarkers(t, "..")
	page, problems := trapsPage(found)
	for _, problem := range problems {
		t.Error(problem)
	}
	checkPage(t, "traps.md", page)
}

// trapsPage returns the page, and what is wrong with the markers that it is made
// from.
func trapsPage(found []marker) (page string, problems []string) {
	known := map[string]bool{}
	var b strings.Builder
	b.WriteString(trapsIntroduction)
	for _, group := range trapGroups {
		fmt.Fprintf(&b, "\n## %s\n\n| Trap | What goes wrong | Where it did | What keeps balsa from it |\n|---|---|---|---|\n", group.title)
		for _, trap := range group.traps {
			if known[trap.id] || !trapIDPattern.MatchString(trap.id) {
				problems = append(problems, fmt.Sprintf("trap %q is listed twice, or has no number", trap.id))
			}
			known[trap.id] = true
			var reasons, tests []string
			for _, m := range found {
				switch {
				case m.trap != trap.id:
				case m.reason != "":
					reasons = append(reasons, fmt.Sprintf("It cannot happen: %s (%s).", m.reason, m.link()))
				default:
					tests = append(tests, m.link())
				}
			}
			guards := reasons
			if len(tests) > 0 {
				guards = append(guards, strings.Join(tests, ", "))
			}
			switch {
			case trap.later != "" && len(guards) > 0:
				problems = append(problems, fmt.Sprintf("trap %s is guarded, and said to be for later", trap.id))
			case trap.later != "":
				guards = []string{trap.later}
			case len(guards) == 0:
				problems = append(problems, fmt.Sprintf("trap %s is guarded by no test, and nothing says why it cannot happen: %s", trap.id, trap.wrong))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", trap.id, trap.wrong, linked(trap.where), strings.Join(guards, " "))
		}
	}
	for _, m := range found {
		if m.trap != "" && !known[m.trap] {
			problems = append(problems, fmt.Sprintf("%s names trap %s, which is not listed", m.place(), m.trap))
		}
	}
	return b.String(), problems
}
