package gossip

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someStamp() stamp {
	return stamp{lineage: lineage{generation: 3, run: runID{7}}, collected: 4, version: 300}
}

func someDelta() delta {
	return delta{name: "n2", stamp: someStamp(), from: 5, entries: []deltaEntry{
		{key: "raft/role", value: "leader", version: 7},
		{key: "gone", version: 9, deleted: true},
		{key: "short", version: 299, timed: true, ttl: 1500 * time.Millisecond},
	}}
}

func someMessages() []message {
	complete := delta{name: "n1", stamp: stamp{lineage: lineage{run: runID{1}}}}
	announcement := delta{name: "n9", stamp: someStamp(), from: 300}
	return []message{
		{kind: messageNews, cluster: UUID{1}, deltas: []delta{complete, someDelta(), announcement}},
		{kind: messageAnswer, deltas: []delta{someDelta()}},
		{kind: messageQuestion, sender: "n3", digest: digest{{"n1", stamp{}}, {"n2", someStamp()}}},
		{kind: messageDigest, sender: "n3", digest: digest{{"n2", someStamp()}}},
		{kind: messageSummary, sender: "n3", fingerprint: 1<<64 - 2},
	}
}

func someExchange() exchange {
	return exchange{
		cluster: UUID{2}, sender: "n1",
		departures: []departure{{name: "n4", run: runID{1}}, {name: strings.Repeat("x", maxName), run: runID{2}}},
		digest:     digest{{"n1", someStamp()}, {"n2", stamp{lineage: lineage{generation: maxGeneration}, collected: 1<<64 - 1, version: 1<<64 - 1}}},
	}
}

func TestMessagesComeBackAsTheyWereSent(t *testing.T) {
	for _, m := range someMessages() {
		got, err := decodeMessage(m.encode())
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v came back as %+v, %v", m, got, err)
		}
	}
	for _, x := range []exchange{someExchange(), {sender: "n1"}} {
		got, err := decodeExchange(x.encode())
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%+v came back as %+v, %v", x, got, err)
		}
	}
}

