package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxMembers bounds the servers that are remembered, alive or not. It is
	// far above any real cluster, and keeps a flood of invented servers from
	// filling the memory.
	maxMembers = 1024
	// forgetAfter is how long the dead and the departed stay listed.
	forgetAfter = 24 * time.Hour
)

// view is the table of servers. The callbacks of memberlist write to it, under
// memberlist's lock; everybody else reads copies. It never calls memberlist, nor
// anything else that could wait. Methods that do not take the lock are called
// with it held.
type view struct {
	mu        sync.Mutex
	name      string             // this server's
	own       meta               // what this server says about itself
	members   map[string]*record // by name; this server is always among them
	conflicts map[conflictKey]*Conflict
	watchers  map[chan struct{}]struct{}

	replicas      map[string]*replica // of states, by name; this server's is among them
	rumours       map[string]*rumour  // what is being told about them
	order         uint64              // of the latest rumour
	retransmit    int                 // see tellLimit
	errands       chan errand
	refuted       time.Time                // when this server last took a new generation
	exchanged     time.Time                // see meetMore
	aged          time.Time                // when age was last called
	stateWatchers map[chan struct{}]string // and the prefix of the keys that they watch
}

// newView returns the table of a server that has just started, and the state of
// which nobody has heard. News is told retransmit times the logarithm of the
// number of servers.
func newView(name string, own meta, generation uint64, retransmit int) *view {
	v := &view{
		name:          name,
		own:           own,
		members:       make(map[string]*record),
		conflicts:     make(map[conflictKey]*Conflict),
		watchers:      make(map[chan struct{}]struct{}),
		replicas:      make(map[string]*replica),
		rumours:       make(map[string]*rumour),
		retransmit:    retransmit,
		errands:       make(chan errand, maxErrands),
		stateWatchers: make(map[chan struct{}]string),
	}
	v.replicas[name] = &replica{
		stamp:   stamp{lineage: lineage{generation: generation, run: own.run}},
		entries: make(map[string]entry),
	}
	v.spread(name, 0)
	return v
}

// list returns the members in ascending order of ID.
func (v *view) list() []Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.membersByID()
}

func (v *view) membersByID() []Member {
	members := make([]Member, 0, len(v.members))
	for _, r := range v.members {
		if !r.foreign {
			members = append(members, r.member())
		}
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	return members
}

// self returns this server as it appears to the others.
func (v *view) self() Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.members[v.name].member()
}

// encodeOwn returns what this server says about itself.
func (v *view) encodeOwn() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.own.encode()
}

// setCluster records which cluster this server belongs to from now on.
func (v *view) setCluster(id UUID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.own.cluster = id
	for _, r := range v.members {
		if r.name != v.name && v.isForeign(r.meta) {
			r.foreign, r.foreignRun = true, r.run
			v.noteForeign(r.addr, r.meta)
		}
	}
	v.changed()
}

// isForeign reports whether a server belongs to another cluster than ours. A
// server without a cluster is foreign to nobody: it may be about to join.
func (v *view) isForeign(m meta) bool { return v.isForeignCluster(m.cluster) }

func (v *view) isForeignCluster(id UUID) bool {
	return v.own.cluster != UUID{} && id != UUID{} && id != v.own.cluster
}

// address returns where to call a server; see [Gossip.Address].
func (v *view) address(id uint64) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.find(id)
	if r == nil {
		return "", false
	}
	return r.rpcAddr, true
}

// find returns the server with an id, or nil if there is none or if there are
// two.
func (v *view) find(id uint64) *record {
	if v.disputed(id) {
		return nil
	}
	var best *record
	for _, r := range v.members {
		if r.id == id && !r.foreign && (best == nil || r.betterAddress(best)) {
			best = r
		}
	}
	return best
}

// errForeign is the reason to keep a server of another cluster out.
var errForeign = errors.New("it belongs to another cluster")

