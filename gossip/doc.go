// Package gossip answers one question: who is out there, and what do they say of
// themselves?
//
// Every server of a cluster tells every other one, through rumour, that it is
// alive, where its ports are, and a few facts of its own choice. The protocol is
// SWIM with the Lifeguard additions, and the implementation is HashiCorp's
// memberlist. This package makes of it what the rest of balsa needs:
//
//   - a table of servers ([Gossip.Members]) that is safe to read at any time and
//     that remembers the dead and the departed, which memberlist forgets after
//     half a minute;
//   - a small key-value state for each server, written by its owner alone
//     ([Gossip.Set], [Gossip.SetAll], [Gossip.SetTTL], [Gossip.Delete]) and read
//     everywhere ([Gossip.State], [Gossip.Get], [Gossip.Peers]);
//   - signals when the table or a part of the states changes ([Gossip.Watch],
//     [Gossip.WatchState]), and the servers that are alive and ready for
//     something ([Gossip.Live], [Gossip.WatchLive]);
//   - the address at which a server can be called now ([Gossip.Address]);
//   - a loop that looks for seeds and lost servers for as long as it takes, so
//     that a partition heals whatever its length;
//   - a loud report when two servers claim the same identity, or when two
//     clusters meet ([Gossip.Conflicts]).
//
// # A hint, never a decision
//
// Gossip is quick, cheap and sometimes wrong. A server that is busy for a few
// seconds looks dead; whoever holds the key can forge any message. So nothing in
// here says who votes and who leads. Raft decides that, and every connection
// between servers proves by a handshake whom it reached. What gossip says can
// make the cluster slower to find a server, and nothing worse.
//
// # What is promised of states
//
//   - A copy of a state is one that its owner was once in. What was set at once
//     is seen at once.
//   - A copy never goes back: an older version never replaces a newer one, in
//     whatever order, how often and through whom they arrive. The state of an
//     earlier life of a server never replaces that of a later one, and is not
//     shown for it.
//   - When nothing changes any more, all living servers that can reach each
//     other have equal copies within seconds.
//   - The state of a server that is gone is kept for an hour, and no old copy
//     brings it back after that.
//   - Whatever comes from the network is bounded and checked. What is not
//     understood is reported and changes nothing.
//
// What is not promised: that a copy is up to date, or that everybody sees every
// version. Whoever holds the key to gossip can make up a later version; its
// owner notices and takes a new generation, which replaces it.
//
// # Reading order
//
//	config.go     what a server says about itself, and which addresses are refused
//	meta.go       the same as bytes, as every server carries it through gossip
//	member.go     one server, as it is seen from here
//	view.go       the table of servers: what the callbacks of memberlist fill
//	departure.go  how leaving is told from dying
//	conflict.go   contradictions that were seen, kept while they last
//	delegate.go   the callbacks themselves
//	gossip.go     starting, asking, leaving, stopping
//	rejoin.go     the loop that finds whoever is missing
//	report.go     what the log says, once per change
//
// and of the states:
//
//	state.go      what a server may say, and the limits
//	replica.go    one copy of one state: versions, deltas, tombstones
//	message.go    deltas and digests as bytes
//	reader.go     what is shared by all that reads bytes from the network
//	spread.go     how states get about, and how they end
//	rumour.go     the first way: news
//	compare.go    the other ways: asking and comparing
//	errand.go     what is sent to one server
//	peers.go      writing, reading and watching states
//	generation.go the restart counter
//
// # What memberlist does that one must know
//
// Its callbacks run while it holds its own lock, so they only copy into the
// table; calling memberlist from one of them would deadlock. Its Members method
// returns pointers into live state, which nobody can read without a race; that is
// why the table exists at all. Its events do not say whether a server died or
// left; see departure.go for how this is told apart. It gives no sign when it
// begins to suspect a server, so there is no such status here: a server is alive
// until its death is established, some five seconds later, and some ten among
// hundreds. And it refuses a known name at a new address until the old bearer
// has been dead for a while, so a server that crashed and returns on another
// port is admitted after about ten seconds on one machine and about twenty on a
// network. Of what it carries for its users, its own rumours take precedence,
// and its push/pull exchanges become rarer the more servers there are; see
// spread.go for what is done about that.
package gossip
