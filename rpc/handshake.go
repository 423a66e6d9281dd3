package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"balsa/raft"
)

// The dialling side begins with a hello of fixed size, all integers
// little-endian:
//
//	0   magic     4   "BLSA"
//	4   version   2
//	6   class     1
//	7   cluster  16   of the dialling node, zero if it has none yet
//	23  from      8   the dialling node
//	31  instance 16   of the dialling node
//	47  to        8   whom it means to reach, zero for "whoever is there"
//	55  checksum  4   CRC-32C of all before
//
// The accepting side answers:
//
//	0   magic     4
//	4   version   2
//	6   code      1   0 accepts, anything else is a RefusalCode
//	7   cluster  16   of the accepting node
//	23  node      8
//	31  instance 16
//	47  length    2   of the sentence, at most 512
//	49  sentence
//	    checksum  4   CRC-32C of all before
//
// The first six bytes of both, and the whole layout of the answer, stay as they
// are in every later version: that is what lets two versions tell each other
// that they do not fit.
const (
	protocolVersion = 1
	prefixSize      = 6
	helloSize       = 59
	answerSize      = 49 // without sentence and checksum
	checksumSize    = 4
)

var (
	magic      = [4]byte{'B', 'L', 'S', 'A'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// hello is what the dialling side says.
type hello struct {
	class class
	from  Identity
	to    raft.NodeID
}

func (h hello) encode() []byte {
	b := make([]byte, 0, helloSize)
	b = appendPrefix(b)
	b = append(b, byte(h.class))
	b = h.from.appendTo(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.to))
	return appendChecksum(b)
}

// decodeHello reads a hello whose prefix has been checked already.
func decodeHello(b []byte) (hello, *Refusal) {
	if len(b) != helloSize || !checksumMatches(b) {
		return hello{}, refuse(Malformed, "the greeting was damaged on its way; if this repeats, look for a faulty network device or proxy")
	}
	h := hello{
		class: class(b[6]),
		from:  decodeIdentity(b[7:]),
		to:    raft.NodeID(binary.LittleEndian.Uint64(b[47:])),
	}
	if h.from.Node == raft.None {
		return hello{}, refuse(Malformed, "the greeting carries no node ID; start the node with --id")
	}
	return h, nil
}

// answer is what the accepting side says.
type answer struct {
	code     RefusalCode
	from     Identity
	sentence string
}

func (a answer) encode() []byte {
	sentence := clip(a.sentence)
	b := make([]byte, 0, answerSize+len(sentence)+checksumSize)
	b = appendPrefix(b)
	b = append(b, byte(a.code))
	b = a.from.appendTo(b)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(sentence)))
	b = append(b, sentence...)
	return appendChecksum(b)
}

// readAnswer reads an answer. Its error is a [*Refusal] if something answered
// that is not a healthy balsa node, and an error of the reader otherwise.
func readAnswer(r io.Reader) (answer, error) {
	buf := make([]byte, answerSize+maxSentence+checksumSize)
	if _, err := io.ReadFull(r, buf[:prefixSize]); err != nil {
		return answer{}, err
	}
	if [4]byte(buf) != magic {
		return answer{}, refuse(NotBalsa, "what answered is not a balsa node's rpc port; check the address")
	}
	if _, err := io.ReadFull(r, buf[prefixSize:answerSize]); err != nil {
		return answer{}, err
	}
	length := int(binary.LittleEndian.Uint16(buf[47:]))
	if length > maxSentence {
		return answer{}, refuse(Malformed, "the answer to the greeting claims a sentence of %d bytes", length)
	}
	buf = buf[:answerSize+length+checksumSize]
	if _, err := io.ReadFull(r, buf[answerSize:]); err != nil {
		return answer{}, err
	}
	if !checksumMatches(buf) {
		return answer{}, refuse(Malformed, "the answer to the greeting was damaged on its way; if this repeats, look for a faulty network device or proxy")
	}
	return answer{
		code:     RefusalCode(buf[6]),
		from:     decodeIdentity(buf[7:]),
		sentence: printable(buf[answerSize : answerSize+length]),
	}, nil
}

func appendPrefix(b []byte) []byte {
	return binary.LittleEndian.AppendUint16(append(b, magic[:]...), protocolVersion)
}

func (id Identity) appendTo(b []byte) []byte {
	b = append(b, id.Cluster[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(id.Node))
	return append(b, id.Instance[:]...)
}

func decodeIdentity(b []byte) Identity {
	return Identity{
		Cluster:  [16]byte(b[:16]),
		Node:     raft.NodeID(binary.LittleEndian.Uint64(b[16:])),
		Instance: raft.InstanceID(b[24:40]),
	}
}

func appendChecksum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func checksumMatches(b []byte) bool {
	body := b[:len(b)-checksumSize]
	return crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[len(body):])
}

