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

	// failed receives the first thing that this server cannot go on without.
	failed chan error

	background    sync.WaitGroup // watching the Raft node
	endBackground context.CancelFunc
	serving       sync.WaitGroup // the API
	endServing    context.CancelFunc
}

// member is what a server runs once it belongs to a cluster.
type member struct {
	state *kv.State
	node  *node.Node
	store *kv.Store
}

// Run runs a node until ctx ends, and then stops it in order; it returns nil if
// all went well. An error means that it could not start, or that it stopped by
// itself because it could not go on.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(ctx); err != nil {
		return err
	}
	s := &server{cfg: cfg, log: cfg.Logger, failed: make(chan error, 1)}
	if err := s.start(ctx); err != nil {
		s.stop(false)
		return err
	}
	select {
	case err := <-s.failed:
		s.stop(false)
		return err
	case <-ctx.Done():
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

	background, end := context.WithCancel(context.WithoutCancel(ctx))
	s.endBackground = end
	s.metrics = newMetrics(s)
	joined := s.joined.Load() // the founder may change it any time
	if err = s.startFounder(background); err != nil {
		return err
	}
	s.startAPI(ctx)
	if joined {
		return s.become(background)
	}
	if s.cfg.BootstrapExpect == 0 {
		s.log.Info(s.waiting())
	} // a founder speaks for itself
	return nil
}

func (s *server) startGossip(ctx context.Context, identity logstore.Identity) (*gossip.Gossip, error) {
	timing := gossip.TimingLAN
	if exposed, err := beyondLoopback(ctx, hostOf(s.cfg.GossipAddr)); err == nil && !exposed {
		timing = gossip.TimingLocal
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
func (s *server) become(ctx context.Context) error {
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
		Log:          s.logStore,
		Transport:    s.transport,
		StateMachine: state,
		Heartbeat:    s.cfg.Heartbeat,
		Election:     s.cfg.Election,
		Logger:       s.log,
	})
	if err != nil {
		return errors.Join(err, state.Close())
	}
	s.member.Store(&member{
		state: state,
		node:  n,
		store: kv.NewStore(state, s.metrics.count(n), s.transport, kv.StoreOptions{
			MaxValue:    s.cfg.MaxValue,
			Timeout:     s.cfg.RequestTimeout,
			MaxRequests: s.cfg.MaxInFlight,
		}),
	})
	s.background.Go(func() { s.watch(ctx, n) })
	return nil
}

// statusInterval is how old the status in seen may be. It only serves hints: a
// response header, and the addresses of last resort.
const statusInterval = 100 * time.Millisecond

// watch keeps seen up to date, and notices when the Raft node stops by itself.
func (s *server) watch(ctx context.Context, n *node.Node) {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	for {
		if status, err := n.Status(ctx); err == nil {
			s.seen.Store(&status)
		}
		select {
		case <-ticker.C:
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
	if status := s.seen.Load(); status != nil {
		return uint64(status.Leader)
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
	if s.endBackground != nil {
		s.endBackground()
		s.background.Wait()
	}
	if s.gossip != nil {
		// To leave is to be gone for good. A member that stops has not left: it
		// is expected back, after a rolling restart for instance.
		if leave && s.member.Load() == nil {
			ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
			s.complain(s.gossip.Leave(ctx))
			cancel()
		}
		s.complain(s.gossip.Close())
	}
	member := s.member.Load()
	if member != nil {
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
