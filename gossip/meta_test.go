package gossip

import (
	"bytes"
	"strings"
	"testing"
)

func fullMeta() meta {
	return meta{
		id: 7, instance: UUID{1, 2}, cluster: UUID{3, 4}, run: runID{5},
		rpcAddr: "node-7.example:21007", apiAddr: "[2001:db8::7]:3007", expect: 3,
	}
}

func TestMetaComesBackAsItWasSent(t *testing.T) {
	withoutAPI := fullMeta()
	withoutAPI.apiAddr, withoutAPI.cluster, withoutAPI.expect = "", UUID{}, 0
	for _, m := range []meta{fullMeta(), withoutAPI} {
		got, err := decodeMeta(m.encode())
		if err != nil || got != m {
			t.Errorf("%+v came back as %+v, %v", m, got, err)
		}
	}
}

func TestLongestMetaFitsIntoMemberlist(t *testing.T) {
	m := fullMeta()
	m.rpcAddr = strings.Repeat("a", MaxAddress-5) + ":1234"
	m.apiAddr = m.rpcAddr
	if err := m.validate(); err != nil {
		t.Fatal(err)
	}
	if n := len(m.encode()); n >= 512 {
		t.Errorf("the longest meta has %d bytes; memberlist panics above 512", n)
	}
	m.apiAddr += "5"
	if err := m.validate(); err == nil {
		t.Error("an address over the limit is accepted")
	}
}

func TestMetaFromOutsideIsChecked(t *testing.T) {
	good := fullMeta().encode()
	change := func(alter func(m *meta)) []byte {
		m := fullMeta()
		alter(&m)
		return m.encode()
	}
	for what, b := range map[string][]byte{
		"nothing":                 nil,
		"cut short":               good[:len(good)-1],
		"one byte too many":       append(bytes.Clone(good), 0),
		"another version":         append([]byte{metaVersion + 1}, good[1:]...),
		"no id":                   change(func(m *meta) { m.id = 0 }),
		"no instance":             change(func(m *meta) { m.instance = UUID{} }),
		"no RPC address":          change(func(m *meta) { m.rpcAddr = "" }),
		"no port":                 change(func(m *meta) { m.rpcAddr = "host" }),
		"port 0":                  change(func(m *meta) { m.rpcAddr = "host:0" }),
		"port 65536":              change(func(m *meta) { m.rpcAddr = "host:65536" }),
		"no host":                 change(func(m *meta) { m.rpcAddr = ":80" }),
		"the address of nobody":   change(func(m *meta) { m.rpcAddr = "0.0.0.0:80" }),
		"the same in IPv6":        change(func(m *meta) { m.apiAddr = "[::]:80" }),
		"a multicast address":     change(func(m *meta) { m.apiAddr = "224.0.0.1:80" }),
		"control characters":      change(func(m *meta) { m.apiAddr = "a\x1b[2Jb:80" }),
		"a length beyond the end": append(bytes.Clone(good[:50]), 255),
	} {
		if m, err := decodeMeta(b); err == nil {
			t.Errorf("%s: accepted as %+v", what, m)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(fullMeta().encode())
	f.Add([]byte{})
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), b) {
			t.Fatalf("%x decodes to %+v, which encodes differently", b, m)
		}
		if err := m.validate(); err != nil {
			t.Fatalf("decoded %+v is invalid: %v", m, err)
		}
	})
}
