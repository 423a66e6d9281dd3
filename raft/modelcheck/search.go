package modelcheck

import (
	"fmt"
	"slices"
)

// Result is what an exploration has come to.
type Result struct {
	// States is how many different worlds were reached, Transitions how many actions
	// were tried that changed something, Depth how many actions the longest shortest
	// way to a world has.
	States, Transitions, Depth int
	// Exhausted says that there is nothing more to explore in this scope.
	Exhausted bool
	// Servers, Messages and Histories are how many different ones occurred, Steps how
	// often a core was run.
	Servers, Messages, Histories, Steps int
	// Counterexample is a shortest way to break a promise, or nil.
	Counterexample *Counterexample
}

// Counterexample is a way from the beginning to a world in which something is wrong.
type Counterexample struct {
	Actions   []Action
	Violation Violation
}

// Explore visits every world that can be reached, those that are the fewest actions
// away first. It ends when all are visited, something is wrong, or goOn, which is
// called every few thousand worlds, returns false.
func (c *Checker) Explore(goOn func(Result) bool) (Result, error) {
	s, err := newSearch(c)
	if err != nil {
		return Result{}, err
	}
	return s.run(goOn), nil
}

// search is an exploration under way.
type search struct {
	c       *Checker
	visited *fingerprints
	// parents and taken say for each world, in the order of the first visits, from
	// which one it was reached and by which of the choices there.
	parents, taken []uint32
	// level holds the worlds that are as far away as the one under way, packed, and
	// next those that are one action further.
	level, next []uint32
	result      Result
	step        step
	w           world
	list        []choice
	// seen, if set, is told of each world that is visited.
	seen func(*world)
}

func newSearch(c *Checker) (*search, error) {
	s := &search{c: c, visited: newFingerprints(), step: step{c: c}}
	refs, err := c.founders()
	if err != nil {
		return nil, err
	}
	copy(s.w.servers[:], refs)
	s.w.history = c.addHistory(&history{})
	s.visited.add(c.fingerprint(&s.w))
	s.parents, s.taken = append(s.parents, 0), append(s.taken, 0)
	s.next = s.w.pack(s.next, c.scope.servers())
	return s, nil
}

// reportEvery is how many worlds are visited between two reports.
const reportEvery = 1 << 14

func (s *search) run(goOn func(Result) bool) Result {
	for number := 0; len(s.next) > 0; s.result.Depth++ {
		s.level, s.next = s.next, s.level[:0]
		for rest := s.level; len(rest) > 0; number++ {
			rest = s.w.unpack(rest, s.c.scope.servers())
			if !s.visit(number) {
				return s.sum()
			}
			if number%reportEvery == 0 && goOn != nil && !goOn(s.sum()) {
				return s.sum()
			}
		}
	}
	s.result.Depth--
	s.result.Exhausted = true
	return s.sum()
}

// visit looks at everything that can happen in a world. It returns false if something
// is wrong.
func (s *search) visit(number int) bool {
	if s.seen != nil {
		s.seen(&s.w)
	}
	s.list = s.c.choices(&s.w, s.list)
	for k, o := range s.list {
		if !s.step.take(&s.w, o) {
			continue
		}
		s.result.Transitions++
		if s.step.wrong != nil {
			s.result.Counterexample = &Counterexample{Actions: s.way(number, k), Violation: *s.step.wrong}
			return false
		}
		if s.visited.add(s.c.fingerprint(&s.step.next)) {
			s.parents, s.taken = append(s.parents, uint32(number)), append(s.taken, uint32(k))
			s.next = s.step.next.pack(s.next, s.c.scope.servers())
		}
	}
	return true
}

func (s *search) sum() Result {
	s.result.States = len(s.parents)
	s.result.Servers, s.result.Messages = len(s.c.servers.things), len(s.c.messages.things)
	s.result.Histories, s.result.Steps = len(s.c.histories.things), len(s.c.steps)
	return s.result
}

// way returns the actions that lead to a world, and the last one.
func (s *search) way(number, last int) []Action {
	choices := []uint32{uint32(last)}
	for ; number > 0; number = int(s.parents[number]) {
		choices = append(choices, s.taken[number])
	}
	slices.Reverse(choices)
	again, err := newSearch(s.c)
	if err != nil {
		panic("modelcheck: a scope that was explored does not begin: " + err.Error())
	}
	var actions []Action
	for _, k := range choices {
		o := s.c.choices(&again.w, nil)[k]
		actions = append(actions, s.c.action(o))
		again.step.take(&again.w, o)
		again.w, again.step.next = again.step.next, again.w
	}
	return actions
}

// fingerprints is a set of hashes: an open table, twice as large as what is in it.
type fingerprints struct {
	slots []uint64
	count int
}

func newFingerprints() *fingerprints { return &fingerprints{slots: make([]uint64, 1<<12)} }

// add puts a hash into the set and returns whether it was not there.
func (f *fingerprints) add(hash uint64) bool {
	if hash == 0 {
		hash = 1 // zero marks a free slot
	}
	if 3*f.count > 2*len(f.slots) {
		old := f.slots
		f.slots, f.count = make([]uint64, 2*len(old)), 0
		for _, h := range old {
			if h != 0 {
				f.add(h)
			}
		}
	}
	mask := uint64(len(f.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		switch f.slots[i] {
		case hash:
			return false
		case 0:
			f.slots[i] = hash
			f.count++
			return true
		}
	}
}

func (x *Counterexample) String() string {
	if x == nil {
		return "no counterexample"
	}
	s := ""
	for i, a := range x.Actions {
		s += fmt.Sprintf("%3d  %s\n", i+1, a)
	}
	return s + "     " + x.Violation.String()
}

func (r Result) String() string {
	s := fmt.Sprintf("%d worlds, %d transitions, depth %d (%d servers, %d messages, %d steps of a core)",
		r.States, r.Transitions, r.Depth, r.Servers, r.Messages, r.Steps)
	if !r.Exhausted && r.Counterexample == nil {
		s += ", not all"
	}
	return s
}
