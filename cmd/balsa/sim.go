package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"balsa/raft/sim"
)

// simSettings are the flags of balsa sim.
type simSettings struct {
	cmd      *cobra.Command
	seed     optionalSeed
	options  sim.Options
	faults   faultList
	trace    bool
	color    colorMode
	scenario string
	record   string
	shrink   bool
	hunt     time.Duration
	jobs     int
	output   outputFormat
}

// What it may take to shrink a run: so many replays, and so much time.
const (
	shrinkReplays = 20_000
	shrinkTime    = 5 * time.Minute
)

func newSim() *cobra.Command {
	var s simSettings
	cmd := &cobra.Command{
		Use:     "sim",
		Short:   "Simulate a cluster, break it, and judge it",
		GroupID: groupServer,
		Long: `Simulate a cluster of the real algorithm in a world of its own, let everything
happen to it that Raft must survive, and judge every step by what Raft promises.
In the end the faults stop, and the cluster must come back to life. Nothing of
this touches the machine: a run takes a fraction of a second.

The seed decides everything. The same flags give the same run, bit for bit, on
every machine. What happened in a run can be recorded as a scenario, a text file
that replays without the seed, for good; a run that violates something can be
shrunk to the few actions that matter.

Kinds of faults, for --faults. A list of names means these and no others; names
with + or - in front of them change what the seed decides.

` + faultHelp() + `
Exit codes: 0 nothing is violated, 1 something is, 2 wrong usage.`,
		Example: `  balsa sim --seed 17 --nodes 5 --trace
  balsa sim --faults crash,partition --nodes 3
  balsa sim --hunt 10m --nodes 5
  balsa sim --seed 17 --shrink --record short.txt
  balsa sim --scenario short.txt --trace`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.cmd = cmd
			if err := s.validate(); err != nil {
				return err
			}
			switch {
			case s.hunt > 0:
				return s.runHunt()
			case s.scenario != "":
				return s.runScenario()
			}
			return s.runSeed()
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&s.seed, "seed", "the `number` that decides everything; with --hunt, the first of many; not given: a random one")
	flags.IntVar(&s.options.Nodes, "nodes", 0, "`number` of servers that found the cluster, 1 to 9; 0: the seed decides")
	flags.IntVar(&s.options.Pool, "pool", 0, "`number` of servers in all, founders and those that may join; 0: the seed decides")
	flags.IntVar(&s.options.Ticks, "ticks", 0, "for how many `ticks` faults happen; 0: 1500")
	flags.Var(&s.faults, "faults", "`kinds` of faults: all, none, or names, with commas between them; not given: the seed decides")
	flags.BoolVar(&s.trace, "trace", false, "print everything that happens, with a column for each server")
	colorFlag(flags, &s.color, "color", "the trace")
	flags.StringVar(&s.scenario, "scenario", "", "replay the scenario in this `file`; - is standard input")
	flags.StringVar(&s.record, "record", "", "write the run to this `file`, as a scenario; - is standard output")
	flags.BoolVar(&s.shrink, "shrink", false, "if something is violated, look for the few actions that matter")
	flags.DurationVar(&s.hunt, "hunt", 0, "try one seed after another for this long, and stop at the first violation")
	flags.IntVar(&s.jobs, "jobs", runtime.NumCPU(), "`number` of seeds that a hunt tries at the same time")
	addOutputFlag(flags, &s.output)
	fromEnvironment(cmd, "sim")
	return cmd
}

func faultHelp() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, name := range sim.KindNames() {
		fmt.Fprintf(table, "  %s\t%s\n", name, sim.KindHelp(name))
	}
	table.Flush()
	return b.String()
}

// validate checks the flags, and that those go together which are given.
func (s *simSettings) validate() error {
	fresh := s.seed.given || s.options.Nodes != 0 || s.options.Pool != 0 || s.options.Ticks != 0 || s.faults.kinds != nil
	switch {
	case s.scenario != "" && (fresh || s.hunt != 0):
		return usageErrorf(s.cmd, "--scenario says everything about a run: it goes with none of --seed, --nodes, --pool, --ticks, --faults and --hunt")
	case s.hunt < 0 || s.jobs < 1:
		return usageErrorf(s.cmd, "--hunt and --jobs must be more than 0")
	case s.hunt > 0 && s.trace:
		return usageErrorf(s.cmd, "--hunt goes without --trace: a hunt tries many seeds")
	case s.output == outputJSON && (s.trace || s.record == "-"):
		return usageErrorf(s.cmd, "--output json goes with neither --trace nor --record -: give one to a file")
	case s.trace && s.record == "-":
		return usageErrorf(s.cmd, "--trace and --record - both write to standard output")
	}
	if !s.seed.given {
		s.seed.value = rand.Uint64() >> 1
	}
	s.options.Seed, s.options.Kinds = s.seed.value, s.faults.kinds
	if err := s.options.Validate(); err != nil {
		return usageErrorf(s.cmd, "%w", err)
	}
	return nil
}

