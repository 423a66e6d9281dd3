package gossip

import (
	"github.com/hashicorp/memberlist"
)

// delegate receives memberlist's callbacks. memberlist calls most of them while
// it holds its own lock, so none of them calls memberlist, waits for anybody or
// keeps a pointer that it was given: each copies what it needs into the view and
// returns.
type delegate struct {
	view *view
}

// Every role that memberlist knows and that this package plays.
var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
)

// NodeMeta says who this server is. memberlist's limit of 512 bytes is never
// reached: the addresses were checked at the start.
func (d delegate) NodeMeta(int) []byte { return d.view.encodeOwn() }

// NotifyAlive decides whether a server that says that it is alive is let in.
// memberlist's MergeDelegate would not do: a stranger whom it keeps out of a push/pull
// exchange comes in with the next packet.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	return d.view.admit(n.Name, n.Address(), n.Meta)
}

// NotifyJoin reports a server that is new, or back.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.view.present(n.Name, n.Address(), n.Meta) }

// NotifyUpdate reports that a server says something new about itself.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.view.present(n.Name, n.Address(), n.Meta) }

// NotifyLeave reports a server that died or left. The node's State field does
// not tell which: memberlist never sets it.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.view.gone(n.Name) }

// NotifyConflict reports that a name is claimed at two addresses.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.view.clash(existing.Name, other.Address(), other.Meta)
}

// LocalState is what a push/pull exchange carries besides memberlist's own
// table.
func (d delegate) LocalState(bool) []byte { return d.view.localState() }

// MergeRemoteState receives the LocalState of another server.
func (d delegate) MergeRemoteState(b []byte, _ bool) { d.view.mergeRemoteState(b) }

// NotifyMsg receives a message of another server.
func (d delegate) NotifyMsg(b []byte) { d.view.receive(b) }

// GetBroadcasts returns what fits into a packet that is about to be sent.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	if b := d.view.news(limit - overhead); b != nil {
		return [][]byte{b}
	}
	return nil
}
