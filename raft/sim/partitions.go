package sim

// shapes are the ways in which a network falls apart. Each gets the nodes in
// random order and returns which of them, by their places in that order, still
// reach which.
var shapes = []struct {
	name      string
	connected func(r random, places int) func(from, to int) bool
}{
	{"two halves", func(r random, places int) func(from, to int) bool {
		split := 1 + r.IntN(max(1, places-1))
		return func(from, to int) bool { return (from < split) == (to < split) }
	}},
	{"one cut off", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from != 0 && to != 0 }
	}},
	{"one hears nobody", func(_ random, _ int) func(from, to int) bool {
		return func(_, to int) bool { return to != 0 }
	}},
	{"one is heard by nobody", func(_ random, _ int) func(from, to int) bool {
		return func(from, _ int) bool { return from != 0 }
	}},
	{"two do not reach each other", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from+to != 1 }
	}},
	{"a bridge between two halves", func(_ random, places int) func(from, to int) bool {
		half := 1 + (places-1)/2
		return func(from, to int) bool { return from == 0 || to == 0 || (from < half) == (to < half) }
	}},
	{"a chain", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from-to == 1 || to-from == 1 }
	}},
	{"only one reaches a majority", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from == 0 || to == 0 }
	}},
	{"a ring of majorities", func(_ random, places int) func(from, to int) bool {
		return func(from, to int) bool {
			distance := (from - to + places) % places
			return min(distance, places-distance) <= (places+1)/4
		}
	}},
	{"links cut at random", func(r random, places int) func(from, to int) bool {
		cut := make([]bool, places*places)
		for i := range cut {
			cut[i] = r.IntN(3) == 0
		}
		return func(from, to int) bool { return !cut[from*places+to] }
	}},
}
