package sim

import "balsa/raft"

// point is a place where the world can go more than one way although nobody does
// anything to it from outside: how long a message takes, how many writes survive a
// crash, which election timeout a server draws. Each has a default. A world that
// is random departs from it all the time, and a scenario says where it does.
type point uint8

// What the cluster leaves to chance: crashes first, what becomes of a message last.
const (
	crashBeforeOutput point = iota
	crashSent
	crashWritten
	crashHalfReported
	crashBeforeLateMessage
	crashBeforeApply
	crashApplied
	crashBeforePicture
	crashBeforeInstall
	crashInstalled
	crashLogNotCut
	writeFails

	pointDraw
	pointPhase
	pointClock
	pointSurvive
	pointReception
	pointWitnessLate
	pointWake
	pointWrite
	pointMessagesFirst
	pointReportLate
	pointLoad
	pointLoadedLate
	pointApply
	pointPiece
	pointBytes
	pointUnflushed
	pointPicture
	pointPieces
	pointPatience
	pointReport
	pointRefuse
	pointArrive
	pointArriveAgain
	pointInstall
	pointChoose

	pointLost
	pointDelay
	pointAgain
)

// unit says what the number of a point means.
type unit uint8

const (
	isFlag   unit = iota // that it happens
	isTime               // in thousandths of a tick
	isNumber             // a count
	isServer             // a node
)

// points names them all, and says what happens there unless something else is
// said, in words for those who write scenarios.
var points = [...]struct {
	name string
	who  who
	unit unit
	// calm is the largest value that counts when there are no faults any more, and
	// lasts says that a time can reach beyond their end.
	calm  int64
	lasts bool
	help  string
}{
	crashBeforeOutput:      {"crash.before-output", aNode, isFlag, 0, false, "crashes before anything is sent or written"},
	crashSent:              {"crash.sent", aNode, isFlag, 0, false, "crashes when messages are sent and nothing is written"},
	crashWritten:           {"crash.written", aNode, isFlag, 0, false, "crashes when a write is durable, not reported, and its messages not sent"},
	crashHalfReported:      {"crash.half-reported", aNode, isFlag, 0, false, "crashes when a write is durable and either reported or its messages sent, not both"},
	crashBeforeLateMessage: {"crash.before-late-message", aNode, isFlag, 0, false, "crashes before one of the messages that waited for a write"},
	crashBeforeApply:       {"crash.before-apply", aNode, isFlag, 0, false, "crashes before committed entries are applied"},
	crashApplied:           {"crash.applied", aNode, isFlag, 0, false, "crashes when entries are applied and that is not reported"},
	crashBeforePicture:     {"crash.before-picture", aNode, isFlag, 0, false, "crashes before a snapshot is taken"},
	crashBeforeInstall:     {"crash.before-install", aNode, isFlag, 0, false, "crashes before a snapshot is installed"},
	crashInstalled:         {"crash.installed", aNode, isFlag, 0, false, "crashes when a snapshot is installed and that is not reported"},
	crashLogNotCut:         {"crash.log-not-cut", aNode, isFlag, 0, false, "crashes when a snapshot is installed and the log is not yet replaced"},
	writeFails:             {"write.fails", aNode, isFlag, 0, false, "a write fails, and the process ends"},
	pointDraw:              {"draw", aNode, isNumber, maxLimit, false, "the number that the core draws for its next timeout"},
	pointPhase:             {"phase", aNode, isTime, int64(2 * Tick), false, "when the first tick after a start comes (1.000)"},
	pointClock:             {"clock", aNode, isTime, int64(Tick * 21 / 20), false, "the length of a tick of this clock, measured by a correct one (1.000)"},
	pointSurvive:           {"survive", aNode, isNumber, maxLimit, false, "how many unfinished writes survive a crash (0)"},
	pointReception:         {"reception", aNode, isNumber, maxLimit, false, "how many pieces of a snapshot that arrives survive a crash (all)"},
	pointWitnessLate:       {"witness-late", aNode, isFlag, 1, false, "the witness lacks what survives a crash"},
	pointWake:              {"wake", aNode, isTime, 0, true, "how long the inbox fills before the server looks (0.000)"},
	pointWrite:             {"write", aNode, isTime, int64(Tick / 2), true, "how long a write takes (0.050)"},
	pointMessagesFirst:     {"messages-first", aNode, isFlag, 1, false, "messages that waited for a write leave before the core hears of it"},
	pointReportLate:        {"second", aNode, isTime, int64(Tick / 2), true, "how long after the report of a write its messages leave, or the other way round (0.000)"},
	pointLoad:              {"load", aNode, isTime, int64(Tick / 2), true, "how long loading old entries takes (0.050)"},
	pointLoadedLate:        {"loaded-late", aNode, isFlag, 1, false, "what is loaded is what the disk holds at the end, not at the beginning"},
	pointApply:             {"apply", aNode, isTime, int64(Tick / 2), true, "how long an application takes (0.050)"},
	pointPiece:             {"piece", aNode, isNumber, maxLimit, false, "how many entries are applied at a time (all)"},
	pointBytes:             {"bytes", aNode, isNumber, maxLimit, false, "how many bytes of entries are read at a time to be applied (1000)"},
	pointUnflushed:         {"unflushed", aNode, isFlag, 1, false, "the state machine keeps in memory what it has applied"},
	pointPicture:           {"picture", aNode, isTime, int64(Tick / 2), true, "how long it takes to take a snapshot (0.050)"},
	pointPieces:            {"pieces", aNode, isNumber, maxLimit, false, "in how many pieces a snapshot travels (1)"},
	pointPatience:          {"patience", aNode, isTime, int64(5 * Tick), false, "how long the sender of a snapshot waits for an answer (3.000)"},
	pointReport:            {"report", aNode, isTime, int64(Tick / 2), true, "how long until a core hears that a snapshot was sent (0.050)"},
	pointRefuse:            {"refuse", aNode, isNumber, 0, false, "whether the offer of a snapshot is refused: 1 yes, 0 no (if it is of no use)"},
	pointArrive:            {"arrive", aNode, isTime, 0, true, "how long until a core hears of a snapshot that has arrived (0.000)"},
	pointArriveAgain:       {"arrive-again", aNode, isTime, 0, true, "how long after that it hears of it again (never)"},
	pointInstall:           {"install", aNode, isTime, int64(Tick / 2), true, "how long until a snapshot replaces a state (0.050)"},
	pointChoose:            {"choose", nobody, isNumber, maxLimit, false, "a choice of the final examination (0)"},
	pointLost:              {"lost", aLink, isFlag, 0, false, "a message of this kind is lost"},
	pointDelay:             {"delay", aLink, isTime, int64(Tick / 2), true, "how long a message takes (0.250)"},
	pointAgain:             {"again", aLink, isTime, 0, true, "how long after it a message arrives again (never)"},
}

