package simulated_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"balsa/kv/history"
	"balsa/raft"
)

// patience is within what virtual time after the end of all faults the cluster
// must serve everybody again, and agree.
const patience = 30 * time.Second

// run is the whole of it: a cluster is founded, clients work, faults happen, all
// of them end, and then everything must be well.
func (w *world) run() {
	w.found()
	for id := range w.plan.clients {
		w.clients.Go(w.newClient(id).run)
	}
	w.doFaults()
	w.logf("all faults end")
	w.heal()
	time.Sleep(time.Second) // clients go on for a while
	close(w.clientsStop)
	w.clients.Wait()
	if !w.failed.Load() {
		w.finish()
	}
	close(w.over)
	w.background.Wait()
	w.count()
}

// heal ends all faults.
func (w *world) heal() {
	w.healing.Store(true)
	close(w.healed)
	w.net.heal()
	for _, p := range w.running() {
		p.disk.mend()
		p.slow.Store(0)
	}
}

// finish checks that the cluster works, and that nothing is lost.
func (w *world) finish() {
	members := w.agree("after the faults")
	if members == nil {
		return
	}
	for _, p := range members {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		value := fmt.Sprintf("last/%d", p.id)
		if result, err := p.store.Put(ctx, []byte(value), []byte(value)); err != nil {
			w.violation("n%d takes no write after the faults: %v", p.id, err)
		} else {
			w.judge.acknowledge(value, value, result.Revision)
		}
		cancel()
	}
	if members = w.agree("after the last writes"); members == nil {
		return
	}
	reader := w.newClient(w.plan.clients)
	for _, p := range members {
		p.checkState()
		w.judge.checkAcknowledged(p)
		for key := range w.plan.keys {
			ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
			in := history.Input{Kind: history.Get, Key: history.Text(fmt.Sprintf("k%d", key))}
			pending := w.recorder.Begin(reader.id, uint64(p.id), in)
			out, err := reader.ask(ctx, p, in, false)
			pending.End(out)
			cancel()
			if err != nil {
				w.violation("n%d does not answer a read after the faults: %v", p.id, err)
			}
		}
	}
}

// agree waits until all members run, follow one leader and have applied the same
// entry, and returns them. What they then hold must be the same, too.
func (w *world) agree(when string) []*process {
	var members []*process
	var complaint string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if members, complaint = w.agreement(); complaint == "" {
			break
		}
		if time.Now().After(end) || w.failed.Load() {
			w.violation("%s, and after %v: %s", when, patience, complaint)
			return nil
		}
	}
	var first string
	for i, p := range members {
		hash, err := hashOf(p.state)
		if err != nil {
			w.violation("%s, n%d cannot read its state: %v", when, p.id, err)
		}
		if i == 0 {
			first = hash
		}
		if hash != first {
			w.violation("%s, n%d has the state %s, n%d has %s", when, members[0].id, first, p.id, hash)
		}
	}
	return members
}

// agreement returns the members, or what is missing to an agreement.
func (w *world) agreement() ([]*process, string) {
	if w.changing.Load() {
		return nil, "a change of members is under way"
	}
	leader := w.leader()
	if leader == nil {
		return nil, "nobody leads"
	}
	status, err := leader.node.Status(context.Background())
	if err != nil || status.Role != raft.Leader {
		return nil, fmt.Sprintf("n%d does not lead any more: %v", leader.id, err)
	}
	if status.ConfigurationIndex > status.CommitIndex || status.Configuration.Joint() {
		return nil, "a configuration is not committed"
	}
	var members []*process
	for _, m := range status.Configuration.Members {
		p := w.server(m.ID).process()
		if p == nil || p.dead.Load() {
			return nil, fmt.Sprintf("n%d does not run", m.ID)
		}
		s, err := p.node.Status(context.Background())
		if err != nil || s.Leader != leader.id {
			return nil, fmt.Sprintf("n%d follows n%d: %v", m.ID, s.Leader, err)
		}
		if s.LastApplied != status.LastIndex || s.LastIndex != status.LastIndex {
			return nil, fmt.Sprintf("n%d has applied %d and has %d in its log, the leader has %d",
				m.ID, s.LastApplied, s.LastIndex, status.LastIndex)
		}
		members = append(members, p)
	}
	slices.SortFunc(members, func(a, b *process) int { return int(a.id) - int(b.id) })
	return members, ""
}

// count adds up what is known only in the end.
func (w *world) count() {
	w.seen.runs.Add(1)
	w.seen.leaderChanges.Add(int64(w.judge.changes()))
	w.seen.operations.Add(int64(len(w.recorder.History().Operations)))
	w.judge.mu.Lock()
	defer w.judge.mu.Unlock()
	w.seen.entries.Add(int64(len(w.judge.entries)))
	w.seen.acknowledged.Add(int64(len(w.judge.acknowledged)))
	w.seen.leaks.Add(int64(len(w.leaked)))
}

// forget lets go of what takes much memory, for the sake of the goroutines of a
// failed log, which are left behind with all that they can reach.
func (w *world) forget() {
	for _, p := range w.leaked {
		p.state, p.node, p.store, p.remains = nil, nil, nil, nil
		p.struck.Store(nil)
		_ = p.disk.mem.RemoveAll("data")
	}
	w.judge, w.net, w.recorder, w.servers, w.leaked = nil, nil, nil, nil, nil
}
