package draw

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// SVGOptions say what an SVG document is for. The zero value is a file in the light theme.
type SVGOptions struct {
	// Title names the picture, and Description says what it shows: programs that read a page aloud read both.
	Title, Description string
	Theme              Theme
	// Prefix begins all ids, so that several pictures can be in one page.
	Prefix string
	// Classes gives what is in the colour of a role a class beside it, f-ROLE for what is filled and s-ROLE for lines, by which a
	// page's style sheet changes the colour with its theme (ClassRules). It then leaves the background out.
	Classes bool
}

// fontFamily is for the files of the figures: fonts that most systems have, and those of the picture in memory first.
const fontFamily = "Go, Helvetica, Arial, sans-serif"

// SVG draws a picture of a size as an SVG document (Scalable Vector Graphics 1.1) with presentation attributes and without
// style sheets, scripts or references to anything outside of it.
func SVG(width, height float64, o SVGOptions, draw func(Canvas)) string {
	s := &svg{options: o}
	title, desc := o.Prefix+"title", o.Prefix+"desc"
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-labelledby="%s %s" font-family="%s">`+"\n",
		num(width), num(height), num(width), num(height), title, desc, fontFamily)
	fmt.Fprintf(&s.b, `<title id="%s">%s</title><desc id="%s">%s</desc>`+"\n", title, escape(o.Title), desc, escape(o.Description))
	if !o.Classes {
		s.Rect(Rect{0, 0, width, height}, Paper, Stroke{})
	}
	draw(s)
	s.b.WriteString("</svg>\n")
	return s.b.String()
}

// svg is a Canvas that writes.
type svg struct {
	options SVGOptions
	b       strings.Builder
	clips   int
}

// num writes a length with at most two places, so that the bytes don't depend on the last bits of a computation.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	text := strconv.FormatFloat(v, 'f', 2, 64)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}

// escape writes text for an element or an attribute of XML. Characters that XML doesn't have become U+FFFD.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff:
			b.WriteRune(unicode.ReplacementChar)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// RightToLeft says that a text has characters that are written from right to left.
func RightToLeft(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
	})
}

// isolate keeps a text from right to left from moving what is beside it (Unicode Standard Annex 9).
func isolate(text string) string {
	if RightToLeft(text) {
		return "\u2068" + text + "\u2069"
	}
	return text
}

// fill and stroke write the attributes of a paint.
func (s *svg) fill(p Paint) {
	if p == None {
		s.b.WriteString(` fill="none"`)
		return
	}
	s.attribute("fill", "f-", p)
}

func (s *svg) stroke(l Stroke) {
	if l.Paint == None || l.Width <= 0 {
		return
	}
	s.attribute("stroke", "s-", l.Paint)
	if l.Width != 1 {
		fmt.Fprintf(&s.b, ` stroke-width="%s"`, num(l.Width))
	}
	if l.Dash != nil {
		parts := make([]string, len(l.Dash))
		for i, d := range l.Dash {
			parts[i] = num(d)
		}
		fmt.Fprintf(&s.b, ` stroke-dasharray="%s"`, strings.Join(parts, " "))
	}
}

func (s *svg) attribute(name, prefix string, p Paint) {
	fmt.Fprintf(&s.b, ` %s="%s"`, name, Hex(s.options.Theme.Colour(p)))
	if role := p.role(); s.options.Classes && role != 0 {
		fmt.Fprintf(&s.b, ` class="%s%s"`, prefix, themes[role%roles].class)
	}
	if o := p.Opacity(); o < 1 {
		fmt.Fprintf(&s.b, ` %s-opacity="%s"`, name, num(o))
	}
}

func (s *svg) Polyline(points []Point, l Stroke) {
	if len(points) == 0 || l.Paint == None || l.Width <= 0 {
		return
	}
	s.b.WriteString(`<path d="`)
	s.path(points)
	s.b.WriteString(`" fill="none"`)
	s.stroke(l)
	if len(points) > 2 {
		s.b.WriteString(` stroke-linejoin="round"`)
	}
	s.b.WriteString("/>\n")
}

