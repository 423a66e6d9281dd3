package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// balsa runs a client command against a node and returns its stdout, its stderr
// and its exit code.
func (n *node) balsa(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	cmd := exec.Command("balsa", append(args, "--endpoints", n.api)...)
	var stdout, stderr output
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	_ = cmd.Run()
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func aloneNode(t *testing.T) *node {
	t.Helper()
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"))
	n.ready(t)
	return n
}

var okRevision = regexp.MustCompile(`^ok, revision (\d+)\n$`)

// write runs a command that writes and returns the revision that it prints.
func (n *node) write(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, code := n.balsa(t, stdin, args...)
	found := okRevision.FindStringSubmatch(out)
	if code != exitOK || found == nil {
		t.Fatalf("%v: exit code %d, stdout %q, stderr %q", args, code, out, errs)
	}
	return found[1]
}

func TestClientCommands(t *testing.T) {
	n := aloneNode(t)
	const binary = "\x00\xff line\n"
	first := n.write(t, "", "put", "hello", "world")
	n.write(t, binary, "put", "a/b c", "-")
	n.write(t, "", "put", "empty", "")
	n.write(t, "", "put", "locked", "me", "--if-revision", "0")
	n.write(t, "", "put", "deleted", "x")
	n.write(t, "", "del", "deleted")

	for _, s := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   string // all of stdout
		err   string // part of stderr
	}{
		{name: "the bytes and nothing else", args: []string{"get", "hello"}, out: "world"},
		{name: "a stale read", args: []string{"get", "hello", "--stale"}, out: "world"},
		{name: "bytes that are no text", args: []string{"get", "a/b c"}, out: binary},
		{name: "an empty value is a value", args: []string{"get", "empty"}},
		{name: "another revision", args: []string{"put", "empty", "x", "--if-revision", first}, code: exitConflict, err: "the key has revision"},
		{name: "not absent", args: []string{"put", "locked", "you", "--if-revision", "0"}, code: exitConflict, err: "the key exists already"},
		{name: "no such key", args: []string{"get", "nothing"}, code: exitNotFound, err: `balsa: key not found: "nothing"`},
		{name: "nothing to delete", args: []string{"del", "nothing"}, code: exitNotFound, err: `balsa: key not found: "nothing"`},
		{name: "a deleted key", args: []string{"get", "deleted"}, code: exitNotFound, err: "key not found"},
		{name: "too large", stdin: strings.Repeat("v", 1<<20+1), args: []string{"put", "large", "-"}, code: exitError, err: "Too large (413)"},
	} {
		out, errs, code := n.balsa(t, s.stdin, s.args...)
		if code != s.code || out != s.out || !strings.Contains(errs, s.err) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q, %q", s.name, code, out, errs, s.code, s.out, s.err)
		}
		if s.code != exitOK && strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: stderr is not one line: %q", s.name, errs)
		}
	}
	n.write(t, "", "put", "hello", "you", "--if-revision", first)
}

func TestClientCommandsWriteJSON(t *testing.T) {
	n := aloneNode(t)
	run := func(stdin string, args ...string) map[string]any {
		t.Helper()
		out, errs, code := n.balsa(t, stdin, append(args, "--output", "json")...)
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
			t.Fatalf("%v: exit code %d, %q, %q, %v", args, code, out, errs, err)
		}
		return got
	}
	written := run("", "put", "hello", "world")
	if written["key"] != "hello" || written["revision"] == nil {
		t.Errorf("put: %v", written)
	}
	read := run("", "get", "hello")
	if read["value"] != "world" || read["revision"] != written["revision"] || read["applied_index"] == nil {
		t.Errorf("get: %v", read)
	}
	run("\xff\x00", "put", "bytes", "-")
	if read := run("", "get", "bytes"); read["value_base64"] != "/wA=" || read["value"] != nil {
		t.Errorf("get of bytes: %v", read)
	}
	if deleted := run("", "del", "hello"); deleted["revision"].(float64) <= written["revision"].(float64) {
		t.Errorf("del: %v after %v", deleted, written)
	}
}

func TestStatusOfOneNode(t *testing.T) {
	n := aloneNode(t)
	out, errs, code := n.balsa(t, "", "status", "--output", "json")
	var report clusterReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %q, %q, %v", code, out, errs, err)
	}
	if report.LeaderID != 1 || report.ClusterID == "" || len(report.Members) != 1 {
		t.Fatalf("report %+v", report)
	}
	if m := report.Members[0]; !m.Voter || !m.Answers || m.Role != "leader" || m.CommitIndex != m.LastIndex || m.LastIndex == 0 {
		t.Errorf("member %+v", m)
	}
	out, _, _ = n.balsa(t, "", "status")
	for _, want := range []string{"leader: node 1", "ID   ROLE", "1    leader   yes     alive"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
}

// The benchmark measures a real node and reports, beside latencies, how writes
// share the syncs of the log.
func TestBenchMeasuresANode(t *testing.T) {
	n := aloneNode(t)
	out, errs, code := n.balsa(t, "", "bench", "--connections", "1,8", "--requests", "200", "--duration", patience.String(),
		"--warmup", "0s", "--read-ratio", "0.5", "--output", "json")
	var report benchReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %q, %q, %v", code, out, errs, err)
	}
	if len(report.Runs) != 2 {
		t.Fatalf("%d runs, want 2", len(report.Runs))
	}
	for i, connections := range []int{1, 8} {
		run := report.Runs[i]
		if run.Connections != connections || run.Writes.Count+run.Reads.Count != 200 || len(run.Errors) != 0 {
			t.Errorf("run %+v, want 200 requests on %d connections without an error", run, connections)
		}
		if run.Writes.Count == 0 || run.Reads.Count == 0 || run.Writes.P50 <= 0 || run.Writes.Max < run.Writes.P99 || run.PerSecond <= 0 {
			t.Errorf("run %+v has no latencies of reads and writes", run)
		}
		if run.LeaderSyncs == nil || *run.LeaderSyncs == 0 || run.SyncsByWrite == nil {
			t.Errorf("run %+v does not count syncs", run)
		}
	}
	out, errs, code = n.balsa(t, "", "bench", "--connections", "4", "--requests", "50", "--duration", patience.String(), "--warmup", "0s")
	if code != exitOK || !strings.Contains(out, "fsyncs/write") || !strings.Contains(out, "write") {
		t.Errorf("exit code %d, %q:\n%s", code, errs, out)
	}
}
