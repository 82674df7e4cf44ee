package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen describes where text is printed: its width in cells, and whether it shows colours.
type screen struct {
	width int
	color bool
}

// defaultWidth is the width of tables that are not printed on a terminal.
const defaultWidth = 80

func screenOf(w io.Writer) screen {
	s := screen{width: defaultWidth}
	if !isTerminal(w) {
		return s
	}
	if width, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && width > 0 {
		s.width = max(width, 40)
	}
	// https://no-color.org: any value turns colours off.
	s.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// Parameters of SGR, ECMA-48 §8.3.117.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (s screen) style(style, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// bar draws a share from 0 to 1 as a bar, to an eighth of a cell, padded with blanks to width cells.
func bar(share float64, width int) string {
	eighths := 0
	if share > 0 { // not NaN
		eighths = int(math.Round(min(share, 1) * float64(8*width)))
	}
	full := eighths / 8
	out := strings.Repeat("█", full)
	if rest := eighths % 8; rest > 0 {
		out += string([]rune("▏▎▍▌▋▊▉")[rest-1])
		full++
	}
	return out + strings.Repeat(" ", width-full)
}

// isControl reports whether a terminal might act on a character instead of showing it: control characters, and the format
// characters that change the direction of text.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == unicode.ReplacementChar || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// visible makes text safe for a terminal: a blank for each white-space character, � for control characters and invalid UTF-8.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case isControl(r):
			return '�'
		}
		return r
	}, text)
}

// fit pads or truncates text to width cells; an ellipsis marks what was cut. CJK characters take two cells.
func fit(text string, width int) string {
	if runewidth.StringWidth(text) > width {
		text = runewidth.Truncate(text, width, "…")
	}
	return runewidth.FillRight(text, width)
}

// fitLeft pads text to width cells on its left.
func fitLeft(text string, width int) string { return runewidth.FillLeft(text, width) }

// cells returns the width of text on a terminal.
func cells(text string) int { return runewidth.StringWidth(text) }

// column is a column of a table.
type column struct {
	head  string
	right bool // numbers
}

// table formats rows under their heads. A column is as wide as its widest cell; the last one is cut at the edge of the screen.
func (s screen) table(columns []column, rows [][]string) string {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = cells(c.head)
		for _, row := range rows {
			widths[i] = max(widths[i], cells(row[i]))
		}
	}
	line := func(row []string, style string) string {
		var b strings.Builder
		left := s.width
		for i, text := range row {
			if i > 0 {
				b.WriteString("  ")
				left -= 2
			}
			width := widths[i]
			if i == len(row)-1 {
				width = max(1, min(width, left))
			}
			if columns[i].right {
				text = fitLeft(text, width)
			} else {
				text = fit(text, width)
			}
			b.WriteString(text)
			left -= width
		}
		return s.style(style, strings.TrimRight(b.String(), " ")) + "\n"
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	out := line(heads, dim)
	for _, row := range rows {
		out += line(row, "0")
	}
	return out
}

// barRow is a row of a bar chart of shares.
type barRow struct {
	name   string
	share  float64
	marked bool
}

// bars draws a row for each share: name, percentage, bar.
func (s screen) bars(rows []barRow) string {
	const percent = len("  100.0 %  ")
	name := 0
	for _, r := range rows {
		name = max(name, cells(visible(r.name)))
	}
	name = min(name, s.width/2)
	width := max(5, min(40, s.width-2-name-percent))
	var b strings.Builder
	for _, r := range rows {
		style := dim
		if r.marked {
			style = green
		}
		line := strings.TrimRight(bar(r.share, width), " ")
		fmt.Fprintf(&b, "  %s  %5.1f %%  %s\n", fit(visible(r.name), name), 100*r.share, s.style(style, line))
	}
	return b.String()
}