func (s *svg) path(points []Point) {
	for i, p := range points {
		switch i {
		case 0:
			s.b.WriteByte('M')
		case 1:
			s.b.WriteByte('L')
		default:
			s.b.WriteByte(' ')
		}
		s.b.WriteString(num(p.X))
		s.b.WriteByte(',')
		s.b.WriteString(num(p.Y))
	}
}

func (s *svg) Polygon(points []Point, fill Paint) {
	s.b.WriteString(`<path d="`)
	s.path(points)
	s.b.WriteString(`Z"`)
	s.fill(fill)
	s.b.WriteString("/>\n")
}

func (s *svg) Rect(r Rect, fill Paint, outline Stroke) {
	fmt.Fprintf(&s.b, `<rect x="%s" y="%s" width="%s" height="%s"`, num(r.X), num(r.Y), num(max(0, r.W)), num(max(0, r.H)))
	s.both(fill, outline)
}

func (s *svg) Circle(centre Point, radius float64, fill Paint, outline Stroke) {
	fmt.Fprintf(&s.b, `<circle cx="%s" cy="%s" r="%s"`, num(centre.X), num(centre.Y), num(max(0, radius)))
	s.both(fill, outline)
}

// both ends a shape. An element has one attribute class, so what is filled and outlined in roles is two elements' worth of classes
// in one.
func (s *svg) both(fill Paint, outline Stroke) {
	outlined := outline.Paint != None && outline.Width > 0
	if !outlined || fill.role() == 0 || outline.Paint.role() == 0 || !s.options.Classes {
		s.fill(fill)
		s.stroke(outline)
		s.b.WriteString("/>\n")
		return
	}
	theme := s.options.Theme
	fmt.Fprintf(&s.b, ` fill="%s" stroke="%s" class="f-%s s-%s"`, Hex(theme.Colour(fill)), Hex(theme.Colour(outline.Paint)),
		themes[fill.role()%roles].class, themes[outline.Paint.role()%roles].class)
	if o := fill.Opacity(); o < 1 {
		fmt.Fprintf(&s.b, ` fill-opacity="%s"`, num(o))
	}
	if outline.Width != 1 {
		fmt.Fprintf(&s.b, ` stroke-width="%s"`, num(outline.Width))
	}
	s.b.WriteString("/>\n")
}

func (s *svg) Text(at Point, text string, style TextStyle) {
	size := style.size()
	if style.Centred {
		// Across the direction of the text, which may be turned.
		sin, cos := math.Sincos(style.Rotate * math.Pi / 180)
		shift := capHeight / 2 * size
		at = Point{at.X - shift*sin, at.Y + shift*cos}
	}
	fmt.Fprintf(&s.b, `<text x="%s" y="%s" font-size="%s"`, num(at.X), num(at.Y), num(size))
	if a := [...]string{Middle: "middle", End: "end"}[style.Anchor]; a != "" {
		fmt.Fprintf(&s.b, ` text-anchor="%s"`, a)
	}
	if style.Bold {
		s.b.WriteString(` font-weight="bold"`)
	}
	if style.Rotate != 0 {
		fmt.Fprintf(&s.b, ` transform="rotate(%s %s %s)"`, num(style.Rotate), num(at.X), num(at.Y))
	}
	s.fill(style.paint())
	fmt.Fprintf(&s.b, ">%s</text>\n", escape(isolate(text)))
}

func (s *svg) Group(name string, draw func()) {
	s.b.WriteString("<g>")
	if name != "" {
		fmt.Fprintf(&s.b, "<title>%s</title>", escape(name))
	}
	s.b.WriteByte('\n')
	draw()
	s.b.WriteString("</g>\n")
}

func (s *svg) Clip(r Rect, draw func()) {
	s.clips++
	id := fmt.Sprintf("%sclip%d", s.options.Prefix, s.clips)
	fmt.Fprintf(&s.b, `<clipPath id="%s"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath><g clip-path="url(#%s)">`+"\n",
		id, num(r.X), num(r.Y), num(r.W), num(r.H), id)
	draw()
	s.b.WriteString("</g>\n")
}
