package autopilot

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"balsa/gossip"
	"balsa/raft"
)

// The files in testdata/scripts are scripts: what a leader sees of its cluster,
// second by second, and what its autopilot does and says. Each is a test of the
// rule that it is named after. Run "go test ./gossip/autopilot -run Scripts
// -rewrite" to write the answers anew, and then read the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, (&script{}).run)
	})
}

var (
	thisCluster  = gossip.UUID{0xc1}
	otherCluster = gossip.UUID{0xc2}
)

// script is a cluster as its leader, which is n1, sees it. Whoever answers is
// sent what is missing within a second, unless the script says otherwise.
type script struct {
	cfg     Config
	world   world
	start   time.Time
	memory  *memory
	log     strings.Builder
	silent  map[raft.NodeID]bool
	lagging map[raft.NodeID]bool // have what the script says and get no further
	refuse  error                // what comes of the next changes
	// growth is how many entries are committed in a second, lag how many of them
	// are always on the way to the others.
	growth, lag raft.Index
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "cluster":
		s.cluster(t, d)
	case "gossip":
		s.gossip(t, d)
	case "conflict":
		var id uint64
		d.ScanArgs(t, "id", &id)
		s.world.conflicts = append(s.world.conflicts, gossip.Conflict{Kind: gossip.ConflictID, ID: id})
	case "raft":
		s.raft(t, d)
	case "by-hand":
		return s.byHand(t, d)
	case "run":
		return s.advance(t, d)
	case "notes":
		return s.notes()
	case "log":
		defer s.log.Reset()
		return s.log.String()
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	return ""
}

