package logstore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// What is done about a loss, when the store is opened and when damage is found.

// createWitness makes the witness of a new store.
func (s *Store) createWitness(id Identity, o Options) error {
	w, err := openWitness(s.files, witnessName(s.dir), o.LazyWitness)
	s.witness = w
	nothing := testimony{identity: w.said.identity}
	nothing.identity.ClusterID = [16]byte{}
	switch {
	case err == nil && w.said != nothing:
		return s.witnessError("knows of a log, which is gone")
	case err != nil && !errors.Is(err, errNoWitness) && !errors.Is(err, errUnreadableWitness):
		return fmt.Errorf("reading the witness %q: %w", w.name, err)
	}
	// If there was one, a crash has interrupted an earlier creation.
	w.remember(testimony{identity: id}, false)
	return w.attest()
}

// meetWitness opens the witness of a log whose records were read, and cuts the log
// where it is known to be damaged.
func (s *Store) meetWitness(o Options) error {
	w, err := openWitness(s.files, witnessName(s.dir), o.LazyWitness)
	s.witness = w
	switch {
	case errors.Is(err, errNoWitness), errors.Is(err, errUnreadableWitness):
		if !o.ForRecovery {
			return s.witnessError(err.Error())
		}
		w.known = testimony{identity: *s.identity.Load()}
		s.log.Warn("the witness of the log "+err.Error()+": whether this log is complete cannot be known", "file", w.name)
		return nil
	case err != nil:
		return fmt.Errorf("reading the witness %q: %w", w.name, err)
	}
	if w.torn {
		s.log.Warn("one of the two slots of the log's witness cannot be read, as after a crash; the other one counts", "file", w.name)
	}
	switch from := w.said.damaged; {
	case from == 0:
		return nil
	case from <= s.start.Load().Index: // it was compacted since
		return w.setDamaged(0)
	}
	return s.cut(w.said.damaged, o.ForRecovery)
}

func (s *Store) witnessError(problem string) error {
	return &WitnessError{Dir: s.dir, File: s.witness.name, Problem: problem}
}

// cut removes the entries from a damaged one on, which the leader then sends
// again. The witness still says where the log had ended, so the server knows what
// it lacks.
//
// Nobody could send them again if nobody else votes. Then what is behind the
// damage is all that is left of it, and it is for an operator to decide.
func (s *Store) cut(from raft.Index, recovery bool) error {
	if recovery {
		s.damaged = from // Recover will, if it comes to that
		return nil
	}
	others, err := s.othersVote()
	if err != nil {
		return err
	}
	if !others {
		return &CorruptError{Dir: s.dir, Index: from, Err: errDamaged, remedy: remedyAlone}
	}
	s.log.Warn("entries of the log are damaged: the log is cut there, and this node will receive them from the leader again",
		"file", s.dir, "entry", uint64(from))
	s.batch.Reset()
	s.stageCut(from)
	if err := s.commit(pebble.Sync); err != nil {
		return err
	}
	return s.witness.setDamaged(0)
}

var errDamaged = fmt.Errorf("%w: the entry was found damaged when it was read", raft.ErrCorrupt)

// stageCut removes everything that is stored for this index and above.
func (s *Store) stageCut(from raft.Index) {
	for _, prefix := range []byte{entryPrefix, configurationPrefix} {
		s.stageRangeDeletion(prefix, from, ^raft.Index(0))
	}
}

// reconcile settles who the store belongs to and what term and vote it has, if log
// and witness say different things, and makes both say the same.
//
// Whichever is newer is right, because both only ever go forward, and what they
// said before was true as well. In the same term one of them may know a vote that
// the other does not: a vote is never taken back within a term. The same holds for
// a promise.
func (s *Store) reconcile(o Options) error {
	last, err := s.lastID()
	if err != nil {
		return s.noteDamage(err)
	}
	log := testimony{identity: *s.identity.Load(), hard: s.hard, last: last}
	both := log
	said, _ := s.witness.current()
	if both.identity, err = s.newerIdentity(log, said); err != nil {
		return err
	}
	if both.hard, err = s.newerHardState(log.hard, said.hard); err != nil {
		return err
	}
	if older(last, said.last) {
		both.last = said.last // raft.New will notice
	}
	s.identity.Store(&both.identity)
	s.hard = both.hard
	s.witness.remember(both, false)
	if o.ForRecovery {
		return nil
	}
	if both.identity != log.identity || both.hard != log.hard {
		s.log.Warn("the log has lost what only its witness knows: the newest term, vote or cluster id",
			"file", s.dir, "term", uint64(both.hard.CurrentTerm), "stored", uint64(log.hard.CurrentTerm))
		s.batch.Reset()
		s.stageRecord(identityKey, encodeIdentity(both.identity))
		s.stageRecord(hardStateKey, encodeHardState(both.hard))
		if err := s.commit(pebble.Sync); err != nil {
			return err
		}
	}
	// The core takes all that it finds for durable, and may acknowledge it without
	// another write.
	return s.witness.attest()
}

