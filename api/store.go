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
}

var _ Store = (*kv.Store)(nil)

// Cluster is where the door learns about the cluster: a view over Raft and
// gossip together, neither of which the door knows.
type Cluster interface {
	// Status describes the cluster as this node sees it. Lists may be nil.
	Status(ctx context.Context) (wire.ClusterStatus, error)
	// Ready returns nil if requests may be sent to this node: it knows a leader
	// and has applied what was committed when it learned of it. Otherwise the
	// error says, in a sentence for people, what the node waits for.
	Ready(ctx context.Context) error
}
