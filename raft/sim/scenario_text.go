package sim

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
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
	Crash: {who: aNode}, Start: {who: aNode}, Wipe: {who: aNode},
	Pause: {aNode, []field{fieldFor, fieldCount("ticks")}},
	Full:  {aNode, []field{fieldFor}},
	Cut:   {who: nobody}, Heal: {who: nobody},
	Clog:    {aLink, []field{fieldFor}},
	Compact: {aNode, []field{fieldCount("keep")}},
	Forget:  {aNode, []field{fieldCount("entries")}},
	BackUp:  {who: aNode}, Restore: {who: aNode}, RestoreAll: {who: aNode},
	Damage:     {aNode, []field{fieldCount("back")}},
	CompactAll: {who: aNode}, Spare: {who: aLink},
	Change:   {who: aNode},
	Transfer: {aNode, []field{fieldPeer("to")}},
	Hint:     {aNode, []field{fieldPeer("lost")}},
	Write: {aNode, []field{fieldClient, fieldKey,
		numberField("padding", func(a *Action) *int { return &a.Padding })}},
	Read:      {aNode, []field{fieldClient, fieldKey}},
	LeaseRead: {aNode, []field{fieldClient, fieldKey}},
	Timeout:   {who: aNode},
	Ticks:     {aNode, []field{fieldCount("times")}},
	Deliver:   {who: aLink}, Copy: {who: aLink}, Lose: {who: aLink},
	LoseAll: {who: nobody}, Written: {who: aNode},
	Next: {},
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

// ParseScenario reads a scenario. It is strict, and takes no more memory than the
// text is long, times a constant; every scenario that it accepts can be replayed.
func ParseScenario(text []byte) (Scenario, error) {
	var s Scenario
	if len(text) > MaxScenarioBytes {
		return s, fmt.Errorf("sim: the scenario has %d bytes; at most %d are possible", len(text), MaxScenarioBytes)
	}
	p := parser{s: &s}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		words := strings.Fields(string(line))
		// The "#" before the number of a disk stands inside a word.
		if i := slices.IndexFunc(words, func(word string) bool { return word[0] == '#' }); i >= 0 {
			words = words[:i]
		}
		if len(words) == 0 {
			continue
		}
		if err := p.line(words); err != nil {
			return Scenario{}, fmt.Errorf("sim: line %d of the scenario: %w", number, err)
		}
	}
	if p.state < readingActions {
		return Scenario{}, fmt.Errorf("sim: the scenario lacks its first lines, %q, world and core", scenarioMagic)
	}
	return s, s.validate()
}

// parser reads a scenario line by line.
type parser struct {
	s     *Scenario
	state parserState
}

type parserState uint8

const (
	readingMagic parserState = iota
	readingWorld
	readingCore
	readingActions
	readingNothing
)

func (p *parser) line(words []string) error {
	switch p.state {
	case readingMagic:
		if strings.Join(words, " ") != scenarioMagic {
			return fmt.Errorf("it must be %q", scenarioMagic)
		}
	case readingWorld:
		p.s.Keys = 1
		if err := readFields(words, "world", worldFields, p.s); err != nil {
			return err
		}
		if p.s.Pool == 0 {
			p.s.Pool = p.s.Nodes
		}
	case readingCore:
		if err := readFields(words, "core", coreFields(), &p.s.Core); err != nil {
			return err
		}
	case readingActions:
		if words[0] != "end" {
			return p.action(words)
		}
		if err := p.end(words[1:]); err != nil {
			return err
		}
	default:
		return errors.New("nothing comes after the end")
	}
	p.state++
	return nil
}

