package api_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

// rawRequest sends bytes that no well-behaved client would and reads the one
// response to them.
func rawRequest(t *testing.T, address, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: response.StatusCode, header: response.Header, body: string(body)}
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	for _, path := range []string{"/api", "/api/", "/api/kv", "/api/read", "/swagger-ui.cs", "/index.html", "/spec/x", "/debug/pprof/", "/metrics2"} {
		wantProblem(t, send(t, "GET", server.URL+path, ""), wire.NoSuchPage)
	}
	for _, test := range []struct{ method, path, allow string }{
		{"GET", "/api/write", "POST"},
		{"POST", "/api/read/k", "GET, HEAD"},
		{"PATCH", "/api/kv/a/b", "GET, PUT, DELETE, HEAD"},
		{"POST", "/api/kv/%2F", "GET, PUT, DELETE, HEAD"},
		{"DELETE", "/", "GET, HEAD"},
		{"BREW", "/spec", "GET, HEAD"},
	} {
		got := send(t, test.method, server.URL+test.path, "")
		wantProblem(t, got, wire.MethodNotAllowed)
		if allow := got.header.Get("Allow"); allow != test.allow {
			t.Errorf("%s %s: Allow %q, want %q", test.method, test.path, allow, test.allow)
		}
	}
}

// DNS rebinding: a page on evil.example makes that name point to 127.0.0.1.
func TestForeignHostNamesAreRefusedOverLoopback(t *testing.T) {
	store := &apitest.Store{}
	server := serveConfig(t, api.Config{Store: store, Cluster: &apitest.Cluster{}, AllowedHosts: []string{"Db1.Example.com"}})
	for host, allowed := range map[string]bool{
		"127.0.0.1":               true,
		"127.0.0.1:3001":          true,
		"[::1]:3001":              true,
		"[::1]":                   true,
		"10.0.0.7:3001":           true,
		"localhost":               true,
		"LOCALHOST:3001":          true,
		"localhost.:3001":         true,
		"node1.localhost:3001":    true,
		"db1.example.com":         true,
		"DB1.example.com:3001":    true,
		"evil.example":            false,
		"evil.example:3001":       false,
		"localhost.evil.example":  false,
		"127.0.0.1.evil.example":  false,
		"evillocalhost":           false,
		"db1.example.com.evil":    false,
		"2.db1.example.com":       false,
		"[::1].evil.example:3001": false,
	} {
		for _, r := range []struct{ method, path string }{{"PUT", "/api/kv/k"}, {"GET", "/api/kv/k"}, {"GET", "/"}, {"GET", "/spec"}} {
			before := store.Calls()
			got := rawRequest(t, server.Listener.Addr().String(),
				r.method+" "+r.path+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if allowed && got.status != 200 {
				t.Errorf("%s %s at host %s: %d %s", r.method, r.path, host, got.status, got.body)
			}
			if !allowed {
				wantProblem(t, got, wire.WrongHost)
				if store.Calls() != before {
					t.Errorf("%s %s at host %s reached the store", r.method, r.path, host)
				}
			}
		}
	}
}

func TestPagesOfOtherOriginsCannotWrite(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	own := "http://" + server.Listener.Addr().String()
	for _, test := range []struct {
		headers []string
		allowed bool
	}{
		{nil, true}, // curl
		{[]string{"Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Sec-Fetch-Site", "none"}, true},
		{[]string{"Origin", own}, true},
		{[]string{"Sec-Fetch-Site", "cross-site"}, false},
		{[]string{"Sec-Fetch-Site", "same-site"}, false},
		{[]string{"Origin", "http://evil.example"}, false},
		{[]string{"Origin", "null"}, false},
	} {
		for _, r := range requests {
			before := store.Calls()
			got := send(t, r.method, server.URL+r.path, r.body, test.headers...)
			switch {
			case r.writes && !test.allowed:
				wantProblem(t, got, wire.CrossOrigin)
				if store.Calls() != before {
					t.Errorf("%s with %v reached the store", r.method, test.headers)
				}
			case got.status == 403:
				t.Errorf("%s %s with %v: %s", r.method, r.path, test.headers, got.body)
			}
			if value := got.header.Get("Access-Control-Allow-Origin"); value != "" {
				t.Errorf("other origins may read: %s", value)
			}
		}
	}
}

// logBuffer is a log that tests can read while handlers write it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestAPanicIsAProblemAndLogged(t *testing.T) {
	store := &apitest.Store{}
	store.FailWith(func(context.Context) error { panic("a defect") })
	var log logBuffer
	server := serveConfig(t, api.Config{Store: store, Cluster: &apitest.Cluster{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, r := range requests {
		problem := wantProblem(t, send(t, r.method, server.URL+r.path, r.body), wire.Internal)
		if strings.Contains(problem.Detail, "a defect") {
			t.Errorf("the client is told about the inside: %s", problem.Detail)
		}
	}
	if text := log.String(); !strings.Contains(text, "a defect") || !strings.Contains(text, "goroutine") {
		t.Errorf("the log has no panic with its stack: %s", text)
	}
}

func TestTheAccessLogIsForDebugging(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var log logBuffer
		server := serveConfig(t, api.Config{Store: &apitest.Store{}, Cluster: &apitest.Cluster{},
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
		send(t, "GET", server.URL+"/api/kv/a%2Fb?consistency=stale", "")
		server.Close() // waits for the handler, which logs at its end
		logged := strings.Contains(log.String(), "method=GET path=/api/kv/a%2Fb status=404")
		if logged != (level == slog.LevelDebug) {
			t.Errorf("level %s: log %q", level, log.String())
		}
	}
}
