package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-bert/bert/report"
)

//go:embed docs.html.tmpl
var docsText string

var docsTemplate = template.Must(template.New("docs").Parse(docsText))

// document is what the page shows of a description of an API (https://spec.openapis.org/oas/v3.1.1).
type document struct {
	Info       struct{ Title, Version, Description string }
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]json.RawMessage // by path and method, which has other keys beside
	Components struct {
		Schemas       map[string]*schema
		Parameters    map[string]*parameter
		Responses     map[string]*response
		RequestBodies map[string]*content
	}
}

type operation struct {
	Summary, Description string
	Tags                 []string
	Parameters           []*parameter
	RequestBody          *content
	Responses            map[string]*response
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                *schema
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]media
}

type content struct {
	Ref     string `json:"$ref"`
	Content map[string]media
}

type media struct {
	Schema   *schema
	Example  json.RawMessage
	Examples map[string]struct{ Value json.RawMessage }
}

// schema is what the page shows of a JSON Schema. Type is a name or a list of them.
type schema struct {
	Ref                 string `json:"$ref"`
	Type                any
	Format, Description string
	Properties          map[string]*schema
	Required            []string
	Items               *schema
	OneOf, AnyOf, AllOf []*schema
	Enum                []any
	Default             any
}

// docs shows the routes as the API describes them.
func (p *pages) docs(w http.ResponseWriter, r *http.Request) {
	page := &report.Page{Title: "The routes of this server", Generator: p.options.Version}
	var d document
	switch a := p.ask(r, "", http.MethodGet, openAPIPath, nil); {
	case a.status != http.StatusOK:
		page.Warnings = []string{a.failure()}
		write(w, page, a.status)
		return
	case json.Unmarshal(a.body.Bytes(), &d) != nil:
		page.Warnings = []string{"The description of the routes can't be read."}
		write(w, page, http.StatusInternalServerError)
		return
	}
	page.Lead = d.Info.Description
	page.Sections = d.sections(r.Host)
	write(w, page, http.StatusOK)
}

// methods are those of HTTP, in the order of the page.
var methods = []string{"get", "post", "put", "patch", "delete"}

// A route is an operation as the template takes it.
type route struct {
	Method, Path, Summary, Description string
	Parameters, Body                   []row
	Answers                            []row
	Example, Command                   string
	tag                                string
}

// A row is a line of a table of a route.
type row struct{ Name, Type, Description string }

// sections are the routes by their first tags, in the order of the document's.
func (d *document) sections(host string) []report.Section {
	var routes []route
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range methods {
			var o operation
			if text, ok := d.Paths[path][method]; ok && json.Unmarshal(text, &o) == nil {
				routes = append(routes, d.route(host, method, path, &o))
			}
		}
	}
	tags := make([]string, len(d.Tags))
	about := make(map[string]string)
	for i, t := range d.Tags {
		tags[i], about[t.Name] = t.Name, t.Description
	}
	for _, r := range routes {
		if !slices.Contains(tags, r.tag) {
			tags = append(tags, r.tag)
		}
	}
	var sections []report.Section
	for _, tag := range tags {
		var b bytes.Buffer
		for _, r := range routes {
			if r.tag != tag {
				continue
			}
			if err := docsTemplate.Execute(&b, r); err != nil {
				panic(err) // the template and what it is given are ours
			}
		}
		if b.Len() > 0 {
			sections = append(sections, report.Section{Title: cmp.Or(tag, "Others"), Text: about[tag], Body: template.HTML(b.String())})
		}
	}
	return sections
}

