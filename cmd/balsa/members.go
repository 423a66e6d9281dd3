package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"balsa/api/client"
	"balsa/api/wire"
)

// operatorCommand is what the commands about members have in common.
type operatorCommand struct {
	connection
	output outputFormat
}

// addFlags is called when the flags of the command's own are there. Their
// variables have the command's name in them: a node's $BALSA_RPC_ADDR must not
// become the address of a server that is added.
func (o *operatorCommand) addFlags(cmd *cobra.Command) {
	cmd.GroupID = groupMembers
	o.connection.addFlags(cmd.Flags())
	addOutputFlag(cmd.Flags(), &o.output)
	fromEnvironment(cmd, cmd.Name())
}

// change opens a client and does with it what changes a member.
func (o *operatorCommand) change(cmd *cobra.Command, do func(*client.Client) (wire.MemberResult, error)) (wire.MemberResult, error) {
	c, err := o.open(cmd)
	if err != nil {
		return wire.MemberResult{}, err
	}
	defer c.Close()
	result, err := do(c)
	return result, advise(o.explain(err))
}

// print writes the result of a change.
func (o *operatorCommand) print(cmd *cobra.Command, result wire.MemberResult) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), result)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), result.Message)
	return err
}

// advice is what to do next about a refusal, where its own words do not say so.
var advice = map[string]string{
	wire.NoSuchMember:         "balsa members lists them all",
	wire.ChangePending:        "balsa members shows it",
	wire.ConfigurationChanged: "look at balsa members and decide anew",
	wire.NotCaughtUp:          "balsa members shows how far it is",
	wire.NoLiveMajority:       "balsa members shows who is silent: bring them back or remove them first",
	wire.TransferFailed:       "balsa members shows who leads",
}

// advise says what to do about a change that was not made.
func advise(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case e.Problem == nil && errors.Is(err, client.ErrOutcomeUnknown):
		return fmt.Errorf("%w; look at balsa members before trying again", err)
	case e.Problem != nil && advice[e.Problem.Type] != "":
		return fmt.Errorf("%w; %s", err, advice[e.Problem.Type])
	}
	return err
}

// nodeID reads the argument that names a node.
func nodeID(cmd *cobra.Command, text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return 0, usageErrorf(cmd, "%q is no id of a node: they are numbers from 1 on", text)
	}
	return id, nil
}

