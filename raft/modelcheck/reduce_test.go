package modelcheck

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"balsa/raft"
)

// The reductions are what makes an exploration end, and what could make it worthless:
// these tests compare explorations with and without them.

// explored explores a scope to its end and tells of each world.
func explored(t *testing.T, scope Scope, seen func(*Checker, *world)) Result {
	t.Helper()
	c, err := New(scope)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSearch(c)
	if err != nil {
		t.Fatal(err)
	}
	s.seen = func(w *world) { seen(c, w) }
	r := s.run(nil)
	if !r.Exhausted {
		t.Fatalf("scope %s: %s", scope.Name, r.Counterexample)
	}
	return r
}

// TestReductionsHideNoServer checks that whatever a server can come to, beside whatever
// others, it can also come to when worlds that are equal up to names, and messages
// that cannot change anything, are put aside.
func TestReductionsHideNoServer(t *testing.T) {
	for _, scope := range []Scope{
		{Name: "elections", Voters: 3, Terms: 2, Window: 1},
		{Name: "answers", Voters: 3, Terms: 1, Window: 1, StaleAnswers: true, Refusals: true, StepsDown: true},
		{Name: "log", Voters: 3, Terms: 1, Commands: 1, Window: 1},
		{Name: "heartbeats", Voters: 3, Terms: 1, Heartbeats: 1, Window: 1},
		{Name: "copies", Voters: 3, Terms: 1, Duplicates: 1, Window: 2},
		{Name: "snapshots", Voters: 3, Terms: 1, Compactions: 1, Window: 1},
		{Name: "reads", Voters: 3, Terms: 1, Reads: 1, Window: 1},
		{Name: "disks", Voters: 3, Terms: 1, Writes: 1, Window: 1},
		{Name: "pre-votes", Voters: 3, Terms: 1, PreVotes: true, Window: 1, Effort: Thorough},
		{Name: "members", Voters: 2, Learners: 1, Terms: 1, Changes: []Change{Promote}, MaxChanges: 1, Window: 1},
	} {
		t.Run(scope.Name, func(t *testing.T) {
			if scope.Effort == Thorough && *effort == "quick" || testing.Short() && scope.Name != "disks" {
				t.Skip("takes longer: see the flag -effort")
			}
			t.Parallel()
			tuples := func(scope Scope) (map[uint64]bool, Result) {
				set := map[uint64]bool{}
				// An old acknowledgement lets a leader that has backed up send ahead sooner.
				// That is all that a dead message can do, and only where the log grows by itself.
				flow := scope.MaxChanges == 0
				r := explored(t, scope, func(c *Checker, w *world) { set[c.tuple(w, flow)] = true })
				return set, r
			}
			reduced, few := tuples(scope)
			scope.Unreduced = Reductions{Symmetry: true, DeadMessages: true}
			full, many := tuples(scope)
			t.Logf("%d worlds stand for %d; %d tuples of servers", few.States, many.States, len(full))
			if !maps.Equal(reduced, full) {
				t.Errorf("reduced: %d tuples of servers, without reductions: %d", len(reduced), len(full))
			}
			if many.States <= few.States {
				t.Errorf("the reductions reduce %d worlds to %d", many.States, few.States)
			}
		})
	}
}

// tuple names the servers of a world, up to the names of interchangeable ones, whatever
// else there is in it. Without flow, what a leader is about to send to whom is left out.
func (c *Checker) tuple(w *world, flow bool) uint64 {
	least := ^uint64(0)
	for _, r := range renamings(c.scope.Voters, c.scope.Learners, c.scope.Strangers) {
		sum := uint64(0)
		for _, ref := range w.servers[:c.scope.servers()] {
			s, v := c.servers.things[ref], &c.views[ref]
			if flow {
				sum += mix(hashOf(s.encode(nil, r.of)), 1)
				continue
			}
			b := putNumbers(nil, uint64(r.of(s.id)), uint64(v.term), uint64(v.role), uint64(r.of(v.leader)), uint64(v.commit), uint64(v.durable), uint64(r.of(v.vote)))
			var match [maxServers]raft.Index
			for i, m := range v.match[:c.scope.servers()] {
				match[r.of(raft.NodeID(i+1))-1] = m
			}
			b = fmt.Append(s.disk.log.encode(b, r.of), match)
			sum += mix(hashOf(b), 1)
		}
		least = min(least, sum)
	}
	return least
}

