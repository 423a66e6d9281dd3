package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/api"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
	"balsa/kv"
)

// changes are one request to each endpoint that changes the cluster.
var changes = []struct{ method, path, body string }{
	{"POST", "/api/members", `{"id":4,"voter":true}`},
	{"DELETE", "/api/members/4", ""},
	{"POST", "/api/leader", `{"to":2}`},
}

func TestMembersAreThePartOfTheClusterAboutThem(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{
		ClusterID: "c", NodeID: 7, Role: "leader", Term: 2, LeaderID: 7, LastIndex: 15, Voters: []uint64{7}, Learners: []uint64{9}, ConfigurationIndex: 12,
		Change: &wire.PendingChange{Committed: true, NewVoters: []uint64{7}}, TransferTo: 8, State: "ready", Message: "leading",
		Members: []wire.Member{{ID: 9, Role: wire.RoleLearner, Status: wire.StatusAlive, Note: "catching up"}},
	}})
	wantBody(t, send(t, "GET", server.URL+"/api/members", ""), 200, `{"node_id":7,"leader_id":7,"voters":[7],"learners":[9],"configuration_index":12,`+
		`"change":{"joint":false,"committed":true,"old_voters":[],"new_voters":[7]},"transfer_to":8,`+
		`"members":[{"id":9,"instance_id":"","rpc_addr":"","api_addr":"","gossip_addr":"","status":"alive","role":"learner","note":"catching up"}]}`)

	waiting := serve(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{NodeID: 7}})
	wantBody(t, send(t, "GET", waiting.URL+"/api/members", ""), 200, `{"node_id":7,"leader_id":0,"voters":[],"learners":[],"members":[]}`)

	stopping := serve(t, &apitest.Store{}, &apitest.Cluster{StatusError: kv.ErrStopped})
	wantProblem(t, send(t, "GET", stopping.URL+"/api/members", ""), wire.Stopping)
}

func TestAChangeArrivesAsItWasAskedFor(t *testing.T) {
	const uuid = "9f0b4c9e-54d4-4F5a-8a55-0a7f6d3f0c02"
	for _, test := range []struct {
		method, path, body string
		contentType        string
		want               string
	}{
		{method: "POST", path: "/api/members", body: `{"id":4,"voter":false}`, want: `set 4 voter=false existing=false rpc="" instance=""`},
		{method: "POST", path: "/api/members", body: `{"id":4,"voter":true,"existing":true}`, want: `set 4 voter=true existing=true rpc="" instance=""`},
		{method: "POST", path: "/api/members", body: ` { "id" : 4 } `, want: `set 4 voter=unsaid existing=false rpc="" instance=""`},
		{method: "POST", path: "/api/members", body: `{"id":4}`, contentType: "application/x-www-form-urlencoded", // what curl -d says
			want: `set 4 voter=unsaid existing=false rpc="" instance=""`},
		{method: "POST", path: "/api/members", body: `{"id":18446744073709551615,"rpc_addr":"db4.example:21004","instance_id":"` + uuid + `"}`,
			want: `set 18446744073709551615 voter=unsaid existing=false rpc="db4.example:21004" instance="` + uuid + `"`},
		{method: "POST", path: "/api/members", body: `{"id":4,"rpc_addr":"[::1]:21004"}`, want: `set 4 voter=unsaid existing=false rpc="[::1]:21004" instance=""`},
		{method: "DELETE", path: "/api/members/4", want: `remove 4`},
		{method: "POST", path: "/api/leader", body: `{"to":2}`, want: `transfer 2`},
		{method: "POST", path: "/api/leader", body: `{"to":0}`, want: `transfer 0`},
		{method: "POST", path: "/api/leader", body: `{}`, want: `transfer 0`},
		{method: "POST", path: "/api/leader", body: ``, want: `transfer 0`},
	} {
		cluster := &apitest.Cluster{Result: wire.MemberResult{ID: 4, Done: true, Message: "so it is"}, Leader: 2}
		server := serve(t, &apitest.Store{}, cluster)
		var headers []string
		if test.contentType != "" {
			headers = []string{"Content-Type", test.contentType}
		}
		got := send(t, test.method, server.URL+test.path, test.body, headers...)
		if test.path == "/api/leader" {
			wantBody(t, got, 200, `{"leader_id":2}`)
		} else {
			wantBody(t, got, 200, `{"id":4,"done":true,"message":"so it is"}`)
		}
		if asked := cluster.Asked(); !slices.Equal(asked, []string{test.want}) {
			t.Errorf("%s %s %s asked for %q, want %q", test.method, test.path, test.body, asked, test.want)
		}
	}
}

