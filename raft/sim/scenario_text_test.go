package sim

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"balsa/raft"
)

// scenarioOf is a small world with some actions.
func scenarioOf(actions ...string) string {
	return scenarioMagic + "\nworld nodes=3 pool=4 ticks=100 clients=2 keys=2\ncore election-ticks=10 heartbeat-ticks=2\n" +
		strings.Join(actions, "\n") + "\n"
}

func TestEveryActionIsReadAsItIsWritten(t *testing.T) {
	lines := []string{
		"0.000 next n1 draw 3", "0.000 next n1>n2 PreVote lost", "0.000 next+2 n1>n2 AppendEntries delay 0.730",
		"0.000 next n2 crash.sent", "0.000 next choose 2", "0.500 next n1>n2 Snapshot again 2.000",
		"1.000 crash n1", "1.000 start n1", "1.000 wipe n2", "1.000 pause n2 for=2.500 ticks=3", "1.000 full n2 for=2.500",
		"2.000 cut n1>n2 n2>n1", "2.000 cut", "2.001 heal", "2.100 clog n1>n2 for=1.000",
		"3.000 compact n1 keep=3", "3.000 compact-all n1", "3.000 forget n1 entries=3", "3.000 back-up n1", "3.000 restore n1", "3.000 restore-all n1", "3.000 damage n1 back=2", "3.000 spare n1>n4",
		"4.000 change n1 set=n4,n2#7:voter remove=n3 basis=1", "4.000 change n1",
		"5.000 transfer n1", "5.000 transfer n1 to=n2", "5.000 hint n1 lost=n2",
		"6.000 put n1 client=1 key=1 padding=20", "6.000 read n1 client=2", "6.000 lease-read n1",
		"7.000 timeout n1", "7.000 tick n1 times=3",
		"8.000 deliver n1>n2 AppendEntries", "8.000 copy n1>n2 ReadIndex", "8.000 lose n2>n1 PreVoteReply skip=2", "8.000 lose-all", "8.000 written n1",
	}
	s, err := ParseScenario([]byte(scenarioOf(append(lines, "end 0123456789abcdef violates Some Rule")...)))
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[Verb]bool{}
	for i, a := range s.Actions {
		verbs[a.Verb] = true
		if a.String() != lines[i] {
			t.Errorf("%q is written %q", lines[i], a)
		}
	}
	for verb := range forms {
		if !verbs[verb] {
			t.Errorf("%s was not put to the test", verb)
		}
	}
	if want := (Ending{Rule: "Some Rule", State: 0x0123456789abcdef}); s.Ending == nil || *s.Ending != want {
		t.Errorf("the end is %v", s.Ending)
	}
	again, err := ParseScenario([]byte(s.String()))
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("what was written is read as another scenario: %v\n%s", err, again)
	}
}

func TestACutCanBeWrittenAsGroups(t *testing.T) {
	s, err := ParseScenario([]byte(scenarioOf("1 cut n1,n2|n3 # and a comment")))
	if err != nil {
		t.Fatal(err)
	}
	want := []Link{{1, 3}, {2, 3}, {3, 1}, {3, 2}}
	if got := s.Actions[0]; !reflect.DeepEqual(got.Links, want) || got.At != Tick {
		t.Errorf("it cuts %v at %s", got.Links, got.At)
	}
}

func TestScenariosThatMakeNoSenseAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           "",
		"another version":   "balsa scenario 2\n",
		"no world":          scenarioMagic + "\n",
		"no core":           scenarioMagic + "\nworld nodes=3 ticks=10\n",
		"ten nodes":         strings.Replace(scenarioOf(), "nodes=3 pool=4", "nodes=10", 1),
		"no ticks":          strings.Replace(scenarioOf(), "ticks=100", "", 1),
		"endless":           strings.Replace(scenarioOf(), "ticks=100", "ticks=100000000", 1),
		"an unknown number": strings.Replace(scenarioOf(), "clients=2", "servants=2", 1),
		"twice":             strings.Replace(scenarioOf(), "clients=2", "clients=2 clients=2", 1),
		"quick heartbeats":  strings.Replace(scenarioOf(), "heartbeat-ticks=2", "heartbeat-ticks=9", 1),
		"a long lease":      strings.Replace(scenarioOf(), "heartbeat-ticks=2", "heartbeat-ticks=2 lease-time=10001", 1),
		"no such verb":      scenarioOf("1.000 explode n1"),
		"nowhere":           scenarioOf("1.000 crash"),
		"no such node":      scenarioOf("1.000 crash n5"),
		"a node like none":  scenarioOf("1.000 crash nx"),
		"a link to itself":  scenarioOf("1.000 clog n1>n1"),
		"a late action":     scenarioOf("101.000 crash n1"),
		"out of order":      scenarioOf("2.000 crash n1", "1.000 start n1"),
		"four decimals":     scenarioOf("1.0001 crash n1"),
		"a negative time":   scenarioOf("-1.000 crash n1"),
		"no such point":     scenarioOf("1.000 next n1 hiccup"),
		"no such message":   scenarioOf("1.000 next n1>n2 Telegram lost"),
		"a flag of three":   scenarioOf("1.000 next n1>n2 PreVote lost 3"),
		"a point, no value": scenarioOf("1.000 next n1 draw"),
		"a stopped clock":   scenarioOf("1.000 next n1 clock 0.001"),
		"no such key":       scenarioOf("1.000 put n1 key=2"),
		"no such client":    scenarioOf("1.000 put n1 client=3"),
		"much padding":      scenarioOf("1.000 put n1 padding=5000"),
		"too many ticks":    scenarioOf("1.000 tick n1 times=10001"),
		"a vague hint":      scenarioOf("1.000 hint n1"),
		"a wrong role":      scenarioOf("1.000 change n1 set=n4:boss"),
		"a node in 2 parts": scenarioOf("1.000 cut n1,n2|n2,n3"),
		"no hash":           scenarioOf("end 123 clean"),
		"no verdict":        scenarioOf("end 0123456789abcdef"),
		"after the end":     scenarioOf("end 0123456789abcdef clean", "1.000 crash n1"),
		"settles too soon":  strings.Replace(scenarioOf("1.000 pause n1 for=50.000"), "keys=2", "keys=2 settle=10.000", 1),
		"clocks and leases": strings.Replace(scenarioOf("1.000 next n1 clock 2.000"), "heartbeat-ticks=2", "heartbeat-ticks=2 lease-time=7500", 1),
		"many ticks in all": scenarioOf(strings.Split(strings.Repeat("1.000 tick n1 times=10000\n", 101), "\n")...),
		"many bytes in all": scenarioOf(strings.Split(strings.Repeat("1.000 put n1 padding=4096\n", 4097), "\n")...),
	} {
		if s, err := ParseScenario([]byte(text)); err == nil {
			t.Errorf("%s: accepted as\n%s", name, s)
		}
	}
	if _, err := ParseScenario(make([]byte, MaxScenarioBytes+1)); err == nil {
		t.Error("a scenario of any size is accepted")
	}
}

// Whoever makes a scenario by program is told as well.
func TestAScenarioIsCheckedBeforeItIsReplayed(t *testing.T) {
	good, err := ParseScenario([]byte(scenarioOf()))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []Action{
		{Verb: Next, Point: point(len(points))},
		{Verb: Next, Point: pointLost, Node: 1, Peer: 2},
		{Verb: Next, Point: pointLost, Node: 1, Peer: 2, Kind: messageKind(len(messageKinds)), Value: 1},
		{Verb: Change, Node: 1},
		{Verb: Transfer, Node: 1, Peer: 9},
		{Verb: Cut, Links: []Link{{1, 7}}},
	} {
		s := good
		s.Actions = []Action{a}
		if _, err := Replay(s, nil); err == nil || errors.As(err, new(*Violation)) {
			t.Errorf("%q: %v", a, err)
		}
	}
}

// FuzzScenario checks that no text makes the decoder panic, and that what it
// accepts is written and read without loss.
func FuzzScenario(f *testing.F) {
	f.Add([]byte(scenarioOf("1.000 next+1 n1>n2 PreVote delay 0.730", "2.000 change n1 set=n4#2:voter remove=n2", "end 0123456789abcdef clean")))
	f.Add([]byte(scenarioOf("1.000 cut n1|n2,n3", "1.000 put n1 client=1 key=1 padding=7 # a comment", "2.000 deliver n1>n2 PreVote")))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScenario(text)
		if err != nil {
			return
		}
		again, err := ParseScenario([]byte(s.String()))
		if err != nil || again.String() != s.String() {
			t.Fatalf("what was written is read as another scenario: %v\n%s", err, s)
		}
	})
}

