package rpc

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"balsa/raft"
)

// complaints logs what is wrong with those who connect to this node, each thing
// once a minute: a refused peer comes back every second.
type complaints struct {
	mu   sync.Mutex
	last map[complaint]time.Time
	// count is how many there were in all.
	count atomic.Uint64
}

// complaint is what makes two complaints the same. The node is who the other
// side says it is, or nobody.
type complaint struct {
	host   string
	node   raft.NodeID
	reason string
}

const (
	complaintInterval = time.Minute
	// maxComplaints bounds both the memory and the lines in a minute, against
	// somebody who invents a new name each time.
	maxComplaints = 256
)

// add counts a complaint, and logs it with what the caller adds to it.
func (c *complaints) add(log *slog.Logger, remote net.Addr, who raft.NodeID, reason string, attrs ...any) {
	c.count.Add(1)
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		host = remote.String()
	}
	if c.isNew(complaint{host, who, reason}, time.Now()) {
		log.Warn("refused a connection", append([]any{"remote", remote.String(), "peer", who, "reason", reason}, attrs...)...)
	}
}

func (c *complaints) isNew(key complaint, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.last[key]; ok && now.Sub(at) < complaintInterval {
		return false
	}
	if len(c.last) >= maxComplaints {
		for k, at := range c.last {
			if now.Sub(at) >= complaintInterval {
				delete(c.last, k)
			}
		}
	}
	if len(c.last) >= maxComplaints {
		return false
	}
	if c.last == nil {
		c.last = make(map[complaint]time.Time)
	}
	c.last[key] = now
	return true
}
