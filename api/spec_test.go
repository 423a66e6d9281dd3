package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
)

// loadSpec returns the document that a server of this package serves.
func loadSpec(t *testing.T) *openapi3.T {
	t.Helper()
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	got := send(t, "GET", server.URL+"/spec", "")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("/spec: %d, %s", got.status, got.header.Get("Content-Type"))
	}
	spec, err := openapi3.NewLoader().LoadFromData([]byte(got.body))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestTheDocumentIsValidOpenAPI31(t *testing.T) {
	spec := loadSpec(t)
	if !strings.HasPrefix(spec.OpenAPI, "3.1.") {
		t.Errorf("version %s, want 3.1", spec.OpenAPI)
	}
	if err := spec.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
	for _, server := range spec.Servers {
		if !strings.HasPrefix(server.URL, "/") {
			t.Errorf("server %s: the document must talk about whichever node serves it", server.URL)
		}
	}
}

func TestTheDocumentComesAsJSONAndYAML(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	plain := send(t, "GET", server.URL+"/spec", "")
	asJSON := send(t, "GET", server.URL+"/spec.json", "")
	if plain.status != 200 || plain.body != asJSON.body {
		t.Errorf("/spec (%d) and /spec.json (%d) differ", plain.status, asJSON.status)
	}
	asYAML := send(t, "GET", server.URL+"/spec.yaml", "")
	if asYAML.status != 200 || asYAML.header.Get("Content-Type") != "application/yaml" {
		t.Fatalf("/spec.yaml: %d, %s", asYAML.status, asYAML.header.Get("Content-Type"))
	}
	fromYAML, err := openapi3.NewLoader().LoadFromData([]byte(asYAML.body))
	if err != nil {
		t.Fatal(err)
	}
	if fromYAML.Paths.Len() != loadSpec(t).Paths.Len() {
		t.Errorf("/spec.yaml has %d paths", fromYAML.Paths.Len())
	}
}

// pagesOnly are the routes that are no part of the API: the document itself and
// the page that shows it.
var pagesOnly = []string{"/", "/spec", "/spec.json", "/spec.yaml", "/swagger-ui.css", "/swagger-ui-bundle.js",
	"/swagger-ui-standalone-preset.js", "/favicon-16x16.png", "/favicon-32x32.png", "/oauth2-redirect.html"}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	spec := loadSpec(t)
	router := api.New(api.Config{Store: &apitest.Store{}, Cluster: &apitest.Cluster{}}).(chi.Routes)
	documented := 0
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if slices.Contains(pagesOnly, route) {
			return nil
		}
		path := strings.Replace(route, "*", "{key}", 1)
		item := spec.Paths.Value(path)
		if item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s %s is served and not documented", method, path)
			return nil
		}
		documented++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	described := 0
	for _, item := range spec.Paths.Map() {
		described += len(item.Operations())
	}
	if documented != described || documented == 0 {
		t.Errorf("%d operations are served, %d described", documented, described)
	}
}

