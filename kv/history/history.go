package history

import (
	"errors"
	"fmt"
)

// History is a recording.
type History struct {
	Operations []Operation
	Events     []Event
}

// Operation is one request of one client.
type Operation struct {
	// Client is who asked, from 0. A client asks one thing at a time.
	Client int `json:"client"`
	// Node is the server that was asked, 0 if that is not known.
	Node uint64 `json:"node,omitempty"`
	// Call and Return are when the request began and ended, in nanoseconds
	// since the recording began. An operation of unknown outcome may have no
	// Return, which is then 0.
	Call   int64  `json:"call"`
	Return int64  `json:"return,omitempty"`
	Input  Input  `json:"input"`
	Output Output `json:"output"`
}

// Kind is what a client can ask for.
type Kind string

// The kinds of operations.
const (
	Get              Kind = "get"
	StaleGet         Kind = "stale-get"
	Put              Kind = "put"
	Delete           Kind = "delete"
	CompareAndSet    Kind = "compare-and-set"
	CompareAndDelete Kind = "compare-and-delete"
)

// Input is what a client asked.
type Input struct {
	Kind Kind `json:"kind"`
	Key  Text `json:"key"`
	// Value is what Put and CompareAndSet write.
	Value Text `json:"value,omitempty"`
	// Expected is the revision that the comparing kinds expect, 0 for no such
	// key.
	Expected uint64 `json:"expected,omitempty"`
}

// Outcome is how a request ended.
type Outcome string

// The outcomes.
const (
	OK       Outcome = "ok"
	Conflict Outcome = "conflict" // a comparison failed; nothing was changed
	Failed   Outcome = "failed"   // certainly without effect, now and later
	Unknown  Outcome = "unknown"  // nobody can tell whether it took or will take effect
)

// Output is what a client heard.
type Output struct {
	Outcome Outcome `json:"outcome"`
	// Found says of a read whether there was such a key, and of a deletion
	// whether there was something to delete.
	Found bool `json:"found,omitempty"`
	// Value is what a read found.
	Value Text `json:"value,omitempty"`
	// Revision is, of a successful write, its own revision; of a read, that of
	// what was found; of a conflict, the one that the key really had. 0 stands
	// for no such key.
	Revision uint64 `json:"revision,omitempty"`
}

// Event is something else that happened and may explain what clients saw: a
// server was killed, a leader was elected.
type Event struct {
	// Source is the server or test that it happened to or came from. Events of
	// one source share a row of the picture.
	Source string `json:"source"`
	// Start and End are in nanoseconds since the recording began. They are
	// equal for something that happened at a moment.
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Text  string `json:"text"`
}

func (k Kind) reads() bool { return k == Get || k == StaleGet }

func (k Kind) sets() bool { return k == Put || k == CompareAndSet }

func (k Kind) deletes() bool { return k == Delete || k == CompareAndDelete }

func (k Kind) compares() bool { return k == CompareAndSet || k == CompareAndDelete }

// maxTime bounds times: some 146 years, and room to calculate above it.
const maxTime = 1 << 62

// validate reports what cannot be said about any operation. It does not judge:
// what a broken server may have answered is valid.
func (o Operation) validate() error {
	in, out := o.Input, o.Output
	answered := out.Outcome == OK || out.Outcome == Conflict
	switch {
	case o.Client < 0:
		return fmt.Errorf("client %d", o.Client)
	case !in.Kind.reads() && !in.Kind.sets() && !in.Kind.deletes():
		return fmt.Errorf("unknown kind %q", in.Kind)
	case in.Key == "":
		return errors.New("no key")
	case in.Value != "" && !in.Kind.sets():
		return fmt.Errorf("a %s with a value to write", in.Kind)
	case in.Expected != 0 && !in.Kind.compares():
		return fmt.Errorf("a %s with an expected revision", in.Kind)
	case !answered && out.Outcome != Failed && out.Outcome != Unknown:
		return fmt.Errorf("unknown outcome %q", out.Outcome)
	case out.Outcome == Conflict && !in.Kind.compares():
		return fmt.Errorf("a %s that ends in conflict", in.Kind)
	case !answered && out != Output{Outcome: out.Outcome}:
		return fmt.Errorf("an answer although the outcome is %q", out.Outcome)
	case out.Found && (out.Outcome != OK || in.Kind.sets()):
		return fmt.Errorf("a %s that found something and ended as %q", in.Kind, out.Outcome)
	case out.Value != "" && !(in.Kind.reads() && out.Found):
		return fmt.Errorf("a %s that returned a value without having found it", in.Kind)
	case o.Call < 0 || o.Call > maxTime || o.Return > maxTime:
		return fmt.Errorf("called at %d and returned at %d", o.Call, o.Return)
	case o.Return < o.Call && !(o.Return == 0 && out.Outcome == Unknown):
		return fmt.Errorf("called at %d and returned at %d", o.Call, o.Return)
	}
	return nil
}

func (e Event) validate() error {
	if e.Source == "" {
		return errors.New("event without a source")
	}
	if e.Start < 0 || e.End < e.Start || e.End > maxTime {
		return fmt.Errorf("event from %d to %d", e.Start, e.End)
	}
	return nil
}
