package gossip

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// Servers tell each other about states in two ways: by small messages that
// memberlist carries along in its packets or that are sent to one server, and by
// the extra payload of memberlist's push/pull exchanges.

// messageVersion begins a message and an exchange. Bytes of another version are
// not looked at any further.
const messageVersion = 2

// messageKind says what a message is for.
type messageKind byte

const (
	// messageNews carries deltas that are news to the sender, too, to whoever
	// happens to hear.
	messageNews messageKind = iota + 1
	// messageAnswer carries deltas that the receiver lacks.
	messageAnswer
	// messageQuestion carries the stamps of copies that the sender knows to be
	// behind. The receiver answers those that it has more of.
	messageQuestion
	// messageSummary carries a fingerprint of all stamps. If the receiver's is
	// another one, it sends its digest.
	messageSummary
	// messageDigest carries all stamps. The receiver answers what the sender
	// lacks, and asks for what it lacks itself.
	messageDigest
)

// Limits of what is accepted from the network, in bytes. A packet of memberlist
// has 1400 of them; news leaves enough for its framing and encryption.
const (
	maxNews     = 1000
	maxAnswer   = 256 << 10
	maxExchange = 512 << 10
)

// message is what NotifyMsg receives.
type message struct {
	kind        messageKind
	cluster     UUID
	deltas      []delta // of news and answers, in ascending order of name
	sender      string  // of all others
	digest      digest  // of questions and digests
	fingerprint uint64  // of summaries
}

// digest lists copies and their stamps, in ascending order of name. A stamp of
// zero is that of a copy that its holder does not have.
type digest []digestEntry

type digestEntry struct {
	name string
	stamp
}

// exchange is the payload of a push/pull exchange. Each side sees from the
// digest what the other lacks, and sends it that. A digest is much smaller than
// the states, and both sides mostly have the same ones.
type exchange struct {
	cluster    UUID
	sender     string
	departures []departure
	digest     digest
}

// messageHead is the length of a message without its deltas: version, kind,
// cluster and the number of deltas.
const messageHead = 1 + 1 + 16 + 2

// encode returns
//
//	0   version   1
//	1   kind      1
//	2   cluster   16
//	18  news, answer: number of deltas, then each of them
//	    question, digest: the sender's name, the digest
//	    summary: the sender's name, the fingerprint in 8 bytes
//
// Numbers without a length here are as in encoding/binary's AppendUvarint, and a
// name or key is 1 byte for its length, then the text.
func (m message) encode() []byte {
	b := append(make([]byte, 0, 256), messageVersion, byte(m.kind))
	b = append(b, m.cluster[:]...)
	switch m.kind {
	case messageQuestion, messageDigest:
		return m.digest.append(appendText(b, m.sender))
	case messageSummary:
		return binary.LittleEndian.AppendUint64(appendText(b, m.sender), m.fingerprint)
	}
	b = binary.AppendUvarint(b, uint64(len(m.deltas)))
	for _, d := range m.deltas {
		b = d.append(b)
	}
	return b
}

// decodeMessage is the inverse of encode. The bytes come from whoever can reach
// the gossip port, so everything is checked, and nothing is allocated that the
// message's own length does not pay for.
func decodeMessage(b []byte) (message, error) {
	r := reader{rest: b}
	if len(b) > maxAnswer {
		r.fail("a message of %d bytes, at most %d are possible", len(b), maxAnswer)
	}
	r.version()
	m := message{kind: messageKind(r.byte())}
	copy(m.cluster[:], r.take(len(m.cluster)))
	switch m.kind {
	case messageNews, messageAnswer:
		for range r.upTo(maxMembers, "the number of states") {
			d := r.delta()
			if n := len(m.deltas); n > 0 && d.name <= m.deltas[n-1].name {
				r.fail("the states are not in order")
			}
			if r.err != nil {
				break
			}
			m.deltas = append(m.deltas, d)
		}
	case messageQuestion, messageDigest:
		m.sender = r.name()
		m.digest = r.digest()
	case messageSummary:
		m.sender = r.name()
		if b := r.take(8); b != nil {
			m.fingerprint = binary.LittleEndian.Uint64(b)
		}
	default:
		r.fail("a message of kind %d", m.kind)
	}
	if err := r.end(); err != nil {
		return message{}, err
	}
	return m, nil
}

// encode returns
//
//	0   version     1
//	1   cluster     16
//	17  the sender's name
//	..  number of departures, each: name, run (8 bytes)
//	..  the digest: number of entries, each: name, stamp
func (x exchange) encode() []byte {
	b := append(make([]byte, 0, 64+32*len(x.digest)), messageVersion)
	b = append(b, x.cluster[:]...)
	b = appendText(b, x.sender)
	b = binary.AppendUvarint(b, uint64(len(x.departures)))
	for _, d := range x.departures {
		b = append(appendText(b, d.name), d.run[:]...)
	}
	return x.digest.append(b)
}

