package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stateOf returns the complete state of server id in some life, as its owner
// sends it.
func stateOf(id, generation uint64, run byte, values ...string) delta {
	r := &replica{stamp: stamp{lineage: lineage{generation, runID{run}}}, entries: make(map[string]entry)}
	for i := 0; i < len(values); i += 2 {
		if _, err := r.write([]change{{key: values[i], value: values[i+1]}}, time.Now()); err != nil {
			panic(err)
		}
	}
	return r.since(fmt.Sprintf("n%d", id), 0, time.Now())
}

func news(deltas ...delta) []byte { return message{kind: messageNews, deltas: deltas}.encode() }

// meetRun lets server id in, in a certain life.
func meetRun(v *view, id uint64, run byte) {
	m := meta{id: id, instance: UUID{byte(id), byte(id >> 8)}, run: runID{run}, rpcAddr: fmt.Sprintf("10.0.0.2:%d", 1+id)}
	v.present(fmt.Sprintf("n%d", id), m.rpcAddr, m.encode())
}

// says returns what the table shows of server id under a key.
func says(v *view, id uint64, key string) string {
	for _, p := range v.peers("") {
		if p.ID == id {
			return p.State.Values[key]
		}
	}
	return ""
}

// errandsOf returns what waits to be sent.
func errandsOf(v *view) []errand {
	var all []errand
	for range len(v.errands) {
		all = append(all, <-v.errands)
	}
	return all
}

func TestAnEarlierLifeNeverWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meetRun(v, 2, 2)
		v.receive(news(stateOf(2, 1, 1, "role", "leader", "a", "b", "c", "d")))
		if got := says(v, 2, "role"); got != "" {
			t.Fatalf("an earlier life of a server is shown: %q", got)
		}
		v.receive(news(stateOf(2, 2, 2, "role", "follower")))
		v.receive(news(stateOf(2, 1, 1, "role", "leader", "a", "b", "c", "d")))
		if got := says(v, 2, "role"); got != "follower" {
			t.Fatalf("the role is %q", got)
		}
		meetRun(v, 2, 3)
		if got := says(v, 2, "role"); got != "" {
			t.Fatalf("a server that has just restarted says %q", got)
		}
	})
}

func TestAServerWithoutItsCounterTakesALargerGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(time.Second)
		v := testView()
		v.write(set("role", "follower"))
		own := v.replicas["n1"]
		remembered := stamp{lineage{7, runID{9}}, 0, 100}
		v.mergeRemoteState(exchange{sender: "n2", digest: digest{{"n1", remembered}}}.encode())
		if own.generation != 8 || says(v, 1, "role") != "follower" {
			t.Fatalf("stamp %+v, role %q", own.stamp, says(v, 1, "role"))
		}
		// It has to be told as a whole, and others now take it for the later one.
		m, err := decodeMessage(v.news(maxNews))
		if err != nil || len(m.deltas) != 1 || m.deltas[0].from != 0 || m.deltas[0].stamp.compare(remembered) <= 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		// Nobody can make it run up its generations faster than one in a second,
		// or to the end of them.
		v.receive(news(stateOf(1, 100, 9)))
		if own.generation != 8 {
			t.Fatal("a second generation in the same moment")
		}
		pass(askInterval)
		v.receive(news(stateOf(1, maxGeneration, 9)))
		if own.generation != 8 {
			t.Fatal("a generation beyond the last one")
		}
		v.receive(news(stateOf(1, 100, 9, "role", "forged")))
		if own.generation != 101 || says(v, 1, "role") != "follower" {
			t.Fatalf("generation %d, role %q", own.generation, says(v, 1, "role"))
		}
	})
}