func (p *parser) end(words []string) error {
	if len(words) < 2 || len(words[0]) != 16 {
		return errors.New("the end is the hash of a state, 16 digits, and either clean or violates and the name of a rule")
	}
	state, err := strconv.ParseUint(words[0], 16, 64)
	if err != nil {
		return fmt.Errorf("%q is no hash: %w", words[0], err)
	}
	e := &Ending{State: state}
	switch {
	case words[1] == "clean" && len(words) == 2:
	case words[1] == "violates" && len(words) > 2:
		e.Rule = strings.Join(words[2:], " ")
	default:
		return fmt.Errorf("an end is clean, or violates a rule, not %q", strings.Join(words[1:], " "))
	}
	p.s.Ending = e
	return nil
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

// readFields reads words such as nodes=3 after a first one.
func readFields[T any](words []string, first string, fields []numbered[T], to *T) error {
	if words[0] != first {
		return fmt.Errorf("it must begin with %q", first)
	}
	seen := map[string]bool{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		i := slices.IndexFunc(fields, func(f numbered[T]) bool { return f.name == name })
		if i < 0 || seen[name] {
			return fmt.Errorf("%q is unknown here, or is there twice", word)
		}
		seen[name] = true
		v, err := fields[i].unit.parse(value)
		if err != nil {
			return fmt.Errorf("%q: %w", word, err)
		}
		fields[i].set(to, v)
	}
	return nil
}

// action reads an action.
func (p *parser) action(words []string) error {
	if len(p.s.Actions) == MaxActions {
		return fmt.Errorf("more than %d actions", MaxActions)
	}
	at, err := isTime.parse(words[0])
	if err != nil {
		return err
	}
	if len(words) < 2 {
		return errors.New("a time alone")
	}
	verb, skip, skips := strings.Cut(words[1], "+")
	a := Action{At: Time(at), Verb: Verb(verb)}
	form, known := forms[a.Verb]
	if !known || skips && a.Verb != Next {
		return fmt.Errorf("there is no action %q", words[1])
	}
	rest := words[2:]
	switch {
	case a.Verb == Next:
		if skips {
			n, err := isNumber.parse(skip)
			if err != nil || n == 0 {
				return fmt.Errorf("%q: after the + comes how many to pass over", words[1])
			}
			a.Skip = int(n)
		}
		err = a.readDeparture(rest)
	default:
		err = a.readRest(form, rest)
	}
	if err == nil {
		p.s.Actions = append(p.s.Actions, a)
	}
	return err
}

// readWho reads where an action happens, and returns the words after that.
func (a *Action) readWho(w who, words []string) ([]string, error) {
	var err error
	switch {
	case w == nobody:
		return words, nil
	case len(words) == 0:
		return nil, errors.New("it does not say where")
	case w == aNode:
		a.Node, err = parseNode(words[0])
	default:
		var l Link
		l, err = parseLink(words[0])
		a.Node, a.Peer = l.From, l.To
	}
	return words[1:], err
}

func (a *Action) readRest(form form, words []string) error {
	words, err := a.readWho(form.who, words)
	if err != nil {
		return err
	}
	switch a.Verb {
	case Cut:
		return a.readCut(words)
	case Change:
		return a.readChange(words)
	case Deliver, Copy, Lose:
		if len(words) != 1 {
			return errors.New("it must say which kind of message")
		}
		a.Kind, err = parseKind(words[0])
		return err
	}
	seen := map[string]bool{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		i := slices.IndexFunc(form.fields, func(f field) bool { return f.name == name })
		if i < 0 || seen[name] {
			return fmt.Errorf("%q is unknown here, or is there twice", word)
		}
		seen[name] = true
		v, err := form.fields[i].unit.parse(value)
		if err != nil {
			return fmt.Errorf("%q: %w", word, err)
		}
		form.fields[i].set(a, v)
	}
	return nil
}

// readDeparture reads a place and what happens there.
func (a *Action) readDeparture(words []string) error {
	w := nobody
	if len(words) > 1 && words[0] != points[pointChoose].name {
		if w = aNode; strings.Contains(words[0], ">") {
			w = aLink
		}
	}
	words, err := a.readWho(w, words)
	if err == nil && w == aLink && len(words) > 0 {
		a.Kind, err = parseKind(words[0])
		words = words[1:]
	}
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("it does not say what happens")
	}
	for i, p := range points {
		if p.name != words[0] || p.who != w {
			continue
		}
		a.Point, a.Value = point(i), 1
		switch {
		case p.unit == isFlag && len(words) == 1:
			return nil
		case p.unit != isFlag && len(words) == 2:
			a.Value, err = p.unit.parse(words[1])
			return err
		}
		return fmt.Errorf("%q takes one value, or none if it merely happens", p.name)
	}
	return fmt.Errorf("there is no point %q of this kind", words[0])
}

