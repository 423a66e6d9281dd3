package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// StoreOptions configure a [Store]. The zero value is ready for use.
type StoreOptions struct {
	// MaxValue is the length of the longest value that Put and CompareAndSet
	// accept, in bytes. Zero means 1 MiB; what fits into a log entry is the
	// most. It is checked at the door only: what is in the log is applied
	// whatever the setting.
	MaxValue int
	// Timeout bounds every request whose context does not end earlier,
	// including the time that it waits for a leader to be elected. Zero means
	// 5 seconds.
	Timeout time.Duration
	// MaxRequests bounds the requests that wait at the same time, those that
	// other nodes forwarded included. Zero means 4096.
	MaxRequests int
	// MaxBytes bounds the commands of those requests, in bytes. Zero means
	// 64 MiB.
	MaxBytes int
}

const (
	defaultMaxValue    = 1 << 20
	defaultTimeout     = 5 * time.Second
	defaultMaxRequests = 4096
	defaultMaxBytes    = 64 << 20
)

// Store is the key-value store as a client of one node sees it. Any node takes
// any request: what only the leader can do is forwarded to it. All methods may
// be called at the same time.
type Store struct {
	state     *State
	self      raft.NodeID
	proposer  node.Proposer
	forwarder Forwarder
	maxValue  int
	timeout   time.Duration
	waiting   *limiter
}

// NewStore returns the store of the node whose state and proposer these are.
// The forwarder reaches the other nodes. It starts nothing that would have to
// be stopped.
func NewStore(state *State, proposer node.Proposer, forwarder Forwarder, opts StoreOptions) *Store {
	orDefault := func(value, otherwise int) int {
		if value > 0 {
			return value
		}
		return otherwise
	}
	return &Store{
		state:     state,
		self:      state.identity.Node,
		proposer:  proposer,
		forwarder: forwarder,
		maxValue:  min(orDefault(opts.MaxValue, defaultMaxValue), raft.MaxEntryData-commandOverhead-MaxKey),
		timeout:   time.Duration(orDefault(int(opts.Timeout), int(defaultTimeout))),
		waiting: &limiter{
			maxRequests: orDefault(opts.MaxRequests, defaultMaxRequests),
			maxBytes:    orDefault(opts.MaxBytes, defaultMaxBytes),
		},
	}
}

// Result is what a write that took effect reports.
type Result struct {
	// Revision is the Raft index of the write. For a Put or CompareAndSet it is
	// the key's revision from then on. A read elsewhere whose Applied has
	// reached it reflects the write.
	Revision uint64
	// Existed says whether a Delete or CompareAndDelete found something to
	// delete. It is false for the other operations.
	Existed bool
}

// Put sets a key, whatever it held before.
//
// Like all writes it returns when the command is applied on the node that
// executed it, and fails with [ErrKeyEmpty], [ErrKeyTooLarge],
// [ErrValueTooLarge], [ErrBusy], [ErrNoLeader], [ErrStopped] or
// [ErrNotUnderstood], after which it is certain that nothing was done and
// nothing will be, or with [ErrOutcomeUnknown]. If ctx has ended before the
// call, its error is returned and nothing was done. The slices must not be
// changed during the call and belong to the caller again after it.
func (s *Store) Put(ctx context.Context, key, value []byte) (Result, error) {
	return s.write(ctx, command{kind: commandPut, key: key, value: value})
}

// Delete removes a key. That there is no such key is not an error; see
// Result.Existed. It fails like [Store.Put].
func (s *Store) Delete(ctx context.Context, key []byte) (Result, error) {
	return s.write(ctx, command{kind: commandDelete, key: key})
}

// CompareAndSet sets a key if its revision is the expected one; 0 means if
// there is no such key. Otherwise it changes nothing and fails with a
// [*ConflictError]. It also fails like [Store.Put].
func (s *Store) CompareAndSet(ctx context.Context, key []byte, expected uint64, value []byte) (Result, error) {
	return s.write(ctx, command{
		kind: commandCompareAndSet, key: key, expected: raft.Index(expected), value: value,
	})
}

// CompareAndDelete removes a key if its revision is the expected one. Otherwise
// it changes nothing and fails with a [*ConflictError]. It also fails like
// [Store.Put].
func (s *Store) CompareAndDelete(ctx context.Context, key []byte, expected uint64) (Result, error) {
	return s.write(ctx, command{kind: commandCompareAndDelete, key: key, expected: raft.Index(expected)})
}

