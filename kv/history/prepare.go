package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"
)

// operation is what Porcupine is given as the input of an operation: what the
// client asked, and what the rest of the history says about it.
//
// Porcupine tries orders until one fits. A history that is linearizable has
// many that fit, and the first is found soon. A history that is not must be
// proved to have none, and the number of orders is astronomical, mostly because
// operations of unknown outcome could be anywhere. What follows here rules out
// orders of which it is known beforehand that they do not fit, or that they fit
// only if another one does too, which is then tried in their place.
//
// Writes that were told their revision stand in the order of their revisions.
//
// Lookers, that is reads and conflicts, change nothing. All that saw one
// revision stand together behind the write that made it, in the order of their
// calls. That order contradicts none of the answers, and who returned before
// another one was called, was called before it. Those that saw no key at all
// may have stood in many places, but also in the order of their calls: one that
// was called earlier can always be moved in front of one that was called later
// and came first.
//
// A write of unknown outcome may have taken effect at any time, or never. The
// specification must answer with one next state, so "never" is said by order:
// an end mark follows the last operation that returned, and what comes behind
// it has no effect. In front of the end mark such a write must take effect, and
// the next operation must notice. One that is overwritten before anybody
// notices might as well come behind the end mark: what followed it would have
// gone the same way. And of several such writes that nobody can tell from each
// other, the one that was called first takes effect first.
type operation struct {
	Input
	endMark bool
	// previous is, of a write that was told its revision, the next lower one of
	// those that were told.
	previous uint64
	// untold says, of an operation that saw a revision, that no write was told
	// to have it.
	untold bool
	// lookersBefore is how many lookers saw the revision that this operation saw
	// or expected, and lookersAfter how many saw the one that it made.
	lookersBefore, lookersAfter int
	// queue is where the operation waits for others that are like it, and turn
	// its place there. A looker that saw a revision is in no queue; its turn is
	// how many of its lookers are left, itself included.
	queue queue
	turn  int
}

// queue is a set of operations that need only be tried in the order of their
// calls.
type queue uint8

const (
	noQueue       queue = iota
	absences            // lookers that saw no such key
	unknownSets         // puts of unknown outcome whose value nobody read
	unknownDelete       // deletions of unknown outcome
	queues
)

// perKey sorts out the operations that say something, by key.
func perKey(operations []Operation) map[Text][]Operation {
	keys := map[Text][]Operation{}
	for _, op := range operations {
		silent := op.Output.Outcome == Failed || (op.Output.Outcome == Unknown && op.Input.Kind == Get)
		if !silent && op.Input.Kind != StaleGet {
			keys[op.Input.Key] = append(keys[op.Input.Key], op)
		}
	}
	return keys
}

// prepare translates the operations on one key for Porcupine, in the order of
// their calls, and adds the end mark.
func prepare(operations []Operation) []porcupine.Operation {
	operations = learn(operations)
	slices.SortStableFunc(operations, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
	facts := gather(operations)
	rows, end := 0, int64(0)
	for _, op := range operations {
		rows = max(rows, op.Client+1)
		end = max(end, op.Call, op.Return)
	}
	prepared := make([]porcupine.Operation, 0, len(operations)+1)
	for _, op := range operations {
		p := porcupine.Operation{
			ClientId: op.Client, Input: facts.about(op), Output: op.Output, Call: op.Call, Return: op.Return,
			Metadata: fmt.Sprintf("client %d, node %d", op.Client, op.Node),
		}
		if op.Output.Outcome == Unknown {
			// It never returns. In the picture it gets a row of its own, below
			// those of the clients.
			p.Return, p.ClientId = math.MaxInt64, rows
			rows++
		}
		prepared = append(prepared, p)
	}
	mark := operation{Input: Input{Key: operations[0].Input.Key}, endMark: true}
	return append(prepared, porcupine.Operation{
		ClientId: rows, Input: mark, Output: Output{}, Call: end + 1, Return: end + 1,
	})
}

// facts is what a history says about one key as a whole.
type facts struct {
	told    []uint64       // the revisions that writes were told, ascending
	lookers map[uint64]int // how many lookers saw a revision
	looked  map[uint64]int // how many of them have been translated
	values  map[Text]bool  // what was read
	queued  [queues]int    // how many have been put into each queue
}

func gather(operations []Operation) *facts {
	f := &facts{lookers: map[uint64]int{}, looked: map[uint64]int{}, values: map[Text]bool{}}
	for _, op := range operations {
		switch {
		case looks(op):
			f.lookers[op.Output.Revision]++
			f.values[op.Output.Value] = true
		case op.Output.Outcome == OK:
			f.told = append(f.told, op.Output.Revision)
		}
	}
	slices.Sort(f.told)
	return f
}

// looks reports whether op saw the state of the key and did not change it.
func looks(op Operation) bool { return op.Input.Kind == Get || op.Output.Outcome == Conflict }

// about translates what a client asked. It must be called in the order of the
// calls, once for each operation.
func (f *facts) about(op Operation) operation {
	in := operation{Input: op.Input}
	revision := op.Output.Revision
	saw := op.Input.Expected
	switch {
	case looks(op):
		saw = revision
		in.turn = f.lookers[saw] - f.looked[saw]
		f.looked[saw]++
		if saw == 0 {
			f.enqueue(&in, absences)
		}
	case op.Output.Outcome == OK:
		in.lookersAfter = f.lookers[revision]
		if i, _ := slices.BinarySearch(f.told, revision); i > 0 {
			in.previous = f.told[i-1]
		}
	case op.Input.Kind == Delete:
		f.enqueue(&in, unknownDelete)
	case op.Input.Kind == Put && !f.values[op.Input.Value]:
		f.enqueue(&in, unknownSets)
	}
	_, told := slices.BinarySearch(f.told, saw)
	in.untold = !told
	in.lookersBefore = f.lookers[saw]
	return in
}

func (f *facts) enqueue(in *operation, q queue) {
	in.queue, in.turn = q, f.queued[q]
	f.queued[q]++
}

// learn finds out what became of writes whose client was never told, where the
// rest of the history proves it. If a value was written by a single operation
// and somebody has read it, then that operation took effect, with the revision
// that was read, and before the read returned. The operations are not changed;
// a changed copy is returned.
func learn(operations []Operation) []Operation {
	writers := map[Text]int{} // how many operations write a value
	readers := map[Text]Operation{}
	for _, op := range operations {
		if op.Input.Kind.sets() {
			writers[op.Input.Value]++
		}
		if op.Input.Kind != Get || !op.Output.Found {
			continue
		}
		if first, ok := readers[op.Output.Value]; !ok || op.Return < first.Return {
			readers[op.Output.Value] = op
		}
	}
	learned := slices.Clone(operations)
	for i := range learned {
		op := &learned[i]
		if op.Output.Outcome != Unknown || !op.Input.Kind.sets() || writers[op.Input.Value] != 1 {
			continue
		}
		// A read that ended before the write began has read something else, and
		// the search will find that out.
		if read, ok := readers[op.Input.Value]; ok && read.Return >= op.Call {
			op.Output = Output{Outcome: OK, Revision: read.Output.Revision}
			op.Return = read.Return
		}
	}
	return learned
}
