package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"balsa/raft"
)

// A node leads, is left alone with a proposal, steps down, and is elected again
// because nobody else has that entry. The proposal is of an earlier term by then; it
// is committed all the same, and its client hears of it, although new proposals wait
// behind it.
//
// Trap 41.
func TestAProposalOfAnEarlierTermIsAnsweredWhenTheNodeLeadsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 2).start(nil)
		leader := c.leader()
		other := c.followerOf(leader).cfg.ID
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c.isolate(other, true)
		propose := func(command string) <-chan error {
			result := make(chan error, 1)
			go func() {
				_, err := leader.Propose(ctx, []byte(command))
				result <- err
			}()
			return result
		}
		first := propose("first")
		eventually(t, "the leader steps down", func() bool { return leader.Leader() == raft.None })

		c.logs[other].set(func() { c.logs[other].delay = 50 * time.Millisecond }) // so that we come in time
		c.isolate(other, false)
		eventually(t, "it leads again", func() bool { return leader.Leader() == leader.cfg.ID })
		second := propose("second")
		eventually(t, "the second proposal is in the log behind the first", func() bool {
			return c.status(leader).LastIndex == 5 // founding, no-op, first, no-op, second
		})
		if len(first) > 0 {
			t.Fatal("the first proposal was answered before the second one came")
		}
		if err := <-first; err != nil {
			t.Errorf("the first proposal: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second proposal: %v", err)
		}
		if got := strings.Join(c.kvs[leader.cfg.ID].has(), " "); got != "first second" {
			t.Errorf("applied %q", got)
		}
	})
}
