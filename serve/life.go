package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// Start begins to load the models, in their order, and returns; Wait waits for them. Loading ends early with ctx. What Start began,
// such as looking at the manifest, ends with Close.
func (s *Server) Start(ctx context.Context) {
	s.starting.Do(func() {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
		s.work.Go(func() {
			defer cancel(nil)
			defer stop()
			defer close(s.loaded)
			s.reloading.Lock()
			defer s.reloading.Unlock()
			for _, e := range s.registry.list() {
				if e.model == nil { // else a reload came first
					s.loadFirst(ctx, e)
				}
			}
		})
		if s.options.WatchInterval > 0 {
			s.work.Go(s.watch)
		}
	})
}

// loadFirst loads a model that nothing is known of yet.
func (s *Server) loadFirst(ctx context.Context, e *entry) {
	set := func(state ModelState, step string, m *model, err error) {
		s.registry.mu.Lock()
		defer s.registry.mu.Unlock()
		e.state, e.step, e.model, e.err = state, step, m, err
	}
	set(ModelLoading, "reading files", nil, nil)
	m, err := s.open(ctx, e.spec, nil, func(step string) { set(ModelLoading, step, nil, nil) })
	if err != nil {
		set(ModelFailed, "", nil, err)
		s.log.Error("model failed", "model", e.spec.Name, "path", e.spec.Path, "error", err)
		return
	}
	set(ModelReady, "", m, nil)
}

// open loads and warms a model. Where another name has the same files and precision, or one of others, it shares what that has loaded.
func (s *Server) open(ctx context.Context, spec ModelSpec, others []*model, step func(string)) (*model, error) {
	start := time.Now()
	digest, err := fingerprint(spec.Path)
	if err != nil {
		return nil, err
	}
	m := &model{name: spec.Name, spec: spec, digest: digest}
	m.users.Store(1)
	if other := s.registry.sharing(spec, digest, others); other != nil {
		m.shared, m.gone = other.shared, other.release // which is held until then
	} else {
		o := task.Options{
			Model: bert.Options{Device: s.device, Precision: spec.Precision}, Tokens: s.options.BatchTokens, Sessions: s.options.Batches,
			Turn: s.scheduler.turn,
			Loaded: func(report bert.LoadReport) {
				for _, note := range report.Assumed {
					s.log.Info("model note", "model", spec.Name, "note", note)
				}
			},
		}
		shared, err := task.OpenShared(ctx, spec.Path, o)
		if err != nil {
			return nil, err
		}
		m.shared = shared
		// It waits for the batches under way.
		m.gone = func() {
			s.closing.Go(func() {
				if err := shared.Close(); err != nil {
					s.log.Error("model did not close", "model", spec.Name, "error", err)
				}
			})
		}
	}
	if after, err := fingerprint(spec.Path); err != nil || after != digest {
		m.release()
		return nil, fmt.Errorf("%s: its files changed while they were read: try again when they are complete", spec.Path)
	}
	step("computing a first batch")
	if err := m.warm(ctx); err != nil {
		m.release()
		return nil, err
	}
	m.loaded = time.Now()
	for _, note := range m.notes() {
		s.log.Warn("model note", "model", spec.Name, "note", note)
	}
	s.log.Info("model ready", "model", spec.Name, "path", spec.Path, "device", m.shared.Model().Device(), "uses", fmt.Sprint(m.uses()),
		"took", m.loaded.Sub(start), "tokens_per_second", int(m.meter.rate()))
	return m, nil
}

// Wait waits until Start has loaded all models, and returns the errors of those that failed.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-s.loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	var all []error
	for _, m := range s.Models() {
		if m.State == ModelFailed {
			all = append(all, fmt.Errorf("model %s: %w", m.Name, m.Err))
		}
	}
	return errors.Join(all...)
}

// Reload looks at the manifest, the files of the models and the keys again. A model whose files or settings have changed is loaded,
// warmed and asked its probes beside the one that answers; when all that changed are ready, they take the places of the old ones, which
// end with the last request that they answer. If one of them can't be loaded, everything stays as it was, and that is the error.
func (s *Server) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	err := s.reload(ctx)
	if keyErr := s.keys.read(s.options.Keys, s.options.KeyFile); keyErr != nil {
		err = errors.Join(err, keyErr)
	}
	if err != nil {
		s.metrics.reloads.WithLabelValues("failed").Inc()
		s.log.Error("reload failed: all is served as before", "error", err)
	}
	return err
}

