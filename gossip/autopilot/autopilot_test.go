package autopilot

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa/gossip"
	"balsa/raft"
	"balsa/raft/node"
)

var (
	_ Raft = (*node.Node)(nil)
	_ View = (*gossip.Gossip)(nil)
)

// fakeRaft is a leader that is alone, and takes note of what it is asked.
type fakeRaft struct {
	changed chan struct{} // says that something did

	mu      sync.Mutex
	status  raft.Status
	asked   []time.Time // Status
	changes []raft.Change
	// change is what becomes of a change. Nil: it succeeds and alters nothing.
	change func(ctx context.Context) error
}

func (f *fakeRaft) setChange(change func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change = change
}

func newFakeRaft() *fakeRaft {
	f := &fakeRaft{changed: make(chan struct{}, 1), status: raft.Status{ID: 1, Role: raft.Leader, CurrentTerm: 2, CommitIndex: 7, LastIndex: 7, ConfigurationIndex: 5}}
	f.status.Configuration.Members = []raft.Member{{ID: 1, Instance: instanceOf(1), Address: addressOf(1), Votes: true}}
	return f
}

func (f *fakeRaft) Status(context.Context) (raft.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	return f.status, nil
}

func (f *fakeRaft) TickInterval() time.Duration { return 10 * time.Millisecond }

func (f *fakeRaft) ChangeMembers(ctx context.Context, change raft.Change) error {
	f.mu.Lock()
	f.changes = append(f.changes, change)
	outcome := f.change
	f.mu.Unlock()
	if outcome == nil {
		return nil
	}
	return outcome(ctx)
}

func (f *fakeRaft) TransferLeadership(context.Context, raft.NodeID) error {
	return errors.ErrUnsupported
}

func (f *fakeRaft) setRole(role raft.Role, term raft.Term) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Role, f.status.CurrentTerm = role, term
}

// looks returns when the status was asked for since the last call.
func (f *fakeRaft) looks() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// numberOfChanges returns how many changes were asked for.
func (f *fakeRaft) numberOfChanges() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.changes)
}

// lockedBuilder is a log that can be read while it is written.
type lockedBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was written since the last call.
func (b *lockedBuilder) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// alive is what gossip says about servers that are alive and in no cluster.
func alive(ids ...raft.NodeID) []gossip.Member {
	var members []gossip.Member
	for _, id := range ids {
		members = append(members, gossip.Member{
			ID: uint64(id), InstanceID: gossip.UUID(instanceOf(id)), RPCAddr: addressOf(id), Status: gossip.StatusAlive,
		})
	}
	return members
}

// runs starts an autopilot in a bubble and closes it in the end.
func runs(t *testing.T, cfg Config, test func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, v := newFakeRaft(), newFakeView()
		v.show(alive(1), nil)
		cfg.Raft, cfg.Changed, cfg.View, cfg.ClusterID = f, f.changed, v, thisCluster
		if cfg.Logger == nil {
			cfg.Logger = slog.New(slog.DiscardHandler)
		}
		a, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		synctest.Wait()
		test(t, f, v, a)
	})
}

// after lets time pass in a bubble.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTheWorldIsLookedAtEveryInterval(t *testing.T) {
	runs(t, Config{Interval: 3 * time.Second}, func(t *testing.T, f *fakeRaft, _ *fakeView, _ *Autopilot) {
		start := time.Now()
		after(9 * time.Second)
		for i, at := range f.looks() {
			if want := time.Duration(i) * 3 * time.Second; at.Sub(start) != want {
				t.Errorf("look %d after %v, want %v", i, at.Sub(start), want)
			}
		}
		after(3 * time.Second)
		if n := len(f.looks()); n != 1 {
			t.Errorf("%d looks in the next interval", n)
		}
	})
}

func TestChangesAreLookedAtAtOnceAndFloodsOfThemAreNot(t *testing.T) {
	runs(t, Config{}, func(t *testing.T, f *fakeRaft, v *fakeView, _ *Autopilot) {
		after(500 * time.Millisecond)
		f.looks()
		v.show(alive(1), nil)
		synctest.Wait()
		if n := len(f.looks()); n != 1 {
			t.Errorf("%d looks when gossip changed", n)
		}
		after(500 * time.Millisecond)
		f.looks()
		f.changed <- struct{}{}
		synctest.Wait()
		if n := len(f.looks()); n != 1 {
			t.Errorf("%d looks when Raft changed", n)
		}
		for range 1000 {
			v.show(alive(1), nil)
			after(time.Millisecond)
		}
		if n := len(f.looks()); n < 9 || n > 11 {
			t.Errorf("%d looks in a second of changes, want about 10", n)
		}
	})
}

