package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

// serve starts a server of node 7, which takes node 3 for the leader.
func serve(t *testing.T, store *apitest.Store, cluster *apitest.Cluster) *httptest.Server {
	t.Helper()
	return serveConfig(t, api.Config{Store: store, Cluster: cluster})
}

func serveConfig(t *testing.T, config api.Config) *httptest.Server {
	t.Helper()
	config.NodeID = 7
	config.Leader = func() uint64 { return 3 }
	server := httptest.NewServer(api.New(config))
	t.Cleanup(server.Close)
	return server
}

// reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

// send makes a request; headers are pairs of name and value.
func send(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	return sendReader(t, method, url, strings.NewReader(body), headers...)
}

func sendReader(t *testing.T, method, url string, body io.Reader, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the body: %v", method, url, err)
	}
	return reply{status: response.StatusCode, header: response.Header, body: string(content)}
}

// wantProblem checks that a reply is the problem with that URI, whole.
func wantProblem(t *testing.T, got reply, uri string) wire.Problem {
	t.Helper()
	want, ok := wire.LookupProblem(uri)
	if !ok {
		t.Fatalf("no problem type %s", uri)
	}
	var problem wire.Problem
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil {
		t.Fatalf("status %d with body %q, want a problem: %v", got.status, got.body, err)
	}
	if got.status != want.Status || problem.Type != uri || problem.Status != want.Status ||
		problem.Title != want.Title || problem.Detail == "" {
		t.Errorf("got %d with %+v, want %d with type %s and a detail", got.status, problem, want.Status, uri)
	}
	if ct := got.header.Get("Content-Type"); ct != wire.ProblemContentType {
		t.Errorf("Content-Type %q, want %q", ct, wire.ProblemContentType)
	}
	if retry := got.header.Get("Retry-After"); (retry != "") != want.Temporary {
		t.Errorf("Retry-After %q with %s", retry, uri)
	}
	if node := got.header.Get(wire.HeaderNode); node != "7" {
		t.Errorf("%s %q, want 7", wire.HeaderNode, node)
	}
	return problem
}

// wantBody checks status and body of a success.
func wantBody(t *testing.T, got reply, status int, body string) {
	t.Helper()
	if got.status != status || strings.TrimSuffix(got.body, "\n") != body {
		t.Errorf("got %d %q, want %d %q", got.status, got.body, status, body)
	}
}
