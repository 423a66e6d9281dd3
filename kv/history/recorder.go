package history

import (
	"slices"
	"sync"
	"time"
)

// Recorder collects a history while it happens. All methods may be called at
// the same time; they cost a lock and a look at the clock.
type Recorder struct {
	start time.Time

	mu      sync.Mutex
	history History
}

// NewRecorder starts a recording. Its times count from now.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// now is the time since the recording began, from the monotonic clock.
func (r *Recorder) now() int64 { return int64(time.Since(r.start)) }

// Pending is an operation that has begun.
type Pending struct {
	recorder *Recorder
	index    int
}

// Begin records that a client asks a node for something. It must be called
// before the request is sent. Until [Pending.End] says otherwise, the outcome
// is unknown: an operation that is never heard of again may have any effect.
func (r *Recorder) Begin(client int, node uint64, in Input) Pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Operations = append(r.history.Operations, Operation{
		Client: client, Node: node, Input: in, Output: Output{Outcome: Unknown}, Call: r.now(),
	})
	return Pending{recorder: r, index: len(r.history.Operations) - 1}
}

// End records what came back. It must be called after the answer has arrived,
// once.
func (p Pending) End(out Output) {
	returned := p.recorder.now()
	p.recorder.mu.Lock()
	defer p.recorder.mu.Unlock()
	op := &p.recorder.history.Operations[p.index]
	op.Output, op.Return = out, returned
}

// Annotate records that something happens to source from now on: "killed",
// "leader of term 4", "network cut". It lasts until end is called; if that is
// never done, it happened at this moment.
func (r *Recorder) Annotate(source, text string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, index := r.now(), len(r.history.Events)
	r.history.Events = append(r.history.Events, Event{Source: source, Text: text, Start: now, End: now})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.history.Events[index].End = r.now()
	}
}

// History returns a copy of what has been recorded so far. The recording goes
// on.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return History{
		Operations: slices.Clone(r.history.Operations),
		Events:     slices.Clone(r.history.Events),
	}
}
