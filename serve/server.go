package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-bert/bert"
)

// Server answers requests with models. It is an http.Handler that binds nothing: see HTTPServer.
type Server struct {
	options   Options
	log       *slog.Logger
	device    *bert.Device
	mux       *http.ServeMux
	registry  registry
	scheduler *scheduler
	metrics   *metrics
	keys      keyring

	bodies   atomic.Int64 // bytes of bodies that are held
	admitted atomic.Int64 // requests whose bodies have come
	calls    calls
	draining atomic.Bool
	reviving atomic.Bool

	ctx       context.Context // of all calls and batches
	cancel    context.CancelCauseFunc
	starting  sync.Once
	reloading sync.Mutex
	loaded    chan struct{}  // closed when all models are loaded or have failed
	work      sync.WaitGroup // what Start began
	closing   sync.WaitGroup // of models that nobody uses any more
}

// Dialects are the names of the dialects.
func Dialects() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// New makes a server. Nothing is loaded before Start. Close it when it is no longer needed.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	specs := o.Models
	if o.Manifest != "" {
		if specs, err = readManifest(o.Manifest); err != nil {
			return nil, err
		}
	}
	if specs, err = named(specs); err != nil {
		return nil, err
	}
	s := &Server{
		options: o, log: o.Log, device: bert.ShareDevice(o.Threads), mux: http.NewServeMux(), loaded: make(chan struct{}),
		metrics: newMetrics(o.Version, o.TEIMetrics),
	}
	if err := s.addRoutes(); err != nil {
		return nil, err
	}
	if err := s.keys.read(o.Keys, o.KeyFile); err != nil {
		return nil, err
	}
	s.registry.anyName = o.AnyModelName
	for _, spec := range specs {
		s.registry.entries = append(s.registry.entries, &entry{spec: spec})
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.scheduler = newScheduler(s.ctx, schedulerOptions{
		batches: o.Batches, batchTokens: o.BatchTokens, maxTokens: o.MaxQueueTokens, batchTime: o.BatchTime, maxWait: o.MaxQueueWait,
		bulkDelay: o.BulkDelay, sharing: !o.NoSharing, cache: newCache(o.CacheBytes), metrics: s.metrics,
		panicked: func(value any, stack []byte) {
			s.metrics.panics.Inc()
			s.log.Error("panic in a batch", "panic", fmt.Sprint(value), "stack", string(stack))
		},
	})
	s.metrics.watch(s)
	return s, nil
}

// named gives names to the models that have none.
func named(specs []ModelSpec) ([]ModelSpec, error) {
	specs = slices.Clone(specs)
	for i := range specs {
		s := &specs[i]
		s.Name = cmp.Or(s.Name, filepath.Base(filepath.Clean(s.Path)))
		if slices.ContainsFunc(specs[:i], func(other ModelSpec) bool { return other.Name == s.Name }) {
			return nil, fmt.Errorf("serve: two models of the name %s: name one of them otherwise", s.Name)
		}
		if s.MaxTokens < 0 || s.MaxTokens > 0 && s.MaxTokens < 3 {
			return nil, fmt.Errorf("serve: model %s: the most tokens are %d, want at least 3, or 0 for what the model takes", s.Name, s.MaxTokens)
		}
	}
	return specs, nil
}

// addRoutes fills the mux from the table of dialects.
func (s *Server) addRoutes() error {
	for _, name := range s.options.Dialects {
		if !slices.Contains(Dialects(), name) {
			return fmt.Errorf("serve: there is no dialect %q: want some of %s", name, strings.Join(Dialects(), ", "))
		}
	}
	methods := make(map[string][]string) // of a pattern
	var patterns []string
	add := func(d *dialect, r *route) error {
		if slices.Contains(methods[r.pattern], r.method) {
			return fmt.Errorf("serve: two dialects have %s %s", r.method, r.pattern)
		}
		if methods[r.pattern] == nil {
			patterns = append(patterns, r.pattern)
		}
		methods[r.pattern] = append(methods[r.pattern], r.method)
		s.mux.HandleFunc(r.method+" "+s.options.URLPrefix+r.pattern, func(w http.ResponseWriter, q *http.Request) { s.serve(d, r, w, q) })
		return nil
	}
	for _, d := range dialects {
		if s.options.Dialects != nil && !slices.Contains(s.options.Dialects, d.name) && d != &probes {
			continue
		}
		for i := range d.routes {
			if err := add(d, &d.routes[i]); err != nil {
				return err
			}
		}
	}
	if s.options.Profiling {
		if err := add(nil, &profiles); err != nil {
			return err
		}
	}
	for _, p := range patterns {
		allowed := strings.Join(methods[p], ", ")
		refuse := &route{pattern: p, open: true, handle: func(c *call) error {
			if c.r.Method == http.MethodOptions {
				c.w.Header().Set("Allow", allowed+", OPTIONS")
				return c.preflight(allowed)
			}
			c.w.Header().Set("Allow", allowed)
			return errorf(WrongMethod, "%s is for %s, not for %.20s", p, allowed, c.r.Method)
		}}
		s.mux.HandleFunc(s.options.URLPrefix+p, func(w http.ResponseWriter, q *http.Request) { s.serve(nil, refuse, w, q) })
	}
	nowhere := &route{pattern: "none", open: true, handle: func(c *call) error {
		return errorf(UnknownRoute, "there is nothing at this path")
	}}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) { s.serve(nil, nowhere, w, q) })
	return nil
}

