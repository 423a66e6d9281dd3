package founding

import (
	"fmt"

	"balsa/gossip"
)

// state is where a founding stands, for the operator.
type state struct {
	// text is a sentence. The log has it once, when it changes.
	text string
	// detail is what may differ from one attempt to the next, such as the error
	// of a call.
	detail string
}

func (s state) String() string {
	if s.detail == "" {
		return s.text
	}
	return s.text + ": " + s.detail
}

func statef(format string, args ...any) state { return state{text: fmt.Sprintf(format, args...)} }

// assessment is what can be concluded from gossip alone. At most one of plan and
// settled is set; if neither is, the state says what is missing or wrong.
type assessment struct {
	// plan is what could be founded, if all agree.
	plan *Plan
	// settled are servers that belong to a cluster already. Nothing new is
	// founded beside them, but they may be waiting for this server.
	settled []Server
	state   state
}

// assess looks at gossip through the eyes of one server that wants to found a
// cluster of expect servers.
//
// Servers that expect nothing are no candidates: they were started to join a
// cluster, and found none. Those that are not alive do not count either way: a
// plan needs an answer from each of its servers.
func assess(self Server, expect int, members []gossip.Member, conflicts []gossip.Conflict) assessment {
	var a assessment
	var plan Plan
	seen := make(map[uint64]bool)
	for _, m := range members {
		if m.Status != gossip.StatusAlive {
			continue
		}
		s := Server{ID: m.ID, InstanceID: m.InstanceID, RPCAddr: m.RPCAddr}
		switch {
		case m.ClusterID != gossip.UUID{} && m.ID != self.ID:
			a.settled = append(a.settled, s)
		case m.Expect == 0:
		case m.Expect != expect:
			a.state = statef("refused: %s expects %d servers to found a cluster, this server expects %d; start all with the same number",
				serverName(m.ID), m.Expect, expect)
		case seen[m.ID]:
			a.state = statef("refused: two servers claim id %d; each needs an id of its own", m.ID)
		default:
			plan.Servers = append(plan.Servers, s)
			seen[m.ID] = true
		}
	}
	for _, c := range conflicts {
		if c.Kind == gossip.ConflictID || c.Kind == gossip.ConflictInstance || c.Kind == gossip.ConflictName {
			a.state = statef("refused: %s", c.Message)
		}
	}
	have := len(plan.Servers)
	me, found := plan.Server(self.ID)
	switch {
	case len(a.settled) > 0:
		a.state = statef("%s belongs to a cluster already", serverName(a.settled[0].ID))
	case a.state != state{}:
	case have < expect:
		a.state = statef("waiting for %d servers to appear in gossip: have %d (%s)", expect, have, plan)
	case have > expect:
		a.state = statef("refused: %d servers (%s) want to found a cluster of %d; stop those that are too many, or start all with the right number",
			have, plan, expect)
	case !found || me.InstanceID != self.InstanceID:
		a.state = statef("refused: gossip shows %s, and this server (%s) is not among them with its own data directory", plan, serverName(self.ID))
	default:
		a.plan = &plan
	}
	return a
}
