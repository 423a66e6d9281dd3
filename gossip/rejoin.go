package gossip

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// rejoinLoop looks for seeds and dead servers, at once and then every few
// seconds, until ctx ends.
//
// memberlist alone would not do. It gives up on a dead server half a minute after
// its death, so two halves of a cluster that were apart for longer would never
// find each other again, though every process in both is well.
func (g *Gossip) rejoinLoop(ctx context.Context) {
	seeds := newSeedReport(g)
	for {
		g.rejoin(ctx, seeds)
		// Half to one and a half times the interval, so that the servers of a
		// cluster that started together do not keep calling together.
		interval := g.config.Timing.rejoinInterval()
		timer := time.NewTimer(interval/2 + rand.N(interval))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// rejoin makes one attempt to reach everybody who is missing.
func (g *Gossip) rejoin(ctx context.Context, seeds *seedReport) {
	living, _ := g.view.living()
	wanted := someOf(g.view.missing(), len(living)+1)
	addrsOf := make(map[string][]string) // of each seed, as of now
	for _, seed := range g.config.Seeds {
		addrs, err := g.resolveSeed(ctx, seed)
		if err != nil {
			seeds.failed(ctx, seed, "unknown host", err)
			continue
		}
		addrsOf[seed] = addrs
		for _, addr := range addrs {
			if !g.view.isPresent(addr) && !slices.Contains(wanted, addr) {
				wanted = append(wanted, addr)
			}
		}
	}
	failed := g.join(ctx, wanted)
	for seed, addrs := range addrsOf {
		seeds.tried(ctx, seed, addrs, failed)
	}
}

// callers is how many of the living call a dead server in each round.
const callers = 2

// someOf picks those of the dead whom this server calls, if living servers do
// so, itself included. To call somebody who is back costs both a whole exchange
// of tables. Were all of some hundred servers to call all whom they miss, at
// every attempt, then a few that were taken for dead by mistake would keep
// everybody so busy that still more look dead.
func someOf(dead []string, living int) []string {
	return slices.DeleteFunc(dead, func(string) bool { return rand.IntN(max(living, callers)) >= callers })
}

// resolveSeed returns the current addresses of a seed.
func (g *Gossip) resolveSeed(ctx context.Context, seed string) ([]string, error) {
	host, portText, err := net.SplitHostPort(seed)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	ips, err := lookup(ctx, g.config.Resolver, host)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip, uint16(port)).String()
	}
	return addrs, nil
}

// joinAtOnce is how many servers are called at the same time. One that does not
// answer costs a whole timeout, and must not hold up the others for as long.
const joinAtOnce = 8

// join exchanges tables with the servers at the given gossip addresses and
// returns what went wrong with which. It stops early when ctx ends; those that
// were not called count as failed.
func (g *Gossip) join(ctx context.Context, addrs []string) (failed map[string]error) {
	failed = make(map[string]error)
	var mu sync.Mutex
	for some := range slices.Chunk(addrs, joinAtOnce) {
		var wg sync.WaitGroup
		for _, addr := range some {
			if err := ctx.Err(); err != nil {
				mu.Lock()
				failed[addr] = err
				mu.Unlock()
				continue
			}
			wg.Go(func() {
				if _, err := g.list.Join([]string{addr}); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed[addr] = g.explainJoin(err)
				}
			})
		}
		wg.Wait()
	}
	return failed
}

// seedReport logs what becomes of each seed, when it changes.
type seedReport struct {
	gossip *Gossip
	// trouble is what each seed suffers from, in a word, or "" if nothing.
	// Seeds that were never tried are absent.
	trouble map[string]string
}

func newSeedReport(g *Gossip) *seedReport {
	return &seedReport{gossip: g, trouble: make(map[string]string)}
}

// tried reports an attempt at all addresses of a seed. The seed is well if one
// of them was reached, or did not need to be.
func (r *seedReport) tried(ctx context.Context, seed string, addrs []string, failed map[string]error) {
	var last error
	for _, addr := range addrs {
		err := failed[addr]
		if err == nil {
			r.reached(seed)
			return
		}
		last = err
	}
	trouble := "unreachable"
	if errors.Is(last, errNoAnswer) {
		trouble = "no answer"
	}
	r.failed(ctx, seed, trouble, last)
}

func (r *seedReport) reached(seed string) {
	if trouble, known := r.trouble[seed]; !known || trouble != "" {
		r.gossip.log.Info("gossip: seed reached", "seed", seed)
	}
	r.trouble[seed] = ""
}

func (r *seedReport) failed(ctx context.Context, seed, trouble string, err error) {
	if ctx.Err() != nil {
		return // this server stops; the seed is not to blame
	}
	if before, known := r.trouble[seed]; before != trouble {
		// When nodes start together, each is the first to look for some other.
		level := slog.LevelInfo
		if known {
			level = slog.LevelWarn
		}
		r.gossip.log.Log(ctx, level, "gossip: seed not reached; trying again every few seconds",
			"seed", seed, "trouble", trouble, "err", err)
	}
	r.trouble[seed] = trouble
}
