package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"balsa/api/wire"
)

// startCluster founds a cluster of three on ports that the kernel chooses: only
// the gossip address of the first node has to be known to the others.
func startCluster(t *testing.T, args ...string) []*node {
	t.Helper()
	dir := t.TempDir()
	nodes := make([]*node, 3)
	for i := range nodes {
		args := append([]string{"--bootstrap-expect", "3"}, args...)
		if i > 0 {
			args = append(args, "--seed-gossip-addrs", nodes[0].gossip)
		}
		nodes[i] = startNode(t, i+1, filepath.Join(dir, fmt.Sprintf("n%d", i+1)), args...)
	}
	for _, n := range nodes {
		n.ready(t)
	}
	return nodes
}

// splitByLeader returns the leader that the nodes agree on, and the others.
func splitByLeader(t *testing.T, nodes []*node) (leader *node, others []*node) {
	t.Helper()
	eventually(t, "all nodes follow one leader", func(ctx context.Context) error {
		leader, others = nil, nil
		var term uint64
		for _, n := range nodes {
			s, err := n.status(ctx)
			if err != nil {
				return err
			}
			if s.LeaderID == 0 || term != 0 && s.Term != term {
				return fmt.Errorf("node %d: leader %d in term %d", n.id, s.LeaderID, s.Term)
			}
			if term = s.Term; s.LeaderID == uint64(n.id) {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		if leader == nil {
			return errors.New("the leader is none of them")
		}
		return nil
	})
	return leader, others
}

// A cluster of three real processes elects, replicates, reads consistently on
// every node, survives kill -9 of its leader, takes the leader back, and has
// kept everything when all of it was killed.
func TestClusterOfThreeSurvivesKills(t *testing.T) {
	nodes := startCluster(t)

	put(t, clientOf(t, nodes[0]), "hello", "world")
	for _, n := range nodes {
		wantValue(t, clientOf(t, n), "hello", "world")
	}

	leader, others := splitByLeader(t, nodes)
	leader.kill()
	survivors := clientOf(t, others...)
	for i := range 50 {
		put(t, survivors, fmt.Sprintf("without the leader %d", i), fmt.Sprint(i))
	}

	// The old leader comes back on other ports, which the others learn from
	// gossip, and catches up.
	leader.api, leader.rpc = anyPort, anyPort
	leader.restart(t)
	eventually(t, "the restarted node catches up", func(ctx context.Context) error {
		item, err := clientOf(t, leader).GetStale(ctx, []byte("without the leader 49"))
		if err == nil && string(item.Value) != "49" {
			err = fmt.Errorf("it reads %q", item.Value)
		}
		return err
	})
	wantValue(t, clientOf(t, leader), "hello", "world")

	acknowledged := killAllUnderLoad(t, nodes)
	for _, n := range nodes {
		n.restart(t)
	}
	for i, n := range nodes {
		c := clientOf(t, n)
		wantValue(t, c, "hello", "world")
		wantValue(t, c, "without the leader 49", "49")
		for j, key := range acknowledged {
			if j%len(nodes) == i { // each key on one of the nodes
				wantValue(t, c, key, key)
			}
		}
	}
}

// killAllUnderLoad kills all nodes while clients write to each of them, and
// returns the keys whose writes were acknowledged.
func killAllUnderLoad(t *testing.T, nodes []*node) (acknowledged []string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	keys := make(chan string)
	var writers sync.WaitGroup
	for _, n := range nodes {
		for w := range 4 {
			c := clientOf(t, n)
			writers.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("under load %d %d %d", n.id, w, i)
					if _, err := c.Put(ctx, []byte(key), []byte(key)); err == nil {
						keys <- key
					}
				}
			})
		}
	}
	go func() {
		writers.Wait()
		close(keys)
	}()
	for key := range keys {
		acknowledged = append(acknowledged, key)
		if len(acknowledged) == 300 {
			for _, n := range nodes {
				n.signal(syscall.SIGKILL)
			}
			stop()
		}
	}
	for _, n := range nodes {
		<-n.exited
	}
	return acknowledged
}

// A majority goes on without the others; a minority answers within a bounded
// time that it cannot.
func TestMinorityRefusesWithinItsTimeout(t *testing.T) {
	nodes := startCluster(t, "--request-timeout", "500ms")
	leader, others := splitByLeader(t, nodes)
	put(t, clientOf(t, leader), "hello", "world")
	eventually(t, "the follower has the key", func(ctx context.Context) error {
		_, err := clientOf(t, others[0]).GetStale(ctx, []byte("hello"))
		return err
	})
	leader.kill()
	others[1].kill()

	var problem wire.Problem
	code, err := getJSON(t.Context(), "http://"+others[0].api+"/api/consistent_read/hello", &problem)
	if err != nil || code != http.StatusServiceUnavailable || problem.Type != wire.NoQuorum {
		t.Errorf("consistent read: %d %v %v, want 503 %s", code, problem.Type, err, wire.NoQuorum)
	}
	var result wire.ReadResult
	code, err = getJSON(t.Context(), "http://"+others[0].api+"/api/read/hello", &result)
	if err != nil || code != http.StatusOK || result.Value != "world" {
		t.Errorf("local read: %d %q %v, want 200 world", code, result.Value, err)
	}
	out, code := runBalsa(t, "status", "--endpoints", others[0].api)
	if code != exitUnavailable || !strings.Contains(out, "electing one takes 2 of 3 voters") {
		t.Errorf("status ended with %d:\n%s", code, out)
	}
}

