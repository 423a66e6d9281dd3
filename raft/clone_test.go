package raft

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// A field that Clone or AppendState forgets would make the model checker lie, and
// nothing else would show it. So these tests do not know the fields: they find them.

// sharedByClones are the parts of a core that a copy shares with it, because nobody
// ever writes to them. Everything else must be a copy.
var sharedByClones = map[string]string{
	`log\.tail\[\]\..*`:                  "the entries in memory; a copy has no room to append into",
	`log\.configurations\[\]\.Config.*`:  "a configuration never changes, another takes its place",
	`log\.resetTo\..*`:                   "nor does a snapshot",
	`installing\..*`:                     "nor does a snapshot",
	`quorum\[\]\[\]`:                     "computed anew for each configuration",
	`members\[\]`:                        "computed anew for each configuration",
	`out\.(Write|Install)\..*`:           "what is handed out is the host's",
	`out\.(Send|SendAfterWrite)\[\]\..*`: "nor does a message change",
	`out\.Apply\..*`:                     "the entries are the tail's",
}

// leftOutOfState are the parts of a core that AppendState leaves out, and why.
var leftOutOfState = map[string]string{
	`cfg\..*`:                          "the same for cores that are compared",
	`out\..*`:                          "empty when cores are compared",
	`now|clock`:                        "when is not what",
	`electionElapsed`:                  "when is not what",
	`electionTimeout`:                  "when is not what",
	`heartbeatElapsed`:                 "when is not what",
	`promisedUntil`:                    "only whether it is over",
	`urgentUntil`:                      "only whether it is over",
	`lease\.wantedUntil`:               "only whether it is over",
	`lease\.began`:                     "when is not what",
	`transfer\.started`:                "when is not what",
	`forwards\[\]\.expires`:            "when is not what",
	`confirm\.lastConfirmed`:           "when is not what",
	`confirm\.begun\[\]\.(tick|clock)`: "when is not what",
	`peers\[\]\.lastReply`:             "when is not what",
	`peers\[\]\.snapshotAgain`:         "only whether it is over",
	`peers\[\]\.windowBytes`:           "the sum of the window's",
	`peers\[\]\.window\[\]\.bytes`:     "the size of entries that the log holds",
	`log\.tail\[\]\..*`:                "the host has the log, and its terms and configurations are in",
	`log\.tailBytes`:                   "of the tail",
	`quorum\[\]\[\]`:                   "follows from the configuration",
	`members\[\]`:                      "follows from the configuration",
	`votes`:                            "follows from the configuration",
}

func TestCloneSharesNothingThatChanges(t *testing.T) {
	c := filledCore()
	d := c.Clone()
	originals, copies := leavesOf(c), leavesOf(d)
	if len(originals) != len(copies) {
		t.Fatalf("the core has %d parts, its copy %d", len(originals), len(copies))
	}
	used := map[string]bool{}
	for i, l := range copies {
		original := originals[i]
		if !original.v.Equal(l.v) {
			t.Errorf("%s: is %v, its copy %v", l.path, original.v, l.v)
		}
		restore := l.change()
		if original.store != nil {
			original = leavesOf(c)[i] // what is in the map by now
		}
		shared := original.v.Equal(l.v)
		restore()
		if shared && !matches(sharedByClones, l.path, used) {
			t.Errorf("%s: changing the copy changes the core", l.path)
		}
	}
	unused(t, sharedByClones, used)
}

// Two copies that each append an entry must not write into the same array.
func TestClonesAppendSeparately(t *testing.T) {
	c := coreWithLog(t, 1, 3, 1, []Term{1})
	c.log.tail = append(make([]Entry, 0, 8), NewEntry(EntryID{1, 1}, EntryNoop, nil))
	c.log.tailBytes = entriesSize(c.log.tail)
	d, e := c.Clone(), c.Clone()
	for i, core := range []*Core{c, d, e} {
		core.log.append(NewEntry(EntryID{Term(i + 2), 2}, EntryNoop, nil))
	}
	for i, core := range []*Core{c, d, e} {
		if got := core.log.tail[1].Term; got != Term(i+2) {
			t.Errorf("core %d has appended an entry of term %d and holds one of term %d", i, i+2, got)
		}
	}
}

func TestStateSaysEverythingThatMatters(t *testing.T) {
	c := filledCore()
	same := func(id NodeID) NodeID { return id }
	before := c.AppendState(nil, same)
	used := map[string]bool{}
	for _, l := range leavesOf(c) {
		restore := l.change()
		differs := !bytes.Equal(c.AppendState(nil, same), before)
		if leftOut := matches(leftOutOfState, l.path, used); differs == leftOut {
			t.Errorf("%s: another value makes another state: %v", l.path, differs)
		}
		restore()
	}
	if !bytes.Equal(c.AppendState(nil, same), before) {
		t.Error("the test has changed the core")
	}
	unused(t, leftOutOfState, used)
}

