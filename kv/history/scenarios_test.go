package history

// The histories below are written as lines: one operation of one client each,
// with the times of call and return.

func op(client int, call, ret int64, in Input, out Output) Operation {
	return Operation{Client: client, Node: 1, Call: call, Return: ret, Input: in, Output: out}
}

func get(key Text) Input        { return Input{Kind: Get, Key: key} }
func stale(key Text) Input      { return Input{Kind: StaleGet, Key: key} }
func put(key, value Text) Input { return Input{Kind: Put, Key: key, Value: value} }
func del(key Text) Input        { return Input{Kind: Delete, Key: key} }

func cas(key Text, expected uint64, value Text) Input {
	return Input{Kind: CompareAndSet, Key: key, Expected: expected, Value: value}
}

func cad(key Text, expected uint64) Input {
	return Input{Kind: CompareAndDelete, Key: key, Expected: expected}
}

func at(revision uint64) Output       { return Output{Outcome: OK, Revision: revision} }
func removed(revision uint64) Output  { return Output{Outcome: OK, Revision: revision, Found: true} }
func conflict(revision uint64) Output { return Output{Outcome: Conflict, Revision: revision} }

func found(value Text, revision uint64) Output {
	return Output{Outcome: OK, Found: true, Value: value, Revision: revision}
}

var (
	absent  = Output{Outcome: OK}
	unknown = Output{Outcome: Unknown}
	failed  = Output{Outcome: Failed}
)

type scenario struct {
	name string
	want Result
	ops  []Operation
}

