package sim

import "balsa/raft"

// randomCore draws limits that are small enough to be reached: one entry in a
// message, one message in the window, nothing kept in memory.
func randomCore(r random, kinds map[string]bool) raft.Config {
	cfg := raft.Config{
		MaxMessageBytes:     pick(r, 1, 60, 200, 1000, 0),
		MaxWindowMessages:   pick(r, 1, 2, 3, 8, 0),
		MaxWindowBytes:      pick(r, 1, 100, 1000, 0),
		MaxUncommittedBytes: pick(r, 100, 1000, 0),
		MaxApplyBytes:       pick(r, 1, 100, 1000, 0),
		CacheBytes:          pick(r, 1, 50, 500, 5000, 0),
	}
	cfg.ElectionTicks = pick(r, 10, 10, 10, 20)
	cfg.HeartbeatTicks = pick(r, cfg.ElectionTicks/10, cfg.ElectionTicks/5, cfg.ElectionTicks/2)
	cfg.MaxPromotionLag = pick(r, 1, 10, 0)
	leases := r.IntN(2) == 0
	if forced, known := kinds["leases"]; known {
		leases = forced
	}
	if leases || kinds["drift"] {
		cfg.LeaseTime = leaseTime(cfg.ElectionTicks)
	}
	return cfg
}

// leaseTime is three quarters of the shortest election timeout, in what
// node.localTime counts.
func leaseTime(electionTicks int) uint64 { return uint64(electionTicks) * uint64(Tick) * 3 / 4 }

// clocksDriftTooMuch reports whether what leases rest on is not given: that the
// ratio between the rates of any two clocks is below that of the shortest election
// timeout to the time of a lease.
func (o Options) clocksDriftTooMuch() bool {
	ratio := float64(ticks(o.Core.ElectionTicks)) / float64(max(1, o.Core.LeaseTime))
	return o.Core.LeaseTime > 0 && o.Faults.SlowestClock*ratio < o.Faults.FastestClock
}

func randomWorkload(r random) Workload {
	return Workload{
		Clients:    1 + r.IntN(8),
		Keys:       1 + r.IntN(5),
		Reads:      pick(r, 0.2, 0.5, 0.8),
		LeaseReads: pick(r, 0, 0.1, 0.5, 0.9),
		ThinkTicks: pick(r, 1, 1, 3, 10),
		MaxPadding: pick(r, 0, 20, 200),
	}
}

// randomFaults draws which faults a run has, and how bad they are, where it is not
// said which kinds it must have or lack. Half of the kinds are missing on average.
func randomFaults(r random, core raft.Config, kinds map[string]bool) Faults {
	f := Faults{MaxDelay: Tick / 4, DownTicks: pick(r, core.ElectionTicks/3, core.ElectionTicks, 4*core.ElectionTicks)}
	for _, kind := range faultKinds {
		// All are drawn, so that to leave out one of them leaves the others as they are.
		with, on := f, r.IntN(kind.oneIn) == 0
		kind.draw(r, &with, core)
		if forced, known := kinds[kind.name]; known {
			on = forced
		}
		if on && !(kind.onlyIfAsked && !kinds[kind.name]) {
			f = with
		}
	}
	return f
}

// aftermath is how long after the end of the faults something that they have
// delayed can still arrive, or a process that they have stopped goes on.
func (o Options) aftermath() Time {
	f := o.Faults
	longest := max(f.LateTicks+f.DuplicateTicks+f.OrderTicks, 2*f.ClogTicks, 2*f.PauseTicks,
		f.DiskTicks, f.ApplyTicks, f.LoadTicks, f.ReportTicks, 2*f.DiskFullTicks)
	if f.LeaderFall > 0 {
		longest = max(longest, 2*o.fallTicks())
	}
	return ticks(longest) + f.MaxDelay + f.LinkDelay + f.MaxWake
}

// fallTicks is for how long, on average, a new leader that falls is stopped or
// cut off: long enough for another to be elected.
func (o Options) fallTicks() int { return max(2*o.Core.ElectionTicks, o.Faults.DownTicks) }
