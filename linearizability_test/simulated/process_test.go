package simulated_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/kv"
	"balsa/raft"
	"balsa/raft/logstore"
	"balsa/raft/node"
)

// process is one life of a server, put together as cmd/balsa does.
//
// A process that is killed cannot be stopped in its tracks: its goroutines are
// ours. Instead it is cut off from the world at that moment, first, and then a
// copy is made of what is left of its disk. What it does after that nobody sees.
// Whoever has heard from it before that can rely on what it said being in the
// copy.
type process struct {
	w    *world
	id   raft.NodeID
	disk *disk

	log   *logstore.Store
	state *kv.State
	node  *node.Node
	store *kv.Store

	// dead says that nobody sees any more what the process does; then gone is
	// closed, and remains is what is left of the disk.
	dead    atomic.Bool
	gone    chan struct{}
	remains *vfs.MemFS
	// struck is set when the disk has failed, and returns what is left of it when
	// the process ends because of that. Until it notices it goes on.
	struck atomic.Pointer[func() *vfs.MemFS]

	stopping atomic.Bool
	saving   atomic.Int64 // calls of Save under way
	slow     atomic.Int64 // how long a write takes at most, in nanoseconds
}

// testCluster is the cluster that all servers belong to.
var testCluster = [16]byte{0xba, 0x15, 0xa}

// startProcess starts a process on a disk. Nothing on it fails before it runs,
// but the power may fail while it starts.
func (w *world) startProcess(id raft.NodeID, d *disk) (*process, error) {
	p := &process{w: w, id: id, disk: d, gone: make(chan struct{})}
	if !w.healing.Load() && w.below(6) == 0 {
		// All of what was not synced survives, or none: when Pebble opens a store it
		// counts on the order in which names appear in a directory, as file systems
		// with a journal keep it.
		p.trapCrash("", w.below(60), 100*w.below(2))
	}
	logger := slog.New(&handler{p: p})
	var err error
	p.log, err = logstore.Open("data/log", logstore.Options{
		NodeID: id, Logger: logger, FS: d.fs, Fatal: func(message string) { p.fatal(message) },
	})
	if err != nil {
		return p, err
	}
	p.state, err = kv.OpenState("data/state", kv.Options{
		Identity: kv.Identity{Cluster: testCluster, Node: id}, FS: d.fs, Logger: logger,
		Fatal:      func(err error) { p.fatal(err.Error()) },
		CacheBytes: 1 << 20, MemTableBytes: w.plan.memTable,
	})
	if err != nil {
		return p, errors.Join(err, p.log.Close())
	}
	p.checkState()
	p.node, err = node.Start(node.Config{
		ID: id, Instance: p.log.Identity().InstanceID,
		Log: logOf{p.log, p}, StateMachine: machineOf{p.state, p}, Transport: transport{p}, Logger: logger,
		TailEntries: w.plan.tail, TailBytes: w.plan.tailBytes,
		MaxLogEntries: w.plan.maxLog, Limits: w.plan.limits,
		IgnoreConnectionLoss: w.plan.ignoreConnectionLoss,
	})
	if err != nil {
		return p, errors.Join(err, p.state.Close(), p.log.Close())
	}
	p.store = kv.NewStore(p.state, p.node, transport{p}, kv.StoreOptions{Timeout: requestTimeout})
	return p, nil
}

// crash ends the process. So many percent of what has not been synced survive.
func (p *process) crash(unsyncedPercent int) {
	p.die(func() *vfs.MemFS { return p.disk.clone(p.w.bugs.unsynced(unsyncedPercent)) })
}

func (p *process) die(remains func() *vfs.MemFS) bool {
	if !p.dead.CompareAndSwap(false, true) {
		return false
	}
	if p.saving.Load() > 0 {
		p.w.seen.crashesInSave.Add(1)
	}
	p.w.seen.crashes.Add(1)
	p.disk.mend() // the rest of the goroutines may end in peace
	p.remains = remains()
	close(p.gone)
	return true
}

// strike takes note that an operation on the disk fails. If it is one of the log,
// what is left of it is decided now: whatever the process acknowledges from here
// on, it must not rely on anything that it writes from here on. The log goes on
// while the state fails, and so does what it acknowledges.
func (p *process) strike(path string, unsyncedPercent int, err error) {
	remains := func() *vfs.MemFS { return p.disk.clone(p.w.bugs.unsynced(unsyncedPercent)) }
	if strings.Contains(path, "data/log") {
		now := remains()
		remains = func() *vfs.MemFS { return now }
	}
	if !p.struck.CompareAndSwap(nil, &remains) {
		return
	}
	p.w.logf("n%d: %v", p.id, err)
	p.w.background.Go(func() {
		select {
		case <-p.gone:
		case <-time.After(10 * time.Second):
			p.w.violation("n%d went on after its disk had failed: %v", p.id, err)
			p.crash(100)
		}
	})
}

