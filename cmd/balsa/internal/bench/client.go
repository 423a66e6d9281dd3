package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// client is one of the clients: one request at a time on one connection.
type client struct {
	run     *run
	address string
	random  *rand.Rand

	conn    net.Conn
	reader  *bufio.Reader
	unwatch func() bool // stops watching whether ctx ends
	request []byte      // the bytes of one request, used again and again
	body    []byte

	reads, writes *hdrhistogram.Histogram
	errors        map[string]int64
	firstError    error
}

func newClient(r *run, address string, number uint64) *client {
	return &client{
		run: r, address: address, random: rand.New(rand.NewPCG(number, rand.Uint64())),
		reads: newHistogram(), writes: newHistogram(), errors: map[string]int64{},
	}
}

// retryPause is how long a client waits after a request that failed, so that it
// does not spin on a node that is down.
const retryPause = 20 * time.Millisecond

// work sends requests until ctx ends or enough were sent.
func (c *client) work(ctx context.Context) {
	defer c.disconnect()
	for ctx.Err() == nil {
		measured, wanted := c.run.begin()
		if !wanted {
			return
		}
		latencies := c.writes
		if c.random.Float64() < c.run.cfg.ReadRatio {
			latencies = c.reads
			c.prepareRead()
		} else {
			c.prepareWrite()
		}
		began := time.Now()
		err := c.exchange(ctx)
		took := time.Since(began)
		if measured && ctx.Err() == nil && c.run.end() {
			c.record(latencies, took, err)
		}
		if err != nil {
			pause(ctx, retryPause, nil)
		}
	}
}

func (c *client) record(latencies *hdrhistogram.Histogram, took time.Duration, err error) {
	if err == nil {
		_ = latencies.RecordValue(min(took, maxLatency).Microseconds())
		return
	}
	c.errors[kindOf(err)]++
	if c.firstError == nil {
		c.firstError = err
	}
}

func (c *client) key() []byte {
	return fmt.Appendf(nil, "bench-%07d", c.random.IntN(c.run.cfg.Keys))
}

func (c *client) prepareRead() {
	c.request = fmt.Appendf(c.request[:0], "GET /api/consistent_read/%s HTTP/1.1\r\nHost: %s\r\n\r\n", c.key(), c.address)
}

func (c *client) prepareWrite() {
	at := c.random.IntN(len(c.run.filler) - c.run.cfg.ValueSize)
	value := c.run.filler[at : at+c.run.cfg.ValueSize]
	c.body = fmt.Appendf(c.body[:0], `{"key":"%s","value":"%s"}`, c.key(), value)
	c.request = fmt.Appendf(c.request[:0], "POST /api/write HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		c.address, len(c.body))
	c.request = append(c.request, c.body...)
}

// exchange sends the prepared request and takes its answer.
func (c *client) exchange(ctx context.Context) error {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return err
		}
	}
	err := c.conn.SetDeadline(time.Now().Add(c.run.cfg.Timeout))
	if err == nil {
		_, err = c.conn.Write(c.request)
	}
	if err == nil {
		err = c.takeAnswer()
	}
	if _, answered := errors.AsType[*refusal](err); err != nil && !answered {
		c.disconnect()
	}
	return err
}

func (c *client) connect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: c.run.cfg.Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, 8<<10)
	// Closing the connection is what ends a request that is under way.
	c.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return nil
}

func (c *client) disconnect() {
	if c.conn != nil {
		c.unwatch()
		_ = c.conn.Close()
		c.conn = nil
	}
}

// takeAnswer reads an answer to its end.
func (c *client) takeAnswer() error {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		_, err := io.Copy(io.Discard, response.Body)
		return err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	var problem struct{ Type, Detail string }
	if json.Unmarshal(body, &problem) != nil || problem.Type == "" {
		return &refusal{kind: "status " + strconv.Itoa(response.StatusCode), detail: string(body)}
	}
	kind := problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
	if kind == "key-not-found" {
		return nil // that there is no such key is a good answer to a read
	}
	return &refusal{kind: kind, detail: problem.Detail}
}

// refusal is an answer that is no success.
type refusal struct{ kind, detail string }

func (r *refusal) Error() string { return r.kind + ": " + r.detail }

// kindOf names what went wrong.
func kindOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.kind
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	}
	return "connection lost"
}
