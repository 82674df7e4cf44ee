package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is what the headers of a request say that has nothing to do with models.

// requestID is what a client calls its request, if that can be in a header and a log, or a new id.
func requestID(given string) string {
	if n := len(given); n > 0 && n <= 128 && !strings.ContainsFunc(given, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return given
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // which never fails
	return hex.EncodeToString(b[:])
}

// isTraceParent reports whether s is what W3C's Trace Context, §3.2, has for traceparent: version, trace-id, parent-id and flags.
func isTraceParent(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 4 || parts[0] == "00" && len(parts) != 4 || parts[0] == "ff" || len(s) > 128 {
		return false
	}
	for i, n := range []int{2, 32, 16, 2} {
		if len(parts[i]) != n || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return false
		}
	}
	return strings.Trim(parts[1], "0") != "" && strings.Trim(parts[2], "0") != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// deadline bounds the call by Options.RequestTimeout, and by what the client or a proxy asks for: X-Request-Timeout, in seconds or as
// in 500ms, or X-Envoy-Expected-Rq-Timeout-Ms.
func (c *call) deadline() error {
	limit := c.s.options.RequestTimeout
	asked := func(name, value string, parse func(string) (time.Duration, error)) error {
		if value == "" {
			return nil
		}
		d, err := parse(value)
		if err != nil || d <= 0 {
			return errorf(BadRequest, "%s is %.40q, want a time above 0, in seconds or as in 500ms", name, value).param(name)
		}
		limit = min(limit, d)
		return nil
	}
	if err := asked("X-Request-Timeout", c.r.Header.Get("X-Request-Timeout"), parseSeconds); err != nil {
		return err
	}
	// A proxy's header is not the client's fault.
	_ = asked("", c.r.Header.Get("X-Envoy-Expected-Rq-Timeout-Ms"), func(s string) (time.Duration, error) { return time.ParseDuration(s + "ms") })
	var stop context.CancelFunc
	c.ctx, stop = context.WithTimeoutCause(c.ctx, limit, errDeadline)
	cancel := c.cancel
	c.cancel = func(cause error) {
		cancel(cause)
		stop()
	}
	return nil
}

// parseSeconds reads "2.5" as seconds, and what time.ParseDuration reads.
func parseSeconds(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f < 1e9 {
		return time.Duration(f * float64(time.Second)), nil
	}
	return time.ParseDuration(s)
}

// allowOrigin lets a web page read the answer, if it is one of Options.AllowOrigins.
func (c *call) allowOrigin() {
	origins := c.s.options.AllowOrigins
	origin := c.r.Header.Get("Origin")
	if origin == "" || origins == nil {
		return
	}
	h := c.w.Header()
	h.Add("Vary", "Origin")
	switch {
	case slices.Contains(origins, "*"):
		origin = "*"
	case !slices.Contains(origins, origin):
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Compute-Tokens, X-Total-Time, X-Tokenization-Time, X-Queue-Time, X-Inference-Time, X-Bert-Model, X-Bert-Truncated")
}

// preflight answers what a browser asks before a request.
func (c *call) preflight(methods string) error {
	h := c.w.Header()
	if h.Get("Access-Control-Allow-Origin") != "" && c.r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key, X-Request-Id, X-Request-Timeout, X-Priority, Traceparent")
		h.Set("Access-Control-Max-Age", "600")
	}
	return c.reply(http.StatusNoContent, "", nil)
}
