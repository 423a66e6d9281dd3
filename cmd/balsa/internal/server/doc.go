// Package server puts one balsa node together out of its parts and runs it: the
// durable log, gossip, the transport, the Raft node, the replicated store and
// the HTTP API. It decides nothing that a part could decide; what it adds is
// the order in which they start and stop, and the wires between them.
//
// # A server and a member
//
// A server runs from the start: it opens its log, takes part in gossip, answers
// other nodes' questions and serves the API. It becomes a member once it belongs
// to a cluster, which means that its log holds a cluster id and a first
// configuration. Only then is there a state store and a Raft node. Until then
// /api/cluster says what the server waits for, and requests get 503.
//
// # Where a cluster comes from
//
//   - A data directory that belongs to a cluster is restarted, whatever the
//     settings say.
//   - An empty one founds a cluster of its own if it is given neither seeds nor
//     a number of founders, and a cluster of N if it is told to expect N.
//   - An empty one with seeds alone waits. It never founds a cluster, because
//     nothing tells an unreachable cluster from one that does not exist.
//
// # Order
//
// Ports are opened first, because a taken port is the most common mistake and
// must leave no trace. Then come the log, gossip, the transport, the API, and
// the state store with the Raft node when the server becomes a member. They stop
// in an order in which nobody is left to wait for somebody who is gone: the API
// finishes the requests that it has, gossip tells the others that this server
// leaves, then the Raft node, the transport and the two stores follow.
//
// Errors name the flags of the command that this package belongs to, so that
// every mistake comes with its remedy.
//
// Reading order: config.go, server.go, listen.go, bootstrap.go, peers.go,
// store.go, cluster.go, metrics.go.
package server
