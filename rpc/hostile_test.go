package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// quick makes a node impatient, for tests in which somebody stays silent.
func quick(c *Config) {
	c.Limits.Handshake, c.Limits.Stall = 200*time.Millisecond, 200*time.Millisecond
	c.Limits.SnapshotStall = 200 * time.Millisecond
}

// healthyPair is two nodes that talk, and a check that they still do, over the
// connection that they had.
func healthyPair(t *testing.T, adjust ...func(*Config)) (victim *testNode, stillFine func()) {
	d := newDirectory()
	victim = start(t, d, 1, &host{}, adjust...)
	other := start(t, d, 2, &host{})
	sendUntil(t, other, victim, 1)
	return victim, func() {
		t.Helper()
		sendUntil(t, other, victim, uint64(time.Now().UnixNano()))
		if n := other.Stats().Peers[1].Connections; n != 1 {
			t.Errorf("the healthy peer had to connect %d times", n)
		}
	}
}

// rawFrame makes a frame by hand: any kind around any body.
func rawFrame(kind frameKind, sequence uint64, body []byte) []byte {
	b := append(make([]byte, frameHeader), body...)
	b[8] = byte(kind)
	binary.LittleEndian.PutUint64(b[9:], sequence)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func TestBadBytesEndTheConnectionAndNothingElse(t *testing.T) {
	// Only where the peer falls silent may it be the silence that ends it.
	hasty, hastyStillFine := healthyPair(t, quick)
	patient, patientStillFine := healthyPair(t, func(c *Config) { c.Limits.Stall, c.Limits.SnapshotStall = time.Hour, time.Hour })
	good := mustFrame(t, frameDeliver, 1, &batch{numbered(3, 1, 7)})
	flipped := slices.Clone(good)
	flipped[len(flipped)-1] ^= 1
	claim := func(n uint32) []byte {
		b := make([]byte, frameHeader)
		binary.LittleEndian.PutUint32(b, n)
		b[8] = byte(frameDeliver)
		return b
	}
	offered := offerOf(3, 1, 5)
	nothing := func(*node.SnapshotOffer) {}
	offer := func(adjust func(*node.SnapshotOffer)) []byte {
		o := offered
		adjust(&o)
		return mustFrame(t, frameOffer, 1, &o)
	}
	chunk := func(id node.SnapshotID) []byte {
		return mustFrame(t, frameChunk, 1, &piece{ID: id, Chunk: node.Chunk{Data: make([]byte, 100)}})
	}
	claimOf := func(kind frameKind, body uint32) []byte {
		b := claim(body + frameFixed)
		b[8] = byte(kind)
		return b
	}
	deliver := func(m raft.Message) []byte { return mustFrame(t, frameDeliver, 1, &batch{m}) }

	for _, tt := range []struct {
		name  string
		class class
		send  []byte
	}{
		{"garbage", classRaft, bytes.Repeat([]byte{0xa5}, 4096)},
		{"zeros", classRaft, make([]byte, 4096)},
		{"a length over the limit", classRaft, claim(MaxMessage + frameFixed + 1)},
		{"the largest possible number", classRaft, claim(1<<32 - 1)},
		{"the largest allowed length and then silence", classRaft, claim(MaxMessage + frameFixed)},
		{"half a header and then silence", classRaft, good[:9]},
		{"half a frame and then silence", classRaft, good[:len(good)-4]},
		{"a wrong checksum", classRaft, flipped},
		{"the kind of a reply", classRaft, rawFrame(frameDelivered, 1, nil)},
		{"the kind of another class", classRaft, mustFrame(t, frameExecute, 1, &command{})},
		{"an unknown kind", classRaft, rawFrame(99, 1, nil)},
		{"an empty batch", classRaft, rawFrame(frameDeliver, 1, nil)},
		{"a batch with a short tail", classRaft, rawFrame(frameDeliver, 1, []byte{1, 0})},
		{"a batch of empty messages", classRaft, rawFrame(frameDeliver, 1, make([]byte, 4000))},
		{"a message longer than its batch", classRaft, rawFrame(frameDeliver, 1, append([]byte{200, 0, 0, 0}, make([]byte, 40)...))},
		{"a message that does not decode", classRaft, rawFrame(frameDeliver, 1, append([]byte{40, 0, 0, 0}, make([]byte, 40)...))},
		{"a message in another's name", classRaft, deliver(numbered(2, 1, 666))},
		{"a message for somebody else", classRaft, deliver(numbered(3, 2, 666))},
		{"a command without a timeout", classCommands, rawFrame(frameExecute, 1, []byte{1, 2, 3})},
		{"a question over the limit", classQuestion, rawFrame(frameQuestion, 1, make([]byte, MaxQuestion+1))},
		{"silence instead of a question", classQuestion, nil},
		{"a refusal without a code", classRaft, rawFrame(frameRefusal, 0, []byte{0, 'n', 'o'})},
		{"an empty refusal", classRaft, rawFrame(frameRefusal, 0, nil)},
		{"a refusal over the limit", classRaft, rawFrame(frameRefusal, 0, make([]byte, maxRefusal+1))},
		{"garbage for a snapshot", classSnapshot, bytes.Repeat([]byte{0xa5}, 4096)},
		{"silence for a snapshot", classSnapshot, nil},
		{"messages for a snapshot", classSnapshot, good},
		{"an offer over the limit", classSnapshot, claimOf(frameOffer, maxOffer+1)},
		{"an offer without a configuration", classSnapshot, rawFrame(frameOffer, 1, make([]byte, offerHeader+24))},
		{"an offer that is too short", classSnapshot, rawFrame(frameOffer, 1, make([]byte, offerHeader-1))},
		{"an offer and something behind it", classSnapshot, rawFrame(frameOffer, 1, append(appendOffer(nil, &offered), 0))},
		{"an offer in another's name", classSnapshot, offer(func(o *node.SnapshotOffer) { o.From = 2 })},
		{"an offer for somebody else", classSnapshot, offer(func(o *node.SnapshotOffer) { o.To = 2 })},
		{"a chunk before any offer", classSnapshot, chunk(offered.ID)},
		{"the end before any offer", classSnapshot, mustFrame(t, frameFinish, 1, &offered.ID)},
		{"a chunk of a snapshot that was not offered", classSnapshot, append(offer(nothing), chunk(node.SnapshotID{1})...)},
		{"the end of a snapshot that was not offered", classSnapshot, append(offer(nothing), mustFrame(t, frameFinish, 1, &node.SnapshotID{1})...)},
		{"two offers on one connection", classSnapshot, append(offer(nothing), offer(func(o *node.SnapshotOffer) { o.ID[0]++ })...)},
		{"the same offer twice", classSnapshot, append(offer(nothing), offer(nothing)...)},
		{"a chunk without a head", classSnapshot, append(offer(nothing), rawFrame(frameChunk, 1, make([]byte, pieceHeader-1))...)},
		{"a chunk that may or may not be the last", classSnapshot, append(offer(nothing), rawFrame(frameChunk, 1, bytes.Repeat([]byte{2}, pieceHeader))...)},
		{"a chunk over the limit", classSnapshot, append(offer(nothing), claimOf(frameChunk, pieceHeader+node.MaxChunk+1)...)},
		{"the largest allowed chunk and then silence", classSnapshot, append(offer(nothing), claimOf(frameChunk, pieceHeader+node.MaxChunk)...)},
		{"half a chunk and then silence", classSnapshot, append(offer(nothing), chunk(offered.ID)[:40]...)},
		{"an end with a long ID", classSnapshot, append(offer(nothing), rawFrame(frameFinish, 1, make([]byte, snapshotIDSize+1))...)},
		{"a verdict", classSnapshot, rawFrame(frameVerdict, 1, []byte{0})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			victim, stillFine := patient, patientStillFine
			if strings.Contains(tt.name, "silence") {
				victim, stillFine = hasty, hastyStillFine
			}
			before := victim.Stats().RefusedConnections
			c := rawHello(t, victim.addr, hello{class: tt.class, from: identityOf(3), to: 1})
			c.send(tt.send)
			if !c.isCutOff() {
				t.Fatal("the connection is still open")
			}
			eventually(t, "it is counted", func() bool { return victim.Stats().RefusedConnections == before+1 })
			stillFine()
		})
	}
	for _, victim := range []*testNode{hasty, patient} {
		if victim.host.has(7) || victim.host.has(666) {
			t.Error("a bad message was delivered")
		}
		if n := victim.host.taken(); n != 0 {
			t.Errorf("%d bad chunks were taken", n)
		}
	}
}

