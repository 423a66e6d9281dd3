package raft

import (
	"encoding/binary"
	"fmt"
)

// messageKind is the first byte of an encoded message. The numbers are part of
// the wire format: a new kind gets a new number, none is ever used again.
type messageKind uint8

const (
	kindRequestVote        messageKind = 1
	kindRequestVoteReply   messageKind = 2
	kindAppendEntries      messageKind = 3
	kindAppendEntriesReply messageKind = 4
	kindReadIndex          messageKind = 5
	kindReadIndexReply     messageKind = 6
	kindInstallSnapshot    messageKind = 7
	kindTimeoutNow         messageKind = 8
)

// messageHeader is kind, from, to and term.
const messageHeader = 1 + 8 + 8 + 8

// Size is the length of the encoded message, in bytes, or a little more.
func (m Message) Size() int {
	const largestFixedBody = 53
	size := messageHeader + largestFixedBody
	switch b := m.Body.(type) {
	case *AppendEntries:
		size += entriesSize(b.Entries)
	case *InstallSnapshot:
		size += b.Snapshot.Configuration.Configuration.size()
	}
	return size
}

// AppendTo appends the message's binary form to buf and returns it. Integers
// are little-endian and of fixed width; entries go as their own encoding.
func (m Message) AppendTo(buf []byte) []byte {
	buf = append(buf, byte(m.Body.kind()))
	buf = putUint64(buf, uint64(m.From), uint64(m.To), uint64(m.Term))
	switch b := m.Body.(type) {
	case *RequestVote:
		buf = append(buf, flags(b.PreVote, b.Transfer))
		buf = putUint64(buf, uint64(b.LastLog.Term), uint64(b.LastLog.Index))
	case *RequestVoteReply:
		buf = append(buf, flags(b.PreVote, b.Granted))
	case *AppendEntries:
		buf = append(buf, flags(b.Lease))
		buf = putUint64(buf, uint64(b.Prev.Term), uint64(b.Prev.Index), uint64(b.LeaderCommit), b.Round,
			uint64(b.Match.Term), uint64(b.Match.Index))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(b.Entries)))
		for i := range b.Entries {
			buf = append(buf, b.Entries[i].encoded...)
		}
	case *AppendEntriesReply:
		buf = append(buf, flags(b.Success, b.Lost))
		buf = putUint64(buf, uint64(b.MatchIndex), b.Round,
			uint64(b.RejectedPrev), uint64(b.Hint.Term), uint64(b.Hint.Index))
	case *ReadIndex:
		buf = append(buf, flags(b.Lease))
		buf = putUint64(buf, b.ID)
	case *ReadIndexReply:
		buf = putUint64(buf, b.ID, uint64(b.Index))
	case *InstallSnapshot:
		buf = b.Snapshot.AppendTo(buf)
	case *TimeoutNow:
	}
	return buf
}

// DecodeMessage reads a message that fills b exactly. It allocates no more than
// a small multiple of len(b), whatever the bytes claim, and the entries of the
// message alias b: whoever calls must leave b alone from then on. Every error
// wraps [ErrCorrupt].
func DecodeMessage(b []byte) (Message, error) {
	d := decoder{rest: b}
	kind := messageKind(d.byte())
	m := Message{From: NodeID(d.uint64()), To: NodeID(d.uint64()), Term: Term(d.uint64())}
	switch kind {
	case kindRequestVote:
		b := new(RequestVote)
		d.flags(&b.PreVote, &b.Transfer)
		b.LastLog = d.entryID()
		m.Body = b
	case kindRequestVoteReply:
		b := new(RequestVoteReply)
		d.flags(&b.PreVote, &b.Granted)
		m.Body = b
	case kindAppendEntries:
		b := new(AppendEntries)
		d.flags(&b.Lease)
		b.Prev, b.LeaderCommit, b.Round = d.entryID(), Index(d.uint64()), d.uint64()
		b.Match = d.entryID()
		b.Entries = d.entries(b.Prev)
		m.Body = b
	case kindAppendEntriesReply:
		b := new(AppendEntriesReply)
		d.flags(&b.Success, &b.Lost)
		b.MatchIndex, b.Round = Index(d.uint64()), d.uint64()
		b.RejectedPrev, b.Hint = Index(d.uint64()), d.entryID()
		m.Body = b
	case kindReadIndex:
		b := new(ReadIndex)
		d.flags(&b.Lease)
		b.ID = d.uint64()
		m.Body = b
	case kindReadIndexReply:
		m.Body = &ReadIndexReply{ID: d.uint64(), Index: Index(d.uint64())}
	case kindInstallSnapshot:
		m.Body = &InstallSnapshot{Snapshot: d.snapshot()}
	case kindTimeoutNow:
		m.Body = &TimeoutNow{}
	default:
		d.fail("unknown message kind %d", kind)
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes follow the message", len(d.rest))
	}
	if d.err == nil && (m.From == None || m.To == None) {
		d.fail("message from %s to %s", m.From, m.To)
	}
	if d.err != nil {
		return Message{}, d.err
	}
	return m, nil
}

// entries reads a count and that many entries. They must continue prev without
// a gap and with terms that never decrease, as every log does: a message that
// was put together wrongly is stopped here and not in somebody's log.
func (d *decoder) entries(prev EntryID) []Entry {
	count := d.uint32()
	if most := len(d.rest) / EntryOverhead; int64(count) > int64(most) {
		d.fail("message claims %d entries, has room for %d", count, most)
	}
	if d.err != nil || count == 0 {
		return nil
	}
	entries := make([]Entry, 0, count)
	for range count {
		e, rest, err := DecodeEntry(d.rest)
		if err != nil {
			d.err = err
			return nil
		}
		if e.Index != prev.Index+1 || e.Term < prev.Term {
			d.fail("entry %s follows %s", e.ID(), prev)
			return nil
		}
		if e.Kind == EntryConfiguration {
			if _, err := DecodeConfiguration(e.Data); err != nil {
				d.err = err
				return nil
			}
		}
		prev, d.rest = e.ID(), rest
		entries = append(entries, e)
	}
	return entries
}

// decoder reads from the front of a slice. After the first error it returns
// zeros, so that a caller can check once, at the end.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

func (d *decoder) take(n int) []byte {
	if d.err == nil && len(d.rest) < n {
		d.fail("need %d more bytes, have %d", n, len(d.rest))
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) entryID() EntryID {
	term := Term(d.uint64())
	return EntryID{Term: term, Index: Index(d.uint64())}
}

// flags reads as many booleans, the lowest bit first. Bits that no encoder sets
// are an error, so that every message has exactly one encoding.
func (d *decoder) flags(bits ...*bool) {
	b := d.byte()
	if b>>len(bits) != 0 {
		d.fail("unknown flags %#x", b)
	}
	for i, bit := range bits {
		*bit = b>>i&1 != 0
	}
}

func flags(bits ...bool) byte {
	var b byte
	for i, bit := range bits {
		if bit {
			b |= 1 << i
		}
	}
	return b
}

func putUint64(buf []byte, values ...uint64) []byte {
	for _, v := range values {
		buf = binary.LittleEndian.AppendUint64(buf, v)
	}
	return buf
}
