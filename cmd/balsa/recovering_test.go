package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"balsa/api/wire"
)

// loseEndOfLog does to the log of a node that is not running what a bad disk does:
// its newest write-ahead log ends where that text was written.
func (n *node) loseEndOfLog(t *testing.T, text string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(n.dir, "log", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("write-ahead logs of node %d: %v, %v", n.id, logs, err)
	}
	newest := slices.Max(logs)
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(text))
	if at < 0 {
		t.Fatalf("%s does not hold %q", newest, text)
	}
	if err := os.Truncate(newest, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// says waits until the node has logged that.
func (n *node) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("node %d says %q", n.id, text), func(context.Context) error {
		if !strings.Contains(n.out.String(), text) {
			return errors.New("it does not")
		}
		return nil
	})
}

// writeKeys puts a number of keys, whose values name them.
func writeKeys(t *testing.T, from, to int, nodes ...*node) {
	t.Helper()
	c := clientOf(t, nodes...)
	for i := from; i < to; i++ {
		put(t, c, fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d", i))
	}
}

// wantKeys reads all of them, on each of the nodes.
func wantKeys(t *testing.T, to int, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		c := clientOf(t, n)
		for i := range to {
			wantValue(t, c, fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d", i))
		}
	}
}

// A node whose disk has lost the end of its log says so, gets it again from the
// leader, and is a voter as before.
func TestANodeWhoseDiskHasLostTheEndOfItsLogRecovers(t *testing.T) {
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) {
			nodes := startCluster(t)
			writeKeys(t, 0, 40, nodes...)
			for _, n := range nodes {
				wantValue(t, clientOf(t, n), "key-39", "value-39")
			}
			lost, others := splitByLeader(t, nodes)
			if role == "follower" {
				lost, others = others[0], []*node{lost, others[1]}
			}
			lost.kill()
			writeKeys(t, 40, 60, others...)
			lost.loseEndOfLog(t, "value-20")
			lost.restart(t)
			lost.says(t, "recovering: the disk of this server has lost the end of its log")
			lost.says(t, "recovered: what the disk had lost is here again")
			lost.ready(t)
			wantKeys(t, 60, lost)

			// Its vote and its acknowledgements are needed now.
			others[1].kill()
			writeKeys(t, 60, 70, lost, others[0])
			wantKeys(t, 70, lost, others[0])
		})
	}
}

// While nobody can send it what it has lost, the node says on all channels that it
// waits for that.
func TestARecoveringNodeSaysWhatItWaitsFor(t *testing.T) {
	nodes := startCluster(t)
	writeKeys(t, 0, 40, nodes...)
	for _, n := range nodes {
		wantValue(t, clientOf(t, n), "key-39", "value-39")
	}
	for _, n := range nodes {
		n.kill()
	}
	lost := nodes[1]
	lost.loseEndOfLog(t, "value-20")
	lost.restart(t)

	eventually(t, "the node is recovering", func(ctx context.Context) error {
		s, err := lost.status(ctx)
		if err == nil && (s.State != "recovering" || s.LostIndex <= s.LastIndex || !strings.Contains(s.Message, "from whoever leads next")) {
			err = fmt.Errorf("it says %q: %s; lost up to %d, has %d", s.State, s.Message, s.LostIndex, s.LastIndex)
		}
		return err
	})
	var problem wire.Problem
	if code, err := getJSON(t.Context(), "http://"+lost.api+"/readyz", &problem); err != nil || code != http.StatusServiceUnavailable ||
		!strings.Contains(problem.Detail, "recovering: the disk of this node has lost the end of its log") {
		t.Errorf("readyz: %d %q, %v", code, problem.Detail, err)
	}
	if out, _ := runBalsa(t, "status", "--endpoints", lost.api); !strings.Contains(out, "says: recovering: the disk of this node") {
		t.Errorf("balsa status:\n%s", out)
	}
	if !strings.Contains(metricsOf(t, lost), "balsa_raft_recovering 1\n") {
		t.Error("the metrics do not show it")
	}

	nodes[0].restart(t)
	nodes[2].restart(t)
	lost.ready(t)
	wantKeys(t, 40, nodes...)
	if !strings.Contains(metricsOf(t, lost), "balsa_raft_recovering 0\n") {
		t.Error("the metrics do not show that it is over")
	}
}

func metricsOf(t *testing.T, n *node) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.api+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
