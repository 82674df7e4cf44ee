package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// newLogger returns a logger that writes lines for people to stderr: "bert VERB: message key=value". --quiet keeps only
// warnings and errors, --verbose adds details.
func newLogger(a *app) *slog.Logger { return slog.New(&logHandler{app: a, mu: new(sync.Mutex)}) }

type logHandler struct {
	app        *app
	mu         *sync.Mutex
	attributes string // of Logger.With
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	switch {
	case h.app.rank > 0: // the first rank says it
		return level >= slog.LevelError
	case h.app.quiet:
		return level >= slog.LevelWarn
	case h.app.verbose:
		return true
	}
	return level >= slog.LevelInfo
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(h.app.name() + ": ")
	if r.Level >= slog.LevelWarn {
		b.WriteString("warning: ")
	}
	b.WriteString(oneLine(r.Message) + h.attributes)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attribute(a))
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.app.stderr, b.String())
	return err
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	for _, a := range attrs {
		next.attributes += attribute(a)
	}
	return &next
}

// WithGroup does nothing: this program uses no groups.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

func attribute(a slog.Attr) string {
	value := a.Value.Resolve().String()
	if value == "" || strings.ContainsAny(value, " \t\n\"") {
		value = strconv.Quote(value)
	}
	return " " + a.Key + "=" + oneLine(value)
}
