package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa/raft"
)

// RemovedError is why Run ends when the cluster has removed this node.
type RemovedError struct{ Sentence string }

func (e *RemovedError) Error() string { return e.Sentence }

// leave ends Run: this server is no member any more because it asked for that.
func (s *server) leave() { s.leaveOnce.Do(func() { close(s.left) }) }

func (s *server) hasLeft() bool {
	select {
	case <-s.left:
		return true
	default:
		return false
	}
}

// handOver makes another node the leader before this one stops, if it leads: the
// others need not find out by silence. The API still serves meanwhile, and
// forwards to the successor.
func (s *server) handOver() {
	m := s.member.Load()
	if m == nil || m.node.Leader() != s.cfg.ID {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*s.cfg.Election)
	defer cancel()
	began := time.Now()
	err := m.node.TransferLeadership(ctx, raft.None)
	switch {
	case err == nil:
		s.log.Info(fmt.Sprintf("handed leadership over to node %d in %v", m.node.Leader(), time.Since(began).Round(time.Millisecond)))
	case errors.Is(err, raft.ErrNoSuccessor):
		// The only voter, or the last one that is up: nobody to hand over to.
	default:
		s.log.Warn("leadership was not handed over; the others elect a leader when they notice: " + err.Error())
	}
}
