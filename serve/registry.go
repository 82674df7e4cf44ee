package serve

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// registry is the models by their names, in the order of Options.
type registry struct {
	anyName bool

	mu      sync.RWMutex
	entries []*entry
}

// entry is a name with the model that it stands for at the moment.
type entry struct {
	spec  ModelSpec
	state ModelState
	step  string // of loading
	err   error  // of ModelFailed; of ModelReady, why the last reload was given up
	model *model // of ModelReady
}

// ModelState is what can be said of a name.
type ModelState uint8

const (
	// ModelWaiting: others are loaded first.
	ModelWaiting ModelState = iota
	// ModelLoading: it is being loaded for the first time.
	ModelLoading
	// ModelReady: it answers.
	ModelReady
	// ModelFailed: it could not be loaded.
	ModelFailed
)

var modelStates = [...]string{ModelWaiting: "waiting", ModelLoading: "loading", ModelReady: "ready", ModelFailed: "failed"}

func (s ModelState) String() string { return modelStates[s] }

// find is the model of a name for a use, held for the caller, who releases it.
func (g *registry) find(name string, u Use) (*model, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	e, err := g.entry(name, u)
	switch {
	case err != nil:
		return nil, err
	case e.state == ModelFailed:
		return nil, &Error{Kind: Loading, Message: "the model " + e.spec.Name + " could not be loaded: the server's log says why", Index: -1, Cause: e.err}
	case e.model == nil || !e.model.hold():
		return nil, &Error{Kind: Loading, Message: "the model " + e.spec.Name + " is not loaded yet", Index: -1, RetryAfter: time.Second}
	}
	return e.model, nil
}

func (g *registry) entry(name string, u Use) (*entry, error) {
	if name != "" {
		if i := slices.IndexFunc(g.entries, func(e *entry) bool { return e.spec.Name == name }); i >= 0 {
			return g.entries[i], nil
		}
		if !g.anyName {
			return nil, errorf(UnknownModel, "there is no model %.100q: want %s", name, strings.Join(g.names(), ", ")).param("model")
		}
	}
	// The first that was made for the use; else the first that can do it; else the first.
	var able *entry
	for _, e := range g.entries {
		if e.model == nil || e.model.can(u) != nil {
			continue
		}
		if made := u.info().made; made == nil || made(e.model.description()) {
			return e, nil
		}
		if able == nil {
			able = e
		}
	}
	// While models are loaded it isn't known which of them could.
	if i := slices.IndexFunc(g.entries, func(e *entry) bool { return e.state < ModelReady }); i >= 0 && able == nil {
		return g.entries[i], nil
	}
	if able == nil && len(g.entries) > 0 {
		able = g.entries[0]
	}
	if able == nil {
		return nil, errorf(Draining, "the server has ended")
	}
	return able, nil
}

// names are those of the models.
func (g *registry) names() []string {
	names := make([]string, len(g.entries))
	for i, e := range g.entries {
		names[i] = e.spec.Name
	}
	return names
}

// list is the entries at the moment.
func (g *registry) list() []*entry {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.entries)
}

// swap puts others in their place.
func (g *registry) swap(entries []*entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entries = entries
}

// sharing is a model of the same files and precision, held for the caller; nil: there is none.
func (g *registry) sharing(spec ModelSpec, digest string, others []*model) *model {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, e := range g.entries {
		others = append(others[:len(others):len(others)], e.model)
	}
	for _, m := range others {
		if m != nil && m.digest == digest && m.spec.Precision == spec.Precision && m.hold() {
			return m
		}
	}
	return nil
}