func TestStateOfTheDeadIsKeptForAWhileAndNotRevived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meetRun(v, 2, 2)
		d := stateOf(2, 1, 2, "role", "follower", "x", "y")
		v.receive(news(d))
		v.gone("n2")
		pass(stateGrace - time.Minute)
		v.age()
		if says(v, 2, "role") != "follower" {
			t.Fatal("its last words are forgotten too soon")
		}
		pass(2 * time.Minute)
		v.age()
		v.receive(news(d)) // from somebody whose copy is still there
		if v.replicas["n2"] != nil || len(v.list()) != 2 {
			t.Fatalf("after the grace its state is %+v", v.replicas["n2"])
		}
		// The same life was only cut off. What it said before is old by now.
		meetRun(v, 2, 2)
		v.receive(news(stateOf(2, 1, 2, "role", "leader")))
		if v.replicas["n2"] != nil {
			t.Fatal("an old copy is taken for the state of a server that is back")
		}
		v.receive(news(d))
		if says(v, 2, "role") != "follower" {
			t.Fatal("its state is not accepted again")
		}
	})
}

func TestStateOfAStrangerIsInvisibleAndSoonForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meet(v, 3)
		v.receive(news(stateOf(2, 1, 2, "role", "follower")))
		if n := len(v.peers("")); n != 2 {
			t.Fatalf("%d servers", n)
		}
		v.mergeRemoteState(exchange{sender: "n3"}.encode())
		for _, e := range errandsOf(v) {
			if m, err := decodeMessage(v.compose(e)); err != nil || len(m.deltas) != 1 || m.deltas[0].name != "n1" {
				t.Fatalf("it is passed on in an answer: %+v, %v", m, err)
			}
		}
		pass(strangerGrace + time.Second)
		v.age()
		if v.replicas["n2"] != nil {
			t.Fatal("it is still there")
		}
		// Mostly, the server itself follows.
		v.receive(news(stateOf(2, 1, 2, "role", "follower")))
		meetRun(v, 2, 2)
		if says(v, 2, "role") != "follower" {
			t.Fatal("what came before the server is lost")
		}
	})
}

func TestAFloodOfStatesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		for id := uint64(2); id < 3*maxMembers; id++ {
			v.receive(news(stateOf(id, 1, 1)))
		}
		meetRun(v, 9999, 1)
		v.receive(news(stateOf(9999, 1, 1, "a", "b")))
		if len(v.replicas) != maxMembers || says(v, 9999, "a") != "b" || v.replicas["n1"] == nil {
			t.Fatalf("%d states, that of a member is %q", len(v.replicas), says(v, 9999, "a"))
		}
		if n := len(v.localState()); n > maxExchange {
			t.Fatalf("an exchange of %d bytes", n)
		}
		for range 2 * maxErrands {
			v.mergeRemoteState(exchange{sender: "n9999"}.encode())
		}
		if n := len(errandsOf(v)); n != maxErrands {
			t.Fatalf("%d errands wait", n)
		}
		for len(v.rumours) > 0 {
			if n := len(v.news(maxNews)); n > maxNews {
				t.Fatalf("news of %d bytes", n)
			}
		}
	})
}

func TestNewsThatDoesNotConnectIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(time.Minute)
		owner, v := viewOf(1), viewOf(2)
		meetRun(owner, 2, 2)
		meetRun(v, 1, 1)
		owner.write(set("a", "1"))
		owner.write(set("b", "2"))
		r := owner.replicas["n1"]
		for range 10 {
			v.receive(news(r.since("n1", 1, time.Now())))
		}
		asked := errandsOf(v)
		if len(asked) != 1 || asked[0].kind != messageQuestion || asked[0].to != "n1" {
			t.Fatalf("ten such messages make these errands: %+v", asked)
		}
		owner.receive(v.compose(asked[0]))
		answers := errandsOf(owner)
		if len(answers) != 1 || answers[0].to != "n2" {
			t.Fatalf("the question makes these errands: %+v", answers)
		}
		v.receive(owner.compose(answers[0]))
		mustEqual(t, r, v.replicas["n1"])
	})
}

// viewOf is the table of a server with its name, in which there is nobody else.
func viewOf(id uint64) *view {
	own := meta{id: id, instance: UUID{byte(id)}, run: runID{byte(id)}, rpcAddr: fmt.Sprintf("10.0.0.2:%d", 1+id)}
	v := newView(fmt.Sprintf("n%d", id), own, 1, 4)
	v.present(v.name, own.rpcAddr, own.encode())
	return v
}

