package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"balsa/api/client"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

// scriptedNode answers every request in the same way and counts them.
type scriptedNode struct {
	*httptest.Server
	requests atomic.Int64
}

func startScripted(t *testing.T, handler http.HandlerFunc) *scriptedNode {
	t.Helper()
	n := &scriptedNode{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.requests.Add(1)
		// A real node would have read the request by the time that it fails.
		_, _ = io.Copy(io.Discard, r.Body)
		handler(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

// answerProblem sends a problem as a node would.
func answerProblem(uri string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		t, _ := wire.LookupProblem(uri)
		w.Header().Set("Content-Type", wire.ProblemContentType)
		w.WriteHeader(t.Status)
		_ = json.NewEncoder(w).Encode(wire.Problem{Type: uri, Title: t.Title, Status: t.Status, Detail: "as the test wants it"})
	}
}

// cut breaks the connection instead of answering.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// operations are the client's, each as a call that needs nothing but a key.
var operations = map[string]struct {
	writes bool
	call   func(context.Context, *client.Client) error
}{
	"get":       {false, func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, []byte("k")); return err }},
	"stale get": {false, func(ctx context.Context, c *client.Client) error { _, err := c.GetStale(ctx, []byte("k")); return err }},
	"status":    {false, func(ctx context.Context, c *client.Client) error { _, err := c.Status(ctx); return err }},
	"get by lease": {false, func(ctx context.Context, c *client.Client) error {
		_, err := c.GetByLease(ctx, []byte("k"))
		return err
	}},
	"members": {false, func(ctx context.Context, c *client.Client) error { _, err := c.Members(ctx); return err }},
	"put": {true, func(ctx context.Context, c *client.Client) error {
		_, err := c.Put(ctx, []byte("k"), []byte("v"))
		return err
	}},
	"set": {true, func(ctx context.Context, c *client.Client) error {
		_, err := c.CompareAndSet(ctx, []byte("k"), 1, []byte("v"))
		return err
	}},
	"delete": {true, func(ctx context.Context, c *client.Client) error { _, err := c.Delete(ctx, []byte("k")); return err }},
	"compare-and-delete": {true, func(ctx context.Context, c *client.Client) error {
		_, err := c.CompareAndDelete(ctx, []byte("k"), 1)
		return err
	}},
	"add": {true, func(ctx context.Context, c *client.Client) error {
		_, err := c.AddMember(ctx, 4, true, "", "")
		return err
	}},
	"promote":  {true, func(ctx context.Context, c *client.Client) error { _, err := c.Promote(ctx, 4); return err }},
	"demote":   {true, func(ctx context.Context, c *client.Client) error { _, err := c.Demote(ctx, 4); return err }},
	"remove":   {true, func(ctx context.Context, c *client.Client) error { _, err := c.RemoveMember(ctx, 4); return err }},
	"transfer": {true, func(ctx context.Context, c *client.Client) error { _, err := c.TransferLeadership(ctx, 2); return err }},
}

// healthyNode has the key k at revision 1 and does whatever it is asked to.
type healthyNode struct {
	*httptest.Server
	store   *apitest.Store
	cluster *apitest.Cluster
}

func startHealthy(t *testing.T) *healthyNode {
	t.Helper()
	n := &healthyNode{store: &apitest.Store{}, cluster: &apitest.Cluster{
		StatusValue: wire.ClusterStatus{NodeID: 1}, Result: wire.MemberResult{ID: 4}, Leader: 2,
	}}
	if _, err := n.store.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	n.Server = startNode(t, n.store, n.cluster)
	return n
}

// calls returns how many operations have come so far, failed ones included.
func (n *healthyNode) calls() int { return n.store.Calls() + len(n.cluster.Asked()) }

// failWith makes every later operation that asks the cluster fail with what f
// returns, if that is not nil.
func (n *healthyNode) failWith(f func(context.Context) error) {
	n.store.FailWith(f)
	n.cluster.FailWith(f)
}

