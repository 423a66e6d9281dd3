package sim

import (
	"fmt"
	"strconv"
	"strings"

	"balsa/raft"
)

// How a scenario is written: a line for each action, between lines that say what
// world it is and how it ends. A "#" begins a comment.
//
//	balsa scenario 1
//	world nodes=3 ticks=100 clients=1
//	core election-ticks=10 heartbeat-ticks=2
//	5.000 timeout n1
//	5.000 next n1>n2 PreVote lost
//	20.000 put n1 client=1 key=0
//	21.000 cut n1>n2 n2>n1
//	30.000 crash n1
//	end 0123456789abcdef clean
//
// Times are in ticks. "next" is a departure: the next time that a place is passed,
// what happens there is not what is usual. "next+2" passes over two of them that
// come at the same time. A cut may also be written as the groups that it leaves,
// "cut n1,n2|n3".

// MaxScenarioBytes bounds the size of a scenario's text.
const MaxScenarioBytes = 32 << 20

const scenarioMagic = "balsa scenario 1"

// who says where an action happens.
type who uint8

const (
	nobody who = iota
	aNode
	aLink
)

// form says how an action is written: a verb, where it happens, and then words
// such as for=2.000, each of them once, and left out if it is zero.
type form struct {
	who    who
	fields []field
	help   string
}

// field is a number of an action.
type field struct {
	name string
	unit unit
	get  func(*Action) int64
	set  func(*Action, int64)
}

func timeField(name string, at func(*Action) *Time) field {
	return field{name, isTime,
		func(a *Action) int64 { return int64(*at(a)) },
		func(a *Action, v int64) { *at(a) = Time(v) }}
}

func numberField(name string, at func(*Action) *int) field {
	return field{name, isNumber,
		func(a *Action) int64 { return int64(*at(a)) },
		func(a *Action, v int64) { *at(a) = int(v) }}
}

var (
	fieldFor    = timeField("for", func(a *Action) *Time { return &a.Length })
	fieldClient = numberField("client", func(a *Action) *int { return &a.Client })
	fieldKey    = numberField("key", func(a *Action) *int { return &a.Key })

	fieldPadding = numberField("padding", func(a *Action) *int { return &a.Padding })
)

func fieldCount(name string) field {
	return numberField(name, func(a *Action) *int { return &a.Count })
}

func fieldPeer(name string) field {
	return field{name, isServer,
		func(a *Action) int64 { return int64(a.Peer) },
		func(a *Action, v int64) { a.Peer = raft.NodeID(v) }}
}

var forms = map[Verb]form{
	Crash:      {aNode, nil, "the process ends; `survive` says how many unfinished writes are on disk"},
	Start:      {aNode, nil, "a process that has ended starts again"},
	Wipe:       {aNode, nil, "the server loses its disk, unless the cluster cannot do without"},
	Pause:      {aNode, []field{fieldFor, fieldCount("ticks")}, "the process stops, and has some ticks at once when it goes on"},
	Full:       {aNode, []field{fieldFor}, "there is no room on the disk"},
	Cut:        {nobody, nil, "these links are cut, and no others"},
	Heal:       {nobody, nil, "all links work"},
	Clog:       {aLink, []field{fieldFor}, "the link holds back what is sent over it"},
	Compact:    {aNode, []field{fieldCount("keep")}, "the log is cut, except for so many entries before what the state machine has on disk"},
	CompactAll: {aNode, nil, "the log is cut as far as it may be"},
	Spare:      {aLink, nil, "a leader sends a snapshot that nobody wants"},
	Forget:     {aNode, []field{fieldCount("entries")}, "the process ends, and its disk loses so many entries that were durable, unless nobody else has them"},
	BackUp:     {aNode, nil, "a copy of the directory is made"},
	Restore:    {aNode, nil, "the process ends, and the log of the copy takes the place of the log"},
	RestoreAll: {aNode, nil, "the process ends, and the copy takes the place of everything, where the others can do without what that forgets"},
	Damage:     {aNode, []field{fieldCount("back")}, "an entry changes on the disk: the last one (1), the one before it (2), and so on"},
	Change:     {aNode, nil, "an operator asks for a change of members: `set=n4,n5:voter,n2#1 remove=n3 basis=7`"},
	Transfer:   {aNode, []field{fieldPeer("to")}, "an operator asks for a transfer of leadership"},
	Hint:       {aNode, []field{fieldPeer("lost")}, "the server is told that a connection is lost"},
	Write:      {aNode, []field{fieldClient, fieldKey, fieldPadding}, "a client writes"},
	Read:       {aNode, []field{fieldClient, fieldKey}, "a client reads"},
	LeaseRead:  {aNode, []field{fieldClient, fieldKey}, "a client reads, and a lease will do"},
	Timeout:    {aNode, nil, "the server stands for election, if it would on its own"},
	Ticks:      {aNode, []field{fieldCount("times")}, "the clock ticks"},
	Deliver:    {aLink, []field{fieldCount("skip")}, "the oldest message of a kind that waits on the link arrives, after others that are skipped"},
	Copy:       {aLink, []field{fieldCount("skip")}, "the same, and it goes on waiting"},
	Lose:       {aLink, []field{fieldCount("skip")}, "the same message is lost"},
	LoseAll:    {nobody, nil, "all messages that wait are lost"},
	Written:    {aNode, nil, "the oldest write is durable"},
	Next:       {nobody, nil, "a departure: see below"},
}

// numbered is a number of a scenario's first lines.
type numbered[T any] struct {
	name string
	unit unit
	get  func(*T) int64
	set  func(*T, int64)
}

