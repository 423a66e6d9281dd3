package autopilot

import (
	"maps"
	"time"

	"balsa/raft"
)

// memory is what a leader remembers from one look at the world to the next. It
// begins empty with each term of office: a new leader has not seen for itself
// how long anything has been so, and to wait a little longer is the safe side.
// The simpler alternative, to let every server keep a history of gossip all the
// time, would save little: how long Raft has heard of somebody nobody but a
// leader can know.
type memory struct {
	term    raft.Term
	servers map[identity]*history
	// before and latest are two commit indexes of the past: before is at least
	// Silence old, once there has been time for that.
	before, latest commitMark
	refusals       map[string]refusal // by what was refused
}

// history says since when things have been so; a zero time means that they are
// not.
type history struct {
	steady, absent, left, settled time.Time

	address string
	// told is what the log was told of the server already.
	told map[string]bool
}

type commitMark struct {
	at    time.Time
	index raft.Index
}

// refusal is why something could not be done, and until when it is not tried
// again.
type refusal struct {
	err   error
	until time.Time
}

func newMemory(term raft.Term) *memory {
	return &memory{
		term:     term,
		servers:  make(map[identity]*history),
		refusals: make(map[string]refusal),
	}
}

// observe takes note of what is seen, and adds to it what follows from what was
// seen before. It forgets whoever is seen no more, so that it does not grow with
// what others invent.
func (m *memory) observe(cfg Config, w world, servers []*server) {
	m.markCommit(cfg, w)
	maps.DeleteFunc(m.refusals, func(_ string, r refusal) bool {
		return w.now.Sub(r.until) > cfg.StabilizationTime
	})
	histories := make(map[identity]*history, len(servers))
	for _, s := range servers {
		h := m.servers[s.identity]
		if h == nil {
			h = &history{told: make(map[string]bool)}
		}
		histories[s.identity] = h
		s.healthy = s.member != nil && (s.self || m.inContact(cfg, w, s))
		h.observe(w.now, s)
	}
	m.servers = histories
}

func (h *history) observe(now time.Time, s *server) {
	if s.alive() && s.seen.RPCAddr != h.address {
		h.address, h.settled = s.seen.RPCAddr, time.Time{}
	}
	s.steady = lasts(&h.steady, s.healthy && s.alive(), now)
	s.absent = lasts(&h.absent, !s.alive(), now)
	s.left = lasts(&h.left, s.hasLeft(), now)
	s.settled = lasts(&h.settled, s.alive(), now)
}

// lasts keeps the time since when something holds, and returns for how long that
// is.
func lasts(since *time.Time, holds bool, now time.Time) time.Duration {
	switch {
	case !holds:
		*since = time.Time{}
		return 0
	case since.IsZero():
		*since = now
	}
	return now.Sub(*since)
}

// markCommit remembers the commit index, so that there is always one that is at
// least Silence old.
func (m *memory) markCommit(cfg Config, w world) {
	now := commitMark{w.now, w.status.CommitIndex}
	switch {
	case m.latest.at.IsZero():
		m.before, m.latest = now, now
	case w.now.Sub(m.latest.at) >= cfg.Silence:
		m.before, m.latest = m.latest, now
	}
}

// inContact reports whether a member answers and has caught up: it has all that
// was committed a moment ago. To ask for nearly all that is committed now would
// be simpler, but under load a learner that keeps pace would fail that again and
// again by the entries that are on the way.
func (m *memory) inContact(cfg Config, w world, s *server) bool {
	return s.match > 0 && s.silent <= cfg.Silence &&
		(s.match >= m.before.index || isNear(cfg, w.status, s))
}

// isNear reports whether a member lacks no more of what is committed than a new
// voter may.
func isNear(cfg Config, status raft.Status, s *server) bool {
	return s.match+raft.Index(cfg.MaxLag) >= status.CommitIndex
}

// refused takes note that an action could not be carried out, and reports
// whether that is news. It is put off for a few looks, so that others get their
// turn.
func (m *memory) refused(cfg Config, a *action, err error, now time.Time) (news bool) {
	_, again := m.refusals[a.String()]
	m.refusals[a.String()] = refusal{err, now.Add(3 * cfg.Interval)}
	return !again
}

// putOff returns why an action is not tried at present, or nil.
func (m *memory) putOff(a *action, now time.Time) error {
	if r, ok := m.refusals[a.String()]; ok && now.Before(r.until) {
		return r.err
	}
	return nil
}

// tell reports whether the log has not been told this about the server.
func (m *memory) tell(who identity, topic string) bool {
	h := m.servers[who]
	if h == nil || h.told[topic] {
		return false
	}
	h.told[topic] = true
	return true
}
