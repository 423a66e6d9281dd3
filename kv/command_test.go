package kv

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestCommandsSurviveTheirEncoding(t *testing.T) {
	longest := strings.Repeat("k", MaxKey)
	for _, c := range []command{
		put("a", "x"), put("a", ""), put(longest, strings.Repeat("v", 1<<20)), put("\x00\xff", "\x00"),
		del("a"), del(longest),
		cas("a", 0, "x"), cas("a", math.MaxUint64, ""), cas(longest, 7, "x"),
		cad("a", 0), cad(longest, 1<<63),
	} {
		got, err := decodeCommand(c.encode())
		if err != nil {
			t.Errorf("%d %.10q: %v", c.kind, c.key, err)
			continue
		}
		if got.kind != c.kind || got.expected != c.expected ||
			!bytes.Equal(got.key, c.key) || !bytes.Equal(got.value, c.value) {
			t.Errorf("%.40v came back as %.40v", c, got)
		}
	}
}

func TestDecoderRefusesWhatNoEncoderWrites(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                    {},
		"kind only":                  {1},
		"half a key size":            {1, 1},
		"kind zero":                  {0, 1, 0, 'a'},
		"a kind of a later version":  {5, 1, 0, 'a'},
		"kind 255":                   {255, 1, 0, 'a'},
		"empty key":                  {1, 0, 0, 'v'},
		"key longer than the rest":   {1, 2, 0, 'a'},
		"key over the limit":         append([]byte{1, 1, 0x10}, make([]byte, MaxKey+1)...),
		"largest key size":           {1, 0xff, 0xff, 'a'},
		"delete with a value":        {2, 1, 0, 'a', 'v'},
		"expected revision missing":  {3, 1, 0, 'a'},
		"expected revision cut":      {3, 1, 0, 'a', 1, 2, 3, 4, 5, 6, 7},
		"compare-and-delete, cut":    {4, 1, 0, 'a', 1, 2, 3, 4, 5, 6, 7},
		"compare-and-delete, longer": {4, 1, 0, 'a', 1, 2, 3, 4, 5, 6, 7, 8, 9},
	} {
		if c, err := decodeCommand(b); !errors.Is(err, errNotUnderstood) {
			t.Errorf("%s: decoded as %+v, error %v", name, c, err)
		}
	}
}

// Every command has exactly one encoding, and no bytes make the decoder panic
// or allocate.
func FuzzDecodeCommand(f *testing.F) {
	for _, c := range []command{put("a", "x"), del("a"), cas("a", 3, "x"), cad("a", 3)} {
		f.Add(c.encode())
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCommand(b)
		if err != nil {
			if !reflect.DeepEqual(c, command{}) {
				t.Fatalf("%x is refused and yields %+v", b, c)
			}
			return
		}
		if len(c.key) == 0 || len(c.key) > MaxKey {
			t.Fatalf("%x has a key of %d bytes", b, len(c.key))
		}
		if again := c.encode(); !bytes.Equal(again, b) {
			t.Fatalf("%x encodes as %x", b, again)
		}
	})
}

func TestOutcomesSurviveTheirEncoding(t *testing.T) {
	for _, o := range []outcome{
		applied(1), deleted(math.MaxUint64), conflict(0), conflict(9),
		{code: outcomeNotUnderstood}, {code: outcomeNotLeader}, {code: outcomeNotLeader, leader: 3},
		{code: outcomeDropped}, {code: outcomeBusy}, {code: outcomeUnknown}, {code: outcomeStopped},
	} {
		if got, err := decodeOutcome(o.encode()); err != nil || got != o {
			t.Errorf("%+v came back as %+v, error %v", o, got, err)
		}
	}
}

func FuzzDecodeOutcome(f *testing.F) {
	f.Add(deleted(7).encode())
	f.Add(conflict(0).encode())
	f.Add(outcome{code: outcomeNotLeader, leader: 2}.encode())
	f.Add(outcome{}.encode())
	f.Add(append(applied(7).encode(), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeOutcome(b)
		if err != nil {
			return
		}
		if again := o.encode(); !bytes.Equal(again, b) {
			t.Fatalf("%x encodes as %x", b, again)
		}
		// Whatever a peer says must come out as a result or as an error.
		if r, err := o.result(put("k", "v")); err == nil && (o.code != outcomeApplied || r.Revision == 0) {
			t.Fatalf("%+v counts as success: %+v", o, r)
		}
	})
}
