package sim

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"balsa/raft"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "TestSeed: simulate this seed and, with -v, print the whole trace")
	nodesFlag = flag.Int("nodes", 0, "TestSeed and TestSeeds: the size of the cluster; 0: each seed decides")
	poolFlag  = flag.Int("pool", 0, "TestSeed and TestSeeds: how many servers there are; 0: each seed decides")
	ticksFlag = flag.Int("ticks", 0, "TestSeed and TestSeeds: for how many ticks faults happen; 0: the default")
	seedsFlag = flag.Int("seeds", 0, "TestSeeds and the test of leases: how many seeds to simulate; 0: as many as fit into a short test")
	freshFlag = flag.Bool("fresh", false, "TestSeeds: begin with a random seed, which is printed, and not with seed 1")
)

func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("simulates one seed in detail: give it with -seed")
	}
	o := Options{Seed: *seedFlag, Nodes: *nodesFlag, Pool: *poolFlag, Ticks: *ticksFlag}
	if testing.Verbose() {
		o.Trace = os.Stdout
	}
	result, err := Run(o)
	t.Logf("%d nodes: %s", result.Nodes, result.Statistics)
	if err != nil {
		t.Fatal(err)
	}
}

func TestSeeds(t *testing.T) {
	first, count := uint64(1), *seedsFlag
	if *freshFlag {
		first = rand.Uint64() >> 1
	}
	if count == 0 {
		count = 200
		if testing.Short() {
			count = 60
		}
	}
	t.Logf("seeds %d to %d", first, first+uint64(count)-1)
	total := simulate(t, first, count)
	t.Logf("in all: %s", total)
	// Some faults are rare: a few seeds chosen at random may lack them.
	if !t.Failed() && count >= 60 && *nodesFlag == 0 && !*freshFlag {
		everythingHappened(t, total)
	}
}

// simulate runs seeds, as many at a time as there are processors, until one
// fails. Each run is by itself in its goroutine.
func simulate(t *testing.T, first uint64, count int) Statistics {
	var (
		mu    sync.Mutex
		total Statistics
		wg    sync.WaitGroup
		seeds = make(chan uint64)
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				result, err := Run(Options{Seed: seed, Nodes: *nodesFlag, Pool: *poolFlag, Ticks: *ticksFlag})
				mu.Lock()
				total.Add(result.Statistics)
				if err != nil {
					t.Errorf("after %d seeds: %v", seed-first+1, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		if t.Failed() {
			break
		}
		seeds <- first + uint64(i)
	}
	close(seeds)
	wg.Wait()
	return total
}

// everythingHappened fails for each number of the statistics that is zero: a
// fault that does not happen proves nothing.
func everythingHappened(t *testing.T, total Statistics) {
	t.Helper()
	// A read whose outcome is unknown has failed: it has no effect. And it is no
	// achievement to be beyond help.
	total.Operations[Get][Unknown], total.Recovery.BeyondHelp = 1, 1
	var check func(name string, v reflect.Value)
	check = func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				check(v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				check(name, v.Index(i))
			}
		default:
			if v.IsZero() {
				t.Errorf("%s: none in all these runs", name)
			}
		}
	}
	check("", reflect.ValueOf(total))
}

