package sim

import (
	"errors"
	"testing"

	"balsa/raft"
)

// leaseRuns are runs in which leaders that have a lease are attacked all the time,
// with clocks that run at rates between two bounds.
func leaseRuns(seed uint64, slowest, fastest float64) Options {
	r := newRandom(seed, "lease runs")
	return Options{
		Seed: seed, Nodes: pick(r, 3, 3, 5), Pool: 5, Ticks: 600,
		Core: &raft.Config{ElectionTicks: 10, HeartbeatTicks: pick(r, 1, 2, 4), LeaseTime: leaseTime(10)},
		Faults: &Faults{
			MaxDelay: pick(r, Tick/4, Tick, 3*Tick), LeaseAttackEvery: 50, TrueHints: 0.5, DiskTicks: pick(r, 0, 3, 10),
			SlowestClock: slowest, FastestClock: fastest,
		},
		Workload: &Workload{Clients: 4, Keys: 2, Reads: 0.5, LeaseReads: pick(r, 0, 0.3), ThinkTicks: 5},
	}
}

// Where clocks drift more than leases allow, a leader serves reads that miss what
// another one has committed. The oracle must see it, or it would see nothing where
// they do not.
func TestAReadFromALeaseThatClocksBreakIsSeenToBeStale(t *testing.T) {
	const most = 300
	for seed := uint64(1); seed <= most; seed++ {
		_, err := Run(leaseRuns(seed, 0.4, 2.5))
		if err == nil {
			continue
		}
		var v *Violation
		if !errors.As(err, &v) || v.Rule != "Linearizable Reads" {
			t.Fatal(err)
		}
		t.Logf("seed %d is the first with a stale read: %s", seed, v.Detail)
		return
	}
	t.Errorf("no stale read in %d seeds", most)
}

func TestNoReadFromALeaseIsStaleWhileClocksDriftWithinTheRatio(t *testing.T) {
	seeds := uint64(*seedsFlag)
	switch {
	case seeds > 0:
	case testing.Short():
		seeds = 10
	default:
		seeds = 80
	}
	var leases LeaseStatistics
	for seed := uint64(1); seed <= seeds; seed++ {
		result, err := Run(leaseRuns(seed, 0.9, 1.18))
		if err != nil {
			t.Fatalf("after %d seeds: %v", seed, err)
		}
		leases.Reads += result.Leases.Reads
		leases.VotesRefused += result.Leases.VotesRefused
		leases.Attacks += result.Leases.Attacks
	}
	if leases.Reads == 0 || leases.VotesRefused == 0 || leases.Attacks == 0 {
		t.Errorf("nothing was put to the test: %+v", leases)
	}
	t.Logf("%+v", leases)
}
