package modelcheck

import (
	"slices"

	"balsa/raft"
)

// history is what has happened and can still be contradicted, although nobody may
// remember it. It never changes once it is in a world. Two worlds with different
// histories are different; so it must hold no more than is needed.
type history struct {
	// leaders are those that were elected, in terms in which somebody else might
	// still be.
	leaders []leaderOf
	// votes are those that somebody was told of and the voter's disk does not know.
	// No core does such a thing; but if one does, this is where it shows.
	votes []leaderOf
	// commits is what was committed, from index 1 on.
	commits []commit
	// reads are those that have no answer.
	reads []pendingRead
}

// leaderOf is who was elected, or voted, in a term.
type leaderOf struct {
	term        raft.Term
	node, voter raft.NodeID
}

// commit is what was committed at an index, with the hash of the log up to it, and
// the term of the first leader that has committed it.
type commit struct {
	record
	leader raft.Term
}

// pendingRead is a read of a server, and what was committed when it was asked for.
type pendingRead struct {
	id    uint64
	from  raft.NodeID
	floor raft.Index
}

func (y *history) encode(buf []byte, rename raft.Renaming) []byte {
	for _, list := range [][]leaderOf{y.leaders, y.votes} {
		list = slices.Clone(list)
		for i := range list {
			list[i].node, list[i].voter = rename(list[i].node), rename(list[i].voter)
		}
		slices.SortFunc(list, compareLeaders)
		buf = putNumbers(buf, uint64(len(list)))
		for _, l := range list {
			buf = putNumbers(buf, uint64(l.term), uint64(l.node), uint64(l.voter))
		}
	}
	buf = putNumbers(buf, uint64(len(y.commits)))
	for _, r := range y.commits {
		buf = putNumbers(r.entry.AppendRenamed(buf, rename), uint64(r.leader))
	}
	buf = putNumbers(buf, uint64(len(y.reads)))
	for _, r := range y.reads {
		buf = putNumbers(buf, r.id, uint64(rename(r.from)), uint64(r.floor))
	}
	return buf
}

// key is short for what encode writes without a renaming: the hash of the log up to an
// entry stands for the entry.
func (y *history) key(buf []byte) []byte {
	for _, list := range [][]leaderOf{y.leaders, y.votes} {
		buf = putNumbers(buf, uint64(len(list)))
		for _, l := range list {
			buf = putNumbers(buf, uint64(l.term), uint64(l.node), uint64(l.voter))
		}
	}
	buf = putNumbers(buf, uint64(len(y.commits)))
	for _, r := range y.commits {
		buf = putNumbers(buf, r.chain, uint64(r.leader))
	}
	for _, r := range y.reads {
		buf = putNumbers(buf, r.id, uint64(r.from), uint64(r.floor))
	}
	return buf
}

func compareLeaders(a, b leaderOf) int {
	return int(a.term)*1000 + int(a.voter) - int(b.term)*1000 - int(b.voter)
}

func (y *history) clone() *history {
	return &history{
		leaders: slices.Clip(y.leaders), votes: slices.Clip(y.votes),
		commits: slices.Clip(y.commits), reads: slices.Clip(y.reads),
	}
}

// committed is the highest index that any server has committed.
func (y *history) committed() raft.Index { return raft.Index(len(y.commits)) }

// chainAt is the hash of what was committed up to an index.
func (y *history) chainAt(i raft.Index) uint64 {
	if i == 0 {
		return 0
	}
	return y.commits[i-1].chain
}

// isCommitted reports whether a log whose hash at index i is chain has there what was
// committed there.
func (y *history) isCommitted(i raft.Index, chain uint64) bool {
	return i <= y.committed() && y.chainAt(i) == chain
}
