package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"balsa/rpc"
)

// ports are the opened TCP ports of a node that has not started to use them,
// and where others reach them.
type ports struct {
	rpc, api         net.Listener
	rpcAddr, apiAddr string
}

// openPorts opens the TCP ports, and checks that gossip will be able to open
// its own.
func openPorts(ctx context.Context, cfg Config) (p ports, err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.rpc, err = rpc.Listen(ctx, cfg.RPCAddr); err != nil {
		return p, explainListen("--rpc-addr", cfg.RPCAddr, err)
	}
	var lc net.ListenConfig
	if p.api, err = lc.Listen(ctx, "tcp", cfg.APIAddr); err != nil {
		return p, explainListen("--api-addr", cfg.APIAddr, err)
	}
	if err = probeGossip(ctx, cfg.GossipAddr); err != nil {
		return p, explainListen("--gossip-addr", cfg.GossipAddr, err)
	}
	p.rpcAddr = advertised(cfg.AdvertiseRPC, cfg.RPCAddr, p.rpc)
	p.apiAddr = advertised(cfg.AdvertiseAPI, cfg.APIAddr, p.api)
	return p, nil
}

// probeGossip opens and closes the gossip port, over both protocols. Gossip
// opens it itself later, when the data directory has been touched already.
func probeGossip(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	packets, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return err
	}
	return packets.Close()
}

// explainListen says what to do about a port that did not open.
func explainListen(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: the port is in use by another process: stop that one, or choose another port", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s %s: this machine has no such address: use one of its own", flag, addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s %s: this user may not open that port: choose one above 1023", flag, addr)
	}
	return fmt.Errorf("%s %s: the port cannot be opened: %w", flag, addr, err)
}

// advertised returns where others reach a port: what the operator says, or else
// the configured host with the port that was opened, which differs from the
// configured one if that is 0. So it is with the operator's.
func advertised(advertise, bind string, l net.Listener) string {
	if advertise == "" {
		advertise = bind
	}
	host, port, _ := net.SplitHostPort(advertise)
	if _, wanted, _ := net.SplitHostPort(bind); wanted == "0" || port == "0" {
		_, port, _ = net.SplitHostPort(l.Addr().String())
	}
	return net.JoinHostPort(host, port)
}

func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return host
}

// takeRPC hands over the listener to somebody who will close it.
func (p *ports) takeRPC() net.Listener {
	l := p.rpc
	p.rpc = nil
	return l
}

// takeAPI hands over the listener to somebody who will close it.
func (p *ports) takeAPI() net.Listener {
	l := p.api
	p.api = nil
	return l
}

// close closes the ports that nobody has taken.
func (p *ports) close() {
	for _, l := range []net.Listener{p.rpc, p.api} {
		if l != nil {
			_ = l.Close()
		}
	}
}
