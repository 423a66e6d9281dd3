package gossip

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// tidyInterval is how often the table is searched for what is too old.
	tidyInterval = 5 * time.Second
	// reportPause is the least time between two looks at the table. When
	// hundreds of servers start, each of them is a change.
	reportPause = time.Second
)

// reportLoop logs what changes in the view, until ctx ends. The callbacks of
// memberlist do not log themselves, because a log that is slow to write would
// hold up memberlist.
func (g *Gossip) reportLoop(ctx context.Context) {
	changed, stop := g.Watch()
	defer stop()
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	r := reporter{log: g.log, self: g.config.Name}
	for {
		r.report(g.Members(), g.Conflicts())
		select {
		case <-changed:
		case <-ticker.C:
			g.view.tidy()
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(reportPause):
		case <-ctx.Done():
			return
		}
	}
}

// reporter remembers what the log has been told.
type reporter struct {
	log       *slog.Logger
	self      string
	members   map[string]Member
	conflicts map[conflictKey]Conflict
}

func (r *reporter) report(members []Member, conflicts []Conflict) {
	known := make(map[string]Member, len(members))
	for _, m := range members {
		known[m.Name] = m
		if m.Name != r.self {
			r.reportMember(r.members[m.Name], m)
		}
	}
	r.members = known

	seen := make(map[conflictKey]Conflict, len(conflicts))
	for _, c := range conflicts {
		key := conflictKey{c.Kind, c.Addr}
		seen[key] = c
		if _, told := r.conflicts[key]; !told {
			r.log.Error("gossip: "+c.Message, "conflict", string(c.Kind))
		}
	}
	for key, c := range r.conflicts {
		if _, lasts := seen[key]; !lasts {
			r.log.Info("gossip: conflict no longer seen", "conflict", string(c.Kind), "addr", c.Addr)
		}
	}
	r.conflicts = seen
}

func (r *reporter) reportMember(before, now Member) {
	if before.Status == now.Status && before.InstanceID == now.InstanceID && before.RPCAddr == now.RPCAddr {
		return
	}
	attrs := []any{"server", now.ID, "name", now.Name, "rpc", now.RPCAddr, "gossip", now.GossipAddr}
	switch now.Status {
	case StatusAlive:
		r.log.Info("gossip: server is alive", append(attrs, "instance", now.InstanceID)...)
	case StatusDead:
		r.log.Warn("gossip: server does not answer and counts as dead", attrs...)
	case StatusLeft:
		r.log.Info("gossip: server has left", attrs...)
	}
}

// logWriter receives memberlist's log, one line at a time, and hands it on with
// its level.
//
// Many of memberlist's lines are about what somebody sent, so whoever can reach
// the port could fill the disk with them. Above the level of debugging they are
// therefore rationed.
type logWriter struct {
	log *slog.Logger

	mu      sync.Mutex
	tokens  float64   // lines that may be written now
	at      time.Time // when tokens was last brought up to date
	dropped int
}

const (
	logBurst     = 20.0 // lines at once
	logPerSecond = 1.0  // lines in the long run
	maxLogLine   = 512  // bytes
)

func newLogWriter(log *slog.Logger) *logWriter {
	return &logWriter{log: log, tokens: logBurst, at: time.Now()}
}

// ownReports begin those lines that this package says better, and once: about
// claims on the same name, about servers that are kept out, and about attempts
// to reach somebody. That others still speak of this server's earlier run is no
// news at all after a restart.
var ownReports = []string{
	"Refuting an alive message for",
	"Conflicting address for",
	"ignoring alive message for",
	"failed to join",
}

// Write handles one line of memberlist's log, such as
//
//	[WARN] memberlist: Refuting a suspect message (from: n2)
func (w *logWriter) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line[:min(len(line), maxLogLine)]))
	level := slog.LevelInfo
	if tag, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(tag, "[") {
		level, text = levelOf(tag[1:]), rest
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	for _, prefix := range ownReports {
		if strings.HasPrefix(text, prefix) {
			level = slog.LevelDebug
		}
	}
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(line), nil
	}
	var attrs []any
	if level > slog.LevelDebug {
		dropped, ok := w.ration()
		if !ok {
			return len(line), nil
		}
		if dropped > 0 {
			attrs = append(attrs, "lines_dropped_before", dropped)
		}
	}
	w.log.Log(ctx, level, "memberlist: "+text, attrs...)
	return len(line), nil
}

// ration reports whether one more line may be written, and how many were
// dropped since the last one.
func (w *logWriter) ration() (dropped int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.tokens = min(logBurst, w.tokens+now.Sub(w.at).Seconds()*logPerSecond)
	w.at = now
	if w.tokens < 1 {
		w.dropped++
		return 0, false
	}
	w.tokens--
	dropped, w.dropped = w.dropped, 0
	return dropped, true
}

func levelOf(tag string) slog.Level {
	switch tag {
	case "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERR", "ERROR":
		return slog.LevelError
	}
	return slog.LevelInfo
}
