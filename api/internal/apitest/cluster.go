package apitest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"balsa/api/wire"
)

// Cluster reports what it is told to, and remembers what it is asked to do. Set
// its fields before it is used.
type Cluster struct {
	StatusValue wire.ClusterStatus
	StatusError error
	ReadyError  error

	// Result answers SetMember and RemoveMember, and Leader TransferLeadership.
	Result wire.MemberResult
	Leader uint64

	mu      sync.Mutex
	asked   []string
	failure func(ctx context.Context) error
}

// FailWith makes every later change call f first and fail with what it returns,
// if that is not nil.
func (c *Cluster) FailWith(f func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = f
}

// Asked returns the changes that were asked for, failed ones included.
func (c *Cluster) Asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *Cluster) begin(ctx context.Context, format string, args ...any) error {
	c.mu.Lock()
	c.asked = append(c.asked, fmt.Sprintf(format, args...))
	failure := c.failure
	c.mu.Unlock()
	if failure == nil {
		return nil
	}
	return failure(ctx)
}

// Status implements api.Cluster.
func (c *Cluster) Status(context.Context) (wire.ClusterStatus, error) {
	return c.StatusValue, c.StatusError
}

// Ready implements api.Cluster.
func (c *Cluster) Ready(context.Context) error { return c.ReadyError }

// SetMember implements api.Cluster.
func (c *Cluster) SetMember(ctx context.Context, r wire.MemberRequest) (wire.MemberResult, error) {
	voter := "unsaid"
	if r.Voter != nil {
		voter = fmt.Sprint(*r.Voter)
	}
	err := c.begin(ctx, "set %d voter=%s existing=%v rpc=%q instance=%q", r.ID, voter, r.Existing, r.RPCAddr, r.InstanceID)
	return c.Result, err
}

// RemoveMember implements api.Cluster.
func (c *Cluster) RemoveMember(ctx context.Context, id uint64) (wire.MemberResult, error) {
	return c.Result, c.begin(ctx, "remove %d", id)
}

// TransferLeadership implements api.Cluster.
func (c *Cluster) TransferLeadership(ctx context.Context, to uint64) (uint64, error) {
	return c.Leader, c.begin(ctx, "transfer %d", to)
}
