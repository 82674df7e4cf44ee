package draw

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// Font has the shapes of characters, for pictures in memory.
type Font struct {
	font *sfnt.Font
	em   float64 // units
}

// maxFontFile bounds the file of a font. The largest, with all of Han, have some 40 MB.
const maxFontFile = 256 << 20

// ReadFont reads a TrueType or OpenType font, of a collection the first.
func ReadFont(r io.Reader) (*Font, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxFontFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFontFile {
		return nil, fmt.Errorf("more than %d MB, which no font has", maxFontFile>>20)
	}
	if bytes.HasPrefix(content, []byte("ttcf")) {
		c, err := sfnt.ParseCollection(content)
		if err != nil {
			return nil, notFont(err)
		}
		f, err := c.Font(0)
		if err != nil {
			return nil, notFont(err)
		}
		return newFont(f), nil
	}
	f, err := sfnt.Parse(content)
	if err != nil {
		return nil, notFont(err)
	}
	return newFont(f), nil
}

func notFont(err error) error { return fmt.Errorf("no TrueType or OpenType font: %w", err) }

func newFont(f *sfnt.Font) *Font { return &Font{f, float64(f.UnitsPerEm())} }

// goFonts are those in which figures are laid out.
var goFonts = sync.OnceValue(func() (f struct{ regular, bold *Font }) {
	parse := func(content []byte) *Font {
		f, err := sfnt.Parse(content)
		if err != nil {
			panic(err) // the font is part of the program
		}
		return newFont(f)
	}
	f.regular, f.bold = parse(goregular.TTF), parse(gobold.TTF)
	return f
})

func goFont(bold bool) *Font {
	if bold {
		return goFonts().bold
	}
	return goFonts().regular
}

// glyph is the number of a character's shape, 0 of one that the font doesn't have.
func (f *Font) glyph(b *sfnt.Buffer, r rune) sfnt.GlyphIndex {
	g, err := f.font.GlyphIndex(b, r)
	if err != nil {
		return 0
	}
	return g
}

// advance is the width of a shape in units.
func (f *Font) advance(b *sfnt.Buffer, g sfnt.GlyphIndex) float64 {
	a, err := f.font.GlyphAdvance(b, g, fixed.I(int(f.em)), font.HintingNone)
	if err != nil {
		return f.em / 2
	}
	return float64(a) / 64
}

// Width is how long a text of a size is in the font of the figures. Of a character that the font doesn't have it is a guess.
func Width(text string, size float64, bold bool) float64 {
	f := goFont(bold)
	var (
		b     sfnt.Buffer
		units float64
	)
	for _, r := range text {
		if unicode.IsControl(r) {
			r = unicode.ReplacementChar // as it is drawn
		}
		if g := f.glyph(&b, r); g != 0 {
			units += f.advance(&b, g)
			continue
		}
		units += guessedWidth(r) * f.em
	}
	return units / f.em * size
}

// guessedWidth is the width of a character of another script, in ems: those of East Asia are as wide as high.
func guessedWidth(r rune) float64 {
	switch {
	case r == unicode.ReplacementChar, r >= 0x1100 && r < 0x1200, r >= 0x2e80 && r < 0xa4d0, r >= 0xac00 && r < 0xd7b0, r >= 0xf900 && r < 0xfb00, r >= 0xff00 && r < 0xffe7, r >= 0x1f000:
		return 1
	}
	return 0.55
}

// Fit is a text cut to a length, with an ellipsis where something was cut.
func Fit(text string, size, length float64) string {
	const most = 1000 // characters: no figure is wider
	runes := make([]rune, 0, 64)
	for _, r := range text {
		if len(runes) == most {
			break
		}
		runes = append(runes, r)
	}
	if len(runes) < most && Width(text, size, false) <= length {
		return text
	}
	room := length - Width("…", size, false)
	low, high := 0, len(runes) // characters that fit, and that don't
	for low < high {
		n := (low + high + 1) / 2
		if Width(string(runes[:n]), size, false) <= room {
			low = n
		} else {
			high = n - 1
		}
	}
	return string(runes[:low]) + "…"
}

// outline calls contour with each outline of a character at a place, as polygons.
func (f *Font) outline(b *sfnt.Buffer, g sfnt.GlyphIndex, place func(x, y float64) Point, tolerance float64, contour func([]Point)) {
	segments, err := f.font.LoadGlyph(b, g, fixed.I(int(f.em)), nil)
	if err != nil {
		return
	}
	var (
		points []Point
		at     Point
	)
	point := func(p fixed.Point26_6) Point { return place(float64(p.X)/64/f.em, float64(p.Y)/64/f.em) }
	end := func() {
		if len(points) > 2 {
			contour(points)
		}
		points = nil
	}
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			end()
			at = point(s.Args[0])
			points = append(points, at)
		case sfnt.SegmentOpLineTo:
			at = point(s.Args[0])
			points = append(points, at)
		case sfnt.SegmentOpQuadTo:
			a, c := point(s.Args[0]), point(s.Args[1])
			for i, n := 1, steps(at, c, tolerance); i <= n; i++ {
				t := float64(i) / float64(n)
				u := 1 - t
				points = append(points, Point{u*u*at.X + 2*u*t*a.X + t*t*c.X, u*u*at.Y + 2*u*t*a.Y + t*t*c.Y})
			}
			at = c
		case sfnt.SegmentOpCubeTo:
			a, c, d := point(s.Args[0]), point(s.Args[1]), point(s.Args[2])
			for i, n := 1, 2*steps(at, d, tolerance); i <= n; i++ {
				t := float64(i) / float64(n)
				u := 1 - t
				points = append(points, Point{
					u*u*u*at.X + 3*u*u*t*a.X + 3*u*t*t*c.X + t*t*t*d.X,
					u*u*u*at.Y + 3*u*u*t*a.Y + 3*u*t*t*c.Y + t*t*t*d.Y,
				})
			}
			at = d
		}
	}
	end()
}

// steps is how many straight lines a curve of a letter is.
func steps(from, to Point, tolerance float64) int {
	return max(2, min(16, int(math.Ceil(math.Sqrt(math.Hypot(to.X-from.X, to.Y-from.Y)/tolerance)))))
}
