// Package gossip answers one question: who is out there?
//
// Every server of a cluster tells every other one, through rumour, that it is
// alive and where its ports are. The protocol is SWIM with the Lifeguard
// additions, and the implementation is HashiCorp's memberlist. This package
// makes of it what the rest of balsa needs:
//
//   - a table of servers ([Gossip.Members]) that is safe to read at any time and
//     that remembers the dead and the departed, which memberlist forgets after
//     half a minute;
//   - a signal when the table changes ([Gossip.Watch]);
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
// # Reading order
//
//	config.go    what a server says about itself, and which addresses are refused
//	meta.go      the same as bytes, as every server carries it through gossip
//	view.go      the table of servers: what the callbacks of memberlist fill
//	conflict.go  contradictions that were seen, kept while they last
//	delegate.go  the callbacks themselves
//	gossip.go    starting, asking, leaving, stopping
//	rejoin.go    the loop that finds whoever is missing
//	report.go    what the log says, once per change
//
// # What memberlist does that one must know
//
// Its callbacks run while it holds its own lock, so they only copy into the
// table; calling memberlist from one of them would deadlock. Its Members method
// returns pointers into live state, which nobody can read without a race; that is
// why the table exists at all. Its events do not say whether a server died or
// left; see departure in meta.go for how this is told apart. It gives no sign
// when it begins to suspect a server, so there is no such status here: a server
// is alive until its death is established, some five seconds later. And it
// refuses a known name at a new address until the old bearer has been dead for a
// while, so a server that crashed and returns on another port is admitted after
// about ten seconds on one machine and about twenty on a network.
package gossip