func TestSilentStrangersAreCutOff(t *testing.T) {
	victim, stillFine := healthyPair(t, quick)
	greeting := hello{class: classRaft, from: identityOf(3), to: 1}.encode()
	for _, said := range [][]byte{nil, greeting[:1], greeting[:prefixSize], greeting[:helloSize-1]} {
		c := rawDial(t, victim.addr)
		c.send(said)
		if !c.isCutOff() {
			t.Errorf("a stranger who said %d bytes is still connected", len(said))
		}
		stillFine()
	}
}

func TestAClaimedLengthCostsNoMemory(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Connections = 1000 })
	claim := make([]byte, frameHeader)
	binary.LittleEndian.PutUint32(claim, MaxMessage+frameFixed)
	claim[8] = byte(frameDeliver)

	const attackers = 50
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range attackers {
		c := rawHello(t, a.addr, hello{class: classRaft, from: identityOf(raft.NodeID(10 + i)), to: 1})
		c.send(claim)
	}
	eventually(t, "all attackers are connected", func() bool { return a.Stats().Connections == attackers })
	runtime.ReadMemStats(&after)
	const perAttacker = firstStep + 64<<10 + 32<<10 // first step, read buffer, and all the rest
	if grown := after.TotalAlloc - before.TotalAlloc; grown > attackers*perAttacker {
		t.Errorf("%d claims of %d bytes made the process allocate %d bytes, at most %d are allowed",
			attackers, MaxMessage, grown, attackers*perAttacker)
	}
}

