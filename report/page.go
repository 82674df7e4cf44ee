package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/report/draw"
)

// Page is an HTML page that needs nothing beside it: no other file, no network, and no scripts, though it has one. It shows texts
// as texts, whatever is in them.
type Page struct {
	Title    string
	Lead     string // below the title
	Facts    []Fact // the headline numbers
	Warnings []string
	Sections []Section
	// NoMenu leaves out the links to the sections.
	NoMenu bool
	// Generator names the program, such as bert v1.2.0.
	Generator string
	// Script is JavaScript that follows the page's own, and Data what it reads, as JSON, from the element with the id data. A page
	// has to say what it has to say without them.
	Script string
	Data   any
	// Forms lets the page's forms be sent to where the page comes from. Their class is try. Without it none can be sent.
	Forms bool

	compared []NamedTable // Facts, of several runs side by side
}

// Fact is a number of a page's head.
type Fact struct{ Name, Value, Interval string }

// Section is a part of a page: what it has of these comes in this order.
type Section struct {
	Title    string
	Text     string
	Figures  []*Figure
	Tables   []NamedTable
	Examples []Example
	// Body is HTML as it stands. Whoever makes it has escaped what is in it, as html/template does.
	Body template.HTML
}

// NamedTable is a table that belongs to no figure.
type NamedTable struct {
	Title string
	Table Table
}

// Example is an input with what a model says of it.
type Example struct {
	Head  string
	Lines []MarkedLine
	// Body is HTML as it stands, like that of a Section.
	Body   template.HTML
	Figure *Figure // nil: none
}

// MarkedLine is a text of which parts are marked.
type MarkedLine struct {
	Name  string // before it; "": nothing
	Marks []Mark
}

// Mark is a part of a text. One without a label is plain text.
type Mark struct {
	Text, Label string
	Paint       draw.Paint // a draw.Series
}

// firstMarks are marks of maxText characters at most, with a note of what is left out.
func firstMarks(marks []Mark) []Mark {
	left := maxText
	for i, m := range marks {
		if n := utf8.RuneCountInString(m.Text); n <= left {
			left -= n
			continue
		}
		all := 0
		for _, m := range marks {
			all += utf8.RuneCountInString(m.Text)
		}
		out := slices.Clone(marks[:i+1])
		out[i].Text = string([]rune(m.Text)[:left])
		return append(out, Mark{Text: fmt.Sprintf("… (cut: %s characters in all)", message.Thousands(all))})
	}
	return marks
}

// Class is the class of the style sheet that has the colour.
func (m Mark) Class() string {
	for i := range draw.SeriesColours {
		if m.Paint == draw.Series(i) {
			return fmt.Sprintf("m%d", i)
		}
	}
	return ""
}

// joined is words with blanks between them.
func joined(words []string) string { return strings.Join(words, " ") }

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// maxText is how many characters of a text a page shows.
const maxText = 2000

// cut is a text as a page shows it: what is longer than maxText is cut, with a note, and control characters become U+FFFD.
func cut(text string) string {
	out := text
	if len(text) > maxText {
		n, at := utf8.RuneCountInString(text), 0
		for i := range text {
			if at == maxText {
				out = text[:i] + fmt.Sprintf(" … (cut: %s characters in all)", message.Thousands(n))
				break
			}
			at++
		}
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(out, "\ufffd"))
}