// greet is the dialling side of the handshake: it returns who is at the other
// end, if both sides are content. It takes no longer than ctx allows.
func (t *Transport) greet(ctx context.Context, nc net.Conn, c class, to raft.NodeID) (Identity, error) {
	interrupt := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	self := t.identity()
	a, err := exchangeHello(nc, hello{class: c, from: self, to: to})
	if !interrupt() {
		return Identity{}, ctx.Err()
	}
	if err != nil {
		return Identity{}, err
	}
	if a.code != accepted {
		return a.from, &Refusal{Code: a.code, Sentence: a.sentence, Peer: a.from}
	}
	r := t.judge(hello{class: c, from: a.from, to: self.Node}, self)
	if r == nil && to != raft.None && a.from.Node != to {
		r = refuse(WrongNode, "node %s answered at the address of %s; check the addresses of both", a.from.Node, to)
	}
	if r != nil {
		r.Peer = a.from
		t.decline(nc, r)
		return a.from, r
	}
	return a.from, nil
}

func exchangeHello(nc net.Conn, h hello) (answer, error) {
	if _, err := nc.Write(h.encode()); err != nil {
		return answer{}, err
	}
	a, err := readAnswer(nc)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return answer{}, errors.New("the peer closed the connection during the handshake")
	}
	return a, err
}

// receiveHello is the accepting side's first half. A Refusal goes back to the
// dialling side; any other error means that nobody is there to be told.
func receiveHello(r io.Reader) (hello, error) {
	buf := make([]byte, helloSize)
	if _, err := io.ReadFull(r, buf[:prefixSize]); err != nil {
		return hello{}, fmt.Errorf("no greeting arrived: %w", err)
	}
	if [4]byte(buf) != magic {
		return hello{}, refuse(NotBalsa, "this port speaks balsa's rpc protocol only; clients use the API port")
	}
	if v := binary.LittleEndian.Uint16(buf[4:]); v != protocolVersion {
		return hello{}, refuse(WrongVersion, "this node speaks version %d of the protocol, the other one %d; run the same release of balsa on both", protocolVersion, v)
	}
	if _, err := io.ReadFull(r, buf[prefixSize:]); err != nil {
		return hello{}, fmt.Errorf("only part of a greeting arrived: %w", err)
	}
	h, refusal := decodeHello(buf)
	if refusal != nil {
		return hello{}, refusal
	}
	return h, nil
}

// judge says what, if anything, keeps this node from talking to the one that
// greets. Both sides use it: the dialling side reads the answer as a greeting
// in the other direction.
func (t *Transport) judge(h hello, self Identity) *Refusal {
	if _, known := protocolOf(h.class); !known {
		return refuse(WrongVersion, "this node knows no connections of %s; run the same release of balsa on both", h.class)
	}
	switch {
	case h.from.Instance == self.Instance && h.from.Node == self.Node:
		return refuse(SelfConnection, "node %s has dialled its own address; give it the addresses of the others", self.Node)
	case h.from.Node == self.Node:
		return refuse(DuplicateID, "two nodes run with the ID %s; give each its own --id", self.Node)
	case h.to != raft.None && h.to != self.Node:
		return refuse(WrongNode, "this is node %s, not %s; check the addresses of both", self.Node, h.to)
	}
	founded := [16]byte{}
	switch {
	case h.class == classQuestion && (self.Cluster == founded || h.from.Cluster == founded):
		return nil
	case self.Cluster == founded || h.from.Cluster == founded:
		return refuse(WrongCluster, "node %s belongs to %s and node %s to %s; if it is just joining, this settles itself in a moment",
			self.Node, clusterName(self.Cluster), h.from.Node, clusterName(h.from.Cluster))
	case h.from.Cluster != self.Cluster:
		return refuse(WrongCluster, "node %s belongs to %s and node %s to %s; join them, or give one of them another data directory",
			self.Node, clusterName(self.Cluster), h.from.Node, clusterName(h.from.Cluster))
	case h.class == classQuestion:
		return nil
	}
	return t.admits(h.from)
}

// admits returns what the host has against a peer, if anything.
func (t *Transport) admits(peer Identity) *Refusal {
	if t.config.Admit == nil {
		return nil
	}
	if err := t.config.Admit(peer); err != nil {
		return asRefusal(err)
	}
	return nil
}