func TestMemoryOfALargeFrameGrowsWithWhatArrives(t *testing.T) {
	const claimed = MaxMessage
	r := &frameReader{limits: anyFrame, stall: time.Hour, conn: neverLate{}}
	for _, arrived := range []int{0, 1000, firstStep, 1 << 20, 5 << 20} {
		frame := make([]byte, frameHeader+arrived)
		binary.LittleEndian.PutUint32(frame, claimed+frameFixed)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r.buf = newBuffer(frame)
		_, err := r.next()
		runtime.ReadMemStats(&after)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v", arrived, err)
		}
		// Doubling allocates at most four times what arrived, and one step.
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(4*arrived+firstStep+16<<10) {
			t.Errorf("%d bytes of a claimed %d made the reader allocate %d", arrived, claimed, grown)
		}
	}
}

func TestStrangersThatSayNothingCannotKeepAPeerOut(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Handshakes = 4 })
	var strangers []*rawConn
	for range 20 {
		strangers = append(strangers, rawDial(t, a.addr))
	}
	b := start(t, d, 2, &host{})
	sendUntil(t, b, a, 1)
	for _, s := range strangers[:15] {
		if !s.isCutOff() {
			t.Error("an early stranger is still connected")
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Connections, c.Limits.ConnectionsPerPeer = 5, 2 })
	dial := func(id raft.NodeID, c class) (*rawConn, RefusalCode) {
		conn := rawDial(t, a.addr)
		conn.send(hello{class: c, from: identityOf(id), to: 1}.encode())
		got, err := readAnswer(conn)
		if err != nil {
			t.Fatal(err)
		}
		return conn, got.code
	}
	expect := func(what string, got, want RefusalCode) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	first, code := dial(2, classQuestion)
	expect("first of n2", code, accepted)
	_, code = dial(2, classQuestion)
	expect("second of n2", code, accepted)
	_, code = dial(2, classQuestion)
	expect("third of n2", code, TooManyConnections)
	for id := raft.NodeID(3); id <= 5; id++ {
		_, code = dial(id, classRaft)
		expect("one of another node", code, accepted)
	}
	_, code = dial(6, classRaft)
	expect("one over the total", code, TooManyConnections)
	_, code = dial(5, classRaft)
	expect("one that replaces an older one", code, accepted)
	first.Close()
	eventually(t, "the place of a closed connection is free", func() bool {
		_, code := dial(6, classRaft)
		return code == accepted
	})
}

