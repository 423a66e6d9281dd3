package api_test

import (
	"errors"
	"testing"

	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

func TestClusterAnswersInTheDocumentedForm(t *testing.T) {
	match, contact := uint64(14), int64(0)
	server := serve(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{
		ClusterID: "c", NodeID: 7, Role: "leader", Term: 2, LeaderID: 7, CommitIndex: 14, AppliedIndex: 13, LastIndex: 15,
		Voters: []uint64{7, 8}, Learners: []uint64{9}, State: "ready", Message: "leading",
		Members: []wire.Member{
			{ID: 7, InstanceID: "i7", RPCAddr: "r7", APIAddr: "a7", GossipAddr: "g7", Status: wire.StatusAlive, Role: wire.RoleLeader},
			{ID: 8, InstanceID: "i8", RPCAddr: "r8", APIAddr: "a8", GossipAddr: "g8", Status: wire.StatusSuspect, Role: wire.RoleFollower,
				MatchIndex: &match, LastContactMS: &contact},
		},
	}})
	wantBody(t, send(t, "GET", server.URL+"/api/cluster", ""), 200, `{"cluster_id":"c","node_id":7,"role":"leader","term":2,"leader_id":7,`+
		`"commit_index":14,"applied_index":13,"last_index":15,"voters":[7,8],"learners":[9],"members":[`+
		`{"id":7,"instance_id":"i7","rpc_addr":"r7","api_addr":"a7","gossip_addr":"g7","status":"alive","role":"leader"},`+
		`{"id":8,"instance_id":"i8","rpc_addr":"r8","api_addr":"a8","gossip_addr":"g8","status":"suspect","role":"follower","match_index":14,"last_contact_ms":0}],`+
		`"state":"ready","message":"leading"}`)
}

// What is known only at times is there when it is known.
func TestClusterTellsWhatIsGoingOn(t *testing.T) {
	caughtUp := 43
	server := serve(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{
		ClusterID: "c", NodeID: 7, Role: "leader", Term: 2, LeaderID: 7, CommitIndex: 14, AppliedIndex: 13, FirstIndex: 9, LastIndex: 15,
		Voters: []uint64{7}, Learners: []uint64{9}, ConfigurationIndex: 12, Change: &wire.PendingChange{Joint: true, NewVoters: []uint64{7}}, TransferTo: 8,
		Receiving: &wire.SnapshotProgress{From: 8, Index: 5, Bytes: 1, Size: 4}, State: "ready", Message: "leading",
		Members: []wire.Member{{ID: 9, CaughtUp: &caughtUp, Snapshot: &wire.SnapshotProgress{From: 7, Index: 9, Bytes: 2, Size: 3}, Note: "catching up"}},
	}})
	wantBody(t, send(t, "GET", server.URL+"/api/cluster", ""), 200, `{"cluster_id":"c","node_id":7,"role":"leader","term":2,"leader_id":7,`+
		`"commit_index":14,"applied_index":13,"first_index":9,"last_index":15,"voters":[7],"learners":[9],"configuration_index":12,`+
		`"change":{"joint":true,"committed":false,"old_voters":[],"new_voters":[7]},"transfer_to":8,"receiving":{"from":8,"index":5,"bytes":1,"size":4},`+
		`"members":[{"id":9,"instance_id":"","rpc_addr":"","api_addr":"","gossip_addr":"","status":"","role":"",`+
		`"caught_up_percent":43,"snapshot":{"from":7,"index":9,"bytes":2,"size":3},"note":"catching up"}],"state":"ready","message":"leading"}`)
}

func TestListsOfTheClusterAreNeverNull(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{NodeID: 7, Role: "follower",
		State: "waiting", Message: "waiting for 3 servers: have 1"}})
	wantBody(t, send(t, "GET", server.URL+"/api/cluster", ""), 200, `{"cluster_id":"","node_id":7,"role":"follower","term":0,"leader_id":0,`+
		`"commit_index":0,"applied_index":0,"last_index":0,"voters":[],"learners":[],"members":[],`+
		`"state":"waiting","message":"waiting for 3 servers: have 1"}`)
}

func TestClusterFailsWithAProblem(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{StatusError: kv.ErrStopped})
	wantProblem(t, send(t, "GET", server.URL+"/api/cluster", ""), wire.Stopping)
}

func TestHealthAndReadiness(t *testing.T) {
	cluster := &apitest.Cluster{ReadyError: errors.New("no leader is known")}
	waiting := serve(t, &apitest.Store{}, cluster)
	wantBody(t, send(t, "GET", waiting.URL+"/healthz", ""), 200, `{"status":"ok","node_id":7}`)
	problem := wantProblem(t, send(t, "GET", waiting.URL+"/readyz", ""), wire.NotReady)
	if problem.Detail != "no leader is known" {
		t.Errorf("detail %q", problem.Detail)
	}

	ready := serve(t, &apitest.Store{}, &apitest.Cluster{})
	wantBody(t, send(t, "GET", ready.URL+"/readyz", ""), 200, `{"status":"ready","node_id":7}`)
}