func TestChangesCarryTheConfigurationThatTheyAreBasedOn(t *testing.T) {
	runs(t, Config{Enabled: true}, func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot) {
		v.show(alive(1, 2), nil)
		after(500 * time.Millisecond)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.changes) == 0 {
			t.Fatal("nothing was changed")
		}
		want := raft.Member{ID: 2, Instance: instanceOf(2), Address: addressOf(2)}
		if c := f.changes[0]; c.Basis != 5 || len(c.Set) != 1 || c.Set[0] != want || len(c.Remove) != 0 {
			t.Errorf("got %+v", c)
		}
		if got := a.Report(); len(got) != 2 || got[1] != (Note{2, gossip.UUID(instanceOf(2)), "is being added as a learner"}) {
			t.Errorf("reports %+v", got)
		}
	})
}

func TestAfterADeedTheNextLookIsSoon(t *testing.T) {
	runs(t, Config{Enabled: true}, func(t *testing.T, f *fakeRaft, v *fakeView, _ *Autopilot) {
		after(500 * time.Millisecond)
		f.looks()
		v.show(alive(1, 2), nil)
		synctest.Wait()
		if n := f.numberOfChanges(); n != 1 {
			t.Fatalf("%d changes", n)
		}
		after(100 * time.Millisecond)
		if n := len(f.looks()); n != 2 {
			t.Errorf("%d looks within a tenth of the interval", n)
		}
	})
}

func TestOnlyALeaderActsAndReports(t *testing.T) {
	runs(t, Config{Enabled: true}, func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot) {
		f.setRole(raft.Follower, 2)
		v.show(alive(1, 2), nil)
		after(10 * time.Second)
		if f.numberOfChanges() > 0 || a.Report() != nil {
			t.Errorf("a follower has %+v to say after %d changes", a.Report(), f.numberOfChanges())
		}
		f.setRole(raft.Leader, 3)
		after(time.Second)
		if f.numberOfChanges() == 0 || len(a.Report()) != 2 {
			t.Errorf("a leader has %+v to say after %d changes", a.Report(), f.numberOfChanges())
		}
		f.setRole(raft.Follower, 4)
		after(time.Second)
		if a.Report() != nil {
			t.Errorf("after its term it has %+v to say", a.Report())
		}
	})
}

func TestANewTermIsANewBeginning(t *testing.T) {
	runs(t, Config{}, func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot) {
		f.mu.Lock()
		f.status.Configuration.Members = append(f.status.Configuration.Members, raft.Member{ID: 2, Instance: instanceOf(2), Address: addressOf(2)})
		f.status.Peers = []raft.PeerStatus{{ID: 2, MatchIndex: 7, State: "replicate"}}
		f.mu.Unlock()
		v.show(alive(1, 2), nil)
		after(5500 * time.Millisecond)
		if got := a.Report()[1].Text; got != "caught up; stable for 5 of 10 s" {
			t.Errorf("says %q", got)
		}
		f.setRole(raft.Leader, 3) // elected again before anybody looked
		after(time.Second)
		if got := a.Report()[1].Text; got != "caught up; stable for 0 of 10 s" {
			t.Errorf("says %q", got)
		}
	})
}

func TestCloseWaitsForTheChangeThatIsUnderWay(t *testing.T) {
	ended := false
	runs(t, Config{Enabled: true}, func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot) {
		f.setChange(func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // of the bubble: a node that is slow to give up
			ended = true
			return context.Cause(ctx)
		})
		v.show(alive(1, 2), nil)
		after(time.Second)
		a.Close()
		if !ended {
			t.Error("closed while a change was under way")
		}
	})
}

