package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultCluster is the cluster name of whoever does not choose one.
const DefaultCluster = "balsa"

// Timing chooses how quickly gossip goes round and how soon silence counts as
// death.
type Timing int

const (
	// TimingLAN suits servers on a local network: a crash is noticed after
	// about five seconds, and later on a busy network.
	TimingLAN Timing = iota
	// TimingLocal suits servers on one machine: shorter patience, more packets.
	TimingLocal
)

// Config says who this server is and how it takes part in gossip.
type Config struct {
	// ID is the server's id, from 1.
	ID uint64
	// InstanceID is the identity of its data directory.
	InstanceID UUID
	// Name is what the server is called in gossip, at most 64 letters, digits
	// and .:-_, and unlike any other server's. Empty means "n" and the id.
	Name string

	// Bind is where the gossip port is opened, over UDP and TCP, as host:port.
	// Port 0 lets the system choose one. No host, 0.0.0.0 and :: mean every
	// interface; Advertise is then required.
	Bind string
	// Advertise is where others reach the gossip port, as host:port, if that
	// differs from Bind. With port 0, or when the port of Bind is 0, it is the
	// port that was opened.
	Advertise string
	// RPCAddr and APIAddr are where other servers and clients reach this
	// server, as host:port of at most [MaxAddress] bytes. APIAddr may be empty.
	RPCAddr string
	APIAddr string

	// Cluster is the cluster's name, at most 255 bytes, [DefaultCluster] if
	// empty. Servers with different names do not hear each other. It is a name,
	// not the cluster id, because servers must find each other before the
	// cluster exists.
	Cluster string
	// ClusterID is the cluster that this server belongs to, or zero if it has
	// none yet; see [Gossip.SetClusterID].
	ClusterID UUID
	// Generation is larger than at every earlier start of this server from the
	// same data directory, at most 1<<48: a restart counter, such as that of
	// [NextGeneration]. It makes the state of this life count for more than
	// what the others remember of an earlier one, from the first message on. If
	// it is not larger, because there is no counter (0) or because the disk was
	// wiped, this server takes a larger one as soon as it hears from somebody
	// who remembers. Until then that one does not see its new state. A clock
	// would not do: it may go back.
	Generation uint64
	// Expect is with how many servers, this one included, a cluster is to be
	// founded, up to 255. 0 means that this server founds none.
	Expect int
	// Seeds are gossip addresses, as host:port, through which the others are
	// found. Host names are looked up again at every attempt, and all of their
	// addresses are tried.
	Seeds []string

	// Timing is [TimingLAN] unless something else is asked for.
	Timing Timing
	// Logger receives one line per change. It must not be nil.
	Logger *slog.Logger

	// Transport replaces the network. It is nil outside of tests; Bind and
	// Advertise are not used when it is set.
	Transport memberlist.Transport
	// Resolver looks up host names; nil means [net.DefaultResolver].
	Resolver Resolver
}

// Resolver looks up the addresses of a host. [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// withDefaults fills in what was left open, and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "n" + strconv.FormatUint(c.ID, 10)
	}
	if c.Cluster == "" {
		c.Cluster = DefaultCluster
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Logger == nil {
		return c, errors.New("gossip: no logger")
	}
	if err := checkName(c.Name); err != nil {
		return c, fmt.Errorf("gossip: %w", err)
	}
	if n := len(c.Cluster); n > memberlist.LabelMaxSize {
		return c, fmt.Errorf("gossip: the cluster name has %d bytes, at most %d are possible", n, memberlist.LabelMaxSize)
	}
	if c.Generation > maxGeneration {
		return c, fmt.Errorf("gossip: a generation of %d, at most %d is possible", c.Generation, uint64(maxGeneration))
	}
	if c.Expect < 0 || c.Expect > 255 {
		return c, fmt.Errorf("gossip: a cluster cannot be founded by %d servers", c.Expect)
	}
	if err := c.meta(runID{}).validate(); err != nil {
		return c, fmt.Errorf("gossip: this server cannot be announced: %w", err)
	}
	for _, seed := range c.Seeds {
		if err := checkDialable(seed); err != nil {
			return c, fmt.Errorf("gossip: seed address: %w", err)
		}
	}
	return c, nil
}

