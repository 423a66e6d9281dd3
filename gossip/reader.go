package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errMeta is wrapped by every error about bytes that came through gossip.
var errMeta = errors.New("unreadable gossip data")

// reader takes values from the front of a slice. After the first error it
// returns zeros, so that a caller can check once, at the end.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.rest) < n {
		r.fail("it needs %d more bytes and has %d", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// text returns a string that follows its length in one byte.
func (r *reader) text() string { return string(r.take(int(r.byte()))) }

// number returns a number in the variable-length form of encoding/binary. Only
// its shortest form is accepted, so that a message has one encoding.
func (r *reader) number() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.fail("a number is malformed")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// upTo returns a number of at most limit.
func (r *reader) upTo(limit uint64, what string) uint64 {
	v := r.number()
	if v > limit {
		r.fail("%s is %d, at most %d is possible", what, v, limit)
		return 0
	}
	return v
}

// after returns a number that is encoded as its distance from a smaller one.
func (r *reader) after(base uint64) uint64 {
	v := r.number()
	if base+v < base {
		r.fail("a number exceeds 64 bits")
		return 0
	}
	return base + v
}

// fail records an error, unless there is one already.
func (r *reader) fail(format string, args ...any) {
	r.failWith(fmt.Errorf(format, args...))
}

func (r *reader) failWith(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", errMeta, err)
	}
}

// end reports the first error, or that bytes are left over.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes too many", len(r.rest))
	}
	return r.err
}
