package kv

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Readdress gives the state in dir, whose node must not be running, to another
// identity: the one that the node has in the new incarnation of its cluster,
// after a recovery from the loss of a majority. The Identity in opts is not
// looked at. A snapshot that was being received is dropped.
//
// After a crash the state has one identity or the other, and calling Readdress
// again completes it; if it is complete already, that does nothing. It fails with
// an error that wraps [ErrWrongIdentity] if the state is neither's.
func Readdress(dir string, from, to Identity, opts Options) error {
	fs := opts.FS
	if fs == nil {
		fs = vfs.Default
	}
	if store, err := pebble.Peek(dir, fs); err != nil || !store.Exists {
		return errors.Join(fmt.Errorf("kv: there is no state store in %s; check --data-dir", dir), err)
	}
	opts.Identity = from
	s, err := openStore(dir, opts)
	if err != nil {
		return err
	}
	if err := errors.Join(s.readdress(to), s.Close()); err != nil {
		return fmt.Errorf("kv: cannot give the state store in %s to %s: %w", dir, to, err)
	}
	return nil
}

func (s *State) readdress(to Identity) error {
	found, err := readIdentity(s.db)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return fmt.Errorf("%w: it is a Pebble store without an identity", ErrWrongIdentity)
	case err != nil:
		return err
	case found == to:
		return nil
	case found != s.identity:
		return fmt.Errorf("%w: it holds the state of %s, not of %s", ErrWrongIdentity, found, s.identity)
	}
	// What was received goes first: its tables hold the old identity.
	if err := s.receiver.clear(); err != nil {
		return err
	}
	return s.db.Set(identityKey, encodeIdentity(to), pebble.NoSync) // and Close flushes
}
