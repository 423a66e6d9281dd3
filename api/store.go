package api

import (
	"context"

	"balsa/api/wire"
	"balsa/kv"
)

// Store is what the door needs of the replicated store; [*kv.Store] is one. The
// key and value slices that it is given are the door's again once the method
// has returned: the store keeps copies of what it needs.
type Store interface {
	// Put writes a key.
	Put(ctx context.Context, key, value []byte) (kv.Result, error)
	// Delete removes a key. It is no error if there is none; the result tells.
	Delete(ctx context.Context, key []byte) (kv.Result, error)
	// CompareAndSet writes a key if its revision is expected, where 0 means that
	// it must not exist.
	CompareAndSet(ctx context.Context, key []byte, expected uint64, value []byte) (kv.Result, error)
	// CompareAndDelete removes a key if its revision is expected.
	CompareAndDelete(ctx context.Context, key []byte, expected uint64) (kv.Result, error)
	// Get reads the local state, which may lag behind, and reports whether there
	// is such a key.
	Get(key []byte) (kv.Item, bool, error)
	// LinearizableGet reads a state that holds every write that was
	// acknowledged anywhere before the call.
	LinearizableGet(ctx context.Context, key []byte) (kv.Item, bool, error)
	// LeaseGet is like LinearizableGet, but content with the leader's lease: it
	// costs no round of messages to a majority, and its answer is linearizable
	// only as long as the servers' clocks run at about the same speed.
	LeaseGet(ctx context.Context, key []byte) (kv.Item, bool, error)
}

var _ Store = (*kv.Store)(nil)

// Cluster is where the door learns about the cluster, and has it changed: a view
// over Raft and gossip together, neither of which the door knows.
//
// SetMember, RemoveMember and TransferLeadership work on every node, wherever
// the leader is. A node that cannot do what it was asked for says so: it fails
// with a [*wire.Problem] of one of the types named below, whose detail is a
// sentence for people that says why and what to do, or with one of the errors of
// package kv that say the same for a write: [kv.ErrNoLeader], [kv.ErrBusy] and
// [kv.ErrStopped] (nothing was changed and nothing will be), or
// [kv.ErrOutcomeUnknown]. Any of these may be wrapped. The error of a context
// counts as an unknown outcome, too, and any other error as a defect. A problem
// that another node has answered may be returned as it came.
//
// Each of them can fail with
//
//   - wire.ChangePending: another change is under way, leadership is being
//     handed over, or the leader is too new; it may work in a moment
//   - wire.NotAMember: this node belongs to no cluster yet, or not any more
//   - wire.OutcomeUnknown: the time was up, or the leader lost its office, with
//     the change in the log and not committed
type Cluster interface {
	// Status describes the cluster as this node sees it. Lists may be nil. It
	// fails with kv.ErrStopped, and not because there is no cluster or no leader.
	Status(ctx context.Context) (wire.ClusterStatus, error)
	// Ready returns nil if requests may be sent to this node: it knows a leader
	// and has applied what was committed when it learned of it. Otherwise the
	// error says, in a sentence for people, what the node waits for.
	Ready(ctx context.Context) error

	// SetMember adds a server to the cluster, or changes what a member is; see
	// [wire.MemberRequest]. A new server is always added as a learner, with the
	// address and the data directory that gossip knows of it, unless the request
	// names them.
	//
	// It returns when the change is committed. It does not wait until a server
	// has caught up: if one is to vote that has not, it is a learner when
	// SetMember returns, Done is false, and the message says what will happen.
	//
	// It also fails with
	//
	//   - wire.NoSuchMember: gossip does not see the server alive and the request
	//     does not say where it is, or it is to be a member and is none
	//   - wire.ImpossibleChange: it was removed with this data directory, is a
	//     member with another one, the last voter would lose its vote, nothing
	//     would change, and what else can never be done
	//   - wire.ConfigurationChanged: somebody else's change came in between
	//   - wire.NotCaughtUp, wire.NoLiveMajority: not now
	SetMember(ctx context.Context, request wire.MemberRequest) (wire.MemberResult, error)
	// RemoveMember removes a member for good, and returns when that is committed:
	// Done is always true.
	// A member that leads hands over leadership first; this very node, once it is
	// removed, stops taking requests and leaves.
	//
	// It also fails with wire.NoSuchMember, wire.ImpossibleChange (the last voter
	// cannot be removed), wire.ConfigurationChanged, wire.NoLiveMajority, and
	// wire.TransferFailed if it leads and nobody takes over.
	RemoveMember(ctx context.Context, id uint64) (wire.MemberResult, error)
	// TransferLeadership makes the given voter the leader, for 0 the one whose
	// log is longest, and returns who leads when that is done.
	//
	// It also fails with wire.NoSuchMember, wire.ImpossibleChange (a learner
	// cannot lead, the leader leads already, there is nobody else),
	// wire.NotCaughtUp and wire.TransferFailed.
	TransferLeadership(ctx context.Context, to uint64) (leader uint64, err error)
}