func (d *document) route(host, method, path string, o *operation) route {
	r := route{Method: strings.ToUpper(method), Path: path, Summary: o.Summary, Description: o.Description}
	if len(o.Tags) > 0 {
		r.tag = o.Tags[0]
	}
	for _, p := range o.Parameters {
		if p == nil {
			continue
		}
		if q := d.Components.Parameters[last(p.Ref)]; p.Ref != "" && q != nil {
			p = q
		}
		r.Parameters = append(r.Parameters, row{p.Name + optional(p.Required), p.In + ", " + d.typeOf(p.Schema, 0), p.Description})
	}
	if c := o.RequestBody; c != nil {
		if q := d.Components.RequestBodies[last(c.Ref)]; c.Ref != "" && q != nil {
			c = q
		}
		m := c.Content["application/json"]
		r.Body = d.properties(m.Schema, 0)
		r.Example = pretty(m.example())
	}
	for _, code := range slices.Sorted(maps.Keys(o.Responses)) {
		answer := o.Responses[code]
		if answer == nil {
			continue
		}
		if q := d.Components.Responses[last(answer.Ref)]; answer.Ref != "" && q != nil {
			answer = q
		}
		kind := ""
		for _, name := range slices.Sorted(maps.Keys(answer.Content)) {
			kind = strings.TrimPrefix(kind+", "+name, ", ")
		}
		if m, ok := answer.Content["application/json"]; ok {
			kind = d.typeOf(m.Schema, 0)
		}
		r.Answers = append(r.Answers, row{code, kind, answer.Description})
	}
	r.Command = "curl http://" + host + path
	if r.Example != "" {
		r.Command += " -H 'Content-Type: application/json' -d '" + strings.ReplaceAll(compact(r.Example), "'", `'\''`) + "'"
	} else if method == "post" {
		r.Command += " -d @body"
	}
	return r
}

// optional marks what need not be there.
func optional(required bool) string {
	if required {
		return ""
	}
	return " (optional)"
}

// last is the name in a reference: #/components/schemas/Name.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (m *media) example() json.RawMessage {
	if m.Example != nil {
		return m.Example
	}
	for _, name := range slices.Sorted(maps.Keys(m.Examples)) {
		return m.Examples[name].Value
	}
	return nil
}

func pretty(text json.RawMessage) string {
	var b bytes.Buffer
	if len(text) == 0 || json.Indent(&b, text, "", "  ") != nil {
		return ""
	}
	return b.String()
}

func compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}

// deepest is how far schemas are followed, which may refer to themselves.
const deepest = 5

// resolve follows references.
func (d *document) resolve(s *schema) *schema {
	for i := 0; s != nil && s.Ref != "" && i < deepest; i++ {
		s = d.Components.Schemas[last(s.Ref)]
	}
	return s
}

// properties are those of an object, of all of its alternatives.
func (d *document) properties(s *schema, depth int) []row {
	s = d.resolve(s)
	if s == nil || depth > deepest {
		return nil
	}
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		about := ""
		if r := d.resolve(p); r != nil {
			about = cmp.Or(p.Description, r.Description)
			if r.Default != nil {
				about += fmt.Sprintf(" (default %v)", r.Default)
			}
		}
		rows = append(rows, row{name + optional(slices.Contains(s.Required, name)), d.typeOf(p, 0), about})
	}
	for _, of := range slices.Concat(s.AllOf, s.OneOf, s.AnyOf) {
		for _, r := range d.properties(of, depth+1) {
			if !slices.ContainsFunc(rows, func(x row) bool { return x.Name == r.Name }) {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// typeOf is a type in words: a list of string, string or null.
func (d *document) typeOf(s *schema, depth int) string {
	s = d.resolve(s)
	if s == nil || depth > deepest {
		return "any"
	}
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, of := range slices.Concat(s.OneOf, s.AnyOf) {
		add(d.typeOf(of, depth+1))
	}
	types, _ := s.Type.([]any)
	if types == nil && s.Type != nil {
		types = []any{s.Type}
	}
	for _, t := range types {
		switch name := fmt.Sprint(t); {
		case name == "array":
			add("list of " + d.typeOf(s.Items, depth+1))
		case len(s.Enum) > 0:
			for _, value := range s.Enum {
				text, err := json.Marshal(value)
				if err == nil {
					add(string(text))
				}
			}
		default:
			add(name)
		}
	}
	if names == nil && (s.Properties != nil || s.AllOf != nil) {
		return "object"
	}
	return cmp.Or(strings.Join(names, " or "), "any")
}
