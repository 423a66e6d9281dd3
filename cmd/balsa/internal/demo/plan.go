package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// host is where the whole cluster lives.
const host = "127.0.0.1"

// nodePlan is what is decided about a node before anything is started.
type nodePlan struct {
	id                           int
	apiAddr, rpcAddr, gossipAddr string
	seeds                        []string
}

// plan decides on the ports of all nodes, and checks that they are free.
func plan(ctx context.Context, cfg Config) ([]nodePlan, error) {
	plans := make([]nodePlan, cfg.Nodes)
	for i := range plans {
		plans[i].id = i + 1
	}
	var picker portPicker
	defer picker.release()
	for i := range plans {
		for _, port := range []struct {
			first int
			addr  *string
		}{
			{cfg.APIPort, &plans[i].apiAddr},
			{cfg.RPCPort, &plans[i].rpcAddr},
			{cfg.GossipPort, &plans[i].gossipAddr},
		} {
			var err error
			if *port.addr, err = picker.pick(ctx, port.first, i); err != nil {
				return nil, err
			}
		}
	}
	for i := range plans {
		for j := range plans {
			if i != j {
				plans[i].seeds = append(plans[i].seeds, plans[j].gossipAddr)
			}
		}
	}
	return plans, nil
}

// portPicker finds ports and keeps them until all are found, so that no port is
// picked twice.
type portPicker struct{ held []io.Closer }

// pick returns the address of the node at a position, counted from 0: the port
// that counts up from first, or any free one if first is 0. Every port is tried
// over TCP and UDP, because gossip uses both.
func (p *portPicker) pick(ctx context.Context, first, position int) (string, error) {
	port := 0
	if first != 0 {
		port = first + position
	}
	// The kernel picks for TCP alone. If UDP has that port in use, it is asked
	// again, a few times.
	for attempt := 0; ; attempt++ {
		addr, err := p.hold(ctx, port)
		if err == nil {
			return addr, nil
		}
		if port == 0 && attempt < 20 {
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return "", fmt.Errorf("port %d, for node %d, is in use: stop what uses it (another demo?), or move the whole demo: --port-offset 100",
				port, position+1)
		}
		return "", fmt.Errorf("port %d, for node %d, cannot be opened: %w", port, position+1, err)
	}
}

func (p *portPicker) hold(ctx context.Context, port int) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	packets, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	p.held = append(p.held, l, packets)
	return addr, nil
}

func (p *portPicker) release() {
	for _, c := range p.held {
		_ = c.Close()
	}
}

// stabilizationTime is how long a node that joins must be well before it votes.
// The default is for machines that fail; here somebody is watching.
const stabilizationTime = "1s"

// args returns the arguments that start the node.
func (p nodePlan) args(cfg Config, dir string) []string {
	args := []string{
		"serve", "--id", strconv.Itoa(p.id),
		"--rpc-addr", p.rpcAddr, "--api-addr", p.apiAddr, "--gossip-addr", p.gossipAddr,
	}
	if len(p.seeds) > 0 {
		args = append(args, "--seed-gossip-addrs", strings.Join(p.seeds, ","))
	}
	args = append(args, "--bootstrap-expect", strconv.Itoa(cfg.Nodes),
		"--stabilization-time", stabilizationTime,
		"--data-dir", filepath.Join(dir, "n"+strconv.Itoa(p.id)))
	return append(args, cfg.Args...)
}
