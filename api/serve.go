package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits bound what clients can make the server hold or wait for. A field that
// is zero takes its default.
type Limits struct {
	// ReadHeaderTimeout is how long a client may take to send a request's
	// header. Default 5 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is how long it may take to send a whole request. It must be
	// longer than Config.RequestTimeout: net/http cancels a handler whose
	// request is older than this. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout is how long handling a request and sending its answer may
	// take together. Default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept between requests. Default
	// 2 min.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's line and header. The default, 16 KiB,
	// has room for a key of 4 KiB with every byte percent-encoded.
	MaxHeaderBytes int
	// MaxConnections bounds the open connections; more of them wait in the
	// kernel's queue until one closes. Default 4096.
	MaxConnections int
	// ShutdownTimeout is how long requests under way may take to finish once
	// the server is asked to stop. Default 10 s.
	ShutdownTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	l.ReadHeaderTimeout = cmp.Or(l.ReadHeaderTimeout, 5*time.Second)
	l.ReadTimeout = cmp.Or(l.ReadTimeout, 30*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 30*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, 16<<10)
	l.MaxConnections = cmp.Or(l.MaxConnections, 4096)
	l.ShutdownTimeout = cmp.Or(l.ShutdownTimeout, 10*time.Second)
	return l
}

// Serve serves handler on listener until ctx ends; then it takes no new
// connection, lets the requests under way finish for Limits.ShutdownTimeout,
// cuts off those that are left, and returns nil. It returns an error if the
// listener fails before that. It always closes the listener, and when it
// returns no request is being handled any more: a handler that was cut off is
// waited for, and handlers end soon after their context does. For TLS, pass a
// TLS listener.
//
// The node behind the handler must outlive Serve: stop it afterwards.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, limits Limits, logger *slog.Logger) error {
	limits = limits.withDefaults()
	open := connections{silent: map[net.Conn]bool{}}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: limits.ReadHeaderTimeout,
		ReadTimeout:       limits.ReadTimeout,
		WriteTimeout:      limits.WriteTimeout,
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    limits.MaxHeaderBytes,
		ConnState:         open.changed,
		// net/http's own remarks are about clients: bad handshakes, lost
		// connections. They are worth a look only when something is looked for.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	defer open.all.Wait()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(netutil.LimitListener(listener, limits.MaxConnections)) }()

	select {
	case err := <-failed:
		_ = server.Close()
		return fmt.Errorf("serving the API on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.ShutdownTimeout)
	defer cancel()
	open.closeSilent()
	if err := server.Shutdown(grace); err != nil {
		logger.Warn("requests were cut off at shutdown", "waited", limits.ShutdownTimeout)
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the API on %s: %w", listener.Addr(), err)
	}
	return nil
}

// connections knows the open connections of a server.
type connections struct {
	// all counts the connections whose goroutine, and with it the last handler,
	// is not at its end. (*http.Server).Close does not wait for that.
	all sync.WaitGroup

	mu sync.Mutex
	// silent are those on which nothing has arrived yet. Browsers open such
	// connections in advance, and Shutdown would wait five seconds for each to
	// send the request that it might be about to send.
	silent   map[net.Conn]bool
	stopping bool
}

// changed is called for every change of every connection's state.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.all.Add(1)
		c.silent[conn] = true
		if c.stopping {
			conn.Close()
		}
		return
	case http.StateClosed, http.StateHijacked:
		c.all.Done()
	}
	delete(c.silent, conn)
}

// closeSilent closes the silent connections, now and from now on.
func (c *connections) closeSilent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for conn := range c.silent {
		conn.Close()
	}
}