// Servers that do the same under other names have the same state under a renaming.
func TestStateUnderOtherNames(t *testing.T) {
	swap := func(id NodeID) NodeID {
		if id == 1 || id == 2 {
			return 3 - id
		}
		return id
	}
	same := func(id NodeID) NodeID { return id }
	// Each leads term 2 with a vote of server 3, and has heard from it since.
	lead := func(id, other NodeID) *server {
		s := newServer(t, id, 3, 1)
		for range 2 * 30 {
			if s.Tick(); s.Role() == PreCandidate {
				break
			}
		}
		s.do()
		s.receive(3, 2, &RequestVoteReply{PreVote: true, Granted: true})
		s.receive(3, 2, &RequestVoteReply{Granted: true})
		s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
		s.receive(other, 2, &AppendEntriesReply{RejectedPrev: 1, Round: 1})
		if s.Role() != Leader {
			t.Fatalf("%s is a %s", id, s.Role())
		}
		return s
	}
	a, b := lead(1, 2), lead(2, 1)
	if bytes.Equal(a.AppendState(nil, same), b.AppendState(nil, same)) {
		t.Error("different leaders have the same state")
	}
	if !bytes.Equal(a.AppendState(nil, same), b.AppendState(nil, swap)) {
		t.Error("leaders that differ in their names only have different states under the other's name")
	}
}

// filledCore returns a leader in which every field is set, to a value that no other
// field has.
func filledCore() *Core {
	c := new(Core)
	next := uint64(100)
	fill(reflect.ValueOf(c).Elem(), &next)
	c.role = Leader
	return c
}

var (
	entryType    = reflect.TypeFor[Entry]()
	instanceType = reflect.TypeFor[InstanceID]()
	bodyType     = reflect.TypeFor[Body]()
)

func fill(v reflect.Value, next *uint64) {
	v = writable(v)
	*next++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == entryType {
			v.Set(reflect.ValueOf(NewEntry(EntryID{Term(*next), Index(*next)}, EntryCommand, []byte{1})))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), next)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, next)
			fill(value, next)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.Interface:
		if v.Type() != bodyType {
			panic("a field of type " + v.Type().String())
		}
		v.Set(reflect.ValueOf(&ReadIndex{ID: *next}))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint(*next))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*next))
	case reflect.Uint8:
		v.SetUint(*next % 3)
	case reflect.Uint64:
		v.SetUint(*next)
	case reflect.Func: // compared by nobody
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

// writable makes a field that is not exported one that can be set.
func writable(v reflect.Value) reflect.Value {
	if !v.CanAddr() {
		return v
	}
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

// leaf is a place in a core that holds a number, a string or a truth value.
type leaf struct {
	path string
	v    reflect.Value
	// store puts the value back into the map that it comes from, or is nil.
	store func()
}

// change gives the leaf another value, and returns what gives it the old one.
func (l leaf) change() (restore func()) {
	old := reflect.New(l.v.Type()).Elem()
	old.Set(l.v)
	switch l.v.Kind() {
	case reflect.Bool:
		l.v.SetBool(!l.v.Bool())
	case reflect.String:
		l.v.SetString(l.v.String() + "x")
	case reflect.Int, reflect.Int64:
		l.v.SetInt(l.v.Int() + 1)
	default:
		l.v.SetUint(l.v.Uint() + 1)
	}
	store := l.store
	if store == nil {
		store = func() {}
	}
	store()
	return func() { l.v.Set(old); store() }
}

func leavesOf(c *Core) []leaf {
	return leaves(nil, "", reflect.ValueOf(c).Elem(), nil)
}

// leaves finds all the places below v. Elements of lists all have the same path.
func leaves(list []leaf, path string, v reflect.Value, store func()) []leaf {
	v = writable(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			list = leaves(list, strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i), store)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if v.Type() != instanceType || i == 0 { // one byte of it stands for all
				list = leaves(list, path+"[]", v.Index(i), store)
			}
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return int(a.Uint()) - int(b.Uint()) })
		for _, key := range keys {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			list = leaves(list, path+"[]", value, func() { v.SetMapIndex(key, value) })
		}
	case reflect.Pointer, reflect.Interface:
		list = leaves(list, path, v.Elem(), store)
	case reflect.Func:
	default:
		list = append(list, leaf{path, v, store})
	}
	return list
}

// matches reports whether one of the patterns is that of a path, and notes which.
func matches(patterns map[string]string, path string, used map[string]bool) bool {
	found := false
	for p := range patterns {
		if compiled(p).MatchString(path) {
			used[p], found = true, true
		}
	}
	return found
}

var compiled = memo(func(p string) *regexp.Regexp { return regexp.MustCompile("^(" + p + ")$") })

func memo[K comparable, V any](f func(K) V) func(K) V {
	known := map[K]V{}
	return func(k K) V {
		v, ok := known[k]
		if !ok {
			v = f(k)
			known[k] = v
		}
		return v
	}
}

// unused complains about patterns that match nothing any more.
func unused(t *testing.T, patterns map[string]string, used map[string]bool) {
	t.Helper()
	for p := range patterns {
		if !used[p] {
			t.Errorf("no field is called %s", p)
		}
	}
}