// errViolation is the end of a run in which something was violated.
var errViolation = errors.New("a promise of Raft is broken")

// runSeed simulates one seed.
func (s *simSettings) runSeed() error {
	s.options.Trace = s.traceWriter()
	var (
		result   sim.Result
		scenario *sim.Scenario
		err      error
	)
	if s.record != "" || s.shrink {
		var recorded sim.Scenario
		recorded, result, err = sim.Record(s.options)
		scenario = &recorded
	} else {
		result, err = sim.Run(s.options)
	}
	return s.finish(simReport{Seed: &s.options.Seed, Replay: s.options.Repeat()}, result, scenario, err)
}

// runScenario replays a file.
func (s *simSettings) runScenario() error {
	scenario, err := readScenario(s.scenario, s.cmd.InOrStdin())
	if err != nil {
		return usageErrorf(s.cmd, "--scenario %s: %w", s.scenario, err)
	}
	result, err := sim.Replay(scenario, s.traceWriter())
	report := simReport{Scenario: s.scenario, Replay: "balsa sim --trace --scenario " + s.scenario}
	if scenario.Ending != nil {
		report.Expected = scenario.Ending.String()
	}
	return s.finish(report, result, &scenario, err)
}

func readScenario(path string, in io.Reader) (sim.Scenario, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return sim.Scenario{}, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, sim.MaxScenarioBytes+1))
	if err != nil {
		return sim.Scenario{}, err
	}
	return sim.ParseScenario(text)
}

// finish shrinks, records and reports a run.
func (s *simSettings) finish(report simReport, result sim.Result, scenario *sim.Scenario, err error) error {
	violation, violated := errors.AsType[*sim.Violation](err)
	if err != nil && !violated {
		return err
	}
	report.take(result, violation)
	if report.Expected != "" && report.Expected != report.Ending {
		report.Verdict = verdictDifferent
	}
	if scenario != nil {
		scenario.Ending = sim.EndingOf(result, err)
		if violated && s.shrink {
			short, err := sim.Shrink(*scenario, shrinkReplays, s.stopped())
			if err != nil {
				return err
			}
			report.Actions, report.ShrunkFrom = len(short.Actions), len(scenario.Actions)
			scenario = &short
			if s.record == "" && s.output == outputText {
				s.record = "-"
			}
		}
		if s.record != "" {
			if err := s.writeScenario(*scenario); err != nil {
				return err
			}
			report.Recorded = s.record
		}
	}
	return s.print(report)
}

// stopped returns a function that says whether the user wants no more, or the time
// to shrink is over.
func (s *simSettings) stopped() func() bool {
	ctx, began := s.cmd.Context(), time.Now()
	return func() bool { return ctx.Err() != nil || time.Since(began) > shrinkTime }
}

// writeScenario writes to the file that --record names.
func (s *simSettings) writeScenario(scenario sim.Scenario) error {
	if s.record == "-" {
		_, err := io.WriteString(s.cmd.OutOrStdout(), scenario.String())
		return err
	}
	if err := os.WriteFile(s.record, []byte(scenario.String()), 0o644); err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	return nil
}

// optionalSeed is a flag for a seed, which may be any number, zero too.
type optionalSeed struct {
	value uint64
	given bool
}

func (s *optionalSeed) Type() string { return "number" }

func (s *optionalSeed) String() string {
	if !s.given {
		return ""
	}
	return strconv.FormatUint(s.value, 10)
}

func (s *optionalSeed) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no seed: write a number from 0 to %d", text, uint64(1<<64-1))
	}
	s.value, s.given = v, true
	return nil
}

// faultList is a flag for kinds of faults.
type faultList struct{ kinds map[string]bool }

func (f *faultList) Type() string   { return "kinds" }
func (f *faultList) String() string { return sim.FormatKinds(f.kinds) }

func (f *faultList) Set(text string) error {
	kinds, err := sim.ParseKinds(text)
	if err == nil {
		f.kinds = kinds
	}
	return err
}

// violatedRule names what a run has violated, if it has.
func violatedRule(err error) string {
	if v, ok := errors.AsType[*sim.Violation](err); ok {
		return v.Rule
	}
	return ""
}
