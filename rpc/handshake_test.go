package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"balsa/raft"
)

// TestHandshakeBytes keeps the first version's layout as it is: a node of
// another version must be able to read it.
func TestHandshakeBytes(t *testing.T) {
	h := hello{class: classCommands, to: 7, from: Identity{
		Cluster: [16]byte{1, 2, 3}, Node: 0x0102, Instance: raft.InstanceID{15: 0xff},
	}}
	want := "424c5341" + "0100" + "02" + "01020300000000000000000000000000" +
		"0201000000000000" + "000000000000000000000000000000ff" + "0700000000000000" + "9de35688"
	if got := hex.EncodeToString(h.encode()); got != want {
		t.Errorf("hello is\n%s, was\n%s", got, want)
	}
	a := answer{code: WrongNode, from: h.from, sentence: "no"}
	want = "424c5341" + "0100" + "05" + "01020300000000000000000000000000" +
		"0201000000000000" + "000000000000000000000000000000ff" + "0200" + "6e6f" + "96610975"
	if got := hex.EncodeToString(a.encode()); got != want {
		t.Errorf("answer is\n%s, was\n%s", got, want)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	wiped := func(peer Identity) error {
		if peer.Instance != instanceOf(peer.Node) {
			return &Refusal{Code: WrongInstance, Sentence: "node has lost its disk; remove it from the cluster first"}
		}
		return nil
	}
	stranger := func(Identity) error { return errors.New("node was removed from the cluster") }
	cluster := func(id byte) func(*Config) {
		return func(c *Config) { c.Cluster = func() [16]byte { return [16]byte{id} } }
	}
	instance := func(c *Config) { c.Instance = raft.InstanceID{0xee} }
	node := func(id raft.NodeID) func(*Config) { return func(c *Config) { c.Node = id } }
	admit := func(f func(Identity) error) func(*Config) { return func(c *Config) { c.Admit = f } }
	nothing := func(*Config) {}

	for _, tt := range []struct {
		name             string
		dialler, dialled func(*Config)
		want             RefusalCode
		sentence         string
	}{
		{"another cluster", cluster(1), cluster(2), WrongCluster, "another data directory"},
		{"dialler has no cluster", cluster(0), cluster(2), WrongCluster, "no cluster yet"},
		{"dialled has no cluster", cluster(1), cluster(0), WrongCluster, "no cluster yet"},
		{"neither has a cluster", cluster(0), cluster(0), WrongCluster, "no cluster yet"},
		{"another node at the address", nothing, node(3), WrongNode, "this is node n3, not n2"},
		{"the same ID twice", nothing, node(1), DuplicateID, "its own --id"},
		{"itself", nothing, func(c *Config) { c.Node, c.Instance = 1, instanceOf(1) }, SelfConnection, "its own address"},
		{"dialler was wiped", instance, admit(wiped), WrongInstance, "lost its disk"},
		{"dialled was wiped", admit(wiped), instance, WrongInstance, "lost its disk"},
		{"not admitted", nothing, admit(stranger), NotAdmitted, "removed from the cluster"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory()
			b := start(t, d, 2, &host{}, tt.dialled)
			a := start(t, d, 1, &host{}, tt.dialler)
			_, sent, err := a.Forward(t.Context(), 2, []byte("x"))
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok || sent || !errors.Is(err, tt.want) || !errors.Is(err, ErrUnreachable) {
				t.Fatalf("Forward: sent %v, %v; want %q", sent, err, tt.want)
			}
			if !strings.Contains(refusal.Sentence, tt.sentence) || refusal.Peer.Node != b.config.Node {
				t.Errorf("refused by %s: %q", refusal.Peer, refusal.Sentence)
			}
			eventually(t, "the host is told", func() bool { return slices.Equal(a.host.refusals(), []RefusalCode{tt.want}) })

			a.Send([]raft.Message{numbered(1, 2, 1)})
			eventually(t, "Raft messages do not get through either", func() bool {
				return a.Stats().Peers[2].MessagesDropped == 1
			})
			if got := a.host.losses(); len(got) != 0 {
				t.Errorf("a refusal was reported as a loss of %v", got)
			}
		})
	}
}

func TestRefusalIsReportedOncePerChange(t *testing.T) {
	d := newDirectory()
	var founded atomic.Pointer[[16]byte]
	founded.Store(&[16]byte{0xbb})
	b := start(t, d, 2, &host{}, func(c *Config) { c.Cluster = func() [16]byte { return *founded.Load() } })
	a := start(t, d, 1, &host{})
	retry := func() {
		before := b.Stats().RefusedConnections
		eventually(t, "more attempts", func() bool {
			a.Send([]raft.Message{numbered(1, 2, 1)})
			return b.Stats().RefusedConnections >= before+5
		})
	}
	retry()
	if got := a.host.refusals(); !slices.Equal(got, []RefusalCode{WrongCluster}) {
		t.Errorf("reported %v, want one report", got)
	}
	if n := b.logs.count("refused a connection"); n != 1 {
		t.Errorf("the refusing side logged %d lines, want 1", n)
	}

	founded.Store(&testCluster)
	sendUntil(t, a, b, 2)
	founded.Store(&[16]byte{0xbb})
	b.arrivals.failAll()
	retry()
	if got := a.host.refusals(); !slices.Equal(got, []RefusalCode{WrongCluster, WrongCluster}) {
		t.Errorf("reported %v, want a second report after it had worked", got)
	}
}

