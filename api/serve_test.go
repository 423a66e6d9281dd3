package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

var discard = slog.New(slog.DiscardHandler)

// running is a call of api.Serve.
type running struct {
	address string
	stop    context.CancelFunc
	result  chan error
}

func startServe(t *testing.T, handler http.Handler, limits api.Limits) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{address: listener.Addr().String(), stop: cancel, result: make(chan error, 1)}
	go func() { r.result <- api.Serve(ctx, listener, handler, limits, discard) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

func TestServeLetsRequestsFinishWhenItStops(t *testing.T) {
	store := &apitest.Store{}
	entered, leave := make(chan struct{}), make(chan struct{})
	store.FailWith(func(context.Context) error {
		close(entered)
		<-leave
		return nil
	})
	server := startServe(t, api.New(api.Config{Store: store, Cluster: &apitest.Cluster{}}), api.Limits{})
	got := make(chan reply)
	go func() { got <- send(t, "PUT", "http://"+server.address+"/api/kv/k", "v") }()
	<-entered
	server.stop()
	waitUntil(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", server.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(leave)
	wantBody(t, <-got, 200, `{"revision":1}`)
}

func TestServeCutsOffRequestsThatDoNotFinish(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})
	server := startServe(t, handler, api.Limits{ShutdownTimeout: time.Millisecond})
	failed := make(chan error)
	go func() {
		_, err := http.Get("http://" + server.address)
		failed <- err
	}()
	<-entered
	server.stop()
	err := <-server.result
	server.result <- err // for the cleanup
	if err != nil {
		t.Error(err)
	}
	select {
	case <-left:
	default:
		t.Error("Serve has returned and the handler has not")
	}
	if err := <-failed; err == nil {
		t.Error("the request succeeded")
	}
}

// Browsers open connections in advance. Such a one must not hold up the end: the
// process would seem to hang at Ctrl-C.
func TestServeDoesNotWaitForConnectionsThatNeverAskedForAnything(t *testing.T) {
	server := startServe(t, http.NotFoundHandler(), api.Limits{ReadHeaderTimeout: time.Hour, ShutdownTimeout: time.Hour})
	silent, err := net.Dial("tcp", server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// A later connection has been served: the silent one has been accepted.
	if got := send(t, "GET", "http://"+server.address, ""); got.status != 404 {
		t.Fatalf("%d", got.status)
	}
	server.stop()
	select {
	case err := <-server.result:
		server.result <- err // for the cleanup
	case <-time.After(4 * time.Second): // net/http by itself takes five to six
		t.Error("still waiting")
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := api.Serve(t.Context(), listener, http.NotFoundHandler(), api.Limits{}, discard); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestServeLimitsConnections(t *testing.T) {
	server := startServe(t, api.New(api.Config{Store: &apitest.Store{}, Cluster: &apitest.Cluster{}}), api.Limits{MaxConnections: 1})
	ask := func(conn net.Conn) (*http.Response, error) {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(conn), nil)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := dial()
	if response, err := ask(first); err != nil || response.StatusCode != 200 {
		t.Fatalf("the first connection: %v", err)
	}
	second := dial() // accepted by the kernel only
	defer second.Close()
	if err := second.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(second); err == nil {
		t.Fatal("a second connection was served beside the first")
	}
	first.Close()
	if err := second.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// The request that was sent above is still waiting.
	if response, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil || response.StatusCode != 200 {
		t.Errorf("the second connection, once the first was closed: %v", err)
	}
}

func TestServeCutsOffClientsThatDoNotSpeak(t *testing.T) {
	server := startServe(t, http.NotFoundHandler(), api.Limits{ReadHeaderTimeout: 20 * time.Millisecond})
	for _, sent := range []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n"} {
		conn, err := net.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil { // the end, not the deadline
			t.Errorf("after %q: %v", sent, err)
		}
		conn.Close()
	}
}

func TestServeCutsOffBodiesThatDoNotArrive(t *testing.T) {
	store := &apitest.Store{}
	server := startServe(t, api.New(api.Config{Store: store, Cluster: &apitest.Cluster{}, NodeID: 7}), api.Limits{ReadTimeout: 20 * time.Millisecond})
	got := rawRequest(t, server.address, "PUT /api/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe")
	wantProblem(t, got, wire.RequestTimeout)
	if store.Calls() != 0 {
		t.Error("half a body was written")
	}
}

func TestServeBoundsHeadersWithRoomForTheLongestKey(t *testing.T) {
	server := startServe(t, api.New(api.Config{Store: &apitest.Store{}, Cluster: &apitest.Cluster{}, NodeID: 7}), api.Limits{})
	longest := "http://" + server.address + "/api/kv/" + percentEncode(strings.Repeat("\xff", kv.MaxKey), false)
	if got := send(t, "PUT", longest, "v"); got.status != 200 {
		t.Errorf("the longest key: %d %s", got.status, got.body)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+server.address+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Padding", strings.Repeat("x", 64<<10))
	// The server answers 431 and closes without reading the rest, so that the
	// client may see a broken connection instead.
	if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
		response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 64 KiB: %d", response.StatusCode)
		}
	}
}

// waitUntil waits for a state that will come, and fails if it does not.
func waitUntil(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !reached() {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: not %s", what)
		}
	}
}
