package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"balsa/api"
	"balsa/api/wire"
	"balsa/kv"
)

// fakeNode is a node whose API is real and whose cluster is not: it shows a
// status, remembers what it is asked for, and answers as it is told to.
type fakeNode struct {
	*httptest.Server
	api.Store // nil: nobody asks it for keys, but for what is overwritten below

	mu     sync.Mutex
	status wire.ClusterStatus
	asked  []string
	// result and problem answer changes; looked is called before each look at
	// the status.
	result  wire.MemberResult
	problem *wire.Problem
	looked  func(n int, status *wire.ClusterStatus)
	looks   int
}

func startFake(t *testing.T, n *fakeNode) *fakeNode {
	t.Helper()
	n.Server = httptest.NewServer(api.New(api.Config{Store: n, Cluster: n, NodeID: n.status.NodeID}))
	t.Cleanup(n.Close)
	return n
}

func (n *fakeNode) Ready(context.Context) error { return nil }

func (n *fakeNode) Status(context.Context) (wire.ClusterStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	if n.looked != nil {
		n.looked(n.looks, &n.status)
	}
	return n.status, nil
}

func (n *fakeNode) answer(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, fmt.Sprintf(format, args...))
	if n.problem != nil {
		return n.problem
	}
	return nil
}

func (n *fakeNode) SetMember(_ context.Context, r wire.MemberRequest) (wire.MemberResult, error) {
	voter := "unsaid"
	if r.Voter != nil {
		voter = fmt.Sprint(*r.Voter)
	}
	return n.result, n.answer("set %d voter=%s existing=%v %s %s", r.ID, voter, r.Existing, r.RPCAddr, r.InstanceID)
}

func (n *fakeNode) RemoveMember(_ context.Context, id uint64) (wire.MemberResult, error) {
	return n.result, n.answer("remove %d", id)
}

func (n *fakeNode) TransferLeadership(_ context.Context, to uint64) (uint64, error) {
	return 2, n.answer("transfer %d", to)
}

func (n *fakeNode) LeaseGet(context.Context, []byte) (kv.Item, bool, error) {
	return kv.Item{Value: []byte("by lease"), Revision: 1, Applied: 1}, true, n.answer("lease")
}

// runAt runs a command in this process against some nodes.
func runAt(nodes []*fakeNode, args ...string) (out, errs string, code int) {
	var stdout, stderr bytes.Buffer
	for _, n := range nodes {
		args = append(args, "--endpoints", n.URL)
	}
	code = run(args, strings.NewReader(""), &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

func (n *fakeNode) run(args ...string) (out, errs string, code int) {
	return runAt([]*fakeNode{n}, args...)
}

func address(n *fakeNode) string { return n.Listener.Addr().String() }

func TestMemberCommandsAskForWhatTheySay(t *testing.T) {
	const uuid = "9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c04"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"add", "4"}, "set 4 voter=unsaid existing=false  "},
		{[]string{"add", "4", "--voter"}, "set 4 voter=true existing=false  "},
		{[]string{"add", "4", "--rpc-addr", "db4:1", "--instance-id", uuid}, "set 4 voter=unsaid existing=false db4:1 " + uuid},
		{[]string{"promote", "4"}, "set 4 voter=true existing=true  "},
		{[]string{"demote", "4"}, "set 4 voter=false existing=true  "},
		{[]string{"remove", "4"}, "remove 4"},
		{[]string{"leave"}, "remove 7"}, // the node itself
	} {
		n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}, result: wire.MemberResult{ID: 4, Message: "it is done"}})
		told := n.result
		if test.args[0] == "leave" {
			told.Message += "; it stops now"
		}
		if out, errs, code := n.run(test.args...); out != told.Message+"\n" || errs != "" || code != exitOK {
			t.Errorf("%v: exit code %d, %q, %q", test.args, code, out, errs)
		}
		if !slices.Equal(n.asked, []string{test.want}) {
			t.Errorf("%v asked for %q, want %q", test.args, n.asked, test.want)
		}
		out, _, code := n.run(append(test.args, "--output", "json")...)
		var result wire.MemberResult
		if err := json.Unmarshal([]byte(out), &result); err != nil || code != exitOK || result != told {
			t.Errorf("%v: exit code %d, %q, %v", test.args, code, out, err)
		}
	}
}

func TestTransferSaysWhoLeads(t *testing.T) {
	n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}})
	if out, errs, code := n.run("transfer"); out != "node 2 leads now\n" || code != exitOK {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	if out, errs, code := n.run("transfer", "2", "--output", "json"); !strings.Contains(out, `"leader_id": 2`) || code != exitOK {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	if !slices.Equal(n.asked, []string{"transfer 0", "transfer 2"}) {
		t.Errorf("asked %q", n.asked)
	}
}

// A variable that is meant for a node on the same machine must not become the
// address of a server that is added.
func TestAddDoesNotTakeTheAddressOfTheNodeItRunsOn(t *testing.T) {
	t.Setenv("BALSA_RPC_ADDR", "127.0.0.1:21001")
	n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}, result: wire.MemberResult{ID: 4}})
	if _, errs, code := n.run("add", "4"); code != exitOK {
		t.Fatalf("exit code %d, %q", code, errs)
	}
	if want := []string{"set 4 voter=unsaid existing=false  "}; !slices.Equal(n.asked, want) {
		t.Errorf("asked %q, want %q", n.asked, want)
	}
}

