package gossip

// departure says that one run of one server announced that it leaves for good.
//
// Departures are what tells "left" from "dead". memberlist has a message for
// leaving, but its events do not show the difference. So a server that leaves
// first tells all others itself, and all others pass it on, as the extra payload
// of memberlist's push/pull exchanges. Whether it arrives before or after
// memberlist's own message makes no difference, and a server that was cut off at
// the time learns it with its first exchange. When it is lost altogether, the
// departed counts as dead, which is the safe side: the dead stay members, the
// departed are removed.
//
// The run is part of it because a server may come back: what its earlier life
// said is no longer true then, and must not turn a later crash into a departure.
type departure struct {
	name string
	run  runID
}
