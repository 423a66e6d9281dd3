package main

import (
	"os"

	"github.com/spf13/cobra"

	"balsa/cmd/balsa/internal/demo"
)

func newDemo() *cobra.Command {
	var (
		cfg    demo.Config
		offset int
		color  colorMode
	)
	cmd := &cobra.Command{
		Use:     "demo [-- FLAGS OF SERVE]",
		Short:   "Run a cluster of three nodes on this machine",
		GroupID: groupServer,
		Long: `Run a cluster on this machine, in the foreground, each node a process of its own.
It prints where to look and what to try. Ctrl-C ends the cluster.

Kill a node, and see the others go on; the demo prints the command that starts
it again.`,
		Example: `  balsa demo
  balsa demo --data-dir ./demo-data --nodes 5
  balsa demo --port-offset 100 -- --log-level debug --heartbeat 20ms`,
		Args: func(cmd *cobra.Command, args []string) error {
			if before := cmd.ArgsLenAtDash(); before > 0 || before < 0 && len(args) > 0 {
				return usageErrorf(cmd, "%s takes no arguments, but was given %q; flags for the nodes follow after --", cmd.CommandPath(), args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			executable, err := os.Executable()
			if err != nil {
				return err
			}
			if cfg.Nodes < 1 || cfg.Nodes > demo.MaxNodes {
				return usageErrorf(cmd, "--nodes %d: between 1 and %d", cfg.Nodes, demo.MaxNodes)
			}
			for _, port := range []*int{&cfg.APIPort, &cfg.RPCPort, &cfg.GossipPort} {
				if *port == 0 {
					continue
				}
				*port += offset
				if *port < 1 || *port+cfg.Nodes-1 > 65535 {
					return usageErrorf(cmd, "there are no %d ports from %d on: they end at 65535", cfg.Nodes, *port)
				}
			}
			cfg.Executable, cfg.Args = executable, args
			cfg.Out = cmd.OutOrStdout()
			cfg.Color = colored(color, cfg.Out)
			return demo.Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&cfg.Nodes, "nodes", 3, "`number` of nodes")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "`directory` for the nodes' data, kept at the end (default a temporary one, removed at the end)")
	flags.IntVar(&offset, "port-offset", 0, "`number` to add to every port")
	flags.IntVar(&cfg.APIPort, "base-api-port", 3001, "`port` of node 1 for clients; the others count up from it; 0: any free ones")
	flags.IntVar(&cfg.RPCPort, "base-rpc-port", 21001, "`port` of node 1 for the other nodes; the others count up from it; 0: any free ones")
	flags.IntVar(&cfg.GossipPort, "base-gossip-port", 20001, "`port` of node 1 for gossip; the others count up from it; 0: any free ones")
	flags.BoolVar(&cfg.Restart, "restart", false, "start a node again that ended")
	colorFlag(flags, &color, "color", "the output")
	fromEnvironment(cmd, "demo")
	return cmd
}
