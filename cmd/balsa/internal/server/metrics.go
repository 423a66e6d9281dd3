package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"balsa/raft"
	"balsa/raft/node"
)

// metricsPath is where Prometheus finds the metrics, on the API's port.
const metricsPath = "/metrics"

// metrics are a server's Prometheus metrics.
type metrics struct {
	registry  *prometheus.Registry
	proposals *prometheus.CounterVec
	log       *slog.Logger
}

func newMetrics(s *server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "balsa_raft_proposals_total",
			Help: "Commands that were proposed on this node, by what became of them.",
		}, []string{"outcome"}),
		log: s.log,
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "balsa_build_info",
		Help:        "Always 1; the label is the version of the program.",
		ConstLabels: prometheus.Labels{"version": s.cfg.Version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(build, m.proposals, collector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// mount puts the metrics beside the API. It compares the path itself instead of
// using an http.ServeMux, which would redirect away what keys may contain, such
// as two slashes in a row.
func (m *metrics) mount(api http.Handler) http.Handler {
	page := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == metricsPath && r.Method == http.MethodGet {
			page.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// count returns a proposer that counts what becomes of the proposals.
func (m *metrics) count(p node.Proposer) node.Proposer {
	counted := &countedProposer{Proposer: p}
	for _, outcome := range []struct {
		label string
		field *prometheus.Counter
	}{
		{"applied", &counted.applied},
		{"not_leader", &counted.notLeader},
		{"busy", &counted.busy},
		{"dropped", &counted.dropped},
		{"unknown", &counted.unknown},
		{"stopped", &counted.stopped},
	} {
		*outcome.field = m.proposals.WithLabelValues(outcome.label)
	}
	return counted
}

type countedProposer struct {
	node.Proposer
	applied, notLeader, busy, dropped, unknown, stopped prometheus.Counter
}

func (c *countedProposer) Propose(ctx context.Context, command []byte) (any, error) {
	result, err := c.Proposer.Propose(ctx, command)
	c.counter(err).Inc()
	return result, err
}

func (c *countedProposer) counter(err error) prometheus.Counter {
	switch {
	case err == nil:
		return c.applied
	case errors.Is(err, node.ErrBusy):
		return c.busy
	case errors.Is(err, node.ErrDropped):
		return c.dropped
	case errors.Is(err, node.ErrStopped):
		return c.stopped
	case errors.Is(err, node.ErrOutcomeUnknown):
		return c.unknown
	}
	return c.notLeader
}

// collector reads the metrics that the parts of a server keep themselves.
type collector struct{ *server }

var roles = []raft.Role{raft.Follower, raft.PreCandidate, raft.Candidate, raft.Leader}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("balsa_"+name, help, labels, nil)
}

var (
	raftRole       = desc("raft_role", "1 for the role that this node has, 0 for the others.", "role")
	raftTerm       = desc("raft_term", "The current term.")
	raftHasLeader  = desc("raft_has_leader", "1 if this node knows a leader.")
	raftCommit     = desc("raft_commit_index", "The last entry that is known to be committed.")
	raftApplied    = desc("raft_applied_index", "The last entry that is applied.")
	raftLast       = desc("raft_last_index", "The last entry of the log.")
	raftRecovering = desc("raft_recovering", "1 while this node lacks something that its disk has lost.")
	raftMatch      = desc("raft_peer_match_index", "Only on the leader: up to where the peer's log is known to equal its own.", "peer")
	raftContact    = desc("raft_peer_last_contact_seconds", "Only on the leader: how long ago the peer was heard.", "peer")

	logSyncs   = desc("log_syncs_total", "Synced writes to the log: each holds all that waited for the one before.")
	logWitness = desc("log_witness_syncs_total", "Synced writes to the witness of the log.")
	logEntries = desc("log_entries_total", "Entries written to the log.")
	logBytes   = desc("log_bytes_total", "Bytes written to the log.")

	rpcMessagesReceived = desc("rpc_messages_received_total", "Raft messages received.")
	rpcCallsReceived    = desc("rpc_calls_received_total", "Calls that brought Raft messages.")
	rpcBytesReceived    = desc("rpc_bytes_received_total", "Bytes of all calls received.")
	rpcCommandsReceived = desc("rpc_commands_received_total", "Commands that other nodes forwarded to this one.")
	rpcRefused          = desc("rpc_refused_connections_total", "Connections that ended in the handshake, or with something that no healthy peer sends.")
	rpcConnections      = desc("rpc_connections", "Open connections that peers have made to this node.")
	rpcMessagesSent     = desc("rpc_messages_sent_total", "Raft messages sent.", "peer")
	rpcCallsSent        = desc("rpc_calls_sent_total", "Calls that carried Raft messages.", "peer")
	rpcBytesSent        = desc("rpc_bytes_sent_total", "Bytes of the calls that carried Raft messages.", "peer")
	rpcDropped          = desc("rpc_messages_dropped_total", "Raft messages that found the queue full or the peer out of reach.", "peer")
	rpcConnects         = desc("rpc_connects_total", "Connections made for Raft messages.", "peer")

	gossipMembers = desc("gossip_members", "Nodes that gossip knows, by what is believed about them.", "status")
)

// Describe implements [prometheus.Collector]. It sends nothing: which metrics
// there are depends on the role.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c collector) Collect(out chan<- prometheus.Metric) {
	e := emitter{out}
	log := c.logStore.Stats()
	e.counter(logSyncs, log.Syncs)
	e.counter(logWitness, log.WitnessSyncs)
	e.counter(logEntries, log.Entries)
	e.counter(logBytes, log.Bytes)
	c.collectRPC(e)

	believed := map[string]uint64{}
	for _, m := range c.gossip.Members() {
		believed[string(m.Status)]++
	}
	for status, n := range believed {
		e.gauge(gossipMembers, float64(n), status)
	}
	if m := c.member.Load(); m != nil {
		collectRaft(e, m.node)
	}
}

func (c collector) collectRPC(e emitter) {
	stats := c.transport.Stats()
	e.counter(rpcMessagesReceived, stats.MessagesReceived)
	e.counter(rpcCallsReceived, stats.CallsReceived)
	e.counter(rpcBytesReceived, stats.BytesReceived)
	e.counter(rpcCommandsReceived, stats.CommandsReceived)
	e.counter(rpcRefused, stats.RefusedConnections)
	e.gauge(rpcConnections, float64(stats.Connections))
	for id, peer := range stats.Peers {
		label := label(id)
		e.counter(rpcMessagesSent, peer.MessagesSent, label)
		e.counter(rpcCallsSent, peer.CallsSent, label)
		e.counter(rpcBytesSent, peer.BytesSent, label)
		e.counter(rpcDropped, peer.MessagesDropped, label)
		e.counter(rpcConnects, peer.Connections, label)
	}
}

// scrapePatience bounds how long a scrape waits for the Raft node.
const scrapePatience = 2 * time.Second

func collectRaft(e emitter, n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	status, err := n.Status(ctx)
	if err != nil {
		return // the node is stopping: the rest is still worth having
	}
	for _, role := range roles {
		e.gauge(raftRole, oneIf(role == status.Role), role.String())
	}
	e.gauge(raftTerm, float64(status.CurrentTerm))
	e.gauge(raftHasLeader, oneIf(status.Leader != raft.None))
	e.gauge(raftCommit, float64(status.CommitIndex))
	e.gauge(raftApplied, float64(status.LastApplied))
	e.gauge(raftLast, float64(status.LastIndex))
	e.gauge(raftRecovering, oneIf(status.Lost != raft.EntryID{}))
	for _, peer := range status.Peers {
		e.gauge(raftMatch, float64(peer.MatchIndex), label(peer.ID))
		e.gauge(raftContact, (time.Duration(peer.TicksSinceReply) * n.TickInterval()).Seconds(), label(peer.ID))
	}
}

func label(id raft.NodeID) string { return strconv.FormatUint(uint64(id), 10) }

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

// emitter writes metrics down.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) counter(d *prometheus.Desc, value uint64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (e emitter) gauge(d *prometheus.Desc, value float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
