package kv

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// fakeNode is a proposer whose answers a test writes down. Each call of Propose
// takes the next answer; the last one is repeated.
type fakeNode struct {
	mu        sync.Mutex
	answers   []answer
	proposals int
	readIndex func(ctx context.Context) (raft.Index, error)
	leaseRead func(ctx context.Context) (raft.Index, error)
}

type answer func(ctx context.Context, command []byte) (any, error)

func (n *fakeNode) Propose(ctx context.Context, command []byte) (any, error) {
	n.mu.Lock()
	n.proposals++
	next := n.answers[min(n.proposals, len(n.answers))-1]
	n.mu.Unlock()
	return next(ctx, command)
}

func (n *fakeNode) LeaseRead(ctx context.Context) (raft.Index, error) { return n.leaseRead(ctx) }
func (n *fakeNode) ReadIndex(ctx context.Context) (raft.Index, error) { return n.readIndex(ctx) }

// fails answers with an error.
func fails(err error) answer {
	return func(context.Context, []byte) (any, error) { return nil, err }
}

func notLeader(leader raft.NodeID) answer { return fails(&node.NotLeaderError{Leader: leader}) }

// becomes answers with an outcome of the state machine.
func becomes(o outcome) answer {
	return func(context.Context, []byte) (any, error) { return &o, nil }
}

// leads answers as a leader without followers does: it applies the command to
// its own state.
func leads(t *testing.T, s *State) answer {
	return func(_ context.Context, command []byte) (any, error) {
		last := appliedID(t, s)
		id := raft.EntryID{Term: 1, Index: last.Index + 1}
		results, err := s.Apply([]raft.Entry{raft.NewEntry(id, raft.EntryCommand, command)})
		if err != nil {
			return nil, err
		}
		return results[0], nil
	}
}

// fakeWire is a forwarder whose answers a test writes down, as in fakeNode.
type fakeWire struct {
	answers []wireAnswer
	sentTo  []raft.NodeID
}

type wireAnswer func(ctx context.Context, command []byte) (reply []byte, sent bool, err error)

func (w *fakeWire) Forward(ctx context.Context, to raft.NodeID, command []byte) ([]byte, bool, error) {
	w.sentTo = append(w.sentTo, to)
	return w.answers[min(len(w.sentTo), len(w.answers))-1](ctx, command)
}

func replies(o outcome) wireAnswer {
	return func(context.Context, []byte) ([]byte, bool, error) { return o.encode(), true, nil }
}

func breaks(sent bool) wireAnswer {
	return func(context.Context, []byte) ([]byte, bool, error) {
		return nil, sent, errors.New("connection lost")
	}
}

// executes answers with what another store makes of the command.
func executes(s *Store) wireAnswer {
	return func(ctx context.Context, command []byte) ([]byte, bool, error) {
		return s.Execute(ctx, command), true, nil
	}
}

// A store of node 1 whose node and wire answer so.
func storeWith(t *testing.T, n *fakeNode, w *fakeWire) *Store {
	t.Helper()
	return NewStore(openMem(t), n, w, StoreOptions{})
}

func TestStoreOnALeader(t *testing.T) {
	state := openMem(t)
	s := NewStore(state, &fakeNode{answers: []answer{leads(t, state)}}, nil, StoreOptions{})
	ctx := t.Context()
	check := func(what string, got Result, err error, want Result) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	key := []byte("key")
	r, err := s.Put(ctx, key, []byte("1"))
	check("put", r, err, Result{Revision: 1})
	r, err = s.CompareAndSet(ctx, key, 1, []byte("2"))
	check("compare-and-set", r, err, Result{Revision: 2})
	_, err = s.CompareAndSet(ctx, key, 1, []byte("3"))
	if conflict, ok := errors.AsType[*ConflictError](err); !ok ||
		!reflect.DeepEqual(conflict, &ConflictError{Key: key, Expected: 1, Actual: 2}) {
		t.Errorf("error is %v, want a conflict", err)
	}
	item, found, err := s.Get(key)
	if err != nil || !found || string(item.Value) != "2" || item.Revision != 2 || item.Applied != 3 {
		t.Errorf("Get = %+v, %v, %v", item, found, err)
	}
	_, err = s.CompareAndDelete(ctx, key, 1)
	if conflict, ok := errors.AsType[*ConflictError](err); !ok || conflict.Actual != 2 {
		t.Errorf("error is %v, want a conflict", err)
	}
	r, err = s.CompareAndDelete(ctx, key, 2)
	check("compare-and-delete", r, err, Result{Revision: 5, Existed: true})
	r, err = s.Delete(ctx, key)
	check("delete of nothing", r, err, Result{Revision: 6})
	if item, found, err := s.Get(key); found || err != nil || item.Applied != 6 {
		t.Errorf("Get of a deleted key = %+v, %v, %v", item, found, err)
	}
}

