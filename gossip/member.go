package gossip

import "time"

// Status says what gossip believes about a server.
type Status string

const (
	// StatusAlive means that the server answers, or answered a moment ago.
	StatusAlive Status = "alive"
	// StatusDead means that the server stopped answering. It may be back at any
	// time.
	StatusDead Status = "dead"
	// StatusLeft means that the server announced that it leaves, and is gone.
	StatusLeft Status = "left"
)

// Member is one server as gossip knows it: a copy, for the caller to keep.
type Member struct {
	// ID is the number that the operator gave the server.
	ID uint64
	// Name is what the server is called in gossip.
	Name string
	// InstanceID is the identity of the server's data directory.
	InstanceID UUID
	// ClusterID is the cluster that the server belongs to, or zero if it
	// neither founded nor joined one yet.
	ClusterID UUID
	// RPCAddr is where other servers call it, as host:port.
	RPCAddr string
	// APIAddr is where clients call it, as host:port, or empty.
	APIAddr string
	// GossipAddr is where its gossip port is, as ip:port.
	GossipAddr string
	// Expect is with how many servers, itself included, it wants to found a
	// cluster. 0 means that it does not.
	Expect int
	// Status is what is believed about it, Since when.
	Status Status
	Since  time.Time
}

// record is one server in the table.
type record struct {
	meta
	name  string
	addr  string // of its gossip port
	alive bool
	since time.Time // of alive's last change
	// leaving says that this run of the server announced its departure.
	leaving bool
	// foreign says that the process at addr belongs to another cluster. Such a
	// server is no member. It is in the table at all because it was admitted
	// before one of the two clusters was known, or because it took the place of
	// a member without memberlist noticing, as it answers to the same name.
	foreign bool
	// foreignRun is the life of the server that said so. What others repeat of
	// that life, or of the one that memberlist admitted, is out of date.
	foreignRun runID
	// asked is when the server was last asked for its state.
	asked time.Time
	// forgotten is the stamp of the copy of its state that was dropped because
	// it had been gone for long. An older one is not taken for news after that.
	forgotten stamp
}

func (r *record) status() Status {
	switch {
	case r.alive:
		return StatusAlive
	case r.leaving:
		return StatusLeft
	}
	return StatusDead
}

func (r *record) member() Member {
	return Member{
		ID: r.id, Name: r.name, InstanceID: r.instance, ClusterID: r.cluster,
		RPCAddr: r.rpcAddr, APIAddr: r.apiAddr, GossipAddr: r.addr,
		Expect: r.expect, Status: r.status(), Since: r.since,
	}
}

// betterAddress prefers the living, and among the others whom was heard of last.
// A dead server's address is still worth a try: gossip may be wrong about it.
func (r *record) betterAddress(other *record) bool {
	if r.alive != other.alive {
		return r.alive
	}
	return r.since.After(other.since)
}
