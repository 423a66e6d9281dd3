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
		if len(words) == 0 {
			return errors.New("it must say which kind of message")
		}
		if a.Kind, err = parseKind(words[0]); err != nil {
			return err
		}
		words = words[1:]
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