// newerIdentity returns whose log it is. The instance never changes. The cluster
// changes when a server joins its first one, and when it is recovered, which
// begins a new term.
func (s *Store) newerIdentity(log, said testimony) (Identity, error) {
	a, b := log.identity, said.identity
	if a.NodeID != b.NodeID || a.InstanceID != b.InstanceID {
		return a, s.witnessError(fmt.Sprintf("is that of node %d, instance %s, and the log that of node %d, instance %s",
			uint64(b.NodeID), formatUUID(b.InstanceID), uint64(a.NodeID), formatUUID(a.InstanceID)))
	}
	none := [16]byte{}
	switch {
	case a.ClusterID == b.ClusterID, b.ClusterID == none, a.ClusterID != none && log.hard.CurrentTerm > said.hard.CurrentTerm:
		return a, nil
	case a.ClusterID == none, log.hard.CurrentTerm < said.hard.CurrentTerm:
		return b, nil
	}
	return a, s.witnessError(fmt.Sprintf("is that of cluster %s, and the log that of cluster %s",
		formatUUID(b.ClusterID), formatUUID(a.ClusterID)))
}

// newerHardState returns the newer of two, see reconcile.
func (s *Store) newerHardState(log, said raft.HardState) (raft.HardState, error) {
	switch {
	case log.CurrentTerm > said.CurrentTerm:
		return log, nil
	case log.CurrentTerm < said.CurrentTerm:
		return said, nil
	case log.VotedFor != raft.None && said.VotedFor != raft.None && log.VotedFor != said.VotedFor:
		return log, s.witnessError(fmt.Sprintf("knows a vote for %s in term %d, and the log one for %s",
			said.VotedFor, said.CurrentTerm, log.VotedFor))
	}
	log.VotedFor = max(log.VotedFor, said.VotedFor) // one of them is None, or they are equal
	log.Promised = log.Promised || said.Promised
	return log, nil
}

// lastID returns the entry that the log ends with.
func (s *Store) lastID() (raft.EntryID, error) {
	start, last := *s.start.Load(), raft.Index(s.last.Load())
	if last == start.Index {
		return start, nil
	}
	entries, err := s.readEntries(last, last, 0)
	if err != nil {
		return raft.EntryID{}, err
	}
	return entries[0].ID(), nil
}

// noteDamage is told what went wrong when an entry was read. If the entry is
// damaged, the store remembers that for the next time that it is opened, and the
// error says what will happen then. What Pebble reports is another matter: it does
// not say which entries are affected, and there may be more of it.
func (s *Store) noteDamage(err error) error {
	corrupt, ok := errors.AsType[*CorruptError](err)
	if !ok || corrupt.Index == 0 || !errors.Is(corrupt.Err, raft.ErrCorrupt) {
		return err
	}
	others, votersErr := s.othersVote()
	if votersErr != nil {
		return err
	}
	corrupt.remedy = remedyAlone
	if others {
		corrupt.remedy = remedyOthers
	}
	if known, _ := s.witness.current(); known.damaged == 0 || corrupt.Index < known.damaged {
		if err := s.witness.setDamaged(corrupt.Index); err != nil {
			return errors.Join(corrupt, err)
		}
	}
	return corrupt
}

// othersVote reports whether anybody else votes in the latest configuration that
// is stored.
func (s *Store) othersVote() (bool, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{configurationPrefix}, UpperBound: prefixEnd(configurationPrefix),
	})
	if err != nil {
		return false, s.readError(0, err)
	}
	defer it.Close()
	if !it.Last() {
		return false, s.readError(0, it.Error())
	}
	latest, err := configurationAt(it)
	if err != nil {
		return false, s.readError(latest.Index, err)
	}
	self := s.Identity()
	for _, m := range latest.Configuration.Members {
		if (m.Votes || m.VotedBefore) && m.ID != self.NodeID {
			return true, nil
		}
	}
	return false, nil
}
