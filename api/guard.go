package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"balsa/api/wire"
)

// observe is the outermost layer: it sets the headers that every response has,
// writes the access log at debug level, and turns a panic of a handler into a
// problem instead of a dropped connection.
func (d *door) observe(next http.Handler) http.Handler {
	node := []string{fmt.Sprint(d.config.NodeID)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		header := w.Header()
		header[wire.HeaderNode] = node
		header["X-Content-Type-Options"] = noSniff
		// Whatever a cache keeps, it must ask again before it hands it out.
		header["Cache-Control"] = noCache
		recorded := recorder{ResponseWriter: w}
		defer func() {
			if panicked := recover(); panicked != nil {
				d.answerPanic(&recorded, r, panicked)
			}
			d.logAccess(&recorded, r, start)
		}()
		next.ServeHTTP(&recorded, r)
	})
}

var (
	noSniff = []string{"nosniff"}
	noCache = []string{"no-cache"}
)

func (d *door) logAccess(w *recorder, r *http.Request, start time.Time) {
	if !d.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	d.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
		slog.String("method", r.Method),
		slog.String("path", r.URL.EscapedPath()),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Duration("took", time.Since(start)),
		slog.String("from", r.RemoteAddr))
}

func (d *door) answerPanic(w *recorder, r *http.Request, panicked any) {
	if panicked == http.ErrAbortHandler {
		panic(panicked)
	}
	d.log.Error("a handler panicked", "method", r.Method, "path", r.URL.EscapedPath(),
		"panic", panicked, "stack", string(debug.Stack()))
	if w.status != 0 {
		// The response has begun: only a cut connection can still say that it is
		// not whole.
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, newProblem(wire.Internal, "a handler failed; the log of the node says more"))
}

// recorder remembers what a handler has answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ownHosts refuses requests that come in over the loopback interface under a
// host name that is not this machine's own. A web page can make its own host
// name point to 127.0.0.1 (DNS rebinding); the browser then takes this server
// for the page's origin and lets it read and write. The Host header gives it
// away: it still carries the page's name. A host that is an IP address cannot
// have been rebound.
func (d *door) ownHosts(next http.Handler) http.Handler {
	allowed := map[string]bool{"": true, "localhost": true}
	for _, host := range d.config.AllowedHosts {
		allowed[strings.ToLower(host)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostname(r.Host)
		if !overLoopback(r.Context()) || allowed[host] || strings.HasSuffix(host, ".localhost") || isIP(host) {
			next.ServeHTTP(w, r)
			return
		}
		writeProblem(w, newProblem(wire.WrongHost, fmt.Sprintf(
			"the request names the host %q, which this node does not know as its own; use localhost or an IP address, or add the name to the allowed hosts", host)))
	})
}

func overLoopback(ctx context.Context) bool {
	local, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// hostname returns the host of a Host header without its port, its brackets
// and a final dot, in lower case.
func hostname(hostport string) string {
	host := hostport
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// sameOrigin refuses writes that a browser sends on behalf of a page of another
// origin. Requests that no browser made pass.
func (d *door) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			writeProblem(w, newProblem(wire.CrossOrigin, "a page of another origin may not write here"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bodyBudget bounds the bytes of request bodies that are being handled at the
// same time, whatever the number of connections.
func (d *door) bodyBudget(next http.Handler) http.Handler {
	var held atomic.Int64
	largest := max(d.config.maxJSONBody(), d.config.maxRawBody())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if size == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if size < 0 || size > largest {
			size = largest // the endpoint reads no more than this, whatever comes
		}
		defer held.Add(-size)
		if held.Add(size) > d.config.MaxBodyMemory {
			writeProblem(w, newProblem(wire.Busy, "too many large requests at the same time; try again in a moment"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
