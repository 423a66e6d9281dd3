package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// grow starts node 1 without seeds and the others with node 1 as seed, as the
// seed document does, and waits until all vote.
func grow(t *testing.T, nodes int) []*node {
	t.Helper()
	dir := t.TempDir()
	all := []*node{startNode(t, 1, filepath.Join(dir, "n1"), "--stabilization-time", "1s")}
	for id := 2; id <= nodes; id++ {
		all = append(all, startNode(t, id, filepath.Join(dir, fmt.Sprintf("n%d", id)),
			"--stabilization-time", "1s", "--seed-gossip-addrs", all[0].gossip))
	}
	all[0].waitForVoters(t, nodes)
	for _, n := range all {
		n.ready(t)
	}
	return all
}

// waitForVoters waits until this node knows of exactly that many voters and of no
// change under way.
func (n *node) waitForVoters(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("node %d knows of %d voters", n.id, want), func(ctx context.Context) error {
		s, err := n.status(ctx)
		if err == nil && (len(s.Voters) != want || s.Change != nil) {
			err = fmt.Errorf("voters %v, learners %v, change %v: %s", s.Voters, s.Learners, s.Change, s.Message)
		}
		return err
	})
}

func TestNodesWithASeedJoinAndVoteByThemselves(t *testing.T) {
	nodes := grow(t, 3)
	for _, n := range nodes {
		c := clientOf(t, n)
		put(t, c, "key", fmt.Sprint(n.id))
		wantValue(t, c, "key", fmt.Sprint(n.id))
	}
	s, err := nodes[1].status(t.Context())
	if err != nil || !slices.Equal(s.Voters, []uint64{1, 2, 3}) {
		t.Errorf("node 2 says voters %v, %v", s.Voters, err)
	}
	// It is a cluster of three from then on: it goes on without node 1.
	nodes[0].kill()
	put(t, clientOf(t, nodes[1], nodes[2]), "key", "without node 1")
}

// A node that has lost its disk has forgotten what it voted and acknowledged. It is
// told what to do, and when the operator has done it, it is a new member.
//
// Trap 42.
func TestANodeThatLostItsDiskIsRefusedUntilItIsRemoved(t *testing.T) {
	nodes := grow(t, 3)
	lost := nodes[2]
	lost.kill()
	if err := os.RemoveAll(lost.dir); err != nil {
		t.Fatal(err)
	}
	lost.restart(t)
	eventually(t, "node 3 says why it is refused", func(ctx context.Context) error {
		s, err := lost.status(ctx)
		if err == nil && !strings.Contains(s.Message, "with another data directory") {
			err = fmt.Errorf("it says %q", s.Message)
		}
		return err
	})
	if out, code := runBalsa(t, "remove", "3", "--endpoints", nodes[0].api); code != exitOK {
		t.Fatalf("remove 3: %d, %s", code, out)
	}
	nodes[0].waitForVoters(t, 3)
	lost.ready(t)
}

func TestARemovedNodeEndsAndStaysOut(t *testing.T) {
	nodes := grow(t, 3)
	removed := nodes[2]
	if out, code := runBalsa(t, "remove", "3", "--endpoints", nodes[1].api); code != exitOK {
		t.Fatalf("remove 3: %d, %s", code, out)
	}
	if code := removed.exitCode(); code != exitError || !strings.Contains(removed.out.String(), "was removed from this cluster") {
		t.Errorf("the removed node ended with %d:\n%s", code, removed.out)
	}
	// A restart does not help it, with its directory.
	wantRefused(t, removed.serve(), "was removed from this cluster", "--data-dir")
	nodes[0].waitForVoters(t, 2)
}

func TestANodeThatIsAskedToLeaveIsRemovedAndEnds(t *testing.T) {
	nodes := grow(t, 3)
	leader := nodes[0]
	if s, err := leader.status(t.Context()); err != nil || s.LeaderID == 0 {
		t.Fatalf("%+v, %v", s, err)
	} else {
		leader = nodes[s.LeaderID-1]
	}
	if out, code := runBalsa(t, "leave", "--endpoints", leader.api); code != exitOK {
		t.Fatalf("leave: %d, %s", code, out)
	}
	if code := leader.exitCode(); code != exitOK {
		t.Errorf("the node that left ended with %d:\n%s", code, leader.out)
	}
	rest := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n == leader })
	rest[0].waitForVoters(t, 2)
	put(t, clientOf(t, rest...), "key", "value")
}

// Two of three disks are gone. The third one's data becomes a cluster of its own,
// into which the old nodes cannot come as they were.
func TestAClusterIsRecoveredFromTheOneNodeThatIsLeft(t *testing.T) {
	nodes := grow(t, 3)
	put(t, clientOf(t, nodes...), "key", "value")
	wantValue(t, clientOf(t, nodes[2]), "key", "value")
	for _, n := range nodes {
		n.kill()
	}
	left := nodes[2]
	look := []string{"recover", "--id", "3", "--data-dir", left.dir}
	if out, code := runBalsa(t, look...); code != exitError || !strings.Contains(out, "nothing was changed") || !strings.Contains(out, "log       ends with entry") {
		t.Fatalf("recover without confirmation: %d, %s", code, out)
	}
	if out, code := runBalsa(t, append(look, "--"+recoverFlag)...); code != exitOK || !strings.Contains(out, "RECOVERED") {
		t.Fatalf("recover: %d, %s", code, out)
	}
	left.args = []string{"--stabilization-time", "1s"}
	left.restart(t)
	left.ready(t)
	left.waitForVoters(t, 1)
	wantValue(t, clientOf(t, left), "key", "value")

	old := nodes[0]
	old.args = []string{"--stabilization-time", "1s", "--seed-gossip-addrs", left.gossip}
	old.restart(t)
	eventually(t, "both say that two clusters have met", func(ctx context.Context) error {
		for _, n := range []*node{left, old} {
			if s, err := n.status(ctx); err != nil || !strings.Contains(s.Message, "two clusters meet in gossip") {
				return fmt.Errorf("node %d says %q, %v", n.id, s.Message, err)
			}
		}
		return nil
	})
	left.waitForVoters(t, 1)
	old.signal(syscall.SIGTERM)
	old.exitCode()
	if err := os.RemoveAll(old.dir); err != nil {
		t.Fatal(err)
	}
	old.restart(t)
	left.waitForVoters(t, 2)
	wantValue(t, clientOf(t, old), "key", "value")
}