func TestARefusedChangeIsOneLineThatSaysWhatToDo(t *testing.T) {
	for uri, want := range map[string]struct {
		code int
		line string
	}{
		wire.NoSuchMember:         {exitNotFound, "No such member (404): because; balsa members lists them all"},
		wire.ConfigurationChanged: {exitConflict, "Configuration changed (409): because; look at balsa members and decide anew"},
		wire.NotCaughtUp:          {exitConflict, "Not caught up (409): because; balsa members shows how far it is"},
		wire.NoLiveMajority:       {exitConflict, "No live majority (409): because; balsa members shows who is silent: bring them back or remove them first"},
		wire.TransferFailed:       {exitConflict, "Leadership not transferred (409): because; balsa members shows who leads"},
		wire.ImpossibleChange:     {exitError, "Impossible change (422): because"},
		wire.ChangePending:        {exitUnavailable, "Another change is under way (409): because; balsa members shows it"},
		wire.NotAMember:           {exitUnavailable, "Not a member (503): because"},
		wire.OutcomeUnknown:       {exitOutcomeUnknown, "Outcome unknown (504): because"},
	} {
		n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}, problem: wire.NewProblem(uri, "because")})
		for _, command := range []string{"add 4", "promote 4", "demote 4", "remove 4", "transfer 4", "leave"} {
			args := strings.Fields(command)
			if want.code == exitUnavailable {
				args = append(args, "--timeout", "100ms") // it is tried for so long
			}
			out, errs, code := n.run(args...)
			for code == exitOutcomeUnknown && want.code != code { // the last attempt was still under way
				out, errs, code = n.run(args...)
			}
			if code != want.code || out != "" || errs != fmt.Sprintf("balsa: %s: %s\n", n.URL, want.line) {
				t.Errorf("%s: exit code %d, want %d; stdout %q; stderr %q, want %q", command, code, want.code, out, errs, want.line)
			}
		}
	}
}

// learner returns a view in which node 4 is one.
func learner(note string) wire.ClusterStatus {
	return wire.ClusterStatus{
		NodeID: 1, LeaderID: 1, Voters: []uint64{1}, Learners: []uint64{4},
		Members: []wire.Member{
			{ID: 1, Role: wire.RoleLeader, Status: wire.StatusAlive},
			{ID: 4, Role: wire.RoleNone, Status: wire.StatusDead, InstanceID: "an impostor"},
			{ID: 4, Role: wire.RoleLearner, Status: wire.StatusAlive, Note: note},
		},
	}
}

func TestWaitTellsHowItGoesOnUntilTheServerVotes(t *testing.T) {
	for _, command := range []string{"add 4 --voter", "promote 4"} {
		n := startFake(t, &fakeNode{status: learner("catching up: 43 %"), result: wire.MemberResult{ID: 4, Message: "begun"}})
		n.looked = func(look int, s *wire.ClusterStatus) {
			switch look {
			case 3: // the same had to be told once only
				s.Voters, s.Learners, s.Members[2].Role = []uint64{1, 4}, nil, wire.RoleFollower
				s.Change = &wire.PendingChange{Joint: true}
			case 4:
				s.Change = nil
			}
		}
		out, errs, code := n.run(append(strings.Fields(command), "--wait", patience.String())...)
		if code != exitOK || out != "node 4 votes now\n" || errs != "node 4: catching up: 43 %\nnode 4: its vote is being committed\n" {
			t.Errorf("%s: exit code %d, %q, %q", command, code, out, errs)
		}
	}
}

func TestWaitEndsWithWhatTheServerWaitsFor(t *testing.T) {
	n := startFake(t, &fakeNode{status: learner("refused: it was removed"), result: wire.MemberResult{ID: 4, Message: "begun"}})
	out, errs, code := n.run("promote", "4", "--wait", "10ms")
	const want = "node 4 does not vote after 10ms (refused: it was removed); balsa members shows how it goes on\n"
	if code != exitConflict || out != "" || !strings.HasSuffix(errs, want) {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}

func TestNothingIsWaitedForThatHasHappened(t *testing.T) {
	n := startFake(t, &fakeNode{status: learner(""), result: wire.MemberResult{ID: 4, Done: true, Message: "node 4 votes"}})
	if out, errs, code := n.run("promote", "4", "--wait", patience.String()); code != exitOK || out != "node 4 votes\n" || errs != "" || n.looks != 0 {
		t.Errorf("exit code %d, %q, %q, %d looks", code, out, errs, n.looks)
	}
}

func TestLeaveTakesItsNodeFromTheCommandLineOnly(t *testing.T) {
	n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}})
	for name, nodes := range map[string][]*fakeNode{"the environment": nil, "two nodes": {n, n}} {
		t.Setenv("BALSA_ENDPOINTS", n.URL)
		if _, errs, code := runAt(nodes, "leave"); code != exitUsage || !strings.Contains(errs, "name the one node that is to leave") {
			t.Errorf("%s: exit code %d, %q", name, code, errs)
		}
	}
	if len(n.asked) > 0 {
		t.Errorf("asked %q", n.asked)
	}
}

func TestGetByLease(t *testing.T) {
	n := startFake(t, &fakeNode{status: wire.ClusterStatus{NodeID: 7}})
	if out, errs, code := n.run("get", "k", "--lease"); out != "by lease" || code != exitOK {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	if !slices.Equal(n.asked, []string{"lease"}) {
		t.Errorf("asked %q", n.asked)
	}
	if _, errs, code := n.run("get", "k", "--lease", "--stale"); code != exitUsage || !strings.Contains(errs, "choose one") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}
