package autopilot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"balsa/gossip"
	"balsa/raft"
)

// Raft is what the autopilot needs of this server's Raft node. A node.Node is
// one. Its methods must return when the context ends.
type Raft interface {
	Status(ctx context.Context) (raft.Status, error)
	// TickInterval is the length of the ticks that Status counts in.
	TickInterval() time.Duration
	// ChangeMembers and TransferLeadership return when it is done. An error
	// means that it was refused, or that nobody knows.
	ChangeMembers(ctx context.Context, change raft.Change) error
	TransferLeadership(ctx context.Context, to raft.NodeID) error
}

// View is what the autopilot needs of gossip. A [gossip.Gossip] is one.
type View interface {
	Members() []gossip.Member
	Conflicts() []gossip.Conflict
	// Watch returns a channel that receives a value after either has changed.
	Watch() (changed <-chan struct{}, stop func())
}

// Config sets up an [Autopilot]. Raft, View, ClusterID and Logger are required;
// zero elsewhere means the default. All servers of a cluster should have the
// same settings: those of the one that leads are in force.
type Config struct {
	Raft Raft
	View View
	// ClusterID is the cluster that this server belongs to.
	ClusterID gossip.UUID
	// Enabled says that something is done. An autopilot that is not enabled only
	// reports.
	Enabled bool

	// MaxVoters is how many servers vote at most; those beyond it stay learners.
	// It is odd, because a voter that makes the number even makes the majority
	// larger and not the number of failures that the cluster survives. Default 5.
	MaxVoters int
	// StabilizationTime is how long a learner must have been alive, in contact
	// and caught up, without a break, before it votes. A server that left must
	// have been silent for as long before it is removed. It is at least Silence.
	// Default 10 s.
	StabilizationTime time.Duration
	// RemoveDeadAfter is after how long a server is removed that neither gossip
	// nor Raft hears any more. It is at least StabilizationTime. Zero, the
	// default, means never: a server that is down usually comes back.
	RemoveDeadAfter time.Duration
	// MinVoters is the number of voters below which the removal of dead ones
	// does not go. Default 3.
	MinVoters int

	// MaxLag is how many committed entries a learner may lack when it is made a
	// voter. It should not be above the core's own limit, MaxPromotionLag of
	// [raft.Config]. Default 1000.
	MaxLag int
	// Silence is how long a member may not answer and still count as being in
	// contact: twice the shortest election timeout, which is what Raft itself
	// goes by when it judges a change. Default 600 ms.
	Silence time.Duration

	// Interval is the time between two looks at the world when nothing calls for
	// an earlier one. Default 1 s.
	Interval time.Duration
	// Changed, if not nil, receives a value when something changed in Raft that
	// is worth a look at once: who leads, or the configuration. Gossip is watched
	// anyway. It must not be closed.
	Changed <-chan struct{}
	// Logger receives what is done and what cannot be done, each once.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.MaxVoters = orDefault(c.MaxVoters, 5)
	c.MinVoters = orDefault(c.MinVoters, 3)
	c.MaxLag = orDefault(c.MaxLag, 1000)
	c.StabilizationTime = orDefault(c.StabilizationTime, 10*time.Second)
	c.Silence = orDefault(c.Silence, 600*time.Millisecond)
	c.Interval = orDefault(c.Interval, time.Second)
	switch {
	case c.Raft == nil || c.View == nil || c.Logger == nil || c.ClusterID == gossip.UUID{}:
		return c, errors.New("autopilot: Raft, View, ClusterID and Logger are required")
	case c.MaxVoters < 0 || c.MinVoters < 0 || c.MaxLag < 0 || c.StabilizationTime < 0 || c.Silence < 0 || c.Interval < 0:
		return c, errors.New("autopilot: a setting is negative")
	case c.MaxVoters%2 == 0:
		return c, fmt.Errorf("autopilot: at most %d voters: the number must be odd, such as %d, because one voter more makes the majority larger "+
			"and survives no more failures", c.MaxVoters, c.MaxVoters-1)
	case c.StabilizationTime < c.Silence:
		return c, fmt.Errorf("autopilot: a stabilisation time of %v is less than %v, for which a member in contact may be silent", c.StabilizationTime, c.Silence)
	case c.RemoveDeadAfter < 0, c.RemoveDeadAfter > 0 && c.RemoveDeadAfter < c.StabilizationTime:
		return c, fmt.Errorf("autopilot: dead servers cannot be removed after %v: give at least the stabilisation time, %v, or 0 for never",
			c.RemoveDeadAfter, c.StabilizationTime)
	}
	return c, nil
}

func orDefault[T ~int | ~int64](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}
