package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

// Whatever a client sends, the answer is a success, a note that the client
// has it already, or a problem that blames the client; never a panic.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, header, value, body string }{
		{"POST", "/api/write", "Content-Type", "application/json", `{"key":"k","value":"v"}`},
		{"POST", "/api/write", "Content-Type", "a/b; c", `{"key":`},
		{"PUT", "/api/kv/a%2Fb", "If-Match", `"1"`, "\xff"},
		{"PUT", "/api/kv/a", "If-None-Match", `*`, ""},
		{"GET", "/api/kv/%ff?consistency=stale", "If-None-Match", `W/"1", *`, ""},
		{"HEAD", "/api/read/k", "Origin", "http://x", ""},
		{"DELETE", "/api/kv/", "Sec-Fetch-Site", "cross-site", ""},
		{"POST", "/api/members", "Content-Type", "application/json", `{"id":4,"voter":true,"rpc_addr":"[::1]:1"}`},
		{"DELETE", "/api/members/4", "Accept", "*/*", ""},
		{"DELETE", "/api/members/%2F-1", "Accept", "*/*", ""},
		{"POST", "/api/leader", "Content-Type", "", `{"to":18446744073709551616}`},
		{"OPTIONS", "/", "Accept", "text/html;q=x", ""},
	} {
		f.Add(seed.method, seed.target, seed.header, seed.value, []byte(seed.body))
	}
	store := &apitest.Store{}
	handler := api.New(api.Config{Store: store, Cluster: &apitest.Cluster{Result: wire.MemberResult{Done: true}}})
	f.Fuzz(func(t *testing.T, method, target, header, value string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" {
			t.Skip("net/http refuses it")
		}
		request := (&http.Request{Method: method, URL: u, Host: "localhost", Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1,
			Body: http.NoBody}).WithContext(t.Context())
		if len(body) > 0 {
			request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		request.Header.Set(header, value)
		recorded := httptest.NewRecorder()
		handler.ServeHTTP(recorded, request)
		switch status := recorded.Code; {
		case status == 200 || status == 304:
		case status < 400 || status >= 500:
			t.Errorf("%s %q answered %d %s", method, target, status, recorded.Body)
		case recorded.Header().Get("Content-Type") != wire.ProblemContentType:
			t.Errorf("%s %q answered %d as %s", method, target, status, recorded.Header().Get("Content-Type"))
		}
	})
}
