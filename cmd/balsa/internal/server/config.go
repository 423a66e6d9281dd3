package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"balsa/gossip/founding"
	"balsa/raft"
)

// Config is everything that an operator can say about a node. Validate it
// before use.
type Config struct {
	// ID is the node's number, from 1. It is never reused for another machine.
	ID raft.NodeID
	// DataDir is where everything that must survive is kept.
	DataDir string

	// RPCAddr, APIAddr and GossipAddr are where the ports are opened, as
	// host:port. Port 0 lets the system choose one.
	RPCAddr, APIAddr, GossipAddr string
	// AdvertiseRPC, AdvertiseAPI and AdvertiseGossip are where others reach
	// them. Empty means where they are opened.
	AdvertiseRPC, AdvertiseAPI, AdvertiseGossip string
	// Insecure allows ports that other machines can reach.
	Insecure bool

	// GossipName is what the node is called in gossip; empty means n and its ID.
	GossipName string
	// ClusterName keeps the gossip of different clusters apart.
	ClusterName string
	// Seeds are gossip addresses through which others are found.
	Seeds []string
	// BootstrapExpect is with how many nodes, this one included, a cluster is
	// to be founded. 0 means that nothing was said about it.
	BootstrapExpect int

	// Autopilot makes members of the servers that gossip finds, and removes those
	// that have left; see package autopilot for it and the next three.
	Autopilot         bool
	MaxVoters         int
	StabilizationTime time.Duration
	RemoveDeadAfter   time.Duration

	// Heartbeat and Election are Raft's timing; see node.Config.
	Heartbeat, Election time.Duration
	// FailoverHint lets followers stand for election at once when the connection
	// to the leader breaks.
	FailoverHint bool
	// LogTail is how many entries of the log are kept for followers that are
	// behind, although the state has them on disk.
	LogTail int
	// LazyWitness lets the witness of the log trail it: see logstore.Options.
	LazyWitness bool
	// SnapshotRate is how many bytes per second a snapshot may take; 0 means that
	// there is no limit.
	SnapshotRate int
	// RequestTimeout is how long a request may wait for the cluster.
	RequestTimeout time.Duration
	// ShutdownTimeout is how long requests under way may take to finish.
	ShutdownTimeout time.Duration
	// MaxValue is the length of the longest value that is accepted, in bytes.
	MaxValue int
	// MaxInFlight bounds the requests that wait in the store at the same time.
	MaxInFlight int
	// AllowedHosts are host names under which the API may be reached over the
	// loopback interface.
	AllowedHosts []string

	// Version is the version of the program.
	Version string
	// Logger receives what an operator should know.
	Logger *slog.Logger
	// Fatal ends the process with a message: the disk under one of the stores
	// has failed. It must not return.
	Fatal func(message string)
}

// ErrConfig means that the settings cannot work, whatever the state of this
// machine. The text says which flag to change.
var ErrConfig = errors.New("wrong settings")

// Validate reports the first setting that cannot work. Errors wrap [ErrConfig].
func (c Config) Validate(ctx context.Context) error {
	if err := c.validate(ctx); err != nil {
		return &configError{err}
	}
	return nil
}

// configError is an ErrConfig that does not mention it.
type configError struct{ error }

func (e *configError) Unwrap() []error { return []error{ErrConfig, e.error} }

// maxValueLimit is what fits into one entry of the log beside the longest key.
const maxValueLimit = raft.MaxEntryData - 64<<10

// maxRequestTimeout leaves the API time to answer before it cuts a connection
// that takes too long.
const maxRequestTimeout = 25 * time.Second

