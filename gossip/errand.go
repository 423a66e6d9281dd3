package gossip

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// errand is something to send to one server. The callbacks of memberlist must
// not wait for the network, so others run them; see runErrands.
type errand struct {
	to   string
	addr string
	kind messageKind
	// digest is what the server has, for an answer, and what this server has,
	// for a question.
	digest digest
	scope  scope // of an answer
	// exchange means that, instead of a message, it is an exchange of tables.
	exchange bool
}

const (
	// maxErrands bounds those that wait. What does not fit is made good by the
	// next comparison.
	maxErrands = 64
	// errandRunners is how many errands are run at the same time. A server that
	// does not answer costs a whole timeout, and must not hold up the others.
	errandRunners = 4
)

// send queues an errand to a living server.
func (v *view) send(e errand) {
	r := v.members[e.to]
	if r == nil || !r.alive || r.foreign || e.to == v.name {
		return
	}
	e.addr = r.addr
	select {
	case v.errands <- e:
	default:
	}
}

// runErrands sends what the callbacks of memberlist found to be necessary, until
// ctx ends.
func (g *Gossip) runErrands(ctx context.Context) {
	for {
		select {
		case e := <-g.view.errands:
			if err := g.run(e); err != nil {
				g.log.Debug("gossip: not sent; the next comparison makes good for it", "to", e.to, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// run sends a short message as a packet, and a long one over a stream.
func (g *Gossip) run(e errand) error {
	if e.exchange {
		_, err := g.list.Join([]string{e.addr})
		return err
	}
	b := g.view.compose(e)
	switch {
	case b == nil:
		return nil
	case len(b) <= maxNews:
		return g.list.SendToAddress(memberlist.Address{Addr: e.addr, Name: e.to}, b)
	}
	addr, err := netip.ParseAddrPort(e.addr)
	if err != nil {
		return err
	}
	return g.list.SendReliable(&memberlist.Node{Name: e.to, Addr: net.IP(addr.Addr().AsSlice()), Port: addr.Port()}, b)
}

// compose returns the message of an errand, or nil if there is nothing to say
// any more.
func (v *view) compose(e errand) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := message{kind: e.kind, cluster: v.own.cluster, sender: v.name}
	switch e.kind {
	case messageSummary:
		m.fingerprint = v.comparedDigest().fingerprint()
	case messageDigest:
		m.digest = v.comparedDigest()
	case messageQuestion:
		m.digest = e.digest
	case messageAnswer:
		if m.deltas = v.deltasFor(e); m.deltas == nil {
			return nil
		}
	}
	return m.encode()
}

// deltasFor returns what the sender of a digest lacks. What does not fit into
// one answer follows after the next digest, which lists what came with this one.
func (v *view) deltasFor(e errand) []delta {
	theirs := make(map[string]stamp, len(e.digest))
	for _, entry := range e.digest {
		theirs[entry.name] = entry.stamp
	}
	var deltas []delta
	size, now := messageHead, time.Now()
	for _, name := range v.replicaNames() {
		r := v.replicas[name]
		have, listed := theirs[name]
		m := v.members[name]
		switch {
		case m == nil, r.stamp.compare(have) <= 0:
			continue
		case e.scope == scopeAsked && !listed, e.scope == scopeCompared && !listed && !v.compares(m):
			continue
		}
		from := have.version
		if have.lineage != r.lineage {
			from = 0
		}
		d := r.since(name, from, now)
		if size += len(d.append(nil)); size > maxAnswer {
			break
		}
		deltas = append(deltas, d)
	}
	return deltas
}
