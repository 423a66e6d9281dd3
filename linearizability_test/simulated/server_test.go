package simulated_test

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// server is a machine: one process after the other on what is left of a disk.
type server struct {
	w  *world
	id raft.NodeID

	mu      sync.Mutex
	current *process // nil while it is down
	// retired is closed when the server is not needed any more.
	retired    chan struct{}
	retireOnce sync.Once
	stop       chan time.Duration // asks for an orderly stop and a pause
	mem        *vfs.MemFS         // what is left of the disk, while no process has it
}

func (s *server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *server) retire() { s.retireOnce.Do(func() { close(s.retired) }) }

// run keeps the server running until it is retired or the world ends.
func (s *server) run() {
	w := s.w
	for {
		p, err := w.startProcess(s.id, newDisk(s.mem, w.source(), w.bugs.disksLie))
		if err != nil {
			w.violation("n%d does not start: %v", s.id, err)
			return
		}
		pause := s.live(p, w.upTo(w.plan.downtime))
		s.mem = p.remains
		select {
		case <-s.retired:
			return
		case <-w.over:
			return
		case <-time.After(pause):
		case <-w.healed:
		}
	}
}

// live waits until the process has ended, and ends what is left of it.
func (s *server) live(p *process, pause time.Duration) time.Duration {
	w := s.w
	s.mu.Lock()
	s.current = p
	s.mu.Unlock()
	w.net.attach(p)
	if w.healing.Load() {
		p.disk.mend() // it was not running yet when all the others were mended
	}
	w.background.Go(p.watch)
	select {
	case <-p.gone:
	case pause = <-s.stop:
		w.logf("n%d is stopped", s.id)
	case <-s.retired:
		w.logf("n%d is retired", s.id)
	case <-w.over:
	}
	p.stopping.Store(true)
	if !p.dead.Load() {
		p.disk.mend()
	}
	w.net.detach(p)
	s.mu.Lock()
	s.current = nil
	s.mu.Unlock()
	p.end()
	return pause
}
