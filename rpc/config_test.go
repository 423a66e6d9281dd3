package rpc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/raft"
)

func TestConfigIsChecked(t *testing.T) {
	good := func() Config {
		return Config{
			Listener: listen(t), Node: 1, Instance: instanceOf(1), Handler: &host{},
			Cluster:  func() [16]byte { return testCluster },
			Resolver: newDirectory().resolve,
		}
	}
	for name, spoil := range map[string]func(*Config){
		"no listener":     func(c *Config) { c.Listener = nil },
		"no handler":      func(c *Config) { c.Handler = nil },
		"no cluster":      func(c *Config) { c.Cluster = nil },
		"no resolver":     func(c *Config) { c.Resolver = nil },
		"no node":         func(c *Config) { c.Node = raft.None },
		"no instance":     func(c *Config) { c.Instance = raft.InstanceID{} },
		"negative limit":  func(c *Config) { c.Limits.Window = -1 },
		"negative time":   func(c *Config) { c.Limits.Stall = -time.Second },
		"backoff shrinks": func(c *Config) { c.Limits.BackoffMin, c.Limits.BackoffMax = time.Second, time.Millisecond },
		"huge batches":    func(c *Config) { c.Limits.BatchBytes = MaxMessage + 1 },
	} {
		config := good()
		listener := config.Listener
		spoil(&config)
		if _, err := New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
		listener.Close()
	}
	if _, err := Listen(t.Context(), "127.0.0.1:99999"); err == nil || !strings.Contains(err.Error(), "99999") {
		t.Errorf("Listen on an impossible port: %v", err)
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	b := backoff{min: 40 * time.Millisecond, max: time.Second}
	for i, nominal := range []time.Duration{40, 80, 160, 320, 640, 1000, 1000} {
		nominal *= time.Millisecond
		if d := b.delay(); d < nominal/2 || d > nominal {
			t.Errorf("pause %d is %v, want between %v and %v", i, d, nominal/2, nominal)
		}
	}
	b.reset()
	if d := b.delay(); d > 40*time.Millisecond {
		t.Errorf("after a reset the pause is %v", d)
	}
}

func TestComplaintsAreLoggedOnceAMinuteAndBounded(t *testing.T) {
	var c complaints
	now := time.Now()
	first := complaint{host: "h", node: 1, reason: "r"}
	got := []bool{
		c.isNew(first, now),
		c.isNew(first, now.Add(time.Second)),
		c.isNew(complaint{host: "h", node: 1, reason: "another"}, now),
		c.isNew(first, now.Add(complaintInterval)),
	}
	if !slices.Equal(got, []bool{true, false, true, true}) {
		t.Errorf("logged: %v", got)
	}
	for i := range 10 * maxComplaints {
		c.isNew(complaint{node: raft.NodeID(i)}, now)
	}
	if len(c.last) > maxComplaints {
		t.Errorf("%d complaints are remembered, want at most %d", len(c.last), maxComplaints)
	}
	if !c.isNew(complaint{host: "later"}, now.Add(3*complaintInterval)) {
		t.Error("after the flood nothing is logged any more")
	}
}
