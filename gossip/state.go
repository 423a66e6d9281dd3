package gossip

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of what one server may say about itself beyond its meta. They are
// far above what balsa publishes, and so low that the states of a thousand
// servers fit into a few megabytes. The owner of a state is told with a
// [LimitError]; from others, a state beyond them is ignored and reported by
// [Gossip.Conflicts].
const (
	// MaxKey bounds the length of a key, in bytes.
	MaxKey = 64
	// MaxValue bounds the length of a value, in bytes.
	MaxValue = 512
	// MaxKeys bounds the number of keys of one server.
	MaxKeys = 64
	// MaxState bounds the keys and values of one server together, in bytes,
	// with [EntryOverhead] more for each key.
	MaxState = 4096
	// EntryOverhead is what a key costs besides its own bytes and its value's.
	// It covers the rest of its encoding, so a whole state never takes more
	// than MaxState and its short head on the way.
	EntryOverhead = 20
	// MaxTTL bounds how long a key with a time to live lasts.
	MaxTTL = 30 * 24 * time.Hour
)

// Errors about what a server wants to say of itself.
var (
	// ErrKey means that a key is empty or has characters other than letters,
	// digits and .:-_/
	ErrKey = errors.New("gossip: not a key: it takes letters, digits and .:-_/")
	// ErrValue means that a value is not UTF-8 or has control characters, which
	// have no business in a log or on a dashboard.
	ErrValue = errors.New("gossip: not a value: it takes UTF-8 text without control characters")
	// ErrTTL means that a time to live is not between a millisecond and
	// [MaxTTL].
	ErrTTL = errors.New("gossip: not a time to live: it takes a millisecond to 30 days")
)

// LimitError says which limit a key, a value or a whole state exceeds.
type LimitError struct {
	// What names the limit: "key", "value", "number of keys" or "state".
	What string
	// Key is the key in question, or empty if it is the state as a whole.
	Key string
	// Size is how much it would be, Max how much is possible, both in bytes or
	// in keys.
	Size, Max int
}

func (e *LimitError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("gossip: the %s would be %d, at most %d is possible: delete keys or shorten values", e.What, e.Size, e.Max)
	}
	return fmt.Sprintf("gossip: the %s of %.80q has %d bytes, at most %d are possible", e.What, e.Key, e.Size, e.Max)
}

// State is what a server says about itself under keys of its own choice: a copy,
// for the caller to keep. It is always one that the server was once in; changes
// that it made at once are seen at once or not at all.
type State struct {
	// Generation tells the lives of the server apart: it is larger after each
	// restart; see Config.Generation.
	Generation uint64
	// Version grows with every change of a key, within one generation.
	Version uint64
	// Values are the keys and what they say.
	Values map[string]string
}

// Peer is a server and its state.
type Peer struct {
	Member
	State State
}

// HasKeys returns a predicate for [Gossip.Live] and [Gossip.WatchLive] that
// holds for servers whose state has all the given keys.
func HasKeys(keys ...string) func(Peer) bool {
	return func(p Peer) bool {
		for _, key := range keys {
			if _, ok := p.State.Values[key]; !ok {
				return false
			}
		}
		return true
	}
}

// checkKey reports why a string cannot be a key.
func checkKey(key string) error {
	if len(key) > MaxKey {
		return &LimitError{What: "key", Key: key, Size: len(key), Max: MaxKey}
	}
	if key == "" || !plain(strings.ReplaceAll(key, "/", "-")) {
		return fmt.Errorf("%w: %q", ErrKey, key)
	}
	return nil
}

// checkValue reports why a string cannot be the value of a key.
func checkValue(key, value string) error {
	if len(value) > MaxValue {
		return &LimitError{What: "value", Key: key, Size: len(value), Max: MaxValue}
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("%w: %q under %q", ErrValue, value, key)
	}
	return nil
}

// checkTTL reports why a duration cannot be a time to live.
func checkTTL(key string, ttl time.Duration) error {
	if ttl < time.Millisecond || ttl > MaxTTL {
		return fmt.Errorf("%w: %v for %q", ErrTTL, ttl, key)
	}
	return nil
}
