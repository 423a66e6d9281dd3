package raft

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Configuration says who votes and who only listens (§6, thesis ch. 4).
type Configuration struct {
	// Members are all servers of the cluster in ascending order of ID.
	Members []Member
	// Removed are the servers that were members once, in the order of their
	// removal: they stay out. See [MaxRemoved].
	Removed []RemovedMember
}

// RemovedMember is a server that has been removed. What stays out is the data
// directory: the same NodeID may come back with an empty one.
type RemovedMember struct {
	ID       NodeID
	Instance InstanceID
}

// Member is one server of a Configuration.
type Member struct {
	ID NodeID
	// Instance is the data directory that was admitted under this ID. A server
	// that comes back with another one has lost its disk.
	Instance InstanceID
	// Address is where the server's RPC port was when it was admitted. Only a
	// transport cares, and only when nobody knows a newer one.
	Address string
	// Votes says that the server is a voter of the configuration: of Cnew,
	// while the configuration is joint.
	Votes bool
	// VotedBefore says that the configuration is joint and that this server is
	// a voter of Cold (§6).
	VotedBefore bool
	// Leaving says that the configuration is joint and that this server is a
	// voter of Cold that will be no member any more when it is left.
	Leaving bool
	// Held says that an operator wants this server to stay a learner: whoever
	// promotes learners by itself leaves it alone. Raft does not care.
	Held bool
}

// MaxMembers bounds the servers in one configuration.
const MaxMembers = 1024

// MaxRemoved bounds how many removed servers a configuration remembers. The
// oldest are forgotten first; by then their instances have been gone for a
// thousand removals.
const MaxRemoved = 1024

// MaxAddress bounds a member's address, in bytes.
const MaxAddress = 256

// Joint reports whether decisions need separate majorities of the old and the
// new voters (§6).
func (c Configuration) Joint() bool {
	return slices.ContainsFunc(c.Members, func(m Member) bool { return m.VotedBefore })
}

// Voters returns the voters of the configuration, those of Cnew if it is joint.
func (c Configuration) Voters() []NodeID {
	return c.idsOf(func(m Member) bool { return m.Votes })
}

// OldVoters returns the voters of Cold if the configuration is joint.
func (c Configuration) OldVoters() []NodeID {
	return c.idsOf(func(m Member) bool { return m.VotedBefore })
}

// Learners returns the members that receive the log and do not vote (the
// thesis's non-voting members, 4.2.1).
func (c Configuration) Learners() []NodeID {
	return c.idsOf(func(m Member) bool { return !m.Votes && !m.VotedBefore })
}

// WasRemoved reports whether this data directory was a member's that has been
// removed.
func (c Configuration) WasRemoved(id NodeID, instance InstanceID) bool {
	return slices.Contains(c.Removed, RemovedMember{id, instance})
}

// IsVoter reports whether the server's vote counts in any majority of c.
func (c Configuration) IsVoter(id NodeID) bool {
	m, ok := c.Member(id)
	return ok && (m.Votes || m.VotedBefore)
}

// Member returns the member with that ID.
func (c Configuration) Member(id NodeID) (Member, bool) {
	i, ok := slices.BinarySearchFunc(c.Members, id, compareMember)
	if !ok {
		return Member{}, false
	}
	return c.Members[i], true
}

func compareMember(m Member, id NodeID) int {
	switch {
	case m.ID < id:
		return -1
	case m.ID > id:
		return 1
	}
	return 0
}

