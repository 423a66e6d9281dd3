package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

// requests are one request to each endpoint that asks the store.
var requests = []struct {
	method, path, body string
	writes             bool
}{
	{"POST", "/api/write", `{"key":"k","value":"v"}`, true},
	{"PUT", "/api/kv/k", "v", true},
	{"DELETE", "/api/kv/k", "", true},
	{"GET", "/api/kv/k", "", false},
	{"GET", "/api/kv/k?consistency=lease", "", false},
	{"GET", "/api/consistent_read/k", "", false},
}

func TestEveryErrorOfTheStoreHasItsProblem(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	for _, test := range []struct {
		err                   error
		whenWrites, whenReads string
	}{
		{kv.ErrBusy, wire.Busy, wire.Busy},
		{kv.ErrNoLeader, wire.NoLeader, wire.NoLeader},
		{kv.ErrNoQuorum, wire.NoQuorum, wire.NoQuorum},
		{kv.ErrStopped, wire.Stopping, wire.Stopping},
		{kv.ErrNotUnderstood, wire.NotUnderstood, wire.NotUnderstood},
		{kv.ErrKeyTooLarge, wire.TooLarge, wire.TooLarge},
		{kv.ErrValueTooLarge, wire.TooLarge, wire.TooLarge},
		{kv.ErrKeyEmpty, wire.InvalidRequest, wire.InvalidRequest},
		{&kv.ConflictError{Expected: 1, Actual: 2}, wire.PreconditionFailed, wire.PreconditionFailed},
		{kv.ErrOutcomeUnknown, wire.OutcomeUnknown, wire.Internal},
		{kv.ErrCorrupt, wire.Internal, wire.Internal},
		{kv.ErrFailed, wire.Internal, wire.Internal},
		{errors.New("nobody thought of this"), wire.Internal, wire.Internal},
		{context.Canceled, wire.OutcomeUnknown, wire.NoQuorum},
		{context.DeadlineExceeded, wire.OutcomeUnknown, wire.NoQuorum},
	} {
		store.FailWith(func(context.Context) error { return fmt.Errorf("wrapped: %w", test.err) })
		for _, r := range requests {
			want := test.whenReads
			if r.writes {
				want = test.whenWrites
			}
			wantProblem(t, send(t, r.method, server.URL+r.path, r.body), want)
		}
	}
}

// Without a majority every request must end by itself, with the right words.
func TestRequestsEndWhenTheirTimeIsUp(t *testing.T) {
	store := &apitest.Store{}
	store.FailWith(func(ctx context.Context) error { // a store that waits for a leader that never comes
		<-ctx.Done()
		return ctx.Err()
	})
	server := serveConfig(t, api.Config{Store: store, Cluster: &apitest.Cluster{}, RequestTimeout: 10 * time.Millisecond})
	for _, r := range requests {
		got := send(t, r.method, server.URL+r.path, r.body)
		if !r.writes {
			wantProblem(t, got, wire.NoQuorum)
			continue
		}
		problem := wantProblem(t, got, wire.OutcomeUnknown)
		if !strings.Contains(problem.Detail, "may or may not") {
			t.Errorf("detail %q does not say that the write may have happened", problem.Detail)
		}
	}
}

// Errors that promise that nothing was written must never be given to a write
// whose outcome is unknown, and the other way round.
func TestProblemTypesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	last := 0
	for _, p := range wire.ProblemTypes {
		if !strings.HasPrefix(p.URI, "https://balsa.dev/problems/") || seen[p.URI] {
			t.Errorf("URI %q is malformed or used twice", p.URI)
		}
		seen[p.URI] = true
		if http.StatusText(p.Status) == "" || p.Status < 400 {
			t.Errorf("%s has status %d", p.URI, p.Status)
		}
		if p.Title == "" || !strings.HasSuffix(p.Explanation, ".") {
			t.Errorf("%s lacks words", p.URI)
		}
		if unknown := p.Effect == wire.UnknownEffect; unknown != (p.URI == wire.OutcomeUnknown || p.URI == wire.Internal) {
			t.Errorf("%s says that the effect is unknown: %v", p.URI, unknown)
		}
		if p.Temporary && p.Effect == wire.UnknownEffect {
			t.Errorf("%s invites clients to repeat a write that may have happened", p.URI)
		}
		last = max(last, p.Status)
	}
	if last != http.StatusGatewayTimeout {
		t.Errorf("the highest status is %d, want 504", last)
	}
}
