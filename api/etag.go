package api

import (
	"fmt"
	"strconv"
	"strings"

	"balsa/api/wire"
)

// etag writes a revision as an entity tag: a strong one, because two states of
// a key with the same revision are the same bytes.
func etag(revision uint64) string {
	return `"` + strconv.FormatUint(revision, 10) + `"`
}

// precondition is what a write demands of the key beforehand.
type precondition struct {
	// set says that the client demands anything at all.
	set bool
	// revision is the revision that the key must have, or 0 if it must not
	// exist.
	revision uint64
}

// writePrecondition reads the headers that make a write conditional (RFC 9110,
// 13.1): If-Match with one revision, or If-None-Match: *. The other forms that
// the RFC knows, such as a list, cannot be one atomic compare-and-set, and are
// refused rather than half kept.
func writePrecondition(ifMatch, ifNoneMatch string) (precondition, error) {
	switch {
	case ifMatch != "" && ifNoneMatch != "":
		return precondition{}, newProblem(wire.MalformedRequest, "send If-Match or If-None-Match, not both")
	case ifMatch != "":
		revision, ok := parseETag(ifMatch)
		if !ok || revision == 0 {
			return precondition{}, newProblem(wire.MalformedRequest, fmt.Sprintf(
				`If-Match on a write takes one revision in quotes, as in If-Match: "12"; got %s`, clip(ifMatch)))
		}
		return precondition{set: true, revision: revision}, nil
	case ifNoneMatch != "":
		if strings.TrimSpace(ifNoneMatch) != "*" {
			return precondition{}, newProblem(wire.MalformedRequest, fmt.Sprintf(
				"If-None-Match on a write takes only *, which means that the key must not exist; got %s", clip(ifNoneMatch)))
		}
		return precondition{set: true}, nil
	}
	return precondition{}, nil
}

// parseETag returns the revision in a strong entity tag.
func parseETag(tag string) (uint64, bool) {
	tag = strings.TrimSpace(tag)
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return 0, false
	}
	revision, err := strconv.ParseUint(tag[1:len(tag)-1], 10, 64)
	return revision, err == nil && etag(revision) == tag
}

// matchesAny reports whether a list of entity tags, or *, names the current
// state of an existing key. Weak tags count too, as RFC 9110 wants it for
// If-None-Match (13.1.2).
func matchesAny(list string, revision uint64) bool {
	current := etag(revision)
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == current {
			return true
		}
	}
	return false
}

// clip quotes a client's words for a message, shortened.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
