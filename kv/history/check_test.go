package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVerdicts(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for i, o := range s.ops {
				if err := o.validate(); err != nil {
					t.Fatalf("operation %d: %v", i, err)
				}
			}
			v := Check(History{Operations: s.ops}, time.Minute)
			if v.Result != s.want {
				t.Errorf("%s, want %s", v.Result, s.want)
			}
		})
	}
}

func TestKeysAreJudgedApart(t *testing.T) {
	var good, both []Operation
	for _, s := range scenarios {
		for _, o := range s.ops {
			o.Input.Key = Text(s.name)
			both = append(both, o)
			if s.want == Linearizable {
				good = append(good, o)
			}
		}
	}
	if v := Check(History{Operations: good}, time.Minute); v.Result != Linearizable || v.Key != "" {
		t.Errorf("all linearizable scenarios together: %s", v)
	}
	v := Check(History{Operations: both}, time.Minute)
	if v.Result != NotLinearizable || v.AtKey == 0 || v.AtKey >= v.Judged {
		t.Errorf("all scenarios together: %s", v)
	}
	for _, s := range scenarios {
		if string(v.Key) == s.name && s.want != NotLinearizable {
			t.Errorf("the verdict blames %q, which is %s", v.Key, s.want)
		}
	}
}

// simulate makes the history of clients of a store that is linearizable: one
// register per key under a lock, with revisions from one counter. Calls and
// returns are drawn around the moment at which the operation takes effect. One
// write in 33 is reported as unknown, and half of those have no effect.
func simulate(seed uint64, clients, operations, keys int) History {
	rng := rand.New(rand.NewPCG(seed, 1))
	store := map[Text]register{}
	free := make([]int64, clients) // when each client can ask again
	seen := map[Text]uint64{}      // revisions that clients have heard of
	var h History
	revision := uint64(0)
	for i := range operations {
		client := rng.IntN(clients)
		moment := int64(i) * 100
		call := max(free[client], moment-rng.Int64N(1000))
		if call > moment {
			continue // busy
		}
		key := Text(fmt.Sprintf("key%d", rng.IntN(keys)))
		in := Input{Kind: []Kind{Get, Get, Put, Put, Delete, CompareAndSet, CompareAndSet, CompareAndDelete}[rng.IntN(8)], Key: key}
		if in.Kind.sets() {
			in.Value = Text(fmt.Sprintf("value%d", i))
		}
		if in.Kind.compares() {
			in.Expected = seen[key]
		}
		lost := in.Kind != Get && rng.IntN(33) == 0
		out := unknown
		if !lost || rng.IntN(2) == 0 {
			revision++
			store[key], out = execute(store[key], in, revision)
		}
		if lost {
			out = unknown
		} else {
			seen[key] = out.Revision
		}
		ret := moment + 1 + rng.Int64N(1000)
		free[client] = ret + 1
		h.Operations = append(h.Operations, op(client, max(call, 0), ret, in, out))
	}
	return h
}

// execute is the store of simulate.
func execute(r register, in Input, revision uint64) (register, Output) {
	switch {
	case in.Kind == Get && r.present:
		return r, found(r.value, r.revision)
	case in.Kind == Get:
		return r, absent
	case in.Kind.compares() && in.Expected != r.revision:
		return r, conflict(r.revision)
	case in.Kind.sets():
		return register{present: true, value: in.Value, revision: revision}, at(revision)
	case r.present:
		return register{}, removed(revision)
	}
	return register{}, at(revision)
}

