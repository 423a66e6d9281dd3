package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"time"

	"balsa/api/wire"
)

// request is one operation, to be sent as often as it takes.
type request struct {
	method, path         string
	ifMatch, ifNoneMatch string
	body                 []byte
	contentType          string // of the body
	writes               bool
}

// withJSON returns r with v as its body.
func (r request) withJSON(v any) request {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // bodies are structs of strings and numbers
	}
	r.body, r.contentType = body, "application/json"
	return r
}

// answer is a response that has been read to its end.
type answer struct {
	request request
	address string
	status  int
	header  http.Header
	body    []byte
}

// maxAnswer bounds what is read of a response.
const maxAnswer = 64 << 20

// Pauses between two rounds through all addresses: the first lasts about
// firstPause, and each further one twice as long as the one before it.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 640 * time.Millisecond
)

// do sends r until it is answered, with what it asked for or with an error that
// another attempt cannot better.
func (c *Client) do(ctx context.Context, r request) (*answer, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	pause := firstPause
	var reason *Error // the last answer that said why not
	for attempt := 1; ; attempt++ {
		at := c.preferred.Load()
		answer, err := c.attempt(ctx, c.bases[at], r)
		if err == nil {
			return answer, nil
		}
		if err.again || err.Kind == ErrOutcomeUnknown {
			// Whoever finds the node wanting first moves on, for everybody.
			c.preferred.CompareAndSwap(at, (at+1)%int64(len(c.bases)))
		}
		if err.Problem != nil {
			reason = err
		}
		if err.again && ctx.Err() == nil && attempt%len(c.bases) == 0 {
			sleep(ctx, pause)
			pause = min(2*pause, lastPause)
		}
		switch {
		case !err.again:
			return nil, err
		case ctx.Err() != nil:
			// That the time was up says less than why it took so long.
			return nil, cmp.Or(reason, err)
		}
	}
}

// attempt sends r to one node.
func (c *Client) attempt(ctx context.Context, base string, r request) (*answer, *Error) {
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	ctx, cancel := context.WithDeadline(httptrace.WithClientTrace(ctx, trace), c.attemptDeadline(ctx, r))
	defer cancel()
	httpRequest, err := http.NewRequestWithContext(ctx, r.method, base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, &Error{Kind: ErrRefused, Address: base, Cause: err}
	}
	if r.ifMatch != "" {
		httpRequest.Header.Set("If-Match", r.ifMatch)
	}
	if r.ifNoneMatch != "" {
		httpRequest.Header.Set("If-None-Match", r.ifNoneMatch)
	}
	if r.contentType != "" {
		httpRequest.Header.Set("Content-Type", r.contentType)
	}
	response, err := c.http.Do(httpRequest)
	if err != nil {
		return nil, noAnswer(r, base, connected, err)
	}
	defer response.Body.Close()
	got := &answer{request: r, address: base, status: response.StatusCode, header: response.Header}
	got.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case len(got.body) > maxAnswer:
		return nil, got.notUnderstood(fmt.Errorf("it has more than %d bytes", maxAnswer))
	case err != nil:
		return nil, noAnswer(r, base, connected, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusAccepted {
		return nil, refusal(r, base, got)
	}
	return got, nil
}

// attemptDeadline gives a read on one of several nodes half of the time that is
// left, so that a node which neither answers nor refuses leaves time for the
// others. A write gets all of it: it could not be tried again anyway.
func (c *Client) attemptDeadline(ctx context.Context, r request) time.Time {
	deadline, _ := ctx.Deadline()
	if r.writes || len(c.bases) == 1 {
		return deadline
	}
	const least = 250 * time.Millisecond
	return time.Now().Add(max(time.Until(deadline)/2, least))
}

// problem returns what an unsuccessful answer says.
func (a *answer) problem() *wire.Problem {
	problem := new(wire.Problem)
	if json.Unmarshal(a.body, problem) != nil || problem.Type == "" {
		*problem = wire.Problem{Title: http.StatusText(a.status), Detail: firstLine(a.body)}
	}
	problem.Status = a.status
	return problem
}

// notUnderstood is the error of a successful answer that makes no sense. A
// write has then probably happened.
func (a *answer) notUnderstood(err error) *Error {
	cause := errors.New("the answer is not one of balsa's API; is this the right address?")
	if err != nil {
		cause = fmt.Errorf("%w (%w)", cause, err)
	}
	kind := ErrUnavailable
	if a.request.writes {
		kind = ErrOutcomeUnknown
	}
	return &Error{Kind: kind, Address: a.address, Cause: cause}
}

// sleep waits for about the pause, or until ctx ends. The jitter keeps clients
// that failed together from coming back together.
func sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
