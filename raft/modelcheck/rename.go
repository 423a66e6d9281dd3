package modelcheck

import "balsa/raft"

// Symmetry. Servers that begin alike are interchangeable: if n1 and n2 swap their
// names in a world, everything that can happen to it afterwards is the same with the
// names swapped. So of all the worlds that are equal up to the names of such servers
// only one needs to be explored. With three voters that is nearly one in six.

// renaming gives server i+1 the name renaming[i].
type renaming []raft.NodeID

func (r renaming) of(id raft.NodeID) raft.NodeID {
	if id == raft.None {
		return raft.None
	}
	return r[id-1]
}

// renamings returns all the ways to give other names to servers, within groups of
// interchangeable ones whose sizes are given. The first changes nothing.
func renamings(groups ...int) []renaming {
	all := []renaming{nil}
	for _, size := range groups {
		var longer []renaming
		for _, r := range all {
			for _, order := range permutations(size) {
				next := append(renaming(nil), r...)
				for _, k := range order {
					next = append(next, raft.NodeID(len(r)+k+1))
				}
				longer = append(longer, next)
			}
		}
		all = longer
	}
	return all
}

// permutations returns all orders of 0 to n-1, the ascending one first.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := len(shorter); at >= 0; at-- {
			order := append([]int(nil), shorter[:at]...)
			order = append(order, n-1)
			all = append(all, append(order, shorter[at:]...))
		}
	}
	return all
}

// mix joins a value to a hash, so that every bit of both matters.
func mix(hash, value uint64) uint64 {
	hash ^= value + 0x9e3779b97f4a7c15 + hash<<6 + hash>>2
	hash = (hash ^ hash>>30) * 0xbf58476d1ce4e5b9
	hash = (hash ^ hash>>27) * 0x94d049bb133111eb
	return hash ^ hash>>31
}

// hashOf hashes an encoding, eight bytes at a time. The same bytes have the same hash
// in every run, so that runs can be compared.
func hashOf(b []byte) uint64 {
	hash := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		hash = mix(hash, uint64(b[0])|uint64(b[1])<<8|uint64(b[2])<<16|uint64(b[3])<<24|
			uint64(b[4])<<32|uint64(b[5])<<40|uint64(b[6])<<48|uint64(b[7])<<56)
	}
	for _, v := range b {
		hash = mix(hash, uint64(v))
	}
	return hash
}