func TestTheDoorRefusesWhatIsTooLarge(t *testing.T) {
	n := &fakeNode{answers: []answer{becomes(applied(1))}}
	n.readIndex = func(context.Context) (raft.Index, error) { n.proposals++; return 0, nil }
	n.leaseRead = n.readIndex
	s := NewStore(openMem(t), n, nil, StoreOptions{MaxValue: 10})
	ctx := t.Context()
	large := make([]byte, MaxKey+1)
	for what, try := range map[string]struct {
		call func() error
		want error
	}{
		"put without key":          {func() error { _, err := s.Put(ctx, nil, nil); return err }, ErrKeyEmpty},
		"delete without key":       {func() error { _, err := s.Delete(ctx, []byte{}); return err }, ErrKeyEmpty},
		"get without key":          {func() error { _, _, err := s.Get(nil); return err }, ErrKeyEmpty},
		"linearizable without key": {func() error { _, _, err := s.LinearizableGet(ctx, nil); return err }, ErrKeyEmpty},
		"by lease without key":     {func() error { _, _, err := s.LeaseGet(ctx, nil); return err }, ErrKeyEmpty},
		"put with large key":       {func() error { _, err := s.Put(ctx, large, nil); return err }, ErrKeyTooLarge},
		"get with large key":       {func() error { _, _, err := s.Get(large); return err }, ErrKeyTooLarge},
		"put of large value":       {func() error { _, err := s.Put(ctx, large[:1], large[:11]); return err }, ErrValueTooLarge},
		"set of large value":       {func() error { _, err := s.CompareAndSet(ctx, large[:1], 0, large[:11]); return err }, ErrValueTooLarge},
	} {
		if err := try.call(); !errors.Is(err, try.want) {
			t.Errorf("%s: error is %v, want %v", what, err, try.want)
		}
	}
	if n.proposals != 0 {
		t.Errorf("the node was bothered %d times", n.proposals)
	}
	if _, err := s.Put(ctx, large[:MaxKey], large[:10]); err != nil {
		t.Errorf("largest key and value: %v", err)
	}
}

func TestNoSettingLetsInMoreThanALogEntryHolds(t *testing.T) {
	n := &fakeNode{answers: []answer{func(_ context.Context, command []byte) (any, error) {
		if len(command) > raft.MaxEntryData {
			t.Errorf("a command of %d bytes was proposed, an entry holds %d", len(command), raft.MaxEntryData)
		}
		return becomes(applied(1))(nil, nil)
	}}}
	s := NewStore(openMem(t), n, nil, StoreOptions{MaxValue: 1 << 40})
	key, value := make([]byte, MaxKey), make([]byte, raft.MaxEntryData)
	_, err := s.CompareAndSet(t.Context(), key, 1, value)
	wantError(t, err, ErrValueTooLarge)
	if _, err := s.CompareAndSet(t.Context(), key, 1, value[:s.maxValue]); err != nil {
		t.Error(err)
	}
}

func TestWhatANodeSaysBecomesTheStoresOwnError(t *testing.T) {
	for said, want := range map[error]error{
		node.ErrBusy:                      ErrBusy,
		node.ErrStopped:                   ErrStopped,
		node.ErrOutcomeUnknown:            ErrOutcomeUnknown,
		context.DeadlineExceeded:          ErrOutcomeUnknown, // not in the contract: the worst is assumed
		errors.New("something new"):       ErrOutcomeUnknown,
		fmt.Errorf("x: %w", node.ErrBusy): ErrBusy,
	} {
		n := &fakeNode{answers: []answer{fails(said)}}
		_, err := storeWith(t, n, nil).Put(t.Context(), []byte("k"), nil)
		if !errors.Is(err, want) {
			t.Errorf("%v becomes %v, want %v", said, err, want)
		}
		// Above all, a command of unknown outcome must not be proposed again.
		if n.proposals != 1 {
			t.Errorf("%v: proposed %d times, want once", said, n.proposals)
		}
	}
}

func TestADroppedCommandIsProposedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{answers: []answer{fails(node.ErrDropped), fails(node.ErrDropped), becomes(applied(9))}}
		r, err := storeWith(t, n, nil).Put(t.Context(), []byte("k"), nil)
		if err != nil || r.Revision != 9 || n.proposals != 3 {
			t.Errorf("%+v, %v after %d proposals; want revision 9 after 3", r, err, n.proposals)
		}
	})
}

func TestWithoutALeaderAWriteWaitsAndGivesUpInTime(t *testing.T) {
	for name, c := range map[string]struct {
		clientTimeout time.Duration
		want          time.Duration
	}{
		"the store's own limit":    {clientTimeout: time.Hour, want: defaultTimeout},
		"the client's earlier one": {clientTimeout: time.Second, want: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNode{answers: []answer{notLeader(raft.None)}}
				s := storeWith(t, n, nil)
				ctx, cancel := context.WithTimeout(t.Context(), c.clientTimeout)
				defer cancel()
				start := time.Now()
				_, err := s.Put(ctx, []byte("k"), nil)
				wantError(t, err, ErrNoLeader)
				if got := time.Since(start); got != c.want {
					t.Errorf("gave up after %s, want %s", got, c.want)
				}
				// Once per 80 ms at the worst, and a few times in a row at first.
				if most := 10 + int(c.want/(maxPause/2)); n.proposals < 3 || n.proposals > most {
					t.Errorf("%d proposals in %s, want 3 to %d", n.proposals, c.want, most)
				}
			})
		})
	}
}

func TestAWriteSucceedsWhenALeaderIsElectedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeWith(t, &fakeNode{}, nil)
		elected := time.Now().Add(700 * time.Millisecond)
		s.proposer.(*fakeNode).answers = []answer{func(ctx context.Context, c []byte) (any, error) {
			if time.Now().Before(elected) {
				return notLeader(raft.None)(ctx, c)
			}
			return becomes(applied(2))(ctx, c)
		}}
		if _, err := s.Put(t.Context(), []byte("k"), nil); err != nil {
			t.Error(err)
		}
		if late := time.Since(elected); late > 2*maxPause {
			t.Errorf("the write took %s longer than the election", late)
		}
	})
}

// While it hands its leadership over, a leader takes nothing and knows nobody who
// would. That passes.
func TestAWriteWaitsForATransferOfLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{answers: []answer{notLeader(raft.None), notLeader(2)}}
		w := &fakeWire{answers: []wireAnswer{
			replies(outcome{code: outcomeNotLeader}), replies(outcome{code: outcomeNotLeader, leader: 1}), replies(applied(9)),
		}}
		n.answers = append(n.answers, notLeader(raft.None), notLeader(2), notLeader(3))
		r, err := storeWith(t, n, w).Put(t.Context(), []byte("k"), nil)
		if err != nil || r.Revision != 9 {
			t.Errorf("%+v, %v after %d proposals and %v", r, err, n.proposals, w.sentTo)
		}
	})
}

