package history

import (
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// register is the state of one key: the sequential specification that a
// linearizable store must look like. Keys do not influence each other, so each
// is judged alone.
//
// Every write, deletions included, has a revision, and the revisions of a key
// grow strictly. A write of unknown outcome has one that nobody was told. The
// register then knows only that it is higher than the one before, until
// somebody notices it; from then on it is known.
//
// Some fields belong to the search rather than to the store. They leave out
// orders that need not be tried, because another one does as well: see
// [operation].
type register struct {
	present bool
	value   Text
	// revision is that of the last write if exact is set, or the lowest that it
	// can have. After a deletion, exact is never set, as nobody can ask.
	revision uint64
	exact    bool

	// told is the revision of the last write whose client was told it.
	told uint64
	// unnoticed says what the last write did, if it was of unknown outcome and
	// nobody has noticed yet.
	unnoticed effect
	// left is how many are still to notice the revision, if it is exact.
	left int
	// done counts the operations of each queue that are behind us.
	done [queues]int
	// ended says that the end mark is behind us.
	ended bool
}

type effect uint8

const (
	none     effect = iota
	replaced        // there is another value under another revision
	turned          // there is something where nothing was, or the reverse
)

// step applies one operation. It reports false if the operation cannot have
// ended as it did with the register in this state.
func (r register) step(op operation, out Output) (register, bool) {
	switch {
	case r.ended:
		return r, true
	case op.endMark:
		return register{ended: true}, r.unnoticed == none
	case op.queue != noQueue && r.done[op.queue] != op.turn:
		return r, false
	case op.queue != noQueue:
		r.done[op.queue]++
	}
	switch {
	case out.Outcome == Unknown:
		return r.takeEffect(op)
	case out.Outcome == Conflict && out.Revision == op.Expected:
		return r, false
	case out.Outcome == Conflict:
		return r.look(op, out.Revision)
	case op.Kind != Get:
		return r.write(op, out)
	case out.Found != r.present || out.Value != r.value:
		return r, false
	}
	return r.look(op, out.Revision)
}

// notice returns the register as it is known after somebody has seen its
// revision, where 0 stands for no such key. It reports false if nobody can have
// seen that.
func (r register) notice(op operation, revision uint64) (register, bool) {
	switch {
	case revision == 0 || !r.present:
		r.unnoticed = none
		return r, revision == 0 && !r.present
	case r.exact:
		return r, revision == r.revision
	}
	possible := op.untold && revision >= r.revision
	r.revision, r.exact, r.unnoticed, r.left = revision, true, none, op.lookersBefore
	return r, possible
}

// look applies an operation that changed nothing and saw this revision.
func (r register) look(op operation, revision uint64) (register, bool) {
	r, possible := r.notice(op, revision)
	if revision == 0 {
		return r, possible
	}
	possible = possible && r.left == op.turn
	r.left--
	return r, possible
}

// write applies a write that took effect and said so.
func (r register) write(op operation, out Output) (register, bool) {
	possible := true
	switch op.Kind {
	case Put:
		possible = r.unnoticed == none
	case Delete:
		possible = r.unnoticed != replaced
	default:
		r, possible = r.notice(op, op.Expected)
	}
	if r.left > 0 || r.told != op.previous || out.Revision <= r.revision {
		return r, false
	}
	next := register{revision: out.Revision, told: out.Revision, done: r.done}
	if op.Kind.deletes() {
		return next, possible && out.Found == r.present
	}
	next.present, next.value, next.exact, next.left = true, op.Value, true, op.lookersAfter
	return next, possible
}

// takeEffect applies a write of unknown outcome as one that took effect. It
// reports false if it would have had none.
func (r register) takeEffect(op operation) (register, bool) {
	possible := r.unnoticed == none
	if op.Kind.compares() {
		r, possible = r.notice(op, op.Expected)
	}
	possible = possible && r.left == 0
	next := register{revision: r.revision + 1, told: r.told, unnoticed: turned, done: r.done}
	if op.Kind.deletes() {
		return next, possible && r.present
	}
	next.present, next.value = true, op.Value
	if r.present {
		next.unnoticed = replaced
	}
	return next, possible
}

var hashSeed = maphash.MakeSeed()

// model is the register in the form that Porcupine wants it.
var model = porcupine.Model{
	Partition: runsOfKeys,
	Init:      func() any { return register{} },
	Step: func(state, input, output any) (bool, any) {
		next, ok := state.(register).step(input.(operation), output.(Output))
		if !ok {
			return false, nil // the common case, which then allocates nothing
		}
		return true, next
	},
	Equal: func(a, b any) bool { return a.(register) == b.(register) },
	Hash:  func(state any) uint64 { return maphash.Comparable(hashSeed, state.(register)) },
	DescribeOperation: func(input, output any) string {
		return describe(input.(operation), output.(Output))
	},
	DescribeState: func(state any) string { return state.(register).String() },
}

// runsOfKeys splits operations, which are sorted by key, into those of each key.
func runsOfKeys(operations []porcupine.Operation) [][]porcupine.Operation {
	var runs [][]porcupine.Operation
	start := 0
	for i := range operations {
		last := i == len(operations)-1
		if last || operations[i].Input.(operation).Key != operations[i+1].Input.(operation).Key {
			runs = append(runs, operations[start:i+1])
			start = i + 1
		}
	}
	return runs
}

func (r register) String() string {
	switch {
	case r.ended:
		return "end"
	case !r.present:
		return "absent"
	case r.exact:
		return fmt.Sprintf("%q at %d", r.value, r.revision)
	}
	return fmt.Sprintf("%q at %d or above", r.value, r.revision)
}

func describe(op operation, out Output) string {
	if op.endMark {
		return "end"
	}
	call := fmt.Sprintf("%s(%q", op.Kind, op.Key)
	if op.Kind.compares() {
		call += fmt.Sprintf(", %d", op.Expected)
	}
	if op.Kind.sets() {
		call += fmt.Sprintf(", %q", op.Value)
	}
	return call + ") -> " + describeOutput(op.Kind, out)
}

func describeOutput(kind Kind, out Output) string {
	switch {
	case out.Outcome == Conflict:
		return fmt.Sprintf("conflict with %d", out.Revision)
	case out.Outcome != OK:
		return string(out.Outcome)
	case kind.reads() && out.Found:
		return fmt.Sprintf("%q at %d", out.Value, out.Revision)
	case kind.reads():
		return "absent"
	case kind.deletes() && !out.Found:
		return fmt.Sprintf("nothing there, at %d", out.Revision)
	}
	return fmt.Sprintf("done at %d", out.Revision)
}
