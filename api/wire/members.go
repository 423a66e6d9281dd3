package wire

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

// Member is one node of a ClusterStatus or a Membership.
type Member struct {
	ID         uint64 `json:"id" doc:"The ID of the node." example:"2"`
	InstanceID string `json:"instance_id" doc:"The identity of its data directory." example:"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c02"`
	RPCAddr    string `json:"rpc_addr" doc:"Where it takes Raft messages." example:"127.0.0.1:21002"`
	APIAddr    string `json:"api_addr" doc:"Where it serves this API." example:"127.0.0.1:3002"`
	GossipAddr string `json:"gossip_addr" doc:"Where it gossips." example:"127.0.0.1:20002"`
	Status     string `json:"status" enum:"alive,suspect,dead,left" doc:"What gossip knows of it." example:"alive"`
	Role       string `json:"role" enum:"leader,follower,learner,none" doc:"Its part in Raft: a follower is a voter that does not lead; none means that gossip knows it and Raft's configuration does not." example:"follower"`
	// What follows are facts that only a leader has; a node that does not lead
	// leaves them out.
	MatchIndex    *uint64           `json:"match_index,omitempty" doc:"Only from the leader: up to where the log of this member is known to equal the leader's." example:"15"`
	LastContactMS *int64            `json:"last_contact_ms,omitempty" doc:"Only from the leader: milliseconds since it last heard of this member." example:"12"`
	CaughtUp      *int              `json:"caught_up_percent,omitempty" minimum:"0" maximum:"100" doc:"Only from the leader, of a member that is behind: how much of the log it has, rounded down." example:"43"`
	Snapshot      *SnapshotProgress `json:"snapshot,omitempty" doc:"Only from the leader: the snapshot that it is sending to this member. Missing when it is not."`
	Note          string            `json:"note,omitempty" doc:"Only from the leader: what it is about to do with this node, and what it is waiting for, in a sentence." example:"stable for 4 of 10 s"`
}

// SnapshotProgress says how far a snapshot has come that one node sends to
// another.
type SnapshotProgress struct {
	From  uint64 `json:"from" doc:"The node that sends it." example:"1"`
	Index uint64 `json:"index" doc:"The last log entry whose effect it contains." example:"1000000"`
	Bytes uint64 `json:"bytes" doc:"How many bytes the receiver has." example:"461373440"`
	Size  uint64 `json:"size" doc:"About how many bytes there are in all." example:"1073741824"`
}

// Percent returns how much of the snapshot the receiver has, from 0 to 100,
// rounded down. Size is an estimate, so 100 does not mean that it is complete.
func (p SnapshotProgress) Percent() int {
	if p.Size == 0 {
		return 0
	}
	return int(100 * (float64(min(p.Bytes, p.Size)) / float64(p.Size)))
}

// PendingChange is a change of members that is under way. One that exchanges
// voters goes through a joint configuration, in which every decision takes a
// majority of the old voters and one of the new ones.
type PendingChange struct {
	Joint     bool     `json:"joint" doc:"Whether the configuration is joint: decisions take a majority of the old voters and one of the new ones." example:"true"`
	Committed bool     `json:"committed" doc:"Whether the configuration in force is committed. If it is joint, one more step follows." example:"false"`
	OldVoters []uint64 `json:"old_voters" doc:"While the configuration is joint: who voted before." example:"[1,2,3]"`
	NewVoters []uint64 `json:"new_voters" doc:"Who votes when the change is done." example:"[1,2,3,4]"`
}

// Membership answers GET /api/members: the part of a ClusterStatus that is about
// members.
type Membership struct {
	NodeID             uint64         `json:"node_id" doc:"The node that answers." example:"1"`
	LeaderID           uint64         `json:"leader_id" doc:"The leader that this node follows, or is; 0 when it knows none." example:"1"`
	Voters             []uint64       `json:"voters" doc:"The IDs of the servers that vote; while the configuration is joint, those that will vote after it." example:"[1,2,3]"`
	Learners           []uint64       `json:"learners" doc:"The IDs of the servers that receive the log and do not vote." example:"[]"`
	ConfigurationIndex uint64         `json:"configuration_index,omitempty" doc:"The log entry from which the configuration in force comes. Missing while there is none." example:"9"`
	Change             *PendingChange `json:"change,omitempty" doc:"The change of members that is under way. Missing when there is none."`
	TransferTo         uint64         `json:"transfer_to,omitempty" doc:"Only from the leader: whom it is handing over leadership to. Missing when it is not." example:"2"`
	Members            []Member       `json:"members" doc:"Every node that Raft's configuration or gossip knows, in ascending order of ID."`
}

// MemberRequest is the body of POST /api/members: what a server is to be.
type MemberRequest struct {
	ID uint64 `json:"id" minimum:"1" doc:"The ID of the server." example:"4"`
	// Voter has three values, because to leave it out must not cost a voter its
	// vote.
	Voter      *bool  `json:"voter,omitempty" doc:"true: it is to vote, as soon as it has caught up. false: it is to be a learner, which takes its vote away if it has one, and to stay one until this is said otherwise. Left out: a new server becomes a learner, which the cluster may promote by itself; a member keeps what it has." example:"true"`
	Existing   bool   `json:"existing,omitempty" doc:"true: answer 404 if it is no member, instead of adding it." example:"false"`
	RPCAddr    string `json:"rpc_addr,omitempty" maxLength:"256" doc:"Where it takes Raft messages, as host:port. Needed only for a new server that gossip does not see." example:"127.0.0.1:21004"`
	InstanceID string `json:"instance_id,omitempty" format:"uuid" doc:"The identity of its data directory, as its own /api/cluster tells it. Needed only for a new server that gossip does not see." example:"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c04"`
}

// MemberResult answers POST and DELETE on /api/members.
type MemberResult struct {
	ID      uint64 `json:"id" doc:"The server that was asked about." example:"4"`
	Done    bool   `json:"done" doc:"Whether everything that was asked for has happened. If not, which the status 202 says as well, the message says what will." example:"true"`
	Message string `json:"message" doc:"What has happened, and what will happen, in a sentence." example:"node 4 is a learner now"`
}

// TransferRequest is the body of POST /api/leader.
type TransferRequest struct {
	To uint64 `json:"to,omitempty" doc:"The voter that is to lead; 0 or left out: the one whose log is longest." example:"2"`
}

// TransferResult answers POST /api/leader.
type TransferResult struct {
	LeaderID uint64 `json:"leader_id" doc:"The new leader." example:"2"`
}