func TestAnEndedContextDoesNothing(t *testing.T) {
	n := &fakeNode{answers: []answer{becomes(applied(1))}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := storeWith(t, n, nil).Put(ctx, []byte("k"), nil)
	wantError(t, err, context.Canceled)
	if n.proposals != 0 {
		t.Error("proposed all the same")
	}
}

// stuckStore is a store whose node answers nothing until release is called.
func stuckStore(t *testing.T, opts StoreOptions) (s *Store, entered <-chan struct{}, release func()) {
	t.Helper()
	in, out := make(chan struct{}, 100), make(chan struct{})
	wait := func() { in <- struct{}{}; <-out }
	n := &fakeNode{
		answers: []answer{func(ctx context.Context, c []byte) (any, error) {
			wait()
			return becomes(applied(1))(ctx, c)
		}},
		readIndex: func(context.Context) (raft.Index, error) { wait(); return 1, nil },
	}
	return NewStore(openMem(t), n, nil, opts), in, sync.OnceFunc(func() { close(out) })
}

func TestTooManyWaitingRequestsAreTurnedAway(t *testing.T) {
	s, entered, release := stuckStore(t, StoreOptions{MaxRequests: 3})
	key := []byte("k")
	var waiting sync.WaitGroup
	for _, request := range []func() error{
		func() error { _, err := s.Put(t.Context(), key, nil); return err },
		func() error { _, _, err := s.LinearizableGet(t.Context(), key); return err },
		func() error { _, err := decodeOutcome(s.Execute(t.Context(), put("k", "v").encode())); return err },
	} {
		waiting.Go(func() {
			if err := request(); err != nil {
				t.Errorf("a request that was let in: %v", err)
			}
		})
		<-entered
	}
	_, err := s.Put(t.Context(), key, nil)
	wantError(t, err, ErrBusy)
	_, _, err = s.LinearizableGet(t.Context(), key)
	wantError(t, err, ErrBusy)
	if o, _ := decodeOutcome(s.Execute(t.Context(), put("k", "v").encode())); o.code != outcomeBusy {
		t.Errorf("a forwarded command ends as %+v, want busy", o)
	}
	if _, _, err := s.Get(key); err != nil {
		t.Errorf("a local read waits for nobody, and fails with %v", err)
	}
	release()
	waiting.Wait()
	if _, err := s.Put(t.Context(), key, nil); err != nil {
		t.Errorf("after the others have left: %v", err)
	}
}

func TestTooManyWaitingBytesAreTurnedAway(t *testing.T) {
	s, entered, release := stuckStore(t, StoreOptions{MaxBytes: 1000})
	key, large := []byte("k"), []byte(strings.Repeat("v", 2000))
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := s.Put(t.Context(), key, large); err != nil {
			t.Errorf("a command over the limit, alone: %v", err)
		}
	})
	<-entered
	_, err := s.Put(t.Context(), key, nil)
	wantError(t, err, ErrBusy)
	release()
	waiting.Wait()
	if s.waiting.requests != 0 || s.waiting.bytes != 0 {
		t.Errorf("%d requests of %d bytes wait for ever", s.waiting.requests, s.waiting.bytes)
	}
}

// The two reads that a node has to confirm, each by its own method.
var confirmedReads = map[string]struct {
	get func(s *Store, ctx context.Context, key []byte) (Item, bool, error)
	// by makes confirm the answer of the method that belongs to the read, and of
	// no other.
	by func(n *fakeNode, confirm func(context.Context) (raft.Index, error))
}{
	"linearizable": {
		(*Store).LinearizableGet,
		func(n *fakeNode, confirm func(context.Context) (raft.Index, error)) { n.readIndex = confirm },
	},
	"by lease": {
		(*Store).LeaseGet,
		func(n *fakeNode, confirm func(context.Context) (raft.Index, error)) { n.leaseRead = confirm },
	},
}

// Trap 67.
// Rules: read.wait.
func TestAConfirmedReadIsServedAfterItsReadIndex(t *testing.T) {
	for name, read := range confirmedReads {
		state := openMem(t)
		l := logOf(put("k", "old"), put("k", "new"))
		mustApply(t, state, l[:1])
		n := &fakeNode{}
		read.by(n, func(ctx context.Context) (raft.Index, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > defaultTimeout {
				t.Errorf("%s: the read has no time limit", name)
			}
			mustApply(t, state, l[1:]) // the node catches up to the read index
			return 2, nil
		})
		item, found, err := read.get(NewStore(state, n, nil, StoreOptions{}), t.Context(), []byte("k"))
		if err != nil || !found || string(item.Value) != "new" || item.Applied < 2 {
			t.Errorf("%s: read %+v, %v, %v; want the new value", name, item, found, err)
		}
	}
}

func TestAReadThatIsNotConfirmedReturnsNothing(t *testing.T) {
	for name, read := range confirmedReads {
		for said, want := range map[error]error{
			node.ErrNoQuorum:         ErrNoQuorum,
			node.ErrBusy:             ErrBusy,
			node.ErrStopped:          ErrStopped,
			context.DeadlineExceeded: ErrNoQuorum,
		} {
			state := openMem(t)
			mustApply(t, state, logOf(put("k", "stale")))
			n := &fakeNode{}
			read.by(n, func(context.Context) (raft.Index, error) { return 0, said })
			item, found, err := read.get(NewStore(state, n, nil, StoreOptions{}), t.Context(), []byte("k"))
			wantError(t, err, want)
			if found || item.Value != nil {
				t.Errorf("%s, %v: and yet it returns %+v", name, said, item)
			}
		}
	}
}
