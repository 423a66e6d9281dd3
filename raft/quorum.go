package raft

import "slices"

// majority is a set of voters that decides when more than half of it agrees.
// Any two majorities of the same set share a server, which is what every proof
// of Raft leans on.
type majority []NodeID

// quorum is the rule by which a configuration decides: a majority of the new
// voters and, while the configuration is joint, also a majority of the old ones
// (§6). Elections, commitment and the confirmation of leadership all ask the
// same rule; there is no other place that counts servers.
type quorum [2]majority

// verdict is the result of a vote.
type verdict uint8

const (
	pending verdict = iota
	won
	lost
)

// reached returns the highest value that more than half of the servers have
// reached, where each one's value is given by of. An empty majority has no
// objection to anything.
//
// With values 3, 7 and 5 of three servers the answer is 5: two of the three
// have reached it, only one has reached more.
func (m majority) reached(of func(NodeID) uint64) uint64 {
	if len(m) == 0 {
		return ^uint64(0)
	}
	var onStack [9]uint64 // enough for any sensible cluster, so nothing is allocated
	values := onStack[:0]
	for _, id := range m {
		values = append(values, of(id))
	}
	slices.Sort(values)
	// Of n ascending values, those from position (n-1)/2 on are n/2+1 many.
	return values[(len(values)-1)/2]
}

// reached returns the highest value that a quorum has reached: in a joint
// configuration, both majorities (§6).
func (q quorum) reached(of func(NodeID) uint64) uint64 {
	return min(q[0].reached(of), q[1].reached(of))
}

// votes counts the ballots of distinct voters. A ballot from anyone else does
// not count, and neither does a second one from the same server: the map holds
// the first.
func (m majority) votes(ballots map[NodeID]bool) verdict {
	yes, missing := 0, 0
	for _, id := range m {
		granted, voted := ballots[id]
		switch {
		case granted:
			yes++
		case !voted:
			missing++
		}
	}
	need := len(m)/2 + 1
	switch {
	case len(m) == 0 || yes >= need: // rule:elect.majority §5.2 more than half, of distinct voters
		return won
	case yes+missing < need:
		return lost
	}
	return pending
}

// votes returns won if both majorities are won and lost if either is lost.
func (q quorum) votes(ballots map[NodeID]bool) verdict {
	a, b := q[0].votes(ballots), q[1].votes(ballots)
	switch {
	case a == lost || b == lost:
		return lost
	case a == won && b == won:
		return won
	}
	return pending
}
