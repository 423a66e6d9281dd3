package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"balsa/api"
	"balsa/gossip"
	"balsa/gossip/autopilot"
	"balsa/gossip/founding"
	"balsa/kv"
	"balsa/raft"
	"balsa/raft/logstore"
	"balsa/raft/node"
	"balsa/rpc"
)

// server is one running node. Its fields are set while it starts and not
// changed afterwards, except for those that say so.
type server struct {
	cfg Config
	log *slog.Logger

	ports     ports
	logStore  *logstore.Store
	gossip    *gossip.Gossip
	transport *rpc.Transport
	metrics   *metrics

	// founder founds a cluster together with others, or answers those who do.
	founder atomic.Pointer[founding.Founder]
	// joined says that this server speaks for a cluster: its log belongs to one.
	joined atomic.Bool
	// member is nil until this server is a member of a cluster.
	member atomic.Pointer[member]
	// seen is the Raft node's last status, a moment old.
	seen atomic.Pointer[raft.Status]
	// awaited is what a server that no cluster has admitted yet waits for.
	awaited atomic.Pointer[string]
	// promotions are the learners that are to vote as soon as they have caught
	// up, by id.
	promotions sync.Map

	// suspicious says that this server is finding out whether it was removed.
	suspicious atomic.Bool
	// leaving counts the requests under way that ask for the removal of this server.
	leaving atomic.Int32

	// failed receives the first thing that this server cannot go on without.
	failed chan error
	// left is closed when this server was asked to leave its cluster, and has.
	left      chan struct{}
	leaveOnce sync.Once

	background *background
	serving    sync.WaitGroup // the API
	endServing context.CancelFunc
}

// member is what a server runs once it belongs to a cluster.
type member struct {
	state     *kv.State
	node      *node.Node
	store     *kv.Store
	autopilot *autopilot.Autopilot
}

// Run runs a node until ctx ends, and then stops it in order; it returns nil if
// all went well. An error means that it could not start, or that it stopped by
// itself because it could not go on.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(ctx); err != nil {
		return err
	}
	s := &server{
		cfg: cfg, log: cfg.Logger, background: newBackground(ctx),
		failed: make(chan error, 1), left: make(chan struct{}),
	}
	if err := s.start(ctx); err != nil {
		s.stop(false)
		return err
	}
	select {
	case err := <-s.failed:
		s.stop(false)
		return err
	case <-s.left:
		s.log.Info("this node has left its cluster; it cannot come back with this data directory, which can be deleted")
		s.stop(true)
		return nil
	case <-ctx.Done():
		s.handOver()
		s.log.Info(fmt.Sprintf("stopping: requests under way have %v to finish", cfg.ShutdownTimeout))
		s.stop(true)
		s.log.Info("stopped")
		return nil
	}
}

// start starts everything. Whatever it has started when it fails, stop stops.
func (s *server) start(ctx context.Context) error {
	var err error
	if s.ports, err = openPorts(ctx, s.cfg); err != nil {
		return err
	}
	if err = s.openLog(); err != nil {
		return err
	}
	identity := s.logStore.Identity()
	if s.gossip, err = s.startGossip(ctx, identity); err != nil {
		return err
	}
	if s.transport, err = s.startTransport(identity); err != nil {
		return err
	}
	s.log.Info("listening", "api", "http://"+s.ports.apiAddr, "rpc", s.ports.rpcAddr,
		"gossip", s.gossip.Self().GossipAddr, "data", s.cfg.DataDir)

	s.metrics = newMetrics(s)
	joined := s.joined.Load() // the founder may change it any time
	if err = s.startFounder(); err != nil {
		return err
	}
	s.startAPI(ctx)
	s.background.run(s.publish)
	if joined {
		return s.become()
	}
	s.background.run(s.seekAdmission)
	return nil
}

