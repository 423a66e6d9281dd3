package simulated_test

import (
	"context"
	"log/slog"
	"strings"

	"balsa/raft"
)

// handler writes what a server logs into the log of the run, and looks for what
// the judge wants to know.
type handler struct {
	p     *process
	attrs string
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs += " " + a.String()
	}
	return &with
}

func (h *handler) WithGroup(string) slog.Handler { return h }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if h.p.dead.Load() {
		return nil
	}
	line := r.Message + h.attrs
	r.Attrs(func(a slog.Attr) bool {
		if term, ok := a.Value.Any().(raft.Term); ok && strings.HasPrefix(r.Message, "raft: is leader") {
			h.p.w.judge.leads(h.p.id, term)
		}
		line += " " + a.String()
		return true
	})
	h.p.w.logf("n%d: %s", h.p.id, line)
	return nil
}
