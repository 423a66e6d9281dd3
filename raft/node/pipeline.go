package node

import (
	"fmt"
	"slices"
	"sync"

	"balsa/raft"
)

// stage is a goroutine with a queue. It takes all that is queued and works on
// it in one go, so a slow stage works in larger batches.
//
// The queues need no bound of their own: the core has at most one Apply and one
// Load per follower under way, what it wants written is bounded by
// MaxUncommittedBytes on a leader and by the inbox on a follower.
type stage[T any] struct {
	work func(batch []T) error

	mu     sync.Mutex
	cond   sync.Cond
	queue  []T
	closed bool
}

func newStage[T any](work func([]T) error) *stage[T] {
	s := &stage[T]{work: work}
	s.cond.L = &s.mu
	return s
}

func (s *stage[T]) add(item T) {
	s.mu.Lock()
	s.queue = append(s.queue, item)
	s.mu.Unlock()
	s.cond.Signal()
}

// run works until the stage is closed or the work fails. What is still queued
// then is given up.
func (s *stage[T]) run() error {
	var batch []T
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.cond.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return nil
		}
		clear(batch)
		batch, s.queue = s.queue, batch[:0]
		s.mu.Unlock()
		if err := s.work(batch); err != nil {
			return err
		}
	}
}

func (s *stage[T]) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cond.Signal()
}

// writeJob is a write and the messages that wait for it and for all before it;
// or, if compact is set, the order to remove all entries up to that one.
type writeJob struct {
	write   *raft.Write
	after   []raft.Message
	compact raft.EntryID
}

// attestJob is the newest of some writes that are in the log, zero if there was
// none, and the messages that wait for them.
type attestJob struct {
	last            raft.WriteID
	toPeers, toSelf []raft.Message
}

// write is the log writer: it makes everything that is queued durable with one
// sync, however many writes that are, and hands over to the attester. A compaction
// keeps its place among the writes, so that it never meets a log that is another
// one by then.
func (n *Node) write(jobs []writeJob) error {
	for len(jobs) > 0 {
		compaction := slices.IndexFunc(jobs, func(job writeJob) bool { return job.compact.Index != 0 })
		if compaction < 0 {
			return n.save(jobs)
		}
		if err := n.save(jobs[:compaction]); err != nil {
			return err
		}
		if err := n.compactLog(jobs[compaction].compact); err != nil {
			return err
		}
		jobs = jobs[compaction+1:]
	}
	return nil
}

// save does the writes of one sync.
func (n *Node) save(jobs []writeJob) error {
	if len(jobs) == 0 {
		return nil
	}
	var writes []raft.Write
	var saved attestJob
	for _, job := range jobs {
		if job.write != nil {
			writes = append(writes, *job.write)
		}
		for _, m := range job.after {
			if m.To == n.cfg.ID {
				saved.toSelf = append(saved.toSelf, m)
			} else {
				saved.toPeers = append(saved.toPeers, m)
			}
		}
	}
	if len(writes) > 0 {
		if err := n.cfg.Log.Save(writes); err != nil {
			return fmt.Errorf("writing the log failed: %w", err)
		}
		saved.last = writes[len(writes)-1].ID
		n.compactor.wrote(writes)
	}
	n.attest.add(saved)
	return nil
}

// attestWrites is the attester: it has the witness say what the log has made
// durable, and then lets go of the messages that waited for that. While the witness
// is being synced, the log writer is at work on the next batch.
func (n *Node) attestWrites(jobs []attestJob) error {
	all := jobs[0]
	for _, job := range jobs[1:] {
		all.last = max(all.last, job.last)
		all.toPeers = append(all.toPeers, job.toPeers...)
		all.toSelf = append(all.toSelf, job.toSelf...)
	}
	if all.last != 0 {
		if err := n.cfg.Log.Attest(); err != nil {
			return fmt.Errorf("writing the witness of the log failed: %w", err)
		}
	}
	if len(all.toPeers) > 0 {
		n.cfg.Transport.Send(all.toPeers)
	}
	n.inbox.written(all.last, all.toSelf)
	return nil
}

// applyJob is a run of committed entries and those who wait for their results;
// or, if install is set, a snapshot to install.
type applyJob struct {
	apply   raft.Apply
	waiting []waiter
	install *reception
}

// maxLoadForApply bounds, in bytes, what the applier reads back from the log at
// a time.
const maxLoadForApply = 4 << 20

// applyJobs is the applier.
func (n *Node) applyJobs(jobs []applyJob) error {
	for _, job := range jobs {
		var err error
		switch {
		case job.install != nil:
			err = n.installSnapshot(job.install)
		case job.apply.Entries != nil:
			err = n.applyBatch(job.apply.Entries, job.waiting)
		default:
			err = n.applyFromLog(job)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyFromLog applies entries that the core had no longer in memory.
func (n *Node) applyFromLog(job applyJob) error {
	for next := job.apply.First; next <= job.apply.Last && !n.isStopping(); {
		entries, err := n.cfg.Log.Entries(next, job.apply.Last, maxLoadForApply)
		if err != nil {
			return fmt.Errorf("reading the log to apply it failed: %w", err)
		}
		if len(entries) == 0 {
			return fmt.Errorf("the log does not hold entry %d, which is committed", next)
		}
		if err := n.applyBatch(entries, job.waiting); err != nil {
			return err
		}
		next = entries[len(entries)-1].Index + 1
	}
	return nil
}

// applyBatch applies entries and gives their results to those of the waiting
// who wait for one of them.
func (n *Node) applyBatch(entries []raft.Entry, waiting []waiter) error {
	results, err := n.cfg.StateMachine.Apply(entries)
	if err != nil {
		return fmt.Errorf("applying entries %d to %d failed: %w", entries[0].Index, entries[len(entries)-1].Index, err)
	}
	first, last := entries[0].Index, entries[len(entries)-1].Index
	for _, w := range waiting {
		if first <= w.id.Index && w.id.Index <= last {
			w.proposal.finish(outcome{result: results[w.id.Index-first]}) // rule:client.applied §5.3 answer after the entry is applied
		}
	}
	n.appliedIndex.Store(uint64(last))
	n.inbox.applied(last)
	n.compactor.applied(entries)
	return nil
}

// loadEntries is the loader: it reads old entries back for followers that lag.
func (n *Node) loadEntries(loads []raft.Load) error {
	for _, load := range loads {
		entries, err := n.cfg.Log.Entries(load.First, load.Last, load.MaxBytes)
		if err != nil {
			return fmt.Errorf("reading the log for %s failed: %w", load.To, err)
		}
		n.inbox.loaded(loadedEntries{load.To, entries})
	}
	return nil
}

func (n *Node) isStopping() bool {
	select {
	case <-n.stopping:
		return true
	default:
		return false
	}
}
