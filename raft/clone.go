package raft

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Two things that only somebody needs who explores what a core could do, instead
// of running it: a copy that lives on by itself, and a name for what a core would
// do from now on. A new field of Core, or of anything in it, belongs in both;
// clone_test.go finds out whether it is there.

// Clone returns a core that does from now on what c would do, and shares nothing
// with c that either of them will change. Entries, configurations and snapshots are
// shared: they never change. So are the functions of the Config: a Random that
// remembers what it has returned makes the two depend on each other.
func (c *Core) Clone() *Core {
	d := *c
	d.log = c.log.clone()
	if c.peers != nil {
		d.peers = make(map[NodeID]*progress, len(c.peers))
		for id, p := range c.peers {
			q := *p
			q.window = slices.Clone(p.window)
			d.peers[id] = &q
		}
	}
	d.ballots = maps.Clone(c.ballots)
	d.confirm.begun = slices.Clone(c.confirm.begun)
	d.reads = leaderReads{waiting: slices.Clone(c.reads.waiting), confirming: slices.Clone(c.reads.confirming)}
	for i := range d.reads.confirming {
		d.reads.confirming[i].reads = slices.Clone(d.reads.confirming[i].reads)
	}
	d.forwards = slices.Clone(c.forwards)
	d.out.Send = slices.Clone(c.out.Send)
	d.out.SendAfterWrite = slices.Clone(c.out.SendAfterWrite)
	d.out.Reads = slices.Clone(c.out.Reads)
	d.out.Load = slices.Clone(c.out.Load)
	d.out.SendSnapshot = slices.Clone(c.out.SendSnapshot)
	return &d
}

// clone copies the log. The tail's entries are shared: nobody overwrites them, and
// without spare capacity the copy's next entry goes into an array of its own.
func (l *raftLog) clone() raftLog {
	d := *l
	d.spans = slices.Clone(l.spans)
	d.tail = slices.Clip(l.tail)
	d.configurations = slices.Clone(l.configurations)
	d.inFlight = slices.Clone(l.inFlight)
	return d
}

// ElectionTicks returns how many ticks have passed since the election timer was
// started, and at how many it runs out. Means nothing for a leader.
func (c *Core) ElectionTicks() (elapsed, timeout int) { return c.electionElapsed, c.electionTimeout }

// Renaming says what servers are to be called instead. It maps different servers to
// different ones, and None to None.
type Renaming func(NodeID) NodeID

// AppendState appends an encoding of what c would do from now on, as if servers had
// other names. Two cores with the same encoding do the same things, message by
// message, if they have the same Config, apart from
//
//   - when: ticks and clocks are left out. The caller lets time pass as it likes, so
//     what a core would do at which tick is no part of its state. Only what a
//     caller cannot change by waiting a little is in: whether a promise, or the
//     pause before another snapshot, still lasts.
//   - what the entries of the log hold, and which of them are in memory: the host has
//     the log, and answers every Load. Its terms and configurations are in.
//   - the numbers of writes, and the Output that has not been taken yet: it must be
//     empty.
func (c *Core) AppendState(buf []byte, rename Renaming) []byte {
	e := stateEncoder{buf, rename}
	e.number(uint64(c.currentTerm), uint64(c.durableTerm), uint64(c.commitIndex), uint64(c.lastApplied),
		uint64(c.handedApply), uint64(c.verified), c.heardRound, uint64(c.role))
	e.node(c.id, c.votedFor, c.leader)
	e.id(c.lost)
	e.flag(c.promiseNoted, c.hardStateDirty, c.installHandedOut, c.now < c.promisedUntil, c.urgent())
	e.snapshot(c.installing)
	e.log(&c.log, c.lastWrite)
	e.number(uint64(len(c.ballots)))
	for _, id := range e.sorted(slices.Collect(maps.Keys(c.ballots))) {
		e.node(id)
		e.flag(c.ballots[id])
	}
	e.number(uint64(len(c.forwards)))
	for _, f := range c.forwards {
		e.number(f.id)
	}
	if c.role == Leader {
		e.leader(c)
	}
	return e.buf
}

// stateEncoder writes what AppendState promises. All numbers have a fixed length, and
// all lists say theirs, so that different states cannot look alike.
type stateEncoder struct {
	buf    []byte
	rename Renaming
}

func (e *stateEncoder) number(values ...uint64) { e.buf = putUint64(e.buf, values...) }

func (e *stateEncoder) node(ids ...NodeID) {
	for _, id := range ids {
		e.number(uint64(e.rename(id)))
	}
}

func (e *stateEncoder) flag(values ...bool) {
	for _, v := range values {
		e.buf = append(e.buf, flags(v))
	}
}

func (e *stateEncoder) id(ids ...EntryID) {
	for _, id := range ids {
		e.number(uint64(id.Term), uint64(id.Index))
	}
}

