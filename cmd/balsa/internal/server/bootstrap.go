package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"balsa/gossip"
	"balsa/gossip/founding"
	"balsa/raft"
	"balsa/raft/logstore"
)

// openLog opens the log and with it the data directory, which stays locked
// until the log is closed. An empty one that is to become a cluster of its own
// becomes that at once; nobody else has to be asked.
func (s *server) openLog() error {
	store, err := logstore.Open(s.logDir(), logstore.Options{
		NodeID:      s.cfg.ID,
		LazyWitness: s.cfg.LazyWitness,
		Logger:      s.log,
		Fatal:       s.cfg.Fatal,
	})
	if err != nil {
		return err
	}
	s.logStore = store
	if !store.Pristine() {
		s.log.Info("restarting as a member of a cluster", "cluster", gossip.UUID(store.Identity().ClusterID).String())
		return s.join()
	}
	if err := s.refuseLostLog(); err != nil {
		return err
	}
	if s.cfg.foundsAlone() {
		return s.foundAlone()
	}
	return nil
}

// refuseLostLog refuses a data directory that has a state but no log: somebody
// has removed the log, and what this node has promised to others is gone with
// it.
func (s *server) refuseLostLog() error {
	files, err := os.ReadDir(s.stateDir())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("--data-dir %s: %q holds the state of a cluster member, but its log in %q is empty or gone: "+
		"restore the log, or start a new node with a new --id and an empty --data-dir",
		s.cfg.DataDir, s.stateDir(), s.logDir())
}

// join makes this server speak for the cluster that its log belongs to.
func (s *server) join() error {
	_, log, err := s.logStore.State()
	if err != nil {
		return err
	}
	if n := len(log.Configurations); n > 0 {
		s.seen.Store(&raft.Status{Configuration: log.Configurations[n-1].Configuration})
	}
	s.joined.Store(true)
	return nil
}

// foundsAlone says whether an empty data directory becomes a cluster of one.
func (c Config) foundsAlone() bool {
	return c.BootstrapExpect == 1 || c.BootstrapExpect == 0 && len(c.Seeds) == 0
}

// foundAlone founds a cluster of this node alone.
func (s *server) foundAlone() error {
	plan := founding.Plan{Servers: []founding.Server{{
		ID:         uint64(s.cfg.ID),
		InstanceID: gossip.UUID(s.logStore.Identity().InstanceID),
		RPCAddr:    s.ports.rpcAddr,
	}}}
	if err := s.found(plan); err != nil {
		return err
	}
	s.log.Info("founded a cluster of this node alone", "cluster", plan.ClusterID().String())
	return nil
}

// found stores the beginning of the cluster that a plan makes, and makes this
// server speak for it. Nothing happens if it was done before.
func (s *server) found(plan founding.Plan) error {
	cluster := plan.ClusterID()
	if s.logStore.Identity().ClusterID == cluster {
		return nil
	}
	var c raft.Configuration
	for _, founder := range plan.Servers {
		c.Members = append(c.Members, raft.Member{
			ID: raft.NodeID(founder.ID), Instance: raft.InstanceID(founder.InstanceID), Address: founder.RPCAddr, Votes: true,
		})
	}
	entry, err := raft.FoundingEntry(c)
	if err != nil {
		return err
	}
	if err := s.logStore.Found(cluster, raft.FoundingHardState(), []raft.Entry{entry}); err != nil {
		return fmt.Errorf("founding the cluster: %w", err)
	}
	return s.join()
}

// startFounder starts what founds a cluster together with others, or answers
// those who do if this server belongs to one already.
func (s *server) startFounder() error {
	identity := s.logStore.Identity()
	cfg := founding.Config{
		ID:         uint64(s.cfg.ID),
		InstanceID: gossip.UUID(identity.InstanceID),
		Expect:     s.cfg.BootstrapExpect,
		ClusterID:  gossip.UUID(identity.ClusterID),
		View:       s.gossip,
		Ask: func(ctx context.Context, addr string, question []byte) ([]byte, error) {
			answer, _, err := s.transport.Ask(ctx, addr, question)
			return answer, err
		},
		Found: func(_ context.Context, plan founding.Plan) error {
			if err := s.found(plan); err != nil {
				return err
			}
			s.gossip.SetClusterID(plan.ClusterID())
			if err := s.become(); err != nil {
				// What the log says now cannot be taken back: only a restart
				// can make this server a member.
				s.fail(err)
				return err
			}
			return nil
		},
		Logger: s.log,
	}
	if s.joined.Load() {
		plan, err := s.planOfLog()
		if err != nil {
			return err
		}
		cfg.Plan = plan
	}
	founder, err := founding.Start(cfg)
	if err != nil {
		return err
	}
	s.founder.Store(founder)
	return nil
}

// planOfLog returns how the cluster was founded that this server belongs to, or
// nil if its log does not say: it does not begin with the first entry any more,
// or this server has joined a cluster that others founded.
func (s *server) planOfLog() (*founding.Plan, error) {
	_, log, err := s.logStore.State()
	if err != nil || len(log.Configurations) == 0 || log.Configurations[0].Index != 1 {
		return nil, err
	}
	plan := new(founding.Plan)
	for _, m := range log.Configurations[0].Configuration.Members {
		plan.Servers = append(plan.Servers, founding.Server{
			ID: uint64(m.ID), InstanceID: gossip.UUID(m.Instance), RPCAddr: m.Address,
		})
	}
	if plan.ClusterID() != s.logStore.Identity().ClusterID {
		return nil, nil // the cluster was recovered, and is another one since
	}
	return plan, nil
}

// waiting says in a sentence what this server waits for before it becomes a
// member.
func (s *server) waiting() string {
	founder := s.founder.Load()
	switch {
	case s.joined.Load() || founder == nil:
		return "starting"
	case s.cfg.BootstrapExpect == 0:
		what := "looking for one through --seed-gossip-addrs; to found one of N nodes, start each of them with --bootstrap-expect N"
		if awaited := s.awaited.Load(); awaited != nil {
			what = *awaited
		}
		return "waiting to be added to a cluster: " + what
	}
	return founder.State()
}