func TestASeedDecidesEverything(t *testing.T) {
	hashes := map[uint64]uint64{}
	for seed := uint64(1); seed <= 10; seed++ {
		var traces [2]strings.Builder
		var results [2]Result
		for i := range results {
			var err error
			if results[i], err = Run(Options{Seed: seed, Ticks: 300, Trace: &traces[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(results[0], results[1]) || traces[0].String() != traces[1].String() {
			t.Errorf("seed %d: two runs differ: %s and %s", seed, results[0].Statistics, results[1].Statistics)
		}
		if other, seen := hashes[results[0].Hash]; seen {
			t.Errorf("seeds %d and %d give the same run", seed, other)
		}
		hashes[results[0].Hash] = seed
	}
}

// quiet are the options of a world in which nothing goes wrong.
func quiet(nodes, ticks int) Options {
	return Options{
		Seed: uint64(nodes), Nodes: nodes, Ticks: ticks,
		Faults: &Faults{MaxDelay: Tick / 2}, Core: &raft.Config{},
		Workload: &Workload{Clients: 2, Keys: 3, Reads: 0.5, ThinkTicks: 50, MaxPadding: 20},
	}
}

func TestWithoutFaultsThereIsOneElection(t *testing.T) {
	length := 40_000
	if testing.Short() {
		length = 10_000
	}
	for _, nodes := range []int{1, 2, 3, 5, 7} {
		t.Run(raft.NodeID(nodes).String(), func(t *testing.T) {
			t.Parallel()
			result, err := Run(quiet(nodes, length))
			if err != nil {
				t.Fatal(err)
			}
			if result.FirstLeader == 0 || result.LastCampaign > result.FirstLeader {
				t.Errorf("the first leader at tick %s, the last campaign at tick %s", result.FirstLeader, result.LastCampaign)
			}
			if done := result.Operations[Put][Done]; done < length/100 {
				t.Errorf("only %d writes in %d ticks", done, length)
			}
		})
	}
}

func TestWithoutFaultsEveryReadIsAnsweredOnceThereIsALeader(t *testing.T) {
	result, err := Run(quiet(3, 5000))
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	for _, op := range result.History {
		if op.Kind != Get || op.Call < result.FirstLeader+ticks(10) {
			continue
		}
		reads++
		if op.Outcome != Done {
			t.Errorf("the read of %s at node %d at tick %s: %s", op.Key, op.Node, op.Call, op.Outcome)
		}
	}
	if reads < 50 {
		t.Errorf("only %d reads", reads)
	}
}

// The history is what a judge of linearizability gets. That it makes sense at
// all is checked here.
func TestTheHistoryIsInOrder(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		result, err := Run(Options{Seed: seed, Ticks: 500})
		if err != nil {
			t.Fatal(err)
		}
		written := map[string]Operation{}
		for _, op := range result.History {
			if op.Kind != Put {
				continue
			}
			if other, twice := written[op.Value]; twice || op.Value == "" {
				t.Errorf("seed %d: %+v and %+v write the same", seed, op, other)
			}
			written[op.Value] = op
		}
		for i, op := range result.History {
			if i > 0 && op.Call < result.History[i-1].Call {
				t.Errorf("seed %d: %+v comes after %+v", seed, op, result.History[i-1])
			}
			if op.Return < op.Call || (op.Return == Never) != (op.Outcome == Unknown) {
				t.Errorf("seed %d: %+v returns at tick %s", seed, op, op.Return)
			}
			if op.Kind == Get && op.Outcome == Done && op.Value != "" {
				write, ok := written[op.Value]
				if !ok || write.Key != op.Key || write.Call > op.Return || write.Outcome == Failed {
					t.Errorf("seed %d: %+v reads what %+v wrote", seed, op, write)
				}
			}
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []Options{
		{Nodes: -1},
		{Nodes: MaxNodes + 1},
		{Ticks: -1},
		{TraceLength: -1},
		{Workload: &Workload{Clients: 1}},
		{Workload: &Workload{Clients: 1, Keys: MaxKeys + 1}},
		{Workload: &Workload{Clients: 1, Keys: 1, ThinkTicks: -1}},
		{Workload: &Workload{Clients: 1, Keys: 1, MaxPadding: -1}},
	} {
		if _, err := Run(o); err == nil || errors.As(err, new(*Violation)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestEventsHappenInTheOrderOfTheirTimes(t *testing.T) {
	var q queue
	r := newRandom(1, "test")
	type call struct {
		at    Time
		order int
	}
	var calls []call
	for i := range 1000 {
		at := r.between(0, 100)
		q.at(at, func() { calls = append(calls, call{q.now, i}) })
	}
	for {
		e, ok := q.next(1000)
		if !ok {
			break
		}
		e.do()
	}
	inOrder := slices.IsSortedFunc(calls, func(a, b call) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.order - b.order
	})
	if len(calls) != 1000 || !inOrder {
		t.Errorf("%d events happened, in order: %v", len(calls), inOrder)
	}
}

func TestNoEventHappensAfterTheDeadline(t *testing.T) {
	var q queue
	q.at(10, func() {})
	if _, ok := q.next(9); ok || q.now != 0 {
		t.Errorf("the event of time 10 happens by time 9; it is %s", q.now)
	}
	if _, ok := q.next(10); !ok || q.now != 10 {
		t.Errorf("the event of time 10 does not happen at time 10; it is %s", q.now)
	}
}

func TestACrashThrowsTheStateMachineBackToWhatItFlushed(t *testing.T) {
	m := newMachine(1)
	apply := func(i raft.Index) {
		m.apply(raft.NewEntry(raft.EntryID{Term: 1, Index: i}, raft.EntryCommand, encodeCommand(0, uint64(i), 0)))
	}
	apply(1)
	m.flush()
	flushed := m.chain
	apply(2)
	m.crash()
	if m.applied.Index != 1 || m.chain != flushed || m.values[0] != 1 {
		t.Errorf("applied %s, %v", m.applied, m.values)
	}
	apply(2)
	if m.flushed.values[0] != 1 {
		t.Errorf("the flushed state changed to %v", m.flushed.values)
	}
}

func BenchmarkStep(b *testing.B) {
	steps, seed := 0, uint64(0)
	for b.Loop() {
		seed++
		result, err := Run(Options{Seed: seed})
		if err != nil {
			b.Fatal(err)
		}
		steps += result.Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}
