package sim

import "balsa/raft"

// randomCore draws limits that are small enough to be reached: one entry in a
// message, one message in the window, nothing kept in memory.
func randomCore(r random) raft.Config {
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
	if r.IntN(2) == 0 {
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

// randomFaults draws which faults a run has. Half of the kinds are missing on
// average. How often they happen and how long they last is measured in the
// shortest election timeout, e: what matters is whether an election fits in.
func randomFaults(r random, core raft.Config) Faults {
	e := core.ElectionTicks
	f := Faults{MaxDelay: pick(r, Tick/4, Tick, 2*Tick), DownTicks: pick(r, e/3, e, 4*e)}
	enabled := func() bool { return r.IntN(2) == 0 }
	if enabled() {
		f.Loss = pick(r, 0.01, 0.05, 0.2)
	}
	if enabled() {
		f.Duplicate, f.DuplicateTicks = pick(r, 0.01, 0.1, 0.3), pick(r, 1, 2*e, 6*e, 15*e)
	}
	if enabled() {
		f.Late, f.LateTicks = pick(r, 0.01, 0.05, 0.2), pick(r, e/2, 2*e, 5*e, 15*e)
	}
	if enabled() {
		f.PartitionEvery, f.PartitionTicks = pick(r, 3*e, 8*e, 20*e), pick(r, e, 3*e, 8*e)
	}
	if enabled() {
		f.ClogEvery, f.ClogTicks = pick(r, 2*e, 6*e, 15*e), pick(r, e, 4*e, 10*e)
	}
	if enabled() {
		f.CrashEvery = pick(r, 5*e, 15*e, 40*e)
	}
	if enabled() {
		f.CrashPoint = pick(r, 0.0005, 0.002, 0.005)
	}
	if enabled() {
		if enabled() { // rarer than the others
			f.PowerLossEvery = pick(r, 20*e, 50*e)
		}
	}
	if enabled() {
		f.PauseEvery, f.PauseTicks = pick(r, 5*e, 15*e), pick(r, e/2, 3*e, 8*e)
	}
	if enabled() {
		f.LeaderFall = pick(r, 0.3, 0.6, 0.9)
	}
	if enabled() {
		f.DiskTicks = pick(r, 1, e/2, 2*e, 4*e)
	}
	if enabled() {
		f.ApplyTicks, f.LoadTicks = pick(r, 1, e/2, 3*e), pick(r, 1, e/2, 3*e)
	}
	if enabled() {
		f.FlushEvery = pick(r, 3, 20, 100)
	}
	switch {
	case !enabled():
	case core.LeaseTime > 0:
		f.SlowestClock, f.FastestClock = 0.9, 1.18
	default:
		f.SlowestClock, f.FastestClock = 0.5, 2
	}
	if enabled() && core.LeaseTime > 0 {
		f.LeaseAttackEvery = pick(r, 4*e, 12*e)
	}
	if enabled() {
		f.QuickRestart = pick(r, 0.3, 0.9)
	}
	if enabled() {
		f.CompactEvery, f.Brutal = pick(r, e/4, e, 4*e), pick(r, 0, 0.3, 1)
		f.InstallCrash = pick(r, 0, 0.05, 0.2)
	}
	if enabled() {
		f.SpareSnapshotEvery = pick(r, e, 5*e)
	}
	if enabled() {
		f.DiskFullEvery, f.DiskFullTicks = pick(r, 3*e, 10*e), pick(r, e, 4*e)
	}
	if enabled() {
		f.ReportTicks = pick(r, e, 6*e)
	}
	if enabled() {
		f.ChangeEvery = pick(r, e/2, 2*e, 8*e)
		if enabled() {
			f.Lies = pick(r, 0.1, 0.5)
		}
		if enabled() {
			f.WipeEvery = pick(r, 8*e, 30*e)
		}
	}
	if enabled() {
		f.TransferEvery, f.OrderTicks = pick(r, 2*e, 8*e), pick(r, 0, e, 6*e, 15*e)
	}
	if enabled() {
		f.TrueHints = pick(r, 0.3, 1)
	}
	if enabled() {
		f.FalseHintEvery = pick(r, 2*e, 10*e)
	}
	if enabled() {
		f.MaxWake = pick(r, Tick/10, Tick, ticks(e/2), ticks(2*e))
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
	return ticks(longest) + f.MaxDelay + f.MaxWake
}

// fallTicks is for how long, on average, a new leader that falls is stopped or
// cut off: long enough for another to be elected.
func (o Options) fallTicks() int { return max(2*o.Core.ElectionTicks, o.Faults.DownTicks) }
