package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"balsa/api/client"
	"balsa/api/wire"
)

// clusterReport is what all nodes together say about their cluster.
type clusterReport struct {
	ClusterID string `json:"cluster_id"`
	// LeaderID is 0 if no node that answered knows a leader.
	LeaderID uint64 `json:"leader_id"`
	Term     uint64 `json:"term"`
	// Change and TransferTo are what the leader is busy with, if it is.
	Change     *wire.PendingChange `json:"change,omitempty"`
	TransferTo uint64              `json:"transfer_to,omitempty"`
	Members    []memberLine        `json:"members"`
}

// memberLine is a member: what the cluster says about it, and what it says
// itself. What is unknown is left out.
type memberLine struct {
	wire.Member
	Voter bool `json:"voter"`
	// Answers says that the node answered itself; what follows is from there.
	Answers      bool   `json:"answers"`
	Term         uint64 `json:"term,omitempty"`
	FirstIndex   uint64 `json:"first_index,omitempty"`
	LastIndex    uint64 `json:"last_index,omitempty"`
	CommitIndex  uint64 `json:"commit_index,omitempty"`
	AppliedIndex uint64 `json:"applied_index,omitempty"`
	// ConfigurationIndex tells which configuration the node goes by.
	ConfigurationIndex uint64                 `json:"configuration_index,omitempty"`
	Receiving          *wire.SnapshotProgress `json:"receiving,omitempty"`
	State              string                 `json:"state,omitempty"`
	Message            string                 `json:"message,omitempty"`
	// Lag is by how many entries its log trails the leader's.
	Lag *uint64 `json:"lag,omitempty"`
}

