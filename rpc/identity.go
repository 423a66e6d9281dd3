package rpc

import (
	"encoding/hex"
	"fmt"

	"balsa/raft"
)

// Identity is who a node is. Both sides of a connection say it before anything
// else.
type Identity struct {
	// Cluster is the cluster's ID, drawn when it was founded. All zero says
	// that the node does not belong to one yet.
	Cluster [16]byte
	// Node is the ID that the operator gave the node.
	Node raft.NodeID
	// Instance names the node's data directory.
	Instance raft.InstanceID
}

// String writes the identity for a log line.
func (id Identity) String() string {
	return fmt.Sprintf("%s (instance %s, %s)", id.Node, shortHex(id.Instance), clusterName(id.Cluster))
}

func clusterName(cluster [16]byte) string {
	if cluster == ([16]byte{}) {
		return "no cluster yet"
	}
	return "cluster " + shortHex(cluster)
}

// shortHex writes as much of an ID as a reader needs to tell two apart.
func shortHex(id [16]byte) string { return hex.EncodeToString(id[:4]) }

// class says what a connection is for. The numbers are part of the wire format;
// 4 is reserved for snapshots.
type class uint8

const (
	classRaft     class = 1
	classCommands class = 2
	classQuestion class = 3
)

func (c class) String() string {
	switch c {
	case classRaft:
		return "raft"
	case classCommands:
		return "commands"
	case classQuestion:
		return "question"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// protocol is what a class allows on its connections: one method, called by the
// dialling side only.
type protocol struct {
	service, method string
	request, reply  frameKind
	// maxRequest and maxReply bound the frame bodies, in bytes. They are fixed,
	// not configured, so that two nodes cannot disagree about them.
	maxRequest, maxReply int
	// buffer is the size of the read buffer of a connection, in bytes.
	buffer int
}

// protocolOf returns what a class allows. It is false for an unknown class.
func protocolOf(c class) (protocol, bool) {
	switch c {
	case classRaft:
		return protocol{
			service: "Raft", method: "Deliver",
			request: frameDeliver, reply: frameDelivered,
			maxRequest: MaxMessage, maxReply: 0,
			buffer: 64 << 10,
		}, true
	case classCommands:
		return protocol{
			service: "Commands", method: "Execute",
			request: frameExecute, reply: frameExecuted,
			maxRequest: commandHeader + MaxCommand, maxReply: resultHeader + MaxCommand,
			buffer: 64 << 10,
		}, true
	case classQuestion:
		return protocol{
			service: "Questions", method: "Answer",
			request: frameQuestion, reply: frameAnswer,
			maxRequest: MaxQuestion, maxReply: MaxQuestion,
			buffer: 4 << 10,
		}, true
	}
	return protocol{}, false
}
