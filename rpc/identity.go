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