func TestPanicInAHandlerEndsTheConnectionOnly(t *testing.T) {
	d := newDirectory()
	explode := func() { panic("the handler's fault") }
	h := &host{
		deliver: func(m []raft.Message) {
			if slices.ContainsFunc(m, func(m raft.Message) bool { return m.Body.(*raft.ReadIndex).ID == 13 }) {
				explode()
			}
		},
		answer: func(_ Identity, q []byte) []byte {
			if len(q) > 0 {
				explode()
			}
			return nil
		},
	}
	victim := start(t, d, 1, h)
	a := start(t, d, 2, &host{})
	sendUntil(t, a, victim, 1)

	a.Send([]raft.Message{numbered(2, 1, 13)})
	eventually(t, "the connection is closed", func() bool { return len(a.host.losses()) == 1 })
	sendUntil(t, a, victim, 2)

	if _, _, err := a.Ask(t.Context(), victim.addr, []byte("?")); err == nil {
		t.Error("a question that made the handler panic was answered")
	}
	if _, _, err := a.Ask(t.Context(), victim.addr, nil); err != nil {
		t.Errorf("the next question: %v", err)
	}
	if n := victim.logs.count("the handler's fault"); n == 0 {
		t.Error("the panics are not in the log")
	}
	if n := victim.Stats().RefusedConnections; n != 0 {
		t.Errorf("%d peers are blamed for this node's own fault", n)
	}
}

// TestEveryMethodRecovers finds the methods that net/rpc can call, so that one
// more cannot be forgotten.
func TestEveryMethodRecovers(t *testing.T) {
	d := newDirectory()
	n := start(t, d, 1, nil, func(c *Config) { c.Handler = panicking{} })
	methods := 0
	for _, service := range []func(*inbound) any{
		func(in *inbound) any { return raftService{in} },
		func(in *inbound) any { return commandService{in} },
		func(in *inbound) any { return questionService{in} },
		func(in *inbound) any { return &snapshotService{in: in, offered: true} },
		func(in *inbound) any { return &snapshotService{in: in} },
	} {
		for i := range reflect.TypeOf(service(nil)).NumMethod() {
			client, server := net.Pipe()
			defer client.Close()
			in := newInbound(n.Transport, server, hello{class: classRaft, from: Identity{}})
			receiver := reflect.ValueOf(service(in))
			name, method := receiver.Type().Method(i).Name, receiver.Method(i)
			argument := reflect.New(method.Type().In(0).Elem())
			if o, ok := argument.Interface().(*offer); ok {
				o.To = n.config.Node
			}
			err, _ := method.Call([]reflect.Value{argument, reflect.New(method.Type().In(1).Elem())})[0].Interface().(error)
			if errors.Is(err, errBadFrame) {
				continue // not in this state
			}
			methods++
			if err == nil || !strings.Contains(err.Error(), "panic") || in.cause() == nil {
				t.Errorf("%s.%s: error %v, connection %v; want both to say that it panicked", receiver.Type(), name, err, in.cause())
			}
		}
	}
	if methods != 6 {
		t.Errorf("%d methods were made to panic, want 6", methods)
	}
}

// panicking is a Handler whose every method panics.
type panicking struct{ Handler }

func TestListenerSurvivesErrors(t *testing.T) {
	l := &failingListener{Listener: listen(t), failures: 3}
	d := newDirectory()
	a := start(t, d, 1, &host{}, func(c *Config) { c.Listener = l })
	b := start(t, d, 2, &host{})
	sendUntil(t, b, a, 1)
	if l.failures != 0 {
		t.Errorf("%d failures are left", l.failures)
	}
	if n := a.logs.count("cannot accept connections"); n != 1 {
		t.Errorf("%d log lines about the failures, want 1", n)
	}
}

// failingListener fails as a process without free file descriptors does.
type failingListener struct {
	net.Listener
	failures int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("accept4: too many open files")
	}
	return l.Listener.Accept()
}
