package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"balsa/cmd/balsa/internal/demo"
	"balsa/cmd/balsa/internal/server"
	"balsa/gossip"
	"balsa/raft"
)

// The values of --witness.
const (
	witnessStrict = "strict"
	witnessLazy   = "lazy"
)

func newServe() *cobra.Command {
	var (
		cfg      server.Config
		id       uint64
		maxValue = byteSize(1 << 20)
		rate     = byteSize(64 << 20)
		witness  string
		log      logSettings
		config   string
	)
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run one node",
		GroupID: groupServer,
		Long: `Run one node of a cluster, in the foreground. "balsa --id 1 ..." means the same.

A data directory that already belongs to a cluster is restarted, whatever the
flags say about founding. With an empty one, the node founds a cluster of its
own if it gets neither --seed-gossip-addrs nor --bootstrap-expect. With
--bootstrap-expect N, N nodes that find each other found one together. With
seeds alone the node joins the cluster that it finds: as a learner at first, as a
voter when it has caught up. It never founds one.`,
		Example: `  A cluster of one:
    balsa serve --id 1 --rpc-addr 127.0.0.1:21001 --api-addr 127.0.0.1:3001

  A second node, which joins it:
    balsa serve --id 2 --rpc-addr 127.0.0.1:21002 --api-addr 127.0.0.1:3002 \
      --gossip-addr 127.0.0.1:20002 --seed-gossip-addrs 127.0.0.1:9000

  One of three that found a cluster together:
    balsa serve --id 1 --rpc-addr 127.0.0.1:21001 --api-addr 127.0.0.1:3001 \
      --gossip-addr 127.0.0.1:20001 --seed-gossip-addrs 127.0.0.1:20002 --bootstrap-expect 3`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.ID, cfg.MaxValue, cfg.SnapshotRate, cfg.Version = raft.NodeID(id), int(maxValue), int(rate), version()
			if cfg.DataDir == "" {
				cfg.DataDir = filepath.Join("balsa-data", fmt.Sprintf("n%d", id))
			}
			cfg.LazyWitness = witness == witnessLazy
			cfg.Logger = log.logger(cmd.ErrOrStderr())
			cfg.Fatal = func(message string) {
				fmt.Fprintln(cmd.ErrOrStderr(), "balsa: "+oneLine(message))
				os.Exit(exitError)
			}
			demo.EndWithParent()
			return server.Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&id, "id", 0, "the `number` of this node, from 1, never used for another one again (required)")
	flags.StringVar(&cfg.RPCAddr, "rpc-addr", "", "`address` for the other nodes (required)")
	flags.StringVar(&cfg.APIAddr, "api-addr", "127.0.0.1:8080", "`address` for clients: HTTP API, /metrics")
	flags.StringVar(&cfg.GossipAddr, "gossip-addr", "127.0.0.1:9000", "`address` for gossip, over TCP and UDP")
	flags.StringSliceVar(&cfg.Seeds, "seed-gossip-addrs", nil, "gossip `addresses` of other nodes, by which all are found; repeat it or separate by commas")
	flags.StringVar(&cfg.GossipName, "node-id", "", "`name` of this node in gossip (default n and the id)")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "`directory` for everything that must survive (default balsa-data/n and the id)")
	flags.IntVar(&cfg.BootstrapExpect, "bootstrap-expect", 0, "found a cluster together with others, `N` nodes in all, this one included")
	flags.BoolVar(&cfg.Autopilot, "autopilot", true, "while this node leads, make members of the nodes that gossip finds, and remove those that have left")
	flags.IntVar(&cfg.MaxVoters, "max-voters", 5, "how many `voters` the autopilot makes; further nodes stay learners and serve reads")
	flags.DurationVar(&cfg.StabilizationTime, "stabilization-time", 10*time.Second, "how long a learner must be well before the autopilot makes it a voter")
	flags.DurationVar(&cfg.RemoveDeadAfter, "remove-dead-after", 0, "let the autopilot remove members that gossip and Raft have both lost for that long; 0s: never")
	flags.StringVar(&cfg.ClusterName, "cluster-name", gossip.DefaultCluster, "`name` that keeps the gossip of different clusters apart")
	flags.StringVar(&cfg.AdvertiseRPC, "advertise-rpc-addr", "", "`address` at which others reach --rpc-addr, if it is another one")
	flags.StringVar(&cfg.AdvertiseAPI, "advertise-api-addr", "", "`address` at which clients reach --api-addr, if it is another one")
	flags.StringVar(&cfg.AdvertiseGossip, "advertise-gossip-addr", "", "`address` at which others reach --gossip-addr, if it is another one")
	flags.BoolVar(&cfg.Insecure, "insecure", false, "allow addresses that other machines can reach; nothing is encrypted and nobody is asked who he is")
	flags.StringSliceVar(&cfg.AllowedHosts, "allowed-hosts", nil, "host `names`, besides localhost, under which local clients may call the API")
	flags.DurationVar(&cfg.Heartbeat, "heartbeat", 50*time.Millisecond, "pause between a leader's heartbeats")
	flags.DurationVar(&cfg.Election, "election-timeout", 300*time.Millisecond, "shortest silence of a leader before an election; the longest is twice that")
	flags.BoolVar(&cfg.FailoverHint, "failover-hint", true, "elect a new leader at once when connections to the old one break, not only after its silence")
	flags.IntVar(&cfg.LogTail, "log-tail", 50_000, "`entries` of the log to keep for nodes that are behind; who is further behind gets a snapshot")
	choiceFlag(flags, &witness, "witness", "how closely the witness follows the log, by which a node notices that its disk has lost something", witnessStrict, witnessLazy)
	flags.Var(&rate, "snapshot-rate", "how much of a snapshot to send per second; 0: no limit")
	flags.DurationVar(&cfg.RequestTimeout, "request-timeout", 5*time.Second, "how long a request may wait for the cluster")
	flags.DurationVar(&cfg.ShutdownTimeout, "shutdown-timeout", 10*time.Second, "how long requests may take to finish when the node is stopped")
	flags.Var(&maxValue, "max-value-size", "longest value that is accepted")
	flags.IntVar(&cfg.MaxInFlight, "max-in-flight", 4096, "`requests` that may wait at the same time; more are told that the node is busy")
	log.addFlags(flags)
	flags.StringVar(&config, configFlag, "", "TOML `file` with settings, named like the flags")
	fromEnvironment(cmd, "")
	return cmd
}
