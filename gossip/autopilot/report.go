package autopilot

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"balsa/gossip"
)

// Note is what the autopilot has to say about one server.
type Note struct {
	ID         uint64
	InstanceID gossip.UUID
	// Text is a short sentence without a subject, such as "catching up: 43 %" or
	// "is being made a voter".
	Text string
}

// remark is a note in the making.
type remark struct {
	text string
	// topic is what the text is about, whatever the numbers in it. The log has
	// each topic once; without one it has nothing.
	topic string
	level slog.Level
}

func (s *server) say(topic, format string, args ...any) {
	s.remark = remark{fmt.Sprintf(format, args...), topic, slog.LevelInfo}
}

// warn says something that an operator should do something about.
func (s *server) warn(topic, format string, args ...any) {
	s.remark = remark{fmt.Sprintf(format, args...), topic, slog.LevelWarn}
}

// describe says of each member how it is. The rules put something more telling
// in its place where they have it.
func (d *deliberation) describe() {
	for _, s := range d.servers {
		switch {
		case s.member == nil:
		case s.self:
			s.say("", "leads")
		case s.hasLeft():
			d.sayLeaving(s)
		case !s.alive() && s.silent > d.cfg.Silence:
			d.sayDead(s)
		case s.votes():
			d.describeVoter(s)
		default:
			d.describeLearner(s)
		}
	}
}

func (d *deliberation) describeVoter(s *server) {
	switch {
	case s.silent > d.cfg.Silence:
		s.warn("silent", "votes, but has not answered for %s", whole(s.silent))
	case s.match == 0:
		s.say("", "votes; has not answered yet since this server leads")
	case !s.healthy:
		s.say("behind", "votes, but is behind: %s", d.progress(s))
	case !s.alive():
		s.say("unseen", "votes; gossip does not see it, but it answers")
	default:
		s.say("", "votes")
	}
}

func (d *deliberation) describeLearner(s *server) {
	switch {
	case s.contested:
		s.warn("contested", "a learner; it gets no vote while another server claims id %d, too", s.id)
	case s.silent > d.cfg.Silence:
		s.warn("silent", "a learner, but has not answered for %s", whole(s.silent))
	case !s.healthy:
		s.say("behind", "catching up: %s", d.progress(s))
	case !s.alive():
		s.say("unseen", "a learner; gossip does not see it, but it answers")
	case s.member.Held:
		s.say("held", "stays a learner until it is promoted by hand, because an operator wants it so")
	case s.steady < d.cfg.StabilizationTime:
		s.say("stabilizing", "caught up; stable for %s", outOf(s.steady, d.cfg.StabilizationTime))
	case !s.replicating || !isNear(d.cfg, d.status, s):
		s.say("near", "keeps pace, but lacks %d entries; a new voter may lack %d", d.status.CommitIndex-min(s.match, d.status.CommitIndex), d.cfg.MaxLag)
	default:
		s.say("ready", "caught up; could vote")
	}
}

// sayLeaving says how far the removal of a member that left has come.
func (d *deliberation) sayLeaving(s *server) {
	if s.silent <= d.cfg.Silence {
		s.say("left", "has left, but still answers; it is removed when it has been silent for %s", whole(d.cfg.StabilizationTime))
		return
	}
	s.say("left", "has left; silent for %s before it is removed", outOf(min(s.left, s.silent), d.cfg.StabilizationTime))
}

// sayDead says what becomes of a member that is dead in gossip and in Raft.
func (d *deliberation) sayDead(s *server) {
	what := "a learner"
	if s.votes() {
		what = "votes"
	}
	if d.cfg.RemoveDeadAfter == 0 {
		s.warn("dead", "%s, but has not answered for %s; stays a member until it is removed by hand", what, whole(s.silent))
		return
	}
	s.warn("dead", "%s, but seems to be dead; gone for %s before it is removed", what, outOf(min(s.absent, s.silent), d.cfg.RemoveDeadAfter))
}

// progress says how much of the log a member has.
func (d *deliberation) progress(s *server) string {
	commit := max(d.status.CommitIndex, 1)
	text := fmt.Sprintf("%d %%", 100*uint64(min(s.match, commit))/uint64(commit))
	if s.snapshot {
		text += ", is being sent a snapshot"
	}
	return text
}

// outOf says how much of a time has passed.
func outOf(passed, of time.Duration) string {
	passed = whole(min(passed, of))
	if of < 2*time.Minute {
		return fmt.Sprintf("%g of %g s", passed.Seconds(), of.Seconds())
	}
	return fmt.Sprintf("%s of %s", passed, of)
}

// whole rounds a time for people.
func whole(t time.Duration) time.Duration {
	if t < 10*time.Second {
		return t.Truncate(100 * time.Millisecond)
	}
	return t.Truncate(time.Second)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// notes collects the remarks.
func notes(servers []*server) []Note {
	var list []Note
	for _, s := range servers {
		if s.remark.text != "" {
			list = append(list, Note{uint64(s.id), gossip.UUID(s.instance), s.remark.text})
		}
	}
	return list
}

// logNews logs remarks that the log has not seen.
func logNews(logger *slog.Logger, m *memory, servers []*server) {
	for _, s := range servers {
		if r := s.remark; r.topic != "" && m.tell(s.identity, r.topic) {
			logger.Log(context.Background(), r.level, fmt.Sprintf("autopilot: %s %s", s.id, r.text), "instance", gossip.UUID(s.instance))
		}
	}
}
