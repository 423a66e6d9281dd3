package founding

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"balsa/gossip"
)

func testPlan() Plan {
	return Plan{Servers: []Server{
		{ID: 1, InstanceID: gossip.UUID{1}, RPCAddr: "10.0.0.1:21000"},
		{ID: 2, InstanceID: gossip.UUID{2}, RPCAddr: "node-2.example:21000"},
		{ID: 1 << 60, InstanceID: gossip.UUID{3}, RPCAddr: strings.Repeat("x", gossip.MaxAddress)},
	}}
}

func TestClusterIDIsAUUIDThatCoversEverything(t *testing.T) {
	id := testPlan().ClusterID()
	// A constant, because all versions of this program must compute the same.
	if got, want := id.String(), "7cdbd2e9-e62b-850c-a1f2-05fde815b1af"; got != want {
		t.Errorf("the id of the test plan is %s, want %s", got, want)
	}
	if text := id.String(); text[14] != '8' || !strings.ContainsRune("89ab", rune(text[19])) {
		t.Errorf("%s is no UUID of version 8", text)
	}
	for what, alter := range map[string]func(p *Plan){
		"an id":       func(p *Plan) { p.Servers[0].ID = 0 },
		"an instance": func(p *Plan) { p.Servers[1].InstanceID[15] = 1 },
		"an address":  func(p *Plan) { p.Servers[1].RPCAddr = "node-3.example:21000" },
		"the number":  func(p *Plan) { p.Servers = p.Servers[:2] },
	} {
		p := testPlan()
		alter(&p)
		if p.ClusterID() == id {
			t.Errorf("the cluster id does not depend on %s", what)
		}
	}
}

func TestPlanComesBackAsItWasWritten(t *testing.T) {
	p, err := DecodePlan(testPlan().Encode())
	if err != nil || !p.Equal(testPlan()) {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestPlansFromOutsideAreChecked(t *testing.T) {
	change := func(alter func(p *Plan)) []byte {
		p := testPlan()
		alter(&p)
		return p.Encode()
	}
	good := testPlan().Encode()
	for what, b := range map[string][]byte{
		"nothing":                 nil,
		"cut short":               good[:len(good)-1],
		"one byte too many":       append(bytes.Clone(good), 0),
		"another version":         append([]byte{planVersion + 1}, good[1:]...),
		"no servers":              change(func(p *Plan) { p.Servers = nil }),
		"a huge count":            {planVersion, 255},
		"id 0":                    change(func(p *Plan) { p.Servers[0].ID = 0 }),
		"an id twice":             change(func(p *Plan) { p.Servers[1].ID = 1 }),
		"ids out of order":        change(func(p *Plan) { p.Servers[0].ID = 3 }),
		"no instance":             change(func(p *Plan) { p.Servers[0].InstanceID = gossip.UUID{} }),
		"no address":              change(func(p *Plan) { p.Servers[0].RPCAddr = "" }),
		"an address that is long": change(func(p *Plan) { p.Servers[0].RPCAddr = strings.Repeat("x", gossip.MaxAddress+1) }),
	} {
		if p, err := DecodePlan(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
}

func testAnswers() []answer {
	plan := testPlan()
	return []answer{
		{id: 1, instance: gossip.UUID{1}, verdict: verdictYes, cluster: plan.ClusterID()},
		{id: 2, instance: gossip.UUID{2}, verdict: verdictNo, reason: "waiting for 3 servers to appear"},
		{id: 2, instance: gossip.UUID{2}, verdict: verdictNo},
		{id: 3, instance: gossip.UUID{3}, verdict: verdictFounded, cluster: plan.ClusterID(), plan: &plan},
		{id: 4, instance: gossip.UUID{4}, verdict: verdictFounded, cluster: gossip.UUID{9}},
	}
}

func TestAnswersComeBackAsTheyWereSent(t *testing.T) {
	for _, a := range testAnswers() {
		if got, err := decodeAnswer(a.encode()); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v came back as %+v, %v", a, got, err)
		}
	}
	long := answer{id: 1, instance: gossip.UUID{1}, verdict: verdictNo, reason: strings.Repeat("é", maxReason)}
	if got, err := decodeAnswer(long.encode()); err != nil || len(got.reason) > maxReason {
		t.Errorf("a long reason came back with %d bytes, %v", len(got.reason), err)
	}
}

func TestAnswersFromOutsideAreChecked(t *testing.T) {
	answers := testAnswers()
	yes, no, founded := answers[0].encode(), answers[1].encode(), answers[3].encode()
	for what, b := range map[string][]byte{
		"nothing":                   nil,
		"another version":           append([]byte{answerVersion + 1}, yes[1:]...),
		"an unknown verdict":        append([]byte{answerVersion, 9}, yes[2:]...),
		"yes to half a plan":        yes[:len(yes)-1],
		"yes and more":              append(bytes.Clone(yes), 0),
		"an endless reason":         append(bytes.Clone(no), make([]byte, maxReason)...),
		"founded with half a plan":  founded[:len(founded)-1],
		"founded without a cluster": founded[:26],
		"a plan of another cluster": append(append(bytes.Clone(founded[:26]), make([]byte, 16)...), founded[42:]...),
	} {
		if a, err := decodeAnswer(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
}

func TestQuestionsAreChecked(t *testing.T) {
	id := testPlan().ClusterID()
	good := encodeQuestion(id)
	if got, err := decodeQuestion(good); err != nil || got != id {
		t.Errorf("came back as %v, %v", got, err)
	}
	for _, b := range [][]byte{nil, good[:16], append(bytes.Clone(good), 0), append([]byte{questionVersion + 1}, good[1:]...)} {
		if _, err := decodeQuestion(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(testPlan().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePlan(b)
		if err == nil && !bytes.Equal(p.Encode(), b) {
			t.Fatalf("%x decodes to %+v, which encodes differently", b, p)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, a := range testAnswers() {
		f.Add(a.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAnswer(b)
		if err != nil {
			return
		}
		if a.verdict == verdictNo {
			if strings.ContainsFunc(a.reason, func(c rune) bool { return c < ' ' }) {
				t.Fatalf("the reason %q has control characters", a.reason)
			}
			return
		}
		if !bytes.Equal(a.encode(), b) {
			t.Fatalf("%x decodes to %+v, which encodes differently", b, a)
		}
	})
}

func FuzzQuestion(f *testing.F) {
	f.Add(encodeQuestion(testPlan().ClusterID()))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeQuestion(b)
		if err == nil && !bytes.Equal(encodeQuestion(id), b) {
			t.Fatalf("%x decodes to %v, which encodes differently", b, id)
		}
	})
}