func (s *server) startGossip(ctx context.Context, identity logstore.Identity) (*gossip.Gossip, error) {
	timing := gossip.TimingLAN
	if exposed, err := beyondLoopback(ctx, hostOf(s.cfg.GossipAddr)); err == nil && !exposed {
		timing = gossip.TimingLocal
	}
	generation, err := gossip.NextGeneration(filepath.Join(s.cfg.DataDir, "generation"))
	if err != nil {
		s.log.Warn(err.Error()) // gossip manages without
	}
	expect := 0
	if identity.ClusterID == [16]byte{} {
		expect = s.cfg.BootstrapExpect
	}
	g, err := gossip.Start(ctx, gossip.Config{
		ID:         uint64(s.cfg.ID),
		InstanceID: gossip.UUID(identity.InstanceID),
		Name:       s.cfg.GossipName,
		Bind:       s.cfg.GossipAddr,
		Advertise:  s.cfg.AdvertiseGossip,
		RPCAddr:    s.ports.rpcAddr,
		APIAddr:    s.ports.apiAddr,
		Cluster:    s.cfg.ClusterName,
		ClusterID:  gossip.UUID(identity.ClusterID),
		Generation: generation,
		Expect:     expect,
		Seeds:      s.cfg.Seeds,
		Timing:     timing,
		Logger:     s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("--gossip-addr: %w", err)
	}
	return g, nil
}

func (s *server) startTransport(identity logstore.Identity) (*rpc.Transport, error) {
	return rpc.New(rpc.Config{
		Listener:         s.ports.takeRPC(),
		Node:             s.cfg.ID,
		Instance:         identity.InstanceID,
		Cluster:          s.clusterID,
		Handler:          inbound{s},
		Resolver:         s.resolve,
		Admit:            s.admit,
		OnConnectionLost: s.connectionLost,
		OnRefused:        s.refused,
		SnapshotRate:     s.cfg.snapshotRate(),
		Logger:           s.log,
	})
}

func (s *server) startAPI(ctx context.Context) {
	handler := s.metrics.mount(api.New(api.Config{
		Store:          lateStore{s},
		Cluster:        clusterView{s},
		Leader:         s.leader,
		NodeID:         uint64(s.cfg.ID),
		Version:        s.cfg.Version,
		MaxValueBytes:  s.cfg.MaxValue,
		RequestTimeout: s.cfg.RequestTimeout,
		AllowedHosts:   s.cfg.AllowedHosts,
		Logger:         s.log,
	}))
	limits := api.Limits{ShutdownTimeout: s.cfg.ShutdownTimeout}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	s.endServing = end
	listener := s.ports.takeAPI()
	s.serving.Go(func() {
		if err := api.Serve(serving, listener, handler, limits, s.log); err != nil {
			s.fail(err)
		}
	})
}

// become makes this server a member of the cluster that its log belongs to.
func (s *server) become() error {
	identity := s.logStore.Identity()
	state, err := kv.OpenState(s.stateDir(), kv.Options{
		Identity: kv.Identity{Cluster: identity.ClusterID, Node: s.cfg.ID},
		Logger:   s.log,
		Fatal:    func(err error) { s.cfg.Fatal(err.Error()) },
	})
	if err != nil {
		return err
	}
	n, err := node.Start(node.Config{
		ID:           s.cfg.ID,
		Instance:     identity.InstanceID,
		Log:          s.logStore,
		Transport:    s.transport,
		StateMachine: state,
		Heartbeat:    s.cfg.Heartbeat,
		Election:     s.cfg.Election,
		TailEntries:  s.cfg.LogTail,
		Logger:       s.log,

		IgnoreConnectionLoss: !s.cfg.FailoverHint,
	})
	if err != nil {
		return errors.Join(err, state.Close())
	}
	changed := make(chan struct{}, 1)
	pilot, err := autopilot.Start(autopilot.Config{
		Raft:              n,
		View:              s.gossip,
		ClusterID:         identity.ClusterID,
		Enabled:           s.cfg.Autopilot,
		MaxVoters:         s.cfg.MaxVoters,
		StabilizationTime: s.cfg.StabilizationTime,
		RemoveDeadAfter:   s.cfg.RemoveDeadAfter,
		Silence:           s.cfg.silence(),
		Interval:          min(time.Second, s.cfg.StabilizationTime/5),
		Changed:           changed,
		Logger:            s.log,
	})
	if err != nil {
		return errors.Join(err, n.Stop(), state.Close())
	}
	s.member.Store(&member{
		state:     state,
		node:      n,
		autopilot: pilot,
		store: kv.NewStore(state, s.metrics.count(n), s.transport, kv.StoreOptions{
			MaxValue:    s.cfg.MaxValue,
			Timeout:     s.cfg.RequestTimeout,
			MaxRequests: s.cfg.MaxInFlight,
		}),
	})
	s.background.run(func(ctx context.Context) { s.watch(ctx, n, changed) })
	return nil
}

// statusInterval is how old the status in seen may be. It only serves hints and
// metrics.
const statusInterval = 100 * time.Millisecond

// watch keeps seen up to date, passes on that something has changed, and notices
// when the Raft node stops by itself.
func (s *server) watch(ctx context.Context, n *node.Node, pilot chan<- struct{}) {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	for news := true; ; {
		changed := n.Changed()
		if status, err := n.Status(ctx); err == nil {
			s.seen.Store(&status)
		}
		if news {
			s.transport.Recheck() // who was removed is cut off
		}
		news = false
		select {
		case <-ticker.C:
		case <-changed:
			news = true
			select {
			case pilot <- struct{}{}:
			default: // it has not looked since the last time
			}
		case <-n.Done():
			if err := n.Err(); err != nil {
				s.fail(err)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

// leader returns the leader that this node knew a moment ago, or 0.
func (s *server) leader() uint64 {
	if m := s.member.Load(); m != nil {
		return uint64(m.node.Leader())
	}
	return 0
}

// fail ends Run with an error, unless it is ending already.
func (s *server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// leavePatience bounds how long stopping waits until the others know. When all
// nodes stop at once there is nobody left to tell.
const leavePatience = 2 * time.Second

// stop stops whatever start has started. With leave it was asked to, and has not
// failed.
func (s *server) stop(leave bool) {
	if s.endServing != nil {
		s.endServing()
		s.serving.Wait()
	}
	if founder := s.founder.Load(); founder != nil {
		founder.Close()
	}
	s.background.end()
	if s.gossip != nil {
		// To leave is to be gone for good. A member that stops has not left: it
		// is expected back, after a rolling restart for instance.
		if leave && (s.member.Load() == nil || s.hasLeft()) {
			ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
			s.complain(s.gossip.Leave(ctx))
			cancel()
		}
		s.complain(s.gossip.Close())
	}
	member := s.member.Load()
	if member != nil {
		member.autopilot.Close()
		_ = member.node.Stop() // watch has reported why, if it stopped by itself
	}
	if s.transport != nil {
		s.complain(s.transport.Close())
	}
	if member != nil {
		s.complain(member.state.Close())
	}
	if s.logStore != nil {
		s.complain(s.logStore.Close())
	}
	s.ports.close()
}

// complain logs an error that stands in nobody's way any more.
func (s *server) complain(err error) {
	if err != nil {
		s.log.Warn("while stopping: " + err.Error())
	}
}

func (s *server) stateDir() string { return filepath.Join(s.cfg.DataDir, "state") }
func (s *server) logDir() string   { return filepath.Join(s.cfg.DataDir, "log") }
