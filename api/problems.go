package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"balsa/api/wire"
	"balsa/kv"

	"github.com/danielgtaylor/huma/v2"
)

// problem is an error that is sent as it is: the body of the response and, with
// its status and headers, all the rest of it.
type problem struct {
	wire.Problem
	headers http.Header
}

// newProblem returns a problem of the type with that URI, which must exist.
func newProblem(uri, detail string) *problem {
	p := &problem{Problem: *wire.NewProblem(uri, detail), headers: http.Header{}}
	if t, _ := wire.LookupProblem(uri); t.Temporary {
		// An election takes well under a second and a queue drains faster than
		// that, but the header counts in whole seconds.
		p.headers.Set("Retry-After", "1")
	}
	return p
}

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return wire.ProblemContentType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.headers }

// writeProblem answers from outside the endpoints.
func writeProblem(w http.ResponseWriter, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and integers
	}
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", wire.ProblemContentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// writeFailed says what became of a write that the store did not confirm. An
// error that nobody foresaw counts as an unknown outcome: only errors that
// promise that nothing was done may be reported as such.
func (d *door) writeFailed(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return newProblem(wire.OutcomeUnknown, kv.ErrOutcomeUnknown.Error())
	case errors.Is(err, kv.ErrOutcomeUnknown):
		return newProblem(wire.OutcomeUnknown, err.Error())
	}
	return d.failed(err)
}

// readFailed says why a read could not be served.
func (d *door) readFailed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return newProblem(wire.NoQuorum, kv.ErrNoQuorum.Error())
	}
	return d.failed(err)
}

// changeFailed says what became of a change of members, or of leaders, that the
// cluster did not confirm.
func (d *door) changeFailed(err error) error {
	if _, ok := errors.AsType[*wire.Problem](err); ok {
		return d.failed(err)
	}
	for _, unknown := range []error{context.DeadlineExceeded, context.Canceled, kv.ErrOutcomeUnknown} {
		if errors.Is(err, unknown) {
			return newProblem(wire.OutcomeUnknown,
				"the change was not confirmed in time; it may have happened or may still happen: look at /api/members before trying again")
		}
	}
	return d.failed(err)
}

// failed translates the errors of package kv. What is a problem already stays
// one.
func (d *door) failed(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		// One that this version does not know came from another node, and may
		// mean anything.
		if _, known := wire.LookupProblem(p.Type); known {
			return newProblem(p.Type, p.Detail)
		}
	}
	if conflict, ok := errors.AsType[*kv.ConflictError](err); ok {
		p := newProblem(wire.PreconditionFailed, conflictDetail(conflict))
		p.Revision = &conflict.Actual
		return p
	}
	for _, known := range []struct {
		err error
		uri string
	}{
		{kv.ErrBusy, wire.Busy},
		{kv.ErrNoLeader, wire.NoLeader},
		{kv.ErrNoQuorum, wire.NoQuorum},
		{kv.ErrStopped, wire.Stopping},
		{kv.ErrKeyTooLarge, wire.TooLarge},
		{kv.ErrValueTooLarge, wire.TooLarge},
		{kv.ErrKeyEmpty, wire.InvalidRequest},
		{kv.ErrNotUnderstood, wire.NotUnderstood},
	} {
		if errors.Is(err, known.err) {
			return newProblem(known.uri, err.Error())
		}
	}
	d.log.Error("a request failed in a way that has no name", "error", err)
	return newProblem(wire.Internal, err.Error())
}

func conflictDetail(e *kv.ConflictError) string {
	switch {
	case e.Expected == 0:
		return fmt.Sprintf("the key exists already, with revision %d", e.Actual)
	case e.Actual == 0:
		return fmt.Sprintf("the key does not exist; its revision was expected to be %d", e.Expected)
	}
	return fmt.Sprintf("the key has revision %d, not %d", e.Actual, e.Expected)
}

// problemFromHuma turns what huma itself refuses into one of our problems.
func problemFromHuma(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	for i, err := range errs {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		// An ErrorDetail may quote a whole body as its value; its words are kept.
		if e, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			err = errors.New(e.Location + ": " + e.Message)
		}
		message += separator + err.Error()
	}
	if status == http.StatusRequestEntityTooLarge && ctx != nil {
		message = fmt.Sprintf("the body is larger than %d bytes", ctx.Operation().MaxBodyBytes-1)
	}
	p := newProblem(humaProblem(status, message), message)
	if ctx != nil {
		// huma sends the headers of an error that a handler returns, but not of
		// one that it made itself.
		for name, values := range p.headers {
			ctx.SetHeader(name, values[0])
		}
	}
	return p
}

// humaProblem returns the problem type for what huma says.
func humaProblem(status int, message string) string {
	switch status {
	case http.StatusBadRequest:
		return wire.MalformedRequest
	case http.StatusRequestTimeout:
		return wire.RequestTimeout
	case http.StatusRequestEntityTooLarge:
		return wire.TooLarge
	case http.StatusUnprocessableEntity:
		return wire.InvalidRequest
	}
	if strings.HasPrefix(message, "cannot read request body") {
		return wire.MalformedRequest // the client broke off, or sent chunks that are none
	}
	return wire.Internal
}
