// Package wire holds what the HTTP door and its clients both speak: the JSON
// bodies, the names of the headers, and the problem types with their meaning.
// It depends on the standard library alone, so that a client links no server.
//
// The doc, example and enum tags end up in the OpenAPI document, which is
// generated from these very types.
package wire

// Names of the response headers that balsa adds.
const (
	// HeaderNode carries the ID of the node that answered.
	HeaderNode = "Balsa-Node"
	// HeaderLeader carries the ID of the leader as that node knows it. It is
	// missing when no leader is known.
	HeaderLeader = "Balsa-Leader"
	// HeaderAppliedIndex carries how far the state that a read saw had come: the
	// index of the last log entry applied to it.
	HeaderAppliedIndex = "Balsa-Applied-Index"
)

// WriteRequest is the body of POST /api/write.
type WriteRequest struct {
	Key   string `json:"key" minLength:"1" doc:"The key. Not empty; 4 KiB at most by default, counted in UTF-8." example:"hello"`
	Value string `json:"value" doc:"The value. It may be empty; 1 MiB at most by default, counted in UTF-8." example:"world"`
}

// WriteResult answers POST /api/write.
type WriteResult struct {
	Key      string `json:"key" doc:"The key that was written." example:"hello"`
	Revision uint64 `json:"revision" doc:"The revision of the key from now on: the log index of this write." example:"12"`
}

// ReadResult answers GET /api/read/{key} and GET /api/consistent_read/{key}.
type ReadResult struct {
	Key          string `json:"key" doc:"The key that was read." example:"hello"`
	Value        string `json:"value" doc:"Its value." example:"world"`
	Revision     uint64 `json:"revision" doc:"The log index of the last write of this key." example:"12"`
	AppliedIndex uint64 `json:"applied_index" doc:"How far the state that answered had come: the index of the last log entry applied to it." example:"15"`
}

// Revision answers PUT and DELETE on /api/kv/{key}.
type Revision struct {
	Revision uint64 `json:"revision" doc:"The log index of this write." example:"12"`
}

// Health answers GET /healthz and GET /readyz when all is well.
type Health struct {
	Status string `json:"status" enum:"ok,ready" doc:"ok: the process serves requests. ready: it also knows a leader and has caught up with it." example:"ready"`
	NodeID uint64 `json:"node_id" doc:"The node that answers." example:"1"`
}

// ClusterStatus answers GET /api/cluster: what one node knows of its cluster,
// Raft's view and gossip's view side by side.
type ClusterStatus struct {
	ClusterID    string   `json:"cluster_id" doc:"The identity that the cluster drew when it was founded. Empty while this node belongs to none." example:"5b0c2c3e-8f0e-4c53-9f65-5c7c7a3c1a11"`
	NodeID       uint64   `json:"node_id" doc:"The node that answers." example:"1"`
	Role         string   `json:"role" enum:"follower,pre-candidate,candidate,leader" doc:"What this node is in Raft." example:"leader"`
	Term         uint64   `json:"term" doc:"The current term of this node." example:"2"`
	LeaderID     uint64   `json:"leader_id" doc:"The leader that this node follows, or is; 0 when it knows none." example:"1"`
	CommitIndex  uint64   `json:"commit_index" doc:"The last log entry that this node knows to be committed." example:"15"`
	AppliedIndex uint64   `json:"applied_index" doc:"The last log entry applied to the local state." example:"15"`
	FirstIndex   uint64   `json:"first_index,omitempty" doc:"The first entry that the local log still holds; the effect of earlier ones is in the state alone. Missing while there is no log." example:"1"`
	LastIndex    uint64   `json:"last_index" doc:"The last entry of the local log, committed or not." example:"15"`
	LostIndex    uint64   `json:"lost_index,omitempty" doc:"Up to which entry the local log went before its disk lost the end of it. Missing when nothing is lost, or it has been received again. Until then the node does not lead, and votes only for nodes that have it." example:"15"`
	Voters       []uint64 `json:"voters" doc:"The IDs of the servers that vote; while the configuration is joint, those that will vote after it." example:"[1,2,3]"`
	Learners     []uint64 `json:"learners" doc:"The IDs of the servers that receive the log and do not vote." example:"[]"`
	// ConfigurationIndex and the three fields that follow it are left out when
	// they are not known, or there is no such thing.
	ConfigurationIndex uint64            `json:"configuration_index,omitempty" doc:"The log entry from which the configuration in force comes, which says who votes and who learns." example:"9"`
	Change             *PendingChange    `json:"change,omitempty" doc:"The change of members that is under way. Missing when there is none."`
	TransferTo         uint64            `json:"transfer_to,omitempty" doc:"Only from the leader: whom it is handing over leadership to. Missing when it is not." example:"2"`
	Receiving          *SnapshotProgress `json:"receiving,omitempty" doc:"The snapshot that this node is receiving. Missing when it is not."`
	Members            []Member          `json:"members" doc:"Every node that Raft's configuration or gossip knows, in ascending order of ID."`
	State              string            `json:"state" doc:"One word for what this node is doing, such as waiting, electing, receiving, recovering or ready." example:"ready"`
	Message            string            `json:"message" doc:"The same in a sentence, with what is missing." example:"following node 1"`
}
