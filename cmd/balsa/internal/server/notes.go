package server

import (
	"balsa/api/wire"
	"balsa/gossip"
	"balsa/raft"
)

// addNotes adds what the autopilot has to say about whom, if this node leads.
func (s *server) addNotes(members []wire.Member) {
	m := s.member.Load()
	if m == nil {
		return
	}
	for _, note := range m.autopilot.Report() {
		for i := range members {
			if members[i].ID == note.ID && members[i].InstanceID == note.InstanceID.String() {
				members[i].Note = note.Text
			}
		}
	}
}

// noteOn returns what the autopilot has to say about a server that is no member
// yet.
func (s *server) noteOn(id raft.NodeID, instance raft.InstanceID) string {
	m := s.member.Load()
	if m == nil {
		return ""
	}
	for _, note := range m.autopilot.Report() {
		if note.ID == uint64(id) && note.InstanceID == gossip.UUID(instance) {
			return note.Text
		}
	}
	return "the leader has not added this node yet"
}
