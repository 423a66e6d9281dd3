package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// How states get about. There are three ways, each for what the one before it
// leaves undone.
//
// News. Whoever learns that a state changed adds the delta to the packets that
// memberlist sends anyway, so many times that everybody can be expected to have
// heard. This takes well under a second, and a lost packet rarely matters. While
// many servers come and go at once, though, memberlist needs its packets for
// itself.
//
// Questions. Whoever hears news that does not connect to what it has, because
// something before was lost or because the delta is too long for a packet, asks
// the owner.
//
// Comparing. Every second, each server sends a fingerprint of all its copies'
// stamps to another, chosen at random. If the other has a different one, the
// two find out which copies differ, and each sends what the other lacks. This is
// what makes all copies equal in the end, whatever was lost: what one of n
// servers knows reaches all in about as many seconds as n has binary digits. The
// push/pull exchanges of memberlist are used for the same, which gives a server
// that joins all states at once.

const (
	// tombstoneGrace is how long the owner keeps a tombstone. Who is away for
	// longer is given a whole state instead of a delta, and nothing worse.
	tombstoneGrace = 10 * time.Minute
	// stateGrace is how long the state of a server that died or left is kept.
	// After that nobody accepts it from others any more, so that copies which
	// are forgotten a little later cannot bring it back.
	stateGrace = time.Hour
	// strangerGrace is how long the state of a server is kept that is not in the
	// table. News of a server's state may come a little earlier than the server
	// itself.
	strangerGrace = time.Minute
	// comparedGrace is how long servers compare their copies of the state of a
	// server that died or left.
	comparedGrace = time.Minute
	// askInterval is the least time between two questions to one owner, and
	// between two claims of a new generation.
	askInterval = time.Second
	// exchangeInterval is the least time between two exchanges of tables because
	// somebody is missing in this server's.
	exchangeInterval = 5 * time.Second
	// ageInterval is how often time passes for the states, and thus by how much
	// a watcher may learn too late that a key expired. It also is how often this
	// server compares its copies with those of another.
	ageInterval = time.Second
)

// receive handles a message of another server.
func (v *view) receive(b []byte) {
	m, err := decodeMessage(b)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		v.noteBadState(err)
	case v.isForeignCluster(m.cluster):
		// Which server it is, and that the clusters meet, admit reports.
	case m.kind == messageQuestion:
		v.answer(m.sender, m.digest, scopeAsked)
	case m.kind == messageSummary:
		if m.fingerprint != v.comparedDigest().fingerprint() {
			v.send(errand{to: m.sender, kind: messageDigest})
		}
	case m.kind == messageDigest:
		v.answer(m.sender, m.digest, scopeCompared)
		v.askForMore(m.sender, m.digest)
		v.meetMore(m.sender, m.digest)
	default:
		for _, d := range m.deltas {
			v.learn(d, m.kind == messageNews)
		}
	}
}

// localState returns this server's half of a push/pull exchange.
func (v *view) localState() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return exchange{cluster: v.own.cluster, sender: v.name, departures: v.departures(), digest: v.digest()}.encode()
}

// mergeRemoteState handles the other server's half.
func (v *view) mergeRemoteState(b []byte) {
	x, err := decodeExchange(b)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		v.noteBadState(err)
	case !v.isForeignCluster(x.cluster):
		v.depart(x.departures)
		v.answer(x.sender, x.digest, scopeAll)
	}
}

// learn takes a delta over into the copy that it is for.
func (v *view) learn(d delta, news bool) {
	if d.name == v.name {
		v.refute(d.stamp)
		return
	}
	r := v.replicas[d.name]
	known := r != nil
	if !v.wanted(d.name, d.stamp) || !known && !v.roomForReplica() {
		return
	}
	if !known {
		r = &replica{held: time.Now()}
	}
	from := uint64(0)
	if r.lineage == d.lineage {
		from = r.version
	}
	verdict, keys := r.apply(d, time.Now())
	switch verdict {
	case verdictApplied:
		v.replicas[d.name] = r
		v.stateChanged(keys)
		// Who joins is told about everybody in an answer, and all of that is old
		// for the others.
		if news || known {
			v.spread(d.name, from)
		}
	case verdictGap:
		v.ask(d.name)
	case verdictTooBig:
		v.noteBadState(fmt.Errorf("%w: the state of %s would be beyond the limits", errMeta, d.name))
	}
}

// wanted reports whether a state is of interest: that of everybody but those for
// whom none is kept, and of those for whom one is kept again, because they are
// back, only one that is not older than it was.
func (v *view) wanted(name string, s stamp) bool {
	m := v.members[name]
	return m == nil || v.keeps(m) && s.compare(m.forgotten) >= 0
}

// keeps reports whether the state of a server in the table is kept.
func (v *view) keeps(m *record) bool {
	return m.name == v.name || !m.foreign && (m.alive || time.Since(m.since) < stateGrace)
}

// roomForReplica makes room for one more copy, if need be at the expense of a
// server that is in no table.
func (v *view) roomForReplica() bool {
	if len(v.replicas) < maxMembers {
		return true
	}
	for name := range v.replicas {
		if v.members[name] == nil {
			delete(v.replicas, name)
			return true
		}
	}
	return false
}

// refute defends this server's own state. Others remember what it said in an
// earlier life, or were told a lie. If what they have counts for more than what
// this server says now, it goes on in a generation above theirs; its state then
// replaces theirs everywhere.
func (v *view) refute(claimed stamp) {
	own := v.replicas[v.name]
	if claimed.compare(own.stamp) <= 0 || claimed.generation >= maxGeneration || time.Since(v.refuted) < askInterval {
		return
	}
	v.refuted = time.Now()
	own.generation = claimed.generation + 1
	v.spread(v.name, 0)
}

// ageLoop lets time pass for the states, and compares them, until ctx ends.
func (g *Gossip) ageLoop(ctx context.Context) {
	ticker := time.NewTicker(ageInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.view.age()
			if names, _ := g.view.living(); len(names) > 0 {
				g.view.compareWith(names[rand.IntN(len(names))])
			}
		case <-ctx.Done():
			return
		}
	}
}

// age lets time pass for the states: for this server's own, whose keys expire
// and whose tombstones are forgotten, and for those of the others, which are
// forgotten as a whole when they have been gone for long enough.
func (v *view) age() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	own := v.replicas[v.name]
	before := own.version
	keys := own.expire(now)
	if own.forget(now.Add(-tombstoneGrace)) || len(keys) > 0 {
		v.spread(v.name, before)
	}
	v.stateChanged(keys)
	for name, r := range v.replicas {
		if v.dropped(name, r) {
			continue
		}
		for key, e := range r.entries {
			if e.expires.After(v.aged) && !e.live(now) {
				v.stateChanged([]string{key})
			}
		}
	}
	v.aged = now
}

// dropped forgets a copy if there is no reason to keep it.
func (v *view) dropped(name string, r *replica) bool {
	m := v.members[name]
	if m != nil && v.keeps(m) || m == nil && time.Since(r.held) < strangerGrace {
		return false
	}
	if m != nil {
		m.forgotten = r.stamp
	}
	delete(v.replicas, name)
	delete(v.rumours, name)
	v.stateChanged(r.keys())
	return true
}
