package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Result is what a check can come to.
type Result int

const (
	// Undecided means that the time was up. It is no success.
	Undecided Result = iota
	// Linearizable means that a linearizable store could have given all these
	// answers.
	Linearizable
	// NotLinearizable means that no linearizable store could have.
	NotLinearizable
)

func (r Result) String() string {
	switch r {
	case Undecided:
		return "undecided"
	case Linearizable:
		return "linearizable"
	case NotLinearizable:
		return "not linearizable"
	}
	return fmt.Sprintf("result(%d)", int(r))
}

// Verdict is the outcome of [Check].
type Verdict struct {
	Result Result
	// Key is the key at which the search ended, if Result is NotLinearizable or
	// Undecided.
	Key Text
	// Judged is the number of operations that took part. The others are stale
	// reads, operations that failed and reads of unknown outcome, none of which
	// say anything. AtKey is how many of them are about Key.
	Judged, AtKey int

	timeout time.Duration
	shown   []porcupine.Operation // what Visualize draws, key by key
	events  []Event
}

func (v Verdict) String() string {
	if v.Result == Linearizable {
		return fmt.Sprintf("linearizable: %d operations", v.Judged)
	}
	return fmt.Sprintf("%s: key %q, with %d of %d operations", v.Result, v.Key, v.AtKey, v.Judged)
}

// Check judges a history. Each key is judged alone, which is as good as judging
// all together: a history is linearizable exactly if it is for every object
// (Herlihy and Wing's locality). The easy keys come first. The search stops at
// the first key that is not linearizable, or when the timeout is over; zero
// means to search for as long as it takes.
func Check(h History, timeout time.Duration) Verdict {
	verdict := Verdict{Result: Linearizable, timeout: timeout, events: h.Events}
	keys := perKey(h.Operations)
	order := slices.SortedFunc(maps.Keys(keys), func(a, b Text) int {
		return cmp.Or(cmp.Compare(len(keys[a]), len(keys[b])), cmp.Compare(a, b))
	})
	for _, key := range order {
		verdict.Judged += len(keys[key])
	}
	deadline := time.Now().Add(timeout)
	for _, key := range order {
		operations := prepare(keys[key])
		result := Undecided
		if timeout == 0 {
			result = search(operations, 0)
		} else if left := time.Until(deadline); left > 0 {
			result = search(operations, left)
		}
		if result != Linearizable {
			verdict.Result, verdict.Key, verdict.AtKey = result, key, len(keys[key])
			verdict.shown = operations
			return verdict
		}
		verdict.shown = append(verdict.shown, operations...)
	}
	return verdict
}

func search(operations []porcupine.Operation, timeout time.Duration) Result {
	switch porcupine.CheckOperationsTimeout(model, operations, timeout) {
	case porcupine.Ok:
		return Linearizable
	case porcupine.Illegal:
		return NotLinearizable
	}
	return Undecided
}

// Visualize writes the picture of the verdict, an HTML file that needs nothing
// else, with the history's events in it. For a history that is linearizable it
// shows one order in which everything may have happened; otherwise it shows
// the key at fault, and how far the search could get. It repeats the search, and
// takes no longer than Check was allowed to.
func (v Verdict) Visualize(path string) error {
	_, info := porcupine.CheckOperationsVerbose(model, v.shown, v.timeout)
	annotations := make([]porcupine.Annotation, len(v.events))
	for i, e := range v.events {
		annotations[i] = porcupine.Annotation{Tag: e.Source, Start: e.Start, End: e.End, Description: e.Text}
	}
	info.AddAnnotations(annotations)
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		return fmt.Errorf("history: cannot draw the picture: %w", err)
	}
	return nil
}
