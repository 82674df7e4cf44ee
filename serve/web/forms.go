package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"slices"

	"github.com/go-bert/bert/report"
)

//go:embed forms.html.tmpl
var formsText string

var formsTemplate = template.Must(template.New("forms").Parse(formsText))

// docsLink leads to the documentation of the routes.
const docsLink = template.HTML(`<p><a href="docs">The routes of this server</a>, which clients of other servers know.</p>`)

// A filled is a field of a form with its text.
type filled struct {
	field
	ID, Text string
}

// forms are the forms of what a model can do, with what was sent in them.
func forms(m *model, v *view) template.HTML {
	type form struct {
		*use
		Model, Key string
		Fields     []filled
	}
	var list []form
	tasks := m.tasks()
	for i := range uses {
		u := &uses[i]
		if !slices.Contains(tasks, u.Task) {
			continue
		}
		f := form{use: u, Model: m.Name, Key: v.key}
		for _, x := range u.Fields {
			text := x.Example
			if v.model == m.Name && v.task == u.Task {
				text = v.form.Get(x.Name)
			}
			f.Fields = append(f.Fields, filled{x, m.Name + "-" + u.Task + "-" + x.Name, text})
		}
		list = append(list, f)
	}
	return execute("models", list)
}

// keyForm asks for the key of the server.
func keyForm() template.HTML { return execute("key", nil) }

func execute(name string, content any) template.HTML {
	var b bytes.Buffer
	if err := formsTemplate.ExecuteTemplate(&b, name, content); err != nil {
		panic(err) // the template and what it is given are ours
	}
	return template.HTML(b.String())
}

// example is a section of one example.
func example(e report.Example) report.Section { return report.Section{Examples: []report.Example{e}} }
