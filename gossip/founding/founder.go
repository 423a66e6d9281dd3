package founding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"balsa/gossip"
)

// View is what a founder needs of gossip. [gossip.Gossip] is one.
type View interface {
	Members() []gossip.Member
	Conflicts() []gossip.Conflict
	// Watch returns a channel that receives a value after either has changed.
	Watch() (changed <-chan struct{}, stop func())
}

// Config says what a server brings to a founding.
type Config struct {
	// ID and InstanceID are the server's identity, as gossip announces it.
	ID         uint64
	InstanceID gossip.UUID
	// Expect is how many servers found the cluster, up to [MaxServers], this
	// one included. 0 means that this server founds none.
	Expect int

	// ClusterID is the cluster that the server belongs to already, or zero if
	// its data directory is pristine. Then nothing is founded, and the server
	// only answers.
	ClusterID gossip.UUID
	// Plan is how that cluster was founded, if the data directory knows it. A
	// server that crashed in the middle of the founding needs it from one of
	// the others.
	Plan *Plan

	// View is gossip.
	View View
	// Ask puts a question to the server at an RPC address, whose
	// [Founder.Answer] gives the answer. It is called from several goroutines,
	// must return when the context ends, and an error counts as no.
	Ask func(ctx context.Context, addr string, question []byte) (answer []byte, err error)
	// Found makes the founding durable: the data directory is the plan's from
	// now on. It must be atomic, must do nothing but succeed if it did the same
	// before, and must fail if the directory belongs to a cluster by any other
	// way. After an error it is called again. When it has succeeded the
	// cluster exists, and Found may start it.
	Found func(ctx context.Context, plan Plan) error

	// Retry is the time between two attempts when gossip does not change; one
	// second if it is 0.
	Retry time.Duration
	// Logger receives a line when the state changes. It must not be nil.
	Logger *slog.Logger
}

// askPatience bounds how long one server is waited for.
const askPatience = 2 * time.Second

// Founder is one server's part in the founding of a cluster. Its methods may be
// called from any goroutine.
type Founder struct {
	config Config
	self   Server // without an address: that is a matter of the plan
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu sync.Mutex
	// promised is the one plan to which this server said yes, to itself or to
	// another. It is set once in the life of a Founder.
	promised *Plan
	// cluster and plan are set when the server belongs to a cluster.
	cluster gossip.UUID
	plan    *Plan
	closed  bool
	state   state
}

// Start begins to work towards the founding, in the background. A server that
// belongs to a cluster, or that expects nobody, starts a founder as well, so that
// others get their answers; it does nothing else.
func Start(config Config) (*Founder, error) {
	switch {
	case config.Expect < 0 || config.Expect > MaxServers:
		return nil, fmt.Errorf("founding: a cluster cannot be founded by %d servers, 1 to %d are possible", config.Expect, MaxServers)
	case config.Plan != nil && config.Plan.ClusterID() != config.ClusterID:
		return nil, errors.New("founding: the plan in the data directory is not that of its cluster")
	case config.ID == 0 || config.InstanceID == gossip.UUID{} || config.Logger == nil:
		return nil, errors.New("founding: id, instance id and logger are required")
	}
	if config.Retry == 0 {
		config.Retry = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Founder{
		config: config, stop: stop, cluster: config.ClusterID, plan: config.Plan,
		self: Server{ID: config.ID, InstanceID: config.InstanceID},
	}
	switch {
	case config.ClusterID != gossip.UUID{}:
		f.state = statef("this server belongs to cluster %s", config.ClusterID)
	case config.Expect == 0:
		f.state = statef("waiting to be added to a cluster; this server does not found one")
	default:
		f.state = statef("starting")
		f.wg.Go(func() { f.run(ctx) })
	}
	return f, nil
}

// Close ends the life of this founder and waits for what is under way, a call of
// Found included. From then on it makes no promise and founds nothing. The host
// closes it before the server joins a cluster in any other way.
func (f *Founder) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.wg.Wait()
}

// State returns a sentence that says where the founding stands.
func (f *Founder) State() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.promised != nil && f.plan == nil {
		return fmt.Sprintf("%s (this server has promised to found a cluster of %s and takes part in no other until it restarts)", f.state, f.promised)
	}
	return f.state.String()
}

