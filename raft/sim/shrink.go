package sim

import (
	"errors"
	"maps"
	"slices"

	"balsa/raft"
)

// Shrink looks for a shorter scenario that violates the same rule, by delta
// debugging (Zeller and Hildebrandt, 2002): it leaves out a part, sees whether the
// rule is still violated, and if so goes on from there. Any subset of the actions
// is a run, so it can try what it likes. It ends when nothing can be left out any
// more, after a number of replays, or when stop, unless it is nil, returns true.
//
// The scenario must violate something; the error says if it does not. What is
// returned says how it ends.
func Shrink(s Scenario, replays int, stop func() bool) (Scenario, error) {
	result, err := Replay(s, nil)
	violation, ok := errors.AsType[*Violation](err)
	if !ok {
		return s, errors.Join(errors.New("sim: there is nothing to shrink: the scenario violates no rule"), err)
	}
	s.Ending = EndingOf(result, err)
	k := &shrinker{best: s, at: violation.At, left: replays, stop: stop}
	k.endEarly()
	for before := -1; before != k.size() && !k.done(); {
		before = k.size()
		k.dropKinds()
		k.dropNodes()
		k.dropActions()
		k.plainCore()
		k.roundTimes()
	}
	return k.best, nil
}

// Simplify looks for a random run that violates the same rule with fewer kinds of
// faults, fewer nodes and fewer ticks. For each that might be left out it tries the
// seed and some that follow it. A run of that sort shrinks better than one in which
// everything happens. It returns the options that it was given if it finds none,
// or stop returns true before it does.
func Simplify(o Options, rule string, stop func() bool) Options {
	violates := func(o Options) (Options, bool) {
		for range simplifySeeds {
			if stop() {
				break
			}
			_, err := Run(o)
			if v, ok := errors.AsType[*Violation](err); ok && v.Rule == rule {
				return o, true
			}
			o.Seed++
		}
		return o, false
	}
	if o.Faults != nil {
		return o
	}
	for _, name := range KindNames() {
		without := o
		without.Kinds = maps.Clone(o.Kinds)
		if without.Kinds == nil {
			without.Kinds = map[string]bool{}
		}
		if on, known := without.Kinds[name]; known && !on {
			continue
		}
		without.Kinds[name] = false
		if found, ok := violates(without); ok {
			o = found
		}
	}
	for _, nodes := range []int{1, 2, 3} {
		fewer := o
		if fewer.Nodes = nodes; o.Nodes == 0 || nodes < o.Nodes {
			if found, ok := violates(fewer); ok {
				o = found
				break
			}
		}
	}
	for _, ticks := range []int{150, 400} {
		shorter := o
		if shorter.Ticks = ticks; o.Ticks == 0 || ticks < o.Ticks {
			if found, ok := violates(shorter); ok {
				return found
			}
		}
	}
	return o
}

// simplifySeeds is how many seeds are tried for each simplification.
const simplifySeeds = 12

// shrinker is a search for a short scenario.
type shrinker struct {
	best Scenario
	// at is when it violates its rule.
	at   Time
	left int
	stop func() bool
}

func (k *shrinker) done() bool { return k.left <= 0 || k.stop != nil && k.stop() }

// size is what is to become small: the number of actions, above all.
func (k *shrinker) size() int { return len(k.best.Actions)*MaxNodes + k.best.Pool }

// try replays a scenario, and takes it for the best if it violates the rule.
func (k *shrinker) try(s Scenario) bool {
	if k.done() {
		return false
	}
	k.left--
	s.Ending = nil
	result, err := Replay(s, nil)
	violation, ok := errors.AsType[*Violation](err)
	if !ok || violation.Rule != k.best.Ending.Rule {
		return false
	}
	s.Ending = EndingOf(result, err)
	k.best, k.at = s, violation.At
	return true
}

// with is the best scenario with other actions.
func (k *shrinker) with(actions []Action) Scenario {
	s := k.best
	s.Actions = actions
	return s
}

// without is the best scenario without some of its actions.
func (k *shrinker) without(drop func(Action) bool) Scenario {
	return k.with(slices.DeleteFunc(slices.Clone(k.best.Actions), drop))
}

// endEarly leaves out what comes after the violation. If that is before the end of
// the faults, this comes earlier.
func (k *shrinker) endEarly() {
	s := k.without(func(a Action) bool { return a.At > k.at })
	s.Ticks = min(s.Ticks, int(k.at/Tick)+1)
	k.try(s)
}

// group is what actions have in common that may all be irrelevant.
type group struct {
	verb  Verb
	point point
	kind  messageKind
}

func groupOf(a Action) group { return group{a.Verb, a.Point, a.Kind} }