// Get reads a key from this node's own state, at once and without asking
// anybody. The answer may be out of date; Item.Applied says by how much. It
// fails with [ErrKeyEmpty], [ErrKeyTooLarge], [ErrCorrupt], [ErrFailed] or
// [ErrStopped].
func (s *Store) Get(key []byte) (Item, bool, error) {
	if err := checkKey(key); err != nil {
		return Item{}, false, err
	}
	return s.state.Get(key)
}

// LinearizableGet reads a key as of a moment between call and return: the
// answer reflects every write that anybody was told about before the call. It
// works on any node. It fails like [Store.Get], and with [ErrNoQuorum] when the
// time is up before a leader has confirmed the read, or [ErrBusy].
func (s *Store) LinearizableGet(ctx context.Context, key []byte) (Item, bool, error) {
	return s.confirmedGet(ctx, key, s.proposer.ReadIndex)
}

// LeaseGet is like [Store.LinearizableGet], but the leader may answer it from its
// lease, without asking a majority (thesis 6.4.1). It is linearizable only as long
// as no server's clock runs much faster than another's and none stands still: a
// leader whose virtual machine was suspended may answer with what is long out of
// date. It fails like [Store.LinearizableGet].
func (s *Store) LeaseGet(ctx context.Context, key []byte) (Item, bool, error) {
	return s.confirmedGet(ctx, key, s.proposer.LeaseRead)
}

// confirmedGet reads a key after the node has confirmed that its state is new
// enough.
func (s *Store) confirmedGet(
	ctx context.Context, key []byte, confirm func(context.Context) (raft.Index, error),
) (Item, bool, error) {
	if err := checkKey(key); err != nil {
		return Item{}, false, err
	}
	if !s.waiting.enter(len(key)) {
		return Item{}, false, ErrBusy
	}
	defer s.waiting.leave(len(key))
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := confirm(ctx); err != nil {
		return Item{}, false, readIndexError(err)
	}
	return s.state.Get(key)
}

// readIndexError puts what a node said about a read into this package's words.
func readIndexError(err error) error {
	switch {
	case errors.Is(err, node.ErrNoQuorum):
		return ErrNoQuorum
	case errors.Is(err, node.ErrBusy):
		return ErrBusy
	case errors.Is(err, node.ErrStopped):
		return ErrStopped
	}
	return fmt.Errorf("%w (%w)", ErrNoQuorum, err)
}

// checkKey refuses keys that the encoding has no room for.
func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrKeyEmpty
	case len(key) > MaxKey:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrKeyTooLarge, len(key), MaxKey)
	}
	return nil
}

// write sees a command through: proposed here or forwarded, and tried again as
// long as it is certain that nothing was done and there is time.
func (s *Store) write(ctx context.Context, c command) (Result, error) {
	if err := checkKey(c.key); err != nil {
		return Result{}, err
	}
	if len(c.value) > s.maxValue {
		return Result{}, fmt.Errorf("%w: it has %d bytes, at most %d are allowed",
			ErrValueTooLarge, len(c.value), s.maxValue)
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("kv: nothing was done: %w", err)
	}
	encoded := c.encode()
	if !s.waiting.enter(len(encoded)) {
		return Result{}, ErrBusy
	}
	defer s.waiting.leave(len(encoded))
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	var leader raft.NodeID // who is said to lead, once somebody has said so
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		o := s.attempt(ctx, leader, encoded)
		if !o.retryable() || !sleep(ctx, pause) {
			return o.result(c)
		}
		leader = o.leader
	}
}

// attempt tries the command once: at the given leader or, if none is known,
// here and then at whomever this node follows. At most one of the tries can
// have been taken by its node.
func (s *Store) attempt(ctx context.Context, leader raft.NodeID, command []byte) outcome {
	if leader == raft.None || leader == s.self {
		o := outcomeOf(s.proposer.Propose(ctx, command))
		if o.code != outcomeNotLeader || o.leader == raft.None || o.leader == s.self {
			return o
		}
		leader = o.leader
	}
	return s.forward(ctx, leader, command)
}

// Pauses between attempts grow from minPause to maxPause. An election takes a
// few hundred milliseconds, so more than that would only delay whoever waits.
const (
	minPause = 5 * time.Millisecond
	maxPause = 160 * time.Millisecond
)

// sleep waits for about the pause, and reports false if ctx ends first. The
// jitter keeps the clients of a lost leader from returning all at once.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
