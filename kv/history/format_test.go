package history

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// everything is a history with every kind, outcome and sort of text in it.
func everything() History {
	h := History{Events: []Event{
		{Source: "n1", Start: 5, End: 5, Text: "leader of term 2"},
		{Source: "network", Start: 6, End: 600, Text: "cut <n1> & \"n2\""},
	}}
	for _, s := range scenarios {
		h.Operations = append(h.Operations, s.ops...)
	}
	for _, value := range []Text{"", "plain", "\x00\n\"\\", "\xff\xfe", "ünïcödé \U0001f6f6", "\u2028<&>", `{"base64":"/w=="}`} {
		h.Operations = append(h.Operations,
			op(3, 7, 8, put("key\xff", value), at(1<<63)),
			op(3, 9, 10, get("key\xff"), found(value, 1<<63)))
	}
	never := op(4, 11, 0, put("k", "lost"), unknown)
	never.Node = 0
	h.Operations = append(h.Operations, never, op(0, 0, 0, get("k"), failed))
	return h
}

func TestAHistorySurvivesItsFile(t *testing.T) {
	for name, want := range map[string]History{"everything": everything(), "nothing": {}} {
		var file bytes.Buffer
		if err := Write(&file, want); err != nil {
			t.Fatal(err)
		}
		got, err := Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s came back as\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

// The format is documented, and files outlive programs: what the documentation
// shows must be what is written.
func TestTheFileLooksAsDocumented(t *testing.T) {
	h := History{
		Operations: []Operation{
			{Client: 2, Node: 1, Call: 1200, Return: 3400, Input: put("a", "x"), Output: at(7)},
			{Client: 0, Call: 5, Input: cas("\xff", 3, "<y>"), Output: unknown},
		},
		Events: []Event{{Source: "n1", Start: 1500, End: 9000, Text: "killed"}},
	}
	want := `{"format":"balsa-history","version":1}
{"op":{"client":2,"node":1,"call":1200,"return":3400,"input":{"kind":"put","key":"a","value":"x"},"output":{"outcome":"ok","revision":7}}}
{"op":{"client":0,"call":5,"input":{"kind":"compare-and-set","key":{"base64":"/w=="},"value":"<y>","expected":3},"output":{"outcome":"unknown"}}}
{"event":{"source":"n1","start":1500,"end":9000,"text":"killed"}}
`
	var file bytes.Buffer
	if err := Write(&file, h); err != nil {
		t.Fatal(err)
	}
	// Inside a text, JSON may write < and > as it likes.
	if got := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(file.String()); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
}

func TestReadRefusesWhatTheFormatDoesNotAllow(t *testing.T) {
	const good = `{"format":"balsa-history","version":1}` + "\n"
	const goodOp = `{"op":{"client":0,"call":1,"return":2,"input":{"kind":"get","key":"a"},"output":{"outcome":"ok"}}}`
	with := func(old, replacement string) string {
		if !strings.Contains(goodOp, old) {
			t.Fatalf("%q is not in the operation", old)
		}
		return good + strings.Replace(goodOp, old, replacement, 1)
	}
	if _, err := Read(strings.NewReader(good + goodOp)); err != nil {
		t.Fatalf("the good operation: %v", err)
	}
	for name, file := range map[string]string{
		"nothing":                     "",
		"another format":              `{"format":"other","version":1}`,
		"a later version":             `{"format":"balsa-history","version":2}`,
		"no header":                   goodOp,
		"not JSON":                    good + "hello",
		"cut short":                   good + goodOp[:40],
		"an empty line":               good + "\n" + goodOp,
		"neither":                     good + "{}",
		"both":                        good + strings.TrimSuffix(goodOp, "}") + `,"event":{"source":"x","start":1,"end":1,"text":""}}`,
		"two values in a line":        good + goodOp + "{}",
		"an unknown field":            with(`"client"`, `"colour":1,"client"`),
		"an unknown field in a key":   with(`"a"`, `{"base64":"/w==","more":1}`),
		"an unknown kind":             with(`"get"`, `"append"`),
		"an unknown outcome":          with(`"ok"`, `"fine"`),
		"no key":                      with(`"a"`, `""`),
		"null as a key":               with(`"a"`, `null`),
		"a number as a key":           with(`"a"`, `1`),
		"base64 of plain text":        with(`"a"`, `{"base64":"YQ=="}`),
		"broken base64":               with(`"a"`, `{"base64":"%"}`),
		"not UTF-8":                   with(`"a"`, "\"\xff\""),
		"a negative client":           with(`"client":0`, `"client":-1`),
		"a negative revision":         with(`"ok"`, `"ok","revision":-1`),
		"a return before the call":    with(`"return":2`, `"return":0`),
		"a call before the beginning": with(`"call":1`, `"call":-1`),
		"a get with a value":          with(`"key"`, `"value":"x","key"`),
		"a get that expects":          with(`"key"`, `"expected":1,"key"`),
		"a get in conflict":           with(`"ok"`, `"conflict","revision":4`),
		"an answer of unknown":        with(`"ok"`, `"unknown","revision":4`),
		"a value not found":           with(`"ok"`, `"ok","value":"x"`),
		"an event without source":     good + `{"event":{"source":"","start":1,"end":2,"text":"x"}}`,
		"an event that ends early":    good + `{"event":{"source":"x","start":3,"end":2,"text":"x"}}`,
		"a line too long":             with(`"a"`, `"`+strings.Repeat("a", MaxLine)+`"`),
	} {
		h, err := Read(strings.NewReader(file))
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error is %v", name, err)
		}
		if h.Operations != nil || h.Events != nil {
			t.Errorf("%s: and yet it returns %+v", name, h)
		}
	}
}

func TestAReadErrorIsNotAFormatError(t *testing.T) {
	broken := errors.New("disk on fire")
	if _, err := Read(iotest.ErrReader(broken)); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("error is %v", err)
	}
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	for name, h := range map[string]History{
		"operation": {Operations: []Operation{{Input: get(""), Output: absent}}},
		"event":     {Events: []Event{{Text: "somewhere"}}},
	} {
		if err := Write(&bytes.Buffer{}, h); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	if err := Write(&file, everything()); err != nil {
		f.Fatal(err)
	}
	lines := strings.SplitAfter(file.String(), "\n")
	for _, l := range lines[1:] {
		f.Add([]byte(lines[0] + l))
	}
	f.Add([]byte(lines[0] + `{"OP":{"output":null,"input":{"key":"\ud800"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		var file bytes.Buffer
		if err := Write(&file, h); err != nil {
			t.Fatalf("read and cannot be written: %v", err)
		}
		again, err := Read(&file)
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v came back as %+v, error %v", h, again, err)
		}
	})
}

func TestTheRecorderKeepsWhatItIsTold(t *testing.T) {
	r := NewRecorder()
	end := r.Annotate("n1", "killed")
	r.Annotate("n2", "leader of term 3")
	first := r.Begin(4, 1, put("k", "1"))
	second := r.Begin(5, 2, get("k"))
	second.End(found("1", 7))
	end()
	r.Begin(6, 3, del("k")) // never heard of again

	h := r.History()
	first.End(at(7)) // too late for that copy
	a, b, c := h.Operations[0], h.Operations[1], h.Operations[2]
	if a.Client != 4 || a.Node != 1 || a.Input != put("k", "1") || a.Output != unknown || a.Return != 0 {
		t.Errorf("pending operation is %+v", a)
	}
	if b.Output != found("1", 7) || b.Return < b.Call || b.Call < a.Call || c.Call < b.Return || c.Output != unknown {
		t.Errorf("operations are %+v", h.Operations)
	}
	if e := h.Events[0]; e.Source != "n1" || e.Text != "killed" || e.End < b.Return || c.Call < e.End {
		t.Errorf("event is %+v", e)
	}
	if e := h.Events[1]; e.Source != "n2" || e.Start != e.End {
		t.Errorf("event of a moment is %+v", e)
	}
	if got := r.History().Operations[0]; got.Output != at(7) || got.Return < got.Call {
		t.Errorf("answered operation is %+v", got)
	}
	if err := Write(&bytes.Buffer{}, h); err != nil {
		t.Errorf("what was recorded cannot be written: %v", err)
	}
}

func TestManyClientsRecordAtTheSameTime(t *testing.T) {
	r := NewRecorder()
	var clients sync.WaitGroup
	const each = 200
	for client := range 8 {
		clients.Go(func() {
			for range each {
				r.Begin(client, 1, get("k")).End(absent)
			}
		})
	}
	clients.Wait()
	perClient := map[int]int{}
	last := map[int]int64{}
	for _, o := range r.History().Operations {
		perClient[o.Client]++
		if o.Call < last[o.Client] || o.Return < o.Call || o.Output != absent {
			t.Fatalf("operation %+v after %d", o, last[o.Client])
		}
		last[o.Client] = o.Return
	}
	for client := range 8 {
		if perClient[client] != each {
			t.Errorf("client %d has %d operations, want %d", client, perClient[client], each)
		}
	}
}

func BenchmarkRecorder(b *testing.B) {
	r := NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		r.Begin(1, 1, get("k")).End(absent)
	}
}
