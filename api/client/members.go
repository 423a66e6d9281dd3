package client

import (
	"context"
	"net/http"
	"strconv"

	"balsa/api/wire"
)

// Members returns what one node knows of the members. How far each is, and what
// is about to become of it, only the leader tells: ask a client that has its
// address alone.
func (c *Client) Members(ctx context.Context) (wire.Membership, error) {
	r := request{method: http.MethodGet, path: "/api/members"}
	return ask(ctx, c, r, func(members wire.Membership) bool { return members.NodeID != 0 })
}

// AddMember adds a server as a learner, which the cluster may promote by itself.
// A server that gossip does not see needs an address and the identity of its
// data directory; empty strings leave that to gossip. With voter the server is
// to vote as soon as it has caught up, and a learner that there is already is
// promoted. See [wire.MemberResult.Done] for whether it votes already.
//
// It fails with ErrNoSuchMember if gossip does not see the server, and with
// ErrRefused if it is a member already or was removed.
func (c *Client) AddMember(ctx context.Context, id uint64, voter bool, rpcAddr, instanceID string) (wire.MemberResult, error) {
	r := wire.MemberRequest{ID: id, RPCAddr: rpcAddr, InstanceID: instanceID}
	if voter {
		r.Voter = &voter
	}
	return c.setMember(ctx, r)
}

// Promote makes a learner a voter, as soon as it has caught up; see
// [wire.MemberResult.Done] for whether it has. It fails with ErrNoSuchMember if
// there is no such member, ErrRefused if it votes already, and ErrNotNow.
func (c *Client) Promote(ctx context.Context, id uint64) (wire.MemberResult, error) {
	return c.setMember(ctx, wire.MemberRequest{ID: id, Voter: new(true), Existing: true})
}

// Demote makes a member a learner, which it stays until it is promoted. It fails
// with ErrNoSuchMember if there is no such member, ErrRefused if nothing would
// change or nobody would vote any more, and ErrNotNow.
func (c *Client) Demote(ctx context.Context, id uint64) (wire.MemberResult, error) {
	return c.setMember(ctx, wire.MemberRequest{ID: id, Voter: new(false), Existing: true})
}

func (c *Client) setMember(ctx context.Context, member wire.MemberRequest) (wire.MemberResult, error) {
	return c.changeMember(ctx, request{method: http.MethodPost, path: "/api/members"}.withJSON(member))
}

// RemoveMember removes a member for good: with the data directory that it has it
// can never come back. A node that is asked to remove itself leaves. It fails
// with ErrNoSuchMember if there is no such member, ErrRefused if it is the last
// voter, and ErrNotNow.
func (c *Client) RemoveMember(ctx context.Context, id uint64) (wire.MemberResult, error) {
	return c.changeMember(ctx, request{method: http.MethodDelete, path: "/api/members/" + strconv.FormatUint(id, 10)})
}

func (c *Client) changeMember(ctx context.Context, r request) (wire.MemberResult, error) {
	r.writes = true
	return ask(ctx, c, r, func(result wire.MemberResult) bool { return result.ID != 0 })
}

// TransferLeadership makes a voter the leader, for 0 the one whose log is
// longest, and returns who leads then. It fails with ErrNoSuchMember,
// ErrRefused if that server cannot lead or leads already, and ErrNotNow if it
// did not take over.
func (c *Client) TransferLeadership(ctx context.Context, to uint64) (leader uint64, err error) {
	r := request{method: http.MethodPost, path: "/api/leader", writes: true}.withJSON(wire.TransferRequest{To: to})
	result, err := ask(ctx, c, r, func(result wire.TransferResult) bool { return result.LeaderID != 0 })
	return result.LeaderID, err
}
