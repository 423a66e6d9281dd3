package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
)

// roundTripper answers every request.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzAnswer lets whatever is at the address answer anything. A client must come
// to a result or an error of one of its kinds, and must not send a write again
// unless the answer promises that nothing was done.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []struct {
		status     int
		etag, body string
		write      bool
	}{
		{200, `"7"`, "value", false},
		{200, "", `{"key":"k","revision":7}`, true},
		{200, "", `{"revision":-1}`, true},
		{404, "", `{"type":"https://balsa.example/problems/no-leader","status":503}`, true},
		{503, "", `{"type":"about:blank"}`, true},
		{409, "", `{"type":`, false},
		{307, "", "", true},
		{999, `W/"x"`, "<html>", false},
	} {
		f.Add(seed.status, seed.etag, []byte(seed.body), seed.write)
	}
	f.Fuzz(func(t *testing.T, status int, tag string, body []byte, write bool) {
		sent := 0
		c, err := New(Config{Addresses: []string{"127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
			sent++
			header := http.Header{"Etag": {tag}, "Balsa-Applied-Index": {"9"}}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})
		r := request{method: http.MethodGet, path: "/api/kv/k", writes: write}
		got, failure := c.attempt(t.Context(), c.bases[0], r)
		if (got == nil) == (failure == nil) {
			t.Fatalf("%d: the answer is %v and the error %v", status, got, failure)
		}
		if failure == nil {
			if status != http.StatusOK && status != http.StatusAccepted {
				t.Errorf("status %d is a success", status)
			}
			return
		}
		if failure.Error() == "" || !anyKind(failure) {
			t.Errorf("%d, %q: nobody can tell what this error is: %v", status, body, failure)
		}
		if write && failure.again && errors.Is(failure, ErrOutcomeUnknown) {
			t.Errorf("%d, %q: a write is sent again that may have happened: %v", status, body, failure)
		}
	})
}

func anyKind(err error) bool {
	for _, kind := range []error{ErrNotFound, ErrNoSuchMember, ErrConflict, ErrNotNow, ErrTooLarge, ErrOutcomeUnknown, ErrUnavailable, ErrRefused} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
