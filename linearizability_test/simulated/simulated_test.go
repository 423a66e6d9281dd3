package simulated_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa/kv/history"
)

var (
	hostSeeds = flag.Int("hostseeds", 0, "how many seeds to run, fresh ones; 0: a few that are always the same")
	hostSeed  = flag.Uint64("hostseed", 0, "the one seed to run, as often as -hostseeds says; 0: others")
)

// outcome is what a run has come to.
type outcome struct {
	seed  uint64
	wrong []string
	lines []string
	seen  *sightings
}

// simulate runs a seed in a bubble of its own and judges it.
func simulate(t *testing.T, seed uint64, b bugs) outcome {
	output, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	var w *world
	inBubble(t, &w, func() {
		w = newWorld(seed, b, output)
		// A run that waits for what never comes would wait for ever, as servers tick.
		hour := time.AfterFunc(time.Hour, func() { panic(fmt.Sprintf("seed %d does not end; see %s", seed, output.Name())) })
		defer hour.Stop()
		w.run()
	})
	h := w.recorder.History()
	if verdict := history.Check(h, time.Minute); verdict.Result != history.Linearizable {
		w.violation("the history of the clients: %v", verdict)
	}
	if invented := history.Invented(h); len(invented) > 0 {
		w.violation("%d stale reads found what nobody wrote, first %v", len(invented), invented[0])
	}
	w.forget()
	return outcome{seed, w.wrong, w.lines, &w.seen}
}

// inBubble runs f in virtual time. Goroutines that are left behind are an error,
// except those of a log whose disk has failed: it leaves them to the end of the
// process.
func inBubble(t *testing.T, w **world, f func()) {
	defer func() {
		failure := recover()
		if failure == nil {
			return
		}
		if *w == nil || len((*w).leaked) == 0 || !strings.Contains(fmt.Sprint(failure), "main bubble goroutine has exited") {
			panic(failure)
		}
	}()
	synctest.Test(t, func(*testing.T) { f() })
}

// Whole servers survive whatever happens to disks, networks and processes.
func TestServers(t *testing.T) {
	var seeds []uint64
	switch {
	case *hostSeeds == 0 && *hostSeed == 0:
		n := 6
		if testing.Short() {
			n = 2
		}
		for seed := range n {
			seeds = append(seeds, uint64(seed+1))
		}
	default:
		for range max(1, *hostSeeds) {
			seed := *hostSeed
			if seed == 0 {
				seed = rand.Uint64N(1 << 40)
			}
			seeds = append(seeds, seed)
		}
	}
	var all sightings
	var failed atomic.Int64
	began := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				o := simulate(t, seed, bugs{})
				all.add(o.seen)
				if len(o.wrong) > 0 {
					failed.Add(1)
					t.Errorf("seed %d (the servers' goroutines are not replayed: run it often, with -hostseed=%d -hostseeds=50)\nwhat happened:\n%s\nwrong:\n%s",
						o.seed, o.seed, strings.Join(o.lines, "\n"), strings.Join(o.wrong, "\n"))
				}
			})
		}
	})
	t.Logf("%d seeds in %v, %d of them failed; seen: %v", len(seeds), time.Since(began).Round(time.Millisecond), failed.Load(), &all)
	if lacking := all.lacking(); len(lacking) > 0 && *hostSeed == 0 {
		t.Errorf("this batch proved nothing: there were no %s", strings.Join(lacking, ", no "))
	}
}

// add adds up what several runs have seen.
func (s *sightings) add(other *sightings) {
	s.each(other, func(_ string, mine, theirs *atomic.Int64) { mine.Add(theirs.Load()) })
}

// each visits the counters of two sightings.
func (s *sightings) each(other *sightings, visit func(name string, mine, theirs *atomic.Int64)) {
	mine, theirs := reflect.ValueOf(s).Elem(), reflect.ValueOf(other).Elem()
	for i := range mine.NumField() {
		visit(mine.Type().Field(i).Name,
			(*atomic.Int64)(mine.Field(i).Addr().UnsafePointer()), (*atomic.Int64)(theirs.Field(i).Addr().UnsafePointer()))
	}
}

func (s *sightings) String() string {
	var text []string
	s.each(s, func(name string, mine, _ *atomic.Int64) { text = append(text, fmt.Sprintf("%s %d", name, mine.Load())) })
	return strings.Join(text, ", ")
}

// lacking returns what did not happen and should have.
func (s *sightings) lacking() []string {
	var lacking []string
	for what, n := range map[string]int64{
		"crashes that hit a write":    min(s.crashesAtWrite.Load(), s.crashesInSave.Load()),
		"snapshots installed":         s.snapshots.Load(),
		"changes of the leader":       s.leaderChanges.Load(),
		"changes of members":          s.changes.Load(),
		"failures of a disk":          s.diskFailures.Load(),
		"states compared":             s.statesChecked.Load(),
		"partitions":                  s.partitions.Load(),
		"writes that had to be there": s.acknowledged.Load(),
	} {
		if n == 0 {
			lacking = append(lacking, what)
		}
	}
	return lacking
}
