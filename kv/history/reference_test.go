package history

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// plain is the register without anything that serves the search: the
// specification as one would write it down first. The revision after a write of
// unknown outcome is a lower bound.
type plain struct {
	present  bool
	value    Text
	revision uint64
	exact    bool
}

func (p plain) saw(revision uint64) (plain, bool) {
	if revision == 0 || !p.present {
		return p, revision == 0 && !p.present
	}
	if p.exact {
		return p, revision == p.revision
	}
	possible := revision >= p.revision
	p.revision, p.exact = revision, true
	return p, possible
}

// apply applies an operation whose outcome is known.
func (p plain) apply(in Input, out Output) (plain, bool) {
	if out.Outcome == Conflict {
		after, possible := p.saw(out.Revision)
		return after, possible && out.Revision != in.Expected
	}
	if in.Kind == Get {
		after, possible := p.saw(out.Revision)
		return after, possible && out.Found == p.present && out.Value == p.value
	}
	if in.Kind.compares() {
		var possible bool
		if p, possible = p.saw(in.Expected); !possible {
			return p, false
		}
	}
	if out.Revision <= p.revision || (in.Kind.deletes() && out.Found != p.present) {
		return p, false
	}
	if in.Kind.deletes() {
		return plain{revision: out.Revision}, true
	}
	return plain{present: true, value: in.Value, revision: out.Revision, exact: true}, true
}

// force applies a write of unknown outcome that took effect.
func (p plain) force(in Input) (plain, bool) {
	if in.Kind.compares() {
		var possible bool
		if p, possible = p.saw(in.Expected); !possible {
			return p, false
		}
	}
	if in.Kind.deletes() {
		return plain{revision: p.revision + 1}, true
	}
	return plain{present: true, value: in.Value, revision: p.revision + 1}, true
}

// explains reports whether some order of the operations explains all answers.
// It tries every order that respects who returned before whom was called, and
// for each write of unknown outcome both possibilities.
func explains(state plain, todo []Operation) bool {
	if len(todo) == 0 {
		return true
	}
	for i, op := range todo {
		first := true
		for _, other := range todo {
			if other.Output.Outcome != Unknown && other.Return < op.Call {
				first = false
			}
		}
		if !first {
			continue
		}
		rest := append(append([]Operation{}, todo[:i]...), todo[i+1:]...)
		if op.Output.Outcome == Unknown {
			if explains(state, rest) {
				return true
			}
			if next, ok := state.force(op.Input); ok && explains(next, rest) {
				return true
			}
		} else if next, ok := state.apply(op.Input, op.Output); ok && explains(next, rest) {
			return true
		}
	}
	return false
}

// The model leaves out many orders and claims that it loses nothing. Here it
// faces the plain specification and a search that tries everything, on thousands
// of short histories, good ones and such that somebody has tampered with.
func TestTheModelAgreesWithThePlainSpecification(t *testing.T) {
	counts := map[Result]int{}
	for seed := range uint64(6000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		operations := tamper(rng, short(rng))
		want := NotLinearizable
		if explains(plain{}, perKey(operations)["k"]) {
			want = Linearizable
		}
		counts[want]++
		if v := Check(History{Operations: operations}, time.Minute); v.Result != want {
			for _, o := range operations {
				t.Logf("%d to %d: %s", o.Call, o.Return, describe(operation{Input: o.Input}, o.Output))
			}
			t.Fatalf("seed %d: %s, want %s", seed, v.Result, want)
		}
	}
	if counts[Linearizable] < 1000 || counts[NotLinearizable] < 600 {
		t.Errorf("the histories are too much of a kind: %v", counts)
	}
}

// short makes the history of one key that a few clients share, with many
// unknown outcomes and few different values, so that one thing can be taken for
// another.
func short(rng *rand.Rand) []Operation {
	var store register
	var operations []Operation
	var seen uint64
	revision := uint64(0)
	for i := range 3 + rng.IntN(6) {
		kinds := []Kind{Get, Get, Put, Put, Delete, CompareAndSet, CompareAndDelete}
		in := Input{Kind: kinds[rng.IntN(len(kinds))], Key: "k"}
		if in.Kind.sets() {
			in.Value = Text(fmt.Sprint(rng.IntN(4)))
		}
		if in.Kind.compares() {
			in.Expected = []uint64{0, seen, store.revision}[rng.IntN(3)]
		}
		out := unknown
		lost := in.Kind != Get && rng.IntN(3) == 0
		if !lost || rng.IntN(3) > 0 {
			revision += 1 + rng.Uint64N(2)
			store, out = execute(store, in, revision)
			seen = max(seen, store.revision)
		}
		if lost {
			out = unknown
		}
		moment := int64(i+1) * 10
		operations = append(operations, op(i, max(0, moment-rng.Int64N(30)), moment+rng.Int64N(30), in, out))
	}
	return operations
}

// tamper changes something about some of the operations, or nothing.
func tamper(rng *rand.Rand, operations []Operation) []Operation {
	for range rng.IntN(4) {
		o := &operations[rng.IntN(len(operations))]
		other := operations[rng.IntN(len(operations))]
		switch rng.IntN(6) {
		case 0:
			if o.Input.Kind == other.Input.Kind {
				o.Output = other.Output
			}
		case 1:
			if o.Output.Outcome != Unknown {
				o.Output.Revision = other.Output.Revision
			}
		case 2:
			o.Input.Expected = map[bool]uint64{true: other.Output.Revision}[o.Input.Kind.compares()]
		case 3:
			if o.Input.Kind != Get {
				o.Output = unknown
			}
		case 4:
			o.Call, o.Return = other.Call, max(o.Return, other.Call)
		case 5:
			if o.Input.Kind.deletes() && o.Output.Outcome == OK {
				o.Output.Found = !o.Output.Found
			}
		}
	}
	return operations
}