func (c Config) validate(ctx context.Context) error {
	switch {
	case c.ID == raft.None:
		return errors.New("--id is required: give each node a number of its own, from 1")
	case c.DataDir == "":
		return errors.New("--data-dir is empty: name the directory where this node keeps its data")
	case c.RPCAddr == "":
		return errors.New("--rpc-addr is required: the address for the other nodes, such as 127.0.0.1:21001")
	case c.BootstrapExpect < 0 || c.BootstrapExpect > founding.MaxServers:
		return fmt.Errorf("--bootstrap-expect %d is impossible: a cluster is founded by 1 to %d nodes", c.BootstrapExpect, founding.MaxServers)
	case c.MaxVoters < 1 || c.MaxVoters%2 == 0:
		return fmt.Errorf("--max-voters %d is impossible: it must be odd, because one voter more makes the majority larger "+
			"and survives no more failures", c.MaxVoters)
	case c.StabilizationTime < c.silence():
		return fmt.Errorf("--stabilization-time %v is too short: a node may be silent for %v without anything being wrong, "+
			"so that is the least", c.StabilizationTime, c.silence())
	case c.RemoveDeadAfter != 0 && c.RemoveDeadAfter < max(time.Minute, c.StabilizationTime):
		return fmt.Errorf("--remove-dead-after %v is too short: at least %v, or a restart could cost a member; 0s means never",
			c.RemoveDeadAfter, max(time.Minute, c.StabilizationTime))
	case c.LogTail < 1:
		return fmt.Errorf("--log-tail %d is impossible: at least 1 entry", c.LogTail)
	case c.SnapshotRate < 0:
		return fmt.Errorf("--snapshot-rate %d is impossible: bytes per second, or 0 for no limit", c.SnapshotRate)
	case c.Heartbeat < 10*time.Millisecond:
		return fmt.Errorf("--heartbeat %v is too short: at least 10ms", c.Heartbeat)
	case c.Election < 2*c.Heartbeat:
		return fmt.Errorf("--election-timeout %v is too short for --heartbeat %v: it must be at least twice as long, "+
			"or one lost heartbeat starts an election", c.Election, c.Heartbeat)
	case c.RequestTimeout <= 0 || c.RequestTimeout > maxRequestTimeout:
		return fmt.Errorf("--request-timeout %v is impossible: more than 0s, at most %v", c.RequestTimeout, maxRequestTimeout)
	case c.ShutdownTimeout <= 0:
		return fmt.Errorf("--shutdown-timeout %v is impossible: it must be more than 0s", c.ShutdownTimeout)
	case c.MaxValue < 1 || c.MaxValue > maxValueLimit:
		return fmt.Errorf("--max-value-size %d is impossible: between 1 and %d bytes", c.MaxValue, maxValueLimit)
	case c.MaxInFlight < 1:
		return fmt.Errorf("--max-in-flight %d is impossible: at least 1 request", c.MaxInFlight)
	}
	for _, a := range c.addresses() {
		if err := a.validate(ctx, c.Insecure); err != nil {
			return err
		}
	}
	if err := c.validateDifferent(); err != nil {
		return err
	}
	for _, seed := range c.Seeds {
		if host, port, err := net.SplitHostPort(seed); err != nil || host == "" || port == "" || port == "0" {
			return fmt.Errorf("--seed-gossip-addrs: %q is not an address of the form host:port", seed)
		}
	}
	return nil
}

// snapshotRate is in the words of the transport, where 0 means the default.
func (c Config) snapshotRate() int64 {
	if c.SnapshotRate == 0 {
		return -1
	}
	return int64(c.SnapshotRate)
}

// silence is how long a member may not answer and still count as being there.
func (c Config) silence() time.Duration { return 2 * c.Election }

// address is one of the ports and the flags that it is set with.
type address struct {
	flag, bind               string
	advertiseFlag, advertise string
}

func (c Config) addresses() []address {
	return []address{
		{"--rpc-addr", c.RPCAddr, "--advertise-rpc-addr", c.AdvertiseRPC},
		{"--api-addr", c.APIAddr, "--advertise-api-addr", c.AdvertiseAPI},
		{"--gossip-addr", c.GossipAddr, "--advertise-gossip-addr", c.AdvertiseGossip},
	}
}

func (a address) validate(ctx context.Context, insecure bool) error {
	host, port, err := net.SplitHostPort(a.bind)
	if err != nil || port == "" {
		return fmt.Errorf("%s: %q is not an address of the form host:port", a.flag, a.bind)
	}
	if a.advertise != "" {
		if advertised, port, err := net.SplitHostPort(a.advertise); err != nil || advertised == "" || port == "" {
			return fmt.Errorf("%s: %q is not an address of the form host:port", a.advertiseFlag, a.advertise)
		}
	}
	if a.advertise == "" && isUnspecified(host) {
		return fmt.Errorf("%s %s opens the port on every interface, which does not say where others find this node: "+
			"add %s with the address at which they reach it", a.flag, a.bind, a.advertiseFlag)
	}
	if insecure {
		return nil
	}
	exposed, err := beyondLoopback(ctx, host)
	if err != nil {
		return fmt.Errorf("%s: the host of %q cannot be found: %w", a.flag, a.bind, err)
	}
	if exposed {
		return fmt.Errorf("%s %s can be reached from other machines, and nothing on it is encrypted or asks who is calling: "+
			"use a loopback address such as 127.0.0.1:%s, or add --insecure if you trust everybody on that network", a.flag, a.bind, port)
	}
	return nil
}

// validateDifferent refuses one port for two purposes. Port 0 is a different
// one each time.
func (c Config) validateDifferent() error {
	taken := map[string]string{}
	for _, a := range c.addresses() {
		if _, port, _ := net.SplitHostPort(a.bind); port == "0" {
			continue
		}
		if other, ok := taken[a.bind]; ok {
			return fmt.Errorf("%s and %s are both %s: give each a port of its own", other, a.flag, a.bind)
		}
		taken[a.bind] = a.flag
	}
	return nil
}

func isUnspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// beyondLoopback reports whether any address of the host is not a loopback
// address.
func beyondLoopback(ctx context.Context, host string) (bool, error) {
	if isUnspecified(host) {
		return true, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, err
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return true, nil
		}
	}
	return false, nil
}