func TestADeadNodeIsPassedOverForGood(t *testing.T) {
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			healthy := startHealthy(t)
			c := newClient(t, deadAddress(t), deadAddress(t), healthy.URL)
			if err := operation.call(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAWorkingNodeIsKept(t *testing.T) {
	busy := startScripted(t, answerProblem(wire.Busy))
	healthy := startHealthy(t)
	c := newClient(t, busy.URL, healthy.URL)
	for range 10 {
		if _, err := c.Get(t.Context(), []byte("k")); err != nil {
			t.Fatal(err)
		}
	}
	if n := busy.requests.Load(); n != 1 {
		t.Errorf("the failing node was asked %d times, want once", n)
	}
}

// The heart of the client: each problem a node can report, for each operation.
// What may have written is reported as unknown and never sent again; what is
// temporary is tried elsewhere; the rest is final.
func TestEveryProblemIsTakenForWhatItIs(t *testing.T) {
	for _, problem := range wire.ProblemTypes {
		for name, operation := range operations {
			t.Run(strings.TrimPrefix(problem.URI, "https://balsa.dev/problems/")+"/"+name, func(t *testing.T) {
				healthy := startHealthy(t)
				failing := startScripted(t, answerProblem(problem.URI))
				err := operation.call(t.Context(), newClient(t, failing.URL, healthy.URL))
				if n := failing.requests.Load(); n != 1 {
					t.Errorf("the failing node was asked %d times", n)
				}
				unknown := operation.writes && problem.Effect == wire.UnknownEffect
				again := !unknown && (problem.Temporary || problem.Status >= 500)
				switch {
				case again && err != nil && problem.URI != wire.NotUnderstood:
					t.Errorf("%v, want success on the other node", err)
				case unknown && !errors.Is(err, client.ErrOutcomeUnknown):
					t.Errorf("%v, want ErrOutcomeUnknown", err)
				case !unknown && errors.Is(err, client.ErrOutcomeUnknown):
					t.Errorf("%v although nothing was written", err)
				case !unknown && !again && err == nil:
					t.Error("a final answer was tried again")
				}
				if e, ok := errors.AsType[*client.Error](err); err != nil && (!ok || e.Problem == nil || e.Problem.Type != problem.URI || e.Address != failing.URL) {
					t.Errorf("%#v does not carry the problem", err)
				}
			})
		}
	}
}

func TestAWriteWhoseConnectionBreaksIsUnknownAndNotSentAgain(t *testing.T) {
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			healthy := startHealthy(t)
			before := healthy.calls()
			broken := startScripted(t, cut)
			c := newClient(t, broken.URL, healthy.URL)
			err := operation.call(t.Context(), c)
			if !operation.writes {
				if err != nil {
					t.Errorf("%v, want success on the other node", err)
				}
				return
			}
			if !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("%v, want ErrOutcomeUnknown", err)
			}
			if n := broken.requests.Load(); n != 1 || healthy.calls() != before {
				t.Errorf("%d requests to the broken node and %d to the other", n, healthy.calls()-before)
			}
			// What comes next need not go through the same.
			if err := operation.call(t.Context(), c); err != nil || broken.requests.Load() != 1 {
				t.Errorf("the next one: %v, and %d requests to the broken node", err, broken.requests.Load())
			}
		})
	}
}