// TestTimeLeftIsNeverRoundedDown keeps a copy from losing a key before its
// owner.
func TestTimeLeftIsNeverRoundedDown(t *testing.T) {
	d := someDelta()
	d.entries[2].ttl = time.Millisecond + 1
	got, err := decodeMessage(message{kind: messageNews, deltas: []delta{d}}.encode())
	if err != nil || got.deltas[0].entries[2].ttl != 2*time.Millisecond {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAWholeStateFitsWhereItMust keeps the limits of a state and those of
// messages in step.
func TestAWholeStateFitsWhereItMust(t *testing.T) {
	d := delta{name: strings.Repeat("x", maxName), stamp: stamp{lineage: lineage{generation: maxGeneration}, collected: 1 << 62, version: 1<<64 - 1}}
	size := 0
	for i := range uint64(MaxKeys) {
		value := strings.Repeat("v", min(MaxValue, MaxState-size-EntryOverhead-2))
		e := deltaEntry{key: string([]byte{'a' + byte(i%26), 'a' + byte(i/26)}), value: value, version: 1<<63 + i, timed: true, ttl: MaxTTL}
		d.entries = append(d.entries, e)
		if size += len(e.key) + len(e.value) + EntryOverhead; size+EntryOverhead+2 > MaxState {
			break
		}
	}
	const head = 1 + maxName + 3*binary.MaxVarintLen64 + 8 + binary.MaxVarintLen64 + 1
	encoded := d.append(nil)
	if len(encoded) > MaxState+head {
		t.Errorf("a state of %d bytes takes %d, more than MaxState and a head of %d", size, len(encoded), head)
	}
	if _, err := decodeMessage(message{kind: messageAnswer, deltas: []delta{d}}.encode()); err != nil {
		t.Errorf("a state at its limits is refused: %v", err)
	}
	announcement := delta{name: d.name, stamp: d.stamp, from: d.version}
	if n := messageHead + len(announcement.append(nil)); n > maxNews {
		t.Errorf("the longest announcement takes %d bytes", n)
	}
	x := exchange{sender: d.name}
	for range maxMembers {
		x.departures = append(x.departures, departure{name: d.name})
		x.digest = append(x.digest, digestEntry{d.name, d.stamp})
	}
	if n := len(x.encode()); n > maxExchange {
		t.Errorf("the longest exchange takes %d bytes", n)
	}
}

func TestMessagesFromOutsideAreChecked(t *testing.T) {
	good := someMessages()[0].encode()
	with := func(alter func(d *delta)) []byte {
		d := someDelta()
		alter(&d)
		return message{kind: messageNews, deltas: []delta{d}}.encode()
	}
	entry := func(alter func(e *deltaEntry)) []byte { return with(func(d *delta) { alter(&d.entries[0]) }) }
	for what, b := range map[string][]byte{
		"nothing":                   nil,
		"cut short":                 good[:len(good)-1],
		"one byte too many":         append(bytes.Clone(good), 0),
		"another version":           append([]byte{messageVersion + 1}, good[1:]...),
		"another kind":              message{kind: 6}.encode(),
		"no kind":                   message{}.encode(),
		"too long":                  append(bytes.Clone(good), make([]byte, maxAnswer)...),
		"a huge count":              append(message{kind: messageNews}.encode()[:18], 255, 255, 255, 255, 15),
		"a longer form of a number": append(message{kind: messageNews}.encode()[:18], 0x80, 0),
		"names in disorder":         message{kind: messageNews, deltas: []delta{{name: "b"}, {name: "a"}}}.encode(),
		"a name twice":              message{kind: messageNews, deltas: []delta{{name: "a"}, {name: "a"}}}.encode(),
		"a strange name":            with(func(d *delta) { d.name = "a\nb" }),
		"an impossible generation":  with(func(d *delta) { d.generation = maxGeneration + 1 }),
		"a version beyond the last": with(func(d *delta) { d.collected, d.version = 1<<64-1, 3 }),
		"a start beyond the end":    with(func(d *delta) { d.from = d.version + 1; d.entries = nil }),
		"an entry beyond the stamp": with(func(d *delta) { d.version = 298 }),
		"versions that descend":     with(func(d *delta) { d.entries[1].version = 6 }),
		"one version twice":         with(func(d *delta) { d.entries[1].version = 7 }),
		"one key twice":             with(func(d *delta) { d.entries[1].key = "short" }),
		"a forgotten tombstone":     with(func(d *delta) { d.collected = 9 }),
		"no key":                    entry(func(e *deltaEntry) { e.key = "" }),
		"a strange key":             entry(func(e *deltaEntry) { e.key = "a b" }),
		"a long key":                entry(func(e *deltaEntry) { e.key = strings.Repeat("k", MaxKey+1) }),
		"a value that is no text":   entry(func(e *deltaEntry) { e.value = "\xff" }),
		"a value with escapes":      entry(func(e *deltaEntry) { e.value = "\x1b[2J" }),
		"a long value":              entry(func(e *deltaEntry) { e.value = strings.Repeat("v", MaxValue+1) }),
		"a long time to live":       entry(func(e *deltaEntry) { e.timed, e.ttl = true, MaxTTL+time.Millisecond }),
		"another form of key":       bytes.Replace(with(func(*delta) {}), []byte("gone\x02"), []byte("gone\x03"), 1),
		"too many keys": with(func(d *delta) {
			d.entries = nil
			for i := range uint64(MaxKeys + 1) {
				d.entries = append(d.entries, deltaEntry{key: string([]byte{'a', 'a' + byte(i%26), 'a' + byte(i/26)}), version: 10 + i})
			}
		}),
		"a state beyond the limit": with(func(d *delta) {
			d.entries = nil
			for i := range uint64(MaxState / MaxValue) {
				d.entries = append(d.entries, deltaEntry{key: string('a' + byte(i)), value: strings.Repeat("v", MaxValue), version: 10 + i})
			}
		}),
	} {
		if m, err := decodeMessage(b); err == nil {
			t.Errorf("%s: accepted as %+v", what, m)
		}
	}
}

func TestExchangesFromOutsideAreChecked(t *testing.T) {
	good := someExchange().encode()
	change := func(alter func(x *exchange)) []byte {
		x := someExchange()
		alter(&x)
		return x.encode()
	}
	departing := func(name string) []byte {
		return change(func(x *exchange) { x.departures = []departure{{name: name}} })
	}
	for what, b := range map[string][]byte{
		"nothing":                  nil,
		"cut short":                good[:len(good)-1],
		"one byte too many":        append(bytes.Clone(good), 0),
		"another version":          append([]byte{messageVersion + 1}, good[1:]...),
		"too long":                 append(bytes.Clone(good), make([]byte, maxExchange)...),
		"no sender":                change(func(x *exchange) { x.sender = "" }),
		"a huge count":             append(bytes.Clone(good[:20]), 255, 255, 3),
		"no name":                  departing(""),
		"a strange name":           departing("a\nb"),
		"a long name":              departing(strings.Repeat("x", maxName+1)),
		"names in disorder":        change(func(x *exchange) { x.digest[1].name = "n0" }),
		"an impossible generation": change(func(x *exchange) { x.digest[0].generation = maxGeneration + 1 }),
	} {
		if x, err := decodeExchange(b); err == nil {
			t.Errorf("%s: accepted as %+v", what, x)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range someMessages() {
		f.Add(m.encode())
	}
	f.Add([]byte{messageVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatalf("%x decodes to %+v, which encodes differently", b, m)
		}
		// Whatever it is, a server that hears it, twice, is none the worse.
		v := testView()
		meet(v, 2)
		for range 2 {
			v.receive(b)
			for _, r := range v.replicas {
				checkReplica(t, r)
			}
		}
		if len(v.news(maxNews)) > maxNews {
			t.Fatal("what it makes of it does not fit into a packet")
		}
	})
}

func FuzzExchange(f *testing.F) {
	f.Add(someExchange().encode())
	f.Add(exchange{sender: "n1"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeExchange(b)
		if err == nil && !bytes.Equal(x.encode(), b) {
			t.Fatalf("%x decodes to %+v, which encodes differently", b, x)
		}
		v := testView()
		meet(v, 2)
		v.mergeRemoteState(b)
		for range len(v.errands) {
			v.compose(<-v.errands)
		}
		checkReplica(t, v.replicas["n1"])
	})
}
