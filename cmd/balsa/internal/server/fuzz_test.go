package server

import (
	"strings"
	"testing"
	"unicode"

	"balsa/gossip"
)

// FuzzUUID: another node may put anything into a request that it passes on. A
// UUID is read as what it is written from, and nothing else is one.
func FuzzUUID(f *testing.F) {
	for _, text := range []string{
		"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c02", "9F0B4C9E54D44F5A8A550A7F6D3F0C02", "", "9f0b", "zz",
		strings.Repeat("0", 40), strings.Repeat("-", 36),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseUUID(text)
		if err != nil {
			return
		}
		want := strings.ToLower(strings.ReplaceAll(text, "-", ""))
		if got := strings.ReplaceAll(gossip.UUID(id).String(), "-", ""); got != want {
			t.Errorf("%q is read as %s", text, gossip.UUID(id))
		}
	})
}

// FuzzOneSentence: text of another node is shown as one line of what can be
// printed, and not at any length.
func FuzzOneSentence(f *testing.F) {
	f.Add("a plain reason")
	f.Add("two\nlines\x1b[2J")
	f.Add(strings.Repeat("ü", maxReason))
	f.Fuzz(func(t *testing.T, text string) {
		got := oneSentence(text)
		if strings.ContainsFunc(got, func(c rune) bool { return !unicode.IsPrint(c) }) || len(got) > maxReason {
			t.Errorf("%q is shown as %q", text, got)
		}
	})
}
