package raft

import (
	"errors"
	"fmt"
)

// Config sets up a [Core]. Times are in ticks; what a tick is, only the host
// knows.
type Config struct {
	// ID is this server. Required.
	ID NodeID
	// Instance is its data directory. A configuration that names the server with
	// another one means a server that is gone, and whose vote this one does not
	// have. Zero: whatever a configuration says is right.
	Instance InstanceID
	// ElectionTicks is the shortest election timeout. Each timeout is drawn at
	// random from [ElectionTicks, 2*ElectionTicks) (§5.2). Default 30.
	ElectionTicks int
	// HeartbeatTicks is the pause between a leader's heartbeats. It must be
	// well below ElectionTicks. Default 5.
	HeartbeatTicks int
	// Random returns a uniformly random number in [0, n). Required. It is the
	// core's only source of randomness: with the same inputs and the same
	// numbers a core does the same things.
	Random func(n int) int

	// MaxMessageBytes bounds the entries in one AppendEntries, unless a single
	// entry is larger. Default 1 MiB.
	MaxMessageBytes int
	// MaxWindowMessages and MaxWindowBytes bound what may be on the way to one
	// follower without an acknowledgement. Defaults 8 and 4 MiB. Few large
	// messages are better than many small ones: while the window is full, the
	// next message grows.
	MaxWindowMessages int
	MaxWindowBytes    int
	// MaxUncommittedBytes bounds the commands that a leader has accepted and
	// not committed; beyond it, proposals get ErrTooMuchUncommitted. Default
	// 64 MiB.
	MaxUncommittedBytes int
	// MaxApplyBytes bounds the entries of one Apply. Default 4 MiB.
	MaxApplyBytes int
	// MaxPromotionLag is how many committed entries a learner may lack to be made
	// a voter. Default 1000: what is sent within a fraction of a second.
	MaxPromotionLag int
	// LeaseTime is how long a confirmed round serves reads by lease, in the unit
	// of [Core.SetClock]; see lease.go for what it must be. Zero: never.
	LeaseTime uint64
	// CacheBytes bounds the entries kept in memory after they are durable and
	// applied, for followers that are a little behind. Default 16 MiB.
	CacheBytes int

	// Trace, if set, is called with every transition. It must not call back.
	Trace func(Event)
}

// withDefaults fills in what is not set and rejects what cannot work.
func (cfg Config) withDefaults() (Config, error) {
	defaults := []struct {
		field *int
		value int
	}{
		{&cfg.ElectionTicks, 30},
		{&cfg.HeartbeatTicks, 5},
		{&cfg.MaxMessageBytes, 1 << 20},
		{&cfg.MaxWindowMessages, 8},
		{&cfg.MaxWindowBytes, 4 << 20},
		{&cfg.MaxUncommittedBytes, 64 << 20},
		{&cfg.MaxApplyBytes, 4 << 20},
		{&cfg.MaxPromotionLag, 1000},
		{&cfg.CacheBytes, 16 << 20},
	}
	for _, d := range defaults {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return cfg, errors.New("raft: a limit is negative")
		}
	}
	switch {
	case cfg.ID == None:
		return cfg, errors.New("raft: a server needs an ID other than 0")
	case cfg.Random == nil:
		return cfg, errors.New("raft: Config.Random is not set")
	case cfg.ElectionTicks < 2*cfg.HeartbeatTicks:
		return cfg, fmt.Errorf("raft: the election timeout (%d ticks) must be at least twice the heartbeat (%d ticks), "+
			"or one lost heartbeat starts an election", cfg.ElectionTicks, cfg.HeartbeatTicks)
	}
	return cfg, nil
}