// messageKind is what travels over a link: a message, of one of these kinds, a
// part of a snapshot, or the answer to one.
type messageKind uint8

const (
	noMessage messageKind = iota
	messagePreVote
	messagePreVoteReply
	messageRequestVote
	messageRequestVoteReply
	messageAppendEntries
	messageAppendEntriesReply
	messageReadIndex
	messageReadIndexReply
	messageTimeoutNow
	messageSnapshot
	messageSnapshotAnswer
)

// messageKinds are the names that scenarios and traces have for them.
var messageKinds = [...]string{
	messagePreVote: "PreVote", messagePreVoteReply: "PreVoteReply",
	messageRequestVote: "RequestVote", messageRequestVoteReply: "RequestVoteReply",
	messageAppendEntries: "AppendEntries", messageAppendEntriesReply: "AppendEntriesReply",
	messageReadIndex: "ReadIndex", messageReadIndexReply: "ReadIndexReply",
	messageTimeoutNow: "TimeoutNow", messageSnapshot: "Snapshot", messageSnapshotAnswer: "SnapshotAnswer",
}

func kindOf(m raft.Message) messageKind {
	switch body := m.Body.(type) {
	case *raft.RequestVote:
		if body.PreVote {
			return messagePreVote
		}
		return messageRequestVote
	case *raft.RequestVoteReply:
		if body.PreVote {
			return messagePreVoteReply
		}
		return messageRequestVoteReply
	case *raft.AppendEntries:
		return messageAppendEntries
	case *raft.AppendEntriesReply:
		return messageAppendEntriesReply
	case *raft.ReadIndex:
		return messageReadIndex
	case *raft.ReadIndexReply:
		return messageReadIndexReply
	case *raft.TimeoutNow:
		return messageTimeoutNow
	}
	return messageSnapshot
}