// admit decides about every "I am alive" that arrives, before memberlist looks
// at it, and may therefore see the same one again and again.
func (v *view) admit(name, addr string, encoded []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if name == v.name {
		// Either it is our own start, or an echo of an earlier life, which
		// memberlist refutes, or somebody else uses our name, which it reports
		// through clash.
		return nil
	}
	m, err := decodeMeta(encoded)
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		v.noteUnreadable(addr, err)
		return err
	}
	r := v.members[name]
	known := r != nil && r.addr == addr
	if v.isForeign(m) {
		if known && (!r.foreign || r.foreignRun != m.run) {
			r.foreign, r.foreignRun = true, m.run
			v.changed()
		}
		v.noteForeign(addr, m)
		return errForeign
	}
	if known && r.foreign && m.run != r.run && m.run != r.foreignRun {
		r.foreign = false
		v.changed()
	}
	if r == nil && len(v.members) >= maxMembers && !v.evict() {
		return fmt.Errorf("%d servers are known already, which is the limit", maxMembers)
	}
	return nil
}

// evict makes room by forgetting whoever has been gone for longest.
func (v *view) evict() bool {
	var oldest *record
	for _, r := range v.members {
		if !r.alive && r.name != v.name && (oldest == nil || r.since.Before(oldest.since)) {
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	delete(v.members, oldest.name)
	return true
}

// present records a server that joined, came back, or has something new to say
// about itself.
func (v *view) present(name, addr string, encoded []byte) {
	m, err := decodeMeta(encoded)
	if err != nil {
		return // admit has refused and reported it
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.members[name]
	if r == nil {
		r = &record{name: name}
		v.members[name] = r
	}
	if !r.alive || r.run != m.run {
		r.since = time.Now()
	}
	r.leaving = r.leaving && r.run == m.run
	r.meta, r.addr, r.alive, r.foreign = m, addr, true, false
	v.supersede(r)
	v.noteSharedID(r)
	v.changed()
	if state := v.replicas[name]; state != nil {
		v.stateChanged(state.keys()) // of another life, it is hidden now
	}
}

// supersede forgets whoever bore the same id before under another name.
func (v *view) supersede(by *record) {
	for name, r := range v.members {
		if r.id == by.id && !r.alive && name != v.name {
			delete(v.members, name)
		}
	}
}

// gone records that a server died or left.
func (v *view) gone(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.members[name]; r != nil && r.alive {
		r.alive, r.since = false, time.Now()
		v.changed()
	}
}

// leave records that this run of this server is about to leave.
func (v *view) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.members[v.name].leaving = true
}

// departures returns all departures that this server knows of.
func (v *view) departures() []departure {
	var ds []departure
	for _, r := range v.members {
		if r.leaving {
			ds = append(ds, departure{name: r.name, run: r.run})
		}
	}
	return ds
}

// depart records what another server knows about departures.
func (v *view) depart(ds []departure) {
	for _, d := range ds {
		r := v.members[d.name]
		// Nobody else decides that this server leaves.
		if r == nil || d.name == v.name || r.leaving || r.run != d.run {
			continue
		}
		r.leaving = true
		if !r.alive {
			v.changed()
		}
	}
}

// missing returns the gossip addresses of servers that are dead. Those that left
// are not missed.
func (v *view) missing() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var addrs []string
	for _, r := range v.members {
		if r.status() == StatusDead && !r.foreign {
			addrs = append(addrs, r.addr)
		}
	}
	return addrs
}

// living returns the names and the gossip addresses of all servers that are
// alive, this one excepted.
func (v *view) living() (names, addrs []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.members {
		if r.alive && r.name != v.name {
			names, addrs = append(names, r.name), append(addrs, r.addr)
		}
	}
	return names, addrs
}

// isPresent reports whether a gossip address is that of a living server, or our
// own.
func (v *view) isPresent(addr string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.members {
		if r.addr == addr && r.alive {
			return true
		}
	}
	return false
}

// tidy forgets what is too old, and looks again at contradictions that last.
func (v *view) tidy() {
	v.mu.Lock()
	defer v.mu.Unlock()
	bearers := make(map[uint64]int) // of each id, among the living
	for _, r := range v.members {
		if r.alive {
			bearers[r.id]++
		}
	}
	for name, r := range v.members {
		switch {
		case r.alive && bearers[r.id] > 1:
			v.noteSharedID(r)
		case r.alive:
		case time.Since(r.since) > forgetAfter && name != v.name:
			delete(v.members, name)
			v.changed()
		}
	}
	v.dropOldConflicts()
}

// watch registers a channel that receives a value after the view changed. One
// value may stand for many changes.
func (v *view) watch() (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers[ch] = struct{}{}
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers, ch)
	}
}

// changed tells the watchers. It never waits for them: a full channel already
// promises that somebody will look.
func (v *view) changed() {
	for ch := range v.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
