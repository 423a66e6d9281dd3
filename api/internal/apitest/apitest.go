// Package apitest has the store and the cluster that the tests of package api
// and of its client stand on: everything in memory, and every failure on
// command.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"balsa/kv"
)

// Store is a key-value store in memory. It obeys the contract of api.Store.
type Store struct {
	mu      sync.Mutex
	items   map[string]kv.Item
	index   uint64
	failure func(ctx context.Context) error
	calls   int
	leased  int
}

// FailWith makes every later call, local reads included, call f first and fail
// with what it returns, if that is not nil. A nil f ends that.
func (s *Store) FailWith(f func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = f
}

// Calls returns how many calls there were, failed ones included.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Leased returns how many calls of LeaseGet there were.
func (s *Store) Leased() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leased
}

func (s *Store) begin(ctx context.Context, key, value []byte) error {
	s.mu.Lock()
	s.calls++
	failure := s.failure
	s.mu.Unlock()
	if failure != nil {
		if err := failure(ctx); err != nil {
			return err
		}
	}
	switch {
	case len(key) == 0:
		return kv.ErrKeyEmpty
	case len(key) > kv.MaxKey:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", kv.ErrKeyTooLarge, len(key), kv.MaxKey)
	case len(value) > MaxValue:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", kv.ErrValueTooLarge, len(value), MaxValue)
	}
	return nil
}

// MaxValue is the length of the longest value that Store takes.
const MaxValue = 1 << 20

// Put implements api.Store.
func (s *Store) Put(ctx context.Context, key, value []byte) (kv.Result, error) {
	return s.change(ctx, key, value, nil)
}

// Delete implements api.Store.
func (s *Store) Delete(ctx context.Context, key []byte) (kv.Result, error) {
	return s.remove(ctx, key, nil)
}

// CompareAndSet implements api.Store.
func (s *Store) CompareAndSet(ctx context.Context, key []byte, expected uint64, value []byte) (kv.Result, error) {
	return s.change(ctx, key, value, &expected)
}

// CompareAndDelete implements api.Store.
func (s *Store) CompareAndDelete(ctx context.Context, key []byte, expected uint64) (kv.Result, error) {
	return s.remove(ctx, key, &expected)
}

func (s *Store) change(ctx context.Context, key, value []byte, expected *uint64) (kv.Result, error) {
	if err := s.begin(ctx, key, value); err != nil {
		return kv.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.compare(key, expected); err != nil {
		return kv.Result{}, err
	}
	s.index++
	if s.items == nil {
		s.items = map[string]kv.Item{}
	}
	s.items[string(key)] = kv.Item{Value: slices.Clone(value), Revision: s.index}
	return kv.Result{Revision: s.index}, nil
}

func (s *Store) remove(ctx context.Context, key []byte, expected *uint64) (kv.Result, error) {
	if err := s.begin(ctx, key, nil); err != nil {
		return kv.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.compare(key, expected); err != nil {
		return kv.Result{}, err
	}
	s.index++
	_, existed := s.items[string(key)]
	delete(s.items, string(key))
	return kv.Result{Revision: s.index, Existed: existed}, nil
}

func (s *Store) compare(key []byte, expected *uint64) error {
	actual := s.items[string(key)].Revision
	if expected != nil && *expected != actual {
		return &kv.ConflictError{Key: slices.Clone(key), Expected: *expected, Actual: actual}
	}
	return nil
}

// Get implements api.Store.
func (s *Store) Get(key []byte) (kv.Item, bool, error) {
	return s.LinearizableGet(context.Background(), key)
}

// LinearizableGet implements api.Store.
func (s *Store) LinearizableGet(ctx context.Context, key []byte) (kv.Item, bool, error) {
	if err := s.begin(ctx, key, nil); err != nil {
		return kv.Item{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	item, found := s.items[string(key)]
	item.Value = slices.Clone(item.Value)
	item.Applied = s.index
	return item, found, nil
}

// LeaseGet implements api.Store.
func (s *Store) LeaseGet(ctx context.Context, key []byte) (kv.Item, bool, error) {
	s.mu.Lock()
	s.leased++
	s.mu.Unlock()
	return s.LinearizableGet(ctx, key)
}
