package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"balsa/api/wire"
)

// The kinds of errors; the package comment says what each means. Tell them
// apart with errors.Is, and see [Error] for the details.
var (
	ErrNotFound       = errors.New("key not found")
	ErrNoSuchMember   = errors.New("no such member")
	ErrConflict       = errors.New("the key is not at the expected revision")
	ErrNotNow         = errors.New("the members or the leader cannot change like this now")
	ErrTooLarge       = errors.New("too large")
	ErrRefused        = errors.New("request refused")
	ErrUnavailable    = errors.New("unavailable; nothing was written")
	ErrOutcomeUnknown = errors.New("outcome unknown: the write may or may not have happened")
)

// Error is the error of every operation: the last attempt's, or, if the time was
// up, that of the last one that was answered.
type Error struct {
	// Kind is one of the errors above.
	Kind error
	// Address is the node that was asked, as a URL.
	Address string
	// Problem is what the node answered, nil if there was no answer.
	Problem *wire.Problem
	// Cause is what went wrong on the way, nil if there was an answer.
	Cause error

	// again says that trying again is safe and may help.
	again bool
}

func (e *Error) Error() string {
	detail := e.Cause
	if e.Problem != nil {
		detail = e.Problem
	}
	if e.Kind == ErrOutcomeUnknown && (e.Problem == nil || e.Problem.Type != wire.OutcomeUnknown) {
		return fmt.Sprintf("%v (%s: %v)", e.Kind, e.Address, detail)
	}
	return fmt.Sprintf("%s: %v", e.Address, detail)
}

// Unwrap returns the kind and the cause, so that errors.Is finds, for example,
// context.Canceled as well.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// noAnswer is the error of an attempt that brought no answer. A read is as if
// it had never been; a write may have been read by the node if a connection to
// it existed.
func noAnswer(r request, address string, connected bool, cause error) *Error {
	if e, ok := errors.AsType[*url.Error](cause); ok {
		cause = e.Err // what it adds is the address once more
	}
	e := &Error{Kind: ErrUnavailable, Address: address, Cause: cause, again: true}
	if r.writes && connected {
		e.Kind, e.again = ErrOutcomeUnknown, false
	}
	return e
}

// finalKinds are the kinds of the refusals that have one of their own.
var finalKinds = map[string]error{
	wire.KeyNotFound:          ErrNotFound,
	wire.NoSuchMember:         ErrNoSuchMember,
	wire.PreconditionFailed:   ErrConflict,
	wire.ConfigurationChanged: ErrNotNow,
	wire.NotCaughtUp:          ErrNotNow,
	wire.NoLiveMajority:       ErrNotNow,
	wire.TransferFailed:       ErrNotNow,
	wire.TooLarge:             ErrTooLarge,
}

// refusal is the error in an answer whose status is none of success.
func refusal(r request, address string, answer *answer) *Error {
	problem := answer.problem()
	e := &Error{Address: address, Problem: problem}
	t, known := wire.LookupProblem(problem.Type)
	if !known {
		// It is from a proxy, or from a newer version: the status must do.
		t = unknownProblem(answer.status)
	}
	switch {
	case finalKinds[t.URI] != nil:
		e.Kind = finalKinds[t.URI]
	case r.writes && t.Effect == wire.UnknownEffect:
		e.Kind = ErrOutcomeUnknown
	case t.Temporary || answer.status >= http.StatusInternalServerError:
		e.Kind, e.again = ErrUnavailable, true
	default:
		e.Kind = ErrRefused
	}
	return e
}

// unknownProblem judges a status alone. The statuses of 400 to 499 promise that
// the request was not carried out.
func unknownProblem(status int) wire.ProblemType {
	t := wire.ProblemType{Status: status, Effect: wire.UnknownEffect}
	if status >= 400 && status < 500 {
		t.Effect = wire.NoEffect
	}
	t.Temporary = status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
	return t
}

// firstLine is for bodies that are no problem documents.
func firstLine(body []byte) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(string(body[:min(len(body), most)])), "\n")
	return line
}