// short is a text in an attribute or a title.
func short(text string) string {
	const most = 80
	text = cut(strings.Join(strings.Fields(text[:min(len(text), 8*most)]), " "))
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// style is the style sheet.
func style() string {
	var b strings.Builder
	light, dark := draw.Light.Variables()+"--link:#0060a0;--wrong:#b00020;", draw.Dark.Variables()+"--link:#7cc4f5;--wrong:#ff8a80;"
	fmt.Fprintf(&b, ":root{%scolor-scheme:light}\n", light)
	fmt.Fprintf(&b, "@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){%scolor-scheme:dark}}\n", dark)
	fmt.Fprintf(&b, "@media screen{:root[data-theme=dark]{%scolor-scheme:dark}}\n", dark)
	b.WriteString(draw.ClassRules())
	for i := range draw.SeriesColours {
		fmt.Fprintf(&b, ".m%d,.h%d{border-color:var(--series%d)}\n", i, i, i)
	}
	b.WriteString(signRules())
	b.WriteString(pageStyle)
	for w := leastWide; w <= mostWide; w += wideStep {
		least := w * 6 / 7
		if float64(w) <= figureWidth {
			least = 370
		}
		fmt.Fprintf(&b, "@media screen{.w%d svg{min-width:%dpx}}\n", w, least)
	}
	return b.String()
}

// Pictures of such widths, in steps, shrink to what can be read on a narrow screen: those of the usual width until a phone has room for
// them, wider ones to six sevenths. What still has no room scrolls.
const (
	leastWide = 450
	mostWide  = 1000
	wideStep  = 50
)

// wideClass is the class of a picture of a width; "" of a narrow one.
func wideClass(width float64) string {
	w := int(width) / wideStep * wideStep
	if w < leastWide {
		return ""
	}
	return fmt.Sprintf(" w%d", min(w, mostWide))
}

// picture is a figure of a page, with a number that no other of the page has.
type picture struct {
	*Figure
	ID  string
	SVG template.HTML
}

// tableCell and tableView are a table as the template takes it.
type tableCell struct {
	Text         string
	Number, User bool
}

type tableView struct {
	Name    string
	Columns []Column
	Rows    [][]tableCell
	Note    string
}

func newTableView(name string, t Table) tableView {
	v := tableView{Name: name, Columns: t.Columns, Note: t.Note}
	rows := t.Rows
	if t.Page != nil {
		rows = t.Page
		if t.PageColumns != nil {
			v.Columns = t.PageColumns
		}
	}
	for _, row := range rows {
		cells := make([]tableCell, len(row))
		for i, text := range row {
			cells[i] = tableCell{Text: text}
			if i < len(v.Columns) {
				cells[i].Number, cells[i].User = v.Columns[i].Number, v.Columns[i].Text
			}
			// A reader wants fewer digits than a program.
			if number, err := strconv.ParseFloat(text, 64); cells[i].Number && err == nil {
				cells[i].Text = draw.Number(number)
			}
		}
		v.Rows = append(v.Rows, cells)
	}
	return v
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	var (
		css    = style()
		script = pageScript + p.Script
		n      = 0
		answer livePage
	)
	if p.live() {
		script = pageScript + figuresScript + p.Script
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"cut": cut, "short": short, "rows": newTableView, "first": firstMarks, "wide": wideClass,
		"picture": func(f *Figure) picture {
			n++
			id := fmt.Sprintf("f%d", n)
			// The writer of SVG has escaped what is in it.
			svg := draw.SVG(f.Width, f.Height, draw.SVGOptions{Title: short(f.Title), Description: cut(f.Finding), Prefix: id + "-", Classes: true}, f.Draw)
			if f.live != nil {
				answer.add(id, f.live)
			}
			return picture{f, id, template.HTML(svg)}
		},
		"live": func() *livePage { // after all figures
			if len(answer.Figures) == 0 {
				return nil
			}
			return &answer
		},
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	formAction := "'none'"
	if p.Forms {
		formAction = "'self'"
	}
	policy := fmt.Sprintf("default-src 'none'; img-src data:; style-src '%s'; script-src '%s'; base-uri 'none'; form-action %s", hashSource(css), hashSource(script), formAction)
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Page   *Page
		Policy string
		Style  template.CSS
		Script template.JS
		// Compared are tables in place of the page's Facts.
		Compared []NamedTable
	}{p, policy, template.CSS(css), template.JS(script), p.compared})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// live says that a figure of the page has something for the script.
func (p *Page) live() bool {
	for _, s := range p.Sections {
		figures := s.Figures
		for _, e := range s.Examples {
			if e.Figure != nil {
				figures = append(slices.Clip(figures), e.Figure)
			}
		}
		if slices.ContainsFunc(figures, func(f *Figure) bool { return f.live != nil }) {
			return true
		}
	}
	return false
}

// hashSource is what a Content-Security-Policy allows an element by its content with.
func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Save writes the page to a file that is whole or not there.
func (p *Page) Save(path string) error {
	return files.Beside(filepath.Dir(path), []string{filepath.Base(path)}, func() error {
		return files.PathError(files.WriteFile(path, 0o666, p.Write))
	})
}

// Figures are those of the page, in order.
func (p *Page) Figures() []*Figure {
	var all []*Figure
	for _, s := range p.Sections {
		all = append(all, s.Figures...)
	}
	return all
}