// The document must be true: what the endpoints answer has a documented status
// and media type, and fits the schema given for it.
func TestAnswersFitTheDocument(t *testing.T) {
	spec := loadSpec(t)
	match, caughtUp := uint64(3), 43
	snapshot := &wire.SnapshotProgress{From: 7, Index: 3, Bytes: 1, Size: 2}
	cluster := &apitest.Cluster{
		StatusValue: wire.ClusterStatus{Role: "leader", Voters: []uint64{7}, FirstIndex: 1, ConfigurationIndex: 1, Receiving: snapshot,
			Change: &wire.PendingChange{Joint: true, OldVoters: []uint64{7}}, TransferTo: 8,
			Members: []wire.Member{{ID: 7, Status: wire.StatusAlive, Role: wire.RoleLeader, MatchIndex: &match,
				CaughtUp: &caughtUp, Snapshot: snapshot, Note: "a note"}}},
		Leader: 2,
	}
	server := serve(t, &apitest.Store{}, cluster)
	for _, test := range []struct {
		operation, method, path, body string
		headers                       []string
		status                        int
	}{
		{"write", "POST", "/api/write", `{"key":"k","value":"v"}`, nil, 200},
		{"write", "POST", "/api/write", `{`, nil, 400},
		{"write", "POST", "/api/write", `{}`, nil, 422},
		{"write", "POST", "/api/write", ``, []string{"Origin", "http://evil.example"}, 403},
		{"write", "POST", "/api/write", `{}`, []string{"Content-Type", "text/plain"}, 415},
		{"read", "GET", "/api/read/k", "", nil, 200},
		{"read", "GET", "/api/read/none", "", nil, 404},
		{"consistent-read", "GET", "/api/consistent_read/k", "", nil, 200},
		{"put", "PUT", "/api/kv/b", "\xff", nil, 200},
		{"put", "PUT", "/api/kv/b", "x", []string{"If-None-Match", "*"}, 412},
		{"put", "PUT", "/api/kv/b", "x", []string{"If-Match", "*"}, 400},
		{"read", "GET", "/api/read/b", "", nil, 406},
		{"get", "GET", "/api/kv/b", "", nil, 200},
		{"get", "GET", "/api/kv/b", "", []string{"If-None-Match", "*"}, 304},
		{"get", "GET", "/api/kv/b?consistency=x", "", nil, 422},
		{"get", "GET", "/api/kv/b", "", []string{"Host", "evil.example"}, 421},
		{"delete", "DELETE", "/api/kv/b", "", nil, 200},
		{"delete", "DELETE", "/api/kv/b", "", nil, 404},
		{"cluster", "GET", "/api/cluster", "", nil, 200},
		{"members", "GET", "/api/members", "", nil, 200},
		{"set-member", "POST", "/api/members", `{"id":4,"voter":true}`, nil, 202},
		{"set-member", "POST", "/api/members", `{"id":4,"voter":1}`, nil, 422},
		{"set-member", "POST", "/api/members", `{`, nil, 400},
		{"set-member", "POST", "/api/members", ``, []string{"Origin", "http://evil.example"}, 403},
		{"set-member", "POST", "/api/members", strings.Repeat(" ", 5000), nil, 413},
		{"set-member", "POST", "/api/members", `{}`, []string{"Content-Type", "text/plain"}, 415},
		{"remove-member", "DELETE", "/api/members/4", "", nil, 200},
		{"remove-member", "DELETE", "/api/members/four", "", nil, 422},
		{"transfer", "POST", "/api/leader", `{"to":2}`, nil, 200},
		{"transfer", "POST", "/api/leader", ``, nil, 200},
		{"transfer", "POST", "/api/leader", `{"to":-2}`, nil, 422},
		{"healthz", "GET", "/healthz", "", nil, 200},
		{"readyz", "GET", "/readyz", "", nil, 200},
	} {
		got := send(t, test.method, server.URL+test.path, test.body, test.headers...)
		if got.status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, got.status, got.body, test.status)
			continue
		}
		response := findOperation(t, spec, test.operation).Responses.Status(got.status)
		if response == nil {
			t.Errorf("%s: status %d is not documented", test.operation, got.status)
			continue
		}
		if got.body == "" && len(response.Value.Content) == 0 {
			continue
		}
		media := response.Value.Content[got.header.Get("Content-Type")]
		if media == nil {
			t.Errorf("%s: %d with %s is not documented", test.operation, got.status, got.header.Get("Content-Type"))
			continue
		}
		var value any
		if json.Unmarshal([]byte(got.body), &value) != nil {
			continue // raw bytes
		}
		if err := spec.ValidateSchemaJSON(media.Schema.Value, value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %s does not fit its schema: %v", test.operation, got.body, err)
		}
	}
}

func findOperation(t *testing.T, spec *openapi3.T, id string) *openapi3.Operation {
	t.Helper()
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			if operation.OperationID == id {
				return operation
			}
		}
	}
	t.Fatalf("no operation %s", id)
	return nil
}
