package founding

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"

	"balsa/gossip"
)

const questionVersion = 1

// encodeQuestion asks "are you pristine, and do you see this very plan?" The
// zero id asks a server that seems to belong to a cluster which one it is.
func encodeQuestion(plan gossip.UUID) []byte {
	return append([]byte{questionVersion}, plan[:]...)
}

func decodeQuestion(b []byte) (gossip.UUID, error) {
	r := reader{rest: b}
	if v := r.byte(); r.err == nil && v != questionVersion {
		r.fail("question of version %d, this program knows %d", v, questionVersion)
	}
	plan := r.uuid()
	r.end()
	return plan, r.err
}

// verdict is what a server says to a question.
type verdict uint8

const (
	// verdictYes is a promise: I am pristine, I see this very plan, and I shall
	// say no to any other until I restart.
	verdictYes verdict = 1
	// verdictNo means not now; the reason says why.
	verdictNo verdict = 2
	// verdictFounded means that the server belongs to a cluster.
	verdictFounded verdict = 3
)

// answer is what a server says, and who it is.
type answer struct {
	id       uint64
	instance gossip.UUID
	verdict  verdict
	// cluster is what the plan that is agreed to would make, for yes, and the
	// server's cluster, for founded.
	cluster gossip.UUID
	// reason is a short text for an operator, for no.
	reason string
	// plan is how the server's cluster was founded, if it knows; for founded.
	plan *Plan
}

const (
	answerVersion = 1
	// maxReason bounds a reason, in bytes.
	maxReason = 300
)

// encode returns the answer's binary form:
//
//	0   version   1
//	1   verdict   1
//	2   id        8, little-endian
//	10  instance  16
//	26  yes:      the plan's id, 16
//	    no:       the reason, to the end
//	    founded:  the cluster's id, 16, then the plan, to the end, if known
func (a answer) encode() []byte {
	b := []byte{answerVersion, byte(a.verdict)}
	b = binary.LittleEndian.AppendUint64(b, a.id)
	b = append(b, a.instance[:]...)
	switch a.verdict {
	case verdictNo:
		return append(b, a.reason[:min(len(a.reason), maxReason)]...)
	case verdictYes:
		return append(b, a.cluster[:]...)
	}
	b = append(b, a.cluster[:]...)
	if a.plan != nil {
		b = append(b, a.plan.Encode()...)
	}
	return b
}

// decodeAnswer checks what another server says. In particular a plan that comes
// with an answer makes the cluster that the answer claims: this is how a server
// that founds on another's word knows that it writes the identical entry.
func decodeAnswer(b []byte) (answer, error) {
	r := reader{rest: b}
	if v := r.byte(); r.err == nil && v != answerVersion {
		r.fail("answer of version %d, this program knows %d", v, answerVersion)
	}
	a := answer{verdict: verdict(r.byte()), id: r.uint64(), instance: r.uuid()}
	switch a.verdict {
	case verdictYes:
		a.cluster = r.uuid()
	case verdictNo:
		if len(r.rest) > maxReason {
			r.fail("a reason of %d bytes", len(r.rest))
		}
		a.reason, r.rest = printable(r.rest), nil
	case verdictFounded:
		a.cluster = r.uuid()
		if r.err == nil && len(r.rest) > 0 {
			plan, err := DecodePlan(r.rest)
			if err != nil {
				return answer{}, err
			}
			if plan.ClusterID() != a.cluster {
				r.fail("the plan makes cluster %s, the answer claims %s", plan.ClusterID(), a.cluster)
			}
			a.plan, r.rest = &plan, nil
		}
	default:
		r.fail("unknown verdict %d", a.verdict)
	}
	r.end()
	if r.err != nil {
		return answer{}, r.err
	}
	return a, nil
}

// printable makes a text from elsewhere fit for logs and terminals.
func printable(b []byte) string {
	return strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, string(b))
}

// reader takes values from the front of a slice. After the first error it
// returns zeros, so that a caller can check once, at the end.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
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

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uuid() (u gossip.UUID) {
	copy(u[:], r.take(len(u)))
	return u
}

// end records an error if bytes are left over.
func (r *reader) end() {
	if len(r.rest) > 0 {
		r.fail("%d bytes too many", len(r.rest))
	}
}
