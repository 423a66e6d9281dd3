package autopilot

import (
	"slices"
	"sync"

	"balsa/gossip"
)

// fakeView is what a server sees of gossip in a test.
type fakeView struct {
	mu        sync.Mutex
	members   []gossip.Member
	conflicts []gossip.Conflict
	watchers  map[chan struct{}]bool
}

func newFakeView() *fakeView { return &fakeView{watchers: make(map[chan struct{}]bool)} }

// show replaces what is seen.
func (v *fakeView) show(members []gossip.Member, conflicts []gossip.Conflict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.members, v.conflicts = members, conflicts
	for ch := range v.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (v *fakeView) Members() []gossip.Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.members)
}

func (v *fakeView) Conflicts() []gossip.Conflict {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.conflicts)
}

func (v *fakeView) Watch() (<-chan struct{}, func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	ch := make(chan struct{}, 1)
	v.watchers[ch] = true
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers, ch)
	}
}
