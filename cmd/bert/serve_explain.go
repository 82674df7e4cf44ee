package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/go-bert/bert/serve"
)

// openAPIPath is where the server describes its routes.
const openAPIPath = "/api-doc/openapi.json"

// maxExplained bounds a body.
const maxExplained = 64 << 20

// explainedJSON is what becomes of a request at a route.
type explainedJSON struct {
	Route  string `json:"route"`
	Status int    `json:"status"`
	// Facts are those of the server's log: task, model, inputs, tokens, truncated, kind, error.
	Facts map[string]any `json:"facts"`
	// Answer is the beginning of the body.
	Answer string `json:"answer"`
}

// explainedFacts are the attributes of the log that say what a request was taken for.
var explainedFacts = []string{"dialect", "task", "model", "inputs", "tokens", "truncated", "kind", "error"}

// explainRequest sends a body from stdin to a server of the models, without a port, and shows what its routes make of it.
func (a *app) explainRequest(ctx context.Context, f *serveFlags) error {
	body, err := io.ReadAll(io.LimitReader(a.stdin, maxExplained+1))
	if err != nil {
		return err
	}
	if len(body) > maxExplained {
		return fmt.Errorf("the body has more than %d bytes", maxExplained)
	}
	facts := &factLog{}
	o := f.options
	o.Log, o.Keys, o.KeyFile = slog.New(facts), nil, ""
	s, err := serve.New(o)
	if err != nil {
		return err
	}
	defer s.Close()
	s.Start(ctx)
	if err := s.Wait(ctx); err != nil {
		return err
	}
	routes := []string{f.explain}
	if f.explain == allRoutes {
		if routes, err = postRoutes(ctx, s, f); err != nil {
			return err
		}
	} else if !strings.HasPrefix(f.explain, "/") {
		return usagef("--explain-request is %q, want a route, such as /embed", f.explain)
	}
	taken := 0
	for _, route := range routes {
		answer, err := send(ctx, s, http.MethodPost, o.URLPrefix+route, body)
		if err != nil {
			return err
		}
		x := explainedJSON{Route: route, Status: answer.code, Facts: facts.take(), Answer: beginning(answer.body.String())}
		if f.explain == allRoutes && !understood(x.Facts) {
			continue // the body is of another form
		}
		if x.Status == http.StatusOK {
			taken++
		}
		if err := jsonLine(a.stdout, x); err != nil {
			return err
		}
	}
	switch {
	case taken == 0 && f.explain == allRoutes:
		return fmt.Errorf("no route takes this body: name one, as in --explain-request=/embed, to see what is wrong with it")
	case taken == 0:
		return errors.New("the route refuses this body")
	}
	return nil
}

// understoodKinds are those of errors about what a body says, rather than about its form.
var understoodKinds = []any{"unknown_model", "too_many_inputs", "too_long", "bad_input", "wrong_task", "not_finite"}

// understood says that a route found something to do in a body.
func understood(facts map[string]any) bool {
	tokens, _ := facts["tokens"].(int64)
	return tokens > 0 || slices.Contains(understoodKinds, facts["kind"])
}

// beginning is that of a text.
func beginning(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// A recorder keeps an answer.
type recorder struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// send sends a request to a handler.
func send(ctx context.Context, h http.Handler, method, path string, body []byte) (*recorder, error) {
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	w := &recorder{header: make(http.Header)}
	h.ServeHTTP(w, r)
	return w, nil
}

// postRoutes are the routes that take a body, as the server describes them. Those for a model by its name are taken for the first.
func postRoutes(ctx context.Context, s *serve.Server, f *serveFlags) ([]string, error) {
	answer, err := send(ctx, s, http.MethodGet, f.options.URLPrefix+openAPIPath, nil)
	if err != nil {
		return nil, err
	}
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
			}
		}
	}
	if err := json.Unmarshal(answer.body.Bytes(), &d); err != nil || answer.code != http.StatusOK {
		return nil, errors.New("this server doesn't list its routes: name one, as in --explain-request=/embed")
	}
	var routes []string
	for path, methods := range d.Paths {
		if _, ok := methods["post"]; !ok || strings.Count(path, "{") > 1 {
			continue
		}
		if before, rest, ok := strings.Cut(path, "{"); ok {
			_, after, _ := strings.Cut(rest, "}")
			path = before + s.Models()[0].Name + after
		}
		routes = append(routes, path)
	}
	slices.Sort(routes)
	return routes, nil
}

// factLog keeps the attributes of the last request that a server logged.
type factLog struct{ facts map[string]any }

func (l *factLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *factLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *factLog) WithGroup(string) slog.Handler            { return l }

func (l *factLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "request" { // of the models
		return nil
	}
	l.facts = make(map[string]any)
	r.Attrs(func(at slog.Attr) bool {
		if slices.Contains(explainedFacts, at.Key) {
			l.facts[at.Key] = at.Value.Resolve().Any()
		}
		return true
	})
	return nil
}

// take returns what was kept.
func (l *factLog) take() map[string]any {
	facts := l.facts
	l.facts = nil
	return facts
}
