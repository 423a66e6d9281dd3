package gossip

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// rumour is news about one state that is still being told.
type rumour struct {
	// from is the version that the others can be expected to have.
	from uint64
	// told is how often it was told since the last change, order when that was.
	told  int
	order uint64
}

// spread makes news of a state, of all that is above a version.
func (v *view) spread(name string, from uint64) {
	v.order++
	if old := v.rumours[name]; old != nil {
		// What was being told may not have got round yet.
		from = min(from, old.from)
	}
	v.rumours[name] = &rumour{from: from, order: v.order}
}

// tellLimit is how often news is told. It is memberlist's own rule for its own
// rumours.
func (v *view) tellLimit() int {
	alive := 0
	for _, r := range v.members {
		if r.alive {
			alive++
		}
	}
	return v.retransmit * int(math.Ceil(math.Log10(float64(alive+1))))
}

// news returns the message that goes with the next packet, or nil. It takes what
// was told least often first and, of that, the latest.
func (v *view) news(space int) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	space = min(space, maxNews) - messageHead
	if len(v.rumours) == 0 || space <= 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(v.rumours), func(a, b string) int {
		ra, rb := v.rumours[a], v.rumours[b]
		return cmp.Or(cmp.Compare(ra.told, rb.told), cmp.Compare(rb.order, ra.order))
	})
	m := message{kind: messageNews, cluster: v.own.cluster}
	limit, now := v.tellLimit(), time.Now()
	for _, name := range names {
		item, r := v.rumours[name], v.replicas[name]
		if r == nil {
			delete(v.rumours, name)
			continue
		}
		d := r.since(name, item.from, now)
		size := len(d.append(nil))
		if size > maxNews-messageHead {
			d.from, d.entries = d.version, nil
			size = len(d.append(nil))
		}
		if size > space {
			continue // it fits into another packet
		}
		space -= size
		m.deltas = append(m.deltas, d)
		if item.told++; item.told >= limit {
			delete(v.rumours, name)
		}
	}
	if len(m.deltas) == 0 {
		return nil
	}
	slices.SortFunc(m.deltas, func(a, b delta) int { return cmp.Compare(a.name, b.name) })
	return m.encode()
}
