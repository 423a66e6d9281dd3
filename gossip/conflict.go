package gossip

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ConflictKind says what contradicts what.
type ConflictKind string

const (
	// ConflictID means that servers with different data directories claim the
	// same id.
	ConflictID ConflictKind = "duplicate-id"
	// ConflictInstance means that one data directory runs in two places: it was
	// copied.
	ConflictInstance ConflictKind = "duplicate-instance"
	// ConflictName means that servers with different ids use the same name in
	// gossip.
	ConflictName ConflictKind = "duplicate-name"
	// ConflictCluster means that a server of another cluster was met.
	ConflictCluster ConflictKind = "foreign-cluster"
	// ConflictMeta means that a server was met whose description of itself
	// cannot be used, because it runs another version or is no balsa.
	ConflictMeta ConflictKind = "unreadable"
	// ConflictState means that somebody sent something about a server's state
	// that cannot be used. Gossip does not tell who it was, so Addr is empty.
	ConflictState ConflictKind = "unreadable-state"
)

// Conflict is a contradiction that gossip has seen and that only an operator can
// resolve.
type Conflict struct {
	Kind ConflictKind
	// ID is the id that is claimed twice, or the id of the foreign server. It is
	// 0 if there is none to tell.
	ID uint64
	// Addr is the gossip address of the server that is in the way, as ip:port,
	// or empty if it is not known.
	Addr string
	// Message is a sentence that says what was seen and what to do.
	Message string
	// First and Last are when it was first and last seen.
	First, Last time.Time
}

const (
	// conflictMemory is how long a conflict is reported after it was last seen.
	// It is well over the interval at which a lasting one is seen again.
	conflictMemory = 2 * time.Minute
	// moveTime is how long a copy of a data directory must have been seen before
	// it is reported. A server that crashed and returned at another address
	// looks the same until its former self has been declared dead everywhere.
	moveTime = time.Minute
	// maxConflicts bounds what is remembered of them.
	maxConflicts = 64
)

type conflictKey struct {
	kind ConflictKind
	addr string
}

// reportable reports whether a conflict has lasted for long enough to bother
// somebody with it.
func (c *Conflict) reportable() bool {
	return c.Kind != ConflictInstance || c.Last.Sub(c.First) >= moveTime
}

// listConflicts returns what is worth reporting, in a stable order.
func (v *view) listConflicts() []Conflict {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dropOldConflicts()
	var list []Conflict
	for _, c := range v.conflicts {
		if c.reportable() {
			list = append(list, *c)
		}
	}
	slices.SortFunc(list, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr))
	})
	return list
}

func (v *view) dropOldConflicts() {
	for key, c := range v.conflicts {
		if time.Since(c.Last) > conflictMemory {
			delete(v.conflicts, key)
			v.changed()
		}
	}
}

// disputed reports whether two data directories claim an id at the moment.
func (v *view) disputed(id uint64) bool {
	for _, c := range v.conflicts {
		if c.Kind == ConflictID && c.ID == id && time.Since(c.Last) <= conflictMemory {
			return true
		}
	}
	return false
}

// note records that a conflict was seen now.
func (v *view) note(c Conflict) {
	now := time.Now()
	c.First, c.Last = now, now
	key := conflictKey{c.Kind, c.Addr}
	old := v.conflicts[key]
	if old == nil && len(v.conflicts) >= maxConflicts {
		return // those that are known are enough to act on
	}
	wasReportable := old != nil && old.reportable()
	if old != nil {
		c.First = old.First
	}
	v.conflicts[key] = &c
	if !wasReportable && c.reportable() {
		v.changed()
	}
}

// clash records that memberlist refused a name because its bearer is alive at
// another address.
func (v *view) clash(name, otherAddr string, encoded []byte) {
	m, err := decodeMeta(encoded)
	if err != nil {
		return // nothing can be said about it; admit reports it under any other name
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.members[name]
	if r == nil || !r.alive {
		// The former bearer is dead, and this is a server that came back at a
		// new address. memberlist admits it as soon as the dead one has been
		// dead for long enough.
		return
	}
	if v.isForeign(m) {
		v.noteForeign(otherAddr, m)
		return
	}
	other := &record{meta: m, name: name, addr: otherAddr}
	if m.id != r.id {
		v.note(Conflict{
			Kind: ConflictName, ID: m.id, Addr: otherAddr,
			Message: fmt.Sprintf("server %d at %s uses the gossip name %q, which belongs to server %d at %s: give one of them another name",
				m.id, otherAddr, name, r.id, r.addr),
		})
		return
	}
	v.noteTwins(r, other)
}

// noteSharedID looks for another living server with the same id under another
// name.
func (v *view) noteSharedID(r *record) {
	for _, other := range v.members {
		if other.id == r.id && other.name != r.name && other.alive && !other.foreign && !r.foreign {
			// Whoever is second is named by the report; any stable order will
			// do.
			if other.name < r.name {
				v.noteTwins(other, r)
			} else {
				v.noteTwins(r, other)
			}
		}
	}
}

// noteTwins records that two processes claim one id.
func (v *view) noteTwins(a, b *record) {
	c := Conflict{Kind: ConflictID, ID: a.id, Addr: b.addr}
	c.Message = fmt.Sprintf("two servers claim id %d: one at %s with data directory %s, one at %s with data directory %s; "+
		"stop the one that is wrong and start it with an id that no server ever had",
		a.id, a.addr, a.instance, b.addr, b.instance)
	if a.instance == b.instance {
		c.Kind = ConflictInstance
		c.Message = fmt.Sprintf("server %d runs twice from copies of one data directory (%s), at %s and at %s; "+
			"stop the copy, delete its data directory and start it with an id that no server ever had",
			a.id, a.instance, a.addr, b.addr)
	}
	v.note(c)
}

func (v *view) noteForeign(addr string, m meta) {
	v.note(Conflict{
		Kind: ConflictCluster, ID: m.id, Addr: addr,
		Message: fmt.Sprintf("server %d at %s belongs to cluster %s, this server to cluster %s: two clusters meet in gossip; "+
			"give each its own cluster name, or correct the seed addresses", m.id, addr, m.cluster, v.own.cluster),
	})
}

func (v *view) noteUnreadable(addr string, err error) {
	v.note(Conflict{
		Kind: ConflictMeta, Addr: addr,
		Message: fmt.Sprintf("the server at %s is kept out: %v", addr, err),
	})
}

func (v *view) noteBadState(err error) {
	v.note(Conflict{
		Kind: ConflictState,
		Message: fmt.Sprintf("a message about the servers' states was ignored: %v; "+
			"a server runs another version, or something that is no balsa sends to the gossip port", err),
	})
}
