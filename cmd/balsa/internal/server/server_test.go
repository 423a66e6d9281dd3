package server

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/api/wire"
	"balsa/gossip"
	"balsa/raft"
	"balsa/raft/node"
)

func instance(n byte) raft.InstanceID { return raft.InstanceID{n} }

func threeVoters() raft.Configuration {
	var c raft.Configuration
	for id := range 3 {
		n := byte(id + 1)
		c.Members = append(c.Members, raft.Member{ID: raft.NodeID(n), Instance: instance(n), Address: "configured", Votes: true})
	}
	return c
}

func seen(id uint64, n byte, status gossip.Status) gossip.Member {
	return gossip.Member{ID: id, InstanceID: gossip.UUID(instance(n)), RPCAddr: "announced", APIAddr: "api", Status: status}
}

// What gossip knows of a member stands in the member's line; an impostor with
// the same id and another data directory gets a line of its own, without a part
// in Raft.
func TestMembersOfRaftAndGossipAreMerged(t *testing.T) {
	status := raft.Status{ID: 1, Leader: 1, Role: raft.Follower, Configuration: threeVoters()}
	members := mergeMembers(status, time.Millisecond, []gossip.Member{
		seen(1, 1, gossip.StatusAlive),
		seen(2, 9, gossip.StatusAlive),
		seen(4, 4, gossip.StatusDead),
	})
	type line struct {
		id                  uint64
		role, status, where string
	}
	var got []line
	for _, m := range members {
		got = append(got, line{m.ID, m.Role, m.Status, m.RPCAddr})
	}
	want := []line{
		{1, wire.RoleLeader, wire.StatusAlive, "announced"},
		{2, wire.RoleFollower, wire.StatusDead, "configured"},
		{2, wire.RoleNone, wire.StatusAlive, "announced"},
		{3, wire.RoleFollower, wire.StatusDead, "configured"},
		{4, wire.RoleNone, wire.StatusDead, "announced"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOnlyALeaderTellsProgress(t *testing.T) {
	status := raft.Status{ID: 1, Leader: 1, Role: raft.Leader, DurableIndex: 7, Configuration: threeVoters(),
		Peers: []raft.PeerStatus{{ID: 2, MatchIndex: 5, TicksSinceReply: 3}}}
	members := mergeMembers(status, 10*time.Millisecond, nil)
	if m := members[0]; *m.MatchIndex != 7 || *m.LastContactMS != 0 {
		t.Errorf("the leader itself: %d, %d ms", *m.MatchIndex, *m.LastContactMS)
	}
	if m := members[1]; *m.MatchIndex != 5 || *m.LastContactMS != 30 {
		t.Errorf("its follower: %d, %d ms", *m.MatchIndex, *m.LastContactMS)
	}
	status.Role = raft.Follower
	for _, m := range mergeMembers(status, 10*time.Millisecond, nil) {
		if m.MatchIndex != nil || m.LastContactMS != nil {
			t.Errorf("a follower tells %+v", m)
		}
	}
}

func TestStatusSaysWhatIsMissing(t *testing.T) {
	status := raft.Status{ID: 1, Configuration: threeVoters()}
	cluster := wire.ClusterStatus{
		Members: mergeMembers(status, 0, []gossip.Member{seen(1, 1, gossip.StatusAlive), seen(2, 2, gossip.StatusLeft)}),
	}
	if state, message := describe(status, cluster); state != stateElecting ||
		message != "no leader is known: electing one takes 2 of 3 voters; node 2 is left, node 3 is dead" {
		t.Errorf("without a leader: %s, %s", state, message)
	}
	status.Leader = 2
	if state, message := describe(status, cluster); state != stateReady || message != "following node 2" {
		t.Errorf("a follower: %s, %s", state, message)
	}
	status.Role, status.Leader = raft.Leader, 1
	status.Peers = []raft.PeerStatus{{ID: 2, TicksSinceReply: 1}, {ID: 3, TicksSinceReply: 250}}
	cluster.Members = mergeMembers(status, 10*time.Millisecond, nil)
	if state, message := describe(status, cluster); state != stateReady || message != "leading 3 voters; node 3 silent for 2.5s" {
		t.Errorf("a leader: %s, %s", state, message)
	}
}

func TestStatusSaysHowFarACatchingUpNodeIs(t *testing.T) {
	status := raft.Status{ID: 4, Leader: 1, Configuration: threeVoters(), LastIndex: 10_000, CommitIndex: 10_000, LastApplied: 10_000}
	status.Configuration.Members = append(status.Configuration.Members, raft.Member{ID: 4, Instance: instance(4)})
	snapshot := node.SnapshotProgress{From: 1, Snapshot: raft.Snapshot{Last: raft.EntryID{Term: 2, Index: 9000}}, Offset: 43, Size: 100}
	for _, test := range []struct {
		change func(*raft.Status, *wire.ClusterStatus)
		want   string
	}{
		{func(s *raft.Status, _ *wire.ClusterStatus) { s.Configuration = raft.Configuration{} },
			"catching up: admitted; waiting for the leader to send the log"},
		{func(_ *raft.Status, c *wire.ClusterStatus) {
			c.Receiving = addSnapshots(nil, []node.SnapshotProgress{snapshot})
		},
			"receiving: receiving the state as of entry 9000 from node 1: 43 %"},
		{func(s *raft.Status, _ *wire.ClusterStatus) { s.LastApplied = 2000 }, "catching up: applying the log: entry 2000 of 10000"},
		{func(*raft.Status, *wire.ClusterStatus) {}, "ready: following node 1 as a learner"},
		{func(s *raft.Status, _ *wire.ClusterStatus) { s.ID = 9 }, "ready: following node 1, whose log does not name this node as a member yet"},
		{func(s *raft.Status, _ *wire.ClusterStatus) { s.Leader = raft.None }, "electing: no leader is known, and this node does not vote"},
	} {
		s, c := status, wire.ClusterStatus{}
		test.change(&s, &c)
		if state, message := describe(s, c); state+": "+message != test.want {
			t.Errorf("%s: %s; want %s", state, message, test.want)
		}
	}

	// The leader says the same of others.
	status.Role, status.Leader, status.ID = raft.Leader, 1, 1
	status.Peers = []raft.PeerStatus{{ID: 2, MatchIndex: 4300}, {ID: 3, MatchIndex: 9500}, {ID: 4, MatchIndex: 0}}
	members := mergeMembers(status, 10*time.Millisecond, nil)
	sent := snapshot
	sent.To = 4
	addSnapshots(members, []node.SnapshotProgress{sent})
	addCatchUp(members, status)
	if m := members[1]; m.CaughtUp == nil || *m.CaughtUp != 43 {
		t.Errorf("n2 has 4300 of 10000 entries: %v", m.CaughtUp)
	}
	if m := members[2]; m.CaughtUp != nil {
		t.Errorf("n3 is no further behind than writes under way make it: %d", *m.CaughtUp)
	}
	if m := members[3]; m.CaughtUp == nil || *m.CaughtUp != 43 || m.Snapshot == nil {
		t.Errorf("n4 receives a snapshot: %v, %v", m.CaughtUp, m.Snapshot)
	}
}

// What is advertised has the port that was opened, if the system chose it.
func TestAdvertisedAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct{ advertise, bind, want string }{
		{"", "127.0.0.1:7000", "127.0.0.1:7000"},
		{"", "127.0.0.1:0", "127.0.0.1:" + port},
		{"db.example:7001", "0.0.0.0:7000", "db.example:7001"},
		{"db.example:0", "0.0.0.0:0", "db.example:" + port},
		{"db.example:7001", "0.0.0.0:0", "db.example:" + port},
	} {
		if got := advertised(c.advertise, c.bind, l); got != c.want {
			t.Errorf("advertise %q, bind %q: %s, want %s", c.advertise, c.bind, got, c.want)
		}
	}
}

// The settings that the scripts of the command do not try.
func TestInsecureAllowsPortsThatOthersReach(t *testing.T) {
	cfg := Config{
		ID: 1, DataDir: "d", RPCAddr: "0.0.0.0:1", APIAddr: "127.0.0.1:2", GossipAddr: "127.0.0.1:3",
		AdvertiseRPC: "192.0.2.1:1", Heartbeat: 50 * time.Millisecond, Election: 300 * time.Millisecond,
		MaxVoters: 5, StabilizationTime: 10 * time.Second, LogTail: 1000,
		RequestTimeout: time.Second, ShutdownTimeout: time.Second, MaxValue: 1, MaxInFlight: 1,
	}
	if err := cfg.Validate(t.Context()); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "add --insecure") {
		t.Errorf("without --insecure: %v", err)
	}
	cfg.Insecure = true
	if err := cfg.Validate(t.Context()); err != nil {
		t.Errorf("with --insecure: %v", err)
	}
}
