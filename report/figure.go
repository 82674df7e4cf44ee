// Package report makes pages and pictures of what runs and models found: one HTML file that needs nothing beside it, and its
// pictures as SVG, PNG and CSV.
//
// A picture is a [Figure]: what draws it, the numbers it is made of as a [Table], and what it shows in a sentence. There is a
// function for each kind of figure that makes one of numbers, such as [ConfusionFigure], [CurvesFigure] or [BarsFigure]. A [Page]
// is figures, tables and texts; Page.Write makes it HTML:
//
//	figure := report.ConfusionFigure(report.Confusion{Labels: labels, Counts: matrix})
//	page := report.Page{Title: "My model", Sections: []report.Section{{Title: "Errors", Figures: []*report.Figure{figure}}}}
//	err := page.Write(w)
//
// [Open] reads the folder of a run, finished or not, and [New] makes a Page of one or more of them. The same folders give the
// same bytes.
//
// Each kind of figure is a file; runs.go has the table of what is drawn of a run.
package report

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/go-bert/bert/report/draw"
)

// Figure is a picture with the numbers that it is made of.
type Figure struct {
	Name    string // of its files, such as confusion
	Title   string
	Finding string // what it shows, in a sentence
	Table   Table  // its numbers

	Width, Height float64 // pixels of CSS
	Draw          func(draw.Canvas)
	// Text draws it for a terminal of so many columns; nil: it has no such form.
	Text func(columns int) string

	live *live // what a page's script can do with it; nil: nothing
}

// Table is numbers and texts in columns.
type Table struct {
	Columns []Column
	Rows    [][]string
	// Page are the rows that a page shows in place of Rows, of a table too large for one; nil: all. The columns are PageColumns, or
	// Columns where that is nil.
	Page        [][]string
	PageColumns []Column
	Note        string // what a page says of the rows that it leaves out
}

// Column is the head of a column.
type Column struct {
	Name   string
	Number bool // set to the right
	Text   bool // texts of users, which may be long and in any script
}

// words and numbers make columns.
func words(names ...string) []Column {
	c := make([]Column, len(names))
	for i, n := range names {
		c[i].Name = n
	}
	return c
}

func numbers(names ...string) []Column {
	c := words(names...)
	for i := range c {
		c[i].Number = true
	}
	return c
}

// SVG is the figure as a file in a theme.
func (f *Figure) SVG(theme draw.Theme) string {
	return draw.SVG(f.Width, f.Height, draw.SVGOptions{Title: f.Title, Description: f.Finding, Theme: theme}, f.Draw)
}

// WritePNG writes the figure as a PNG.
func (f *Figure) WritePNG(w io.Writer, o draw.ImageOptions) error {
	return draw.WritePNG(w, f.Width, f.Height, o, f.Draw)
}

// WriteCSV writes the table: all of it, as RFC 4180 has it. A cell that a spreadsheet would take for a formula begins with an
// apostrophe.
func (t *Table) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		head[i] = column.Name
	}
	if err := c.Write(head); err != nil {
		return err
	}
	cells := make([]string, len(t.Columns))
	for _, row := range t.Rows {
		for i, cell := range row {
			if i < len(t.Columns) && !t.Columns[i].Number && cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				cell = "'" + cell
			}
			cells[i] = cell
		}
		if err := c.Write(cells[:len(row)]); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// The sizes of text in figures.
const (
	textSize  = 12.0
	smallSize = 11.0
)

// figureWidth is the width of a figure that needs no other: two stand side by side on a wide screen, and one on a phone can be
// read.
const figureWidth = 520.0
