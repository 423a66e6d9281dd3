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
	LastIndex    uint64   `json:"last_index" doc:"The last entry of the local log, committed or not." example:"15"`
	Voters       []uint64 `json:"voters" doc:"The IDs of the servers that vote." example:"[1,2,3]"`
	Learners     []uint64 `json:"learners" doc:"The IDs of the servers that receive the log and do not vote." example:"[]"`
	Members      []Member `json:"members" doc:"Every node that Raft's configuration or gossip knows, in ascending order of ID."`
	State        string   `json:"state" doc:"One word for what this node is doing, such as waiting, electing or ready." example:"ready"`
	Message      string   `json:"message" doc:"The same in a sentence, with what is missing." example:"following node 1"`
}

// The values of Member.Status: what gossip knows of a node.
const (
	StatusAlive   = "alive"
	StatusSuspect = "suspect"
	StatusDead    = "dead"
	StatusLeft    = "left"
)

// The values of Member.Role.
const (
	RoleLeader   = "leader"
	RoleFollower = "follower"
	RoleLearner  = "learner"
	RoleNone     = "none"
)

// Member is one node of a ClusterStatus.
type Member struct {
	ID         uint64 `json:"id" doc:"The ID of the node." example:"2"`
	InstanceID string `json:"instance_id" doc:"The identity of its data directory." example:"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c02"`
	RPCAddr    string `json:"rpc_addr" doc:"Where it takes Raft messages." example:"127.0.0.1:21002"`
	APIAddr    string `json:"api_addr" doc:"Where it serves this API." example:"127.0.0.1:3002"`
	GossipAddr string `json:"gossip_addr" doc:"Where it gossips." example:"127.0.0.1:20002"`
	Status     string `json:"status" enum:"alive,suspect,dead,left" doc:"What gossip knows of it." example:"alive"`
	Role       string `json:"role" enum:"leader,follower,learner,none" doc:"Its part in Raft: a follower is a voter that does not lead; none means that gossip knows it and Raft's configuration does not." example:"follower"`
	// MatchIndex and LastContactMS are facts that only a leader has; a node that
	// does not lead leaves them out.
	MatchIndex    *uint64 `json:"match_index,omitempty" doc:"Only from the leader: up to where the log of this member is known to equal the leader's." example:"15"`
	LastContactMS *int64  `json:"last_contact_ms,omitempty" doc:"Only from the leader: milliseconds since it last heard of this member." example:"12"`
}
