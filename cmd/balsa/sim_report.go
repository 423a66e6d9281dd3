package main

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"unicode"

	"balsa/raft/sim"
)

// simReport is what balsa sim says about a run, or about the end of a hunt.
type simReport struct {
	Seed     *uint64 `json:"seed,omitempty"`
	Scenario string  `json:"scenario,omitempty"`
	Nodes    int     `json:"nodes,omitempty"`
	Verdict  verdict `json:"verdict"`
	Rule     string  `json:"rule,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	At       string  `json:"at_tick,omitempty"`
	// Hash is that of all events, Ending that of the state they lead to, and the
	// verdict, as in a scenario's last line. Expected is what that line says.
	Hash     string `json:"hash,omitempty"`
	Ending   string `json:"ending,omitempty"`
	Expected string `json:"expected_ending,omitempty"`
	// Replay is the command that shows the run. Found is the one for the run that a
	// hunt has found first, if that was not as simple.
	Replay string `json:"replay,omitempty"`
	Found  string `json:"found,omitempty"`
	// Recorded is the file of the scenario. If it was shrunk, Actions and
	// ShrunkFrom say how many actions it has and had.
	Recorded   string         `json:"recorded,omitempty"`
	Actions    int            `json:"actions,omitempty"`
	ShrunkFrom int            `json:"shrunk_from,omitempty"`
	Hunt       *huntReport    `json:"hunt,omitempty"`
	Statistics map[string]any `json:"statistics,omitempty"`

	statistics sim.Statistics
	traceEnd   string
}

// verdict is how a run is judged.
type verdict string

const (
	verdictClean     verdict = "clean"
	verdictViolation verdict = "violation"
	verdictDifferent verdict = "different" // a scenario ends otherwise than it says
)

// take fills in what is known of a run.
func (r *simReport) take(result sim.Result, violation *sim.Violation) {
	r.Nodes = result.Nodes
	if r.Hunt == nil { // the figures of a hunt are those of all its runs
		r.statistics = result.Statistics
	}
	r.Hash = fmt.Sprintf("%016x", result.Hash)
	r.Verdict = verdictClean
	var err error
	if violation != nil {
		err = violation
		r.Verdict, r.Rule, r.Detail, r.At = verdictViolation, violation.Rule, violation.Detail, violation.At.String()
		r.traceEnd = violation.Trace
	}
	r.Ending = sim.EndingOf(result, err).String()
}

// print prints a report, and returns an error if nothing is as it should be.
func (s *simSettings) print(r simReport) error {
	out := s.cmd.OutOrStdout()
	if s.record == "-" {
		out = s.cmd.ErrOrStderr() // the scenario has the standard output
	}
	if s.output == outputJSON {
		r.Statistics = numbers(reflect.ValueOf(r.statistics)).(map[string]any)
		if err := printJSON(out, r); err != nil {
			return err
		}
	} else if _, err := io.WriteString(out, s.text(r)); err != nil {
		return err
	}
	switch r.Verdict {
	case verdictClean:
		return nil
	case verdictDifferent:
		return fmt.Errorf("%w: the scenario must end with %q and ends with %q", errViolation, r.Expected, r.Ending)
	}
	return fmt.Errorf("%w: %s", errViolation, r.Rule)
}

// text is a report for people.
func (s *simSettings) text(r simReport) string {
	var b strings.Builder
	what := "the scenario " + r.Scenario
	if r.Seed != nil {
		what = fmt.Sprintf("seed %d", *r.Seed)
	}
	if r.Hunt != nil {
		b.WriteString(r.Hunt.text())
	}
	if r.Hunt == nil || r.Verdict != verdictClean {
		fmt.Fprintf(&b, "%s, %d nodes: %s\n", what, r.Nodes, r.Ending)
	}
	if r.Rule != "" {
		if !s.trace {
			b.WriteString(r.traceEnd)
		}
		fmt.Fprintf(&b, "%s is violated at tick %s: %s\n", r.Rule, r.At, r.Detail)
	}
	if r.Hunt != nil || !s.trace {
		fmt.Fprintf(&b, "%s\n", r.statistics)
	}
	if r.ShrunkFrom > 0 {
		fmt.Fprintf(&b, "%d actions are to blame, of %d\n", r.Actions, r.ShrunkFrom)
	}
	if r.Recorded != "" && r.Recorded != "-" {
		fmt.Fprintf(&b, "to replay the scenario: balsa sim --trace --scenario %s\n", r.Recorded)
	}
	if r.Verdict != verdictClean {
		fmt.Fprintf(&b, "to see the whole run:   %s\n", r.Replay)
	}
	if r.Found != "" {
		fmt.Fprintf(&b, "it was found in:        %s\n", r.Found)
	}
	return b.String()
}

// numbers makes a JSON object of statistics, with names as JSON has them.
func numbers(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		object := map[string]any{}
		for i := range v.NumField() {
			field := numbers(v.Field(i))
			if inner, isObject := field.(map[string]any); isObject && v.Type().Field(i).Anonymous {
				for name, value := range inner {
					object[name] = value
				}
				continue
			}
			object[snake(v.Type().Field(i).Name)] = field
		}
		return object
	case reflect.Array:
		list := []any{}
		for i := range v.Len() {
			list = append(list, numbers(v.Index(i)))
		}
		return list
	}
	return v.Int()
}

// snake writes a Go name as JSON has it: LastCampaign is last_campaign.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// traceWriter is where the trace goes, or nil.
func (s *simSettings) traceWriter() io.Writer {
	if !s.trace {
		return nil
	}
	out := s.cmd.OutOrStdout()
	if colored(s.color, out) {
		return coloredTrace{out}
	}
	return out
}

// coloredTrace colours the lines of a trace, each of which is one write: leaders
// green, candidates yellow, dead servers red, what is done to the cluster blue.
type coloredTrace struct{ out io.Writer }

// The escape sequences of the colours.
const (
	red, green, yellow, blue, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[0m"
)

var (
	// traceCell is a server's column in a trace.
	traceCell = regexp.MustCompile(`( |\[)([Lpc]\d+|x)(\]| )`)
	cellColor = map[byte]string{'L': green, 'p': yellow, 'c': yellow, 'x': red}
)

func (c coloredTrace) Write(line []byte) (int, error) {
	text := string(line)
	// The words begin after the last column; a cell is 6 or more wide.
	columns, words := text, ""
	if i := wordsBegin(text); i >= 0 {
		columns, words = text[:i], text[i:]
	}
	columns = traceCell.ReplaceAllStringFunc(columns, func(cell string) string {
		color := cellColor[cell[1]]
		return cell[:1] + color + cell[1:len(cell)-1] + plain + cell[len(cell)-1:]
	})
	switch {
	case strings.HasPrefix(words, "-- "):
		words = blue + strings.TrimSuffix(words, "\n") + plain + "\n"
	case strings.Contains(words, " is violated: "):
		words = red + strings.TrimSuffix(words, "\n") + plain + "\n"
	}
	if _, err := io.WriteString(c.out, columns+words); err != nil {
		return 0, err
	}
	return len(line), nil
}

// traceColumn matches the time, and the cells of all servers, of a trace's line.
var traceColumns = regexp.MustCompile(`^ *\d+\.\d+ (?:[ \[](?:[Lfpc]\d+|x|\?)[ \]] *)+`)

func wordsBegin(line string) int {
	loc := traceColumns.FindStringIndex(line)
	if loc == nil {
		return -1
	}
	return loc[1]
}
