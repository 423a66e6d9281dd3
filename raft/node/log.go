package node

import (
	"context"
	"log/slog"

	"balsa/raft"
)

// tracer makes log lines of the core's events: what an operator wants to know
// at level Info, the rest at Debug. If nobody listens at all, the core is not
// slowed down by it.
func (n *Node) tracer() func(raft.Event) {
	logger := n.cfg.Logger
	ctx := context.Background()
	if !logger.Enabled(ctx, slog.LevelInfo) {
		return nil
	}
	debug := logger.Enabled(ctx, slog.LevelDebug)
	return func(e raft.Event) {
		switch e.Kind {
		case raft.EventRole:
			logger.Info("raft: is "+e.Role.String()+because(e.Cause), "term", e.Term, "leader", e.Leader)
		case raft.EventQuorumLost:
			logger.Warn("raft: no majority has answered for a whole election timeout; stepping down", "term", e.Term)
		case raft.EventTruncated:
			logger.Info("raft: removing entries that another leader's log contradicts; they were never committed",
				"first", e.Entry.Index, "last", e.Last)
		case raft.EventTransfer, raft.EventInstalled:
			logger.Info("raft: "+e.String(), "term", e.Term)
		default:
			if debug {
				logger.Debug("raft: "+e.String(), "term", e.Term)
			}
		}
	}
}

func because(cause string) string {
	if cause == "" {
		return ""
	}
	return " (" + cause + ")"
}