func worldNumber(name string, at func(*Scenario) *int) numbered[Scenario] {
	return numbered[Scenario]{name, isNumber,
		func(s *Scenario) int64 { return int64(*at(s)) },
		func(s *Scenario, v int64) { *at(s) = int(v) }}
}

func worldFlag(name string, at func(*Scenario) *bool) numbered[Scenario] {
	return numbered[Scenario]{name, isFlag,
		func(s *Scenario) int64 { return int64(count(*at(s))) },
		func(s *Scenario, v int64) { *at(s) = v != 0 }}
}

var worldFields = []numbered[Scenario]{
	worldNumber("nodes", func(s *Scenario) *int { return &s.Nodes }),
	worldNumber("pool", func(s *Scenario) *int { return &s.Pool }),
	worldNumber("ticks", func(s *Scenario) *int { return &s.Ticks }),
	worldNumber("clients", func(s *Scenario) *int { return &s.Clients }),
	worldNumber("keys", func(s *Scenario) *int { return &s.Keys }),
	{"settle", isTime, func(s *Scenario) int64 { return int64(s.Settle) }, func(s *Scenario, v int64) { s.Settle = Time(v) }},
	worldFlag("drift", func(s *Scenario) *bool { return &s.Drift }),
	worldFlag("by-hand", func(s *Scenario) *bool { return &s.ByHand }),
}

func coreFields() []numbered[raft.Config] {
	number := func(name string, at func(*raft.Config) *int) numbered[raft.Config] {
		return numbered[raft.Config]{name, isNumber,
			func(c *raft.Config) int64 { return int64(*at(c)) },
			func(c *raft.Config, v int64) { *at(c) = int(v) }}
	}
	fields := []numbered[raft.Config]{
		number("election-ticks", func(c *raft.Config) *int { return &c.ElectionTicks }),
		number("heartbeat-ticks", func(c *raft.Config) *int { return &c.HeartbeatTicks }),
		{"lease-time", isNumber, func(c *raft.Config) int64 { return int64(c.LeaseTime) }, func(c *raft.Config, v int64) { c.LeaseTime = uint64(v) }},
	}
	for i, l := range coreLimits(new(raft.Config)) {
		fields = append(fields, number(l.name, func(c *raft.Config) *int { return coreLimits(c)[i].value }))
	}
	return fields
}

// String writes a scenario to text, see [ParseScenario].
func (s Scenario) String() string {
	var b strings.Builder
	b.WriteString(scenarioMagic + "\nworld")
	for _, f := range worldFields {
		if v := f.get(&s); v != 0 {
			b.WriteString(" " + f.unit.assign(f.name, v))
		}
	}
	b.WriteString("\ncore")
	for _, f := range coreFields() {
		if v := f.get(&s.Core); v != 0 {
			fmt.Fprintf(&b, " %s=%d", f.name, v)
		}
	}
	b.WriteString("\n")
	for _, a := range s.Actions {
		b.WriteString(a.String() + "\n")
	}
	if s.Ending != nil {
		fmt.Fprintf(&b, "end %s\n", s.Ending)
	}
	return b.String()
}

// String writes an action as a line of a scenario.
func (a Action) String() string {
	words := []string{a.At.String(), string(a.Verb)}
	if a.Verb == Next {
		if a.Skip > 0 {
			words[1] += "+" + strconv.Itoa(a.Skip)
		}
		return strings.Join(append(words, a.departure()...), " ")
	}
	form := forms[a.Verb]
	switch form.who {
	case aNode:
		words = append(words, a.Node.String())
	case aLink:
		words = append(words, Link{a.Node, a.Peer}.String())
	}
	for _, l := range a.Links {
		words = append(words, l.String())
	}
	if a.Kind != noMessage && int(a.Kind) < len(messageKinds) {
		words = append(words, messageKinds[a.Kind])
	}
	for _, f := range form.fields {
		if v := f.get(&a); v != 0 {
			words = append(words, f.unit.assign(f.name, v))
		}
	}
	if c := a.Change; c != nil {
		words = append(words, c.words()...)
	}
	return strings.Join(words, " ")
}

// departure writes where a departure is, and what happens there.
func (a Action) departure() []string {
	if int(a.Point) >= len(points) || int(a.Kind) >= len(messageKinds) {
		return []string{"?"}
	}
	p := points[a.Point]
	var words []string
	switch p.who {
	case aNode:
		words = append(words, a.Node.String())
	case aLink:
		words = append(words, Link{a.Node, a.Peer}.String(), messageKinds[a.Kind])
	}
	words = append(words, p.name)
	if p.unit != isFlag {
		words = append(words, p.unit.format(a.Value))
	}
	return words
}

func (l Link) String() string { return l.From.String() + ">" + l.To.String() }

func (c *MemberChange) words() []string {
	var words, set, remove []string
	for _, s := range c.Set {
		word := s.ID.String()
		if s.Disk > 0 {
			word += "#" + strconv.Itoa(s.Disk)
		}
		if s.Votes {
			word += ":voter"
		}
		set = append(set, word)
	}
	for _, id := range c.Remove {
		remove = append(remove, id.String())
	}
	if set != nil {
		words = append(words, "set="+strings.Join(set, ","))
	}
	if remove != nil {
		words = append(words, "remove="+strings.Join(remove, ","))
	}
	if c.Basis > 0 {
		words = append(words, fmt.Sprintf("basis=%d", c.Basis))
	}
	return words
}

// assign writes a name and what it is set to.
func (u unit) assign(name string, v int64) string {
	if u == isFlag {
		return name
	}
	return name + "=" + u.format(v)
}

// format writes a number as its unit demands.
func (u unit) format(v int64) string {
	switch u {
	case isTime:
		return Time(v).String()
	case isServer:
		return raft.NodeID(v).String()
	}
	return strconv.FormatInt(v, 10)
}
