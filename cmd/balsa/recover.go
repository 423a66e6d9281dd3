package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"balsa/cmd/balsa/internal/server"
	"balsa/raft"
)

// recoverFlag is as long as it is so that nobody types it without reading it.
const recoverFlag = "i-know-data-may-be-lost"

var errNotConfirmed = errors.New("nothing was changed: repeat the command with --" + recoverFlag + " if that is what you want")

func newRecover() *cobra.Command {
	var (
		cfg       server.RecoverConfig
		id        uint64
		confirmed bool
		log       logSettings
	)
	cmd := &cobra.Command{
		Use:     "recover",
		Short:   "Make a cluster of one node after a majority was lost for good",
		GroupID: groupServer,
		Long: `Make a cluster of one node of what it has of a cluster that has lost its majority
for good. The node must be stopped.

What the lost nodes had acknowledged and this one had never received is lost. If
more than one node is left, take the one whose log ends last: without
--` + recoverFlag + ` this command changes nothing and says where it ends.

The new cluster has a new id. The other nodes cannot join it with what they have:
start them with empty data directories and this one as --seed-gossip-addrs.`,
		Example: `  balsa recover --id 3 --data-dir balsa-data/n3
  balsa recover --id 3 --data-dir balsa-data/n3 --` + recoverFlag,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id == 0 {
				return usageErrorf(cmd, "--id is required: the number of the node that the data directory belongs to")
			}
			cfg.ID = raft.NodeID(id)
			if cfg.DataDir == "" {
				cfg.DataDir = filepath.Join("balsa-data", fmt.Sprintf("n%d", id))
			}
			cfg.Logger = log.logger(cmd.ErrOrStderr())
			cfg.Fatal = func(message string) {
				fmt.Fprintln(cmd.ErrOrStderr(), "balsa: "+oneLine(message))
				os.Exit(exitError)
			}
			r, err := server.Recover(cfg, confirmed)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "cluster   %s\nvoters    %v\nlog       ends with entry %d of term %d\nterm      %d\n",
				r.Cluster, r.Voters, r.Last.Index, r.Last.Term, r.Term)
			if r.Lost != (raft.EntryID{}) {
				fmt.Fprintf(out, "LOST      the disk of this node has lost the end of its log, which went up to entry %d of term %d\n",
					r.Lost.Index, r.Lost.Term)
			}
			if !confirmed {
				return errNotConfirmed
			}
			fmt.Fprintf(out, "\nRECOVERED: node %d is a cluster of its own now, %s.\n"+
				"What others have acknowledged after entry %d is lost. Start this node, and the\n"+
				"others with EMPTY data directories and this one as --seed-gossip-addrs.\n", id, r.NewCluster, r.Last.Index)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&id, "id", 0, "the `number` of the node (required)")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "its data `directory` (default balsa-data/n and the id)")
	flags.BoolVar(&confirmed, recoverFlag, false, "do it")
	log.addFlags(flags)
	fromEnvironment(cmd, "recover")
	return cmd
}
