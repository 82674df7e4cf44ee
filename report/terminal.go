package report

import (
	"fmt"
	"strings"
)

// Terminal is the page for a terminal of so many columns: the headline numbers, the warnings, and those figures that can be drawn
// with characters.
func (p *Page) Terminal(columns int) string {
	var b strings.Builder
	line := func(text string) { b.WriteString(printable(text) + "\n") }
	line(p.Title)
	if p.Lead != "" {
		line(p.Lead)
	}
	b.WriteByte('\n')
	width := 0
	for _, f := range p.Facts {
		width = max(width, len([]rune(f.Name)))
	}
	for _, f := range p.Facts {
		text := padded(f.Name, width+2) + f.Value
		if f.Interval != "" {
			text += "  (" + f.Interval + ")"
		}
		line("  " + text)
	}
	for _, w := range p.Warnings {
		line("! " + w)
	}
	for _, f := range p.Figures() {
		b.WriteByte('\n')
		line(f.Title + ": " + f.Finding)
		if f.Text != nil {
			fmt.Fprintf(&b, "\n%s", f.Text(columns))
		}
	}
	return b.String()
}

// printable is text without characters that a terminal would act on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, cut(text))
}
