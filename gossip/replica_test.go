package gossip

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newReplica(generation uint64) *replica {
	return &replica{stamp: stamp{lineage: lineage{generation: generation, run: runID{1}}}, entries: make(map[string]entry)}
}

func set(key, value string) change { return change{key: key, value: value} }

func remove(key string) change { return change{key: key, deleted: true} }

// mustWrite makes changes that must succeed.
func mustWrite(t *testing.T, r *replica, changes ...change) {
	t.Helper()
	if _, err := r.write(changes, noon); err != nil {
		t.Fatal(err)
	}
	checkReplica(t, r)
}

// mustEqual checks that a copy is what its owner has.
func mustEqual(t *testing.T, owner, r *replica) {
	t.Helper()
	checkReplica(t, r)
	if owner.stamp != r.stamp || !maps.Equal(contents(owner), contents(r)) {
		t.Fatalf("owner: %+v %v\ncopy:  %+v %v", owner.stamp, contents(owner), r.stamp, contents(r))
	}
}

func TestSayingTheSameIsNoChange(t *testing.T) {
	r := newReplica(1)
	mustWrite(t, r, set("a", "1"), set("b", "2"))
	before := r.stamp
	mustWrite(t, r, set("a", "1"), remove("not-there"))
	if r.stamp != before {
		t.Errorf("from %+v to %+v", before, r.stamp)
	}
	mustWrite(t, r, remove("a"))
	mustWrite(t, r, remove("a"))
	if r.version != 3 {
		t.Errorf("version %d after three changes", r.version)
	}
	mustWrite(t, r, change{key: "b", value: "2", ttl: time.Second})
	mustWrite(t, r, change{key: "b", value: "2", ttl: time.Second})
	mustWrite(t, r, set("b", "2"))
	if r.version != 6 {
		t.Errorf("version %d: to begin or end a time to live is a change", r.version)
	}
}