func TestAChangeThatIsNotDoneYetIsAccepted(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{Result: wire.MemberResult{ID: 4, Message: "node 4 votes once it has caught up"}})
	wantBody(t, send(t, "POST", server.URL+"/api/members", `{"id":4,"voter":true}`), 202,
		`{"id":4,"done":false,"message":"node 4 votes once it has caught up"}`)
}

func TestChangesThatMakeNoSenseAreRefusedAtTheDoor(t *testing.T) {
	cluster := &apitest.Cluster{}
	server := serve(t, &apitest.Store{}, cluster)
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/api/members", ``, wire.MalformedRequest},
		{"POST", "/api/members", `{"id":4`, wire.MalformedRequest},
		{"POST", "/api/members", `id=4`, wire.MalformedRequest},
		{"POST", "/api/members", `{"id":4}{"id":5}`, wire.MalformedRequest},
		{"POST", "/api/members", "{\"id\":4,\"rpc_addr\":\"\xff:1\"}", wire.MalformedRequest},
		{"POST", "/api/members", `{}`, wire.InvalidRequest},
		{"POST", "/api/members", `null`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":0}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":-4}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4.5}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":"4"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":18446744073709551616}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"voter":"yes"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"votes":true}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":"db4"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":":21004"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":"db4:0"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":"db4:rpc"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":"` + strings.Repeat("d", 300) + `:1"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"instance_id":"4"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"instance_id":"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c0g"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"instance_id":"9f0b4c9e-54d4-4f5a-8a55a0a7f6d3f0c02"}`, wire.InvalidRequest},
		{"POST", "/api/members", `{"id":4,"rpc_addr":"` + strings.Repeat("d", 5000) + `:1"}`, wire.TooLarge},
		{"DELETE", "/api/members/0", ``, wire.InvalidRequest},
		{"DELETE", "/api/members/-1", ``, wire.InvalidRequest},
		{"DELETE", "/api/members/four", ``, wire.InvalidRequest},
		{"DELETE", "/api/members/18446744073709551616", ``, wire.InvalidRequest},
		{"DELETE", "/api/members", ``, wire.MethodNotAllowed},
		{"DELETE", "/api/members/", ``, wire.NoSuchPage},
		{"DELETE", "/api/members/4/5", ``, wire.NoSuchPage},
		{"PUT", "/api/members/4", ``, wire.MethodNotAllowed},
		{"POST", "/api/leader", `2`, wire.InvalidRequest},
		{"POST", "/api/leader", `{"to":"2"}`, wire.InvalidRequest},
		{"POST", "/api/leader", `{"id":2}`, wire.InvalidRequest},
		{"POST", "/api/leader", `{`, wire.MalformedRequest},
		{"POST", "/api/leader", strings.Repeat(" ", 5000), wire.TooLarge},
		{"GET", "/api/leader", ``, wire.MethodNotAllowed},
	} {
		problem := wantProblem(t, send(t, test.method, server.URL+test.path, test.body), test.want)
		if len(problem.Detail) > 300 {
			t.Errorf("%s %s %.60s: a detail of %d bytes: %s", test.method, test.path, test.body, len(problem.Detail), problem.Detail)
		}
	}
	for _, path := range []string{"/api/members", "/api/leader"} {
		wantProblem(t, send(t, "POST", server.URL+path, `{"id":4}`, "Content-Type", "text/plain"), wire.UnsupportedMediaType)
	}
	for _, c := range changes {
		wantProblem(t, send(t, c.method, server.URL+c.path, c.body, "Origin", "http://evil.example"), wire.CrossOrigin)
	}
	if asked := cluster.Asked(); len(asked) > 0 {
		t.Errorf("the cluster was asked to %q", asked)
	}
}