// sorted puts servers in the order of their new names.
func (e *stateEncoder) sorted(ids []NodeID) []NodeID {
	slices.SortFunc(ids, func(a, b NodeID) int { return int(int64(e.rename(a)) - int64(e.rename(b))) })
	return ids
}

func (e *stateEncoder) configuration(c IndexedConfiguration) {
	e.number(uint64(c.Index))
	e.buf = c.Configuration.Renamed(e.rename).AppendTo(e.buf)
}

func (e *stateEncoder) snapshot(s *Snapshot) {
	e.flag(s != nil)
	if s != nil {
		e.id(s.Last)
		e.configuration(s.Configuration)
	}
}

func (e *stateEncoder) log(l *raftLog, lastWrite WriteID) {
	e.id(l.start)
	e.number(uint64(l.last), uint64(l.durable), uint64(l.handedOut), uint64(l.truncate))
	e.snapshot(l.resetTo)
	e.number(uint64(len(l.spans)))
	for _, span := range l.spans {
		e.number(uint64(span.Term), uint64(span.First))
	}
	e.number(uint64(len(l.configurations)))
	for _, c := range l.configurations {
		e.configuration(c)
	}
	e.number(uint64(len(l.inFlight)))
	for _, w := range l.inFlight {
		e.number(uint64(lastWrite-w.id), uint64(w.last), uint64(w.term))
	}
}

// leader writes what matters only while a server leads: whoever takes office begins
// with all of this anew.
func (e *stateEncoder) leader(c *Core) {
	e.number(uint64(c.uncommittedBytes))
	e.node(c.transfer.to)
	e.flag(c.lease.held, c.lease.surrendered, c.wantsLease(), c.confirm.lease)
	e.number(c.confirm.round, uint64(len(c.confirm.begun)))
	for _, b := range c.confirm.begun {
		e.number(b.round)
		e.flag(b.lease)
	}
	e.reads(c.reads.waiting)
	e.number(uint64(len(c.reads.confirming)))
	for _, batch := range c.reads.confirming {
		e.number(batch.round, uint64(batch.index))
		e.reads(batch.reads)
	}
	e.number(uint64(len(c.peers)))
	for _, id := range e.sorted(slices.Collect(maps.Keys(c.peers))) {
		p := c.peers[id]
		e.node(id)
		e.number(uint64(p.match), uint64(p.next), uint64(p.state), p.joined, p.round, uint64(p.commitSent), uint64(len(p.window)))
		e.flag(p.probeSent, p.sendingSnapshot, p.loading, p.heartbeatDue, c.now < p.snapshotAgain)
		for _, sent := range p.window {
			e.number(uint64(sent.last))
		}
	}
}

func (e *stateEncoder) reads(reads []read) {
	e.number(uint64(len(reads)))
	for _, r := range reads {
		e.number(r.id)
		e.node(r.from)
	}
}

// Renamed returns the configuration with other names for its servers.
func (c Configuration) Renamed(rename Renaming) Configuration {
	c = c.clone()
	for i := range c.Members {
		c.Members[i].ID = rename(c.Members[i].ID)
	}
	for i := range c.Removed {
		c.Removed[i].ID = rename(c.Removed[i].ID)
	}
	slices.SortFunc(c.Members, func(a, b Member) int { return compareMember(a, b.ID) })
	return c
}

// AppendTo appends what [Configuration.Encode] returns, after its length.
func (c Configuration) AppendTo(buf []byte) []byte {
	encoded := c.Encode()
	return append(binary.LittleEndian.AppendUint32(buf, uint32(len(encoded))), encoded...)
}

// AppendRenamed appends the entry's encoding, as if servers had other names. Only
// configurations name servers; commands are the business of those who gave them.
func (e Entry) AppendRenamed(buf []byte, rename Renaming) []byte {
	if e.Kind == EntryConfiguration {
		configuration, err := DecodeConfiguration(e.Data)
		if err != nil {
			broken("entry %s holds no configuration: %v", e.ID(), err)
		}
		buf = putUint64(buf, uint64(e.Term), uint64(e.Index))
		return configuration.Renamed(rename).AppendTo(buf)
	}
	return append(buf, e.encoded...)
}

// AppendRenamed appends the message's encoding, as if servers had other names.
func (m Message) AppendRenamed(buf []byte, rename Renaming) []byte {
	m.From, m.To = rename(m.From), rename(m.To)
	switch b := m.Body.(type) {
	case *AppendEntries:
		bare := *b
		bare.Entries = nil
		m.Body = &bare
		buf = m.AppendTo(buf)
		for _, e := range b.Entries {
			buf = e.AppendRenamed(buf, rename)
		}
		return buf
	case *InstallSnapshot:
		s := b.Snapshot
		s.Configuration.Configuration = s.Configuration.Configuration.Renamed(rename)
		m.Body = &InstallSnapshot{Snapshot: s}
	}
	return m.AppendTo(buf)
}
