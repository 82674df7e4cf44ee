// Package web are the pages that a person sees who opens the address of a server of models in a browser: one on which each model can be
// tried, and the documentation of the routes. They are made of the drawings of package report, need nothing beside them, and work without
// scripts.
//
// A page asks what is tried of the server's own handler, by the routes that every client uses: keys, limits, scheduling and metrics are
// those of any request, and package serve knows nothing of pages.
package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-bert/bert/report"
)

// Options say what the pages are about.
type Options struct {
	// Keyed says that the server asks for a key. The page then asks for it before it shows a model.
	Keyed bool
	// Prefix is put before all paths, as serve.Options.URLPrefix is.
	Prefix string
	// Version names the program, such as bert v1.2.0.
	Version string
}

// The routes of the pages, and those of the API that they ask.
const (
	tryPath     = "/try"
	docsPath    = "/docs"
	openAPIPath = "/api-doc/openapi.json"
	modelsPath  = "/bert/v1/models"
)

// maxForm is the most bytes of a form.
const maxForm = 1 << 20

// New puts the pages before a handler: GET / of a browser, /try and GET /docs. All other requests are the handler's.
func New(api http.Handler, o Options) http.Handler {
	p := &pages{api: api, options: o, guard: http.NewCrossOriginProtection()}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		get := r.Method == http.MethodGet || r.Method == http.MethodHead
		path, ours := strings.CutPrefix(r.URL.Path, o.Prefix)
		switch {
		case !ours:
			api.ServeHTTP(w, r)
		case path == "/" && get && acceptsHTML(r):
			p.show(w, r, &view{}, http.StatusOK)
		case path == tryPath && get:
			http.Redirect(w, r, "./", http.StatusSeeOther)
		case path == tryPath && r.Method == http.MethodPost:
			p.try(w, r)
		case path == docsPath && get:
			p.docs(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

type pages struct {
	api     http.Handler
	options Options
	guard   *http.CrossOriginProtection
}

// acceptsHTML says that the request is a browser's: clients of the API send application/json or */*.
func acceptsHTML(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		if strings.Contains(accept, "text/html") {
			return true
		}
	}
	return false
}

// A view is what a page shows beside the forms.
type view struct {
	key    string     // that was given
	model  string     // that was tried
	task   string     // likewise
	form   url.Values // as it was sent
	answer report.Section
	failed string // why there is no answer
}

// try answers a form.
func (p *pages) try(w http.ResponseWriter, r *http.Request) {
	if err := p.guard.Check(r); err != nil {
		p.show(w, r, &view{failed: "The form came from another site."}, http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		status, why := http.StatusBadRequest, "The form can't be read."
		if errors.As(err, new(*http.MaxBytesError)) {
			status, why = http.StatusRequestEntityTooLarge, fmt.Sprintf("The form has more than %d bytes.", maxForm)
		}
		p.show(w, r, &view{failed: why}, status)
		return
	}
	v := &view{key: r.PostForm.Get("key"), model: r.PostForm.Get("model"), task: r.PostForm.Get("task"), form: r.PostForm}
	if v.task == "" {
		p.show(w, r, v, http.StatusOK)
		return
	}
	u := useNamed(v.task)
	list, refused := p.models(r, v.key)
	if known := slices.ContainsFunc(list, func(m model) bool { return m.Name == v.model && slices.Contains(m.tasks(), v.task) }); refused == nil && (u == nil || !known) {
		v.failed = "There is no such model, or it can't do this."
		p.show(w, r, v, http.StatusNotFound)
		return
	}
	if refused != nil {
		p.show(w, r, v, http.StatusOK) // which says why
		return
	}
	status := http.StatusOK
	answer, err := u.run(r.PostForm, func(path string, content any) ([]byte, error) {
		body, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		a := p.ask(r, v.key, http.MethodPost, path, body)
		if a.status != http.StatusOK {
			status = a.status
			return nil, errors.New(a.failure())
		}
		return a.body.Bytes(), nil
	})
	if err != nil {
		v.failed = err.Error()
		if status == http.StatusOK {
			status = http.StatusBadRequest
		}
	} else {
		v.answer = answer
	}
	p.show(w, r, v, status)
}

// An answer is what the API answered.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { a.WriteHeader(http.StatusOK); return a.body.Write(b) }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // others are informal
		a.status = status
	}
}

// ask sends a request to the API on behalf of another, and waits for the answer.
func (p *pages) ask(of *http.Request, key, method, path string, body []byte) *answer {
	r, path := of.Clone(of.Context()), p.options.Prefix+path
	r.Method, r.URL, r.RequestURI = method, &url.URL{Path: path}, path
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Form, r.PostForm, r.TransferEncoding = nil, nil, nil
	// Of the browser's headers those that say who asks, and of what the request is a part.
	r.Header = make(http.Header)
	for _, name := range []string{"Authorization", "Traceparent", "Tracestate", "X-Request-Id"} {
		if values := of.Header.Values(name); values != nil {
			r.Header[name] = values
		}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	a := &answer{header: make(http.Header)}
	p.api.ServeHTTP(a, r)
	a.WriteHeader(http.StatusOK)
	return a
}

// failure is what an answer other than 200 says.
func (a *answer) failure() string {
	var flat struct{ Error string }
	if json.Unmarshal(a.body.Bytes(), &flat) == nil && flat.Error != "" {
		return flat.Error
	}
	var nested struct{ Error struct{ Message string } }
	if json.Unmarshal(a.body.Bytes(), &nested) == nil && nested.Error.Message != "" {
		return nested.Error.Message
	}
	return fmt.Sprintf("The server answered %d %s.", a.status, http.StatusText(a.status))
}

// show writes the page of the models.
func (p *pages) show(w http.ResponseWriter, r *http.Request, v *view, status int) {
	page := &report.Page{Title: "bert", Generator: p.options.Version, Forms: true}
	if v.failed != "" {
		page.Warnings = []string{v.failed}
	}
	// What a page shows of a server with keys is for those who have one.
	list, refused := p.models(r, v.key)
	if p.options.Keyed && (refused != nil || v.key == "") {
		if refused != nil && v.key != "" {
			page.Warnings, status = append(page.Warnings, refused.failure()), refused.status
		} else if v.form != nil {
			status = http.StatusUnauthorized
		}
		page.Sections = []report.Section{{Title: "Key", Text: "The models of this server are for those who have a key.", Body: keyForm()}}
		write(w, page, status)
		return
	}
	if refused != nil {
		page.Warnings = append(page.Warnings, "The models can't be listed: "+refused.failure())
		status = refused.status
	}
	page.Lead = "Try the models that are served here. Clients use them by the routes of the documentation."
	for _, m := range list {
		s := report.Section{Title: m.Name, Text: m.about(), Body: forms(&m, v)}
		if m.Name == v.model && v.failed == "" {
			s.Figures, s.Tables, s.Examples = v.answer.Figures, v.answer.Tables, v.answer.Examples
		}
		page.Sections = append(page.Sections, s)
	}
	page.Sections = append(page.Sections, report.Section{Title: "Documentation", Body: docsLink})
	write(w, page, status)
}

// write sends a page, which nobody may keep or show as a part of another.
func write(w http.ResponseWriter, page *report.Page, status int) {
	var b bytes.Buffer
	if err := page.Write(&b); err != nil {
		http.Error(w, "the page can't be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "frame-ancestors 'none'") // the page has the rest, but this works in a header alone
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who has gone needs no page
}
