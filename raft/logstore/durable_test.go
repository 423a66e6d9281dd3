package logstore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// When Save returns, what it was given is on the disk: a power failure that takes
// all that was not synced takes none of it. Who believes the store's own count of
// syncs does not notice a store that counts and does not sync.
//
// Traps 2, 5 and 31.
// Rules: vote.persist, log.persist.
func TestWhatWasSavedSurvivesAPowerFailure(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := openForTest(t, disk)
	for i, w := range []raft.Write{
		{HardState: inTerm(1), Entries: []raft.Entry{configurationEntry(1, 1, 1, 2, 3)}},
		{HardState: raft.HardState{CurrentTerm: 2, VotedFor: 1}},
		{HardState: raft.HardState{CurrentTerm: 2, VotedFor: 1}, Entries: commands(2, 2, 4)},
		{HardState: raft.HardState{CurrentTerm: 3}, TruncateFrom: 3},
		{HardState: raft.HardState{CurrentTerm: 3, VotedFor: 2}},
		{HardState: raft.HardState{CurrentTerm: 3, VotedFor: 2}, Entries: commands(3, 3, 3)},
	} {
		mustSave(t, s, w)
		want, err := read(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(openForTest(t, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})))
		if err != nil || !got.equal(want) || got.HardState != w.HardState {
			t.Errorf("after write %d the disk holds %s, %v; want %s", i, got, err, want)
		}
	}
}
