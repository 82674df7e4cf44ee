package draw

import (
	"fmt"
	"image/color"
	"math"
	"strings"
)

// Paint is a colour: a role, or a colour of its own (Fixed), and how opaque it is.
type Paint uint64

// The roles. Text is in Ink or Muted, which every theme shows with a contrast of at least 4.5 to Paper; lines and marks that carry
// meaning are in Ink, Muted or a Series, with at least 3.
const (
	None  Paint = iota // nothing
	Ink                // text and axes
	Muted              // what matters less
	Rule               // grid lines
	Paper              // the background
	Panel              // a background that is set off
	series0
	series1
	series2
	series3
	series4
	roles // their number
)

// SeriesColours is the number of colours that series have. Further series are told apart by shapes and dashes.
const SeriesColours = int(roles - series0)

// Series is the colour of series i, counted from 0: blue, vermilion, green and purple of Okabe and Ito (2008), and black.
func Series(i int) Paint { return series0 + Paint(i%SeriesColours) }

// SeriesShape and SeriesDash tell series i from the one that has the same colour.
func SeriesShape(i int) Shape { return Shape((i / SeriesColours) % int(Star)) }

// SeriesDash is the dash of the line of series i; nil: solid.
func SeriesDash(i int) []float64 {
	return [...][]float64{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}}[(i/SeriesColours)%4]
}

const (
	fixedPaint   Paint = 1 << 24
	transparency       = 32 // the shift of how far a Paint is from opaque, of 255
)

// Fixed is a colour that is the same in every theme.
func Fixed(c color.RGBA) Paint { return fixedPaint | Paint(c.R)<<16 | Paint(c.G)<<8 | Paint(c.B) }

// Alpha is p with an opacity from 0 to 1.
func (p Paint) Alpha(opacity float64) Paint {
	through := Paint(math.Round(255 * (1 - max(0, min(1, opacity)))))
	return p&(1<<transparency-1) | through<<transparency
}

// Opacity is from 0 to 1.
func (p Paint) Opacity() float64 { return 1 - float64(p>>transparency&255)/255 }

// role is p without its opacity; 0 of a fixed colour.
func (p Paint) role() Paint {
	if p&fixedPaint != 0 {
		return 0
	}
	return p & (fixedPaint - 1)
}

// Theme gives the roles their colours.
type Theme uint8

// The themes.
const (
	Light Theme = iota
	Dark
)

// themes has a row for each role: its class in a style sheet and its colour in each theme.
var themes = [roles]struct {
	class       string
	light, dark uint32
}{
	Ink:     {"ink", 0x1a1a1a, 0xe8e8e8},
	Muted:   {"muted", 0x595959, 0xa9a9a9},
	Rule:    {"rule", 0xd9d9d9, 0x3a3a3a},
	Paper:   {"paper", 0xffffff, 0x121212},
	Panel:   {"panel", 0xf4f4f4, 0x1f1f1f},
	series0: {"series0", 0x0072b2, 0x56b4e9},
	series1: {"series1", 0xd55e00, 0xd55e00},
	series2: {"series2", 0x009e73, 0x009e73},
	series3: {"series3", 0xcc79a7, 0xcc79a7},
	series4: {"series4", 0x000000, 0xffffff},
}

func rgb(v uint32) color.RGBA {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

// String is the name of a theme.
func (t Theme) String() string {
	if t == Dark {
		return "dark"
	}
	return "light"
}

// ParseTheme is the reverse of String.
func ParseTheme(name string) (Theme, error) {
	for _, t := range []Theme{Light, Dark} {
		if t.String() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("theme %q: want light or dark", name)
}

// Colour is what p looks like, but for its opacity.
func (t Theme) Colour(p Paint) color.RGBA {
	switch role := p.role(); {
	case role == 0:
		return rgb(uint32(p) & 0xffffff)
	case t == Dark:
		return rgb(themes[role%roles].dark)
	default:
		return rgb(themes[role%roles].light)
	}
}

// Hex writes a colour as #rrggbb.
func Hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// Variables are the colours of a theme as variables of CSS, for a page whose figures change with it (SVGOptions.Classes), to
// be put into a rule.
func (t Theme) Variables() string {
	var b strings.Builder
	for role := Ink; role < roles; role++ {
		fmt.Fprintf(&b, "--%s:%s;", themes[role].class, Hex(t.Colour(role)))
	}
	return b.String()
}

// ClassRules are the rules of CSS by which the classes of SVGOptions.Classes take the variables of Theme.Variables.
func ClassRules() string {
	var b strings.Builder
	for role := Ink; role < roles; role++ {
		c := themes[role].class
		fmt.Fprintf(&b, ".f-%s{fill:var(--%s)}.s-%s{stroke:var(--%s)}\n", c, c, c, c)
	}
	return b.String()
}

// Contrast is the ratio of contrast of two colours, from 1 to 21 (Web Content Accessibility Guidelines 2.2, relative luminance).
func Contrast(a, b color.RGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// On is black or white, whichever is easier to read on a colour: the contrast is at least 4.5.
func On(c color.RGBA) Paint {
	black, white := rgb(0), rgb(0xffffff)
	if Contrast(c, black) >= Contrast(c, white) {
		return Fixed(black)
	}
	return Fixed(white)
}

// cividis are points of the colour map of Nuñez, Anderton and Renslow (2018), at equal distances: it is of even lightness and looks
// the same to people who see no red or no green.
var cividis = [...]uint32{0x00224e, 0x083370, 0x35456c, 0x4f576c, 0x666970, 0x7d7c78, 0x948e77, 0xaea371, 0xc8b866, 0xe5cf52, 0xfee838}

// diverging are points from blue by white to orange, the mirror of one another in lightness.
var diverging = [...]uint32{0x0a4f8a, 0x3f87c4, 0x8fbde3, 0xcfe2f3, 0xf7f7f7, 0xfbdfc4, 0xf3b578, 0xd9822b, 0x9c4a00}

// Sequential is the colour of a share from 0 to 1.
func Sequential(share float64) color.RGBA { return between(cividis[:], share) }

// Diverging is the colour of a value from −1, blue, by 0, white, to 1, orange.
func Diverging(value float64) color.RGBA { return between(diverging[:], (value+1)/2) }

// between interpolates among points at equal distances. What is no number counts as 0.
func between(points []uint32, share float64) color.RGBA {
	if !(share > 0) {
		share = 0
	}
	at := min(share, 1) * float64(len(points)-1)
	i := min(int(at), len(points)-2)
	a, b, t := rgb(points[i]), rgb(points[i+1]), at-float64(i)
	mix := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + t*(float64(y)-float64(x)))) }
	return color.RGBA{R: mix(a.R, b.R), G: mix(a.G, b.G), B: mix(a.B, b.B), A: 255}
}