// FuzzActions checks that no scenario whatever makes the cores break a promise.
func FuzzActions(f *testing.F) {
	r := newRandom(1, "fuzz")
	for range 4 {
		data := make([]byte, 200)
		for i := range data {
			data[i] = byte(r.IntN(256))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 || len(data) > 1000 {
			return
		}
		s := scenarioFrom(data)
		if s.validate() != nil {
			return
		}
		result, err := Replay(s, nil)
		if err != nil {
			s.Ending = EndingOf(result, err)
			t.Fatalf("%v\n%s", err, s)
		}
	})
}

// scenarioFrom makes a scenario of any bytes.
func scenarioFrom(data []byte) Scenario {
	s := Scenario{
		Nodes: 1 + int(data[0])%4, Pool: 4, Ticks: 150, Clients: 2, Keys: 2, ByHand: data[1]%4 == 0,
		Core: raft.Config{ElectionTicks: 10, HeartbeatTicks: 2, MaxMessageBytes: int(data[2]) % 64, CacheBytes: int(data[3]) % 64},
	}
	at, verbs := Time(0), slices.Sorted(maps.Keys(forms))
	for data = data[4:]; len(data) >= 6; data = data[6:] {
		at += Time(data[0]) * Tick / 8
		number := int(data[5])
		a := Action{At: at, Verb: verbs[int(data[1])%len(verbs)], Node: 1 + raft.NodeID(data[2]%4), Peer: 1 + raft.NodeID(data[3]%4)}
		switch form := forms[a.Verb]; {
		case a.Verb == Next:
			a.Point = point(int(data[4]) % len(points))
			switch p := points[a.Point]; {
			case p.unit == isFlag:
				a.Value = 1
			case p.unit == isTime:
				a.Value = int64(number) * int64(Tick) / 16
			default:
				a.Value = int64(number)
			}
			switch points[a.Point].who {
			case aLink:
				a.Kind = 1 + messageKind(number%(len(messageKinds)-1))
			case aNode:
				a.Peer = 0
			default:
				a.Node, a.Peer = 0, 0
			}
		case a.Verb == Change:
			a.Peer, a.Change = 0, &MemberChange{Set: []Server{{ID: 1 + raft.NodeID(number%4), Disk: number / 64, Votes: data[4]%2 == 0}}}
			if data[4]%4 == 0 {
				a.Change = &MemberChange{Remove: []raft.NodeID{1 + raft.NodeID(number%4)}}
			}
		case a.Verb == Cut:
			a.Links, a.Node, a.Peer = []Link{{a.Node, a.Peer}, {a.Peer, a.Node}}, 0, 0
		case form.who == aLink:
			if a.Verb != Clog && a.Verb != Spare {
				a.Kind = 1 + messageKind(int(data[4])%(len(messageKinds)-1))
			}
			a.Length = Time(number) * Tick / 8
		case form.who == nobody:
			a.Node, a.Peer = 0, 0
		default:
			a.Length, a.Count, a.Client, a.Key = Time(number)*Tick/8, number%16, int(data[4])%3, number%2
		}
		s.Actions = append(s.Actions, a)
	}
	return s
}

func TestNamesOfMessagesAreThoseInTraces(t *testing.T) {
	for _, body := range []raft.Body{
		&raft.RequestVote{PreVote: true}, &raft.RequestVoteReply{PreVote: true}, &raft.RequestVote{}, &raft.RequestVoteReply{},
		&raft.AppendEntries{}, &raft.AppendEntriesReply{}, &raft.ReadIndex{}, &raft.ReadIndexReply{}, &raft.TimeoutNow{},
	} {
		m := raft.Message{Body: body}
		if name := messageKinds[kindOf(m)]; !strings.HasPrefix(body.String()+" ", name+" ") {
			t.Errorf("%q goes by the name of %s", body, name)
		}
	}
}