func TestAChangeThatHangsIsNotWaitedForWithoutEnd(t *testing.T) {
	runs(t, Config{Enabled: true}, func(t *testing.T, f *fakeRaft, v *fakeView, a *Autopilot) {
		f.setChange(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		v.show(alive(1, 2), nil)
		after(patience + time.Second)
		if got := a.Report()[1].Text; !strings.HasPrefix(got, "is to be added as a learner; not now: ") {
			t.Errorf("says %q", got)
		}
	})
}

func TestARefusalIsLoggedOnceAndADeedEachTime(t *testing.T) {
	var log lockedBuilder
	cfg := Config{Enabled: true, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	runs(t, cfg, func(t *testing.T, f *fakeRaft, v *fakeView, _ *Autopilot) {
		f.setChange(func(context.Context) error { return raft.ErrLeaderTooNew })
		v.show(alive(1, 2), nil)
		after(60 * time.Second)
		if n := strings.Count(log.take(), "n2 is added as a learner"); n != 1 || f.numberOfChanges() < 10 {
			t.Errorf("%d lines about %d refusals", n, f.numberOfChanges())
		}
		f.setChange(func(context.Context) error {
			f.setRole(raft.Follower, 2)
			return nil
		})
		after(10 * time.Second)
		if got := log.take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg="autopilot: n2 is added as a learner"`) {
			t.Errorf("the log has %s", got)
		}
	})
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	good := Config{Raft: newFakeRaft(), View: newFakeView(), ClusterID: thisCluster, Logger: slog.New(slog.DiscardHandler)}
	for want, alter := range map[string]func(c *Config){
		"required":                  func(c *Config) { c.ClusterID = gossip.UUID{} },
		"negative":                  func(c *Config) { c.Interval = -1 },
		"must be odd, such as 3":    func(c *Config) { c.MaxVoters = 4 },
		"dead servers cannot be":    func(c *Config) { c.RemoveDeadAfter = 9 * time.Second },
		"in contact may be silent":  func(c *Config) { c.StabilizationTime = 500 * time.Millisecond },
		"removed after -1s: give a": func(c *Config) { c.RemoveDeadAfter = -time.Second },
	} {
		c := good
		alter(&c)
		if _, err := Start(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	c, err := good.withDefaults()
	if err != nil || c.MaxVoters != 5 || c.MinVoters != 3 || c.StabilizationTime != 10*time.Second || c.RemoveDeadAfter != 0 ||
		c.MaxLag != 1000 || c.Silence != 600*time.Millisecond || c.Interval != time.Second || c.Enabled {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
}

// TestTwoServersThatJoinVoteInTime measures, with real cores, what an operator
// waits for who starts two servers beside a first one.
func TestTwoServersThatJoinVoteInTime(t *testing.T) {
	for name, test := range map[string]struct {
		cfg   Config
		limit time.Duration
	}{
		"defaults": {Config{}, 15 * time.Second},
		"demo":     {Config{StabilizationTime: time.Second, Interval: 200 * time.Millisecond}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1, 1, 3, test.cfg)
				defer c.close()
				c.until(test.limit, func() bool { return c.leader() != nil })
				start := time.Now()
				c.gossip(0, honest)
				c.until(test.limit, func() bool { return len(c.inForce.Voters()) == 3 && !c.inForce.Joint() })
				t.Logf("three voters after %v", time.Since(start))
			})
		})
	}
}

// TestALeaderThatLeavesIsReplacedAndRemoved lets the leader of three leave, as
// "balsa leave" does: first it says so, and when somebody else leads it ends.
func TestALeaderThatLeavesIsReplacedAndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, 3, 3, Config{})
		defer c.close()
		c.until(5*time.Second, func() bool { return c.leader() != nil })
		first := c.leader()
		for _, m := range c.servers {
			members := c.truth()
			members[first.id-1].Status = gossip.StatusLeft
			m.view.show(members, nil)
		}
		c.until(5*time.Second, func() bool { return c.leader() != nil && c.leader() != first })
		c.mu.Lock()
		first.down = true
		c.mu.Unlock()
		c.until(20*time.Second, func() bool { _, still := c.inForce.Member(first.id); return !still })
	})
}

// until lets time pass until something holds, but not for long.
func (c *cluster) until(limit time.Duration, holds func() bool) {
	c.t.Helper()
	for start := time.Now(); ; c.tick() {
		c.mu.Lock()
		done := holds()
		c.mu.Unlock()
		if done {
			return
		}
		if time.Since(start) > limit {
			c.t.Fatalf("not within %v; %v is in force", limit, c.inForce)
		}
	}
}
