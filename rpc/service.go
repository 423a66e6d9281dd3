package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	netrpc "net/rpc"
	"os"
	"runtime/debug"

	"balsa/raft"
)

// inbound is a connection that a peer has made, after the handshake.
type inbound struct {
	*conn
	t     *Transport
	class class
}

func newInbound(t *Transport, nc net.Conn, h hello) *inbound {
	return &inbound{conn: newConn(t.ctx, nc, h.from, t.limits.stallOf(h.class)), t: t, class: h.class}
}

// serve answers the peer until the connection breaks. Each connection has a
// net/rpc server of its own, which knows the one service of the connection's
// class: nothing else can be called on it, and its methods know who calls.
func (in *inbound) serve() {
	if err := in.t.sayYes(in.nc); err != nil {
		in.fail(err)
		return
	}
	if in.class != classQuestion {
		defer in.t.supervise(in.conn)()
	}
	p, _ := protocolOf(in.class)
	server := netrpc.NewServer()
	switch in.class {
	case classRaft:
		in.register(server, p, raftService{in})
		in.t.links.up(in.peer.Node)
		in.welcomeBack()
		// One request at a time: ServeCodec would start a goroutine for each.
		codec := in.codec(p)
		for server.ServeRequest(codec) == nil {
		}
		in.fail(io.EOF)
		in.t.lost(in.peer.Node, in.cause())
	case classCommands:
		in.register(server, p, commandService{in})
		in.welcomeBack()
		codec := in.codec(p)
		codec.flushed = true
		codec.gate = newGate(in.t.limits.Commands, commandBytes)
		in.t.running.Go(codec.writer.run)
		server.ServeCodec(codec)
	case classSnapshot:
		in.register(server, p, &snapshotService{in: in})
		codec := in.codec(p)
		codec.reader.idle, codec.reader.reuse = in.stall, true
		// One request at a time here too, and each is answered at once: if the
		// answer waited for the next request, the sender's window would empty.
		for server.ServeRequest(codec) == nil && codec.writer.flush() == nil {
		}
		in.fail(io.EOF)
	case classQuestion:
		in.register(server, p, questionService{in})
		codec := in.codec(p)
		codec.reader.idle = in.t.limits.Stall
		if server.ServeRequest(codec) == nil {
			codec.writer.flush()
		}
		in.fail(io.EOF)
	}
	in.complain()
}

func (in *inbound) codec(p protocol) *serverCodec {
	codec := newServerCodec(in.conn, p)
	codec.received = func(bytes int) { in.t.received.bytes.Add(uint64(bytes)) }
	return codec
}

func (in *inbound) register(server *netrpc.Server, p protocol, service any) {
	if err := server.RegisterName(p.service, service); err != nil {
		panic(fmt.Sprintf("rpc: %s is no net/rpc service: %v", p.service, err))
	}
}

// welcomeBack lets those who wait to dial this peer know that it is there.
func (in *inbound) welcomeBack() {
	if p := in.t.knownPeer(in.peer.Node); p != nil {
		p.isBack()
	}
}

// complain logs why the connection ended if the peer did what no healthy peer
// does.
func (in *inbound) complain() {
	cause := in.cause()
	if refusal := in.dismissal.Load(); refusal != nil {
		in.t.refused.add(in.t.log, in.nc.RemoteAddr(), in.peer.Node, refusal.Code.Error(), "advice", refusal.Sentence)
	} else if errors.Is(cause, errBadFrame) || errors.Is(cause, raft.ErrCorrupt) || errors.Is(cause, os.ErrDeadlineExceeded) {
		in.t.refused.add(in.t.log, in.nc.RemoteAddr(), in.peer.Node, "cut off", "connection", in.class.String(), "err", cause)
	}
}

// recovered is deferred by every method that net/rpc calls, because net/rpc
// itself lets a panic end the process.
func (in *inbound) recovered(method string, err *error) {
	if what := recover(); what != nil {
		*err = fmt.Errorf("panic in %s: %v", method, what)
		in.t.log.Error("panic while serving a peer; its connection is closed",
			"method", method, "peer", in.peer.Node, "panic", what, "stack", string(debug.Stack()))
		in.fail(*err)
	}
}

// raftService is what a peer can call on a connection for Raft messages.
type raftService struct{ in *inbound }

// Deliver hands messages to the node's inbox. What the handshake has found out
// about the sender goes with each of them: a data directory's vote is not that of
// another one with the same node ID.
func (s raftService) Deliver(messages *batch, _ *acknowledgement) (err error) {
	defer s.in.recovered("Raft.Deliver", &err)
	t := s.in.t
	for i := range *messages {
		m := &(*messages)[i]
		if m.From != s.in.peer.Node || m.To != t.config.Node {
			err = fmt.Errorf("%w: a message from %s to %s on the connection from %s to %s",
				errBadFrame, m.From, m.To, s.in.peer.Node, t.config.Node)
			s.in.fail(err)
			return err
		}
		m.Instance = s.in.peer.Instance
	}
	t.received.calls.Add(1)
	t.received.messages.Add(uint64(len(*messages)))
	t.config.Handler.Deliver([]raft.Message(*messages))
	return nil
}

// commandService is what a peer can call on a connection for commands.
type commandService struct{ in *inbound }

// Execute carries out a forwarded command.
func (s commandService) Execute(c *command, r *result) (err error) {
	defer s.in.recovered("Commands.Execute", &err)
	t := s.in.t
	t.received.commands.Add(1)
	r.cost = cost(c.Payload)
	timeout := c.Timeout
	if timeout < 0 || timeout > t.limits.Command {
		timeout = t.limits.Command
	}
	ctx, cancel := context.WithTimeout(s.in.ctx, timeout)
	defer cancel()
	r.Payload = t.config.Handler.Execute(ctx, c.Payload)
	if len(r.Payload) > MaxCommand {
		r.Status, r.Payload = statusReplyTooLarge, nil
	}
	return nil
}

// questionService is what anybody can call on a connection for a question.
type questionService struct{ in *inbound }

// Answer answers one question.
func (s questionService) Answer(question, answer *note) (err error) {
	defer s.in.recovered("Questions.Answer", &err)
	*answer = s.in.t.config.Handler.Answer(s.in.peer, *question)
	if len(*answer) > MaxQuestion {
		return fmt.Errorf("%w: an answer of %d bytes, at most %d are possible", ErrTooLarge, len(*answer), MaxQuestion)
	}
	return nil
}
