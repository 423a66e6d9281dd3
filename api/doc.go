// Package api is the HTTP door of a node: JSON for people and scripts, raw
// bytes for programs, and the OpenAPI document that describes both, which is
// generated from the very types that the handlers take and return.
//
// # Endpoints
//
//	GET    /                            Swagger UI, all of it served from here
//	GET    /spec                        the OpenAPI 3.1 document (also /spec.json, /spec.yaml)
//	POST   /api/write                   {"key","value"}: write text
//	GET    /api/read/{key}              read text from the local state, possibly stale
//	GET    /api/consistent_read/{key}   read text, linearizable
//	GET    /api/kv/{key}                read bytes; ?consistency=linearizable|lease|stale
//	PUT    /api/kv/{key}                write bytes; If-Match, If-None-Match: *
//	DELETE /api/kv/{key}                delete; If-Match
//	GET    /api/members                 who is in the cluster, and what becomes of whom
//	POST   /api/members                 {"id","voter"}: add a server, promote or demote a member
//	DELETE /api/members/{id}            remove a member
//	POST   /api/leader                  {"to"}: hand over leadership
//	GET    /api/cluster                 Raft's and gossip's view of the cluster
//	GET    /healthz, /readyz            for supervisors and load balancers
//
// Every node takes every request.
//
// # Reads
//
// A read is linearizable unless the request says otherwise: consistency=stale
// reads the local state, and consistency=lease trusts the leader's lease instead
// of asking a majority. The second is the only thing here that rests on clocks.
// It assumes that no clock of a server runs faster than another's by more than
// the lease's margin, and that none stands still while its server goes on
// serving, which is what suspending a virtual machine does to it. So it is
// never chosen by itself.
//
// # Changing members
//
// A change is answered when it is committed, with 200; or with 202 if a part of
// it is yet to come, because a server votes only once it has caught up: the
// message says what will happen, and /api/members how far it is. What is not
// done is an error that says why, also when nothing would have changed.
//
// # Keys in paths
//
// A key is everything after the prefix, percent-decoded once: slashes may stand
// as they are or as %2F, and any byte can be written as %XX, so /api/kv/a/b and
// /api/kv/a%2Fb are the same key. Some clients, browsers and curl among them,
// remove the path segments "." and ".." before they send (curl --path-as-is
// does not).
//
// # Errors
//
// Every error is application/problem+json (RFC 9457) with a type URI that never
// changes its meaning; package wire lists them. No error has status 200, a
// missing key is never an empty value, and 504 says that nobody knows whether a
// write happened, which is not the same as failed. The one exception is what
// net/http refuses by itself before any handler runs, such as a request line
// that is no HTTP: its answer is one line of plain text.
//
// # Reading order
//
//	store.go     what the door needs from the node
//	door.go      the configuration, and how the rest is put together
//	text.go      write, read, consistent_read: JSON
//	decode.go    reading JSON bodies, strictly, and that of a write fast
//	raw.go       get, put, delete: bytes
//	etag.go      revisions as entity tags, conditions on writes
//	members.go   members and the leader
//	cluster.go   the cluster, health and readiness
//	problems.go  turning errors into answers
//	guard.go     what keeps out what should not get in, and the access log
//	spec.go      the OpenAPI document, and how huma and chi meet
//	ui.go        Swagger UI
//	serve.go     running it on a listener, with limits
//
// Package wire has the JSON types and the table of problems; package client is
// the Go client.
package api
