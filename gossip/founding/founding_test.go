package founding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa/gossip"
)

// inBubble runs a test in virtual time with servers 1 to count, all of which
// expect to found a cluster of expect. They are down and see nobody.
func inBubble(t *testing.T, count, expect int, test func(t *testing.T, w *world, s []*server)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for id := range uint64(count) {
			w.add(id+1, expect)
		}
		test(t, w, w.all())
	})
}

// pass lets virtual time pass, and everything happen that is due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func startAll(w *world, servers ...*server) {
	for _, s := range servers {
		w.start(s)
	}
}

// wantFounded checks that servers are founded with the identical plan, and that
// it names exactly them.
func wantFounded(t *testing.T, w *world, servers ...*server) {
	t.Helper()
	for _, s := range servers {
		plan := w.founded(s)
		switch {
		case plan == nil:
			t.Fatalf("n%d is not founded; it says %q", s.id, w.state(s))
		case !plan.Equal(*w.founded(servers[0])):
			t.Fatalf("n%d is founded with %+v, n%d with %+v", s.id, plan, servers[0].id, w.founded(servers[0]))
		case len(plan.Servers) != s.expect:
			t.Fatalf("n%d is founded with %+v, which are not %d servers", s.id, plan, s.expect)
		}
	}
}

// wantState checks that a server is not founded, and what it says about that.
func wantState(t *testing.T, w *world, s *server, text string) {
	t.Helper()
	if w.founded(s) != nil {
		t.Fatalf("n%d is founded", s.id)
	}
	if got := w.state(s); !strings.Contains(got, text) {
		t.Fatalf("n%d says\n%q, which does not contain\n%q", s.id, got, text)
	}
}

func TestOneServerFoundsAtOnceAndAlone(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, w *world, s []*server) {
		before := time.Now()
		startAll(w, s...)
		synctest.Wait()
		wantFounded(t, w, s...)
		if took := time.Since(before); took != 0 {
			t.Errorf("it took %v", took)
		}
		if got := w.state(s[0]); !strings.HasPrefix(got, "founded cluster "+w.founded(s[0]).ClusterID().String()) || strings.Contains(got, "promise") {
			t.Errorf("it says %q", got)
		}
	})
}

func TestServersThatAgreeFoundTheIdenticalCluster(t *testing.T) {
	for _, size := range []int{3, 5, MaxServers} {
		inBubble(t, size, size, func(t *testing.T, w *world, s []*server) {
			startAll(w, s...)
			synctest.Wait()
			wantState(t, w, s[0], fmt.Sprintf("waiting for %d servers to appear in gossip: have 1 (n1)", size))
			w.showAll()
			pass(2 * time.Second)
			wantFounded(t, w, s...)
		})
	}
}

func TestOneServerThatIsNotHeardBlocksAll(t *testing.T) {
	inBubble(t, 3, 3, func(t *testing.T, w *world, s []*server) {
		var deaf atomic.Bool
		deaf.Store(true)
		w.link = func(from, to uint64) (there, back time.Duration, lost, answerLost bool) {
			return 0, 0, deaf.Load() && to == 3, false
		}
		startAll(w, s...)
		w.showAll()
		// Server 3 itself gets all the answers it needs, but only once it sees
		// the others.
		for id := uint64(1); id <= 2; id++ {
			s[2].view.lose(id)
		}
		pass(time.Hour)
		wantState(t, w, s[0], "waiting for all of n1, n2, n3 to agree; still missing: n3: n3 did not answer (connection refused)")
		wantState(t, w, s[1], "still missing: n3")
		deaf.Store(false)
		w.showAll()
		pass(5 * time.Second)
		wantFounded(t, w, s...)
	})
}

