package rpc

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// FuzzCommandBodies reads the same bytes as every kind of body that belongs to
// forwarded commands and to questions. Each has one form only: what is read must
// be written as it was.
func FuzzCommandBodies(f *testing.F) {
	n := note("question")
	for _, content := range []any{
		&command{Timeout: time.Second, Payload: []byte("x")},
		&result{Status: statusReplyTooLarge}, &result{Payload: []byte("x")}, &n,
	} {
		f.Add(appendBody(nil, content))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, content := range []any{new(command), new(result), new(note)} {
			if err := decodeBody(b, content); err != nil {
				if !errors.Is(err, errBadFrame) {
					t.Errorf("nobody can tell what this error is: %v", err)
				}
				continue
			}
			if again := appendBody(nil, content); !bytes.Equal(again, b) {
				t.Errorf("%x was read as %+v and is written as %x", b, content, again)
			}
		}
	})
}
