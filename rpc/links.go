package rpc

import (
	"errors"
	"sync"

	"balsa/raft"
)

// links knows with whom this node has connections for Raft messages, in either
// direction, to tell the host once when a peer goes away: its death breaks both.
// A connection that ends because of a refusal says nothing about a process.
type links struct {
	mu sync.Mutex
	to map[raft.NodeID]*link
}

type link struct {
	connections int
	// lost says that the host has been told since the last connection was made.
	lost bool
}

func (l *links) up(id raft.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		l.to = make(map[raft.NodeID]*link)
	}
	if l.to[id] == nil {
		l.to[id] = &link{}
	}
	l.to[id].connections++
	l.to[id].lost = false
}

// down reports whether the host should be told.
func (l *links) down(id raft.NodeID, cause error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.to[id]
	if to.connections--; to.connections == 0 {
		delete(l.to, id)
	}
	_, refused := errors.AsType[*Refusal](cause)
	if to.lost || refused || errors.Is(cause, errReplaced) {
		return false
	}
	to.lost = true
	return true
}

// lost ends the connection's part in links, and tells the host if need be.
func (t *Transport) lost(id raft.NodeID, cause error) {
	if t.links.down(id, cause) && t.ctx.Err() == nil && t.config.OnConnectionLost != nil {
		t.config.OnConnectionLost(id)
	}
}
