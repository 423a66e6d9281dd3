package server

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"balsa/gossip"
	"balsa/kv"
	"balsa/raft"
	"balsa/raft/logstore"
)

// RecoverConfig says which data directory a cluster is to be recovered from.
type RecoverConfig struct {
	ID      raft.NodeID
	DataDir string
	Logger  *slog.Logger
	// Fatal is called when the disk fails; see Config.
	Fatal func(message string)
}

// Recovery is what a data directory has to offer, and what becomes of it.
type Recovery struct {
	// Cluster is the cluster that has lost its majority, NewCluster the one that
	// goes on with what this node has.
	Cluster, NewCluster gossip.UUID
	// Last is the last entry of the log. What the others have acknowledged after
	// it is lost.
	Last raft.EntryID
	// Term is the last term that this node has been in.
	Term raft.Term
	// Voters are those of the last configuration in the log, this node included.
	Voters []raft.NodeID
}

// Recover makes a cluster of one node of what this one has of a cluster that has
// lost its majority for good. Without confirmed it only looks. The node must not
// run. If it is interrupted, it can be called again, and comes to the same end.
func Recover(cfg RecoverConfig, confirmed bool) (Recovery, error) {
	s := &server{cfg: Config{ID: cfg.ID, DataDir: cfg.DataDir, Logger: cfg.Logger}, log: cfg.Logger}
	if _, err := os.Stat(s.logDir()); errors.Is(err, fs.ErrNotExist) {
		return Recovery{}, fmt.Errorf("--data-dir %s: there is no log in %q", cfg.DataDir, s.logDir())
	}
	store, err := logstore.Open(s.logDir(), logstore.Options{NodeID: cfg.ID, Logger: cfg.Logger, Fatal: cfg.Fatal})
	if err != nil {
		return Recovery{}, err
	}
	r, err := recoverFrom(s, store, cfg, confirmed)
	return r, errors.Join(err, store.Close())
}

func recoverFrom(s *server, store *logstore.Store, cfg RecoverConfig, confirmed bool) (Recovery, error) {
	hs, log, err := store.State()
	if err != nil {
		return Recovery{}, err
	}
	identity := store.Identity()
	r := Recovery{
		Cluster: identity.ClusterID, NewCluster: incarnation(identity, log),
		Last: lastEntry(log), Term: hs.CurrentTerm,
	}
	if n := len(log.Configurations); n > 0 {
		r.Voters = log.Configurations[n-1].Configuration.Voters()
	}
	if !confirmed {
		return r, nil
	}
	// The state first. If it goes no further than that, the log still leads to
	// the same new identity.
	from := kv.Identity{Cluster: identity.ClusterID, Node: cfg.ID}
	to := kv.Identity{Cluster: r.NewCluster, Node: cfg.ID}
	opts := kv.Options{Logger: cfg.Logger, Fatal: func(err error) { cfg.Fatal(err.Error()) }}
	if err := kv.Readdress(s.stateDir(), from, to, opts); err != nil {
		return r, err
	}
	opts.Identity = to
	state, err := kv.OpenState(s.stateDir(), opts)
	if err != nil {
		return r, err
	}
	held, installed, err := state.Contents()
	if err := errors.Join(err, state.Close()); err != nil {
		return r, err
	}
	if !installed {
		return r, store.Recover(r.NewCluster, nil)
	}
	return r, store.Recover(r.NewCluster, &held)
}

func lastEntry(log raft.LogState) raft.EntryID {
	last := raft.EntryID{Term: log.Start.Term, Index: log.Last}
	if n := len(log.Spans); n > 0 {
		last.Term = log.Spans[n-1].Term
	}
	return last
}

// incarnation returns the id of the cluster that goes on with this log. It
// follows from what the log holds, so that a recovery that was interrupted is
// finished by the next one, and from which directory it is, so that two
// recoveries of one lost cluster make two clusters that will not mix.
func incarnation(identity logstore.Identity, log raft.LogState) gossip.UUID {
	h := sha256.New()
	h.Write([]byte("balsa recover"))
	h.Write(identity.ClusterID[:])
	h.Write(identity.InstanceID[:])
	last := lastEntry(log)
	for _, n := range []uint64{uint64(identity.NodeID), uint64(last.Term), uint64(last.Index)} {
		h.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	var id gossip.UUID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80 // RFC 9562: version 8, made by its user's own rule
	id[8] = id[8]&0x3f | 0x80
	return id
}
