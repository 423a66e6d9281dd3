package node

import (
	"context"
	"testing"
	"time"
)

// A new leader's no-op has no command and no client, and yet a read can wait for it:
// it is what the read index of a leader stands at that has committed nothing else.
//
// Trap 75.
// Rules: commit.noop.
func TestAReadIsServedWhenOnlyANoopIsCommitted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		noop := c.status(c.leader()).LastIndex
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for id, n := range c.nodes {
			index, err := n.ReadIndex(ctx)
			if err != nil || index != noop {
				t.Errorf("a read on %s: index %d, error %v; want %d, the no-op", id, index, err, noop)
			}
			if applied := c.status(n).LastApplied; applied < noop {
				t.Errorf("%s has applied %d, and the read was served at %d", id, applied, index)
			}
		}
	})
}
