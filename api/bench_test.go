package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"

	"github.com/go-chi/chi/v5"
)

// instantStore answers at once and touches nothing, so that what is left to
// measure is the door.
type instantStore struct{ apitest.Store }

var instantItem = kv.Item{Value: []byte(strings.Repeat("v", 128)), Revision: 12, Applied: 15}

func (*instantStore) Put(context.Context, []byte, []byte) (kv.Result, error) {
	return kv.Result{Revision: 12}, nil
}

func (*instantStore) LinearizableGet(context.Context, []byte) (kv.Item, bool, error) {
	return instantItem, true, nil
}

// bareHandler is what one would write by hand on chi without a thought for
// documents, limits, hosts or errors: the least that the same requests cost.
func bareHandler(store Store) http.Handler {
	router := chi.NewRouter()
	router.Post("/api/write", func(w http.ResponseWriter, r *http.Request) {
		var request wire.WriteRequest
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		result, err := store.Put(r.Context(), []byte(request.Key), []byte(request.Value))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(wire.WriteResult{Key: request.Key, Revision: result.Revision})
	})
	router.Get("/api/consistent_read/{key}", func(w http.ResponseWriter, r *http.Request) {
		key := chi.URLParam(r, "key")
		item, _, err := store.LinearizableGet(r.Context(), []byte(key))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(wire.ReadResult{
			Key: key, Value: string(item.Value), Revision: item.Revision, AppliedIndex: item.Applied})
	})
	return router
}

// nullWriter is a response that nobody reads.
type nullWriter struct{ header http.Header }

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(status)
	}
}

func writeBody() string { return fmt.Sprintf(`{"key":"key-000123","value":%q}`, instantItem.Value) }

func benchmarked() map[string]http.Handler {
	store := &instantStore{}
	return map[string]http.Handler{
		"bare": bareHandler(store),
		"door": New(Config{Store: store, Cluster: &apitest.Cluster{}, NodeID: 1, Leader: func() uint64 { return 1 }}),
	}
}

// BenchmarkHandlers measures the handlers alone, without a network. Each line
// includes what it takes to build a request, which "request" shows by itself.
func BenchmarkHandlers(b *testing.B) {
	body := writeBody()
	build := func(operation string) *http.Request {
		if operation == "write" {
			return httptest.NewRequest(http.MethodPost, "/api/write", strings.NewReader(body))
		}
		return httptest.NewRequest(http.MethodGet, "/api/consistent_read/key-000123", nil)
	}
	handlers := benchmarked()
	for _, operation := range []string{"write", "read"} {
		b.Run(operation+"/request", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				build(operation)
			}
		})
		for _, name := range []string{"bare", "door"} {
			b.Run(operation+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					handlers[name].ServeHTTP(&nullWriter{header: http.Header{}}, build(operation))
				}
			})
		}
	}
}

// BenchmarkLoopback measures whole requests over TCP, the client's part
// included.
func BenchmarkLoopback(b *testing.B) {
	body := writeBody()
	for _, operation := range []string{"write", "read"} {
		for name, handler := range benchmarked() {
			b.Run(operation+"/"+name, func(b *testing.B) {
				server := httptest.NewServer(handler)
				defer server.Close()
				b.ReportAllocs()
				for b.Loop() {
					var response *http.Response
					var err error
					if operation == "write" {
						response, err = http.Post(server.URL+"/api/write", "application/json", strings.NewReader(body))
					} else {
						response, err = http.Get(server.URL + "/api/consistent_read/key-000123")
					}
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			})
		}
	}
}