// Every problem that package wire knows can come from the cluster, also one that
// another node has answered, and comes out as it went in.
func TestProblemsOfTheClusterAreAnsweredAsTheyAre(t *testing.T) {
	cluster := &apitest.Cluster{}
	server := serve(t, &apitest.Store{}, cluster)
	for _, p := range wire.ProblemTypes {
		cluster.FailWith(func(context.Context) error {
			return fmt.Errorf("as node 2 says: %w", wire.NewProblem(p.URI, "because the test wants it"))
		})
		for _, c := range changes {
			if problem := wantProblem(t, send(t, c.method, server.URL+c.path, c.body), p.URI); problem.Detail != "because the test wants it" {
				t.Errorf("detail %q", problem.Detail)
			}
		}
	}
}

func TestOtherErrorsOfTheClusterHaveTheirProblem(t *testing.T) {
	cluster := &apitest.Cluster{}
	server := serve(t, &apitest.Store{}, cluster)
	for _, test := range []struct {
		err  error
		want string
	}{
		{kv.ErrNoLeader, wire.NoLeader},
		{kv.ErrBusy, wire.Busy},
		{kv.ErrStopped, wire.Stopping},
		{kv.ErrOutcomeUnknown, wire.OutcomeUnknown},
		{context.Canceled, wire.OutcomeUnknown},
		{context.DeadlineExceeded, wire.OutcomeUnknown},
		{errors.Join(wire.NewProblem(wire.NoLeader, "nobody leads"), context.DeadlineExceeded), wire.NoLeader},
		{errors.New("nobody thought of this"), wire.Internal},
		{&wire.Problem{Type: "https://balsa.dev/problems/of-the-future", Title: "New", Status: 200}, wire.Internal},
	} {
		cluster.FailWith(func(context.Context) error { return fmt.Errorf("wrapped: %w", test.err) })
		for _, c := range changes {
			problem := wantProblem(t, send(t, c.method, server.URL+c.path, c.body), test.want)
			if test.want == wire.OutcomeUnknown && !strings.Contains(problem.Detail, "look at /api/members") {
				t.Errorf("detail %q does not say what to do", problem.Detail)
			}
		}
	}
}

func TestChangesEndWhenTheirTimeIsUp(t *testing.T) {
	cluster := &apitest.Cluster{}
	cluster.FailWith(func(ctx context.Context) error { // a change that finds no majority
		<-ctx.Done()
		return ctx.Err()
	})
	server := serveConfig(t, api.Config{Store: &apitest.Store{}, Cluster: cluster, RequestTimeout: 10 * time.Millisecond})
	for _, c := range changes {
		wantProblem(t, send(t, c.method, server.URL+c.path, c.body), wire.OutcomeUnknown)
	}
}

// A store that serves a node which is no member says so in the same way.
func TestANodeThatIsNoMemberSaysSo(t *testing.T) {
	store := &apitest.Store{}
	store.FailWith(func(context.Context) error {
		return fmt.Errorf("wrapped: %w", wire.NewProblem(wire.NotAMember, "waiting for the leader of cluster c to add this node"))
	})
	server := serve(t, store, &apitest.Cluster{})
	for _, r := range append(slices.Clone(requests), struct {
		method, path, body string
		writes             bool
	}{"GET", "/api/read/k", "", false}) {
		wantProblem(t, send(t, r.method, server.URL+r.path, r.body), wire.NotAMember)
	}
}