// Answer answers the question of another server. If the answer is yes, it binds
// this server for the rest of its life; see the package comment. A question that
// cannot be read is answered with no.
func (f *Founder) Answer(question []byte) []byte {
	a := answer{id: f.self.ID, instance: f.self.InstanceID}
	wanted, err := decodeQuestion(question)
	if err != nil {
		a.verdict, a.reason = verdictNo, err.Error()
		return a.encode()
	}
	seen := f.assess()

	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.cluster != gossip.UUID{}:
		a.verdict, a.cluster, a.plan = verdictFounded, f.cluster, f.plan
	case f.closed:
		a.verdict, a.reason = verdictNo, "it is about to stop"
	case f.promised != nil && f.promised.ClusterID() == wanted:
		// A promise holds whatever gossip says by now.
		a.verdict, a.cluster = verdictYes, wanted
	case f.promised != nil:
		a.verdict, a.reason = verdictNo, fmt.Sprintf("it promised to found with %s; restart it to release it", f.promised)
	case seen.plan == nil:
		a.verdict, a.reason = verdictNo, seen.state.text
	case seen.plan.ClusterID() != wanted:
		a.verdict, a.reason = verdictNo, fmt.Sprintf("it sees %s, with other data directories or addresses than those asked about", seen.plan)
	default:
		f.makePromise(*seen.plan)
		a.verdict, a.cluster = verdictYes, wanted
	}
	return a.encode()
}

// assess concludes what it can from gossip.
func (f *Founder) assess() assessment {
	if f.config.Expect == 0 {
		return assessment{state: statef("this server does not found a cluster")}
	}
	return assess(f.self, f.config.Expect, f.config.View.Members(), f.config.View.Conflicts())
}

// makePromise binds this server to a plan. The caller holds f.mu and has checked
// that there is no promise yet.
func (f *Founder) makePromise(plan Plan) {
	f.promised = &plan
	f.config.Logger.Info("founding: promised to found a cluster of " + plan.String() + " and no other until a restart")
}

// promise binds this server to a plan, or reports false if it is bound to
// another one.
func (f *Founder) promise(plan Plan) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.promised == nil {
		f.makePromise(plan)
	}
	return f.promised.Equal(plan)
}

// run makes one attempt after another until the cluster is founded or ctx ends.
func (f *Founder) run(ctx context.Context) {
	changed, stop := f.config.View.Watch()
	defer stop()
	for !f.attempt(ctx) {
		timer := time.NewTimer(f.config.Retry)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// attempt goes once through all steps and reports whether the cluster is
// founded.
func (f *Founder) attempt(ctx context.Context) (founded bool) {
	seen := f.assess()
	whom, question := seen.settled, gossip.UUID{}
	if seen.plan != nil {
		// This server answers its own question first, like any other.
		if !f.promise(*seen.plan) {
			f.setState(statef("gossip shows %s", seen.plan))
			return false
		}
		whom, question = seen.plan.Servers, seen.plan.ClusterID()
	}
	if len(whom) == 0 {
		f.setState(seen.state)
		return false
	}
	d := judge(f.self, seen.plan, f.askAll(ctx, whom, question))
	if d.found == nil {
		f.setState(d.state)
		return false
	}
	if !f.promise(*d.found) {
		f.setState(statef("%s have founded cluster %s with this server", d.found, d.found.ClusterID()))
		return false
	}
	if err := f.config.Found(ctx, *d.found); err != nil {
		f.setState(state{text: "cannot write the founding of the cluster", detail: err.Error()})
		return false
	}
	f.mu.Lock()
	f.cluster, f.plan = d.found.ClusterID(), d.found
	f.mu.Unlock()
	f.setState(statef("founded cluster %s of %s", d.found.ClusterID(), d.found))
	return true
}

// askAll puts the question to some servers at the same time, leaving this one
// out, and returns what each replied.
func (f *Founder) askAll(ctx context.Context, whom []Server, plan gossip.UUID) []reply {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var replies []reply
	for _, s := range whom[:min(len(whom), MaxServers)] {
		if s.ID != f.self.ID {
			replies = append(replies, reply{from: s})
		}
	}
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			r := &replies[i]
			r.answer, r.err = f.ask(ctx, r.from, plan)
		})
	}
	wg.Wait()
	return replies
}

// ask puts the question to one server. An answer by anybody else, for example by
// the process that has taken over its port, is no answer.
func (f *Founder) ask(ctx context.Context, whom Server, plan gossip.UUID) (answer, error) {
	b, err := f.config.Ask(ctx, whom.RPCAddr, encodeQuestion(plan))
	if err != nil {
		return answer{}, err
	}
	a, err := decodeAnswer(b)
	if err != nil {
		return answer{}, err
	}
	if a.id != whom.ID || a.instance != whom.InstanceID {
		return answer{}, fmt.Errorf("at %s answers server %d with data directory %s, not %s with %s",
			whom.RPCAddr, a.id, a.instance, serverName(whom.ID), whom.InstanceID)
	}
	return a, nil
}

// setState records where things stand, and logs it if it is news.
func (f *Founder) setState(s state) {
	f.mu.Lock()
	news := f.state.text != s.text && !f.closed
	f.state = s
	f.mu.Unlock()
	if news {
		f.config.Logger.Info("founding: " + s.String())
	}
}
