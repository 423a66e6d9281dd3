package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"balsa/api/client"
	"balsa/api/internal/apitest"
	"balsa/api/wire"
)

func TestMembersAreTheNodesView(t *testing.T) {
	want := wire.Membership{NodeID: 1, LeaderID: 2, Voters: []uint64{1, 2}, Learners: []uint64{4}, ConfigurationIndex: 12,
		Change:  &wire.PendingChange{Joint: true, OldVoters: []uint64{1}, NewVoters: []uint64{1, 2}},
		Members: []wire.Member{{ID: 4, CaughtUp: new(43), Snapshot: &wire.SnapshotProgress{From: 2, Index: 9, Bytes: 1, Size: 2}, Note: "catching up"}}}
	c := newClient(t, startNode(t, &apitest.Store{}, &apitest.Cluster{StatusValue: wire.ClusterStatus{
		NodeID: want.NodeID, LeaderID: want.LeaderID, Voters: want.Voters, Learners: want.Learners,
		ConfigurationIndex: want.ConfigurationIndex, Change: want.Change, Members: want.Members,
	}}).URL)
	if got, err := c.Members(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestChangesAskForWhatTheySay(t *testing.T) {
	const uuid = "9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c04"
	begun := wire.MemberResult{ID: 4, Message: "node 4 votes once it has caught up"}
	cluster := &apitest.Cluster{Result: begun, Leader: 2} // answers with 202
	c := newClient(t, startNode(t, &apitest.Store{}, cluster).URL)
	ctx := t.Context()
	for i, test := range []struct {
		call func() (wire.MemberResult, error)
		want string
	}{
		{func() (wire.MemberResult, error) { return c.AddMember(ctx, 4, false, "", "") }, `set 4 voter=unsaid existing=false rpc="" instance=""`},
		{func() (wire.MemberResult, error) { return c.AddMember(ctx, 4, true, "db4:1", uuid) }, `set 4 voter=true existing=false rpc="db4:1" instance="` + uuid + `"`},
		{func() (wire.MemberResult, error) { return c.Promote(ctx, 4) }, `set 4 voter=true existing=true rpc="" instance=""`},
		{func() (wire.MemberResult, error) { return c.Demote(ctx, 4) }, `set 4 voter=false existing=true rpc="" instance=""`},
		{func() (wire.MemberResult, error) { return c.RemoveMember(ctx, 4) }, `remove 4`},
	} {
		if result, err := test.call(); err != nil || result != begun {
			t.Errorf("%s: %+v, %v", test.want, result, err)
		}
		if asked := cluster.Asked(); len(asked) != i+1 || asked[i] != test.want {
			t.Errorf("asked %q, want %q", asked, test.want)
		}
	}
	for _, to := range []uint64{0, 2} {
		if leader, err := c.TransferLeadership(ctx, to); leader != 2 || err != nil {
			t.Errorf("transfer to %d: %d, %v", to, leader, err)
		}
		if asked := cluster.Asked(); !slices.Contains(asked, fmt.Sprintf("transfer %d", to)) {
			t.Errorf("asked %q", asked)
		}
	}
}

func TestRefusedChangesHaveTheirKind(t *testing.T) {
	cluster := &apitest.Cluster{}
	c := newClient(t, startNode(t, &apitest.Store{}, cluster).URL)
	kinds := []error{client.ErrNotFound, client.ErrNoSuchMember, client.ErrConflict, client.ErrNotNow, client.ErrTooLarge,
		client.ErrRefused, client.ErrUnavailable, client.ErrOutcomeUnknown}
	for uri, want := range map[string]error{
		wire.NoSuchMember:         client.ErrNoSuchMember,
		wire.ConfigurationChanged: client.ErrNotNow,
		wire.NotCaughtUp:          client.ErrNotNow,
		wire.NoLiveMajority:       client.ErrNotNow,
		wire.TransferFailed:       client.ErrNotNow,
		wire.ImpossibleChange:     client.ErrRefused,
		wire.OutcomeUnknown:       client.ErrOutcomeUnknown,
	} {
		cluster.FailWith(func(context.Context) error { return wire.NewProblem(uri, "as the test wants it") })
		_, err := c.Promote(t.Context(), 4)
		for _, kind := range kinds {
			if errors.Is(err, kind) != (kind == want) {
				t.Errorf("%s: %v is %v: %v", uri, err, kind, errors.Is(err, kind))
			}
		}
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem == nil || e.Problem.Type != uri {
			t.Errorf("%s: %#v does not carry the problem", uri, err)
		}
	}
	if n := len(cluster.Asked()); n != 7 {
		t.Errorf("the node was asked %d times, want once for each problem", n)
	}
}

// Another change that is under way is waited for, within the time that there is.
func TestAPendingChangeIsWaitedOut(t *testing.T) {
	cluster := &apitest.Cluster{Result: wire.MemberResult{ID: 4, Done: true}}
	failures := 3
	cluster.FailWith(func(context.Context) error {
		if failures--; failures >= 0 {
			return wire.NewProblem(wire.ChangePending, "node 3 is being added")
		}
		return nil
	})
	c := newClient(t, startNode(t, &apitest.Store{}, cluster).URL)
	if result, err := c.RemoveMember(t.Context(), 4); err != nil || !result.Done {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestAnswersOfSomethingElseAreNoSuccessOfAChange(t *testing.T) {
	for name, body := range map[string]string{"page": "<html>login</html>", "empty": "", "JSON": `{"ok":true}`} {
		for _, status := range []int{200, 202} {
			stranger := startScripted(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			})
			c := newClient(t, stranger.URL)
			if result, err := c.RemoveMember(t.Context(), 4); !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("%s: remove: %+v, %v", name, result, err)
			}
			if leader, err := c.TransferLeadership(t.Context(), 2); !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("%s: transfer: %d, %v", name, leader, err)
			}
			if members, err := c.Members(t.Context()); !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("%s: members: %+v, %v", name, members, err)
			}
			if got, err := c.Status(t.Context()); !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("%s: status: %+v, %v", name, got, err)
			}
		}
	}
}
