// Command balsa is a replicated key-value store: the server, a demonstration
// cluster, and the tools to use and to measure one.
//
// Reading order: main.go, exit.go (what the exit codes mean), settings.go
// (flags, environment, file), values.go (kinds of flags), logging.go, serve.go,
// demo.go, client.go, status.go, members.go (the operator's commands),
// members_view.go, bench.go, sim.go (sim_hunt.go, sim_report.go), version.go.
// What runs a node is in internal/server, a cluster on one machine in
// internal/demo, and the load generator in internal/bench.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks to stop; with the handler gone, the second one ends
	// the process at once.
	context.AfterFunc(ctx, stop)

	root := newRoot()
	root.SetArgs(seedForm(args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(errs, "balsa: "+oneLine(err.Error()))
	}
	return exitCode(err)
}

// seedForm lets a node be started without naming a command: balsa --id 1 ...
func seedForm(args []string) []string {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") || slices.Contains([]string{"-h", "--help", "-v", "--version"}, args[0]) {
		return args
	}
	return append([]string{"serve"}, args...)
}

const (
	groupServer  = "server"
	groupClient  = "client"
	groupMembers = "members"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "balsa",
		Short: "A replicated key-value store",
		Long: `balsa is a replicated key-value store. Its nodes agree through Raft, so what
was acknowledged survives the loss of any minority of them.

Try it:         balsa demo
Run one node:   balsa serve --id 1 --rpc-addr 127.0.0.1:21001

Exit codes: ` + exitCodesHelp,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,

		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("balsa {{.Version}}\n")
	root.SetGlobalNormalizationFunc(dashes)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageErrorf(cmd, "%w", err)
	})
	root.AddGroup(
		&cobra.Group{ID: groupServer, Title: "Running a cluster:"},
		&cobra.Group{ID: groupClient, Title: "Using a cluster:"},
		&cobra.Group{ID: groupMembers, Title: "Changing a cluster:"},
	)
	root.AddCommand(newServe(), newDemo(), newRecover(), newPut(), newGet(), newDel(), newStatus(), newBench(), newSim(), newVersion())
	root.AddCommand(newMembers(), newAdd(), newRemove(), newPromote(), newDemote(), newTransfer(), newLeave())
	return root
}

// onlyCommands refuses a command that does not exist.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("there is no command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usageErrorf(cmd, "%s", message)
}

// dashes lets every flag be written with underscores as well: the seed document
// of this system has a flag --node_id.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}