// place says where a point is: at a server, or on a link, for messages of a kind.
// The final examination has a place of its own, the zero value.
type place struct {
	point  point
	kind   messageKind
	at, to raft.NodeID
}

// tape is what a world writes its departures from the defaults on, or reads them
// from.
type tape struct {
	// recording says that the tape is written.
	recording bool
	actions   []Action
	// ahead are the departures that are still to come, at each place in order.
	ahead map[place][]Action
	// passed counts how often each place was passed, at the time of the last.
	passed map[place]passage
}

type passage struct {
	at    Time
	count int
}

// pass counts that a place is passed, and returns how often it was passed at this
// time before.
func (t *tape) pass(p place, now Time) int {
	count := 0
	if last, known := t.passed[p]; known && last.at == now {
		count = last.count
	}
	t.passed[p] = passage{now, count + 1}
	return count
}

// decide returns what happens at a place: what the tape says, if it is read, or
// else the default; what is drawn, if the world is random. A departure on the tape
// is for the first time that the place is passed when its own time has come.
func (w *world) decide(p place, usual int64, draw func() int64) int64 {
	t := w.tape
	switch {
	case t == nil:
		return draw()
	case t.recording:
		before, drawn := t.pass(p, w.now), draw()
		if drawn != usual {
			t.actions = append(t.actions, Action{
				At: w.now, Verb: Next, Skip: before,
				Point: p.point, Kind: p.kind, Node: p.at, Peer: p.to, Value: drawn,
			})
		}
		return drawn
	}
	ahead := t.ahead[p]
	for !w.chaos && len(ahead) > 0 && ahead[0].At <= ticks(w.options.Ticks) {
		ahead = ahead[1:] // its time is over
	}
	t.ahead[p] = ahead
	if len(ahead) == 0 {
		return usual
	}
	before := t.pass(p, w.now)
	if first := ahead[0]; first.At > w.now || first.At == w.now && first.Skip > before {
		return usual
	}
	t.ahead[p] = ahead[1:]
	value, calm := ahead[0].Value, points[p.point].calm
	if !w.chaos && (value > calm || p.point == pointClock && value < int64(2*Tick)-calm) {
		return usual
	}
	return value
}

// flag decides whether something happens.
func (w *world) flag(p place, draw func() bool) bool {
	return w.decide(p, 0, func() int64 { return int64(count(draw())) }) != 0
}

// The same for a node.

func (n *node) flag(p point, draw func() bool) bool {
	return n.w.flag(place{point: p, at: n.id}, draw)
}

func (n *node) time(p point, usual Time, draw func() Time) Time {
	return Time(n.w.decide(place{point: p, at: n.id}, int64(usual), func() int64 { return int64(draw()) }))
}

// number decides a number of at least lo and at most hi.
func (n *node) number(p point, lo, hi, usual int, draw func() int) int {
	decided := n.w.decide(place{point: p, at: n.id}, int64(usual), func() int64 { return int64(draw()) })
	return int(min(max(decided, int64(lo)), int64(hi)))
}

// choose makes a choice of the final examination, between 0 and n-1.
func (w *world) choose(n int) int {
	decided := w.decide(place{point: pointChoose}, 0, func() int64 { return int64(w.faultRandom.IntN(n)) })
	return int(decided % int64(n))
}

// draw is the core's source of random numbers. Where nothing else is said, it
// makes the timeouts of different servers different.
func (n *node) draw(limit int) int {
	n.draws++
	usual := int64(mix(mix(0, uint64(n.id)), n.draws) % uint64(limit))
	decided := n.w.decide(place{point: pointDraw, at: n.id}, usual, func() int64 { return int64(n.random.IntN(limit)) })
	return int(decided % int64(limit))
}
