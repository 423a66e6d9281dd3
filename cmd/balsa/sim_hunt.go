package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"balsa/raft/sim"
)

// huntReport sums up a hunt.
type huntReport struct {
	FirstSeed uint64  `json:"first_seed"`
	Seeds     int     `json:"seeds"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"seeds_per_second"`
}

func (h *huntReport) text() string {
	return fmt.Sprintf("%d seeds from %d on in %.0f s, %.1f per second\n", h.Seeds, h.FirstSeed, h.Seconds, h.PerSecond)
}

// hunt is a search for a seed that violates something.
type hunt struct {
	settings *simSettings
	began    time.Time

	mu      sync.Mutex
	next    uint64 // seed
	done    int    // seeds
	total   sim.Statistics
	failed  *sim.Options // the first that violated something
	rule    string       // and what
	failure error        // of a run that could not be made
}

// runHunt tries seeds on all processors until the time is over, the user wants no
// more, or something is violated.
func (s *simSettings) runHunt() error {
	ctx, stop := context.WithTimeout(s.cmd.Context(), s.hunt)
	defer stop()
	h := &hunt{settings: s, began: time.Now(), next: s.options.Seed}
	var workers sync.WaitGroup
	for range s.jobs {
		workers.Go(func() { h.work(ctx, stop) })
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		h.showProgress(ctx, s.cmd.ErrOrStderr())
	}()
	workers.Wait()
	stop()
	<-shown
	if h.failure != nil {
		return h.failure
	}
	return h.report()
}

// work tries seeds until there is a reason to stop. A run that has begun is
// finished: it takes little time.
func (h *hunt) work(ctx context.Context, stop context.CancelFunc) {
	for ctx.Err() == nil {
		o := h.settings.options
		h.mu.Lock()
		o.Seed = h.next
		h.next++
		h.mu.Unlock()
		result, err := sim.Run(o)
		h.mu.Lock()
		h.done++
		h.total.Add(result.Statistics)
		switch {
		case err == nil:
		case violatedRule(err) != "" && h.failed == nil:
			h.failed, h.rule = &o, violatedRule(err)
			stop()
		case violatedRule(err) == "":
			h.failure = err
			stop()
		}
		h.mu.Unlock()
	}
}

// report sums up the hunt. What was found is recorded, and shrunk.
func (h *hunt) report() error {
	s, seconds := h.settings, time.Since(h.began).Seconds()
	summary := &huntReport{FirstSeed: s.options.Seed, Seeds: h.done, Seconds: seconds, PerSecond: float64(h.done) / seconds}
	if h.failed == nil {
		return s.print(simReport{Verdict: verdictClean, Hunt: summary, statistics: h.total})
	}
	if s.output == outputText {
		fmt.Fprintf(s.cmd.ErrOrStderr(), "seed %d violates something; looking for the actions that matter\n", h.failed.Seed)
	}
	simple := sim.Simplify(*h.failed, h.rule, s.stopped())
	scenario, result, err := sim.Record(simple)
	s.shrink = true
	if s.record == "" {
		s.record = fmt.Sprintf("balsa-sim-%d.txt", h.failed.Seed)
	}
	report := simReport{Seed: &simple.Seed, Replay: simple.Repeat(), Hunt: summary, statistics: h.total}
	if simple.Repeat() != h.failed.Repeat() {
		report.Found = h.failed.Repeat()
	}
	return s.finish(report, result, &scenario, err)
}

// progressEvery is how often a terminal is told how a hunt goes.
const progressEvery = time.Second

// showProgress keeps a line on a terminal up to date.
func (h *hunt) showProgress(ctx context.Context, out io.Writer) {
	if !isTerminal(out) || h.settings.output != outputText {
		return
	}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	width := 0
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintf(out, "\r%s\r", strings.Repeat(" ", width))
			return
		case <-ticker.C:
			line := h.progress()
			width = max(width, len(line))
			fmt.Fprintf(out, "\r%-*s", width, line)
		}
	}
}

func (h *hunt) progress() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	elapsed := time.Since(h.began)
	left := max(0, h.settings.hunt-elapsed).Round(time.Second)
	return fmt.Sprintf("%d seeds, %.1f per second, %d crashes, %d leaders, nothing violated; %s left",
		h.done, float64(h.done)/elapsed.Seconds(), h.total.Crashes, h.total.Leaders, left)
}
