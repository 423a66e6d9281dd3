package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"balsa/api/wire"
	"balsa/cmd/balsa/internal/bench"
)

// benchReport is the result of balsa bench.
type benchReport struct {
	Target    string     `json:"target"`
	ValueSize int        `json:"value_size"`
	Keys      int        `json:"keys"`
	ReadRatio float64    `json:"read_ratio"`
	Runs      []benchRun `json:"runs"`
}

// benchRun is the result for one number of connections.
type benchRun struct {
	Connections  int              `json:"connections"`
	Seconds      float64          `json:"seconds"`
	PerSecond    float64          `json:"operations_per_second"`
	Writes       benchLatencies   `json:"writes"`
	Reads        benchLatencies   `json:"reads"`
	Errors       map[string]int64 `json:"errors"`
	LeaderSyncs  *uint64          `json:"leader_syncs,omitempty"`
	SyncsByWrite *float64         `json:"leader_syncs_per_write,omitempty"`
	Note         string           `json:"note,omitempty"`
}

// benchLatencies is in milliseconds.
type benchLatencies struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

const (
	targetLeader = "leader"
	targetAny    = "any"
)

func newBench() *cobra.Command {
	var (
		c           connection
		output      outputFormat
		cfg         bench.Config
		connections []int
		valueSize   = byteSize(128)
		target      string
	)
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Put load on a cluster and measure it",
		GroupID: groupClient,
		Long: `Put load on a cluster, through its HTTP API, and measure it: each connection
sends a request, waits for its answer and sends the next one. Several numbers of
connections are measured one after the other, and give a row each.

It writes to keys that begin with "bench-" and leaves them there.

The last columns are how often the leader synced its log to disk, and how often
that is for each write: writes that wait at the same time share a sync.`,
		Example: `  balsa bench --connections 1,16,64
  balsa bench --connections 64 --read-ratio 0.9 --target any --output json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.ValueSize, cfg.Timeout = int(valueSize), c.timeout
			if err := validateBench(cmd, cfg, connections); err != nil {
				return err
			}
			b := &benchmark{cmd: cmd, connection: &c, target: target}
			report := benchReport{Target: target, ValueSize: cfg.ValueSize, Keys: cfg.Keys, ReadRatio: cfg.ReadRatio}
			rows := benchTable{out: cmd.OutOrStdout()}
			for _, n := range connections {
				cfg.Connections = n
				run, err := b.run(cfg)
				if err != nil {
					return err
				}
				if output == outputText {
					rows.add(run)
				}
				report.Runs = append(report.Runs, run)
			}
			if output == outputText {
				return rows.err
			}
			return printJSON(cmd.OutOrStdout(), report)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntSliceVar(&connections, "connections", []int{16}, "`numbers` of clients that send at the same time, one run each")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long to measure, each time")
	flags.Int64Var(&cfg.Requests, "requests", 0, "end after this `number` of requests, if that is sooner; 0: only the duration counts")
	flags.DurationVar(&cfg.Warmup, "warmup", time.Second, "how long to send before measuring")
	flags.Var(&valueSize, "value-size", "length of the values")
	flags.IntVar(&cfg.Keys, "keys", 10000, "`number` of different keys")
	flags.Float64Var(&cfg.ReadRatio, "read-ratio", 0, "`part` of the requests that are linearizable reads, 0 to 1; the others write")
	choiceFlag(flags, &target, "target", "which nodes to send to: the leader, or any, all endpoints in turn", targetLeader, targetAny)
	c.addFlags(flags)
	addOutputFlag(flags, &output)
	fromEnvironment(cmd, "bench")
	return cmd
}

func validateBench(cmd *cobra.Command, cfg bench.Config, connections []int) error {
	switch {
	case len(connections) == 0 || slices.Min(connections) < 1 || slices.Max(connections) > 10000:
		return usageErrorf(cmd, "--connections %v: between 1 and 10000 each", connections)
	case cfg.Keys < 1:
		return usageErrorf(cmd, "--keys %d: at least 1", cfg.Keys)
	case cfg.ReadRatio < 0 || cfg.ReadRatio > 1:
		return usageErrorf(cmd, "--read-ratio %v: between 0 and 1", cfg.ReadRatio)
	case cfg.Duration <= 0 || cfg.Requests < 0 || cfg.Warmup < 0 || cfg.Timeout <= 0:
		return usageErrorf(cmd, "--duration and --timeout must be more than 0, --requests and --warmup not negative")
	}
	return nil
}

// benchmark is what the runs of one benchmark have in common.
type benchmark struct {
	cmd        *cobra.Command
	connection *connection
	target     string
}

// run measures one number of connections.
func (b *benchmark) run(cfg bench.Config) (benchRun, error) {
	leader, leaderAddr, err := b.findLeader()
	if err != nil {
		return benchRun{}, err
	}
	cfg.Addresses = []string{leaderAddr}
	if b.target == targetAny {
		if cfg.Addresses, err = hostPorts(b.connection.endpoints); err != nil {
			return benchRun{}, usageErrorf(b.cmd, "--endpoints: %w", err)
		}
	}
	var syncs []uint64
	cfg.Around = func() {
		if n, err := readSyncs(b.cmd.Context(), leaderAddr); err == nil {
			syncs = append(syncs, n)
		}
	}
	result, err := bench.Run(b.cmd.Context(), cfg)
	if err != nil {
		return benchRun{}, err
	}
	run := benchRun{
		Connections: cfg.Connections,
		Seconds:     result.Elapsed.Seconds(),
		PerSecond:   float64(result.Done()) / result.Elapsed.Seconds(),
		Writes:      latencies(result.Writes),
		Reads:       latencies(result.Reads),
		Errors:      result.Errors,
	}
	if after, _, err := b.findLeader(); err != nil || after != leader {
		run.Note = "the leader changed"
		return run, nil
	}
	if len(syncs) == 2 {
		run.LeaderSyncs = new(syncs[1] - syncs[0])
		if result.Writes.Count > 0 {
			run.SyncsByWrite = new(float64(*run.LeaderSyncs) / float64(result.Writes.Count))
		}
	}
	return run, nil
}

// findLeader returns the leader and the address of its API.
func (b *benchmark) findLeader() (uint64, string, error) {
	c, err := b.connection.open(b.cmd)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	status, err := c.Status(b.cmd.Context())
	if err != nil {
		return 0, "", b.connection.explain(err)
	}
	i := slices.IndexFunc(status.Members, func(m wire.Member) bool { return m.Role == wire.RoleLeader })
	if i < 0 || status.Members[i].APIAddr == "" {
		return 0, "", fmt.Errorf("node %d knows no leader: %s", status.NodeID, status.Message)
	}
	return status.LeaderID, status.Members[i].APIAddr, nil
}

// hostPorts returns where to connect for URLs as a client takes them.
func hostPorts(endpoints []string) ([]string, error) {
	var addrs []string
	for _, endpoint := range endpoints {
		if !strings.Contains(endpoint, "://") {
			endpoint = "http://" + endpoint
		}
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, err
		}
		if u.Scheme != "http" || u.Port() == "" {
			return nil, fmt.Errorf("bench needs http://host:port, not %q", endpoint)
		}
		addrs = append(addrs, u.Host)
	}
	return addrs, nil
}

// syncsMetric counts the synced writes of a node's log.
const syncsMetric = "balsa_log_syncs_total"

// readSyncs reads that counter from a node.
func readSyncs(ctx context.Context, addr string) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(response.Body, 1<<20))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), syncsMetric+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			return uint64(n), err
		}
	}
	return 0, cmp.Or(lines.Err(), fmt.Errorf("%s has no metric %s", addr, syncsMetric))
}

func latencies(o bench.Operations) benchLatencies {
	h := o.Latencies
	ms := func(microseconds float64) float64 { return microseconds / 1000 }
	at := func(h *hdrhistogram.Histogram, percentile float64) float64 {
		return ms(float64(h.ValueAtPercentile(percentile)))
	}
	return benchLatencies{
		Count: o.Count, Mean: ms(h.Mean()),
		P50: at(h, 50), P90: at(h, 90), P99: at(h, 99), P999: at(h, 99.9), Max: ms(float64(h.Max())),
	}
}

// benchTable prints rows as they come: tabwriter would keep them all until the
// last run, which may be minutes away.
type benchTable struct {
	out   io.Writer
	begun bool
	err   error
}

const benchColumns = "%11s %6s %9s %9s %9s %9s %9s %9s %8s %9s %11s"

func (t *benchTable) line(cells ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, benchColumns+"\n", cells...)
	}
}

// add prints a run: a row for its writes and one for its reads, if there were
// any.
func (t *benchTable) add(run benchRun) {
	if !t.begun {
		t.begun = true
		t.line("connections", "op", "ops/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "errors", "fsyncs", "fsyncs/write")
	}
	var failed int64
	for _, n := range run.Errors {
		failed += n
	}
	rest := []any{strconv.FormatInt(failed, 10), "-", "-"}
	if run.LeaderSyncs != nil {
		rest[1] = strconv.FormatUint(*run.LeaderSyncs, 10)
	}
	if run.SyncsByWrite != nil {
		rest[2] = fmt.Sprintf("%.3f", *run.SyncsByWrite)
	}
	for _, op := range []struct {
		name string
		benchLatencies
	}{{"write", run.Writes}, {"read", run.Reads}} {
		if op.Count == 0 {
			continue
		}
		cells := []any{strconv.Itoa(run.Connections), op.name, fmt.Sprintf("%.0f", float64(op.Count)/run.Seconds)}
		for _, ms := range []float64{op.P50, op.P90, op.P99, op.P999, op.Max} {
			cells = append(cells, fmt.Sprintf("%.2f", ms))
		}
		t.line(append(cells, rest...)...)
		rest = []any{"", "", ""}
	}
	for _, kind := range slices.Sorted(maps.Keys(run.Errors)) {
		t.note(fmt.Sprintf("%d requests failed: %s", run.Errors[kind], kind))
	}
	if run.Note != "" {
		t.note(run.Note)
	}
}

func (t *benchTable) note(text string) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, "%11s %s\n", "", text)
	}
}
