package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// Server answers requests with models. It is an http.Handler that binds nothing: see HTTPServer.
type Server struct {
	options  Options
	device   *bert.Device
	mux      *http.ServeMux
	registry registry
	bodies   atomic.Int64 // bytes of bodies that are held

	ctx    context.Context // of all calls
	cancel context.CancelCauseFunc
	start  sync.Once
	loaded chan struct{} // closed when all models are loaded or have failed
	work   sync.WaitGroup
}

// Dialects are the names of the dialects.
func Dialects() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// New makes a server. Nothing is loaded before Start.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, device: bert.ShareDevice(o.Threads), mux: http.NewServeMux(), loaded: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	if err := s.addRoutes(); err != nil {
		return nil, err
	}
	s.registry.anyName = o.AnyModelName
	for _, spec := range o.Models {
		spec.Name = cmp.Or(spec.Name, filepath.Base(filepath.Clean(spec.Path)))
		if slices.Contains(s.registry.names(), spec.Name) {
			return nil, fmt.Errorf("serve: two models of the name %s: name one of them otherwise", spec.Name)
		}
		s.registry.entries = append(s.registry.entries, &entry{spec: spec})
	}
	return s, nil
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
	for _, d := range dialects {
		if s.options.Dialects != nil && !slices.Contains(s.options.Dialects, d.name) && d != &probes {
			continue
		}
		for i := range d.routes {
			r := &d.routes[i]
			if slices.Contains(methods[r.pattern], r.method) {
				return fmt.Errorf("serve: two dialects have %s %s", r.method, r.pattern)
			}
			if methods[r.pattern] == nil {
				patterns = append(patterns, r.pattern)
			}
			methods[r.pattern] = append(methods[r.pattern], r.method)
			s.mux.HandleFunc(r.method+" "+s.options.URLPrefix+r.pattern, func(w http.ResponseWriter, q *http.Request) { s.serve(d, r, w, q) })
		}
	}
	for _, p := range patterns {
		allowed := strings.Join(methods[p], ", ")
		refuse := &route{pattern: p, open: true, handle: func(c *call) error {
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

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// serve answers a request to a route.
func (s *Server) serve(d *dialect, rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, dialect: d, route: rt, use: rt.use, start: time.Now()}
	c.ctx, c.cancel = context.WithCancelCause(r.Context())
	defer c.end()
	if err := rt.handle(c); err != nil {
		c.fail(err)
	}
}

// end lets go of what a call holds.
func (c *call) end() {
	c.cancel(nil)
	for _, m := range c.models {
		m.release()
	}
	c.s.bodies.Add(-c.held)
}

// Start begins to load the models, in their order, and returns. Wait waits for them. What began ends with Close, or with ctx.
func (s *Server) Start(ctx context.Context) {
	s.start.Do(func() {
		s.work.Go(func() {
			defer close(s.loaded)
			for _, e := range s.registry.entries {
				s.load(ctx, e)
			}
		})
	})
}

func (s *Server) load(ctx context.Context, e *entry) {
	shared, err := task.OpenShared(ctx, e.spec.Path, task.Options{Model: bert.Options{Device: s.device, Precision: e.spec.Precision}, Tokens: s.options.BatchTokens})
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	if err != nil {
		e.state, e.err = ModelFailed, err
		return
	}
	e.model = &model{name: e.spec.Name, spec: e.spec, shared: shared, loaded: time.Now(), users: 1, gone: func() { shared.Close() }}
	e.state = ModelReady
}

// Wait waits until all models are loaded, and returns the errors of those that failed.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-s.loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	var all []error
	for _, e := range s.registry.entries {
		if e.state == ModelFailed {
			all = append(all, fmt.Errorf("model %s: %w", e.spec.Name, e.err))
		}
	}
	return errors.Join(all...)
}

// Close ends all that the server does. Requests under way get the error Draining.
func (s *Server) Close() error {
	s.cancel(errDraining)
	s.work.Wait()
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	for _, e := range s.registry.entries {
		if e.model != nil {
			e.model.release()
			e.model = nil
		}
	}
	return nil
}

// HTTPServer is a server for s with bounds on what clients may take. The caller serves its listener.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
}

// Drain makes the server not ready, and after Options.DrainDelay refuses what comes and waits for what is under way.
func (s *Server) Drain(ctx context.Context) error { return nil }

// Reload loads the models anew.
func (s *Server) Reload(ctx context.Context) error { return nil }