func TestAGarbledOrForeignAnswerIsNoYes(t *testing.T) {
	inBubble(t, 2, 2, func(t *testing.T, w *world, s []*server) {
		s1, s2 := s[0], s[1]
		plan := Plan{Servers: []Server{{1, s1.instance, s1.addr}, {2, s2.instance, s2.addr}}}
		other := plan
		other.Servers = []Server{plan.Servers[0], {3, s2.instance, s2.addr}}
		elsewhere := Plan{Servers: []Server{{2, s2.instance, s2.addr}}}
		yes := answer{id: 2, instance: s2.instance, verdict: verdictYes, cluster: plan.ClusterID()}
		wrongID, wrongInstance, wrongPlan := yes, yes, yes
		wrongID.id, wrongInstance.instance, wrongPlan.cluster = 3, gossip.UUID{9}, other.ClusterID()
		for what, reply := range map[string][]byte{
			"nothing":                        {},
			"garbage":                        []byte("garbage"),
			"cut short":                      yes.encode()[:30],
			"a yes by another server":        wrongID.encode(),
			"a yes by another directory":     wrongInstance.encode(),
			"a yes to another plan":          wrongPlan.encode(),
			"no":                             answer{id: 2, instance: s2.instance, verdict: verdictNo, reason: "\x1b[2J"}.encode(),
			"founded, and does not know how": answer{id: 2, instance: s2.instance, verdict: verdictFounded, cluster: gossip.UUID{7}}.encode(),
			"founded without the asker": answer{id: 2, instance: s2.instance, verdict: verdictFounded,
				cluster: elsewhere.ClusterID(), plan: &elsewhere}.encode(),
		} {
			f, err := Start(Config{
				ID: 1, InstanceID: s1.instance, Expect: 2, View: s1.view, Logger: w.log,
				Ask:   func(context.Context, string, []byte) ([]byte, error) { return reply, nil },
				Found: func(context.Context, Plan) error { t.Errorf("%s: founded", what); return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			w.mu.Lock()
			s1.founder, s2.founder = f, f // both count as up
			w.mu.Unlock()
			w.showAll()
			pass(time.Minute)
			if strings.ContainsRune(f.State(), '\x1b') {
				t.Errorf("%s: the state has control characters: %q", what, f.State())
			}
			f.Close()
		}
	})
}

func TestGossipThatDoesNotAddUpIsRefused(t *testing.T) {
	inBubble(t, 5, 3, func(t *testing.T, w *world, s []*server) {
		s[3].expect = 5
		joiner := s[4]
		joiner.expect = 0
		startAll(w, s...)
		wantState(t, w, joiner, "waiting to be added to a cluster")

		w.show(s[:3], s...)
		pass(time.Minute)
		wantState(t, w, s[0], "refused: n4 expects 5 servers to found a cluster, this server expects 3")

		w.crash(s[3])
		s[3].expect = 3
		w.start(s[3])
		w.show(s[:3], s...)
		pass(time.Minute)
		wantState(t, w, s[0], "refused: 4 servers (n1, n2, n3, n4) want to found a cluster of 3")

		// The surplus one dies. Its own data directory stays out of it, and so
		// does the server that only joins.
		w.crash(s[3])
		s[0].view.change(func() {
			s[0].view.conflicts = []gossip.Conflict{{Kind: gossip.ConflictID, ID: 2, Message: "two servers claim id 2"}}
		})
		w.show(s[:3], s...)
		pass(time.Minute)
		wantState(t, w, s[0], "refused: two servers claim id 2")
		s[0].view.change(func() { s[0].view.conflicts = nil })
		pass(5 * time.Second)
		wantFounded(t, w, s[:3]...)
		if w.founded(joiner) != nil {
			t.Error("a server that expects nobody was founded")
		}
	})
}

func TestTwoServersWithOneIDAreNoPlan(t *testing.T) {
	members := []gossip.Member{
		{ID: 1, Name: "n1", InstanceID: gossip.UUID{1}, RPCAddr: "a:1", Expect: 2, Status: gossip.StatusAlive},
		{ID: 1, Name: "twin", InstanceID: gossip.UUID{2}, RPCAddr: "b:1", Expect: 2, Status: gossip.StatusAlive},
	}
	a := assess(Server{ID: 1, InstanceID: gossip.UUID{1}}, 2, members, nil)
	if a.plan != nil || !strings.Contains(a.state.text, "two servers claim id 1") {
		t.Errorf("concluded %+v", a)
	}
	// Gossip shows one server with our id, and it is not this one.
	members = members[1:]
	members[0].Expect = 1
	a = assess(Server{ID: 1, InstanceID: gossip.UUID{1}}, 1, members, nil)
	if a.plan != nil || !strings.Contains(a.state.text, "not among them") {
		t.Errorf("concluded %+v", a)
	}
}

// say puts a question to a server and returns its verdict.
func say(t *testing.T, s *server, plan gossip.UUID) verdict {
	t.Helper()
	a, err := decodeAnswer(s.founder.Answer(encodeQuestion(plan)))
	if err != nil {
		t.Fatal(err)
	}
	return a.verdict
}

// TestAPromiseExcludesEveryOtherPlanUntilARestart is the example of the package
// comment.
func TestAPromiseExcludesEveryOtherPlanUntilARestart(t *testing.T) {
	inBubble(t, 4, 3, func(t *testing.T, w *world, s []*server) {
		var plans [2]Plan // {n1, n2, n3} and {n2, n3, n4}
		for i := range plans {
			for _, m := range s[i : i+3] {
				plans[i].Servers = append(plans[i].Servers, Server{m.id, m.instance, m.addr})
			}
		}
		a, b := plans[0].ClusterID(), plans[1].ClusterID()
		w.link = func(from, to uint64) (there, back time.Duration, lost, answerLost bool) {
			return 0, 0, true, false // only this test asks
		}
		startAll(w, s...)
		w.show(s[1:3], s[:3]...)
		if say(t, s[1], a) != verdictYes || say(t, s[2], a) != verdictYes {
			t.Fatal("no yes to what they see")
		}
		for _, m := range s[1:3] {
			m.view.lose(1)
		}
		w.show(s[1:3], s[3])
		if say(t, s[1], b) != verdictNo || say(t, s[2], b) != verdictNo {
			t.Fatal("yes to a second plan")
		}
		if say(t, s[1], a) != verdictYes {
			t.Fatal("the promise does not hold")
		}
		pass(time.Minute)
		wantState(t, w, s[1], "gossip shows n2, n3, n4 (this server has promised to found a cluster of n1, n2, n3 and takes part in no other until it restarts)")
		w.restart(s[1])
		w.show(s[1:2], s[2:]...)
		if say(t, s[1], b) != verdictYes || say(t, s[1], a) != verdictNo {
			t.Fatal("a restart does not release the promise")
		}
	})
}

func TestAYesNeedsTheVeryPlan(t *testing.T) {
	inBubble(t, 2, 2, func(t *testing.T, w *world, s []*server) {
		w.link = func(from, to uint64) (there, back time.Duration, lost, answerLost bool) { return 0, 0, true, false }
		startAll(w, s...)
		servers := []Server{{1, s[0].instance, s[0].addr}, {2, s[1].instance, s[1].addr}}
		if say(t, s[1], Plan{Servers: servers}.ClusterID()) != verdictNo {
			t.Error("yes by a server that does not see the plan")
		}
		w.show(s[1:], s[0])
		moved := []Server{{1, s[0].instance, "10.9.9.9:1"}, servers[1]}
		if say(t, s[1], Plan{Servers: moved}.ClusterID()) != verdictNo {
			t.Error("yes to another address")
		}
		if say(t, s[1], gossip.UUID{}) != verdictNo {
			t.Error("yes to no plan at all")
		}
		s[1].founder.Close()
		if say(t, s[1], Plan{Servers: servers}.ClusterID()) != verdictNo {
			t.Error("yes by a server that is closed")
		}
		if a, err := decodeAnswer(s[1].founder.Answer([]byte("garbage"))); err != nil || a.verdict != verdictNo {
			t.Errorf("a garbled question is answered with %+v, %v", a, err)
		}
	})
}

func TestACrashBetweenPromiseAndFoundingIsCompleted(t *testing.T) {
	inBubble(t, 3, 3, func(t *testing.T, w *world, s []*server) {
		w.setWrite(func(ctx context.Context, id uint64) error {
			if id == 3 {
				<-ctx.Done() // the disk is slow, and the crash comes first
				return ctx.Err()
			}
			return nil
		})
		startAll(w, s...)
		w.showAll()
		pass(5 * time.Second)
		wantFounded(t, w, s[:2]...)
		w.crash(s[2])
		w.setWrite(nil)
		if w.founded(s[2]) != nil {
			t.Fatal("the founding was written")
		}
		// It comes back elsewhere, and sees only one of the two others, which
		// restarted as well. The plan still has its former address.
		w.restart(s[0])
		s[2].addr = "10.0.0.33:21000"
		w.start(s[2])
		w.show(s[2:], s[0])
		pass(5 * time.Second)
		wantFounded(t, w, s...)
		if got := w.founded(s[2]).Servers[2].RPCAddr; got != "10.0.0.3:21000" {
			t.Errorf("it was founded at %s", got)
		}
	})
}

// Trap 52.
func TestAWipedServerNeverFounds(t *testing.T) {
	inBubble(t, 3, 3, func(t *testing.T, w *world, s []*server) {
		startAll(w, s...)
		w.showAll()
		pass(5 * time.Second)
		wantFounded(t, w, s...)
		w.crash(s[2])
		w.wipe(s[2])
		w.start(s[2])
		w.showAll()
		pass(time.Hour)
		wantState(t, w, s[2], "remove n3 from the cluster and start this server with an id that no server ever had")
	})
}

func TestAServerThatWasNotMeantWaitsToBeAdded(t *testing.T) {
	inBubble(t, 4, 3, func(t *testing.T, w *world, s []*server) {
		startAll(w, s[:3]...)
		w.showAll()
		pass(5 * time.Second)
		wantFounded(t, w, s[:3]...)
		w.start(s[3])
		w.showAll()
		pass(time.Hour)
		wantState(t, w, s[3], "which n1, n2, n3 founded without this server")

		// The same if those that it sees do not know how they were founded.
		for _, m := range s[:3] {
			m.founder.mu.Lock()
			m.founder.plan = nil
			m.founder.mu.Unlock()
		}
		pass(5 * time.Second)
		wantState(t, w, s[3], "knows nothing about this server's part in its founding")

		// Or if they do not answer at all.
		for _, m := range s[:3] {
			w.crash(m)
		}
		pass(5 * time.Second)
		wantState(t, w, s[3], "waiting to hear of which from n1, n2, n3")
	})
}

func TestAServerThatTwoClustersCountOnRefusesBoth(t *testing.T) {
	self := Server{ID: 3, InstanceID: gossip.UUID{3}}
	settled := func(with uint64) reply {
		plan := Plan{Servers: []Server{
			{ID: with, InstanceID: gossip.UUID{byte(with)}, RPCAddr: "a:1"}, {ID: 3, InstanceID: self.InstanceID, RPCAddr: "c:1"},
		}}
		return reply{from: plan.Servers[0], answer: answer{verdict: verdictFounded, cluster: plan.ClusterID(), plan: &plan}}
	}
	one := judge(self, nil, []reply{settled(1), {err: errors.New("silence")}, settled(1)})
	if one.found == nil {
		t.Errorf("one cluster counts on it, and it says %q", one.state)
	}
	two := judge(self, nil, []reply{settled(1), settled(2)})
	if two.found != nil || !strings.Contains(two.state.text, "2 clusters say that they were founded with this server") {
		t.Errorf("two clusters count on it: %+v", two)
	}
}

func TestAFoundingThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	inBubble(t, 3, 3, func(t *testing.T, w *world, s []*server) {
		full := errors.New("disk full")
		w.setWrite(func(ctx context.Context, id uint64) error {
			if id == 2 {
				return full
			}
			return nil
		})
		startAll(w, s...)
		w.showAll()
		pass(time.Minute)
		wantState(t, w, s[1], "cannot write the founding of the cluster: disk full")
		w.setWrite(nil)
		pass(5 * time.Second)
		wantFounded(t, w, s...)
	})
}

func TestEachStateIsLoggedOnce(t *testing.T) {
	inBubble(t, 3, 3, func(t *testing.T, w *world, s []*server) {
		var log bytes.Buffer
		w.log = slog.New(slog.NewTextHandler(&log, nil))
		var calls atomic.Int64
		w.link = func(from, to uint64) (there, back time.Duration, lost, answerLost bool) {
			return 0, 0, to == 3, calls.Add(1)%2 == 0 // refused or reset, in turn
		}
		w.start(s[0])
		w.mu.Lock()
		for _, m := range s[1:] { // up, as far as gossip can tell
			m.founder = s[0].founder
		}
		w.mu.Unlock()
		w.show(s[:1], s...)
		pass(10 * time.Minute)
		for _, text := range []string{"still missing: n2, n3", "promised to found"} {
			if got := strings.Count(log.String(), text); got != 1 {
				t.Errorf("%q was logged %d times in ten minutes", text, got)
			}
		}
	})
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	good := Config{ID: 1, InstanceID: gossip.UUID{1}, Logger: slog.New(slog.DiscardHandler)}
	for what, alter := range map[string]func(c *Config){
		"too many servers":          func(c *Config) { c.Expect = MaxServers + 1 },
		"a negative number":         func(c *Config) { c.Expect = -1 },
		"no id":                     func(c *Config) { c.ID = 0 },
		"no instance":               func(c *Config) { c.InstanceID = gossip.UUID{} },
		"no logger":                 func(c *Config) { c.Logger = nil },
		"a plan of another cluster": func(c *Config) { c.Plan = &Plan{}; c.ClusterID = gossip.UUID{1} },
	} {
		c := good
		alter(&c)
		if f, err := Start(c); err == nil {
			f.Close()
			t.Errorf("%s: accepted", what)
		}
	}
}
