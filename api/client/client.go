// Package client is the Go client of a balsa cluster. It speaks the HTTP API,
// knows several nodes and stays with one that works.
//
// # What an error means
//
// Every error of an operation says, through errors.Is, which of these it is:
//
//   - [ErrNotFound], [ErrNoSuchMember], [ErrConflict], [ErrNotNow],
//     [ErrTooLarge], [ErrRefused]: the cluster understood and said no. Nothing
//     was written or changed.
//   - [ErrUnavailable]: nobody could be asked, or whoever was asked could not
//     do it. Nothing was written or changed, and nothing will be.
//   - [ErrOutcomeUnknown]: a write was sent and nobody knows what became of it.
//     It may have happened, may still happen, or may never happen.
//
// A change of members or of the leader is a write in this sense.
//
// # What is tried again
//
// An operation is repeated, on another node if there is one, until it succeeds
// or its time is up, but only as long as that is safe: reads always, writes
// only while it is certain that no earlier attempt did anything. So a write is
// never sent again once its outcome is unknown; the caller decides what to do,
// and a compare-and-set is the write that can be repeated without harm.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"balsa/api/wire"
)

// Config says which cluster, and how patient to be.
type Config struct {
	// Addresses are the nodes to talk to, as host:port or as the URL of the
	// node's API, such as https://db1.example.com:3001. At least one.
	Addresses []string
	// Timeout bounds an operation, with all its attempts, whose context has no
	// deadline. Default 10 s.
	Timeout time.Duration
	// Connections is how many idle connections to each node are kept open.
	// Set it to the number of goroutines that use the client at the same time.
	// Default 16.
	Connections int
}

// Client is a client of one cluster. Any number of goroutines may use it.
type Client struct {
	bases   []string
	http    *http.Client
	timeout time.Duration
	// preferred is the position in bases of the node that worked last.
	preferred atomic.Int64
}

// New returns a client. It connects to nobody yet.
func New(config Config) (*Client, error) {
	if len(config.Addresses) == 0 {
		return nil, errors.New("no address of a node is given")
	}
	c := &Client{timeout: config.Timeout}
	for _, address := range config.Addresses {
		base, err := baseURL(address)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, base)
	}
	if c.timeout <= 0 {
		c.timeout = 10 * time.Second
	}
	connections := config.Connections
	if connections <= 0 {
		connections = 16
	}
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: 2 * time.Second,
			MaxIdleConnsPerHost: connections,
			// Shorter than the server's, so that the server does not close a
			// connection just as it is being used again.
			IdleConnTimeout:   time.Minute,
			ForceAttemptHTTP2: true,
		},
		// The API redirects nowhere; whoever does is not the API.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// baseURL turns an address as people write it into the front of every URL.
func baseURL(address string) (string, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is no address of a node; want host:port or http://host:port", address)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// Close closes the idle connections. The client must not be used afterwards.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Item is what a read found.
type Item struct {
	Value []byte
	// Revision is the log index of the write that made the value.
	Revision uint64
	// Applied is how far the state that answered had come.
	Applied uint64
}

// Get reads a key. The answer is linearizable: no older than the last write
// that anybody had an answer to before the call. It fails with ErrNotFound if
// there is no such key.
func (c *Client) Get(ctx context.Context, key []byte) (Item, error) {
	return c.get(ctx, keyPath(key))
}

// GetStale reads a key from the local state of whichever node answers. It works
// without a leader, and may miss the latest writes.
func (c *Client) GetStale(ctx context.Context, key []byte) (Item, error) {
	return c.get(ctx, keyPath(key)+"?consistency=stale")
}

// GetByLease reads a key like Get, but content with the leader's lease: the
// leader does not ask a majority whether it still leads. The answer is
// linearizable only while the clocks of the servers run at about the same speed
// and none stands still, as that of a suspended virtual machine does; otherwise
// it may be out of date, and nothing says so.
func (c *Client) GetByLease(ctx context.Context, key []byte) (Item, error) {
	return c.get(ctx, keyPath(key)+"?consistency=lease")
}

func (c *Client) get(ctx context.Context, path string) (Item, error) {
	answer, err := c.do(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return Item{}, err
	}
	item := Item{Value: answer.body}
	item.Revision, err = parseETag(answer.header.Get("ETag"))
	if err != nil {
		return Item{}, answer.notUnderstood(err)
	}
	item.Applied, err = strconv.ParseUint(answer.header.Get(wire.HeaderAppliedIndex), 10, 64)
	if err != nil {
		return Item{}, answer.notUnderstood(err)
	}
	return item, nil
}

// Put writes a key and returns its new revision.
func (c *Client) Put(ctx context.Context, key, value []byte) (revision uint64, err error) {
	return c.write(ctx, request{method: http.MethodPut, path: keyPath(key), body: value, contentType: octetStream})
}

// CompareAndSet writes a key if its revision is expected, where 0 means that
// the key must not exist. Otherwise it fails with ErrConflict, and
// Error.Problem.Revision tells the revision that the key has.
func (c *Client) CompareAndSet(ctx context.Context, key []byte, expected uint64, value []byte) (revision uint64, err error) {
	r := request{method: http.MethodPut, path: keyPath(key), body: value, contentType: octetStream}
	if expected == 0 {
		r.ifNoneMatch = "*"
	} else {
		r.ifMatch = etag(expected)
	}
	return c.write(ctx, r)
}

// Delete removes a key and returns the revision of that write, which is its log
// index. It fails with ErrNotFound if there was no such key.
func (c *Client) Delete(ctx context.Context, key []byte) (revision uint64, err error) {
	return c.write(ctx, request{method: http.MethodDelete, path: keyPath(key)})
}

// CompareAndDelete removes a key if its revision is expected, which must not be
// 0. Otherwise it fails with ErrConflict.
func (c *Client) CompareAndDelete(ctx context.Context, key []byte, expected uint64) (revision uint64, err error) {
	return c.write(ctx, request{method: http.MethodDelete, path: keyPath(key), ifMatch: etag(expected)})
}

func (c *Client) write(ctx context.Context, r request) (uint64, error) {
	r.writes = true
	result, err := ask(ctx, c, r, func(result wire.Revision) bool { return result.Revision != 0 })
	return result.Revision, err
}

// Status returns what one node knows of the cluster.
func (c *Client) Status(ctx context.Context) (wire.ClusterStatus, error) {
	r := request{method: http.MethodGet, path: "/api/cluster"}
	return ask(ctx, c, r, func(status wire.ClusterStatus) bool { return status.NodeID != 0 })
}

// ask sends a request whose answer is a JSON document. One that does not make
// sense is no answer of balsa's API.
func ask[T any](ctx context.Context, c *Client, r request, makesSense func(T) bool) (T, error) {
	var result, none T
	answer, err := c.do(ctx, r)
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(answer.body, &result); err != nil || !makesSense(result) {
		return none, answer.notUnderstood(err)
	}
	return result, nil
}

const octetStream = "application/octet-stream"

func keyPath(key []byte) string { return "/api/kv/" + url.PathEscape(string(key)) }

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

func parseETag(tag string) (uint64, error) { return strconv.ParseUint(strings.Trim(tag, `"`), 10, 64) }