// Members says on every node who is there, in Raft and in gossip; the leader
// adds how far each has come.
func TestClusterStatusMergesRaftAndGossip(t *testing.T) {
	nodes := startCluster(t)
	leader, others := splitByLeader(t, nodes)
	put(t, clientOf(t, leader), "hello", "world")
	for _, n := range nodes {
		eventually(t, fmt.Sprintf("node %d knows everybody", n.id), func(ctx context.Context) error {
			s, err := n.status(ctx)
			if err != nil {
				return err
			}
			return checkMembers(s, nodes, leader)
		})
	}
	eventually(t, "the leader knows that the follower has everything", func(ctx context.Context) error {
		s, err := leader.status(ctx)
		if err != nil {
			return err
		}
		m := s.Members[others[0].id-1]
		if m.MatchIndex == nil || *m.MatchIndex != s.LastIndex || m.LastContactMS == nil {
			return fmt.Errorf("match index %v of %d", m.MatchIndex, s.LastIndex)
		}
		return nil
	})
}

func checkMembers(s wire.ClusterStatus, nodes []*node, leader *node) error {
	if s.State != "ready" || s.ClusterID == "" || len(s.Voters) != len(nodes) || len(s.Members) != len(nodes) {
		return fmt.Errorf("status %+v", s)
	}
	for i, m := range s.Members {
		role := wire.RoleFollower
		if nodes[i] == leader {
			role = wire.RoleLeader
		}
		n := nodes[i]
		if m.ID != uint64(n.id) || m.APIAddr != n.api || m.RPCAddr != n.rpc || m.GossipAddr != n.gossip || m.Role != role || m.Status != wire.StatusAlive {
			return fmt.Errorf("member %+v, want node %d, %s", m, n.id, role)
		}
		if led := s.NodeID == s.LeaderID; led != (m.MatchIndex != nil) {
			return fmt.Errorf("node %d says match index %v of node %d", s.NodeID, m.MatchIndex, m.ID)
		}
	}
	return nil
}

// A node with an empty directory and no seeds founds a cluster of its own. A
// restart keeps it, whatever the flags say by then.
func TestNodeWithoutSeedsFoundsAlone(t *testing.T) {
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"))
	c := clientOf(t, n)
	put(t, c, "hello", "world")
	before, err := n.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	n.signal(syscall.SIGTERM)
	if code := n.exitCode(); code != exitOK {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	n.args = []string{"--bootstrap-expect", "5", "--seed-gossip-addrs", "127.0.0.1:1"}
	n.restart(t)
	wantValue(t, c, "hello", "world")
	after, err := n.status(t.Context())
	if err != nil || after.ClusterID != before.ClusterID || before.ClusterID == "" {
		t.Fatalf("cluster %q before, %q after the restart (%v)", before.ClusterID, after.ClusterID, err)
	}
}

// A node with seeds and without --bootstrap-expect waits. It runs, says so, and
// refuses requests; it never founds a cluster.
func TestNodeWithSeedsAloneWaits(t *testing.T) {
	n := startNode(t, 2, filepath.Join(t.TempDir(), "n2"), "--seed-gossip-addrs", "127.0.0.1:1")
	s, err := n.status(t.Context())
	if err != nil || s.State != "waiting" || s.ClusterID != "" || !strings.Contains(s.Message, "waiting to be added to a cluster") {
		t.Fatalf("status %+v, %v", s, err)
	}
	for path, want := range map[string]string{
		"/readyz":                    wire.NotReady,
		"/api/read/hello":            wire.NotAMember,
		"/api/consistent_read/hello": wire.NotAMember,
	} {
		var problem wire.Problem
		code, err := getJSON(t.Context(), "http://"+n.api+path, &problem)
		if err != nil || code != http.StatusServiceUnavailable || problem.Type != want ||
			!strings.Contains(problem.Detail, "waiting to be added to a cluster") {
			t.Errorf("%s: %d %+v %v, want 503 %s", path, code, problem, err, want)
		}
	}
	if out, code := runBalsa(t, "put", "hello", "world", "--endpoints", n.api, "--timeout", "2s"); code != exitUnavailable {
		t.Errorf("put ended with %d: %s", code, out)
	}
	if out, code := runBalsa(t, "status", "--endpoints", n.api); code != exitUnavailable || !strings.Contains(out, "cluster none yet") {
		t.Errorf("status ended with %d: %s", code, out)
	}
	n.signal(syscall.SIGTERM)
	if code := n.exitCode(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// The first signal lets requests finish; the second one does not wait for them.
func TestSecondSignalEndsANodeAtOnce(t *testing.T) {
	n := startNode(t, 1, filepath.Join(t.TempDir(), "n1"), "--shutdown-timeout", "1h")
	conn, err := net.Dial("tcp", n.api)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "PUT /api/kv/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// Now the request is being handled, and waits for a body that never comes.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("the node answered %q, %v; want 100 Continue", line, err)
	}
	n.signal(syscall.SIGTERM)
	eventually(t, "the node says that it stops", func(context.Context) error {
		if !strings.Contains(n.out.String(), "stopping") {
			return errors.New("it does not")
		}
		return nil
	})
	n.signal(syscall.SIGTERM)
	if code := n.exitCode(); code != -1 {
		t.Errorf("exit code %d, want the end by the signal", code)
	}
}
