package founding

import (
	"fmt"
	"strings"

	"balsa/gossip"
)

// reply is what became of a question to one server.
type reply struct {
	from Server
	answer
	err error // there was no answer, or none that can be used
}

// decision is what follows from the replies: a plan to found, or else where
// things stand.
type decision struct {
	found *Plan
	state state
}

// judge decides for one server. plan is what gossip suggests, and then the
// replies are those of all its servers but this one; it is nil when the replies
// are those of servers that belong to a cluster already.
func judge(self Server, plan *Plan, replies []reply) decision {
	if d, settled := judgeSettled(self, replies); settled {
		return d
	}
	if plan == nil {
		return decision{state: unresolved("gossip shows servers that belong to a cluster; waiting to hear of which from ", replies)}
	}
	want := plan.ClusterID()
	var missing []reply
	for _, r := range replies {
		if r.err != nil || r.verdict != verdictYes || r.cluster != want {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		return decision{state: unresolved(fmt.Sprintf("waiting for all of %s to agree; still missing: ", plan), missing)}
	}
	return decision{found: plan}
}

// unresolved names the servers that did not give the answer that is needed, and
// what they said instead.
func unresolved(what string, replies []reply) state {
	var names, details []string
	for _, r := range replies {
		name := serverName(r.from.ID)
		names = append(names, name)
		switch {
		case r.err != nil:
			details = append(details, fmt.Sprintf("%s did not answer (%v)", name, r.err))
		case r.verdict == verdictNo:
			details = append(details, fmt.Sprintf("%s says %q", name, r.reason))
		default:
			details = append(details, name+" agreed to another plan")
		}
	}
	return state{text: what + strings.Join(names, ", "), detail: strings.Join(details, "; ")}
}

// judgeSettled looks for servers that say that they have founded, or belong to a
// cluster in another way. If there are any, nothing new is founded. But a
// cluster that was founded with this very server, which crashed before it could
// write its part or was slower than the others, is founded here, too.
func judgeSettled(self Server, replies []reply) (d decision, settled bool) {
	var outsider, lost state
	offers := make(map[gossip.UUID]*Plan)
	for _, r := range replies {
		if r.err != nil || r.verdict != verdictFounded {
			continue
		}
		settled = true
		if r.plan == nil {
			outsider = statef("waiting to be added to cluster %s: %s belongs to it and knows nothing about this server's part in its founding",
				r.cluster, serverName(r.from.ID))
			continue
		}
		part, named := r.plan.Server(self.ID)
		switch {
		case !named:
			outsider = statef("waiting to be added to cluster %s, which %s founded without this server", r.cluster, r.plan)
		case part.InstanceID != self.InstanceID:
			lost = statef("refused: cluster %s was founded with data directory %s of %s, and this server has %s; "+
				"start it with the right data directory, or if that is lost, remove %s from the cluster and start this server with an id that no server ever had",
				r.cluster, part.InstanceID, serverName(self.ID), self.InstanceID, serverName(self.ID))
		default:
			offers[r.cluster] = r.plan
		}
	}
	switch {
	case lost != state{}:
		d.state = lost
	case len(offers) > 1:
		d.state = statef("refused: %d clusters say that they were founded with this server; stop the servers of all but one of them", len(offers))
	case len(offers) == 1:
		for _, plan := range offers {
			d.found = plan
		}
	default:
		d.state = outsider
	}
	return d, settled
}
