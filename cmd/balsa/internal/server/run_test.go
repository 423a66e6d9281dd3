package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"balsa/api/wire"
)

// runAlone runs a cluster of one node in this process, waits until it is ready
// and returns the address of its API. The test stops it.
func runAlone(t *testing.T) (api string) {
	t.Helper()
	lines, log := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			ID: 1, DataDir: t.TempDir(), RPCAddr: "127.0.0.1:0", APIAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
			Heartbeat: 50 * time.Millisecond, Election: 300 * time.Millisecond,
			MaxVoters: 5, StabilizationTime: 10 * time.Second, LogTail: 1000,
			RequestTimeout: 20 * time.Second, ShutdownTimeout: 10 * time.Second, MaxValue: 1 << 20, MaxInFlight: 100,
			Logger: slog.New(slog.NewJSONHandler(log, nil)), Fatal: func(message string) { panic(message) },
		})
		_ = log.Close()
	}()
	decoder := json.NewDecoder(lines)
	for api == "" {
		var line struct{ Msg, API string }
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("the log ended: %v", <-ended)
		}
		api = line.API
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		<-drained
	})
	waitReady(t, api)
	return api
}

func waitReady(t *testing.T, api string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		response, err := http.Get(api + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("the node is not ready: %v, %v", response, err)
		}
	}
}

func get(t *testing.T, url string, status int) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("%s: status %d, %s, %v; want %d", url, response.StatusCode, body, err, status)
	}
	return body
}

func TestMetricsFollowTheConventions(t *testing.T) {
	api := runAlone(t)
	body := get(t, api+metricsPath, http.StatusOK)
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "balsa_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		`balsa_raft_role{role="leader"} 1`, `balsa_raft_has_leader 1`, `balsa_gossip_members{status="alive"} 1`,
		`balsa_raft_proposals_total{outcome="applied"} 0`, `balsa_rpc_connections 0`,
	} {
		if !strings.Contains(string(body), "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// The counters that operators and balsa bench rely on count what they say.
func TestMetricsCountWrites(t *testing.T) {
	api := runAlone(t)
	before := get(t, api+metricsPath, http.StatusOK)
	const writes = 5
	for range writes {
		body := strings.NewReader(`{"key":"k","value":"v"}`)
		response, err := http.Post(api+"/api/write", "application/json", body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("write: %v, %v", response, err)
		}
		_ = response.Body.Close()
	}
	after := get(t, api+metricsPath, http.StatusOK)
	for _, name := range []string{`balsa_raft_proposals_total{outcome="applied"}`, "balsa_log_entries_total", "balsa_log_syncs_total"} {
		if grown := value(t, after, name) - value(t, before, name); grown != writes {
			t.Errorf("%s has grown by %d, want %d", name, grown, writes)
		}
	}
}

// value returns the value of a metric.
func value(t *testing.T, page []byte, name string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\d+)$`).FindSubmatch(page)
	if found == nil {
		t.Fatalf("there is no metric %s", name)
	}
	var n int
	if err := json.Unmarshal(found[1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The metrics stand beside the API and take nothing away from it: keys may
// contain what a file path may not.
func TestKeysWithAwkwardSlashesReachTheAPI(t *testing.T) {
	api := runAlone(t)
	for _, key := range []string{"a//b", "/a", "a/../b"} {
		request, err := http.NewRequest(http.MethodPut, api+"/api/kv/", strings.NewReader("v"))
		if err != nil {
			t.Fatal(err)
		}
		request.URL.Path += key
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("PUT %q: %v, %v", key, response, err)
		}
		_ = response.Body.Close()
		request.Method, request.Body = http.MethodGet, nil
		request.ContentLength = 0
		response, err = http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("GET %q: %v, %v", key, response, err)
		}
		_ = response.Body.Close()
	}
	var problem wire.Problem
	if err := json.Unmarshal(get(t, api+"/no-such-page", http.StatusNotFound), &problem); err != nil || problem.Type != wire.NoSuchPage {
		t.Errorf("another page: %+v, %v", problem, err)
	}
}
