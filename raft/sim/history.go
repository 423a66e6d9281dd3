package sim

import "math"

// Operation is one operation of a client, as the client saw it. The history of
// a run is plain data: whether it is linearizable is for another package to
// judge.
type Operation struct {
	// Client is who asked. A client asks for one thing at a time, except that it
	// gives up after a while and then does not know the outcome of a write.
	// Client 0 is the simulation itself, which asks many things at a time when it
	// checks that the cluster has recovered.
	Client int
	Kind   OperationKind
	// Node is the node that was asked.
	Node int
	Key  string
	// Value is what a write wrote, or what a read found: empty if the key had
	// no value. No two writes write the same value, and none writes an empty
	// one.
	Value string
	// Call is when the client asked, Return when it had its answer: Never if it
	// has none.
	Call, Return Time
	Outcome      Outcome
}

// OperationKind says what a client asked for.
type OperationKind uint8

// The operations of clients.
const (
	Put OperationKind = iota
	Get
)

func (k OperationKind) String() string { return [...]string{"put", "get"}[k] }

// Outcome is what a client knows of its operation.
type Outcome uint8

const (
	// Unknown means that a write may have taken effect, or may take effect at
	// any later time, or never.
	Unknown Outcome = iota
	// Done means that the operation took effect between Call and Return.
	Done
	// Failed means that the operation had no effect and never will.
	Failed
)

func (o Outcome) String() string { return [...]string{"unknown", "done", "failed"}[o] }

// Never is the Return of an operation that had no answer.
const Never Time = math.MaxInt64