var scenarios = []scenario{
	{"nothing happened", Linearizable, nil},
	{"a new key is absent", Linearizable, []Operation{op(0, 1, 2, get("k"), absent)}},

	// Put and get.
	{"read what was written", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(1, 3, 4, get("k"), found("1", 5)),
	}},
	{"an empty value is a value", Linearizable, []Operation{
		op(0, 1, 2, put("k", ""), at(5)),
		op(1, 3, 4, get("k"), found("", 5)),
	}},
	{"an empty value is not absence", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", ""), at(5)),
		op(1, 3, 4, get("k"), absent),
	}},
	{"stale read after a write", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, put("k", "2"), at(6)),
		op(1, 5, 6, get("k"), found("1", 5)),
	}},
	{"absent after a write", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(1, 3, 4, get("k"), absent),
	}},
	{"a concurrent read may see either", Linearizable, []Operation{
		op(0, 1, 9, put("k", "1"), at(5)),
		op(1, 2, 8, get("k"), absent),
		op(2, 2, 8, get("k"), found("1", 5)),
	}},
	{"two reads disagree about the order", NotLinearizable, []Operation{
		op(0, 1, 20, put("k", "1"), at(5)),
		op(1, 2, 3, get("k"), found("1", 5)),
		op(2, 4, 5, get("k"), absent),
	}},
	{"a value nobody wrote", NotLinearizable, []Operation{op(0, 1, 2, get("k"), found("1", 5))}},
	{"a read from the future", NotLinearizable, []Operation{
		op(0, 1, 2, get("k"), found("1", 5)),
		op(1, 3, 4, put("k", "1"), at(5)),
	}},
	{"right value, wrong revision", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(1, 3, 4, get("k"), found("1", 6)),
	}},
	{"right revision, wrong value", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(1, 3, 4, get("k"), found("2", 5)),
	}},
	{"equal times count as concurrent", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(1, 2, 3, get("k"), absent),
	}},

	// Revisions.
	{"revisions order concurrent writes", NotLinearizable, []Operation{
		op(0, 1, 9, put("k", "1"), at(6)),
		op(1, 1, 9, put("k", "2"), at(5)),
		op(2, 10, 11, get("k"), found("2", 5)),
	}},
	{"a revision goes back", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(6)),
		op(0, 3, 4, put("k", "2"), at(5)),
	}},
	{"a revision is given twice", NotLinearizable, []Operation{
		op(0, 1, 9, put("k", "1"), at(5)),
		op(1, 1, 9, put("k", "2"), at(5)),
	}},
	{"a write without a revision", NotLinearizable, []Operation{op(0, 1, 2, put("k", "1"), at(0))}},
	{"a revision below that of a deletion", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), removed(9)),
		op(0, 5, 6, put("k", "2"), at(7)),
	}},

	// Delete.
	{"gone after a deletion", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), removed(6)),
		op(1, 5, 6, get("k"), absent),
		op(1, 7, 8, del("k"), at(7)),
	}},
	{"a deleted key is resurrected", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), removed(6)),
		op(1, 5, 6, get("k"), found("1", 5)),
	}},
	{"the same thing is deleted twice", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 9, del("k"), removed(6)),
		op(1, 3, 9, del("k"), removed(7)),
	}},
	{"a deletion finds nothing where something is", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), at(6)),
	}},

	// Compare-and-set, compare-and-delete.
	{"one of two wins", Linearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 9, cas("k", 5, "1"), at(6)),
		op(1, 3, 9, cas("k", 5, "2"), conflict(6)),
		op(2, 10, 11, get("k"), found("1", 6)),
	}},
	{"lost update: both win", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 9, cas("k", 5, "1"), at(6)),
		op(1, 3, 9, cas("k", 5, "2"), at(7)),
	}},
	{"both create", NotLinearizable, []Operation{
		op(0, 1, 9, cas("k", 0, "1"), at(5)),
		op(1, 1, 9, cas("k", 0, "2"), at(6)),
	}},
	{"create after a deletion", Linearizable, []Operation{
		op(0, 1, 2, cas("k", 0, "1"), at(5)),
		op(0, 3, 4, cad("k", 5), removed(6)),
		op(0, 5, 6, cas("k", 0, "2"), at(7)),
	}},
	{"conflict with the expected revision", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 4, cas("k", 5, "1"), conflict(5)),
	}},
	{"conflict with a revision that is past", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 4, put("k", "1"), at(6)),
		op(0, 5, 6, cas("k", 3, "2"), conflict(5)),
	}},
	{"a conflict that wrote all the same", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(1, 3, 4, cas("k", 4, "1"), conflict(5)),
		op(0, 5, 6, get("k"), found("1", 6)),
	}},
	{"conflict with absence where something is", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 4, cas("k", 4, "1"), conflict(0)),
	}},
	{"compare-and-delete at another revision", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 4, cad("k", 4), removed(6)),
	}},
	{"compare-and-delete of nothing", Linearizable, []Operation{
		op(0, 1, 2, cad("k", 7), conflict(0)),
		op(0, 3, 4, cad("k", 0), at(5)),
	}},

	// Unknown outcomes.
	{"an unknown write is seen much later", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), absent),
		op(1, 50, 60, get("k"), found("1", 5)),
	}},
	{"an unknown write is never seen", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), absent),
		op(1, 50, 60, get("k"), absent),
	}},
	{"an unknown write is seen and unseen again", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), found("1", 5)),
		op(1, 5, 6, get("k"), absent),
	}},
	{"an unknown write is seen before it was called", NotLinearizable, []Operation{
		op(1, 1, 2, get("k"), found("1", 5)),
		op(0, 3, 4, put("k", "1"), unknown),
	}},
	{"an unknown write takes effect twice", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), found("1", 5)),
		op(1, 5, 6, put("k", "2"), at(6)),
		op(1, 7, 8, get("k"), found("1", 7)),
	}},
	{"two unknown writes of one value may be two", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(2, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), found("1", 5)),
		op(1, 5, 6, put("k", "2"), at(6)),
		op(1, 7, 8, get("k"), found("1", 7)),
	}},
	{"an unknown write shows two revisions", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), found("1", 5)),
		op(1, 5, 6, get("k"), found("1", 6)),
	}},
	{"an unknown write below what came before it", NotLinearizable, []Operation{
		op(1, 1, 2, put("k", "0"), at(5)),
		op(0, 3, 4, put("k", "1"), unknown),
		op(1, 5, 6, get("k"), found("1", 4)),
	}},
	{"an unknown write above what came after it", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, get("k"), found("1", 9)),
		op(1, 5, 6, put("k", "2"), at(7)),
	}},
	{"a conflict reveals an unknown write", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, cas("k", 0, "2"), conflict(5)),
		op(1, 5, 6, cas("k", 5, "3"), at(6)),
		op(1, 7, 8, get("k"), found("3", 6)),
	}},
	{"a conflict with a revision that is then another", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, cas("k", 0, "2"), conflict(5)),
		op(1, 5, 6, get("k"), found("1", 6)),
	}},
	{"a comparison meets an unknown write", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(1, 3, 4, cas("k", 5, "2"), at(6)),
	}},
	{"a comparison below an unknown write", NotLinearizable, []Operation{
		op(1, 1, 2, put("k", "0"), at(5)),
		op(1, 3, 4, put("k", "1"), at(8)),
		op(0, 5, 6, put("k", "2"), unknown),
		op(1, 7, 8, cas("k", 7, "3"), at(9)),
	}},
	{"an unknown deletion explains absence", Linearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), unknown),
		op(1, 5, 6, get("k"), found("1", 5)),
		op(1, 7, 8, get("k"), absent),
	}},
	{"after an unknown deletion the value returns", NotLinearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, del("k"), unknown),
		op(1, 5, 6, get("k"), absent),
		op(1, 7, 8, get("k"), found("1", 5)),
	}},
	{"an unknown comparison won", Linearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, cas("k", 5, "2"), unknown),
		op(1, 5, 6, get("k"), found("2", 6)),
	}},
	{"an unknown comparison lost", Linearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, cas("k", 5, "2"), unknown),
		op(1, 5, 6, cas("k", 5, "3"), at(6)),
		op(1, 7, 8, get("k"), found("3", 6)),
	}},
	{"an unknown comparison cannot have won", NotLinearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, cas("k", 4, "2"), unknown),
		op(1, 5, 6, get("k"), found("2", 6)),
	}},
	{"an unknown comparison on an unknown write", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(2, 3, 4, cas("k", 5, "2"), unknown),
		op(1, 5, 6, get("k"), found("2", 6)),
	}},
	{"an unknown comparison fixes an unknown write", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(2, 3, 4, cas("k", 7, "2"), unknown),
		op(1, 5, 6, get("k"), found("2", 6)), // 2 was written over revision 7
	}},
	{"an unknown comparison and what it was not", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), unknown),
		op(2, 3, 4, cas("k", 7, "2"), unknown),
		op(1, 5, 6, get("k"), found("1", 6)), // 1 was not at 7, so 2 never came
	}},
	{"an unknown compare-and-delete", Linearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, cad("k", 5), unknown),
		op(1, 5, 6, cas("k", 0, "2"), at(7)),
	}},
	{"an unknown compare-and-delete at another revision", NotLinearizable, []Operation{
		op(1, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, cad("k", 4), unknown),
		op(1, 5, 6, get("k"), absent),
	}},

	// What says nothing.
	{"a failed write has no effect", NotLinearizable, []Operation{
		op(0, 1, 2, put("k", "1"), failed),
		op(1, 3, 4, get("k"), found("1", 5)),
	}},
	{"failures and unknown reads are no evidence", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), failed),
		op(0, 3, 4, get("k"), unknown),
		op(0, 5, 6, get("k"), failed),
		op(1, 7, 8, get("k"), absent),
	}},
	{"stale reads are not judged", Linearizable, []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, put("k", "2"), at(6)),
		op(1, 5, 6, stale("k"), found("1", 5)),
		op(1, 7, 8, stale("k"), absent),
	}},
}