// HTTPServer is a server for s with bounds on what clients may take. The caller lets it serve a listener, and shuts it down after Drain.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// serve answers a request to a route.
func (s *Server) serve(d *dialect, rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, dialect: d, route: rt, use: rt.use, start: time.Now()}
	h := w.Header()
	c.id = requestID(r.Header.Get("X-Request-Id"))
	h["X-Request-Id"] = []string{c.id}
	if c.trace = r.Header.Get("Traceparent"); isTraceParent(c.trace) {
		h["Traceparent"] = []string{c.trace}
	} else {
		c.trace = ""
	}
	c.ctx, c.cancel = context.WithCancelCause(r.Context())
	defer c.end()
	s.metrics.inflight.Inc()
	defer s.metrics.inflight.Dec()
	c.allowOrigin()
	c.boundBody()
	if !rt.open {
		if err := c.deadline(); err != nil {
			c.fail(err)
			return
		}
		if !s.calls.begin(c) {
			h.Set("Connection", "close")
			c.fail(&Error{Kind: Draining, Message: "the server is ending: try another one", Index: -1, RetryAfter: time.Second})
			return
		}
		defer s.calls.end(c)
		if err := c.authorize(); err != nil {
			c.fail(err)
			return
		}
	}
	if err := rt.handle(c); err != nil {
		c.fail(err)
	}
}

// end answers a call that panicked, lets go of what it holds, and tells metrics and log of it.
func (c *call) end() {
	broken := false
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			broken = true
		} else {
			c.s.metrics.panics.Inc()
			c.s.log.Error("panic in a request", "request_id", c.id, "route", c.route.pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			broken = c.status != 0
			c.fail(fmt.Errorf("panic: %v", p))
		}
	}
	c.cancel(nil)
	for _, m := range c.models {
		m.release()
	}
	if c.admitted {
		c.s.admitted.Add(-1)
	}
	c.s.bodies.Add(-c.held)
	c.freeBuffer()
	took := time.Since(c.start)
	c.s.metrics.call(c, took)
	c.record(took)
	if broken || c.abort { // what was written is not an answer
		panic(http.ErrAbortHandler)
	}
}

// record writes a line of the log.
func (c *call) record(took time.Duration) {
	level := slog.LevelInfo
	switch {
	case c.status >= 500 && c.failure != nil && c.failure.Kind != Draining && c.failure.Kind != Loading:
		level = slog.LevelError
	case c.route.open:
		level = slog.LevelDebug
	}
	if !c.s.log.Enabled(c.ctx, level) {
		return
	}
	f := &c.facts
	attributes := []slog.Attr{
		slog.String("request_id", c.id), slog.String("method", c.r.Method), slog.String("route", c.route.pattern), slog.Int("status", c.status),
		slog.Duration("took", took),
	}
	if c.trace != "" {
		attributes = append(attributes, slog.String("traceparent", c.trace))
	}
	if c.key != "" {
		attributes = append(attributes, slog.String("key", c.key))
	}
	if c.use != NoUse {
		attributes = append(attributes, slog.String("model", f.model), slog.String("task", c.use.String()), slog.Int("inputs", f.inputs),
			slog.Int("tokens", f.tokens), slog.Int("truncated", f.truncated), slog.Int("cached", f.cached), slog.Duration("tokenize", f.tokenize),
			slog.Duration("queue", f.queue), slog.Duration("compute", f.compute))
	}
	if e := c.failure; e != nil {
		attributes = append(attributes, slog.String("kind", e.Kind.String()), slog.String("error", e.Error()))
		if e.Cause != nil && e.Cause.Error() != e.Message {
			attributes = append(attributes, slog.String("cause", e.Cause.Error()))
		}
	}
	c.s.log.LogAttrs(c.ctx, level, "request", attributes...)
}

// calls are those under way, so that Drain can wait for them.
type calls struct {
	mu      sync.Mutex
	active  map[*call]struct{}
	refuse  bool
	drained chan struct{} // closed by the last of them, while Drain waits
}

// begin is false of a call that comes too late.
func (a *calls) begin(c *call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse {
		return false
	}
	if a.active == nil {
		a.active = make(map[*call]struct{})
	}
	a.active[c] = struct{}{}
	return true
}

func (a *calls) end(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.active, c)
	if len(a.active) == 0 && a.drained != nil {
		close(a.drained)
		a.drained = nil
	}
}

// stop refuses further calls, and returns what is closed when those under way have ended.
func (a *calls) stop() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = true
	drained := make(chan struct{})
	if len(a.active) == 0 {
		close(drained)
	} else {
		a.drained = drained
	}
	return drained
}

// cancel cancels all calls under way, also those whose body is still to come.
func (a *calls) cancel(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.active {
		c.cancel(cause)
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now())
	}
}
