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
