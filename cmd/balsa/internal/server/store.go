package server

import (
	"context"

	"balsa/api"
	"balsa/api/wire"
	"balsa/kv"
)

// lateStore is the store of a server that may not be a member yet.
type lateStore struct{ *server }

var _ api.Store = lateStore{}

func (s lateStore) store() (*kv.Store, error) {
	if m := s.member.Load(); m != nil {
		return m.store, nil
	}
	return nil, wire.NewProblem(wire.NotAMember, "nothing was done, because this node takes no requests yet: "+s.waiting())
}

func (s lateStore) Put(ctx context.Context, key, value []byte) (kv.Result, error) {
	store, err := s.store()
	if err != nil {
		return kv.Result{}, err
	}
	return store.Put(ctx, key, value)
}

func (s lateStore) Delete(ctx context.Context, key []byte) (kv.Result, error) {
	store, err := s.store()
	if err != nil {
		return kv.Result{}, err
	}
	return store.Delete(ctx, key)
}

func (s lateStore) CompareAndSet(ctx context.Context, key []byte, expected uint64, value []byte) (kv.Result, error) {
	store, err := s.store()
	if err != nil {
		return kv.Result{}, err
	}
	return store.CompareAndSet(ctx, key, expected, value)
}

func (s lateStore) CompareAndDelete(ctx context.Context, key []byte, expected uint64) (kv.Result, error) {
	store, err := s.store()
	if err != nil {
		return kv.Result{}, err
	}
	return store.CompareAndDelete(ctx, key, expected)
}

func (s lateStore) Get(key []byte) (kv.Item, bool, error) {
	store, err := s.store()
	if err != nil {
		return kv.Item{}, false, err
	}
	return store.Get(key)
}

func (s lateStore) LinearizableGet(ctx context.Context, key []byte) (kv.Item, bool, error) {
	store, err := s.store()
	if err != nil {
		return kv.Item{}, false, err
	}
	return store.LinearizableGet(ctx, key)
}

func (s lateStore) LeaseGet(ctx context.Context, key []byte) (kv.Item, bool, error) {
	store, err := s.store()
	if err != nil {
		return kv.Item{}, false, err
	}
	return store.LeaseGet(ctx, key)
}
