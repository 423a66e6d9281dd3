package modelcheck

import (
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"
)

var spec = flag.String("spec", "{}", "")
var limit = flag.Duration("limit", 60*time.Second, "")

func TestX(t *testing.T) {
	s := Scope{Name: "x", Voters: 3, Terms: 1, Window: 1}
	if err := json.Unmarshal([]byte(*spec), &s); err != nil {
		t.Fatal(err)
	}
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := c.Explore(func(r Result) bool { return time.Since(start) < *limit })
	if err != nil {
		t.Fatal(err)
	}
	e := time.Since(start)
	fmt.Printf("%s\n  states %d trans %d depth %d exhausted %v servers %d messages %d histories %d steps %d: %.1fs %.0f states/s %.0f trans/s\n", *spec, r.States, r.Transitions, r.Depth, r.Exhausted, r.Servers, r.Messages, r.Histories, r.Steps, e.Seconds(), float64(r.States)/e.Seconds(), float64(r.Transitions)/e.Seconds())
	if r.Counterexample != nil {
		for i, a := range r.Counterexample.Actions {
			fmt.Println("  ", i+1, a)
		}
		fmt.Println(r.Counterexample.Violation.String())
	}
}
