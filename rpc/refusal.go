package rpc

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// RefusalCode says why a handshake failed. It is an error, so that
// errors.Is(err, rpc.WrongCluster) works on whatever wraps a [*Refusal]. The
// numbers are part of the wire format and never change their meaning.
type RefusalCode uint8

const (
	accepted RefusalCode = 0

	// NotBalsa: the other side does not speak this protocol at all.
	NotBalsa RefusalCode = 1
	// WrongVersion: the other side speaks another version of it.
	WrongVersion RefusalCode = 2
	// Malformed: the hello or its answer was damaged or contradicts itself.
	Malformed RefusalCode = 3
	// WrongCluster: the two nodes belong to different clusters, or one of them
	// to none yet.
	WrongCluster RefusalCode = 4
	// WrongNode: another node lives at the address that was dialled.
	WrongNode RefusalCode = 5
	// WrongInstance: the node's ID is known with another data directory. This
	// code is for [Config.Admit] to return.
	WrongInstance RefusalCode = 6
	// SelfConnection: the node has dialled itself.
	SelfConnection RefusalCode = 7
	// DuplicateID: two nodes run with the same ID.
	DuplicateID RefusalCode = 8
	// NotAdmitted: [Config.Admit] said no, for a reason of its own.
	NotAdmitted RefusalCode = 9
	// TooManyConnections: a limit on connections is reached.
	TooManyConnections RefusalCode = 10
	// Removed: the node was a member of the cluster and has been removed. This
	// code is for [Config.Admit] to return.
	Removed RefusalCode = 11
)

// Error names the code.
func (c RefusalCode) Error() string {
	switch c {
	case accepted:
		return "accepted"
	case NotBalsa:
		return "not a balsa node"
	case WrongVersion:
		return "wrong protocol version"
	case Malformed:
		return "malformed handshake"
	case WrongCluster:
		return "wrong cluster"
	case WrongNode:
		return "wrong node"
	case WrongInstance:
		return "wrong instance"
	case SelfConnection:
		return "connected to itself"
	case DuplicateID:
		return "duplicate node ID"
	case NotAdmitted:
		return "not admitted"
	case TooManyConnections:
		return "too many connections"
	case Removed:
		return "removed from the cluster"
	}
	return fmt.Sprintf("refused with code %d", uint8(c))
}

// Refusal is a failed handshake, or the end of a connection that has become
// unwanted: two nodes reached each other, and at least one of them will not talk
// to the other until somebody changes something.
type Refusal struct {
	Code RefusalCode
	// Sentence says what is wrong and what to do.
	Sentence string
	// Peer is who is at the other end, or the zero Identity if it did not say.
	Peer Identity
}

func (r *Refusal) Error() string { return fmt.Sprintf("rpc: %s: %s", r.Code.Error(), r.Sentence) }

// Unwrap makes the code visible to errors.Is.
func (r *Refusal) Unwrap() error { return r.Code }

func refuse(code RefusalCode, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

// asRefusal turns what [Config.Admit] returned into what travels.
func asRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return &Refusal{Code: r.Code, Sentence: r.Sentence}
	}
	return &Refusal{Code: NotAdmitted, Sentence: err.Error()}
}

// maxSentence bounds the sentence of a refusal on the wire, in bytes.
const maxSentence = 512

// clip cuts a sentence to what may travel, between two characters.
func clip(sentence string) string {
	if len(sentence) > maxSentence {
		sentence = strings.ToValidUTF8(sentence[:maxSentence], "")
	}
	return sentence
}

// printable makes a sentence that came from outside fit for a log and a
// terminal.
func printable(sentence []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(sentence), "?"))
}
