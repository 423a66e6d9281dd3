package raft

import "slices"

// progressState says how the leader sends to a follower.
type progressState uint8

const (
	// probing: the leader does not know where the follower's log ends. It sends
	// one AppendEntries with entries and waits for the answer. If that is lost,
	// the next heartbeat, whose log check is the same, is answered in its place.
	probing progressState = iota
	// replicating: the logs are known to match. The leader sends ahead without
	// waiting (pipelining, thesis 10.2.2), up to the window's limits.
	replicating
	// needsSnapshot: the leader no longer has the entries that the follower
	// needs (§7). Only heartbeats are sent, which ask whether the follower has
	// come to where the leader's log begins.
	needsSnapshot
)

func (s progressState) String() string {
	return [...]string{"probe", "replicate", "snapshot"}[s]
}

// progress is what the leader knows of one server, and all that it may do about
// it: every change of state is a method of this file.
//
//	          reply ok                  entries compacted
//	probing ------------> replicating         any ----> needsSnapshot
//	        <------------      ^                             |
//	    rejection,             +-----------------------------+
//	    connection lost               snapshot installed
//
// A follower that has lost what it had acknowledged is probed again from any state.
//
// Invariant: match < next.
type progress struct {
	// match is the paper's matchIndex: the follower's log is durable and equal
	// to the leader's up to here. It is proof, and it never decreases within a
	// term, unless the follower itself says that its disk has lost it.
	match Index
	// next is the paper's nextIndex: where the next message's entries begin. It
	// is a guess; a wrong one costs a round trip and nothing else.
	next  Index
	state progressState

	// probeSent says that a probe is under way.
	probeSent bool
	// window holds what was sent ahead and is not acknowledged, oldest first.
	window      []sentEntries
	windowBytes int
	// sendingSnapshot says that the host is at it; snapshotAgain is the tick
	// before which it is not asked again.
	sendingSnapshot bool
	snapshotAgain   uint64
	// loading says that the host was asked for old entries for this follower.
	loading bool

	// heartbeatDue says that the follower has not been sent the newest round.
	heartbeatDue bool
	// joined is the first round that this member can have heard. Replies to an
	// earlier one come from a server that was removed and whose id this one has:
	// what that one's log held proves nothing about this one's.
	joined uint64
	// round is the newest round that the follower has echoed: see confirm.go.
	round uint64
	// commitSent is the highest commit index that the follower was told of.
	commitSent Index
	// lastReply is the tick at which the follower was last heard.
	lastReply uint64
}

// sentEntries is one message in the window.
type sentEntries struct {
	last  Index
	bytes int
}

// newProgress starts where the paper does: nextIndex just after the leader's
// last entry, matchIndex at zero (Figure 2, volatile state on leaders).
func newProgress(lastIndex Index, now, joined uint64) *progress {
	return &progress{next: lastIndex + 1, lastReply: now, joined: joined}
}

// maySend reports whether another message with entries may go to the follower.
func (p *progress) maySend(maxMessages, maxBytes int) bool {
	switch p.state {
	case probing:
		return !p.probeSent && !p.loading
	case replicating:
		return len(p.window) < maxMessages && p.windowBytes < maxBytes && !p.loading
	default:
		return false
	}
}

// sent takes note of a message with entries.
func (p *progress) sent(entries []Entry) {
	if p.state == probing {
		p.probeSent = true
		return
	}
	if n := len(entries); n > 0 {
		p.next = entries[n-1].Index + 1
		size := entriesSize(entries)
		p.window = append(p.window, sentEntries{last: entries[n-1].Index, bytes: size})
		p.windowBytes += size
	}
}

// acknowledged takes note that the follower's log matches up to index i, where
// the leader's begins after logStart. Replies may be late and out of order, so
// nothing here moves backwards.
func (p *progress) acknowledged(i, logStart Index) {
	p.match = max(p.match, i) // rule:match.monotonic §5.3 an old reply takes nothing back
	p.next = max(p.next, p.match+1)
	n := 0
	for ; n < len(p.window) && p.window[n].last <= p.match; n++ {
		p.windowBytes -= p.window[n].bytes
	}
	p.window = slices.Delete(p.window, 0, n)
	if p.state == probing || p.state == needsSnapshot && p.match >= logStart {
		p.becomeReplicating()
	}
}

// rejected takes note that the log check failed at prev, and that next is where
// to try again. It returns false if the rejection is an old one.
func (p *progress) rejected(prev, next Index) bool {
	switch {
	case p.state == needsSnapshot:
		return false // as expected, until it has the snapshot
	case prev <= p.match:
		return false // the logs are known to match there: answered before that was known
	case p.state == probing && prev != p.next-1:
		return false // not about the probe that is under way
	}
	p.becomeProbing(next)
	return true
}

// lost takes note that the follower does not have what it has acknowledged, as if
// the probe at prev had found that out.
func (p *progress) lost(prev Index) {
	p.reset(probing)
	p.match, p.next = 0, prev+1
}

// connectionLost forgets what was sent ahead: some of it may not have arrived.
func (p *progress) connectionLost() {
	if p.state == replicating {
		p.becomeProbing(p.match + 1)
	}
	p.probeSent = false
}

func (p *progress) becomeProbing(next Index) {
	p.reset(probing)
	p.next = max(next, p.match+1) // rule:append.backup §5.3 back to what may match, never below what does
}

func (p *progress) becomeReplicating() {
	p.reset(replicating)
	p.next = p.match + 1
}

func (p *progress) becomeNeedsSnapshot() { p.reset(needsSnapshot) }

func (p *progress) reset(s progressState) {
	p.state, p.probeSent, p.loading = s, false, false
	p.window, p.windowBytes = p.window[:0], 0
}