// fatal is where a real process exits. What has failed is the disk, and only if
// we have made it fail.
func (p *process) fatal(message string) {
	remains := p.struck.Load()
	if remains == nil {
		p.w.violation("n%d ended itself: %s", p.id, message)
		p.crash(100)
		return
	}
	if p.die(*remains) {
		p.w.logf("n%d ends itself: %s", p.id, message)
		p.w.seen.diskFailures.Add(1)
	}
}

// watch reports a node that stops by itself. If its disk has failed, it must.
func (p *process) watch() {
	select {
	case <-p.node.Done():
	case <-p.gone:
		return
	}
	if p.stopping.Load() || p.dead.Load() {
		return
	}
	if remains := p.struck.Load(); remains != nil {
		p.w.logf("n%d stops by itself: %v", p.id, p.node.Err())
		p.die(*remains)
		return
	}
	p.w.violation("n%d stopped by itself: %v", p.id, p.node.Err())
	p.crash(100)
}

// end ends all goroutines of the process: one that is alive in order, like an
// operator, one that is dead because this program lives on.
func (p *process) end() {
	p.stopping.Store(true)
	err := errors.Join(p.node.Stop(), p.state.Close(), p.log.Close())
	if remains := p.struck.Load(); remains != nil {
		p.die(*remains)
	}
	if p.dead.CompareAndSwap(false, true) {
		if err != nil {
			p.w.violation("n%d did not stop in order: %v", p.id, err)
		}
		p.remains = p.disk.mem
		close(p.gone)
		return
	}
	<-p.gone
	if strings.Contains(fmt.Sprint(err), "the log store in") {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.w.leaked = append(p.w.leaked, p)
	}
}

// wait waits for a slow disk.
func (p *process) wait() {
	longest := time.Duration(p.slow.Load())
	if longest == 0 {
		return
	}
	select {
	case <-time.After(p.w.upTo(longest)):
	case <-p.gone:
	}
}

// logOf is the log of a process: the real one, on a disk that may be slow. The
// wait is here and not in the file system, because there it would be spent with
// locks of Pebble's held, and time stands still in a bubble while somebody waits
// for a lock.
type logOf struct {
	*logstore.Store
	p *process
}

func (l logOf) Save(writes []raft.Write) error {
	l.p.saving.Add(1)
	defer l.p.saving.Add(-1)
	l.p.wait()
	err := l.Store.Save(writes)
	l.p.wait()
	return err
}

// machineOf is the state of a process, watched by the judge.
type machineOf struct {
	*kv.State
	p *process
}

func (m machineOf) Apply(entries []raft.Entry) ([]any, error) {
	m.p.wait()
	results, err := m.State.Apply(m.p.w.bugs.applied(m.p.id, entries))
	if err == nil {
		m.p.w.judge.applied(m.p, entries)
	}
	return results, err
}

func (m machineOf) Install(sink node.SnapshotSink) error {
	if err := m.State.Install(sink); err != nil {
		return err
	}
	m.p.w.seen.snapshots.Add(1)
	m.p.checkState()
	if !m.p.w.healing.Load() && m.p.w.below(4) == 0 {
		// The state is the snapshot's, and the log does not know it yet.
		m.p.trapCrash("data/log", m.p.w.below(2), m.p.w.unsynced())
	}
	return nil
}

// trapCrash cuts the power at one of the next operations on the disk.
func (p *process) trapCrash(part string, after, unsyncedPercent int) {
	p.disk.set(&trap{part: part, after: after, spring: func(op errorfs.Op) error {
		p.w.logf("n%d loses power before operation %d on %s; %d %% of the unsynced survives", p.id, op.Kind, op.Path, unsyncedPercent)
		p.w.seen.crashesAtWrite.Add(1)
		p.crash(unsyncedPercent)
		return nil
	}})
}

// trapFailure makes one of the next operations on the disk fail.
func (p *process) trapFailure(part string, after, unsyncedPercent int, cause error) {
	p.disk.set(&trap{part: part, after: after, meant: mayFail, spring: func(op errorfs.Op) error {
		err := &fs.PathError{Op: "operation " + strconv.Itoa(int(op.Kind)), Path: op.Path, Err: cause}
		if strings.Contains(op.Path, "received") {
			p.w.logf("n%d: %v", p.id, err) // a snapshot that arrives is not the state yet
			p.w.seen.failuresInReceived.Add(1)
		} else {
			p.strike(op.Path, unsyncedPercent, err)
		}
		return err
	}})
}
