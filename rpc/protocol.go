package rpc

import (
	"fmt"

	"balsa/raft/node"
)

// class says what a connection is for. The numbers are part of the wire format.
type class uint8

const (
	classRaft     class = 1
	classCommands class = 2
	classQuestion class = 3
	classSnapshot class = 4
)

func (c class) String() string {
	switch c {
	case classRaft:
		return "raft"
	case classCommands:
		return "commands"
	case classQuestion:
		return "question"
	case classSnapshot:
		return "snapshot"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// The methods that one node can call on another, as net/rpc writes them.
const (
	methodDeliver = "Raft.Deliver"
	methodExecute = "Commands.Execute"
	methodAnswer  = "Questions.Answer"
	methodOffer   = "Snapshots.Offer"
	methodChunk   = "Snapshots.Chunk"
	methodFinish  = "Snapshots.Finish"
)

// protocol is what a class allows on its connections: the methods of one
// service, called by the dialling side only, and one kind of reply to them all.
// The limits are fixed, not configured, so that two nodes cannot disagree about
// them.
type protocol struct {
	service string
	methods []method
	reply   frameKind
	// maxReply bounds the body of a reply, in bytes.
	maxReply int
	// buffer is the size of the read buffer of a connection, in bytes.
	buffer int
}

// method is one of a protocol's methods.
type method struct {
	name    string
	request frameKind
	// maxRequest bounds the body of a request, in bytes.
	maxRequest int
}

// protocolOf returns what a class allows. It is false for an unknown class.
func protocolOf(c class) (protocol, bool) {
	switch c {
	case classRaft:
		return protocol{
			service: "Raft",
			methods: []method{{methodDeliver, frameDeliver, MaxMessage}},
			reply:   frameDelivered, maxReply: 0,
			buffer: 64 << 10,
		}, true
	case classCommands:
		return protocol{
			service: "Commands",
			methods: []method{{methodExecute, frameExecute, commandHeader + MaxCommand}},
			reply:   frameExecuted, maxReply: resultHeader + MaxCommand,
			buffer: 64 << 10,
		}, true
	case classQuestion:
		return protocol{
			service: "Questions",
			methods: []method{{methodAnswer, frameQuestion, MaxQuestion}},
			reply:   frameAnswer, maxReply: MaxQuestion,
			buffer: 4 << 10,
		}, true
	case classSnapshot:
		return protocol{
			service: "Snapshots",
			methods: []method{
				{methodOffer, frameOffer, maxOffer},
				{methodChunk, frameChunk, pieceHeader + node.MaxChunk},
				{methodFinish, frameFinish, snapshotIDSize},
			},
			reply: frameVerdict, maxReply: maxVerdict,
			buffer: 64 << 10,
		}, true
	}
	return protocol{}, false
}

// named returns the method with a name that is known to be there.
func (p protocol) named(name string) method {
	for _, m := range p.methods {
		if m.name == name {
			return m
		}
	}
	panic(fmt.Sprintf("rpc: the service %s has no method %s", p.service, name))
}

// requestedBy returns the name of the method that a kind of frame calls. The
// reader lets no other frames through.
func (p protocol) requestedBy(kind frameKind) string {
	for _, m := range p.methods {
		if m.request == kind {
			return m.name
		}
	}
	panic(fmt.Sprintf("rpc: no method of the service %s is called by frames of kind %d", p.service, kind))
}

// requests and replies are what may arrive at the accepting and at the dialling
// side.
func (p protocol) requests() frameLimits {
	limits := frameLimits{frameRefusal: maxRefusal}
	for _, m := range p.methods {
		limits[m.request] = m.maxRequest
	}
	return limits
}

func (p protocol) replies() frameLimits {
	return frameLimits{frameRefusal: maxRefusal, p.reply: p.maxReply}
}