// meta returns what the server says about itself.
func (c Config) meta(run runID) meta {
	return meta{
		id: c.ID, instance: c.InstanceID, cluster: c.ClusterID, run: run,
		rpcAddr: c.RPCAddr, apiAddr: c.APIAddr, expect: c.Expect,
	}
}

// memberlistConfig translates the configuration. It looks up host names itself:
// memberlist takes only IP addresses, and turns anything else into "every
// interface" without a word.
func (c Config) memberlistConfig(ctx context.Context) (*memberlist.Config, error) {
	mc := c.Timing.profile()
	mc.Name = c.Name
	mc.Label = c.Cluster
	mc.Transport = c.Transport
	if c.Transport != nil {
		return mc, nil
	}
	bind, err := c.listenAddress(ctx, c.Bind)
	if err != nil {
		return nil, fmt.Errorf("gossip: cannot bind: %w", err)
	}
	mc.BindAddr, mc.BindPort = bind.Addr().String(), int(bind.Port())
	mc.AdvertisePort = mc.BindPort
	if c.Advertise == "" {
		if bind.Addr().IsUnspecified() {
			return nil, fmt.Errorf("gossip: binding to %s opens the port on every interface, which does not say where the others find this server: "+
				"give the address to advertise as well", bind)
		}
		return mc, nil
	}
	adv, err := c.listenAddress(ctx, c.Advertise)
	if err != nil {
		return nil, fmt.Errorf("gossip: cannot advertise: %w", err)
	}
	if adv.Addr().IsUnspecified() || adv.Addr().IsMulticast() {
		return nil, fmt.Errorf("gossip: %s cannot be advertised: no server can send to it; give the address at which the others reach this one", adv)
	}
	if adv.Addr().IsLoopback() && !bind.Addr().IsLoopback() && !bind.Addr().IsUnspecified() {
		return nil, fmt.Errorf("gossip: %s cannot be advertised: it is a loopback address, and the port is opened on %s only", adv, bind.Addr())
	}
	mc.AdvertiseAddr = adv.Addr().String()
	if adv.Port() != 0 {
		mc.AdvertisePort = int(adv.Port())
	}
	return mc, nil
}

// listenAddress turns host:port into one IP address and port. A name with
// several addresses means its first IPv4 address, if it has one.
func (c Config) listenAddress(ctx context.Context, hostPort string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not of the form host:port", hostPort)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port between 0 and 65535", hostPort)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)), nil
	}
	ips, err := lookup(ctx, c.Resolver, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := ips[0]
	for _, ip := range ips {
		if ip.Is4() {
			best = ip
			break
		}
	}
	if best.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q is a link-local address, which means something else on every machine; use another", hostPort)
	}
	return netip.AddrPortFrom(best, uint16(port)), nil
}

// lookup returns the addresses of a host, at least one.
func lookup(ctx context.Context, resolver Resolver, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ips, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("cannot find the address of host %q: %w", host, err)
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("host %q has no address", host)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// profile returns memberlist's settings for the timing. They are memberlist's
// own, except for these:
//
//   - Push/pull exchanges are several times as frequent. They are what repairs a
//     table when packets were lost, and a cluster of a few servers can afford
//     them.
//   - A rumour is repeated as often on one machine as on a network. At
//     memberlist's half of that, a cluster of five regularly leaves one out.
//   - A stream that does not get through is given up sooner, because leaving and
//     stopping wait for those that are under way.
//   - A dead server's name may be taken over from a new address. memberlist
//     forbids this for as long as it remembers the dead one, so that a server
//     that crashed and was given another port could not come back.
//   - Nothing is compressed. The compressor takes 64 KiB of fresh memory for
//     each packet, however short, and packets are what a server among hundreds
//     has most to do with.
func (t Timing) profile() *memberlist.Config {
	if t == TimingLocal {
		c := memberlist.DefaultLocalConfig()
		c.EnableCompression = false
		c.RetransmitMult = 4
		c.PushPullInterval = 5 * time.Second
		c.TCPTimeout = time.Second
		c.DeadNodeReclaimTime = 3 * time.Second
		return c
	}
	c := memberlist.DefaultLANConfig()
	c.EnableCompression = false
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.DeadNodeReclaimTime = 10 * time.Second
	return c
}

// rejoinInterval is the average time between two looks for whoever is missing.
func (t Timing) rejoinInterval() time.Duration {
	if t == TimingLocal {
		return 2 * time.Second
	}
	return 5 * time.Second
}
