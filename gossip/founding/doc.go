// Package founding makes a cluster out of N servers that have none, exactly
// once, without anybody being in charge and without a timer.
//
// Every server is started with --bootstrap-expect N. When a server sees through
// gossip exactly N servers that want the same, it makes a [Plan]: who they are,
// in ascending order of id. A plan determines everything, the cluster's id and
// the first entry of its log, so servers with the same plan need not agree on
// anything else. Then it asks all of them, itself included, "are you pristine,
// and do you see this very plan?" Only if all say yes does it found: it writes
// the first entry and starts Raft. All others do the same, each on its own.
//
// Silence counts as no. So does an error, a garbled answer, or an answer by
// somebody else than the plan names.
//
// # A yes is a promise
//
// Gossip is no agreement: servers see different sets at the same time, and each
// may see different ones at different times. Suppose that four servers were
// started with N = 3, by mistake, and that n1 and n4 cannot hear each other:
//
//	n1 sees n1, n2, n3:   plan A. So do n2 and n3 at first, and if n1 asks
//	                      them now, it is true that they see plan A.
//	n4 sees n2, n3, n4:   plan B. A moment later n2 and n3 hear of n4 and take
//	                      n1 for dead, because a packet was lost. If n4 asks
//	                      them now, it is true that they see plan B.
//
// If an answer said only what is true at the moment, n1 would have all the yes
// that it needs for A, and n4 all that it needs for B. Both would found, and each
// would count n2 and n3 as voters of its own cluster.
//
// So a server that said yes to one plan says no to every other one until it
// restarts. n2 and n3 can say yes to A or to B and not to both, and a plan lacks
// a yes that it needs if any of them chose the other. Both plans may fail then;
// the operator sees why in [Founder.State], stops one server and restarts those
// that promised.
//
// # Crashes
//
// The promise is not on disk, so that a restart releases a server from a plan
// that cannot succeed. A server may therefore crash after its promise, while
// another one, relying on it, founds. When it comes back it is pristine and has
// forgotten; but the others answer "founded", with the plan, and the plan names
// this very server with this very data directory. Then it founds the identical
// plan: that is what the others already count on, and its log is as empty as if
// it had done so in time. If the plan names its id with another data directory,
// its disk was lost or exchanged. Then it never founds: it may have voted, with
// the disk that is gone.
//
// # What is guaranteed
//
// A server founds at most once: its host makes the first entry durable before it
// counts, and refuses a second one. From this and the promises follows, whatever
// messages are lost or late and whoever crashes whenever:
//
//  1. All servers that found a cluster with the same id write the identical
//     first entry. The id is computed from all that the entry is made of.
//  2. If exactly the N servers exist that are meant to, at most one plan for
//     them is ever founded. Let x found plan A on the yes of all its servers,
//     and y plan B, both named in both. Each promised its own plan before it
//     asked, and from then on says no to any other, or that it has founded. So y
//     said yes to A before it promised B, and in an earlier life; likewise x to
//     B before it promised A. Each would have to have started asking before the
//     other.
//  3. If more than N servers exist, two plans can both be founded only if each
//     server that both of them name restarted between its two promises. Then
//     there are two clusters with different ids, which is a nuisance for the
//     operator and no danger to data: each server is part of only one, the
//     connections between servers carry the id, and a majority of either
//     consists of its own servers only.
//
// # Reading order
//
//	plan.go      what is founded, and its identity
//	question.go  what servers ask each other, as bytes
//	assess.go    what can be concluded from gossip alone
//	judge.go     what can be concluded from the answers
//	founder.go   the promise, and the loop around it all
package founding
