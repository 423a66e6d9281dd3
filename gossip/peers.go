package gossip

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Set publishes a value under a key of this server's own state, beside those
// that are there. To set what is there already is no change and costs nothing.
// It fails with [ErrKey], [ErrValue] or a [LimitError], and then changes
// nothing. It does not wait for anybody to hear of it.
func (g *Gossip) Set(key, value string) error {
	return g.view.write(change{key: key, value: value})
}

// SetAll publishes several values at once: whoever sees one of them sees all. It
// fails as [Gossip.Set] does, and then publishes none.
func (g *Gossip) SetAll(values map[string]string) error {
	changes := make([]change, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		changes = append(changes, change{key: key, value: values[key]})
	}
	return g.view.write(changes...)
}

// SetTTL publishes a value that disappears everywhere after a time between a
// millisecond and [MaxTTL], unless it is set again, also when this server is no
// longer there to delete it. On other servers it may last longer by what the
// message took to reach them. It fails as [Gossip.Set] does, or with [ErrTTL].
func (g *Gossip) SetTTL(key, value string, ttl time.Duration) error {
	if err := checkTTL(key, ttl); err != nil {
		return err
	}
	return g.view.write(change{key: key, value: value, ttl: ttl})
}

// Delete removes a key from this server's own state. It fails with [ErrKey] or a
// [LimitError] if there cannot be such a key; that there is none is no error.
func (g *Gossip) Delete(key string) error {
	return g.view.write(change{key: key, deleted: true})
}

// Get returns what a server, which may be this one, says under a key.
func (g *Gossip) Get(id uint64, key string) (value string, ok bool) {
	s, _ := g.State(id)
	value, ok = s.Values[key]
	return value, ok
}

// State returns the state of a server, which may be this one. It returns false
// if the server is unknown, if nothing was heard yet of its state in its present
// life, if it has been gone for more than an hour, or while two data directories
// claim the id. The state of a server that died is still there for that hour,
// and may be out of date as everything in gossip may.
func (g *Gossip) State(id uint64) (State, bool) {
	v := g.view
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.find(id)
	if r == nil || v.current(r) == nil {
		return State{}, false
	}
	return v.current(r).state("", time.Now()), true
}

// Peers returns every server that is known, this one included, as
// [Gossip.Members] does, with the part of its state whose keys begin with a
// prefix. Nothing else in it differs from [Gossip.State]: of whom nothing was
// heard yet, the state is empty.
func (g *Gossip) Peers(prefix string) []Peer { return g.view.peers(prefix) }

// Live returns the servers that are alive, this one included, for which ready
// holds, in ascending order of ID; nil means all of them. See [HasKeys].
func (g *Gossip) Live(ready func(Peer) bool) []Peer {
	return slices.DeleteFunc(g.view.peers(""), func(p Peer) bool {
		return p.Status != StatusAlive || ready != nil && !ready(p)
	})
}

// WatchState returns a channel that receives a value after keys that begin with
// a prefix changed in any server's state. One value may stand for many changes,
// so a reader looks at everything again, with [Gossip.Peers]. A slow reader
// holds up nobody. The caller calls stop when it no longer reads.
func (g *Gossip) WatchState(prefix string) (changed <-chan struct{}, stop func()) {
	return g.view.watchState(prefix)
}

// WatchLive yields what [Gossip.Live] returns, at once and then whenever another
// server is in it or one of them says something new about its addresses, until
// ctx ends or the loop is left. Changes that follow each other closely may be
// seen as one.
func (g *Gossip) WatchLive(ctx context.Context, ready func(Peer) bool) iter.Seq[[]Peer] {
	return func(yield func([]Peer) bool) {
		members, stopMembers := g.Watch()
		defer stopMembers()
		states, stopStates := g.WatchState("")
		defer stopStates()
		live := g.Live(ready)
		for yield(slices.Clone(live)) {
			before := live
			for sameServers(before, live) {
				select {
				case <-members:
				case <-states:
				case <-ctx.Done():
					return
				}
				live = g.Live(ready)
			}
		}
	}
}

func sameServers(a, b []Peer) bool {
	return slices.EqualFunc(a, b, func(a, b Peer) bool { return a.Member == b.Member })
}

// write changes this server's own state and makes news of it.
func (v *view) write(changes ...change) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	own := v.replicas[v.name]
	before := own.version
	keys, err := own.write(changes, time.Now())
	if err != nil || len(keys) == 0 {
		return err
	}
	v.spread(v.name, before)
	v.stateChanged(keys)
	return nil
}

// current returns the copy of a server's state if it is of the life that the
// table lists, and nil otherwise. What a server said before it crashed must not
// be taken for what it says now.
func (v *view) current(r *record) *replica {
	if state := v.replicas[r.name]; state != nil && state.run == r.run && !r.foreign {
		return state
	}
	return nil
}

func (v *view) peers(prefix string) []Peer {
	v.mu.Lock()
	defer v.mu.Unlock()
	members, now := v.membersByID(), time.Now()
	peers := make([]Peer, len(members))
	for i, m := range members {
		peers[i].Member = m
		if state := v.current(v.members[m.Name]); state != nil {
			peers[i].State = state.state(prefix, now)
		}
	}
	return peers
}

// replicaNames returns the names of the servers of whose states there are
// copies, in ascending order.
func (v *view) replicaNames() []string { return slices.Sorted(maps.Keys(v.replicas)) }

// watchState registers a channel as watch does.
func (v *view) watchState(prefix string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stateWatchers[ch] = prefix
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.stateWatchers, ch)
	}
}

// stateChanged tells those who watch one of the keys, and waits for none of
// them.
func (v *view) stateChanged(keys []string) {
	for ch, prefix := range v.stateWatchers {
		if !slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, prefix) }) {
			continue
		}
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
