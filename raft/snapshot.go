package raft

import "fmt"

// Snapshot says what a copy of a state machine contains: the effect of every
// entry up to Last, and nothing else (§7, Figure 12). The copy itself is the
// host's.
type Snapshot struct {
	// Last is the last entry whose effect the state holds (the paper's
	// lastIncludedIndex and lastIncludedTerm).
	Last EntryID
	// Configuration is the latest configuration at or before Last, and the index
	// of its entry.
	Configuration IndexedConfiguration
}

func (s Snapshot) String() string { return fmt.Sprintf("last=%s", s.Last) }

// AppendTo appends the snapshot's description in binary form to buf.
func (s Snapshot) AppendTo(buf []byte) []byte {
	buf = putUint64(buf, uint64(s.Last.Term), uint64(s.Last.Index), uint64(s.Configuration.Index))
	return append(buf, s.Configuration.Configuration.Encode()...)
}

// DecodeSnapshot reads a description that fills b exactly. Errors wrap
// [ErrCorrupt].
func DecodeSnapshot(b []byte) (Snapshot, error) {
	d := decoder{rest: b}
	s := d.snapshot()
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes follow the snapshot", len(d.rest))
	}
	if d.err != nil {
		return Snapshot{}, d.err
	}
	return s, nil
}

func (d *decoder) snapshot() Snapshot {
	s := Snapshot{Last: d.entryID()}
	s.Configuration.Index = Index(d.uint64())
	s.Configuration.Configuration = d.configuration()
	if d.err == nil && (s.Last.Index == 0 || s.Last.Term == 0 || s.Configuration.Index > s.Last.Index) {
		d.fail("snapshot %s with the configuration of entry %d", s.Last, s.Configuration.Index)
	}
	return s
}

// Compact forgets the log up to index i, or up to where the state machine and
// the disk have come if that is less, and returns the last entry that is
// forgotten now. The caller must see to it that the state machine has all of
// that on disk: the state is what the entries are replaced by (§7). The stored
// log is to be cut after the call, at the same place.
func (c *Core) Compact(i Index) EntryID {
	i = min(i, c.lastApplied, c.log.durable) // rule:snap.applied §7 only what is applied is replaced by its effect
	if i > c.log.start.Index {
		c.log.compact(i)
		c.trace(Event{Kind: EventCompacted, Entry: c.log.start})
	}
	return c.log.start
}

// requestSnapshots asks the host to send the state to followers that need it and
// that are there to take it.
func (c *Core) requestSnapshots() {
	for _, id := range c.members {
		p := c.peers[id]
		if p.state != needsSnapshot || p.sendingSnapshot || c.now < p.snapshotAgain ||
			c.now-p.lastReply > uint64(2*c.cfg.ElectionTicks) {
			continue
		}
		p.sendingSnapshot = true
		c.out.SendSnapshot = append(c.out.SendSnapshot, id)
		c.trace(Event{Kind: EventSnapshotNeeded, Peer: id})
	}
}

// SnapshotSent reports that sending a snapshot to a follower has ended, well or
// not. Whether the follower has it the follower itself will say, by its answer
// to a heartbeat; if it does not, another snapshot will be asked for.
func (c *Core) SnapshotSent(to NodeID) {
	if p := c.peers[to]; p != nil {
		p.sendingSnapshot = false
		p.snapshotAgain = c.now + uint64(c.cfg.ElectionTicks)
	}
}

// receiveSnapshot takes in a snapshot. What it contains is committed, so it does
// not matter which leader has sent it, nor whether that one still leads.
func (c *Core) receiveSnapshot(s Snapshot) {
	switch {
	case c.role == Leader:
		// A leader has all that was committed before its term. What it does not
		// have was committed by a later leader, whose term it will hear of.
		c.trace(Event{Kind: EventSnapshotIgnored, Entry: s.Last, Cause: "this server leads"})
		return
	case s.Last.Index <= c.commitIndex: // rule:snap.stale §7 what is known to be committed is not replaced by less
		c.trace(Event{Kind: EventSnapshotIgnored, Entry: s.Last, Cause: "nothing new"})
	case c.log.matches(s.Last): // rule:snap.suffix §7 the log holds its last entry: all it says is that this is committed
		c.verified = max(c.verified, s.Last.Index)
		c.commitTo(s.Last.Index)
	case c.installing != nil:
		c.trace(Event{Kind: EventSnapshotIgnored, Entry: s.Last, Cause: "another one is being installed"})
		return
	default:
		c.installing = &s
		return
	}
	c.acknowledgeCommitted()
}

// Installing returns the snapshot that this server wants installed, if any. If
// it is not the one that the host has received, the host can throw that away.
func (c *Core) Installing() (Snapshot, bool) {
	if c.installing == nil {
		return Snapshot{}, false
	}
	return *c.installing, true
}

// nextInstall hands out the snapshot to install, when the state machine is idle
// and the disk knows the term that the log will end with.
func (c *Core) nextInstall() *Snapshot {
	if c.installing == nil || c.installHandedOut || c.handedApply > c.lastApplied ||
		c.durableTerm < c.installing.Last.Term {
		return nil
	}
	c.installHandedOut = true
	return c.installing
}

// Installed reports that the state machine is now the snapshot's, on disk. Only
// then is the log replaced: a crash between the two leaves a state that says
// where it came from, and [New] finishes what was begun.
func (c *Core) Installed() {
	s := c.installing
	if s == nil || !c.installHandedOut {
		broken("a snapshot was installed that nobody asked for")
	}
	c.installing, c.installHandedOut = nil, false
	if !c.log.matches(s.Last) {
		if c.role == Leader {
			broken("leader replaces its own log by snapshot %s", s.Last)
		}
		c.log.reset(*s) // rule:snap.order §7 the state is on disk before the log it replaces goes
		c.configurationChanged()
		c.maybeRecovered()
	}
	c.verified = max(c.verified, s.Last.Index)
	c.commitTo(s.Last.Index)
	c.lastApplied = max(c.lastApplied, s.Last.Index)
	c.handedApply = c.lastApplied
	c.trace(Event{Kind: EventInstalled, Entry: s.Last})
	c.acknowledgeCommitted()
}

// acknowledgeCommitted tells the leader how far this server's log certainly
// equals its own. It is not an answer to an AppendEntries, and so echoes the
// round of the last one.
func (c *Core) acknowledgeCommitted() {
	if c.role == Follower && c.leader != None {
		c.sendAfterWrite(c.leader, c.currentTerm, &AppendEntriesReply{
			Success: true, MatchIndex: min(c.commitIndex, c.log.durable), Round: c.heardRound,
		})
	}
}
