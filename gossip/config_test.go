package gossip

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// hosts is a resolver that knows some names.
type hosts map[string][]netip.Addr

func (h hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ips, ok := h[host]; ok {
		return ips, nil
	}
	return nil, errors.New("no such host")
}

func TestConfigurationsThatCannotWorkAreRefusedWithAReason(t *testing.T) {
	for _, c := range []struct {
		what  string
		alter func(c *Config)
		say   string
	}{
		{"no id", func(c *Config) { c.ID = 0 }, "ids start at 1"},
		{"no instance", func(c *Config) { c.InstanceID = UUID{} }, "no instance id"},
		{"no logger", func(c *Config) { c.Logger = nil }, "no logger"},
		{"long name", func(c *Config) { c.Name = strings.Repeat("n", 65) }, "1 to 64 bytes"},
		{"strange name", func(c *Config) { c.Name = "a b" }, `the name "a b"`},
		{"long RPC address", func(c *Config) { c.RPCAddr = strings.Repeat("h", 300) + ":1" }, "the RPC address: it has 302 bytes, at most 200"},
		{"RPC on every interface", func(c *Config) { c.RPCAddr = "0.0.0.0:1" }, "not an address that another server can dial"},
		{"API without a port", func(c *Config) { c.APIAddr = "host" }, "the API address"},
		{"long cluster name", func(c *Config) { c.Cluster = strings.Repeat("c", 256) }, "at most 255"},
		{"expects too many", func(c *Config) { c.Expect = 256 }, "cannot be founded by 256"},
		{"seed without a port", func(c *Config) { c.Seeds = []string{"10.0.0.1"} }, "seed address"},
		{"bind without a port", func(c *Config) { c.Bind = "127.0.0.1" }, "not of the form host:port"},
		{"bind to an unknown host", func(c *Config) { c.Bind = "nowhere:0" }, `address of host "nowhere"`},
		{"bind to a link-local address", func(c *Config) { c.Bind = "[fe80::1%lo]:0" }, "link-local"},
		{"every interface, nothing to advertise", func(c *Config) { c.Bind = "0.0.0.0:0" }, "give the address to advertise"},
		{"the same without a host", func(c *Config) { c.Bind = ":0" }, "give the address to advertise"},
		{"the same in IPv6", func(c *Config) { c.Bind = "[::]:0" }, "give the address to advertise"},
		{"advertise every interface", func(c *Config) { c.Advertise = "0.0.0.0:1" }, "no server can send to it"},
		{"advertise multicast", func(c *Config) { c.Advertise = "224.0.0.1:1" }, "no server can send to it"},
		{"advertise loopback only", func(c *Config) { c.Bind, c.Advertise = "192.0.2.1:0", "127.0.0.1:1" }, "loopback"},
	} {
		config := loopbackConfig(t, 1)
		config.Resolver = hosts{}
		c.alter(&config)
		g, err := Start(t.Context(), config)
		if err == nil {
			g.Close()
			t.Errorf("%s: accepted", c.what)
		} else if !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %q does not say %q", c.what, err, c.say)
		}
	}
}

func TestHostNamesAreResolvedBeforeMemberlistSeesThem(t *testing.T) {
	config := loopbackConfig(t, 1)
	config.Resolver = hosts{
		"here.example":  {netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")},
		"there.example": {netip.MustParseAddr("::ffff:198.51.100.7")},
	}
	config.Bind, config.Advertise = "here.example:7000", "there.example:7777"
	config, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	mc, err := config.memberlistConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if mc.BindAddr != "127.0.0.1" || mc.BindPort != 7000 || mc.AdvertiseAddr != "198.51.100.7" || mc.AdvertisePort != 7777 {
		t.Errorf("bind %s:%d, advertise %s:%d", mc.BindAddr, mc.BindPort, mc.AdvertiseAddr, mc.AdvertisePort)
	}
}

func TestAPortInUseIsSaidInOneSentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := loopbackConfig(t, 1)
	config.Bind = taken.Addr().String()
	g, err := Start(t.Context(), config)
	if err == nil {
		g.Close()
		t.Fatal("two processes share a port")
	}
	if !strings.Contains(err.Error(), "port "+config.Bind+" is in use by another process") {
		t.Errorf("it says %q", err)
	}
}

func TestMemberlistLogKeepsItsLevels(t *testing.T) {
	var log logBuffer
	w := newLogWriter(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for line, want := range map[string]string{
		"[DEBUG] memberlist: Stream connection from=x\n":     `level=DEBUG msg="memberlist: Stream connection from=x"`,
		"[INFO] memberlist: Suspect n2 has failed":           `level=INFO msg="memberlist: Suspect n2 has failed"`,
		"[WARN] memberlist: Refuting a suspect message":      `level=WARN msg="memberlist: Refuting a suspect message"`,
		"[WARN] memberlist: Refuting an alive message for x": `level=DEBUG msg="memberlist: Refuting an alive message for x"`,
		"[ERR] memberlist: Push/Pull failed":                 `level=ERROR msg="memberlist: Push/Pull failed"`,
		"[ERR] memberlist: Conflicting address for n1. Mine": `level=DEBUG msg="memberlist: Conflicting address for n1. Mine"`,
		"no tag at all": `level=INFO msg="memberlist: no tag at all"`,
		"[ERR] memberlist: " + strings.Repeat("x", 5000): `msg="memberlist: ` + strings.Repeat("x", 512-len("[ERR] memberlist: ")) + `"`,
	} {
		w.Write([]byte(line))
		if log.count(want) != 1 {
			t.Errorf("%.60q gives no line %.60q in\n%s", line, want, log.buf.String())
		}
	}
}

func TestAFloodOfLogLinesIsRationed(t *testing.T) {
	var log logBuffer
	w := newLogWriter(log.logger())
	start := time.Now()
	w.at = start
	for range 10000 {
		w.Write([]byte("[ERR] memberlist: garbage"))
	}
	// A slow machine earns a line more for each second that this takes.
	if most := int(logBurst + time.Since(start).Seconds() + 1); log.count("garbage") > most || log.count("garbage") < int(logBurst) {
		t.Errorf("10000 lines at once became %d", log.count("garbage"))
	}
	w.at = w.at.Add(-time.Minute)
	w.Write([]byte("[ERR] memberlist: after the flood"))
	if log.count("lines_dropped_before=") == 0 {
		t.Error("nothing says that lines were dropped")
	}
}
