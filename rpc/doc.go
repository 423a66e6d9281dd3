// Package rpc carries what balsa's nodes say to each other: Raft messages,
// snapshots, client commands on their way to the leader, and the questions that
// nodes ask before they found a cluster together.
//
// It is the standard library's net/rpc with three things of our own around it.
//
// # A codec
//
// net/rpc normally speaks gob, which is slow and was never meant for bytes from
// strangers. Both of its codec interfaces are implemented here instead (codec.go)
// over length-prefixed, checksummed frames of bounded size (frame.go). A length
// is only a claim: memory grows with the bytes that arrive, never with what a
// header promises (see [frameReader.body]).
//
// # A handshake
//
// Before the first frame both sides say who they are: protocol version, cluster,
// node and data directory (handshake.go). A refusal travels back as a code and a
// sentence that says what to do, and arrives at the dialling side as a
// [*Refusal] (refusal.go).
//
// A peer may become unwanted later, when it is removed from the cluster.
// [Transport.Recheck] then ends its connections with the same code and sentence,
// in a frame of its own (dismiss.go). Nobody takes such an end for the death of a
// process: it is not reported to [Config.OnConnectionLost].
//
// # Connection classes
//
// Each connection serves one purpose, so that a slow one cannot starve another,
// and one listener accepts them all:
//
//   - Raft messages. [Transport.Send] queues, one goroutine per peer (sender.go)
//     drains everything that waits into one call Raft.Deliver. The call means
//     "these are in your inbox": its reply is empty, and Raft's own replies are
//     messages in the other direction. The receiver serves the requests of one
//     connection strictly in order, because reordering would defeat the
//     pipelining of AppendEntries.
//   - Snapshots. [Transport.SendSnapshot] makes a connection for one transfer:
//     an offer, whose answer says from where on the receiver wants it, chunks,
//     and an end, whose answer means that all of it is on disk. A few chunks are
//     under way at a time, no more of them per second than [Config.SnapshotRate]
//     allows, and neither side holds more than one in memory (snapshot.go). The
//     receiver serves one request at a time, of all such connections together
//     (reception.go). After a break the same offer is made again.
//   - Forwarded commands. [Transport.Forward] has many calls in flight on one
//     connection (forward.go), and tells its caller whether a failed command can
//     have reached the peer at all.
//   - Questions. [Transport.Ask] is the only class that is open to nodes without
//     a cluster; each question has a connection of its own (ask.go).
//
// # What net/rpc leaves to its user
//
// net/rpc has no deadlines, so connections get them: a peer may be silent
// between frames, but not within one, and it must take what is written to it
// and acknowledge what was delivered. In the middle of a snapshot it must not be
// silent either, but has more time, because of its disk. Past a deadline the connection is closed;
// no call is ever abandoned on a connection that goes on, except for forwarded
// commands, whose reply objects are used once and left alone. net/rpc does not
// recover from a panic of a method, so each method here does. net/rpc starts a
// goroutine per request, so the codec stops reading while too many are under
// way. Its listener loop ends at the first error, so there is an own one
// (accept.go).
//
// Reading order: config.go for what a host provides and transport.go for what it
// gets; then identity.go, refusal.go and handshake.go; protocol.go, frame.go,
// body.go, conn.go and codec.go; the sending side in sender.go, forward.go,
// snapshot.go and ask.go; the receiving side in accept.go, service.go and
// reception.go; and how a connection ends that should not go on, in dismiss.go.
package rpc