func newStatus() *cobra.Command {
	var (
		c      connection
		output outputFormat
	)
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show the nodes of a cluster",
		GroupID: groupClient,
		Long: `Show the nodes of a cluster: what the cluster says about each, and what each
says itself. One endpoint that answers is enough to find the others.

The exit code is 5 if no node answers or none knows a leader.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := c.survey(cmd)
			if err != nil {
				return err
			}
			if output == outputJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.print(cmd.OutOrStdout())
			}
			if err == nil && report.LeaderID == 0 {
				err = fmt.Errorf("%w: no node that answered knows a leader", client.ErrUnavailable)
			}
			return err
		},
	}
	c.addFlags(cmd.Flags())
	addOutputFlag(cmd.Flags(), &output)
	fromEnvironment(cmd, "")
	return cmd
}

// nodePatience bounds how long survey tries to reach one node. Each answers from
// memory, and those that are down should not keep the user waiting.
const nodePatience = time.Second

// survey asks the endpoints, and then the nodes that they know of, and puts the
// answers together.
func (c *connection) survey(cmd *cobra.Command) (clusterReport, error) {
	answers := map[uint64]wire.ClusterStatus{}
	asked := map[string]bool{}
	var failed error
	for next := c.endpoints; len(next) > 0; next = unasked(answers, asked) {
		for _, a := range c.ask(cmd, next) {
			if a.err != nil {
				failed = cmp.Or(failed, a.err)
				continue
			}
			answers[a.status.NodeID] = a.status
		}
		for _, endpoint := range next {
			asked[strings.TrimPrefix(endpoint, "http://")] = true
		}
	}
	if len(answers) == 0 {
		return clusterReport{}, c.explain(failed)
	}
	return report(answers), nil
}

type statusAnswer struct {
	status wire.ClusterStatus
	err    error
}

// ask asks some endpoints at the same time.
func (c *connection) ask(cmd *cobra.Command, endpoints []string) []statusAnswer {
	answers := make([]statusAnswer, len(endpoints))
	var all sync.WaitGroup
	for i, endpoint := range endpoints {
		all.Go(func() {
			one, err := c.openAt(cmd, endpoint)
			if err != nil {
				answers[i].err = err
				return
			}
			defer one.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), min(nodePatience, c.timeout))
			defer cancel()
			answers[i].status, answers[i].err = one.Status(ctx)
		})
	}
	all.Wait()
	return answers
}

// unasked returns the addresses of members that are said to be alive and were
// not asked yet.
func unasked(answers map[uint64]wire.ClusterStatus, asked map[string]bool) []string {
	var next []string
	for _, status := range answers {
		for _, m := range status.Members {
			_, answered := answers[m.ID]
			if !answered && m.Status == wire.StatusAlive && m.APIAddr != "" && !asked[m.APIAddr] && !slices.Contains(next, m.APIAddr) {
				next = append(next, m.APIAddr)
			}
		}
	}
	return next
}

// report puts the nodes' answers together. The members are those that the most
// recent leader knows, or else the node with the highest term.
func report(answers map[uint64]wire.ClusterStatus) clusterReport {
	best := bestView(answers)
	r := clusterReport{
		ClusterID: best.ClusterID, LeaderID: best.LeaderID, Term: best.Term,
		Change: best.Change, TransferTo: best.TransferTo,
	}
	leader, led := answers[best.LeaderID]
	for _, m := range best.Members {
		line := memberLine{Member: m, Voter: slices.Contains(best.Voters, m.ID)}
		if own, ok := answers[m.ID]; ok {
			line.Answers, line.State, line.Message = true, own.State, own.Message
			line.Term, line.FirstIndex, line.LastIndex = own.Term, own.FirstIndex, own.LastIndex
			line.CommitIndex, line.AppliedIndex = own.CommitIndex, own.AppliedIndex
			line.ConfigurationIndex, line.Receiving = own.ConfigurationIndex, own.Receiving
			if led && own.ClusterID == leader.ClusterID {
				line.Lag = new(leader.LastIndex - min(own.LastIndex, leader.LastIndex))
			}
		} else if led && m.MatchIndex != nil && *m.MatchIndex > 0 { // 0: this leader never heard of it
			line.Lag = new(leader.LastIndex - min(*m.MatchIndex, leader.LastIndex))
		}
		r.Members = append(r.Members, line)
	}
	return r
}

// bestView returns the answer of the leader of the highest term if it answered,
// or else of whoever knows the highest term. Nodes that belong to no cluster
// come last.
func bestView(answers map[uint64]wire.ClusterStatus) wire.ClusterStatus {
	var views []wire.ClusterStatus
	for _, status := range answers {
		views = append(views, status)
	}
	return slices.MaxFunc(views, func(a, b wire.ClusterStatus) int {
		return cmp.Or(
			cmp.Compare(len(a.ClusterID), len(b.ClusterID)),
			cmp.Compare(a.Term, b.Term),
			cmp.Compare(leads(a), leads(b)),
			cmp.Compare(b.NodeID, a.NodeID))
	})
}

func leads(s wire.ClusterStatus) int {
	if s.LeaderID == s.NodeID {
		return 1
	}
	return 0
}

// print writes the report as a table.
func (r clusterReport) print(w io.Writer) error {
	id, leader := r.ClusterID, "none is known"
	if id == "" {
		id = "none yet"
	}
	if r.LeaderID != 0 {
		leader = fmt.Sprintf("node %d", r.LeaderID)
	}
	fmt.Fprintf(w, "cluster %s   leader: %s   term %d\n\n", id, leader, r.Term)
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(t, "ID\tROLE\tVOTER\tSTATUS\tTERM\tFIRST\tLAST\tCOMMIT\tAPPLIED\tLAG\tCONTACT\tAPI")
	for _, m := range r.Members {
		fmt.Fprintln(t, strings.Join(m.cells(r.LeaderID), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	notes := &strings.Builder{}
	printUnderWay(notes, r.Change, r.TransferTo)
	for _, m := range r.Members {
		for _, remark := range m.remarks(r.LeaderID) {
			fmt.Fprintf(notes, "node %d: %s\n", m.ID, remark)
		}
	}
	if notes.Len() > 0 {
		_, err := fmt.Fprintf(w, "\n%s", notes)
		return err
	}
	return nil
}

// stateReady is the wire.ClusterStatus.State of a node that is about nothing in
// particular.
const stateReady = "ready"

// remarks are what there is to say about a member, by the leader and by itself,
// beyond what everybody has.
func (m memberLine) remarks(leader uint64) []string {
	var remarks []string
	if m.Note != "" {
		remarks = append(remarks, m.Note)
	}
	if progress := caughtUp(m.Member); progress != "" {
		remarks = append(remarks, "caught up: "+progress)
	}
	if m.Answers && (leader == 0 || m.State != stateReady) {
		remarks = append(remarks, "says: "+m.Message)
	}
	return remarks
}

const unknown = "-"

func (m memberLine) cells(leader uint64) []string {
	voter := "no"
	if m.Voter {
		voter = "yes"
	}
	own := func(n uint64) string {
		if !m.Answers {
			return unknown
		}
		return strconv.FormatUint(n, 10)
	}
	lag, contact := unknown, unknown
	switch {
	case m.ID == leader:
	case m.Lag != nil && *m.Lag == 0:
		lag = "none"
	case m.Lag != nil:
		lag = fmt.Sprintf("trails leader by %d", *m.Lag)
	}
	if m.LastContactMS != nil && m.ID != leader {
		contact = ago(*m.LastContactMS)
	}
	return []string{
		strconv.FormatUint(m.ID, 10), m.Role, voter, m.Status, own(m.Term), own(m.FirstIndex), own(m.LastIndex),
		own(m.CommitIndex), own(m.AppliedIndex), lag, contact, cmp.Or(m.APIAddr, unknown),
	}
}
