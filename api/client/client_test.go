package client_test

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"balsa/api"
	"balsa/api/client"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

// startNode runs the real API over a store in memory.
func startNode(t *testing.T, store *apitest.Store, cluster *apitest.Cluster) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(api.New(api.Config{Store: store, Cluster: cluster, NodeID: 1}))
	t.Cleanup(server.Close)
	return server
}

// newClient returns a client of those addresses.
func newClient(t *testing.T, addresses ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// deadAddress returns an address on which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestTheLifeOfAKey(t *testing.T) {
	ctx := t.Context()
	c := newClient(t, startNode(t, &apitest.Store{}, &apitest.Cluster{}).Listener.Addr().String())
	key := []byte("k")

	if _, err := c.Get(ctx, key); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("get before put: %v", err)
	}
	if revision, err := c.Put(ctx, key, []byte("one")); revision != 1 || err != nil {
		t.Errorf("put: %d, %v", revision, err)
	}
	if _, err := c.CompareAndSet(ctx, key, 0, []byte("two")); !errors.Is(err, client.ErrConflict) {
		t.Errorf("create what exists: %v", err)
	} else if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem.Revision == nil || *e.Problem.Revision != 1 {
		t.Errorf("the conflict does not tell the revision: %v", err)
	}
	if revision, err := c.CompareAndSet(ctx, key, 1, []byte("two")); revision != 2 || err != nil {
		t.Errorf("compare-and-set: %d, %v", revision, err)
	}
	want := client.Item{Value: []byte("two"), Revision: 2, Applied: 2}
	if item, err := c.Get(ctx, key); !reflect.DeepEqual(item, want) || err != nil {
		t.Errorf("get: %+v, %v", item, err)
	}
	if item, err := c.GetStale(ctx, key); !reflect.DeepEqual(item, want) || err != nil {
		t.Errorf("stale get: %+v, %v", item, err)
	}
	if item, err := c.GetByLease(ctx, key); !reflect.DeepEqual(item, want) || err != nil {
		t.Errorf("get by lease: %+v, %v", item, err)
	}
	if _, err := c.CompareAndDelete(ctx, key, 1); !errors.Is(err, client.ErrConflict) {
		t.Errorf("delete an old revision: %v", err)
	}
	if revision, err := c.CompareAndDelete(ctx, key, 2); revision != 3 || err != nil {
		t.Errorf("compare-and-delete: %d, %v", revision, err)
	}
	if revision, err := c.CompareAndSet(ctx, key, 0, nil); revision != 4 || err != nil {
		t.Errorf("create: %d, %v", revision, err)
	}
	if item, err := c.Get(ctx, key); len(item.Value) != 0 || item.Revision != 4 || err != nil {
		t.Errorf("an empty value: %+v, %v", item, err)
	}
	if revision, err := c.Delete(ctx, key); revision != 5 || err != nil {
		t.Errorf("delete: %d, %v", revision, err)
	}
	if _, err := c.Delete(ctx, key); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("delete what is gone: %v", err)
	}
}

func TestAnyBytesAreAKey(t *testing.T) {
	store := &apitest.Store{}
	c := newClient(t, startNode(t, store, &apitest.Cluster{}).URL)
	keys := []string{"a/b", "/", "//", ".", "..", "a/../b", "a b+c%2F", "?q#f", "żółw", "\x00\xff", strings.Repeat("\xfe", 4096)}
	for i, key := range keys {
		value := fmt.Sprint(i)
		if _, err := c.Put(t.Context(), []byte(key), []byte(value)); err != nil {
			t.Errorf("put %.40q: %v", key, err)
		}
		if item, found, _ := store.Get([]byte(key)); !found || string(item.Value) != value {
			t.Errorf("%.40q arrived under another key", key)
		}
		if item, err := c.Get(t.Context(), []byte(key)); err != nil || string(item.Value) != value {
			t.Errorf("get %.40q: %q, %v", key, item.Value, err)
		}
	}
}

func TestStatusIsTheNodesView(t *testing.T) {
	match := uint64(3)
	want := wire.ClusterStatus{ClusterID: "c", NodeID: 1, Voters: []uint64{1}, Learners: []uint64{},
		Members: []wire.Member{{ID: 1, MatchIndex: &match}}, State: "ready"}
	c := newClient(t, startNode(t, &apitest.Store{}, &apitest.Cluster{StatusValue: want}).URL)
	if got, err := c.Status(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatTheClusterRefusesIsNotTriedAgain(t *testing.T) {
	store := &apitest.Store{}
	first, second := startNode(t, store, &apitest.Cluster{}), startNode(t, store, &apitest.Cluster{})
	c := newClient(t, first.URL, second.URL)
	for name, test := range map[string]struct {
		key, value []byte
		want       error
		calls      int // that reach the store
	}{
		"value too large": {[]byte("k"), make([]byte, apitest.MaxValue+1), client.ErrTooLarge, 0},
		"key too large":   {make([]byte, 4097), nil, client.ErrTooLarge, 1},
		"empty key":       {nil, nil, client.ErrRefused, 1},
	} {
		before := store.Calls()
		_, err := c.Put(t.Context(), test.key, test.value)
		if !errors.Is(err, test.want) || errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: %v", name, err)
		}
		if calls := store.Calls() - before; calls != test.calls {
			t.Errorf("%s: %d calls, want %d", name, calls, test.calls)
		}
	}
}

func TestAddressesAreCheckedAtOnce(t *testing.T) {
	for _, addresses := range [][]string{nil, {""}, {"ftp://host"}, {"http://"}, {"host:1", "http://host/?x"}, {"http://[::1"}, {"host:port"}} {
		if _, err := client.New(client.Config{Addresses: addresses}); err == nil {
			t.Errorf("%q: accepted", addresses)
		}
	}
	for _, address := range []string{"127.0.0.1:3001", "localhost:3001", "[::1]:3001", "http://host", "https://host:3001/", "http://proxy/balsa"} {
		if _, err := client.New(client.Config{Addresses: []string{address}}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
