package gossip

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// testView is the table of server 1, with nobody else in it.
func testView() *view {
	own := meta{id: 1, instance: UUID{1}, rpcAddr: "10.0.0.1:21000"}
	v := newView("n1", own, 1, 4)
	v.present("n1", "10.0.0.1:7000", own.encode())
	return v
}

// claim is what some server says about itself.
func claim(id uint64) []byte {
	return meta{id: id, instance: UUID{byte(id), byte(id >> 8)}, rpcAddr: fmt.Sprintf("10.0.0.2:%d", 1+id)}.encode()
}

// meet lets a server in, as memberlist does.
func meet(v *view, id uint64) error {
	name, addr := fmt.Sprintf("n%d", id), fmt.Sprintf("10.0.0.2:%d", 1+id)
	if err := v.admit(name, addr, claim(id)); err != nil {
		return err
	}
	v.present(name, addr, claim(id))
	return nil
}

func TestGoneServersAreForgottenAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meet(v, 2)
		meet(v, 3)
		v.gone("n2")
		v.gone("n1") // this server left, and still knows who it is
		pass(forgetAfter - time.Hour)
		v.tidy()
		if got := len(v.list()); got != 3 {
			t.Fatalf("%d servers after less than a day, want 3", got)
		}
		pass(2 * time.Hour)
		v.tidy()
		if got := v.list(); len(got) != 2 || got[0].ID != 1 || got[1].ID != 3 {
			t.Fatalf("after more than a day: %+v", got)
		}
	})
}

func TestAFloodOfServersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		for id := uint64(2); id <= maxMembers; id++ {
			if err := meet(v, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := meet(v, maxMembers+1); err == nil {
			t.Fatal("more servers than the limit are let in")
		}
		v.gone("n7")
		pass(time.Second)
		v.gone("n5")
		v.gone("n1")
		// Whoever has been gone for longest makes room, but never this server.
		if err := meet(v, maxMembers+1); err != nil {
			t.Fatal(err)
		}
		if err := meet(v, maxMembers+2); err != nil {
			t.Fatal(err)
		}
		if err := meet(v, maxMembers+3); err == nil {
			t.Fatal("somebody who is alive, or this server, was forgotten")
		}
		if got := len(v.list()); got != maxMembers || v.self().ID != 1 {
			t.Fatalf("%d servers are remembered", got)
		}
		for id := range uint64(10 * maxConflicts) {
			v.admit("x", fmt.Sprintf("10.0.0.3:%d", id), []byte("garbage"))
		}
		if got := len(v.listConflicts()); got != maxConflicts {
			t.Fatalf("%d conflicts are remembered", got)
		}
	})
}

func TestUnreadableServersAreKeptOutAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		newer := claim(2)
		newer[0]++
		for what, err := range map[string]error{
			"garbage":         v.admit("n2", "10.0.0.2:1", []byte("garbage")),
			"a newer version": v.admit("n2", "10.0.0.2:2", newer),
			"a strange name":  v.admit("n2\x00", "10.0.0.2:3", claim(2)),
		} {
			if err == nil {
				t.Errorf("%s is let in", what)
			}
		}
		cs := v.listConflicts()
		if len(cs) != 3 || cs[0].Kind != ConflictMeta {
			t.Errorf("reported: %+v", cs)
		}
		pass(conflictMemory + time.Second)
		if cs := v.listConflicts(); len(cs) != 0 {
			t.Errorf("still reported after it was no longer seen: %+v", cs)
		}
	})
}

func TestDepartureAndDeathInEitherOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, earlier := runID{}, runID{9}
		for _, c := range []struct {
			what   string
			events []func(v *view)
			want   Status
		}{
			{"announced first", []func(v *view){
				func(v *view) { v.depart([]departure{{"n2", run}}) },
				func(v *view) { v.gone("n2") },
			}, StatusLeft},
			{"gone first", []func(v *view){
				func(v *view) { v.gone("n2") },
				func(v *view) { v.depart([]departure{{"n2", run}}) },
			}, StatusLeft},
			{"announced by an earlier life", []func(v *view){
				func(v *view) { v.gone("n2") },
				func(v *view) { v.depart([]departure{{"n2", earlier}}) },
			}, StatusDead},
			{"announced and not gone yet", []func(v *view){
				func(v *view) { v.depart([]departure{{"n2", run}}) },
			}, StatusAlive},
		} {
			v := testView()
			meet(v, 2)
			for _, event := range c.events {
				event(v)
			}
			if got := v.list()[1].Status; got != c.want {
				t.Errorf("%s: %s, want %s", c.what, got, c.want)
			}
		}
	})
}

func TestNobodyElseDecidesThatThisServerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		v.depart([]departure{{name: "n1"}, {name: "nobody"}})
		if ds := v.departures(); len(ds) != 0 {
			t.Errorf("it passes on %v", ds)
		}
	})
}

func TestAnIDThatReturnsUnderAnotherNameReplacesTheGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meet(v, 2)
		v.gone("n2")
		v.present("renamed", "10.0.0.2:99", claim(2))
		got := v.list()
		if len(got) != 2 || got[1].Name != "renamed" || len(v.listConflicts()) != 0 {
			t.Errorf("members %+v, conflicts %+v", got, v.listConflicts())
		}
	})
}

func TestWhoeverJoinsAClusterSeesThoseOfAnotherNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		other := meta{id: 2, instance: UUID{2}, cluster: UUID{0xbb}, rpcAddr: "10.0.0.2:3"}
		if err := v.admit("n2", "10.0.0.2:3", other.encode()); err != nil {
			t.Fatalf("a server without a cluster keeps a member of one out: %v", err)
		}
		v.present("n2", "10.0.0.2:3", other.encode())
		meet(v, 3)
		v.setCluster(UUID{0xaa})
		if cs := v.listConflicts(); len(cs) != 1 || cs[0].Kind != ConflictCluster {
			t.Errorf("conflicts: %+v", cs)
		}
		// Others repeat what server 2 said before it belonged to a cluster.
		other.cluster = UUID{}
		v.admit("n2", "10.0.0.2:3", other.encode())
		if got := v.list(); len(got) != 2 || got[1].ID != 3 {
			t.Errorf("members: %+v", got)
		}
	})
}

func TestTwoClaimsOnAnIDAreAConflictAtOnceIfBothAreAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := meta{id: 2, instance: UUID{2, 2}, rpcAddr: "10.0.0.2:99"}

		v := testView()
		meet(v, 2)
		v.gone("n2")
		// A server that was wiped returns under the name of a dead one, before
		// memberlist lets it in.
		v.clash("n2", "10.0.0.2:98", other.encode())
		if cs := v.listConflicts(); len(cs) != 0 {
			t.Errorf("the dead contradict the living: %+v", cs)
		}

		meet(v, 2)
		v.present("twin", "10.0.0.2:98", other.encode())
		if cs := v.listConflicts(); len(cs) != 1 || cs[0].Kind != ConflictID {
			t.Errorf("two living servers with one id: %+v", cs)
		}
		if addr, ok := v.address(2); ok {
			t.Errorf("the id has the address %q", addr)
		}
	})
}

func TestAWipedServerOfAnotherClusterAtAKnownAddressIsNoMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		v.setCluster(UUID{0xaa})
		meet(v, 2)
		other := meta{id: 2, instance: UUID{2, 2}, cluster: UUID{0xbb}, run: runID{2}, rpcAddr: "10.0.0.2:3"}
		// A stranger elsewhere changes nothing about the server that we know.
		if err := v.admit("n2", "10.0.0.99:1", other.encode()); err == nil {
			t.Fatal("a server of another cluster is let in")
		}
		if len(v.list()) != 2 {
			t.Fatal("a stranger's message removed a member")
		}
		// The process at the member's own address is another one now. memberlist
		// does not see it, because it answers to the same name.
		v.admit("n2", "10.0.0.2:3", other.encode())
		if addr, ok := v.address(2); ok || len(v.list()) != 1 {
			t.Fatalf("still a member, at %q", addr)
		}
		// Others go on repeating what the member said in its former life, and
		// what the stranger said before it belonged to a cluster.
		v.admit("n2", "10.0.0.2:3", claim(2))
		other.cluster = UUID{}
		v.admit("n2", "10.0.0.2:3", other.encode())
		if len(v.list()) != 1 {
			t.Fatal("an echo of the past brings it back")
		}
		back := meta{id: 2, instance: UUID{2}, cluster: UUID{0xaa}, run: runID{3}, rpcAddr: "10.0.0.2:3"}
		v.admit("n2", "10.0.0.2:3", back.encode())
		if _, ok := v.address(2); !ok {
			t.Fatal("the right server is back and not seen")
		}
	})
}