// cluster begins a script: n1 leads, everybody is alive, in contact and has all.
func (s *script) cluster(t *testing.T, d *datadriven.TestData) {
	s.start = time.Unix(1000, 0)
	s.cfg = Config{
		Raft: nothing{}, View: nothing{}, ClusterID: thisCluster, Enabled: !d.HasArg("off"),
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
	d.MaybeScanArgs(t, "max-voters", &s.cfg.MaxVoters)
	d.MaybeScanArgs(t, "min-voters", &s.cfg.MinVoters)
	s.cfg.RemoveDeadAfter = seconds(t, d, "remove-dead-after")
	var err error
	if s.cfg, err = s.cfg.withDefaults(); err != nil {
		t.Fatal(err)
	}
	s.silent, s.lagging = map[raft.NodeID]bool{}, map[raft.NodeID]bool{}
	s.world = world{now: s.start, tick: 10 * time.Millisecond}
	entries := uint64(100_000)
	d.MaybeScanArgs(t, "entries", &entries)
	s.world.status = raft.Status{
		ID: 1, Role: raft.Leader, CurrentTerm: 2, LastIndex: raft.Index(entries), CommitIndex: raft.Index(entries), ConfigurationIndex: 1,
	}
	for _, id := range ids(t, d, "voters") {
		s.addMember(raft.Member{ID: id, Instance: instanceOf(id), Address: addressOf(id), Votes: true})
	}
	for _, id := range ids(t, d, "learners") {
		s.addMember(raft.Member{ID: id, Instance: instanceOf(id), Address: addressOf(id)})
	}
	for _, m := range s.world.status.Configuration.Members {
		s.see(s.asAlive(m))
	}
	s.memory = newMemory(2)
}

// nothing stands for the parts of a Config that decide does not use.
type nothing struct {
	Raft
	View
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "instance" {
		return slog.Attr{}
	}
	return a
}

// Servers have the data directory and the address that their ids suggest.
func instanceOf(id raft.NodeID) raft.InstanceID { return raft.InstanceID{0xaa, byte(id)} }
func addressOf(id raft.NodeID) string           { return fmt.Sprintf("10.0.0.%d:21000", id) }

func (s *script) addMember(m raft.Member) {
	members := &s.world.status.Configuration.Members
	i, found := slices.BinarySearchFunc(*members, m.ID, func(m raft.Member, id raft.NodeID) int { return int(m.ID) - int(id) })
	if found {
		(*members)[i] = m
		return
	}
	*members = slices.Insert(*members, i, m)
	if m.ID != 1 {
		s.world.status.Peers = append(s.world.status.Peers, raft.PeerStatus{ID: m.ID, State: "probe"})
	}
}

// asAlive is what gossip says of a server of this cluster that is alive.
func (s *script) asAlive(m raft.Member) gossip.Member {
	return gossip.Member{
		ID: uint64(m.ID), Name: "n", InstanceID: gossip.UUID(m.Instance), ClusterID: thisCluster, RPCAddr: m.Address, Status: gossip.StatusAlive,
	}
}

// see makes gossip say something about a server, in place of what it said before
// about the one of that name and id.
func (s *script) see(m gossip.Member) {
	s.world.members = slices.DeleteFunc(s.world.members, func(o gossip.Member) bool { return o.ID == m.ID && o.Name == m.Name })
	if m.Status != "unknown" {
		s.world.members = append(s.world.members, m)
	}
}

// gossip says something about a server:
//
//	gossip id=4 [status=alive|dead|left|unknown] [name=n] [instance=..] [cluster=none|other] [addr=host:port]
func (s *script) gossip(t *testing.T, d *datadriven.TestData) {
	for _, id := range ids(t, d, "id") {
		m := s.asAlive(raft.Member{ID: id, Instance: instanceOf(id), Address: addressOf(id)})
		var instance int
		if d.MaybeScanArgs(t, "instance", &instance); instance > 0 {
			m.InstanceID[1] = byte(instance)
		}
		d.MaybeScanArgs(t, "name", &m.Name)
		d.MaybeScanArgs(t, "addr", &m.RPCAddr)
		d.MaybeScanArgs(t, "status", (*string)(&m.Status))
		var cluster string
		switch d.MaybeScanArgs(t, "cluster", &cluster); cluster {
		case "none":
			m.ClusterID = gossip.UUID{}
		case "other":
			m.ClusterID = otherCluster
		}
		s.see(m)
	}
}

// raft says what becomes of the contact to members, or in what state the leader
// is:
//
//	raft id=4 [silent|heard] [match=430] [state=snapshot]
//	raft [growth=5000] [lag=2000] [transfer=2] [joint|settled] [uncommitted] [refuse=text|accept] [term=3]
func (s *script) raft(t *testing.T, d *datadriven.TestData) {
	status := &s.world.status
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "id", "match", "state":
		case "silent", "heard":
			for _, id := range ids(t, d, "id") {
				s.silent[id] = arg.Key == "silent"
			}
		case "growth":
			s.growth = raft.Index(number(t, arg.Vals[0]))
		case "lag":
			s.lag = raft.Index(number(t, arg.Vals[0]))
		case "uncommitted":
			status.ConfigurationIndex = status.CommitIndex + 1
		case "transfer":
			status.TransferTo = raft.NodeID(number(t, arg.Vals[0]))
		case "joint", "settled":
			for i := range status.Configuration.Members {
				m := &status.Configuration.Members[i]
				m.VotedBefore = m.Votes && arg.Key == "joint"
			}
			status.ConfigurationIndex = min(status.ConfigurationIndex, status.CommitIndex)
		case "refuse":
			s.refuse = errors.New("raft: " + strings.ReplaceAll(arg.Vals[0], "-", " "))
		case "accept":
			s.refuse = nil
		case "term":
			status.CurrentTerm = raft.Term(number(t, arg.Vals[0]))
			for i := range status.Peers {
				status.Peers[i].TicksSinceReply = 0
			}
			s.memory = newMemory(status.CurrentTerm)
		default:
			t.Fatalf("%s: unknown argument %s", d.Pos, arg.Key)
		}
	}
	for _, id := range ids(t, d, "id") {
		i := slices.IndexFunc(status.Peers, func(p raft.PeerStatus) bool { return p.ID == id })
		if i < 0 {
			t.Fatalf("%s: n%d is no member", d.Pos, id)
		}
		s.lagging[id] = d.MaybeScanArgs(t, "match", (*uint64)(&status.Peers[i].MatchIndex)) || d.HasArg("state")
		status.Peers[i].State = "replicate"
		d.MaybeScanArgs(t, "state", &status.Peers[i].State)
	}
}

