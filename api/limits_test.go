package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

// chunked hides the length of a body from the client, which then sends it in
// chunks.
func chunked(body string) io.Reader { return io.MultiReader(strings.NewReader(body)) }

func TestValuesUpToTheLimitAreTakenAndLargerOnesRefused(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	full := strings.Repeat("v", apitest.MaxValue)
	asJSON := func(key, value string) string {
		body, err := json.Marshal(wire.WriteRequest{Key: key, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	control := strings.Repeat("\x01", apitest.MaxValue) // six bytes each in JSON
	for name, test := range map[string]struct {
		method, path, body string
		fits               bool
	}{
		"raw full":           {"PUT", "/api/kv/k", full, true},
		"raw over":           {"PUT", "/api/kv/k", full + "v", false},
		"raw far over":       {"PUT", "/api/kv/k", strings.Repeat(full, 8), false},
		"JSON full":          {"POST", "/api/write", asJSON("k", full), true},
		"JSON full, escaped": {"POST", "/api/write", asJSON(strings.Repeat("\x01", kv.MaxKey), control), true},
		"JSON over":          {"POST", "/api/write", asJSON("k", full+"v"), false},
		"JSON far over":      {"POST", "/api/write", asJSON("k", strings.Repeat(full, 8)), false},
		"JSON key full":      {"POST", "/api/write", asJSON(strings.Repeat("k", kv.MaxKey), "v"), true},
		"JSON key over":      {"POST", "/api/write", asJSON(strings.Repeat("k", kv.MaxKey+1), "v"), false},
		"raw key over":       {"PUT", "/api/kv/" + strings.Repeat("k", kv.MaxKey+1), "v", false},
		"read key over":      {"GET", "/api/read/" + strings.Repeat("k", kv.MaxKey+1), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			for how, body := range map[string]io.Reader{"length": strings.NewReader(test.body), "chunks": chunked(test.body)} {
				got := sendReader(t, test.method, server.URL+test.path, body)
				if test.fits {
					if got.status != 200 {
						t.Errorf("%s: %d %s", how, got.status, got.body)
					}
				} else {
					wantProblem(t, got, wire.TooLarge)
				}
			}
		})
	}
}

func TestTheLimitInAMessageIsTheOneThatHolds(t *testing.T) {
	server := serveConfig(t, api.Config{Store: &apitest.Store{}, Cluster: &apitest.Cluster{}, MaxValueBytes: 100})
	wantBody(t, send(t, "PUT", server.URL+"/api/kv/k", strings.Repeat("v", 100)), 200, `{"revision":1}`)
	problem := wantProblem(t, send(t, "PUT", server.URL+"/api/kv/k", strings.Repeat("v", 101)), wire.TooLarge)
	if !strings.Contains(problem.Detail, "100 bytes") {
		t.Errorf("detail %q does not name the limit", problem.Detail)
	}
}

// While one large body is being handled there is no room for a second one, and
// room again afterwards. Small requests pass all the time.
func TestBodiesShareABudgetOfMemory(t *testing.T) {
	store := &apitest.Store{}
	server := serveConfig(t, api.Config{Store: store, Cluster: &apitest.Cluster{}, MaxBodyMemory: 1000})
	entered, leave := make(chan struct{}), make(chan struct{})
	store.FailWith(func(context.Context) error {
		store.FailWith(nil) // only the first request waits
		close(entered)
		<-leave
		return nil
	})
	large := strings.Repeat("v", 900)
	first := make(chan reply)
	go func() { first <- send(t, "PUT", server.URL+"/api/kv/a", large) }()
	<-entered

	wantProblem(t, send(t, "PUT", server.URL+"/api/kv/b", large), wire.Busy)
	wantProblem(t, sendReader(t, "PUT", server.URL+"/api/kv/b", chunked("v")), wire.Busy) // of unknown length
	if got := send(t, "PUT", server.URL+"/api/kv/b", "small"); got.status != 200 {
		t.Errorf("a small write: %d %s", got.status, got.body)
	}
	if got := send(t, "GET", server.URL+"/api/kv/b", ""); got.status != 200 {
		t.Errorf("a read: %d %s", got.status, got.body)
	}

	close(leave)
	if got := <-first; got.status != 200 {
		t.Errorf("the first write: %d %s", got.status, got.body)
	}
	if got := send(t, "PUT", server.URL+"/api/kv/b", large); got.status != 200 {
		t.Errorf("a large write afterwards: %d %s", got.status, got.body)
	}
}

func TestABodyThatBreaksOffIsNotWritten(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	got := rawRequest(t, server.Listener.Addr().String(),
		"PUT /api/kv/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")
	wantProblem(t, got, wire.MalformedRequest)
	if store.Calls() != 0 {
		t.Error("half a body was written")
	}
	if !bytes.Contains([]byte(got.body), []byte("cannot read request body")) {
		t.Errorf("body %s", got.body)
	}
}
