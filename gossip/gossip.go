package gossip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip is this server's part in the gossip of a cluster. All methods may be
// called from any goroutine.
type Gossip struct {
	config Config
	log    *slog.Logger
	view   *view
	list   *memberlist.Memberlist

	stop context.CancelFunc // ends the goroutines below
	wg   sync.WaitGroup     // rejoinLoop, reportLoop, ageLoop, and those that run errands

	// turn orders the changes of this server's own life: memberlist panics when
	// it is told to leave after it was shut down, and must not be told twice at
	// a time what to announce. Whoever puts the one token in may touch left and
	// closed. It is a channel because it is held while the network is waited
	// for.
	turn   chan struct{}
	left   bool
	closed bool
}

// Start opens the gossip port and begins to look for the others in the
// background. It does not wait for them: seeds that are down are tried again
// for as long as it takes. It fails when the configuration cannot work or the
// port cannot be opened. The context bounds only the look-up of host names
// during the call; [Gossip.Close] ends what was started.
func Start(ctx context.Context, config Config) (*Gossip, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	mc, err := config.memberlistConfig(ctx)
	if err != nil {
		return nil, err
	}
	var run runID
	rand.Read(run[:]) // never fails: the program would have been aborted
	v := newView(config.Name, config.meta(run), config.Generation, mc.RetransmitMult)
	d := delegate{view: v}
	mc.Delegate, mc.Events, mc.Alive, mc.Conflict = d, d, d, d
	mc.Logger = log.New(newLogWriter(config.Logger), "", 0)

	list, err := memberlist.Create(mc)
	if err != nil {
		return nil, explainBind(err, config.Bind)
	}
	background, stop := context.WithCancel(context.Background())
	g := &Gossip{config: config, log: config.Logger, view: v, list: list, stop: stop, turn: make(chan struct{}, 1)}
	g.wg.Go(func() { g.reportLoop(background) })
	g.wg.Go(func() { g.rejoinLoop(background) })
	g.wg.Go(func() { g.ageLoop(background) })
	for range errandRunners {
		g.wg.Go(func() { g.runErrands(background) })
	}
	return g, nil
}

// explainBind says what to do about the most common reason for a port not to
// open. memberlist hands on only the text of the system's error.
func explainBind(err error, bind string) error {
	if strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("gossip: port %s is in use by another process: stop it or choose another port: %w", bind, err)
	}
	return fmt.Errorf("gossip: cannot start on %s: %w", bind, err)
}

// Members returns every server that is known, this one included, in ascending
// order of ID. Servers that died or left stay in the list for a day. Two members
// can bear the same ID only while [Gossip.Conflicts] reports it.
func (g *Gossip) Members() []Member { return g.view.list() }

// Self returns this server as the others see it. Its GossipAddr is the one that
// was opened, if the system chose the port.
func (g *Gossip) Self() Member { return g.view.self() }

// Conflicts returns the contradictions that were seen within the last two
// minutes. A lasting one stays in the list.
func (g *Gossip) Conflicts() []Conflict { return g.view.listConflicts() }

// Watch returns a channel that receives a value after Members or Conflicts
// changed. One value may stand for many changes, so a reader looks at everything
// again. The caller calls stop when it no longer reads.
func (g *Gossip) Watch() (changed <-chan struct{}, stop func()) { return g.view.watch() }

// Address returns the RPC address of a server, as it announced it last. A server
// that looks dead still has one, because gossip may be wrong about it. It
// returns false if the server is unknown, or while two data directories claim
// the id: it is better to try an address from elsewhere then than to call the
// wrong one.
func (g *Gossip) Address(id uint64) (rpcAddr string, ok bool) { return g.view.address(id) }

// SetClusterID announces which cluster this server belongs to, once it has
// founded or joined it. From then on servers of other clusters are kept out, and
// reported by [Gossip.Conflicts].
func (g *Gossip) SetClusterID(id UUID) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	g.view.setCluster(id)
	if g.left || g.closed {
		return
	}
	// The announcement is on its way when the call returns. What the call could
	// wait for, until the time is up and with an error then, is only that it
	// has been sent often enough.
	_ = g.list.UpdateNode(time.Nanosecond)
}

// leavePatience bounds how long a leaving server waits for its announcement to
// go round.
const leavePatience = 5 * time.Second

// Leave tells the others that this server goes for good, so that they list it as
// left and not as dead. It waits until they have been told, no longer than until
// the context's deadline or for a few seconds; an error means that some may not
// know. There is no way back: a server that wants to be seen again starts anew.
// [Gossip.Close] must still be called. Leave does nothing if the server has left
// or was closed.
func (g *Gossip) Leave(ctx context.Context) error {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	if g.left || g.closed {
		return nil
	}
	g.left = true
	g.stop()
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()

	// First to each of the others directly that this is no death; see
	// departure.
	g.view.leave()
	_, others := g.view.living()
	unreached := g.join(ctx, others)

	deadline, _ := ctx.Deadline()
	// memberlist takes 0 for "without limit".
	if err := g.list.Leave(max(time.Until(deadline), time.Millisecond)); err != nil {
		return fmt.Errorf("gossip: leaving: %w", err)
	}
	if len(unreached) > 0 {
		return fmt.Errorf("gossip: leaving: %d servers could not be told and may list this one as dead", len(unreached))
	}
	return nil
}

// Close stops taking part and waits for the goroutines that Start started. It
// may have to wait some seconds for an attempt to reach somebody. Without
// [Gossip.Leave] before it, the others see a server that died. Close may be
// called again.
func (g *Gossip) Close() error {
	g.stop()
	g.turn <- struct{}{}
	var err error
	if !g.closed {
		g.closed = true
		err = g.list.Shutdown()
	}
	<-g.turn
	g.wg.Wait()
	if err != nil {
		return fmt.Errorf("gossip: closing: %w", err)
	}
	return nil
}

// errNoAnswer explains the most frequent riddle of a first set-up. memberlist
// checks the cluster name before anything else and hangs up without a word when
// it is not its own.
var errNoAnswer = errors.New("it hung up without an answer: most likely its cluster name is a different one")

// explainJoin makes a sentence of memberlist's error. memberlist hands on only
// the text of the underlying one.
func (g *Gossip) explainJoin(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // a list of one error, made for several lines
	}
	text := err.Error()
	for _, hangUp := range []string{"EOF", "closed pipe", "connection reset by peer", "broken pipe"} {
		if strings.HasSuffix(text, hangUp) {
			return fmt.Errorf("%w; this server's is %q", errNoAnswer, g.config.Cluster)
		}
	}
	return err
}
