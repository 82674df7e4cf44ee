package report

import (
	"errors"
	"fmt"
	"io"
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

// FigureFolder is a folder that figures are written into, one after the other.
type FigureFolder struct {
	dir     string
	options FileOptions
	release func() error
}

// OpenFigures makes the folder dir if it isn't there, takes it for this process, and removes what one that was killed left aside there.
func OpenFigures(dir string, o FileOptions) (*FigureFolder, error) {
	if o.Formats == nil {
		o.Formats = Formats()
	}
	for _, format := range o.Formats {
		if !slices.Contains(Formats(), format) {
			return nil, fmt.Errorf("format %q: want %s", format, strings.Join(Formats(), ", "))
		}
	}
	release, err := files.Claim(dir)
	if err != nil {
		return nil, err
	}
	return &FigureFolder{dir, o, release}, nil
}

// Save writes figures: NAME.svg, NAME.png and NAME.csv of each, all whole or not there.
func (d *FigureFolder) Save(figures ...*Figure) error {
	for _, f := range figures {
		for _, format := range d.options.Formats {
			if err := files.WriteFile(figurePath(d.dir, f, format), 0o666, func(w io.Writer) error { return f.write(w, format, d.options) }); err != nil {
				return files.PathError(err)
			}
		}
	}
	return nil
}

// Close gives the folder back.
func (d *FigureFolder) Close() error { return d.release() }

// SaveFigures writes figures into the folder dir. Without formats nothing is done.
func SaveFigures(dir string, figures []*Figure, o FileOptions) error {
	if o.Formats != nil && len(o.Formats) == 0 {
		return nil
	}
	d, err := OpenFigures(dir, o)
	if err != nil {
		return err
	}
	return errors.Join(d.Save(figures...), d.Close())
}

func figurePath(dir string, f *Figure, format string) string {
	return filepath.Join(dir, fileName(f.Name)+"."+format)
}

// write writes the figure in one of Formats.
func (f *Figure) write(w io.Writer, format string, o FileOptions) error {
	switch format {
	case "svg":
		_, err := io.WriteString(w, f.SVG(o.Theme))
		return err
	case "png":
		return f.WritePNG(w, draw.ImageOptions{Theme: o.Theme, Fonts: o.Fonts})
	}
	return f.Table.WriteCSV(w)
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
	return files.Beside(dir, []string{SummaryFile, filepath.Base(path)}, func() error {
		if err := jsonobject.Save(filepath.Join(dir, SummaryFile), p.Summary()); err != nil {
			return err
		}
		return p.Save(path)
	})
}
