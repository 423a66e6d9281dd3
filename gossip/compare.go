package gossip

import (
	"slices"
	"time"
)

// compareWith finds out whether another server's copies are the same.
func (v *view) compareWith(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.send(errand{to: name, kind: messageSummary})
}

// digest lists all copies.
func (v *view) digest() digest {
	var g digest
	for _, name := range v.replicaNames() {
		g = append(g, digestEntry{name, v.replicas[name].stamp})
	}
	return g
}

// comparedDigest lists the copies that servers compare.
func (v *view) comparedDigest() digest {
	return slices.DeleteFunc(v.digest(), func(e digestEntry) bool { return !v.compares(v.members[e.name]) })
}

// compares reports whether the copy of a server's state is one of those that
// servers compare: if the server is alive, or was until a moment ago, because
// not all see its death at the same time. The copies that are older may well
// differ for as long as they are kept: who joins late never hears of them.
func (v *view) compares(m *record) bool {
	return m != nil && !m.foreign && (m.alive || time.Since(m.since) < comparedGrace)
}

// scope says which states an answer is about.
type scope int

const (
	scopeAll      scope = iota // to a digest of all copies
	scopeCompared              // to a comparedDigest
	scopeAsked                 // to a question
)

// answer sees to it that a server gets what it lacks, and this server's own
// state is defended if somebody claims to know more of it than it does itself.
func (v *view) answer(to string, theirs digest, scope scope) {
	for _, e := range theirs {
		if e.name == v.name {
			v.refute(e.stamp)
		}
	}
	v.send(errand{to: to, kind: messageAnswer, digest: theirs, scope: scope})
}

// askForMore asks a server for whatever of interest it has more of.
func (v *view) askForMore(whom string, theirs digest) {
	var have digest
	for _, e := range theirs {
		mine := digestEntry{name: e.name}
		if r := v.replicas[e.name]; r != nil {
			mine.stamp = r.stamp
		}
		if e.name != v.name && mine.stamp.compare(e.stamp) < 0 && v.wanted(e.name, e.stamp) {
			have = append(have, mine)
		}
	}
	if len(have) > 0 {
		v.send(errand{to: whom, kind: messageQuestion, digest: have})
	}
}

// ask asks the owner of a state for what is missing.
func (v *view) ask(name string) {
	m := v.members[name]
	if m == nil || time.Since(m.asked) < askInterval {
		return
	}
	m.asked = time.Now()
	have := digestEntry{name: name}
	if r := v.replicas[name]; r != nil {
		have.stamp = r.stamp
	}
	v.send(errand{to: name, kind: messageQuestion, digest: digest{have}})
}

// meetMore has this server exchange tables with another one that knows of a
// server that is not in the table. memberlist tells everybody about a
// server that joins, but when many join at once some are missed, and it may take
// it half a minute to notice.
func (v *view) meetMore(whom string, theirs digest) {
	stranger := func(e digestEntry) bool { return v.members[e.name] == nil }
	if slices.ContainsFunc(theirs, stranger) && time.Since(v.exchanged) >= exchangeInterval {
		v.exchanged = time.Now()
		v.send(errand{to: whom, exchange: true})
	}
}
