package modelcheck

import (
	"flag"
	"testing"
	"time"
)

var (
	effort  = flag.String("effort", "quick", "explore scopes that are quick, thorough or nightly, and those that take less")
	minutes = flag.Float64("minutes", 0, "give up on a scope after so many minutes; 0 explores it to its end")
)

// TestScope explores every scope whose effort is not too large. A scope that is not
// done in the time that it is given has not failed.
//
//	go test ./raft/modelcheck -run TestScope/figure-8 -v
//	go test ./raft/modelcheck -run TestScope -v -effort=thorough -timeout 30m
func TestScope(t *testing.T) {
	efforts := map[string]Effort{"quick": Quick, "thorough": Thorough, "nightly": Nightly}
	most, known := efforts[*effort]
	if !known {
		t.Fatalf("there is no effort %q", *effort)
	}
	for _, scope := range Scopes() {
		t.Run(scope.Name, func(t *testing.T) {
			if scope.Effort > most {
				t.Skip("takes longer: see the flag -effort")
			}
			t.Parallel()
			c, err := New(scope)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			reported := began
			r, err := c.Explore(func(r Result) bool {
				if time.Since(reported) > 10*time.Second {
					reported = time.Now()
					t.Logf("%s: %s ...", scope.Name, r)
				}
				return *minutes == 0 || time.Since(began).Minutes() < *minutes
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s, %.1f s", scope.Name, r, time.Since(began).Seconds())
			if r.Counterexample != nil {
				t.Fatalf("violates %s\n%s", r.Counterexample.Violation.Rule, r.Counterexample)
			}
			if *minutes == 0 && !r.Exhausted {
				t.Error("there is more to explore")
			}
		})
	}
}
