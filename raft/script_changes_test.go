package raft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/datadriven"
)

// The commands of scripts that are about members, snapshots and leases.

func (s *script) read(v *scriptServer, ask func(uint64)) {
	s.nextID++
	s.print(v.id, fmt.Sprintf("asks for read %d", s.nextID))
	v.core.SetClock(v.core.now + v.slept)
	ask(s.nextID)
	v.carryOut()
}

// join starts a server with an empty disk.
func (s *script) join(d *datadriven.TestData) {
	var id uint64
	d.ScanArgs(s.t, "id", &id)
	v := &scriptServer{s: s, id: NodeID(id)}
	s.servers[v.id] = v
	v.restart()
}

// change asks a leader for a change: learner=, voter= and remove= list servers;
// instance= gives them a data directory.
func (s *script) change(d *datadriven.TestData, v *scriptServer) {
	var change Change
	var instance uint64
	d.MaybeScanArgs(s.t, "instance", &instance)
	var basis uint64
	d.MaybeScanArgs(s.t, "basis", &basis)
	change.Basis = Index(basis)
	for _, list := range []string{"learner", "voter", "remove"} {
		var ids []uint64
		if d.HasArg(list) {
			d.ScanArgs(s.t, list, &ids)
		}
		for _, id := range ids {
			if list == "remove" {
				change.Remove = append(change.Remove, NodeID(id))
				continue
			}
			change.Set = append(change.Set, Member{ID: NodeID(id), Instance: InstanceID{byte(instance)}, Votes: list == "voter"})
		}
	}
	if _, err := v.core.ChangeMembers(change); err != nil {
		s.print(v.id, "refuses: "+strings.TrimPrefix(err.Error(), "raft: "))
	}
	v.carryOut()
}

// configuration prints what is in force on each server.
func (s *script) configuration() {
	for _, v := range s.sorted() {
		if v.core == nil {
			fmt.Fprintf(&s.out, "%s is down\n", v.id)
			continue
		}
		latest := v.core.log.latestConfiguration()
		fmt.Fprintf(&s.out, "%s: %s", v.id, latest.Configuration)
		if latest.Index > v.core.commitIndex {
			s.out.WriteString(", not committed")
		}
		s.out.WriteByte('\n')
	}
}

func (v *scriptServer) entry(i Index) Entry { return v.entries[i-v.start.Last.Index-1] }

func (st scriptState) clone() scriptState {
	st.applied = slices.Clone(st.applied)
	return st
}

// lose takes the end of the log away, and what was known of it with it unless the
// witness is left.
func (v *scriptServer) lose(after Index, witnessToo bool) {
	v.entries = slices.Clone(v.entries[:after-v.start.Last.Index])
	if witnessToo {
		v.witness = EntryID{}
		if n := len(v.entries); n > 0 {
			v.witness = v.entries[n-1].ID()
		}
	}
}

// compact flushes the state and forgets the log up to index i.
func (v *scriptServer) compact(i Index) {
	v.flushed = v.state.clone()
	start := v.core.Compact(i)
	for len(v.entries) > 0 && v.start.Last.Index < start.Index {
		e := v.entries[0]
		if e.Kind == EntryConfiguration {
			c, err := DecodeConfiguration(e.Data)
			if err != nil {
				v.s.t.Fatal(err)
			}
			v.start.Configuration = IndexedConfiguration{e.Index, c}
		}
		v.start.Last, v.entries = e.ID(), v.entries[1:]
	}
	v.carryOut()
}

// sendSnapshot sends the state as it is now, and reports the end of it.
func (v *scriptServer) sendSnapshot(to NodeID) {
	v.s.pictures[v.state.Last] = v.state.clone()
	v.s.network = append(v.s.network, Message{
		From: v.id, To: to, Term: v.core.Term(), Body: &InstallSnapshot{v.state.Snapshot},
	})
	v.core.SnapshotSent(to)
	v.carryOut()
}

// install replaces the state machine, durably.
func (v *scriptServer) install(snapshot *Snapshot) {
	if snapshot == nil {
		return
	}
	v.state = v.s.pictures[snapshot.Last].clone()
	v.state.installed = true
	v.flushed = v.state.clone()
	v.core.Installed()
}
