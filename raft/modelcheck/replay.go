package modelcheck

import (
	"bytes"
	"fmt"
)

// Replay does actions one after the other, from the beginning of a scope, and returns
// what is wrong after the last of them, or nil. An error says which action is not
// possible where it stands, or is followed by others although something is wrong.
func Replay(scope Scope, actions []Action) (*Violation, error) {
	c, err := New(scope)
	if err != nil {
		return nil, err
	}
	s, err := newSearch(c)
	if err != nil {
		return nil, err
	}
	for i, a := range actions {
		if s.step.wrong != nil {
			return s.step.wrong, fmt.Errorf("modelcheck: action %d comes after a violation of %s", i+1, s.step.wrong.Rule)
		}
		if !s.follow(a) {
			return nil, fmt.Errorf("modelcheck: action %d is not possible: %s", i+1, a)
		}
	}
	return s.step.wrong, nil
}

// follow does an action in the world where the search stands, and stands then in the
// next one. It returns false if the action is not among the choices there.
func (s *search) follow(a Action) bool {
	for _, o := range s.c.choices(&s.w, nil) {
		if sameAction(s.c.action(o), a) && s.step.take(&s.w, o) {
			s.w, s.step.next = s.step.next, s.w
			return true
		}
	}
	return false
}

func sameAction(a, b Action) bool {
	if a.Kind != b.Kind || a.Server != b.Server || a.Peer != b.Peer || a.Change != b.Change ||
		a.Argument != b.Argument || a.Crash != b.Crash || (a.Message.Body == nil) != (b.Message.Body == nil) {
		return false
	}
	return a.Message.Body == nil || bytes.Equal(a.Message.AppendTo(nil), b.Message.AppendTo(nil))
}
