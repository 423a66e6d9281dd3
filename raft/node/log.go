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
	if !logger.Enabled(ctx, slog.LevelWarn) {
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
		case raft.EventLost:
			if e.Peer != raft.None {
				logger.Warn("raft: a server has lost entries that it had acknowledged; it receives them again", "server", e.Peer, "term", e.Term)
				return
			}
			logger.Warn("raft: recovering: the disk of this server has lost the end of its log, and with it what others count on; "+
				"until it is here again, this server does not lead, and votes only for servers that have it",
				"log_ends_with", e.Last, "lost_up_to", e.Entry.Index, "of_term", e.Entry.Term)
		case raft.EventRecovered:
			logger.Info("raft: recovered: what the disk had lost is here again", "log_ends_with", e.Last, "term", e.Term)
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
