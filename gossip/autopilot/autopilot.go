package autopilot

import (
	"context"
	"sync"
	"time"

	"balsa/raft"
)

// Autopilot is this server's part in keeping the cluster's membership in order.
// It runs on every server and does something on the leader. Its methods may be
// called by any goroutine.
type Autopilot struct {
	config Config
	memory *memory // of the loop; nil while this server does not lead
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	notes []Note
}

// patience bounds how long Raft is waited for. A change that takes longer goes
// on by itself; the next looks at the world show what becomes of it.
const patience = 5 * time.Second

// breaks is how many pauses make an interval: as often as that the world is
// looked at when it changes all the time.
const breaks = 10

// Start runs an autopilot in the background. The caller must call Close in the
// end, before Raft and gossip are closed.
func Start(config Config) (*Autopilot, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	a := &Autopilot{config: config, stop: stop}
	a.wg.Go(func() { a.run(ctx) })
	return a, nil
}

// Close ends the autopilot and waits for what is under way. A change that Raft
// has begun is not taken back.
func (a *Autopilot) Close() {
	a.stop()
	a.wg.Wait()
}

// Report returns a note about each server that there is something to say about:
// members in ascending order of id, then others in ascending order of id. Only a
// leader has any; elsewhere it returns nil.
func (a *Autopilot) Report() []Note {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notes
}

// run looks at the world until ctx ends: regularly, when something changes, and
// again soon after something was done. Between two looks there is always a
// pause, so that nobody can keep this server busy with changes.
func (a *Autopilot) run(ctx context.Context) {
	changed, stop := a.config.View.Watch()
	defer stop()
	pause := a.config.Interval / breaks
	for {
		acted := a.pass(ctx)
		if !wait(ctx, pause, nil, nil) {
			return
		}
		if !acted && !wait(ctx, a.config.Interval-pause, changed, a.config.Changed) {
			return
		}
	}
}

// wait returns when the time is up or a channel has a value. It returns false if
// ctx has ended.
func wait(ctx context.Context, at time.Duration, a, b <-chan struct{}) bool {
	timer := time.NewTimer(at)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a:
	case <-b:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// pass looks at the world once, reports, and does at most one thing. It returns
// whether it did.
func (a *Autopilot) pass(ctx context.Context) (acted bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := a.look(ctx)
	if err != nil || w.status.Role != raft.Leader {
		a.memory = nil
		a.setNotes(nil)
		return false
	}
	if a.memory == nil || a.memory.term != w.status.CurrentTerm {
		a.memory = newMemory(w.status.CurrentTerm)
	}
	servers := survey(w, a.config.ClusterID)
	a.memory.observe(a.config, w, servers)
	action := decide(a.config, w, a.memory, servers)
	a.setNotes(notes(servers))
	logNews(a.config.Logger, a.memory, servers)
	if action == nil {
		return false
	}
	a.act(ctx, action)
	return true
}

func (a *Autopilot) look(ctx context.Context) (world, error) {
	status, err := a.config.Raft.Status(ctx)
	if err != nil || status.Role != raft.Leader {
		return world{status: status}, err
	}
	return world{
		now:       time.Now(),
		tick:      a.config.Raft.TickInterval(),
		status:    status,
		members:   a.config.View.Members(),
		conflicts: a.config.View.Conflicts(),
	}, nil
}

// act carries an action out. That it is refused is nothing unusual: the core has
// looked at the world later, and more closely.
func (a *Autopilot) act(ctx context.Context, action *action) {
	var err error
	if action.transfer != raft.None {
		err = a.config.Raft.TransferLeadership(ctx, action.transfer)
	} else {
		err = a.config.Raft.ChangeMembers(ctx, action.change)
	}
	if err == nil {
		a.config.Logger.Info("autopilot: " + action.String())
		return
	}
	if a.memory.refused(a.config, action, err, time.Now()) && context.Cause(ctx) != context.Canceled {
		a.config.Logger.Warn("autopilot: could not be done, and will be tried again: "+action.String(), "err", err)
	}
}

func (a *Autopilot) setNotes(notes []Note) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes = notes
}
