package history

// Invented returns the stale reads that found what nobody had written: a value
// that no write to the key which began before the read ended can have stored
// under that revision. How old an answer is, and that a key is absent, is never
// wrong for a stale read.
func Invented(h History) []Operation {
	type version struct {
		key, value Text
		revision   uint64 // 0 for a write that was never told its revision
	}
	began := map[version]int64{} // when the first such write was called
	for _, op := range h.Operations {
		if !op.Input.Kind.sets() || (op.Output.Outcome != OK && op.Output.Outcome != Unknown) {
			continue
		}
		v := version{op.Input.Key, op.Input.Value, op.Output.Revision}
		if first, ok := began[v]; !ok || op.Call < first {
			began[v] = op.Call
		}
	}
	var invented []Operation
	for _, op := range h.Operations {
		if op.Input.Kind != StaleGet || op.Output.Outcome != OK || !op.Output.Found {
			continue
		}
		told, ok := began[version{op.Input.Key, op.Output.Value, op.Output.Revision}]
		if ok && told <= op.Return {
			continue
		}
		untold, ok := began[version{op.Input.Key, op.Output.Value, 0}]
		if !ok || untold > op.Return {
			invented = append(invented, op)
		}
	}
	return invented
}