// TestServersThatLookAlikeAreAlike checks that an encoding says all that decides what a
// server will do: servers that are different inside and have the same encoding do the
// same in answer to everything that ever happens to one of them.
func TestServersThatLookAlikeAreAlike(t *testing.T) {
	for _, scope := range []Scope{
		{Name: "log", Voters: 3, Terms: 1, Commands: 1, Heartbeats: 1, Crashes: 1, Window: 2},
		{Name: "elections", Voters: 3, Terms: 2, Crashes: 1, Window: 1, StepsDown: true},
		{Name: "reads", Voters: 3, Terms: 2, Reads: 1, Window: 1},
		{Name: "snapshots", Voters: 3, Terms: 1, Commands: 1, Compactions: 2, Crashes: 1, Window: 1},
		{Name: "disks", Voters: 3, Terms: 1, Commands: 1, Writes: 2, Crashes: 1, Window: 1},
		{Name: "members", Voters: 3, Terms: 1, Changes: []Change{Demote, Remove}, MaxChanges: 1, Transfers: 1, Window: 1},
	} {
		t.Run(scope.Name, func(t *testing.T) {
			if testing.Short() && scope.Name != "snapshots" {
				t.Skip("takes longer")
			}
			t.Parallel()
			c, err := New(scope)
			if err != nil {
				t.Fatal(err)
			}
			twins := map[serverRef][]*server{}
			c.alike = func(ref serverRef, s *server) {
				if len(twins[ref]) < 8 {
					twins[ref] = append(twins[ref], s)
				}
			}
			if r, err := c.Explore(nil); err != nil || !r.Exhausted {
				t.Fatal(err, r.Counterexample)
			}
			c.alike = nil
			compared := 0
			for key, o := range c.steps {
				for _, twin := range twins[key.server] {
					compared++
					other := c.runCore(twin, choice{key.kind, uint8(twin.id - 1), key.crash, key.argument})
					if !sameOutcome(o, other) {
						t.Fatalf("%v of a server and one that looks alike:\n%s\n%s", c.action(choice{key.kind, uint8(twin.id - 1), key.crash, key.argument}),
							c.describe(o), c.describe(other))
					}
				}
			}
			t.Logf("%d steps of servers that look alike compared", compared)
			if compared == 0 {
				t.Error("no two servers looked alike")
			}
		})
	}
}

// sameOutcome compares what came of two steps. In how many pieces entries are applied
// depends on which of them are in memory, which an encoding leaves out; so only the last
// piece counts.
func sameOutcome(a, b *outcome) bool {
	essence := func(o *outcome) (facts []fact) {
		for i, f := range o.facts {
			if f.log = nil; f.kind != factApplied || i+1 == len(o.facts) || o.facts[i+1].kind != factApplied {
				facts = append(facts, f)
			}
		}
		return facts
	}
	if !slices.Equal(essence(a), essence(b)) {
		return false
	}
	slices.Sort(a.sent)
	slices.Sort(b.sent)
	return a.possible == b.possible && a.after == b.after && slices.Equal(a.sent, b.sent) && reflect.DeepEqual(a.wrong, b.wrong)
}

func (c *Checker) describe(o *outcome) string {
	s := fmt.Sprintf("possible %v, server %d, facts %+v, wrong %v", o.possible, o.after, o.facts, o.wrong)
	for _, m := range o.sent {
		s += "\n  " + c.messages.things[m].String()
	}
	return s
}
