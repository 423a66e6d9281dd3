package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"balsa/raft"
)

// proposal is a command and the one who waits for its result.
type proposal struct {
	ctx     context.Context
	command []byte
	done    chan outcome // receives exactly one outcome, or none if the node stops
}

type outcome struct {
	result any
	err    error
}

func (p *proposal) finish(o outcome) { p.done <- o }

// proposalPool keeps proposals, with their channels, for reuse.
type proposalPool struct{ pool sync.Pool }

func (pp *proposalPool) get(ctx context.Context, command []byte) *proposal {
	p, ok := pp.pool.Get().(*proposal)
	if !ok {
		p = &proposal{done: make(chan outcome, 1)}
	}
	p.ctx, p.command = ctx, command
	return p
}

// put takes a proposal back. Only one who has received its outcome may give it:
// nobody else holds it then.
func (pp *proposalPool) put(p *proposal) {
	p.ctx, p.command = nil, nil
	pp.pool.Put(p)
}

// waiter waits for one entry: for that index and that term. If an entry of
// another term is committed at the index, the proposal is lost for good, even
// though the index was reached (indexes re-appear after a change of leader).
type waiter struct {
	id       raft.EntryID
	proposal *proposal
}

// waiters are those who wait, in the order in which their entries are expected
// to be applied.
type waiters struct {
	max int
	// current wait for entries of this node's present term as leader, in
	// ascending order of index.
	current []waiter
	// earlier wait for entries of terms in which this node led before. It has
	// been deposed since, but the entries may still be committed by others.
	earlier []waiter
}

// room returns how many more may wait. If there is little left, those whose
// caller has given up (and has been told that the outcome is unknown) make
// room.
func (w *waiters) room(wanted int) int {
	if room := w.max - len(w.current) - len(w.earlier); room >= wanted {
		return room
	}
	abandoned := func(waiting waiter) bool { return waiting.proposal.ctx.Err() != nil }
	w.current = slices.DeleteFunc(w.current, abandoned)
	w.earlier = slices.DeleteFunc(w.earlier, abandoned)
	return w.max - len(w.current) - len(w.earlier)
}

// add registers proposals whose entries were appended from first on.
func (w *waiters) add(first raft.EntryID, proposals []*proposal) {
	if n := len(w.current); n > 0 && w.current[n-1].id.Term != first.Term {
		w.earlier = append(w.earlier, w.current...)
		w.current = nil
	}
	for i, p := range proposals {
		id := raft.EntryID{Term: first.Term, Index: first.Index + raft.Index(i)}
		w.current = append(w.current, waiter{id, p})
	}
}

// take removes those who wait for an index of the run that is about to be
// applied. It returns those whose entry it is; the others' entries have been
// overwritten by another leader's, and they are told so.
func (w *waiters) take(core *raft.Core, apply raft.Apply) []waiter {
	var taken []waiter
	n := 0
	for ; n < len(w.current) && w.current[n].id.Index <= apply.Last; n++ {
		taken = w.settle(core, w.current[n], taken)
	}
	clear(w.current[:n])
	w.current = w.current[n:]
	if len(w.earlier) > 0 {
		kept := w.earlier[:0]
		for _, waiting := range w.earlier {
			if waiting.id.Index <= apply.Last {
				taken = w.settle(core, waiting, taken)
			} else {
				kept = append(kept, waiting)
			}
		}
		w.earlier = kept
	}
	return taken
}

func (w *waiters) settle(core *raft.Core, waiting waiter, taken []waiter) []waiter {
	term, _ := core.TermAt(waiting.id.Index)
	if term != waiting.id.Term { // rule:client.match §5.3 the index alone does not say whose entry it is
		waiting.proposal.finish(outcome{err: ErrDropped})
		return taken
	}
	return append(taken, waiting)
}

// covered removes those who wait for an index up to i, where a snapshot has taken
// the place of the entries. Their entries may be among those whose effect it
// holds, or have been overwritten by others: the snapshot does not say.
func (w *waiters) covered(i raft.Index) {
	covered := func(waiting waiter) bool {
		if waiting.id.Index > i {
			return false
		}
		waiting.proposal.finish(outcome{err: fmt.Errorf("%w: a snapshot has taken the place of the log", ErrOutcomeUnknown)})
		return true
	}
	w.current = slices.DeleteFunc(w.current, covered)
	w.earlier = slices.DeleteFunc(w.earlier, covered)
}