func TestChangesAreMadeAllOrNone(t *testing.T) {
	r := newReplica(1)
	mustWrite(t, r, set("a", "1"))
	_, err := r.write([]change{set("a", "2"), set("b", "\n")}, noon)
	if !errors.Is(err, ErrValue) || r.version != 1 || r.entries["a"].value != "1" {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestOwnerIsToldWhichLimitItExceeds(t *testing.T) {
	many := make([]change, MaxKeys+1)
	for i := range many {
		many[i] = set(fmt.Sprint("k", i), "")
	}
	var long []change
	for i := range MaxState / MaxValue {
		long = append(long, set(fmt.Sprint("k", i), strings.Repeat("v", MaxValue)))
	}
	for _, c := range []struct {
		changes   []change
		what, key string
		size, max int
	}{
		{[]change{set(strings.Repeat("k", 65), "")}, "key", strings.Repeat("k", 65), 65, MaxKey},
		{[]change{set("a", strings.Repeat("v", 513))}, "value", "a", 513, MaxValue},
		{many, "number of keys", "", 65, MaxKeys},
		{long, "state", "", 8 * (2 + MaxValue + EntryOverhead), MaxState},
	} {
		r := newReplica(1)
		_, err := r.write(c.changes, noon)
		limit, ok := errors.AsType[*LimitError](err)
		if !ok || *limit != (LimitError{c.what, c.key, c.size, c.max}) || r.version != 0 {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for _, key := range []string{"", "a b", "a\x00", "ä"} {
		if _, err := newReplica(1).write([]change{set(key, "")}, noon); !errors.Is(err, ErrKey) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestTombstonesNeverStandInTheWay(t *testing.T) {
	r := newReplica(1)
	other := newReplica(1)
	for i := range 5 * MaxKeys {
		mustWrite(t, r, set(fmt.Sprint("k", i), "v"), set("stays", "here"))
		other.apply(r.since("n1", other.version, noon), noon)
		mustWrite(t, r, remove(fmt.Sprint("k", i)))
		other.apply(r.since("n1", other.version, noon), noon)
		mustEqual(t, r, other)
	}
	if r.entries["stays"].value != "here" || r.collected == 0 {
		t.Errorf("%+v", r)
	}
}

// TestDeltasInAnyOrder gives a copy the deltas between all pairs of an owner's
// states, in many orders, each several times.
func TestDeltasInAnyOrder(t *testing.T) {
	owner := newReplica(1)
	var deltas []delta
	var states []*replica
	after := func(change func()) {
		change()
		states = append(states, &replica{stamp: owner.stamp, entries: maps.Clone(owner.entries)})
		for from := range owner.version + 1 {
			deltas = append(deltas, owner.since("n1", from, noon))
		}
	}
	after(func() { mustWrite(t, owner, set("a", "1"), set("b", "2")) })
	after(func() { mustWrite(t, owner, remove("a")) })
	after(func() { mustWrite(t, owner, set("b", "new")) })
	after(func() { owner.forget(noon.Add(time.Second)) })
	after(func() { mustWrite(t, owner, set("c", "3"), remove("b")) })
	for shift := range len(deltas) {
		for step := 1; step < len(deltas); step += 2 {
			r := &replica{}
			for i := range 3 * len(deltas) {
				before := r.stamp
				r.apply(deltas[(shift+i*step)%len(deltas)], noon)
				if r.stamp.compare(before) < 0 {
					t.Fatalf("from %+v back to %+v", before, r.stamp)
				}
				if i := slices.IndexFunc(states, func(s *replica) bool { return s.stamp == r.stamp }); i >= 0 {
					mustEqual(t, states[i], r)
				} else if r.stamp != (stamp{}) {
					t.Fatalf("the owner never had stamp %+v", r.stamp)
				}
			}
			r.apply(owner.since("n1", r.version, noon), noon)
			mustEqual(t, owner, r)
		}
	}
}

func TestWhoMissedATombstoneStartsFromNothing(t *testing.T) {
	owner, r := newReplica(1), &replica{}
	mustWrite(t, owner, set("a", "1"), set("b", "2"))
	r.apply(owner.since("n1", 0, noon), noon)
	mustWrite(t, owner, remove("a"))
	owner.forget(noon.Add(time.Nanosecond))
	if _, kept := owner.entries["a"]; kept {
		t.Fatal("the tombstone is still there")
	}
	// Somebody who does not know what this copy lacks sends too little.
	short := delta{name: "n1", stamp: owner.stamp, from: 2}
	if verdict, _ := r.apply(short, noon); verdict != verdictGap {
		t.Fatalf("a delta without the tombstone gives verdict %d", verdict)
	}
	d := owner.since("n1", r.version, noon)
	if verdict, _ := r.apply(d, noon); d.from != 0 || verdict != verdictApplied {
		t.Fatalf("delta from %d, verdict %d", d.from, verdict)
	}
	mustEqual(t, owner, r)
}

func TestDeltasThatTogetherExceedTheLimitsAreRefused(t *testing.T) {
	r := newReplica(1)
	full := delta{name: "n2", stamp: r.stamp}
	for i := range uint64(MaxKeys) {
		full.entries = append(full.entries, deltaEntry{key: fmt.Sprint("k", i), version: i + 1})
	}
	full.version = MaxKeys
	if verdict, _ := r.apply(full, noon); verdict != verdictApplied {
		t.Fatal(verdict)
	}
	more := delta{name: "n2", stamp: r.stamp, from: r.version, entries: []deltaEntry{{key: "x", version: r.version + 1}}}
	more.version++
	if verdict, _ := r.apply(more, noon); verdict != verdictTooBig || r.version != MaxKeys || len(r.entries) != MaxKeys {
		t.Errorf("verdict %d, stamp %+v", verdict, r.stamp)
	}
}

func TestKeysExpireAtTheOwnerAndWithoutIt(t *testing.T) {
	owner, r := newReplica(1), &replica{}
	mustWrite(t, owner, change{key: "short", value: "1", ttl: time.Second}, set("long", "2"))
	late := noon.Add(700 * time.Millisecond) // when the copy is made, 300 ms are left
	r.apply(owner.since("n1", 0, late), late)
	values := func(r *replica, after time.Duration) int { return len(r.state("", noon.Add(after)).Values) }
	if values(owner, 999*time.Millisecond) != 2 || values(r, 999*time.Millisecond) != 2 {
		t.Error("it expired too early")
	}
	if values(owner, time.Second) != 1 || values(r, time.Second) != 1 {
		t.Error("it did not expire")
	}
	if keys := owner.expire(noon.Add(time.Second)); !slices.Equal(keys, []string{"short"}) {
		t.Errorf("expired: %v", keys)
	}
	if keys := owner.expire(noon.Add(time.Hour)); len(keys) != 0 {
		t.Errorf("expired once more: %v", keys)
	}
	r.apply(owner.since("n1", r.version, late), late)
	mustEqual(t, owner, r)
}

func TestALateDeltaDoesNotProlongWhatIsKnown(t *testing.T) {
	owner, r := newReplica(1), &replica{}
	mustWrite(t, owner, set("a", "1"))
	mustWrite(t, owner, change{key: "short", value: "1", ttl: time.Second})
	r.apply(owner.since("n1", 0, noon), noon)
	mustWrite(t, owner, set("b", "2"))
	both := owner.since("n1", 1, noon)
	r.apply(both, noon.Add(900*time.Millisecond))
	mustEqual(t, owner, r)
	if r.entries["short"].live(noon.Add(time.Second)) {
		t.Error("it lasts longer than it did before the delta")
	}
}