// An answer that breaks off after the status line: the write has happened, but
// the client has not seen all that it needs.
func TestAnAnswerThatBreaksOffIsNoSuccess(t *testing.T) {
	broken := startScripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"revision":`)
	})
	c := newClient(t, broken.URL)
	if _, err := c.Put(t.Context(), []byte("k"), nil); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("put: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if item, err := c.Get(ctx, []byte("k")); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("get: %+v, %v", item, err)
	}
}

func TestAnswersOfSomethingElseAreNoSuccess(t *testing.T) {
	for name, body := range map[string]string{"page": "<html>login</html>", "empty": "", "JSON": `{"ok":true}`, "zero": `{"revision":0}`} {
		stranger := startScripted(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		c := newClient(t, stranger.URL)
		if _, err := c.Put(t.Context(), []byte("k"), nil); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: put: %v", name, err)
		}
		if item, err := c.Get(t.Context(), []byte("k")); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("%s: get: %+v, %v", name, item, err)
		}
	}
	// A gateway in between that cannot reach the node says nothing about the write.
	for status, want := range map[int]error{502: client.ErrOutcomeUnknown, 503: client.ErrOutcomeUnknown, 401: client.ErrRefused, 302: client.ErrOutcomeUnknown} {
		gateway := startScripted(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		if _, err := newClient(t, gateway.URL).Put(t.Context(), []byte("k"), nil); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
		if n := gateway.requests.Load(); n != 1 {
			t.Errorf("%d: %d requests", status, n)
		}
	}
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	endless := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte{'x'}, 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	_, err := newClient(t, endless.URL).Get(t.Context(), []byte("k"))
	if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want an answer refused for its length", err)
	}
}

func TestATemporaryFailureIsWaitedOut(t *testing.T) {
	for name, operation := range operations {
		if name == "stale get" || name == "status" || name == "members" {
			continue // these need no leader
		}
		t.Run(name, func(t *testing.T) {
			node := startHealthy(t)
			failures := 3
			node.failWith(func(context.Context) error {
				if failures--; failures >= 0 {
					return kv.ErrNoLeader
				}
				return nil
			})
			if err := operation.call(t.Context(), newClient(t, node.URL)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhenTimeIsUpTheErrorSaysWhatIsKnown(t *testing.T) {
	t.Run("nobody there", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		c := newClient(t, deadAddress(t), deadAddress(t))
		if _, err := c.Put(ctx, []byte("k"), nil); !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no leader", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := newClient(t, startScripted(t, answerProblem(wire.NoLeader)).URL).Put(ctx, []byte("k"), nil)
		e, ok := errors.AsType[*client.Error](err)
		switch {
		case !ok:
			t.Errorf("got %v", err)
		case errors.Is(err, context.DeadlineExceeded): // the last attempt was still under way
			if e.Kind != client.ErrOutcomeUnknown {
				t.Errorf("got %v", err)
			}
		case e.Kind != client.ErrUnavailable || e.Problem.Type != wire.NoLeader:
			t.Errorf("got %v", err)
		}
	})
	t.Run("no leader, then no answer", func(t *testing.T) {
		release := make(chan struct{})
		asked := atomic.Int64{}
		node := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				answerProblem(wire.NoLeader)(w, r)
				return
			}
			<-release
		})
		t.Cleanup(func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newClient(t, node.URL).Get(ctx, []byte("k"))
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem == nil || e.Problem.Type != wire.NoLeader {
			t.Errorf("%v does not say why nothing came of it", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		release := make(chan struct{})
		hung := startScripted(t, func(http.ResponseWriter, *http.Request) { <-release })
		t.Cleanup(func() { close(release) }) // before the server closes, which waits for its handlers
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := newClient(t, hung.URL).Put(ctx, []byte("k"), nil)
		if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put: %v", err)
		}
		_, err = newClient(t, hung.URL).Get(ctx, []byte("k"))
		if !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get: %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hung := startScripted(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := newClient(t, hung.URL).Put(ctx, []byte("k"), nil)
		if !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A node that was stopped, not killed: its kernel still accepts connections.
func TestAReadDoesNotSpendAllItsTimeOnASilentNode(t *testing.T) {
	release := make(chan struct{})
	silent := startScripted(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	healthy := startHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := newClient(t, silent.URL, healthy.URL).Get(ctx, []byte("k")); err != nil {
		t.Error(err)
	}
}