func newMembers() *cobra.Command {
	var o operatorCommand
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Show the members, and what becomes of whom",
		Long: `Show who votes, who learns, and what the leader is about to do with whom: who
is catching up and how far, who is about to become a voter, who is refused and
why. Nodes that gossip sees and that are no members are there, too.

balsa status asks every node about itself instead.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			view, err := o.members(cmd.Context(), cmd)
			if err != nil {
				return err
			}
			if o.output == outputJSON {
				return printJSON(cmd.OutOrStdout(), view)
			}
			return printMembership(cmd.OutOrStdout(), view)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func newAdd() *cobra.Command {
	var (
		o                   operatorCommand
		voter               bool
		rpcAddr, instanceID string
		wait                time.Duration
	)
	cmd := &cobra.Command{
		Use:   "add ID",
		Short: "Add a server to the cluster",
		Long: `Add a server to the cluster. It must run, with --seed-gossip-addrs, so that
gossip sees it; one that gossip does not see needs --rpc-addr and --instance-id.

It becomes a learner, which receives everything and has no vote, and votes when
the cluster promotes it. With --voter it does as soon as it has caught up; the
command does not wait for that, unless it is told to with --wait.`,
		Example: `  balsa add 4
  balsa add 4 --voter --wait 1m
  balsa add 4 --rpc-addr 10.0.0.4:21001 --instance-id 9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c04`,
		Args: exactly("the id of a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := nodeID(cmd, args[0])
			if err != nil {
				return err
			}
			if wait > 0 && !voter {
				return usageErrorf(cmd, "--wait waits until the server votes: add --voter")
			}
			result, err := o.change(cmd, func(c *client.Client) (wire.MemberResult, error) {
				return c.AddMember(cmd.Context(), id, voter, rpcAddr, instanceID)
			})
			if err != nil {
				return err
			}
			return o.waitAndPrint(cmd, result, wait)
		},
	}
	cmd.Flags().BoolVar(&voter, "voter", false, "it is to vote, as soon as it has caught up")
	cmd.Flags().StringVar(&rpcAddr, "rpc-addr", "", "`address` of its port for other nodes, if gossip does not see it")
	cmd.Flags().StringVar(&instanceID, "instance-id", "", "identity of its data directory, if gossip does not see it: its /api/cluster tells the `UUID`")
	addWaitFlag(cmd, &wait)
	o.addFlags(cmd)
	o.completeIDs(cmd, func(m wire.Member) bool { return m.Role == wire.RoleNone && m.Status == wire.StatusAlive })
	return cmd
}

func newPromote() *cobra.Command {
	var (
		o    operatorCommand
		wait time.Duration
	)
	cmd := &cobra.Command{
		Use:   "promote ID",
		Short: "Make a learner a voter",
		Long: `Make a learner a voter. If it has not caught up yet it becomes one as soon as it
has; the command does not wait for that, unless it is told to with --wait.`,
		Example: `  balsa promote 4
  balsa promote 4 --wait 1m`,
		Args: exactly("the id of a node"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := nodeID(cmd, args[0])
			if err != nil {
				return err
			}
			result, err := o.change(cmd, func(c *client.Client) (wire.MemberResult, error) { return c.Promote(cmd.Context(), id) })
			if err != nil {
				return err
			}
			return o.waitAndPrint(cmd, result, wait)
		},
	}
	addWaitFlag(cmd, &wait)
	o.addFlags(cmd)
	o.completeIDs(cmd, func(m wire.Member) bool { return m.Role == wire.RoleLearner })
	return cmd
}

func newDemote() *cobra.Command {
	return newMemberChange(&cobra.Command{
		Use:   "demote ID",
		Short: "Take a voter's vote away",
		Long: `Make a voter a learner: it goes on receiving everything and serving reads, and
has no vote any more. It stays a learner until it is promoted. A learner that is
demoted is held back in the same way.`,
		Example: `  balsa demote 4`,
	}, (*client.Client).Demote, wire.RoleLeader, wire.RoleFollower, wire.RoleLearner)
}

func newRemove() *cobra.Command {
	return newMemberChange(&cobra.Command{
		Use:   "remove ID",
		Short: "Remove a member for good",
		Long: `Remove a member for good, whether it is up or not. A leader hands over first.

With the data directory that it has it can never come back; with an empty one it
can be added again, under the same id or another. To take out a node that runs,
balsa leave is the better way: it stops the node as well.`,
		Example: `  balsa remove 4`,
	}, (*client.Client).RemoveMember, wire.RoleLeader, wire.RoleFollower, wire.RoleLearner)
}

// newMemberChange completes a command that changes one member; members of these
// roles are proposed by completion.
func newMemberChange(cmd *cobra.Command, change func(*client.Client, context.Context, uint64) (wire.MemberResult, error), roles ...string) *cobra.Command {
	var o operatorCommand
	cmd.Args = exactly("the id of a node")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := nodeID(cmd, args[0])
		if err != nil {
			return err
		}
		result, err := o.change(cmd, func(c *client.Client) (wire.MemberResult, error) { return change(c, cmd.Context(), id) })
		if err != nil {
			return err
		}
		return o.print(cmd, result)
	}
	o.addFlags(cmd)
	o.completeIDs(cmd, func(m wire.Member) bool { return slices.Contains(roles, m.Role) })
	return cmd
}

func newTransfer() *cobra.Command {
	var o operatorCommand
	cmd := &cobra.Command{
		Use:   "transfer [ID]",
		Short: "Hand over leadership",
		Long: `Make another voter the leader: the given one, or else the one whose log is
longest. Requests wait for the moment that it takes, and none is lost.`,
		Example: `  balsa transfer
  balsa transfer 2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageErrorf(cmd, "%s takes the id of a node or nothing, but was given %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var to uint64
			if len(args) == 1 {
				var err error
				if to, err = nodeID(cmd, args[0]); err != nil {
					return err
				}
			}
			c, err := o.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			leader, err := c.TransferLeadership(cmd.Context(), to)
			if err != nil {
				return advise(o.explain(err))
			}
			if o.output == outputJSON {
				return printJSON(cmd.OutOrStdout(), wire.TransferResult{LeaderID: leader})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "node %d leads now\n", leader)
			return err
		},
	}
	o.addFlags(cmd)
	o.completeIDs(cmd, func(m wire.Member) bool { return m.Role == wire.RoleFollower })
	return cmd
}

func newLeave() *cobra.Command {
	var o operatorCommand
	cmd := &cobra.Command{
		Use:   "leave --endpoints ADDRESS",
		Short: "Make a node leave the cluster for good",
		Long: `Make the node at an address leave its cluster for good: it hands over leadership
if it leads, removes itself, and stops. With the data directory that it has it
can never come back.

A node that is to come back is simply stopped: it stays a member.`,
		Example: `  balsa leave --endpoints 127.0.0.1:3003`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Neither a default nor a variable may choose the node.
			if !cmd.Flags().Changed(endpointsFlag) || len(o.endpoints) != 1 {
				return usageErrorf(cmd, "name the one node that is to leave: --endpoints and its API address")
			}
			result, err := o.change(cmd, func(c *client.Client) (wire.MemberResult, error) {
				status, err := c.Status(cmd.Context())
				if err != nil {
					return wire.MemberResult{}, err
				}
				return c.RemoveMember(cmd.Context(), status.NodeID)
			})
			if err != nil {
				return err
			}
			result.Message += "; it stops now"
			return o.print(cmd, result)
		},
	}
	o.addFlags(cmd)
	return cmd
}