// failAll breaks every connection that others have made.
func (a *arrivals) failAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for in := range a.known {
		in.fail(errors.New("broken by the test"))
	}
}

func TestForeignDialogue(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	good := hello{class: classRaft, from: identityOf(2), to: 1}.encode()
	damaged := slices.Clone(good)
	damaged[20] ^= 1
	later := slices.Clone(good)
	binary.LittleEndian.PutUint16(later[4:], 2)
	nobody := hello{class: classRaft, to: 1}.encode()
	unknown := hello{class: 9, from: identityOf(2), to: 1}.encode()

	for _, tt := range []struct {
		name string
		send []byte
		want RefusalCode
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: balsa\r\n\r\n"), NotBalsa},
		{"TLS", append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...), NotBalsa},
		{"a later version with a longer greeting", append(later, make([]byte, 1000)...), WrongVersion},
		{"a flipped bit", damaged, Malformed},
		{"no node ID", nobody, Malformed},
		{"an unknown class", unknown, WrongVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := rawDial(t, a.addr)
			c.send(tt.send)
			got, err := readAnswer(c)
			if err != nil || got.code != tt.want || got.sentence == "" {
				t.Fatalf("answer %+v, %v; want %q", got, err, tt.want)
			}
			c.CloseWrite()
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the answer: %v, want an orderly end", err)
			}
		})
	}
}

// CloseWrite ends the hostile side's half of the connection.
func (c *rawConn) CloseWrite() { c.Conn.(*net.TCPConn).CloseWrite() }

func TestDiallingSomethingElse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), NotBalsa},
		{"a damaged answer", func() []byte {
			b := answer{code: accepted, from: identityOf(2)}.encode()
			b[8] ^= 1
			return b
		}(), Malformed},
		{"an endless sentence", func() []byte {
			b := answer{code: NotAdmitted, from: identityOf(2)}.encode()
			binary.LittleEndian.PutUint16(b[47:], 60000)
			return append(b, make([]byte, 60000)...)
		}(), Malformed},
		{"a polite impostor", answer{code: accepted, from: identityOf(3)}.encode(), WrongNode},
		{"an impostor of another cluster", answer{code: accepted, from: Identity{Cluster: [16]byte{9}, Node: 2}}.encode(), WrongCluster},
		{"nothing", nil, ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listen(t)
			defer l.Close()
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						io.ReadFull(nc, make([]byte, helloSize))
						nc.Write(tt.answer)
					}()
				}
			}()
			d := newDirectory()
			d.set(2, l.Addr().String())
			a := start(t, d, 1, &host{})
			if _, sent, err := a.Forward(t.Context(), 2, nil); sent || !errors.Is(err, tt.want) {
				t.Errorf("sent %v, %v; want %v", sent, err, tt.want)
			}
		})
	}
}

func TestSentencesOfStrangersAreMadePrintable(t *testing.T) {
	b := answer{code: NotAdmitted, sentence: "a\x1b[31m\nb\xffc"}.encode()
	got, err := readAnswer(bytes.NewReader(b))
	if err != nil || got.sentence != "a [31m b?c" {
		t.Errorf("%q, %v", got.sentence, err)
	}
	long := answer{code: NotAdmitted, sentence: strings.Repeat("é", 400)}
	if got, err := readAnswer(bytes.NewReader(long.encode())); err != nil || got.sentence != strings.Repeat("é", 256) {
		t.Errorf("a long sentence came back as %d bytes, %v", len(got.sentence), err)
	}
}

func TestRefusalCodesAreErrors(t *testing.T) {
	err := fmt.Errorf("cannot join: %w", refuse(WrongCluster, "use %s", "another"))
	if !errors.Is(err, WrongCluster) || errors.Is(err, WrongNode) {
		t.Error("errors.Is does not tell the codes apart")
	}
	seen := make(map[string]bool)
	for code := accepted; code <= Removed; code++ {
		if seen[code.Error()] {
			t.Errorf("two codes are called %q", code.Error())
		}
		seen[code.Error()] = true
	}
}

func FuzzHello(f *testing.F) {
	good := hello{class: classRaft, from: identityOf(2), to: 1}.encode()
	f.Add(good)
	f.Add(good[:20])
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(hello{}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := receiveHello(bytes.NewReader(b))
		if err == nil && !bytes.Equal(h.encode(), b[:helloSize]) {
			t.Errorf("%x was read as %+v", b, h)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(answer{code: accepted, from: identityOf(2)}.encode())
	f.Add(answer{code: WrongCluster, from: identityOf(2), sentence: "join them"}.encode())
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err == nil && len(a.sentence) > 3*maxSentence {
			t.Errorf("a sentence of %d bytes", len(a.sentence))
		}
	})
}