// carry runs all errands between some tables, until there are none, and returns
// what was sent, as the kinds of messages in order.
func carry(t *testing.T, views ...*view) (kinds []messageKind) {
	t.Helper()
	for again := true; again; {
		again = false
		for _, from := range views {
			for _, e := range errandsOf(from) {
				again = true
				to := views[slices.IndexFunc(views, func(v *view) bool { return v.name == e.to })]
				if e.exchange {
					t.Fatalf("%s exchanges tables with %s", from.name, e.to)
				}
				if b := from.compose(e); b != nil {
					kinds = append(kinds, e.kind)
					to.receive(b)
				}
			}
		}
	}
	return kinds
}

func TestServersThatCompareBecomeEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(time.Minute)
		a, b := viewOf(1), viewOf(2)
		for _, v := range []*view{a, b} {
			meetRun(v, 1, 1)
			meetRun(v, 2, 2)
			meetRun(v, 3, 3)
			meetRun(v, 4, 4)
			v.receive(news(stateOf(3, 1, 3, "a", "1")))
		}
		a.write(set("mine", "1"))
		b.write(set("mine", "2"))
		b.receive(news(stateOf(4, 1, 4, "only", "here")))
		a.compareWith("n2")
		// The fingerprint differs, the digest comes back, and each has something
		// for the other.
		want := []messageKind{messageSummary, messageDigest, messageAnswer, messageQuestion, messageAnswer}
		if got := carry(t, a, b); !slices.Equal(got, want) {
			t.Errorf("messages %v, want %v", got, want)
		}
		for _, name := range []string{"n1", "n2", "n3", "n4"} {
			mustEqual(t, a.replicas[name], b.replicas[name])
		}
		b.compareWith("n1")
		if got := carry(t, a, b); !slices.Equal(got, want[:1]) {
			t.Errorf("messages between equals: %v", got)
		}
		// Who has been dead for a while is no reason to differ, nor is it told
		// unasked.
		a.gone("n4")
		b.gone("n4")
		pass(comparedGrace)
		b.receive(news(stateOf(4, 1, 4, "only", "here", "last", "words")))
		a.compareWith("n2")
		b.write(set("mine", "3"))
		b.compareWith("n1")
		carry(t, a, b)
		if says(a, 4, "last") != "" || says(a, 2, "mine") != "3" {
			t.Errorf("of the dead: %q, of the living: %q", says(a, 4, "last"), says(a, 2, "mine"))
		}
	})
}

func TestWhoNamesAStrangerIsAskedForItsTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(time.Minute)
		v := viewOf(1)
		meetRun(v, 2, 2)
		heard := func() (exchanges int) {
			theirs := message{kind: messageDigest, sender: "n2", digest: digest{{"n2", stamp{}}, {"n9", someStamp()}}}
			v.receive(theirs.encode())
			for _, e := range errandsOf(v) {
				if e.exchange && e.to == "n2" {
					exchanges++
				}
			}
			return exchanges
		}
		if heard() != 1 || heard() != 0 {
			t.Error("it is not done, or done again at once")
		}
		pass(exchangeInterval)
		if heard() != 1 {
			t.Error("it is not done again")
		}
		meetRun(v, 9, 9)
		pass(exchangeInterval)
		if heard() != 0 {
			t.Error("it is done though everybody is known")
		}
	})
}

func TestStatesTooLongForAPacketAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(time.Minute)
		v := testView()
		for i := range 4 {
			v.write(set(fmt.Sprint("k", i), strings.Repeat("v", MaxValue)))
		}
		m, err := decodeMessage(v.news(maxNews))
		if err != nil || len(m.deltas) != 1 || len(m.deltas[0].entries) != 0 || m.deltas[0].from != 4 {
			t.Fatalf("%+v, %v", m, err)
		}
	})
}