// decodeExchange is the inverse of encode.
func decodeExchange(b []byte) (exchange, error) {
	r := reader{rest: b}
	if len(b) > maxExchange {
		r.fail("an exchange of %d bytes, at most %d are possible", len(b), maxExchange)
	}
	r.version()
	var x exchange
	copy(x.cluster[:], r.take(len(x.cluster)))
	x.sender = r.name()
	for range r.upTo(maxMembers, "the number of departures") {
		d := departure{name: r.name()}
		copy(d.run[:], r.take(len(d.run)))
		if r.err != nil {
			break
		}
		x.departures = append(x.departures, d)
	}
	x.digest = r.digest()
	if err := r.end(); err != nil {
		return exchange{}, err
	}
	return x, nil
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != messageVersion {
		r.fail("it is of version %d, this program speaks version %d; run the same version of balsa on all servers", v, messageVersion)
	}
}

func (r *reader) name() string {
	name := r.text()
	if r.err == nil {
		if err := checkName(name); err != nil {
			r.failWith(err)
		}
	}
	return name
}

func (g digest) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(g)))
	for _, e := range g {
		b = e.stamp.append(appendText(b, e.name))
	}
	return b
}

// fingerprint returns a number that is the same for equal digests, and for
// others hardly ever.
func (g digest) fingerprint() uint64 {
	h := fnv.New64a()
	h.Write(g.append(nil))
	return h.Sum64()
}

func (r *reader) digest() digest {
	var g digest
	for range r.upTo(maxMembers, "the number of stamps") {
		e := digestEntry{name: r.name(), stamp: r.stamp()}
		if n := len(g); n > 0 && e.name <= g[n-1].name {
			r.fail("the stamps are not in order")
		}
		if r.err != nil {
			return nil
		}
		g = append(g, e)
	}
	return g
}

// append writes the generation, the run in 8 bytes, collected, and by how much
// the version exceeds it.
func (s stamp) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.generation)
	b = append(b, s.run[:]...)
	b = binary.AppendUvarint(b, s.collected)
	return binary.AppendUvarint(b, s.version-s.collected)
}

func (r *reader) stamp() stamp {
	var s stamp
	s.generation = r.upTo(maxGeneration, "the generation")
	copy(s.run[:], r.take(len(s.run)))
	s.collected = r.number()
	s.version = r.after(s.collected)
	return s
}

// The forms of a deltaEntry.
const (
	entryForever   = 0
	entryTimed     = 1
	entryTombstone = 2
)

// append writes name, stamp, from, and the number of entries, each of them as
//
//	key
//	form  1
//	by how much its version exceeds the previous one, or from
//	value, after its length, unless it is a tombstone
//	milliseconds left to live, if it is timed
func (d delta) append(b []byte) []byte {
	b = d.stamp.append(appendText(b, d.name))
	b = binary.AppendUvarint(b, d.from)
	b = binary.AppendUvarint(b, uint64(len(d.entries)))
	previous := d.from
	for _, e := range d.entries {
		b = append(appendText(b, e.key), e.form())
		b = binary.AppendUvarint(b, e.version-previous)
		previous = e.version
		if e.deleted {
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(e.value)))
		b = append(b, e.value...)
		if e.timed {
			// Rounded up, so that a copy never loses a key before its owner.
			b = binary.AppendUvarint(b, uint64((e.ttl+time.Millisecond-1)/time.Millisecond))
		}
	}
	return b
}

func (e deltaEntry) form() byte {
	switch {
	case e.deleted:
		return entryTombstone
	case e.timed:
		return entryTimed
	}
	return entryForever
}

// delta reads a delta and checks that its owner could have written it: a state
// within the limits, whose versions fit the stamp.
func (r *reader) delta() delta {
	d := delta{name: r.name(), stamp: r.stamp()}
	d.from = r.upTo(d.version, "the version that a delta starts from")
	count := r.upTo(MaxKeys, "the number of keys")
	seen := make(map[string]bool, count)
	previous, size := d.from, 0
	for range count {
		e := r.entry(previous)
		if r.err == nil && (e.version == previous || e.version > d.version || seen[e.key] || e.deleted && e.version <= d.collected) {
			r.fail("the versions of a state contradict each other")
		}
		size += len(e.key) + len(e.value) + EntryOverhead
		if size > MaxState {
			r.fail("a state of more than %d bytes", MaxState)
		}
		if r.err != nil {
			return delta{}
		}
		seen[e.key], previous = true, e.version
		d.entries = append(d.entries, e)
	}
	return d
}

func (r *reader) entry(previous uint64) deltaEntry {
	e := deltaEntry{key: r.text()}
	form := r.byte()
	e.version = r.after(previous)
	switch form {
	case entryTombstone:
		e.deleted = true
	case entryForever, entryTimed:
		e.value = string(r.take(int(r.upTo(MaxValue, "the length of a value"))))
		if form == entryTimed {
			e.timed = true
			e.ttl = time.Duration(r.upTo(uint64(MaxTTL/time.Millisecond), "the time to live")) * time.Millisecond
		}
	default:
		r.fail("a key of form %d", form)
	}
	if r.err != nil {
		return deltaEntry{}
	}
	if err := (change{key: e.key, value: e.value}).check(); err != nil {
		r.failWith(err)
	}
	return e
}

func appendText(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}