func TestALinearizableStorePassesWhateverItsClientsDo(t *testing.T) {
	for seed := range uint64(20) {
		h := simulate(seed, 10, 2000, 5)
		if v := Check(h, time.Minute); v.Result != Linearizable {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

// damage turns one answer of the history into a lie and reports whether it
// found one to change. Each lie is one that no order of events explains.
func damage(h History, rng *rand.Rand) bool {
	for range 1000 {
		o := &h.Operations[rng.IntN(len(h.Operations))]
		if o.Output.Outcome != OK {
			continue
		}
		switch {
		case o.Input.Kind == Get && o.Output.Found:
			o.Output.Value += "!"
		case o.Input.Kind == Delete:
			o.Output.Found = !o.Output.Found
			if unknownOn(h, o.Input.Key) {
				o.Output.Found = !o.Output.Found
				continue // an unknown write may explain it
			}
		case o.Input.Kind == CompareAndSet:
			o.Input.Expected = 1 << 40
		default:
			continue
		}
		return true
	}
	return false
}

func unknownOn(h History, key Text) bool {
	for _, o := range h.Operations {
		if o.Input.Key == key && o.Output.Outcome == Unknown {
			return true
		}
	}
	return false
}

func TestOneLieIsEnough(t *testing.T) {
	for seed := range uint64(20) {
		h := simulate(seed, 10, 2000, 5)
		if !damage(h, rand.New(rand.NewPCG(seed, 2))) {
			t.Fatalf("seed %d: nothing to damage", seed)
		}
		if v := Check(h, time.Minute); v.Result != NotLinearizable {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

func TestATimeoutIsNotSuccess(t *testing.T) {
	v := Check(simulate(1, 10, 2000, 5), 1) // one nanosecond
	if v.Result != Undecided || v.Key == "" {
		t.Errorf("%s, want undecided at some key", v)
	}
	var zero Verdict
	if zero.Result == Linearizable {
		t.Error("a verdict that nobody has reached counts as success")
	}
}

func TestVisualizeDrawsOperationsAndEvents(t *testing.T) {
	h := History{Events: []Event{{Source: "node 1", Start: 2, End: 7, Text: "killed to see what happens"}}}
	for _, s := range scenarios {
		for _, o := range s.ops {
			o.Input.Key = Text(s.name)
			h.Operations = append(h.Operations, o)
		}
	}
	linearizable := simulate(3, 5, 200, 3)
	linearizable.Events = h.Events
	for name, v := range map[string]Verdict{
		"bad":       Check(h, time.Minute),
		"good":      Check(linearizable, time.Minute),
		"undecided": Check(linearizable, 1),
		"empty":     Check(History{Events: h.Events}, time.Minute),
	} {
		path := filepath.Join(t.TempDir(), name+".html")
		if err := v.Visualize(path); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "killed to see what happens") {
			t.Errorf("%s: the event is not in the picture", name)
		}
		if name == "bad" && !strings.Contains(string(page), fmt.Sprint(v.Key)) {
			t.Errorf("the key at fault is not in the picture")
		}
	}
	if err := (Verdict{}).Visualize(filepath.Join(t.TempDir(), "no", "such", "directory")); err == nil {
		t.Error("drawn into a directory that does not exist")
	}
}

func TestInventedStaleReadsAreFound(t *testing.T) {
	writes := []Operation{
		op(0, 1, 2, put("k", "1"), at(5)),
		op(0, 3, 4, put("k", "2"), unknown),
		op(0, 5, 6, put("k", "3"), failed),
		op(0, 7, 8, cas("k", 3, "4"), conflict(5)),
		op(0, 50, 60, cas("k", 5, "5"), at(9)),
	}
	for name, c := range map[string]struct {
		out      Output
		invented bool
	}{
		"absent is never wrong":             {absent, false},
		"old is never wrong":                {found("1", 5), false},
		"of unknown outcome":                {found("2", 6), false},
		"right value, wrong revision":       {found("1", 6), true},
		"written by nobody":                 {found("9", 5), true},
		"of a write that failed":            {found("3", 6), true},
		"of a comparison that did not hold": {found("4", 6), true},
		"from the future":                   {found("5", 9), true},
	} {
		read := op(1, 20, 30, stale("k"), c.out)
		got := Invented(History{Operations: append(writes[:len(writes):len(writes)], read)})
		if (len(got) == 1) != c.invented || len(got) > 1 {
			t.Errorf("%s: invented are %v", name, got)
		}
	}
}

// staleRead replaces the answer of a late read by one that was true long ago: the
// kind of lie that a store tells whose old leader has not noticed that it is
// one. It leaves the proof that no order explains it to the search.
func staleRead(t testing.TB, h History) {
	t.Helper()
	late := h.Operations[len(h.Operations)*9/10:]
	for i := range late {
		o := &late[i]
		if o.Input.Kind != Get || !o.Output.Found {
			continue
		}
		for _, early := range h.Operations[:len(h.Operations)/2] {
			if early.Input == o.Input && early.Output.Found {
				o.Output = early.Output
				return
			}
		}
	}
	t.Fatal("no read to change")
}

// A search that finds no order must say so soon, although the outcomes of many
// writes are unknown; otherwise the worst failures would end as timeouts.
func TestAStaleReadAmongManyUnknownOutcomesIsProved(t *testing.T) {
	for seed := range uint64(5) {
		h := simulate(seed, 10, 10_000, 10)
		staleRead(t, h)
		if v := Check(h, time.Minute); v.Result != NotLinearizable {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
}

// A recording of the length of a real test run, with unknown outcomes, must be
// judged in seconds, whatever the verdict.
func BenchmarkCheck40000(b *testing.B) {
	for _, keys := range []int{100, 10, 3} {
		h := simulate(7, 10, 100_000, keys)
		h.Operations = h.Operations[:40_000]
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			for b.Loop() {
				if v := Check(h, time.Minute); v.Result != Linearizable {
					b.Fatal(v)
				}
			}
		})
	}
	h := simulate(7, 10, 100_000, 30)
	h.Operations = h.Operations[:40_000]
	staleRead(b, h)
	b.Run("keys=30,stale read", func(b *testing.B) {
		for b.Loop() {
			if v := Check(h, time.Minute); v.Result != NotLinearizable {
				b.Fatal(v)
			}
		}
	})
}
