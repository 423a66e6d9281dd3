package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

var awkwardKeys = []string{
	"plain",
	"a/b",
	"/",
	"//",
	"/leading",
	"trailing/",
	"a//b",
	".",
	"..",
	"a/../b",
	"a b",
	"a+b",
	"100%",
	"%2F",
	"a%2Fb/c",
	"?x=1&y=2#z",
	"żółw 🐢",
	"\x00",
	"\xff\xfe/\x80",
	"{key}",
	"*",
	";:@&=$,!'()",
	"quote\"back\\slash",
	"new\nline\r\n",
	strings.Repeat("k", 4096),
	strings.Repeat("\xff", 4096),
}

// percentEncode encodes every byte, or every byte but slashes.
func percentEncode(key string, keepSlashes bool) string {
	var b strings.Builder
	for i := range len(key) {
		if key[i] == '/' && keepSlashes {
			b.WriteByte('/')
		} else {
			fmt.Fprintf(&b, "%%%02x", key[i])
		}
	}
	return b.String()
}

// The ways in which clients write one and the same key into a path.
var encodings = map[string]func(string) string{
	"segment":    url.PathEscape,
	"every byte": func(key string) string { return percentEncode(key, false) },
	"slashes":    func(key string) string { return percentEncode(key, true) },
}

func TestEveryKeyCanBeWrittenAndReadUnderEveryEncoding(t *testing.T) {
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})
	for i, key := range awkwardKeys {
		value := fmt.Sprintf("value %d", i)
		for name, encode := range encodings {
			path := "/api/kv/" + encode(key)
			if put := send(t, "PUT", server.URL+path, value); put.status != 200 {
				t.Fatalf("PUT %.80q as %s: %d %s", key, name, put.status, put.body)
			}
			if item, found, _ := store.Get([]byte(key)); !found || string(item.Value) != value {
				t.Errorf("PUT %.80q as %s arrived under another key", key, name)
			}
			wantBody(t, send(t, "GET", server.URL+path, ""), 200, value)
			if got := send(t, "DELETE", server.URL+path, ""); got.status != 200 {
				t.Errorf("DELETE %.80q as %s: %d %s", key, name, got.status, got.body)
			}
		}
	}
}

func TestTextEndpointsTakeTheSameKeys(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	for _, key := range awkwardKeys {
		if !utf8.ValidString(key) {
			continue
		}
		body, err := json.Marshal(wire.WriteRequest{Key: key, Value: "v"})
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, "POST", server.URL+"/api/write", string(body)); got.status != 200 {
			t.Fatalf("write %.80q: %d %s", key, got.status, got.body)
		}
		for name, encode := range encodings {
			for _, prefix := range []string{"/api/read/", "/api/consistent_read/"} {
				got := send(t, "GET", server.URL+prefix+encode(key), "")
				var result wire.ReadResult
				if err := json.Unmarshal([]byte(got.body), &result); err != nil || got.status != 200 || result.Key != key {
					t.Errorf("%s%.80q as %s: %d %s", prefix, key, name, got.status, got.body)
				}
			}
		}
	}
}

func TestAnEmptyKeyIsRefused(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	for _, request := range [][2]string{
		{"GET", "/api/read/"}, {"GET", "/api/consistent_read/"}, {"GET", "/api/kv/"}, {"PUT", "/api/kv/"}, {"DELETE", "/api/kv/"},
	} {
		wantProblem(t, send(t, request[0], server.URL+request[1], ""), wire.InvalidRequest)
	}
}
