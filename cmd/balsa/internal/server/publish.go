package server

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"balsa/raft"
)

// What every server says about itself through gossip, beside who and where it is.
// Like everything in gossip it is news of a moment ago, good for telling an
// operator what is going on and for nothing else.
const (
	keyRole    = "raft/role"
	keyTerm    = "raft/term"
	keyApplied = "raft/applied"
	keyFirst   = "raft/first"
	keyVersion = "version"
)

// publishInterval is how often the state is published, if it has changed.
const publishInterval = time.Second

// publish tells the others what this server is doing, until ctx ends.
func (s *server) publish(ctx context.Context) {
	ticker := time.NewTicker(publishInterval)
	defer ticker.Stop()
	complained := false
	for {
		if err := s.gossip.SetAll(s.news()); err != nil && !complained {
			complained = true
			s.log.Warn("gossip: what this node is doing cannot be published: " + err.Error())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) news() map[string]string {
	news := map[string]string{keyVersion: s.cfg.Version}
	if status := s.seen.Load(); status != nil && s.member.Load() != nil {
		news[keyRole] = status.Role.String()
		news[keyTerm] = strconv.FormatUint(uint64(status.CurrentTerm), 10)
		news[keyApplied] = strconv.FormatUint(uint64(status.LastApplied), 10)
		news[keyFirst] = strconv.FormatUint(uint64(status.FirstIndex), 10)
	}
	return news
}

// behindLeader says by how much this server's state trails what its leader said
// of its own a moment ago, if that is worth mentioning. A server that has just
// come back does not know how much it lacks in any other way.
func (s *server) behindLeader(status raft.Status) string {
	if status.Leader == raft.None || status.Leader == status.ID {
		return ""
	}
	said, ok := s.gossip.Get(uint64(status.Leader), keyApplied)
	applied, err := strconv.ParseUint(said, 10, 64)
	if !ok || err != nil || applied <= uint64(status.LastApplied)+behind {
		return ""
	}
	return fmt.Sprintf("following node %d, and behind it: entry %d of %d", status.Leader, status.LastApplied, applied)
}
