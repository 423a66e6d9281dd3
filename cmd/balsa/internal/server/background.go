package server

import (
	"context"
	"sync"
)

// background is what a server does beside answering requests. Some of it begins
// late, when a request or a peer calls for it; nothing begins after the end.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	ended bool
	wg    sync.WaitGroup
}

func newBackground(ctx context.Context) *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return b
}

// run calls f in a goroutine of its own, with a context that ends with the
// server. It does nothing if that has ended.
func (b *background) run(f func(ctx context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.wg.Go(func() { f(b.ctx) })
	}
}

// end waits for everything.
func (b *background) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
}
