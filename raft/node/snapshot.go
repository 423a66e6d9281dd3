package node

import (
	"context"
	"errors"

	"balsa/raft"
)

// SnapshotID tells one snapshot from every other one: it is drawn at random when
// the snapshot is taken.
type SnapshotID [16]byte

// SnapshotOffer announces a snapshot to a follower.
type SnapshotOffer struct {
	ID SnapshotID
	// From offers it to To, as leader of Term.
	From, To raft.NodeID
	Term     raft.Term
	Snapshot raft.Snapshot
	// Size is about how many bytes the chunks have together, to show progress
	// with.
	Size uint64
}

// Chunk is a piece of a snapshot.
type Chunk struct {
	// Offset is how many bytes of data come before it.
	Offset uint64
	// Data is at most [MaxChunk] bytes, in a form that only the state machine
	// understands, and is checksummed by it.
	Data []byte
	// Last says that no chunk follows.
	Last bool
}

// MaxChunk bounds the data of a chunk, in bytes. State machines should keep
// theirs at about [ChunkSize] and exceed it only for what cannot be divided.
const (
	MaxChunk  = 17 << 20
	ChunkSize = 256 << 10
)

// Position is how far a snapshot has been received.
type Position struct {
	// Offset is how many bytes of data have been received.
	Offset uint64
	// After says to the source where to go on. Only the state machine
	// understands it. At most [MaxPosition] bytes.
	After []byte
}

// MaxPosition bounds Position.After, in bytes.
const MaxPosition = 8 << 10

// SnapshotSource is a picture of a state machine. It is used by one goroutine at
// a time.
type SnapshotSource interface {
	// Snapshot says what the picture contains.
	Snapshot() raft.Snapshot
	// Size estimates how many bytes the chunks have together.
	Size() uint64
	// Seek makes Next return the chunk at that position, which a sink of the
	// same snapshot has named; the zero Position is the beginning.
	Seek(Position) error
	// Next returns the next chunk. Its data is valid until the next call.
	Next() (Chunk, error)
	Close() error
}

// SnapshotSink receives a snapshot. It is used by one goroutine at a time.
type SnapshotSink interface {
	// Position says which chunk is wanted next.
	Position() Position
	// Write takes the next chunk. A chunk that is not at the position, or is
	// damaged, is refused with an error and changes nothing; any other error,
	// such as a full disk, too. The data belongs to the caller again afterwards.
	Write(Chunk) error
	// Finish returns when the whole snapshot is on disk, ready to be installed.
	Finish() error
	// Discard deletes what was received.
	Discard() error
}

// ErrSnapshotRefused means that the receiver of a snapshot does not want it (any
// more): it has received what it contains in another way, follows another
// leader, or is busy with another one.
var ErrSnapshotRefused = errors.New("node: the snapshot is not wanted")

// SnapshotReceiver is what a transport hands arriving snapshots to; [Node] is
// one. The calls for one snapshot come one after the other.
type SnapshotReceiver interface {
	// OfferSnapshot returns from where on the snapshot is wanted, or
	// ErrSnapshotRefused. An offer that is accepted replaces an earlier one.
	OfferSnapshot(ctx context.Context, offer SnapshotOffer) (Position, error)
	// SnapshotChunk takes the next chunk of the snapshot that was accepted last;
	// of any other it returns ErrSnapshotRefused. The chunk's data belongs to the
	// caller again when it returns.
	SnapshotChunk(ctx context.Context, id SnapshotID, chunk Chunk) error
	// FinishSnapshot returns when the whole snapshot is on disk and the node knows
	// of it. What becomes of it then shows in the node's log.
	FinishSnapshot(ctx context.Context, id SnapshotID) error
}

// SnapshotProgress says how far snapshots under way have come.
type SnapshotProgress struct {
	// To is, on the leader, the follower that receives it; From is, on a
	// follower, who sends it. The other one is None.
	To, From raft.NodeID
	Snapshot raft.Snapshot
	// Offset is how many bytes the receiver has, of about Size.
	Offset, Size uint64
}
