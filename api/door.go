package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"balsa/api/wire"
	"balsa/kv"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Config says what the door opens to. Store and Cluster must be set; every
// other field has a default.
type Config struct {
	// Store is the replicated store behind the door.
	Store Store
	// Cluster knows about the cluster.
	Cluster Cluster
	// Leader returns the ID of the leader that this node knows, or 0. It is
	// called for every read and must be as cheap as that demands. Nil leaves
	// the Balsa-Leader header out.
	Leader func() uint64
	// NodeID is the ID of this node, which every response carries.
	NodeID uint64
	// Version is the version of the program, for the OpenAPI document. Default
	// "dev".
	Version string
	// MaxKeyBytes and MaxValueBytes bound what a body may carry, and should be
	// what Store enforces. Default kv.MaxKey (4 KiB) and 1 MiB.
	MaxKeyBytes, MaxValueBytes int
	// RequestTimeout is how long a request may wait for the cluster. It bounds
	// the time until a client hears 503 or 504. Default 5 s.
	RequestTimeout time.Duration
	// MaxBodyMemory bounds the bytes of request bodies that are handled at the
	// same time; beyond it the answer is "busy". What they take in memory is a
	// small multiple of it. Default 256 MiB.
	MaxBodyMemory int64
	// AllowedHosts are host names, without a port, under which this node may be
	// reached over the loopback interface, besides localhost and IP addresses.
	// A reverse proxy on the same machine needs this if it passes on the Host
	// header of its clients.
	AllowedHosts []string
	// Logger receives an access log at debug level, and defects. Nil discards
	// it.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, "dev")
	c.MaxKeyBytes = cmp.Or(c.MaxKeyBytes, kv.MaxKey)
	c.MaxValueBytes = cmp.Or(c.MaxValueBytes, 1<<20)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 5*time.Second)
	c.MaxBodyMemory = cmp.Or(c.MaxBodyMemory, 256<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// maxRawBody is the longest body that PUT /api/kv/{key} reads.
func (c Config) maxRawBody() int64 { return int64(c.MaxValueBytes) }

// maxJSONBody is the longest body that POST /api/write reads: JSON needs at
// most six bytes for one byte of text (\u0001).
func (c Config) maxJSONBody() int64 {
	const syntax = 1 << 10
	return 6*int64(c.MaxKeyBytes+c.MaxValueBytes) + syntax
}

// door holds what the handlers share.
type door struct {
	config Config
	log    *slog.Logger
}

// New returns the handler for every endpoint of the API. It may be used by any
// number of goroutines and needs no Close. [Serve] runs it with limits on what
// clients may take; serve it without those only to clients that are trusted.
func New(config Config) http.Handler {
	config = config.withDefaults()
	d := &door{config: config, log: config.Logger}

	router := chi.NewRouter()
	router.Use(d.observe, d.ownHosts, d.sameOrigin, d.bodyBudget, middleware.GetHead)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, newProblem(wire.NoSuchPage, "there is nothing at "+clip(r.URL.Path)+"; see /spec"))
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		allowed := allowedMethods(router, r)
		w.Header().Set("Allow", allowed)
		writeProblem(w, newProblem(wire.MethodNotAllowed, clip(r.URL.Path)+" takes "+allowed+", not "+clip(r.Method)))
	})

	api := newOpenAPI(router, config.Version)
	d.registerText(api)
	d.registerRaw(api)
	d.registerMembers(api)
	d.registerCluster(api)

	mountDocument(router, api)
	mountUI(router)
	return router
}

// allowedMethods lists the methods that the path of r takes.
func allowedMethods(router chi.Routes, r *http.Request) string {
	path := cmp.Or(r.URL.RawPath, r.URL.Path)
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if router.Match(chi.NewRouteContext(), method, path) {
			methods = append(methods, method)
		}
	}
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

// leader returns the value of the Balsa-Leader header, empty if there is none.
func (d *door) leader() string {
	if d.config.Leader == nil {
		return ""
	}
	id := d.config.Leader()
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 10)
}
