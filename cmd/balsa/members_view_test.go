package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"balsa/api/wire"
)

// growing is what the leader of a cluster says that is busy.
func growing() wire.ClusterStatus {
	return wire.ClusterStatus{
		ClusterID: "c", NodeID: 1, LeaderID: 1, Role: "leader", Term: 3, FirstIndex: 101, LastIndex: 900, CommitIndex: 900, AppliedIndex: 900,
		Voters: []uint64{1, 2, 3}, Learners: []uint64{4, 5}, ConfigurationIndex: 890, TransferTo: 2,
		Change: &wire.PendingChange{Joint: true, OldVoters: []uint64{1, 2}, NewVoters: []uint64{1, 2, 3}},
		Members: []wire.Member{
			{ID: 1, Role: wire.RoleLeader, Status: wire.StatusAlive, RPCAddr: "r1", MatchIndex: new(uint64(900)), LastContactMS: new(int64(0))},
			{ID: 2, Role: wire.RoleFollower, Status: wire.StatusAlive, RPCAddr: "r2", MatchIndex: new(uint64(899)), LastContactMS: new(int64(12))},
			{ID: 4, Role: wire.RoleLearner, Status: wire.StatusAlive, RPCAddr: "r4", CaughtUp: new(43), Note: "catching up"},
			{ID: 5, Role: wire.RoleLearner, Status: wire.StatusSuspect, RPCAddr: "r5", CaughtUp: new(20),
				Snapshot: &wire.SnapshotProgress{From: 1, Index: 100, Bytes: 440 << 20, Size: 1 << 30}},
			{ID: 6, Role: wire.RoleNone, Status: wire.StatusAlive, RPCAddr: "r6", Note: "refused: it was removed with this data directory"},
		},
		State: "ready", Message: "leading 3 voters",
	}
}

// fields makes the columns of a table comparable.
func fields(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestMembersIsATableOfWhatBecomesOfWhom(t *testing.T) {
	n := startFake(t, &fakeNode{status: growing()})
	out, errs, code := n.run("members")
	const want = `leader: node 1 voters: 1, 2, 3 learners: 4, 5
a change of members is under way: voters 1, 2 become 1, 2, 3 (waiting for a majority of both)
leadership is being handed over to node 2

ID ROLE STATUS CONTACT MATCH CAUGHT UP RPC API NOTE
1 leader alive - 900 - r1 - -
2 follower alive 12ms ago 899 - r2 - -
4 learner alive - - 43 % r4 - catching up
5 learner suspect - - 42 % of a snapshot of 1.0 GiB r5 - -
6 none alive - - - r6 - refused: it was removed with this data directory`
	if code != exitOK || fields(out) != want {
		t.Errorf("exit code %d, %q:\n%s\nwant\n%s", code, errs, fields(out), want)
	}
	out, _, _ = n.run("members", "--output", "json")
	var view wire.Membership
	if err := json.Unmarshal([]byte(out), &view); err != nil || view.ConfigurationIndex != 890 || len(view.Members) != 5 {
		t.Errorf("%v, %q", err, out)
	}
}

func TestMembersAsksTheLeaderAndMakesDoWithAnother(t *testing.T) {
	leader := startFake(t, &fakeNode{status: growing()})
	follower := startFake(t, &fakeNode{status: wire.ClusterStatus{
		NodeID: 2, LeaderID: 1, Voters: []uint64{1, 2},
		Members: []wire.Member{{ID: 1, Role: wire.RoleLeader, APIAddr: address(leader)}},
	}})
	eventually(t, "the leader's view", func(context.Context) error { // nobody waits long for it
		out, errs, code := follower.run("members")
		if code != exitOK || !strings.Contains(out, "catching up") {
			return fmt.Errorf("exit code %d, %q: %q", code, errs, out)
		}
		return nil
	})
	leader.Close()
	if out, errs, code := follower.run("members"); code != exitOK || !strings.Contains(out, "the leader did not answer; this is what node 2 knows") {
		t.Errorf("exit code %d, %q: %q", code, errs, out)
	}
}

func TestStatusTellsWhatIsUnderWay(t *testing.T) {
	leader := growing()
	receiver := startFake(t, &fakeNode{status: wire.ClusterStatus{ClusterID: "c", NodeID: 5, LeaderID: 1, State: "receiving",
		Receiving: &wire.SnapshotProgress{From: 1, Size: 2}, Message: "receiving the state as of entry 100 from node 1: 42 %"}})
	leader.Members[3].APIAddr = address(receiver)
	n := startFake(t, &fakeNode{status: leader})
	out, errs, code := runAt([]*fakeNode{n, receiver}, "status")
	if code != exitOK {
		t.Fatalf("exit code %d, %q", code, errs)
	}
	for _, want := range []string{
		"\nID ROLE VOTER STATUS TERM FIRST LAST COMMIT APPLIED LAG CONTACT API\n1 leader yes alive 3 101 900 900 900 - - -\n",
		"\na change of members is under way: voters 1, 2 become 1, 2, 3 (waiting for a majority of both)\n",
		"\nleadership is being handed over to node 2\n",
		"\nnode 4: catching up\nnode 4: caught up: 43 %\n",
		"\nnode 5: caught up: 42 % of a snapshot of 1.0 GiB\nnode 5: says: receiving the state as of entry 100 from node 1: 42 %\n",
		"\nnode 6: refused: it was removed with this data directory",
	} {
		if !strings.Contains(fields(out), want) {
			t.Errorf("the table lacks %q:\n%s", want, fields(out))
		}
	}
	if strings.Contains(out, "leading 3 voters") {
		t.Errorf("a node that is ready has nothing to say:\n%s", out)
	}
	out, _, _ = runAt([]*fakeNode{n, receiver}, "status", "--output", "json")
	var report clusterReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Change == nil || report.TransferTo != 2 ||
		report.Members[0].FirstIndex != 101 || report.Members[0].ConfigurationIndex != 890 || report.Members[3].Receiving == nil {
		t.Errorf("%v, %s", err, out)
	}
}

func TestIDsAreCompleted(t *testing.T) {
	n := startFake(t, &fakeNode{status: growing()})
	for command, want := range map[string]string{
		"add":      "6\trefused: it was removed with this data directory\n:4\n",
		"promote":  "4\tcatching up\n5\tlearner\n:4\n",
		"demote":   "1\tleader\n2\tfollower\n4\tcatching up\n5\tlearner\n:4\n",
		"remove":   "1\tleader\n2\tfollower\n4\tcatching up\n5\tlearner\n:4\n",
		"transfer": "2\tfollower\n:4\n",
	} {
		t.Setenv("BALSA_ENDPOINTS", n.URL)
		eventually(t, "completion of "+command, func(context.Context) error { // it has little patience itself
			out, errs, code := runAt(nil, "__complete", command, "")
			if out != want || code != exitOK {
				return fmt.Errorf("exit code %d, %q, %q; want %q", code, out, errs, want)
			}
			return nil
		})
		if out, _, _ := runAt(nil, "__complete", command, "4", ""); out != ":4\n" {
			t.Errorf("%s: a second id is proposed: %q", command, out)
		}
	}
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3072.0 GiB"} {
		if got := roundedSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