func (c Configuration) idsOf(keep func(Member) bool) []NodeID {
	var ids []NodeID
	for _, m := range c.Members {
		if keep(m) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// String names the servers by what they do.
func (c Configuration) String() string {
	s := fmt.Sprintf("voters %v", c.Voters())
	if old := c.OldVoters(); len(old) > 0 {
		s += fmt.Sprintf(" and %v", old)
	}
	if learners := c.Learners(); len(learners) > 0 {
		s += fmt.Sprintf(", learners %v", learners)
	}
	return s
}

func (c Configuration) clone() Configuration {
	return Configuration{Members: slices.Clone(c.Members), Removed: slices.Clone(c.Removed)}
}

// quorum returns the rule by which this configuration decides.
func (c Configuration) quorum() quorum {
	return quorum{majority(c.Voters()), majority(c.OldVoters())}
}

// validate reports what is wrong with a configuration that somebody proposes or
// that arrives encoded.
func (c Configuration) validate() error {
	if len(c.Members) > MaxMembers {
		return fmt.Errorf("%d members, at most %d are possible", len(c.Members), MaxMembers)
	}
	var last NodeID
	for _, m := range c.Members {
		if m.ID <= last {
			return fmt.Errorf("member %s after %s, want ascending IDs", m.ID, last)
		}
		if len(m.Address) > MaxAddress {
			return fmt.Errorf("address of %s has %d bytes, at most %d are possible", m.ID, len(m.Address), MaxAddress)
		}
		if m.Leaving && (m.Votes || !m.VotedBefore) {
			return fmt.Errorf("%s is leaving, but it is not only an old voter", m.ID)
		}
		last = m.ID
	}
	if len(c.Voters()) == 0 {
		return fmt.Errorf("no voters")
	}
	if len(c.Removed) > MaxRemoved {
		return fmt.Errorf("%d removed servers, at most %d are remembered", len(c.Removed), MaxRemoved)
	}
	return nil
}

const configurationVersion = 1

// Encode returns the form in which a configuration travels as the Data of an
// entry of kind [EntryConfiguration].
func (c Configuration) Encode() []byte {
	b := append(make([]byte, 0, c.size()), configurationVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Members)))
	for _, m := range c.Members {
		b = putUint64(b, uint64(m.ID))
		b = append(b, m.Instance[:]...)
		b = append(b, flags(m.Votes, m.VotedBefore, m.Leaving, m.Held))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(m.Address)))
		b = append(b, m.Address...)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Removed)))
	for _, r := range c.Removed {
		b = putUint64(b, uint64(r.ID))
		b = append(b, r.Instance[:]...)
	}
	return b
}

// size is the length of what Encode returns, in bytes.
func (c Configuration) size() int {
	n := 1 + 2 + 2 + 24*len(c.Removed)
	for _, m := range c.Members {
		n += 8 + 16 + 1 + 2 + len(m.Address)
	}
	return n
}

// DecodeConfiguration is the inverse of [Configuration.Encode]. Errors wrap
// [ErrCorrupt].
func DecodeConfiguration(b []byte) (Configuration, error) {
	d := decoder{rest: b}
	c := d.configuration()
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes follow the configuration", len(d.rest))
	}
	if d.err != nil {
		return Configuration{}, d.err
	}
	return c, nil
}

func (d *decoder) configuration() Configuration {
	if v := d.byte(); d.err == nil && v != configurationVersion {
		d.fail("configuration of version %d, this program knows %d", v, configurationVersion)
	}
	count := int(d.uint16())
	if count > MaxMembers {
		d.fail("configuration of %d members", count)
	}
	var c Configuration
	for i := 0; i < count && d.err == nil; i++ {
		m := Member{ID: NodeID(d.uint64())}
		copy(m.Instance[:], d.take(len(m.Instance)))
		d.flags(&m.Votes, &m.VotedBefore, &m.Leaving, &m.Held)
		m.Address = string(d.take(int(d.uint16())))
		c.Members = append(c.Members, m)
	}
	count = int(d.uint16())
	if count > MaxRemoved {
		d.fail("configuration with %d removed servers", count)
	}
	for i := 0; i < count && d.err == nil; i++ {
		r := RemovedMember{ID: NodeID(d.uint64())}
		copy(r.Instance[:], d.take(len(r.Instance)))
		c.Removed = append(c.Removed, r)
	}
	if d.err == nil {
		if err := c.validate(); err != nil {
			d.fail("configuration: %v", err)
		}
	}
	return c
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// FoundingEntry is the first entry of a new cluster's log: index 1, term 1, and
// the first configuration. Every founding server writes the identical entry
// before it starts, as if the leader of term 1 had replicated it to all; no
// election takes place in term 1 (see [FoundingHardState]), so no other entry
// can ever have this identity.
func FoundingEntry(c Configuration) (Entry, error) {
	if err := c.validate(); err != nil {
		return Entry{}, fmt.Errorf("raft: cannot found a cluster: %w", err)
	}
	return NewEntry(EntryID{Term: 1, Index: 1}, EntryConfiguration, c.Encode()), nil
}

// FoundingHardState is what a founding server stores together with the
// [FoundingEntry].
func FoundingHardState() HardState { return HardState{CurrentTerm: 1} }
