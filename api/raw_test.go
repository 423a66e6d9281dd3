package api_test

import (
	"testing"

	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

func TestBytesGoInAndComeOutUnchanged(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, value := range map[string]string{"every byte": string(every), "empty": "", "text": "text"} {
		put := send(t, "PUT", server.URL+"/api/kv/k", value)
		if put.status != 200 || put.header.Get("ETag") == "" {
			t.Errorf("%s: PUT answered %d %s", name, put.status, put.body)
		}
		got := send(t, "GET", server.URL+"/api/kv/k", "")
		if got.status != 200 || got.body != value || got.header.Get("ETag") != put.header.Get("ETag") {
			t.Errorf("%s: read %d %q with ETag %s, want the %d bytes with ETag %s", name,
				got.status, got.body, got.header.Get("ETag"), len(value), put.header.Get("ETag"))
		}
		// A value that is markup must not become a page of this origin.
		if ct := got.header.Get("Content-Type"); ct != "application/octet-stream" {
			t.Errorf("%s: Content-Type %q", name, ct)
		}
	}
}

func TestPutTakesAnyContentType(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	for _, contentType := range []string{"application/x-www-form-urlencoded", "application/json", "text/plain", "nonsense"} {
		got := send(t, "PUT", server.URL+"/api/kv/k", "a=b", "Content-Type", contentType)
		if got.status != 200 {
			t.Errorf("%s: %d %s", contentType, got.status, got.body)
		}
	}
	wantBody(t, send(t, "GET", server.URL+"/api/kv/k", ""), 200, "a=b")
}

func TestHeadTellsTheRevisionWithoutTheValue(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	send(t, "PUT", server.URL+"/api/kv/k", "value")
	got := send(t, "HEAD", server.URL+"/api/kv/k", "")
	if got.status != 200 || got.body != "" || got.header.Get("ETag") != `"1"` || got.header.Get("Content-Length") != "5" {
		t.Errorf("HEAD: %d %q %v", got.status, got.body, got.header)
	}
	if got := send(t, "HEAD", server.URL+"/api/kv/none", ""); got.status != 404 {
		t.Errorf("HEAD of a missing key: %d", got.status)
	}
}

func TestDeleteRemoves(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	send(t, "PUT", server.URL+"/api/kv/k", "value")
	wantBody(t, send(t, "DELETE", server.URL+"/api/kv/k", ""), 200, `{"revision":2}`)
	wantProblem(t, send(t, "GET", server.URL+"/api/kv/k", ""), wire.KeyNotFound)
}

// The life of a key under compare-and-set, step by step. Revisions count up by
// one with each write that happens.
func TestCompareAndSetByETag(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	const problem = wire.PreconditionFailed
	for i, step := range []struct {
		method        string
		header, value string
		want          string // the body of a success, or the URI of a problem
		current       uint64 // with a failed precondition: the revision reported
	}{
		{"PUT", "If-Match", `"1"`, problem, 0},
		{"DELETE", "If-Match", `"1"`, problem, 0},
		{"PUT", "If-None-Match", `*`, `{"revision":1}`, 0},
		{"PUT", "If-None-Match", `*`, problem, 1},
		{"PUT", "If-Match", `"1"`, `{"revision":2}`, 0},
		{"PUT", "If-Match", `"1"`, problem, 2},
		{"PUT", "If-Match", ` "2" `, `{"revision":3}`, 0},
		{"DELETE", "If-Match", `"2"`, problem, 3},
		{"DELETE", "If-Match", `"3"`, `{"revision":4}`, 0},
		{"DELETE", "If-Match", `"3"`, problem, 0},
		{"PUT", "If-None-Match", `*`, `{"revision":5}`, 0},
	} {
		got := send(t, step.method, server.URL+"/api/kv/k", "v", step.header, step.value)
		if step.want != problem {
			wantBody(t, got, 200, step.want)
			continue
		}
		p := wantProblem(t, got, problem)
		if p.Revision == nil || *p.Revision != step.current {
			t.Errorf("step %d: the problem reports revision %v, want %d", i, p.Revision, step.current)
		}
	}
}

func TestConditionsThatCannotBeKeptAreRefused(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	for _, condition := range [][]string{
		{"If-Match", "*"},
		{"If-Match", `"1", "2"`},
		{"If-Match", `W/"1"`},
		{"If-Match", "1"},
		{"If-Match", `""`},
		{"If-Match", `"0"`},
		{"If-Match", `"01"`},
		{"If-Match", `"-1"`},
		{"If-Match", `"99999999999999999999"`},
		{"If-Match", `"abc"`},
		{"If-None-Match", `"1"`},
		{"If-None-Match", `*, "1"`},
		{"If-Match", `"1"`, "If-None-Match", "*"},
	} {
		wantProblem(t, send(t, "PUT", server.URL+"/api/kv/k", "v", condition...), wire.MalformedRequest)
		if condition[0] == "If-Match" && len(condition) == 2 {
			wantProblem(t, send(t, "DELETE", server.URL+"/api/kv/k", "", condition...), wire.MalformedRequest)
		}
	}
	if store.Calls() != 0 {
		t.Errorf("%d calls reached the store", store.Calls())
	}
}

func TestGetHonoursConditions(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	send(t, "PUT", server.URL+"/api/kv/other", "x")
	send(t, "PUT", server.URL+"/api/kv/k", "value") // revision 2
	for _, test := range []struct {
		header, value string
		status        int
	}{
		{"If-None-Match", `"2"`, 304},
		{"If-None-Match", `W/"2"`, 304},
		{"If-None-Match", `"1", "2"`, 304},
		{"If-None-Match", `*`, 304},
		{"If-None-Match", `"1"`, 200},
		{"If-None-Match", `"22"`, 200},
		{"If-None-Match", `2`, 200},
		{"If-Match", `"2"`, 200},
		{"If-Match", `*`, 200},
		{"If-Match", `"1","2"`, 200},
		{"If-Match", `"1"`, 412},
	} {
		got := send(t, "GET", server.URL+"/api/kv/k", "", test.header, test.value)
		if got.status != test.status {
			t.Errorf("%s: %s answered %d, want %d", test.header, test.value, got.status, test.status)
		}
		if test.status == 304 && (got.body != "" || got.header.Get("ETag") != `"2"`) {
			t.Errorf("304 with body %q and ETag %s", got.body, got.header.Get("ETag"))
		}
		if test.status == 200 && got.body != "value" {
			t.Errorf("200 with body %q", got.body)
		}
	}
}

func TestConsistencyIsOneOfThree(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	send(t, "PUT", server.URL+"/api/kv/k", "value")
	for _, query := range []string{"", "?consistency=linearizable", "?consistency=stale"} {
		wantBody(t, send(t, "GET", server.URL+"/api/kv/k"+query, ""), 200, "value")
	}
	wantProblem(t, send(t, "GET", server.URL+"/api/kv/k?consistency=eventual", ""), wire.InvalidRequest)
	if store.Leased() != 0 {
		t.Error("the lease was used although nobody asked for that")
	}
	wantBody(t, send(t, "GET", server.URL+"/api/kv/k?consistency=lease", ""), 200, "value")
	if store.Leased() != 1 {
		t.Errorf("%d reads by lease, want 1", store.Leased())
	}
}
