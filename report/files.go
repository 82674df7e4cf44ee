package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/report/draw"
)

// The names of what is in the folder of a run.
const (
	PageFile    = "report.html"
	SummaryFile = "report.json"
	FiguresDir  = "figures"
)

// Formats are those of figures as files.
func Formats() []string { return []string{"svg", "png", "csv"} }

// FileOptions say how figures are written as files. The zero value is good.
type FileOptions struct {
	Formats []string // of Formats; nil: all, empty: none
	Theme   draw.Theme
	Fonts   []*draw.Font // of the characters that the figures' own font lacks, for PNG
}

// SaveFigures writes figures into dir, which it makes where it isn't: NAME.svg, NAME.png and NAME.csv of each, all whole or not
// there.
func SaveFigures(dir string, figures []*Figure, o FileOptions) error {
	if o.Formats == nil {
		o.Formats = Formats()
	}
	for _, format := range o.Formats {
		if !slices.Contains(Formats(), format) {
			return fmt.Errorf("format %q: want %s", format, strings.Join(Formats(), ", "))
		}
	}
	if len(o.Formats) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return files.PathError(err)
	}
	for _, f := range figures {
		for _, format := range o.Formats {
			path := filepath.Join(dir, fileName(f.Name)+"."+format)
			err := files.WriteFile(path, 0o666, func(w io.Writer) error {
				switch format {
				case "svg":
					_, err := io.WriteString(w, f.SVG(o.Theme))
					return err
				case "png":
					return f.WritePNG(w, draw.ImageOptions{Theme: o.Theme, Fonts: o.Fonts})
				}
				return f.Table.WriteCSV(w)
			})
			if err != nil {
				return files.PathError(err)
			}
		}
	}
	return nil
}

// fileName is a name that every system takes.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, name[:min(len(name), 80)])
}

// Summary is SummaryFile: what a page says, for programs.
type Summary struct {
	Title    string          `json:"title"`
	Facts    []SummaryFact   `json:"facts"`
	Warnings []string        `json:"warnings"`
	Figures  []SummaryFigure `json:"figures"`
}

// SummaryFact is a headline number as the page has it.
type SummaryFact struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Interval string `json:"interval,omitempty"`
}

// SummaryFigure is a figure of the page.
type SummaryFigure struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Finding string `json:"finding"`
}

// Summary sums the page up.
func (p *Page) Summary() Summary {
	s := Summary{Title: p.Title, Facts: []SummaryFact{}, Warnings: p.Warnings, Figures: []SummaryFigure{}}
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	for _, f := range p.Facts {
		s.Facts = append(s.Facts, SummaryFact(f))
	}
	for _, f := range p.Figures() {
		s.Figures = append(s.Figures, SummaryFigure{f.Name, f.Title, f.Finding})
	}
	return s
}

// SaveAll writes the page to a file, and beside it SummaryFile and the figures in FiguresDir.
func (p *Page) SaveAll(path string, o FileOptions) error {
	dir := filepath.Dir(path)
	if err := SaveFigures(filepath.Join(dir, FiguresDir), p.Figures(), o); err != nil {
		return err
	}
	if err := jsonobject.Save(filepath.Join(dir, SummaryFile), p.Summary()); err != nil {
		return err
	}
	return p.Save(path)
}