func TestNewsIsToldAFewTimesAndTheFreshestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		v.write(set("a", "1"))
		limit := v.tellLimit()
		for i := range limit {
			if v.news(maxNews) == nil {
				t.Fatalf("told %d times, want %d", i, limit)
			}
		}
		if b := v.news(maxNews); b != nil {
			t.Fatal("told once too often")
		}
		// A state for whose delta a packet has no room is told with the next.
		meet(v, 2)
		v.write(set("a", strings.Repeat("v", 400)))
		pass(time.Second)
		v.receive(news(stateOf(2, 1, 2, "a", "b")))
		m, err := decodeMessage(v.news(100))
		if err != nil || len(m.deltas) != 1 || m.deltas[0].name != "n2" {
			t.Fatalf("%+v, %v", m, err)
		}
		m, err = decodeMessage(v.news(maxNews))
		if err != nil || len(m.deltas) != 2 || m.deltas[0].name != "n1" || m.deltas[0].from != 1 {
			t.Fatalf("%+v, %v", m, err)
		}
	})
}

func TestWhatAJoinerIsToldIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meetRun(v, 2, 2)
		v.receive(message{kind: messageAnswer, deltas: []delta{stateOf(2, 1, 2, "a", "1")}}.encode())
		if v.rumours["n2"] != nil {
			t.Fatal("a server that joins repeats what everybody knows")
		}
		v.receive(message{kind: messageAnswer, deltas: []delta{stateOf(2, 1, 2, "a", "1", "b", "2")}}.encode())
		if v.rumours["n2"] == nil {
			t.Fatal("what one half of a cluster learns of the other is not passed on")
		}
	})
}

func TestGarbageAboutStatesIsReportedAndIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meetRun(v, 2, 2)
		tooBig := stateOf(2, 1, 2)
		for what, give := range map[string]func(){
			"a message":     func() { v.receive([]byte("garbage")) },
			"an exchange":   func() { v.mergeRemoteState([]byte("garbage")) },
			"nothing":       func() { v.mergeRemoteState([]byte{}) },
			"a huge state":  func() { v.receive(append(news(tooBig), make([]byte, maxAnswer)...)) },
			"another cut":   func() { v.receive(news(tooBig)[:30]) },
			"a newer balsa": func() { v.receive([]byte{messageVersion + 1, 0}) },
		} {
			give()
			cs := v.listConflicts()
			if len(cs) != 1 || cs[0].Kind != ConflictState {
				t.Errorf("%s: conflicts %+v", what, cs)
			}
			pass(conflictMemory + time.Second)
		}
		if len(v.replicas) != 1 {
			t.Errorf("states: %+v", v.replicas)
		}
	})
}

func TestStatesOfAnotherClusterAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := testView()
		meetRun(v, 2, 2)
		v.setCluster(UUID{0xaa})
		d := stateOf(2, 1, 2, "a", "b")
		v.receive(message{kind: messageNews, cluster: UUID{0xbb}, deltas: []delta{d}}.encode())
		v.mergeRemoteState(exchange{cluster: UUID{0xbb}, sender: "n2"}.encode())
		if says(v, 2, "a") != "" || len(errandsOf(v)) != 0 {
			t.Error("a server of another cluster is listened to")
		}
		v.receive(message{kind: messageNews, cluster: UUID{0xaa}, deltas: []delta{d}}.encode())
		if says(v, 2, "a") != "b" {
			t.Error("one of the same is not")
		}
	})
}

// TestAnAnswerIsBoundedAndGoesOn has one server learn a full table of full
// states, answer by answer.
func TestAnAnswerIsBoundedAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, other := testView(), testView()
		var values []string
		for i := range 7 {
			values = append(values, fmt.Sprint("k", i), strings.Repeat("v", MaxValue))
		}
		const size = 300
		for id := uint64(2); id <= size; id++ {
			meetRun(v, id, 1)
			meetRun(other, id, 1)
			v.receive(message{kind: messageAnswer, deltas: []delta{stateOf(id, 1, 1, values...)}}.encode())
		}
		answers := 0
		for len(other.replicas) < size {
			x, err := decodeExchange(other.localState())
			if err != nil {
				t.Fatal(err)
			}
			b := v.compose(errand{kind: messageAnswer, digest: x.digest})
			if before := len(other.replicas); b == nil || len(b) > maxAnswer {
				t.Fatalf("with %d states, the answer has %d bytes", before, len(b))
			}
			other.receive(b)
			if answers++; answers > 10 {
				t.Fatalf("%d states after %d answers", len(other.replicas), answers)
			}
		}
		if answers < 2 {
			t.Error("one answer was enough, so this tests nothing")
		}
	})
}
