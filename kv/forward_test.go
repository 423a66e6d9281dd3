package kv

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"balsa/raft"
	"balsa/raft/node"
)

func TestAFollowerForwardsToTheLeader(t *testing.T) {
	leaderState := openMem(t)
	leader := NewStore(leaderState, &fakeNode{answers: []answer{leads(t, leaderState)}}, nil, StoreOptions{})
	n, w := &fakeNode{answers: []answer{notLeader(3)}}, &fakeWire{answers: []wireAnswer{executes(leader)}}
	s := storeWith(t, n, w)

	r, err := s.Put(t.Context(), []byte("k"), []byte("v"))
	if err != nil || r.Revision != 1 {
		t.Errorf("put: %+v, %v", r, err)
	}
	_, err = s.CompareAndSet(t.Context(), []byte("k"), 7, nil)
	if c, ok := errors.AsType[*ConflictError](err); !ok || c.Expected != 7 || c.Actual != 1 || string(c.Key) != "k" {
		t.Errorf("error is %v, want a conflict", err)
	}
	r, err = s.Delete(t.Context(), []byte("k"))
	if err != nil || r.Revision != 3 || !r.Existed {
		t.Errorf("delete: %+v, %v", r, err)
	}
	if !reflect.DeepEqual(w.sentTo, []raft.NodeID{3, 3, 3}) {
		t.Errorf("forwarded to %v", w.sentTo)
	}
}

// What happens between the two nodes, and what the client may be told.
func TestForwardingErrors(t *testing.T) {
	garbled := func(context.Context, []byte) ([]byte, bool, error) { return []byte("?"), true, nil }
	for name, c := range map[string]struct {
		local []answer
		wire  []wireAnswer
		want  error // nil for success
		tries int   // messages to other nodes
	}{
		"leader busy":               {wire: []wireAnswer{replies(outcome{code: outcomeBusy})}, want: ErrBusy, tries: 1},
		"leader does not know":      {wire: []wireAnswer{replies(outcome{code: outcomeUnknown})}, want: ErrOutcomeUnknown, tries: 1},
		"leader is of old version":  {wire: []wireAnswer{replies(outcome{code: outcomeNotUnderstood})}, want: ErrNotUnderstood, tries: 1},
		"reply lost":                {wire: []wireAnswer{breaks(true)}, want: ErrOutcomeUnknown, tries: 1},
		"reply garbled":             {wire: []wireAnswer{garbled}, want: ErrOutcomeUnknown, tries: 1},
		"never sent, then sent":     {wire: []wireAnswer{breaks(false), replies(applied(4))}, tries: 2},
		"dropped, then applied":     {wire: []wireAnswer{replies(outcome{code: outcomeDropped}), replies(applied(4))}, tries: 2},
		"leader stops, then a new":  {wire: []wireAnswer{replies(outcome{code: outcomeStopped}), replies(applied(4))}, tries: 2},
		"deposed, then applied":     {wire: []wireAnswer{replies(outcome{code: outcomeNotLeader}), replies(applied(4))}, tries: 2},
		"dropped, then reply lost":  {wire: []wireAnswer{replies(outcome{code: outcomeDropped}), breaks(true)}, want: ErrOutcomeUnknown, tries: 2},
		"not sent, then leads here": {local: []answer{notLeader(2), becomes(applied(4))}, wire: []wireAnswer{breaks(false)}, tries: 1},
		"nobody ever reachable":     {wire: []wireAnswer{breaks(false)}, want: ErrNoLeader, tries: -1},
		"nobody ever leads":         {wire: []wireAnswer{replies(outcome{code: outcomeNotLeader})}, want: ErrNoLeader, tries: -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, w := &fakeNode{answers: []answer{notLeader(2)}}, &fakeWire{answers: c.wire}
				if c.local != nil {
					n.answers = c.local
				}
				r, err := storeWith(t, n, w).Put(t.Context(), []byte("k"), nil)
				if !errors.Is(err, c.want) || (c.want == nil && r.Revision != 4) {
					t.Errorf("%+v, %v; want %v", r, err, c.want)
				}
				if c.tries >= 0 && len(w.sentTo) != c.tries {
					t.Errorf("%d messages, want %d", len(w.sentTo), c.tries)
				}
			})
		})
	}
}

func TestTheHintOfADeposedLeaderIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{answers: []answer{notLeader(2)}} // has not heard of the new leader yet
		w := &fakeWire{answers: []wireAnswer{replies(outcome{code: outcomeNotLeader, leader: 3}), replies(applied(4))}}
		_, err := storeWith(t, n, w).Put(t.Context(), []byte("k"), nil)
		if err != nil || !reflect.DeepEqual(w.sentTo, []raft.NodeID{2, 3}) {
			t.Errorf("sent to %v, error %v; want 2, then 3", w.sentTo, err)
		}
	})
}

func TestAHintThatNamesThisNodeLeadsHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{answers: []answer{notLeader(2), becomes(applied(4))}}
		w := &fakeWire{answers: []wireAnswer{replies(outcome{code: outcomeNotLeader, leader: 1})}}
		_, err := storeWith(t, n, w).Put(t.Context(), []byte("k"), nil)
		if err != nil || n.proposals != 2 || len(w.sentTo) != 1 {
			t.Errorf("%d proposals and %d messages, error %v; want 2 and 1", n.proposals, len(w.sentTo), err)
		}
	})
}

func TestExecuteNeverForwards(t *testing.T) {
	// The wire is nil: forwarding would panic.
	for name, c := range map[string]struct {
		local answer
		want  outcome
	}{
		"applied":       {becomes(deleted(3)), deleted(3)},
		"conflict":      {becomes(conflict(3)), conflict(3)},
		"not leader":    {notLeader(2), outcome{code: outcomeNotLeader, leader: 2}},
		"no leader":     {notLeader(raft.None), outcome{code: outcomeNotLeader}},
		"busy":          {fails(node.ErrBusy), outcome{code: outcomeBusy}},
		"dropped":       {fails(node.ErrDropped), outcome{code: outcomeDropped}},
		"unknown":       {fails(node.ErrOutcomeUnknown), outcome{code: outcomeUnknown}},
		"stopped":       {fails(node.ErrStopped), outcome{code: outcomeStopped}},
		"anything else": {fails(errors.New("?")), outcome{code: outcomeUnknown}},
	} {
		n := &fakeNode{answers: []answer{c.local}}
		got, err := decodeOutcome(storeWith(t, n, nil).Execute(t.Context(), put("k", "v").encode()))
		if err != nil || got != c.want || n.proposals != 1 {
			t.Errorf("%s: %+v, %v after %d proposals; want %+v after 1", name, got, err, n.proposals, c.want)
		}
	}
}

func TestExecuteDoesNotReplicateWhatItDoesNotUnderstand(t *testing.T) {
	n := &fakeNode{answers: []answer{becomes(applied(1))}}
	s := storeWith(t, n, nil)
	for _, command := range [][]byte{nil, {77, 1, 0, 'a'}, {1, 0, 0}} {
		got, err := decodeOutcome(s.Execute(t.Context(), command))
		if err != nil || got.code != outcomeNotUnderstood {
			t.Errorf("%x: %+v, %v", command, got, err)
		}
	}
	if n.proposals != 0 {
		t.Errorf("%d proposals", n.proposals)
	}
}