// reload is Reload of the models.
func (s *Server) reload(ctx context.Context) error {
	old := s.registry.list()
	var specs []ModelSpec
	if s.options.Manifest != "" {
		var err error
		if specs, err = readManifest(s.options.Manifest); err == nil {
			specs, err = named(specs)
		}
		if err != nil {
			return err
		}
	} else {
		for _, e := range old {
			specs = append(specs, e.spec)
		}
	}
	var (
		entries []*entry
		opened  []*model
		failed  []error
	)
	for _, spec := range specs {
		var before *entry
		if i := slices.IndexFunc(old, func(e *entry) bool { return e.spec.Name == spec.Name }); i >= 0 {
			before = old[i]
		}
		if before != nil && before.spec == spec && before.model != nil {
			if digest, err := fingerprint(spec.Path); err == nil && digest == before.model.digest {
				entries = append(entries, before)
				continue
			}
		}
		m, err := s.open(ctx, spec, opened, func(string) {})
		if err != nil {
			failed = append(failed, fmt.Errorf("model %s: %w", spec.Name, err))
			continue
		}
		opened = append(opened, m)
		entries = append(entries, &entry{spec: spec, state: ModelReady, model: m})
	}
	if len(failed) > 0 {
		for _, m := range opened {
			m.release()
		}
		return errors.Join(failed...)
	}
	s.registry.swap(entries)
	result := "unchanged"
	if len(opened) > 0 || len(entries) != len(old) {
		result = "swapped"
	}
	for _, e := range old {
		if !slices.Contains(entries, e) && e.model != nil {
			e.model.release()
		}
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
	s.log.Info("reload", "result", result, "loaded", len(opened), "models", len(entries))
	return nil
}

// watch reloads when the manifest or the file of keys has changed, and says so when a batch is stuck.
func (s *Server) watch() {
	ticker := time.NewTicker(s.options.WatchInterval)
	defer ticker.Stop()
	stamp := func() (t time.Time, size int64) {
		if info, err := os.Stat(s.options.Manifest); s.options.Manifest != "" && err == nil {
			return info.ModTime(), info.Size()
		}
		return
	}
	at, size := stamp()
	stuck := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		if t, n := stamp(); !t.IsZero() && (!t.Equal(at) || n != size) {
			at, size = t, n
			_ = s.Reload(s.ctx) // the log has the error
		}
		if path := s.options.KeyFile; path != "" {
			s.reloading.Lock()
			if s.keys.changed(path) {
				if err := s.keys.read(s.options.Keys, path); err != nil {
					s.log.Error("the file of keys can't be read: the keys stay as they were", "error", err)
				} else {
					s.log.Info("keys read", "path", path)
				}
			}
			s.reloading.Unlock()
		}
		if took := s.scheduler.stuck(); took > s.options.StuckAfter != stuck {
			if stuck = !stuck; stuck {
				s.log.Error("a batch is stuck: the server is not ready", "for", took)
			} else {
				s.log.Info("no batch is stuck any more")
			}
		}
	}
}

// Drain ends what the server does: it is not ready any more, and when Options.DrainDelay is over it refuses what comes and waits for
// what is under way. When ctx ends, that is canceled with the error Draining; then the error is ctx's. Close follows.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.log.Info("draining", "delay", s.options.DrainDelay)
	if d := s.options.DrainDelay; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	drained := s.calls.stop()
	select {
	case <-drained:
		s.log.Info("drained")
		return nil
	case <-ctx.Done():
	}
	s.calls.cancel(errDraining)
	<-drained
	s.log.Warn("drained: requests that were under way were given up")
	return context.Cause(ctx)
}

// Close ends all that the server does. Requests under way get the error Draining.
func (s *Server) Close() error {
	s.draining.Store(true)
	drained := s.calls.stop()
	s.calls.cancel(errDraining)
	s.cancel(errDraining)
	<-drained
	s.scheduler.close()
	s.work.Wait()
	for _, e := range s.registry.list() {
		if e.model != nil {
			e.model.release()
		}
	}
	s.registry.swap(nil)
	s.closing.Wait()
	return nil
}

// ModelStatus is what can be said of a name.
type ModelStatus struct {
	Name  string
	State ModelState
	Step  string // of ModelLoading, for people
	Err   error  // of ModelFailed
}

// Models are the names that are served, in their order.
func (s *Server) Models() []ModelStatus {
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	var list []ModelStatus
	for _, e := range s.registry.entries {
		list = append(list, ModelStatus{e.spec.Name, e.state, e.step, e.err})
	}
	return list
}

// Status says whether requests should be sent to the server.
type Status struct {
	Ready  bool
	Reason string // of one that is not ready, for people: a closed set of beginnings
	Models []ModelStatus
}

// Status is the server's.
func (s *Server) Status() Status {
	status := Status{Models: s.Models()}
	waiting, failed := 0, 0
	for _, m := range status.Models {
		switch m.State {
		case ModelWaiting, ModelLoading:
			waiting++
		case ModelFailed:
			failed++
		}
	}
	switch {
	case s.draining.Load():
		status.Reason = "draining"
	case waiting > 0:
		status.Reason = fmt.Sprintf("loading: %d of %d models are ready", len(status.Models)-waiting-failed, len(status.Models))
	case failed > 0:
		status.Reason = fmt.Sprintf("failed: %d of %d models could not be loaded", failed, len(status.Models))
	case s.scheduler.stuck() > s.options.StuckAfter:
		status.Reason = "stuck: a batch has been computed for " + s.scheduler.stuck().Round(time.Second).String()
	case s.scheduler.broken() != nil:
		status.Reason = "failing: the last batch failed"
		s.revive()
	default:
		status.Ready = true
	}
	return status
}

// revive computes a short batch, so that a server whose last batch failed is ready again if that was not for good: nobody sends requests
// to one that isn't.
func (s *Server) revive() {
	if s.reviving.Swap(true) {
		return
	}
	m, err := s.registry.find("", Embed)
	if err != nil {
		s.reviving.Store(false)
		return
	}
	s.closing.Go(func() {
		defer s.reviving.Store(false)
		defer m.release()
		ctx, cancel := context.WithTimeout(s.ctx, s.options.StuckAfter)
		defer cancel()
		if err := s.tryOne(ctx, m); err != nil {
			s.log.Error("the model still fails", "model", m.name, "error", err)
		} else {
			s.log.Info("the model answers again", "model", m.name)
		}
	})
}

// tryOne computes the shortest input by way of the queue.
func (s *Server) tryOne(ctx context.Context, m *model) error {
	l, err := m.lanes.get(m, m.vectors())
	if err != nil {
		return err
	}
	in := shortest()
	p, err := l.prepare(&in)
	if err != nil {
		return err
	}
	t, err := s.scheduler.submit(ctx, l, []request{{input: &p, cost: p.Cost()}}, submitOptions{stream: true})
	if err != nil {
		return err
	}
	return t.wait(ctx)
}
