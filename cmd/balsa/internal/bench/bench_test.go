package bench

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func config(server *httptest.Server) Config {
	return Config{
		Addresses: []string{server.Listener.Addr().String()}, Connections: 4, ValueSize: 100, Keys: 10,
		Duration: time.Minute, Requests: 300, Timeout: 10 * time.Second,
	}
}

// As many requests are measured as were asked for, each of them well formed.
func TestRunMeasuresAsManyRequestsAsAskedFor(t *testing.T) {
	var writes, reads, malformed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/api/write":
			var body struct{ Key, Value string }
			if json.NewDecoder(r.Body).Decode(&body) != nil || !strings.HasPrefix(body.Key, "bench-") || len(body.Value) != 100 {
				malformed.Add(1)
			}
			writes.Add(1)
		case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/consistent_read/bench-"):
			reads.Add(1)
		default:
			malformed.Add(1)
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	cfg := config(server)
	cfg.ReadRatio = 0.5
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if result.Done() != 300 || result.Failed() != 0 || malformed.Load() != 0 {
		t.Errorf("%d done, %d failed, %d malformed", result.Done(), result.Failed(), malformed.Load())
	}
	// Clients that were warming up have sent requests that are not measured.
	if result.Writes.Count == 0 || result.Reads.Count == 0 || result.Writes.Count > writes.Load() || result.Reads.Count > reads.Load() {
		t.Errorf("measured %d and %d, the server saw %d and %d", result.Writes.Count, result.Reads.Count, writes.Load(), reads.Load())
	}
	if result.Writes.Latencies.TotalCount() != result.Writes.Count || result.Writes.Latencies.Max() <= 0 {
		t.Errorf("latencies: %d, up to %d us", result.Writes.Latencies.TotalCount(), result.Writes.Latencies.Max())
	}
}

// Errors are counted by what they are, and a key that is not there is no error.
func TestRunCountsErrorsByKind(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"type":"https://balsa.dev/problems/no-leader","detail":"electing"}`)
		case 1:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"type":"https://balsa.dev/problems/key-not-found"}`)
		case 2:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	cfg := config(server)
	cfg.Requests = 40
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"no-leader", "connection lost", "status 418"} {
		if result.Errors[kind] == 0 {
			t.Errorf("no %q among %v", kind, result.Errors)
		}
	}
	if len(result.Errors) != 3 || result.Done() == 0 || result.Done()+result.Failed() != 40 {
		t.Errorf("%d done, errors %v", result.Done(), result.Errors)
	}
}

func TestRunFailsIfNothingSucceeds(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	cfg := config(server)
	cfg.Requests = 4
	server.Close()
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v, want one that says connection refused", err)
	}
}

// The hook frames what is measured: warming up is over before it is called, and
// it is called once more at the end.
func TestRunCallsAroundBeforeAndAfter(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	cfg := config(server)
	var at []int64
	cfg.Around = func() { at = append(at, served.Load()) }
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(at) != 2 || at[1]-at[0] < result.Done() {
		t.Errorf("served %v around %d requests", at, result.Done())
	}
}