// byHand is what an operator does: it changes the configuration.
func (s *script) byHand(t *testing.T, d *datadriven.TestData) string {
	var change raft.Change
	for _, arg := range d.CmdArgs {
		id := raft.NodeID(number(t, arg.Vals[0]))
		m, _ := s.world.status.Configuration.Member(id)
		switch arg.Key {
		case "demote", "promote":
			m.Votes, m.Held = arg.Key == "promote", arg.Key == "demote"
			change.Set = append(change.Set, m)
		case "remove":
			change.Remove = append(change.Remove, id)
		}
	}
	s.apply(change)
	return s.world.status.Configuration.String()
}

// advance lets time pass, second by second, and prints what is done.
//
//	run for=10s [flapping=(2,3)]
//
// What gossip says of the servers that are flapping changes every second.
func (s *script) advance(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	for range int(seconds(t, d, "for") / time.Second) {
		s.world.now = s.world.now.Add(time.Second)
		s.second()
		s.flap(ids(t, d, "flapping"))
		servers, a := s.pass()
		logNews(s.cfg.Logger, s.memory, servers)
		if a == nil {
			continue
		}
		fmt.Fprintf(&out, "%4gs  %s", s.world.now.Sub(s.start).Seconds(), a)
		switch {
		case s.refuse != nil:
			fmt.Fprintf(&out, ": %v", s.refuse)
			s.memory.refused(s.cfg, a, s.refuse, s.world.now)
		case a.transfer == raft.None:
			if a.change.Basis != s.world.status.ConfigurationIndex {
				t.Fatalf("%s: the change is based on %d", d.Pos, a.change.Basis)
			}
			s.apply(a.change)
			fmt.Fprintf(&out, ": %s", s.world.status.Configuration)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// second is what happens between Raft and the members in a second.
func (s *script) second() {
	status := &s.world.status
	status.CommitIndex += s.growth
	status.LastIndex = status.CommitIndex
	for i := range status.Peers {
		p := &status.Peers[i]
		switch {
		case s.silent[p.ID]:
			p.TicksSinceReply += int(time.Second / s.world.tick)
			continue
		case !s.lagging[p.ID]:
			p.MatchIndex, p.State = status.CommitIndex-s.lag, "replicate"
		}
		p.TicksSinceReply = 0
	}
}

func (s *script) flap(flapping []raft.NodeID) {
	for i := range s.world.members {
		m := &s.world.members[i]
		switch {
		case !slices.Contains(flapping, raft.NodeID(m.ID)):
		case m.Status == gossip.StatusAlive:
			m.Status = gossip.StatusDead
		default:
			m.Status = gossip.StatusAlive
		}
	}
}

func (s *script) pass() ([]*server, *action) {
	servers := survey(s.world, s.cfg.ClusterID)
	s.memory.observe(s.cfg, s.world, servers)
	return servers, decide(s.cfg, s.world, s.memory, servers)
}

// apply is what the core makes of a change, with both steps of joint consensus
// in one.
func (s *script) apply(change raft.Change) {
	status := &s.world.status
	for _, m := range change.Set {
		s.addMember(m)
	}
	for _, id := range change.Remove {
		m, _ := status.Configuration.Member(id)
		status.Configuration.Removed = append(status.Configuration.Removed, raft.RemovedMember{ID: id, Instance: m.Instance})
		status.Configuration.Members = slices.DeleteFunc(status.Configuration.Members, func(m raft.Member) bool { return m.ID == id })
		status.Peers = slices.DeleteFunc(status.Peers, func(p raft.PeerStatus) bool { return p.ID == id })
	}
	status.CommitIndex++
	status.LastIndex = status.CommitIndex
	status.ConfigurationIndex = status.CommitIndex
}

// notes prints what the operator is told.
func (s *script) notes() string {
	servers, _ := s.pass()
	var out strings.Builder
	for _, n := range notes(servers) {
		fmt.Fprintf(&out, "%s: %s\n", raft.NodeID(n.ID), n.Text)
	}
	return out.String()
}

func ids(t *testing.T, d *datadriven.TestData, key string) []raft.NodeID {
	var list []raft.NodeID
	if arg, ok := d.Arg(key); ok {
		for _, v := range arg.Vals {
			list = append(list, raft.NodeID(number(t, v)))
		}
	}
	return list
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func seconds(t *testing.T, d *datadriven.TestData, key string) time.Duration {
	arg, ok := d.Arg(key)
	if !ok {
		return 0
	}
	v, err := time.ParseDuration(arg.Vals[0])
	if err != nil {
		t.Fatal(err)
	}
	return v
}