// readCut reads links that are cut, or groups that do not reach each other.
func (a *Action) readCut(words []string) error {
	if len(words) > MaxNodes*MaxNodes {
		return errors.New("more links than there can be")
	}
	if len(words) == 1 && strings.Contains(words[0], "|") {
		return a.readGroups(strings.Split(words[0], "|"))
	}
	for _, word := range words {
		l, err := parseLink(word)
		if err != nil {
			return err
		}
		a.Links = append(a.Links, l)
	}
	return nil
}

func (a *Action) readGroups(groups []string) error {
	group := map[raft.NodeID]int{}
	var all []raft.NodeID
	for i, names := range groups {
		for _, name := range strings.Split(names, ",") {
			id, err := parseNode(name)
			if _, twice := group[id]; err != nil || twice {
				return fmt.Errorf("%q is no node, or is there twice", name)
			}
			if len(all) == MaxNodes {
				return errors.New("more nodes than there can be")
			}
			group[id] = i
			all = append(all, id)
		}
	}
	for _, from := range all {
		for _, to := range all {
			if group[from] != group[to] {
				a.Links = append(a.Links, Link{from, to})
			}
		}
	}
	return nil
}

func (a *Action) readChange(words []string) error {
	a.Change = &MemberChange{}
	seen := map[string]bool{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if seen[name] {
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		switch name {
		case "basis":
			v, err := isNumber.parse(value)
			if err != nil {
				return err
			}
			a.Change.Basis = raft.Index(v)
		case "set", "remove":
			for _, one := range strings.Split(value, ",") {
				if err := a.Change.read(name, one); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%q is unknown here", word)
		}
	}
	return nil
}

// read reads a server to set or to remove.
func (c *MemberChange) read(name, word string) error {
	if name == "remove" {
		id, err := parseNode(word)
		c.Remove = append(c.Remove, id)
		return err
	}
	var s Server
	server, role, said := strings.Cut(word, ":")
	if s.Votes = role == "voter"; said && !s.Votes {
		return fmt.Errorf("%q: a server is a voter or, if nothing is said, a learner", word)
	}
	server, disk, said := strings.Cut(server, "#")
	if said {
		n, err := isNumber.parse(disk)
		if err != nil || n == 0 {
			return fmt.Errorf("%q: after the # comes the number of a disk", word)
		}
		s.Disk = int(n)
	}
	var err error
	s.ID, err = parseNode(server)
	c.Set = append(c.Set, s)
	return err
}

func parseNode(word string) (raft.NodeID, error) {
	if len(word) == 2 && word[0] == 'n' && word[1] >= '1' && word[1] <= '0'+MaxNodes {
		return raft.NodeID(word[1] - '0'), nil
	}
	return raft.None, fmt.Errorf("%q is no node; there are n1 to n%d", word, MaxNodes)
}

func parseLink(word string) (Link, error) {
	from, to, _ := strings.Cut(word, ">")
	f, err := parseNode(from)
	if err != nil {
		return Link{}, err
	}
	t, err := parseNode(to)
	return Link{f, t}, err
}

func parseKind(word string) (messageKind, error) {
	if i := slices.Index(messageKinds[:], word); i > 0 {
		return messageKind(i), nil
	}
	return noMessage, fmt.Errorf("%q is no kind of message; there are %s", word, strings.Join(messageKinds[1:], ", "))
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

// parse reads what format writes. A time may have fewer decimals.
func (u unit) parse(text string) (int64, error) {
	switch u {
	case isFlag:
		if text != "" {
			return 0, fmt.Errorf("it is either there or not, and takes no value %q", text)
		}
		return 1, nil
	case isServer:
		id, err := parseNode(text)
		return int64(id), err
	case isTime:
		whole, part, _ := strings.Cut(text, ".")
		n, err := digits(whole, 7)
		if err != nil || len(part) > 3 || strings.HasSuffix(text, ".") {
			return 0, fmt.Errorf("%q is no time: write it in ticks, with up to three decimals", text)
		}
		if part == "" {
			return n * int64(Tick), nil
		}
		m, err := digits((part + "00")[:3], 3)
		if err != nil {
			return 0, fmt.Errorf("%q is no time: write it in ticks, with up to three decimals", text)
		}
		return n*int64(Tick) + m, nil
	}
	n, err := digits(text, 18)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return n, nil
}

// digits reads a number that has nothing but digits.
func digits(text string, most int) (int64, error) {
	if len(text) == 0 || len(text) > most || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New("no number")
	}
	return strconv.ParseInt(text, 10, 64)
}
