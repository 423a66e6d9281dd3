package node

import (
	"sync"

	"balsa/raft"
)

// inbox is where everything for the loop arrives. The loop takes all of it at
// once: under load, one lock and one wake-up serve hundreds of requests.
type inbox struct {
	wake chan struct{} // holds one token while there is something to take

	maxProposals, maxReads, maxBytes int

	mu     sync.Mutex
	closed bool
	next   inputs
}

// inputs is what has arrived since the loop last looked.
type inputs struct {
	messages     []raft.Message
	messageBytes int
	proposals    []*proposal
	reads        []*readWaiter
	statuses     []chan<- raft.Status
	lost         []raft.NodeID
	loaded       []loadedEntries
	written      raft.WriteID
	applied      raft.Index

	changes   []*changeRequest
	transfers []*transferRequest

	received  []*reception // snapshots that have arrived completely
	installed bool         // the one that was to be installed is
	ended     []*sending   // snapshots that are not being sent any more
	compact   raft.Index   // up to where the log may be cut
}

// loadedEntries answers a raft.Load.
type loadedEntries struct {
	to      raft.NodeID
	entries []raft.Entry
}

func newInbox(cfg Config) *inbox {
	return &inbox{
		wake:         make(chan struct{}, 1),
		maxProposals: cfg.MaxProposals,
		maxReads:     cfg.MaxReads,
		maxBytes:     cfg.MaxInboxBytes,
	}
}

// add changes the next inputs under the lock and wakes the loop. The change may
// refuse with an error.
func (b *inbox) add(change func(*inputs) error) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrStopped
	}
	err := change(&b.next)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case b.wake <- struct{}{}:
	default: // the loop has been woken already
	}
	return nil
}

// take returns what has arrived and starts over. The spare's slices, which the
// loop is done with, are used again.
func (b *inbox) take(spare inputs) inputs {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.next
	b.next = spare
	return in
}

// cleared returns in with its slices emptied, for take to use again.
func (in inputs) cleared() inputs {
	clear(in.messages)
	clear(in.proposals)
	clear(in.reads)
	return inputs{messages: in.messages[:0], proposals: in.proposals[:0], reads: in.reads[:0]}
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.next = inputs{}
}

// deliver drops what does not fit: a lost message is something Raft can deal
// with, unlike a process without memory. It also drops InstallSnapshot, which
// means nothing without the state that belongs to it: that comes to the
// receiver, which tells the loop.
func (b *inbox) deliver(messages []raft.Message) {
	_ = b.add(func(next *inputs) error {
		for _, m := range messages {
			if _, ok := m.Body.(*raft.InstallSnapshot); ok {
				continue
			}
			if size := m.Size(); next.messageBytes+size <= b.maxBytes {
				next.messages = append(next.messages, m)
				next.messageBytes += size
			}
		}
		return nil
	})
}

func (b *inbox) propose(p *proposal) error {
	return b.add(func(next *inputs) error {
		if len(next.proposals) >= b.maxProposals {
			return ErrBusy
		}
		next.proposals = append(next.proposals, p)
		return nil
	})
}

func (b *inbox) read(r *readWaiter) error {
	return b.add(func(next *inputs) error {
		if len(next.reads) >= b.maxReads {
			return ErrBusy
		}
		next.reads = append(next.reads, r)
		return nil
	})
}

func (b *inbox) askStatus(reply chan<- raft.Status) error {
	return b.add(func(next *inputs) error {
		next.statuses = append(next.statuses, reply)
		return nil
	})
}

func (b *inbox) connectionLost(id raft.NodeID) {
	_ = b.add(func(next *inputs) error {
		next.lost = append(next.lost, id)
		return nil
	})
}

// written reports durable writes, and hands over the messages to this node
// itself that waited for them.
func (b *inbox) written(id raft.WriteID, toSelf []raft.Message) {
	_ = b.add(func(next *inputs) error {
		next.written = max(next.written, id)
		next.messages = append(next.messages, toSelf...)
		return nil
	})
}

func (b *inbox) applied(i raft.Index) {
	_ = b.add(func(next *inputs) error {
		next.applied = max(next.applied, i)
		return nil
	})
}

func (b *inbox) loaded(l loadedEntries) {
	_ = b.add(func(next *inputs) error {
		next.loaded = append(next.loaded, l)
		return nil
	})
}

func (b *inbox) changeMembers(r *changeRequest) error {
	return b.add(func(next *inputs) error {
		next.changes = append(next.changes, r)
		return nil
	})
}

func (b *inbox) transfer(r *transferRequest) error {
	return b.add(func(next *inputs) error {
		next.transfers = append(next.transfers, r)
		return nil
	})
}

func (b *inbox) snapshotReceived(r *reception) error {
	return b.add(func(next *inputs) error {
		next.received = append(next.received, r)
		return nil
	})
}

func (b *inbox) snapshotInstalled() {
	_ = b.add(func(next *inputs) error {
		next.installed = true
		return nil
	})
}

func (b *inbox) snapshotEnded(s *sending) {
	_ = b.add(func(next *inputs) error {
		next.ended = append(next.ended, s)
		return nil
	})
}

func (b *inbox) compactTo(i raft.Index) {
	_ = b.add(func(next *inputs) error {
		next.compact = max(next.compact, i)
		return nil
	})
}
