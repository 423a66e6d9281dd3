package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"balsa/api/client"
	"balsa/api/wire"
)

// members returns what the leader knows of the members or, if it cannot be
// asked, what another node does.
func (c *connection) members(ctx context.Context, cmd *cobra.Command) (wire.Membership, error) {
	all, err := c.open(cmd)
	if err != nil {
		return wire.Membership{}, err
	}
	defer all.Close()
	view, err := all.Members(ctx)
	if err != nil {
		return view, c.explain(err)
	}
	address := leaderAddress(view)
	if address == "" {
		return view, nil
	}
	leader, err := c.openAt(cmd, address)
	if err != nil {
		return view, nil // what the cluster calls an address is none here
	}
	defer leader.Close()
	ctx, cancel := context.WithTimeout(ctx, min(nodePatience, c.timeout))
	defer cancel()
	if better, err := leader.Members(ctx); err == nil {
		return better, nil
	}
	return view, nil
}

// leaderAddress returns where the leader serves the API, or "" if it is the node
// that gave this view, or nobody knows.
func leaderAddress(view wire.Membership) string {
	for _, m := range view.Members {
		if m.Role == wire.RoleLeader && m.ID != view.NodeID {
			return m.APIAddr
		}
	}
	return ""
}

// printMembership writes a view as a table.
func printMembership(w io.Writer, view wire.Membership) error {
	leader := "none is known"
	if view.LeaderID != 0 {
		leader = fmt.Sprintf("node %d", view.LeaderID)
	}
	fmt.Fprintf(w, "leader: %s   voters: %s   learners: %s\n", leader, numberList(view.Voters), numberList(view.Learners))
	if view.LeaderID != 0 && view.LeaderID != view.NodeID {
		fmt.Fprintf(w, "the leader did not answer; this is what node %d knows\n", view.NodeID)
	}
	printUnderWay(w, view.Change, view.TransferTo)
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "ID\tROLE\tSTATUS\tCONTACT\tMATCH\tCAUGHT UP\tRPC\tAPI\tNOTE")
	for _, m := range view.Members {
		match, contact := unknown, unknown
		if m.MatchIndex != nil {
			match = strconv.FormatUint(*m.MatchIndex, 10)
		}
		if m.LastContactMS != nil && m.ID != view.LeaderID {
			contact = ago(*m.LastContactMS)
		}
		fmt.Fprintln(t, strings.Join([]string{
			strconv.FormatUint(m.ID, 10), m.Role, m.Status, contact, match, cmp.Or(caughtUp(m), unknown),
			cmp.Or(m.RPCAddr, unknown), cmp.Or(m.APIAddr, unknown), cmp.Or(m.Note, unknown),
		}, "\t"))
	}
	return t.Flush()
}

// printUnderWay writes what the leader is busy with, a line each.
func printUnderWay(w io.Writer, change *wire.PendingChange, transferTo uint64) {
	if change != nil {
		how := "voters " + numberList(change.NewVoters)
		if change.Joint {
			how = fmt.Sprintf("voters %s become %s", numberList(change.OldVoters), numberList(change.NewVoters))
		}
		step := "waiting for a majority"
		switch {
		case change.Joint && change.Committed:
			step = "one more step"
		case change.Joint:
			step = "waiting for a majority of both"
		}
		fmt.Fprintf(w, "a change of members is under way: %s (%s)\n", how, step)
	}
	if transferTo != 0 {
		fmt.Fprintf(w, "leadership is being handed over to node %d\n", transferTo)
	}
}

func numberList(ids []uint64) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
}

func ago(milliseconds int64) string {
	return (time.Duration(milliseconds) * time.Millisecond).String() + " ago"
}

// caughtUp says how much a member has of what it is behind, or "".
func caughtUp(m wire.Member) string {
	switch {
	case m.Snapshot != nil:
		return snapshotText(*m.Snapshot)
	case m.CaughtUp != nil:
		return fmt.Sprintf("%d %%", *m.CaughtUp)
	}
	return ""
}

func snapshotText(p wire.SnapshotProgress) string {
	return fmt.Sprintf("%d %% of a snapshot of %s", p.Percent(), roundedSize(p.Size))
}

// roundedSize writes a number of bytes for people.
func roundedSize(n uint64) string {
	for _, u := range slices.Backward(byteUnits[:3]) {
		if n >= uint64(u.bytes) {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.suffix)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func addWaitFlag(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", 0, "wait for so long until the server votes, and tell on stderr what it waits for")
}

// waitAndPrint waits until the member of a change votes, if it does not yet and
// somebody wants that, and writes the result.
func (o *operatorCommand) waitAndPrint(cmd *cobra.Command, result wire.MemberResult, wait time.Duration) error {
	if !result.Done && wait > 0 {
		if err := o.waitForVote(cmd, result.ID, wait); err != nil {
			return err
		}
		result.Done, result.Message = true, fmt.Sprintf("node %d votes now", result.ID)
	}
	return o.print(cmd, result)
}

// waitPause is the time between two looks at a member.
const waitPause = 200 * time.Millisecond

// waitForVote returns when the member votes, for certain.
func (o *operatorCommand) waitForVote(cmd *cobra.Command, id uint64, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), wait)
	defer cancel()
	ticker := time.NewTicker(waitPause)
	defer ticker.Stop()
	told := ""
	for {
		if view, err := o.members(ctx, cmd); err == nil {
			now, votes := standing(view, id)
			if votes {
				return nil
			}
			if now != told {
				fmt.Fprintf(cmd.ErrOrStderr(), "node %d: %s\n", id, now)
				told = now
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: node %d does not vote after %v (%s); balsa members shows how it goes on",
				client.ErrNotNow, id, wait, cmp.Or(told, "nothing is known of it"))
		}
	}
}

// standing says what a member is, and whether it votes for certain.
func standing(view wire.Membership, id uint64) (text string, votes bool) {
	for _, m := range view.Members {
		if m.ID != id || m.Role == wire.RoleNone {
			continue
		}
		switch {
		case !slices.Contains(view.Voters, id):
			return cmp.Or(m.Note, caughtUp(m), "a learner"), false
		case view.Change != nil:
			return "its vote is being committed", false
		}
		return "", true
	}
	return "no member", false
}

// completionPatience is how long completion asks for members: somebody has
// pressed a key.
const completionPatience = 500 * time.Millisecond

// completeIDs lets the shell complete the id of a member, among those wanted.
func (o *operatorCommand) completeIDs(cmd *cobra.Command, wanted func(wire.Member) bool) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 || cmd.PreRunE(cmd, args) != nil { // which reads the environment
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		var ids []cobra.Completion
		if view, err := o.members(ctx, cmd); err == nil {
			for _, m := range view.Members {
				if wanted(m) {
					ids = append(ids, cobra.CompletionWithDesc(strconv.FormatUint(m.ID, 10), cmp.Or(m.Note, m.Role)))
				}
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
