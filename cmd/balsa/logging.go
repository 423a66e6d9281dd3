package main

import (
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// colorMode says whether output is coloured.
type colorMode = string

const (
	colorAuto   colorMode = "auto"
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

func colorFlag(flags *pflag.FlagSet, mode *colorMode, name, what string) {
	choiceFlag(flags, mode, name, "colour "+what+"; auto means on a terminal, unless $NO_COLOR is set",
		colorAuto, colorAlways, colorNever)
}

// colored decides for something that is written to w.
func colored(mode colorMode, w io.Writer) bool {
	switch mode {
	case colorAlways:
		return true
	case colorNever:
		return false
	}
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logSettings are the flags for a log.
type logSettings struct {
	level, format string
	color         colorMode
}

const (
	logText = "text"
	logJSON = "json"
)

func (s *logSettings) addFlags(flags *pflag.FlagSet) {
	choiceFlag(flags, &s.level, "log-level", "log this and what is more important", "info", "debug", "warn", "error")
	choiceFlag(flags, &s.format, "log-format", "how to write the log, which goes to stderr", logText, logJSON)
	colorFlag(flags, &s.color, "log-color", "the log, and shorten its times")
}

// logger returns a logger that writes to w. A coloured log is for somebody who
// watches it, and says only the time of day; any other is for keeping.
func (s *logSettings) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.level)) // the flag takes no other words
	if s.format == logJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	options := &tint.Options{Level: level, NoColor: true, TimeFormat: "2006-01-02T15:04:05.000Z07:00"}
	if colored(s.color, w) {
		options.NoColor, options.TimeFormat = false, time.TimeOnly+".000"
	}
	return slog.New(tint.NewTextHandler(w, options))
}