// dropKinds leaves out all departures, or all actions of a kind, the most frequent
// ones first.
func (k *shrinker) dropKinds() {
	if k.try(k.without(func(a Action) bool { return a.Verb == Next })) {
		k.endEarly()
	}
	count := map[group]int{}
	var groups []group
	for _, a := range k.best.Actions {
		g := groupOf(a)
		if count[g]++; count[g] == 1 {
			groups = append(groups, g)
		}
	}
	slices.SortStableFunc(groups, func(a, b group) int { return count[b] - count[a] })
	for _, g := range groups {
		k.try(k.without(func(a Action) bool { return groupOf(a) == g }))
	}
	k.endEarly()
}

// dropActions leaves out parts of the actions: halves first, single ones last.
func (k *shrinker) dropActions() {
	for size := (len(k.best.Actions) + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < len(k.best.Actions) && !k.done(); {
			actions := k.best.Actions
			rest := slices.Concat(actions[:from], actions[min(from+size, len(actions)):])
			if !k.try(k.with(rest)) {
				from += size
			}
		}
	}
	k.endEarly()
}

// dropNodes leaves out nodes, with all that happens to them.
func (k *shrinker) dropNodes() {
	for id := raft.NodeID(k.best.Pool); id > 0 && k.best.Pool > 1; id-- {
		k.try(withoutNode(k.best, id))
	}
}

// withoutNode removes a node from a scenario. Those that follow it move up.
func withoutNode(s Scenario, gone raft.NodeID) Scenario {
	if int(gone) <= s.Nodes && s.Nodes > 1 {
		s.Nodes--
	}
	s.Pool--
	moved := func(id raft.NodeID) raft.NodeID {
		if id > gone {
			return id - 1
		}
		return id
	}
	var actions []Action
	for _, a := range s.Actions {
		if a.Node == gone || a.Peer == gone {
			continue
		}
		a.Node, a.Peer = moved(a.Node), moved(a.Peer)
		links := a.Links
		a.Links = nil
		for _, l := range links {
			if l.From != gone && l.To != gone {
				a.Links = append(a.Links, Link{moved(l.From), moved(l.To)})
			}
		}
		if a.Change != nil {
			change := MemberChange{Basis: a.Change.Basis}
			for _, server := range a.Change.Set {
				if server.ID != gone {
					server.ID = moved(server.ID)
					change.Set = append(change.Set, server)
				}
			}
			for _, id := range a.Change.Remove {
				if id != gone {
					change.Remove = append(change.Remove, moved(id))
				}
			}
			a.Change = &change
		}
		actions = append(actions, a)
	}
	s.Actions = actions
	return s
}

// plainCore sets the limits of the cores to their defaults, leaves out clients that
// ask for nothing and keys that nobody uses.
func (k *shrinker) plainCore() {
	for i := range coreLimits(&k.best.Core) {
		s := k.best
		if limit := coreLimits(&s.Core)[i].value; *limit != 0 {
			*limit = 0
			k.try(s)
		}
	}
	s := k.best
	s.Clients, s.Keys = 0, 1
	for _, a := range s.Actions {
		s.Clients, s.Keys = max(s.Clients, a.Client), max(s.Keys, a.Key+1)
	}
	if s.Clients != k.best.Clients || s.Keys != k.best.Keys {
		k.try(s)
	}
}

// roundTimes writes times in whole ticks, all of them or, where few are left, as
// many as possible.
func (k *shrinker) roundTimes() {
	round := func(t Time) Time { return t / Tick * Tick }
	roundAt := func(a *Action) { a.At = round(a.At) }
	roundOther := func(a *Action) {
		a.Length = round(a.Length)
		if a.Verb == Next && points[a.Point].unit == isTime && Time(a.Value) > Tick {
			a.Value = int64(round(Time(a.Value)))
		}
	}
	for _, simplify := range []func(*Action){roundAt, roundOther} {
		all := slices.Clone(k.best.Actions)
		for i := range all {
			simplify(&all[i])
		}
		if slices.EqualFunc(all, k.best.Actions, sameTimes) || k.try(k.with(all)) || len(all) > fewActions {
			continue
		}
		for i := range all {
			one := slices.Clone(k.best.Actions)
			simplify(&one[i])
			if i > 0 && one[i].At < one[i-1].At || sameTimes(one[i], k.best.Actions[i]) {
				continue
			}
			k.try(k.with(one))
		}
	}
}

// fewActions is how many are simplified one by one.
const fewActions = 60

func sameTimes(a, b Action) bool { return a.At == b.At && a.Length == b.Length && a.Value == b.Value }
