package api_test

import (
	"strings"
	"testing"

	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

func TestWriteReturnsTheRevisionAndReadsReturnWhatWasWritten(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})

	got := send(t, "POST", server.URL+"/api/write", `{"key":"hello","value":"world"}`, "Content-Type", "application/json")
	wantBody(t, got, 200, `{"key":"hello","revision":1}`)
	send(t, "POST", server.URL+"/api/write", `{"key":"other","value":""}`)

	for _, path := range []string{"/api/read/hello", "/api/consistent_read/hello"} {
		got := send(t, "GET", server.URL+path, "")
		wantBody(t, got, 200, `{"key":"hello","value":"world","revision":1,"applied_index":2}`)
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
			wire.HeaderNode: "7", wire.HeaderLeader: "3", wire.HeaderAppliedIndex: "2",
		} {
			if value := got.header.Get(name); value != want {
				t.Errorf("%s: header %s is %q, want %q", path, name, value, want)
			}
		}
	}
	wantBody(t, send(t, "GET", server.URL+"/api/read/other", ""), 200, `{"key":"other","value":"","revision":2,"applied_index":2}`)
}

func TestAMissingKeyIsAProblemAndNeverAnEmptyValue(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	send(t, "POST", server.URL+"/api/write", `{"key":"other","value":""}`)
	for _, path := range []string{"/api/read/hello", "/api/consistent_read/hello", "/api/kv/hello", "/api/kv/hello?consistency=stale"} {
		got := send(t, "GET", server.URL+path, "")
		wantProblem(t, got, wire.KeyNotFound)
		if applied := got.header.Get(wire.HeaderAppliedIndex); applied != "1" {
			t.Errorf("%s: applied index %q, want 1", path, applied)
		}
	}
	wantProblem(t, send(t, "DELETE", server.URL+"/api/kv/hello", ""), wire.KeyNotFound)
}

func TestWriteTakesJSONUnderTheNamesThatClientsGiveIt(t *testing.T) {
	const body = `{"key":"k","value":"v"}`
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	for contentType, accepted := range map[string]bool{
		"":                                  true,
		"application/json":                  true,
		"application/json; charset=utf-8":   true,
		"Application/JSON":                  true,
		"application/vnd.balsa+json":        true,
		"application/x-www-form-urlencoded": true, // what curl -d says
		"text/plain":                        false,
		"multipart/form-data; boundary=x":   false,
		"application/octet-stream":          false,
		"no/type/at all":                    false,
	} {
		var headers []string
		if contentType != "" {
			headers = []string{"Content-Type", contentType}
		}
		before := store.Calls()
		got := send(t, "POST", server.URL+"/api/write", body, headers...)
		if accepted {
			if got.status != 200 {
				t.Errorf("%s: %d %s", contentType, got.status, got.body)
			}
		} else {
			wantProblem(t, got, wire.UnsupportedMediaType)
			if store.Calls() != before {
				t.Errorf("%s: refused and written all the same", contentType)
			}
		}
	}
}

func TestWriteRefusesBodiesThatAreNotWhatItTakes(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	for body, want := range map[string]string{
		"":                         wire.MalformedRequest,
		"   ":                      wire.MalformedRequest,
		"hello":                    wire.MalformedRequest,
		`{`:                        wire.MalformedRequest,
		`{"key":"k","value":"v"`:   wire.MalformedRequest,
		`{"key":"k" "value":"v"}`:  wire.MalformedRequest,
		`{"key":"k","value":"v",}`: wire.MalformedRequest,
		`{"key":"k","value":"v"}{"key":"k","value":"v"}`: wire.MalformedRequest,
		`{"key":"k","value":"v"}x`:                       wire.MalformedRequest,
		"{\"key\":\"k\",\"value\":\"\xff\"}":             wire.MalformedRequest, // no UTF-8
		"{\"key\":\"k\",\"value\":\"a\nb\"}":             wire.MalformedRequest, // a raw control character
		`{"key":"k","value":"\ud800"}`:                   wire.MalformedRequest, // half a pair
		`{"key":"k","value":"\udc00\ud800"}`:             wire.MalformedRequest, // the wrong way round
		`{"key":"k","value":"\x"}`:                       wire.MalformedRequest,
		"key=k&value=v":                                  wire.MalformedRequest,
		`{}`:                                             wire.InvalidRequest,
		`{"key":"k"}`:                                    wire.InvalidRequest,
		`{"value":"v"}`:                                  wire.InvalidRequest,
		`{"key":null,"value":"v"}`:                       wire.InvalidRequest,
		`{"key":"k","value":null}`:                       wire.InvalidRequest,
		`{"key":"","value":"v"}`:                         wire.InvalidRequest,
		`{"key":1,"value":"v"}`:                          wire.InvalidRequest,
		`{"key":"k","value":{}}`:                         wire.InvalidRequest,
		`{"key":"k","value":"v","ttl":3}`:                wire.InvalidRequest,
		`{"key":"k","vaule":"v"}`:                        wire.InvalidRequest,
		`[]`:                                             wire.InvalidRequest,
		`"k"`:                                            wire.InvalidRequest,
		`null`:                                           wire.InvalidRequest,
	} {
		t.Run(body, func(t *testing.T) {
			before := store.Calls()
			problem := wantProblem(t, send(t, "POST", server.URL+"/api/write", body), want)
			if store.Calls() != before {
				t.Error("refused and written all the same")
			}
			if len(problem.Detail) > 300 {
				t.Errorf("a detail of %d bytes: %s", len(problem.Detail), problem.Detail)
			}
		})
	}
}

func TestTextSurvivesUnchanged(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	for name, test := range map[string]struct{ sent, back string }{
		"plain":          {`"plain"`, `"plain"`},
		"empty":          {`""`, `""`},
		"escapes":        {`"a\"b\\c\/d\b\f\n\r\t"`, `"a\"b\\c/d\b\f\n\r\t"`},
		"NUL":            {`"\u0000"`, `"\u0000"`},
		"markup":         {`"<script>&amp;"`, `"<script>&amp;"`},
		"unicode":        {`"żółw 🐢"`, `"żółw 🐢"`},
		"escaped turtle": {`"\ud83d\udc22"`, `"🐢"`},
		"escaped marks":  {`"\ufffd \uffff"`, "\"\ufffd \uffff\""},
		"delete":         {"\"\x7f\"", "\"\x7f\""},
		"looks escaped":  {`"\\ud800"`, `"\\ud800"`},
	} {
		t.Run(name, func(t *testing.T) {
			wrote := send(t, "POST", server.URL+"/api/write", ` { "value" : `+test.sent+` , "key" : "k" } `)
			if wrote.status != 200 {
				t.Fatalf("write: %d %s", wrote.status, wrote.body)
			}
			read := send(t, "GET", server.URL+"/api/consistent_read/k", "")
			if !strings.Contains(read.body, `"value":`+test.back+`,`) {
				t.Errorf("wrote %s, read %s", test.sent, read.body)
			}
		})
	}
}

func TestBytesThatAreNoTextAreNotReadAsText(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	send(t, "PUT", server.URL+"/api/kv/value", "\xff\xfe")
	send(t, "PUT", server.URL+"/api/kv/key%FF", "text")
	for _, path := range []string{"/api/read/value", "/api/consistent_read/value", "/api/read/key%FF"} {
		wantProblem(t, send(t, "GET", server.URL+path, ""), wire.NotText)
	}
	wantBody(t, send(t, "GET", server.URL+"/api/kv/value", ""), 200, "\xff\xfe")
}
