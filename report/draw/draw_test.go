package draw

import (
	"bytes"
	"encoding/xml"
	"image/color"
	"io"
	"math"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/gomono"
	"pgregory.net/rapid"
)

// Text is read with a contrast of 4.5 on every background that it stands on, and marks and lines are seen with 3 (WCAG 2.2, 1.4.3
// and 1.4.11), in both themes.
func TestContrast(t *testing.T) {
	for _, theme := range []Theme{Light, Dark} {
		for _, ground := range []Paint{Paper, Panel} {
			for _, text := range []Paint{Ink, Muted} {
				if c := Contrast(theme.Colour(text), theme.Colour(ground)); c < 4.5 {
					t.Errorf("%v: text %d on %d has a contrast of %.2f", theme, text, ground, c)
				}
			}
		}
		for i := range SeriesColours {
			if c := Contrast(theme.Colour(Series(i)), theme.Colour(Paper)); c < 3 {
				t.Errorf("%v: series %d has a contrast of %.2f", theme, i, c)
			}
		}
	}
	for i := range 101 {
		share := float64(i) / 100
		for name, c := range map[string]color.RGBA{"sequential": Sequential(share), "diverging": Diverging(2*share - 1)} {
			if got := Contrast(Light.Colour(On(c)), c); got < 4.5 {
				t.Errorf("%s colour of %v: a text on it has a contrast of %.2f", name, share, got)
			}
		}
	}
	// The numbers of Okabe and Ito's colours on white.
	for i, want := range []float64{5.19, 3.87, 3.42, 3.06} {
		if got := Contrast(Light.Colour(Series(i)), rgb(0xffffff)); math.Abs(got-want) > 0.005 {
			t.Errorf("series %d on white has a contrast of %.3f, want %.2f", i, got, want)
		}
	}
}

// More is lighter, all along the sequential colours.
func TestSequential(t *testing.T) {
	for i := 1; i <= 100; i++ {
		if a, b := luminance(Sequential(float64(i-1)/100)), luminance(Sequential(float64(i)/100)); b <= a {
			t.Errorf("the colour of %d %% is darker than that of %d %%", i, i-1)
		}
	}
	if Sequential(math.NaN()) != Sequential(0) || Sequential(7) != Sequential(1) {
		t.Error("what is no share has a colour of its own")
	}
}

func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Float64Range(-1e6, 1e6).Draw(t, "low")
		width := math.Pow(10, rapid.Float64Range(-6, 6).Draw(t, "width"))
		s := Scale{Min: low, Max: low + width, From: 0, To: 100}
		ticks := s.Ticks(6)
		if len(ticks) < 1 || len(ticks) > 8 {
			t.Fatalf("%d ticks", len(ticks))
		}
		for i, tick := range ticks {
			if at := s.At(tick.Value); at < -0.01 || at > 100.01 {
				t.Errorf("tick %v is at %v", tick, at)
			}
			if i > 0 && !(tick.Value > ticks[i-1].Value) {
				t.Errorf("ticks %v", ticks)
			}
		}
	})
	log := Scale{Min: 0.004, Max: 30, Log: true}
	var labels []string
	for _, tick := range log.Ticks(6) {
		labels = append(labels, tick.Label)
	}
	if got := strings.Join(labels, " "); got != "0.01 0.1 1 10" {
		t.Errorf("powers %s", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.87312: "0.8731", 12.5: "12.5", 2e-5: "2e-05", 25000: "25,000", 0: "0", -1234.4: "-1,234", math.Inf(1): "∞"} {
		if got := Number(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	if got := Number(math.NaN()); got != "–" {
		t.Errorf("no number is %s", got)
	}
}

// Any text is a document of XML, and draws without a panic.
func TestAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[<>&"'\x00-\x1f\x7f-\xa0]*`)).Draw(t, "text")
		paint := func(c Canvas) {
			c.Group(text, func() { c.Text(Point{10, 10}, text, TextStyle{Rotate: -90, Anchor: Middle, Centred: true}) })
			c.Text(Point{math.NaN(), math.Inf(1)}, text, TextStyle{})
		}
		svg := SVG(50, 50, SVGOptions{Title: text, Description: text}, paint)
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
		Image(50, 50, ImageOptions{}, paint)
		if w := Width(Fit(text, 12, 40), 12, false); w > 40+Width("…", 12, false) {
			t.Errorf("%q cut to 40 pixels has %v", text, w)
		}
	})
}

// A shape is where it was asked to be, in both forms: a square's dots are its colour, and those beside it aren't.
func TestImage(t *testing.T) {
	m := Image(20, 20, ImageOptions{Scale: 2}, func(c Canvas) {
		c.Rect(Rect{5, 5, 10, 10}, Fixed(color.RGBA{200, 0, 0, 255}), Stroke{})
		c.Clip(Rect{0, 0, 20, 2}, func() { c.Rect(Rect{0, 0, 20, 20}, Fixed(color.RGBA{0, 0, 200, 255}), Stroke{}) })
		Line(c, Point{0, 18}, Point{20, 18}, Stroke{Paint: Fixed(color.RGBA{0, 200, 0, 255}), Width: 2, Dash: []float64{5, 5}})
	})
	for _, c := range []struct {
		x, y int
		want color.RGBA
	}{
		{20, 20, color.RGBA{200, 0, 0, 255}}, {11, 11, color.RGBA{200, 0, 0, 255}}, {8, 20, color.RGBA{255, 255, 255, 255}},
		{20, 2, color.RGBA{0, 0, 200, 255}}, {20, 6, color.RGBA{255, 255, 255, 255}},
		{4, 36, color.RGBA{0, 200, 0, 255}}, {15, 36, color.RGBA{255, 255, 255, 255}}, {24, 36, color.RGBA{0, 200, 0, 255}},
	} {
		if got := m.RGBAAt(c.x, c.y); got != c.want {
			t.Errorf("the dot at %d, %d is %v, want %v", c.x, c.y, got, c.want)
		}
	}
	if b := m.Bounds(); b.Dx() != 40 || b.Dy() != 40 {
		t.Errorf("the picture is %v", b)
	}
}

// Ids of two pictures with different prefixes don't meet, and what they point to is there.
func TestPrefix(t *testing.T) {
	paint := func(c Canvas) {
		c.Clip(Rect{0, 0, 5, 5}, func() { c.Rect(Rect{0, 0, 9, 9}, Ink, Stroke{Paint: Rule, Width: 1}) })
	}
	a, b := SVG(9, 9, SVGOptions{Prefix: "a-", Classes: true}, paint), SVG(9, 9, SVGOptions{Prefix: "b-", Classes: true}, paint)
	if strings.Contains(a, `"b-`) || !strings.Contains(a, `id="a-clip1"`) || !strings.Contains(a, "url(#a-clip1)") || a == b {
		t.Errorf("with the prefix a-: %s", a)
	}
	if !strings.Contains(a, `class="f-ink s-rule"`) {
		t.Errorf("without classes: %s", a)
	}
}

// A font of the user's has the characters that the figures' own lacks, and no others.
func TestReadFont(t *testing.T) {
	font, err := ReadFont(bytes.NewReader(gomono.TTF))
	if err != nil {
		t.Fatal(err)
	}
	for text, same := range map[string]bool{"abc": true, "\u2588": true} {
		paint := func(c Canvas) { c.Text(Point{2, 15}, text, TextStyle{}) }
		with, without := Image(40, 20, ImageOptions{Fonts: []*Font{font}}, paint), Image(40, 20, ImageOptions{}, paint)
		if got := bytes.Equal(with.Pix, without.Pix); got != same {
			t.Errorf("%q looks the same with the font: %v, want %v", text, got, same)
		}
		if bytes.Equal(with.Pix, Image(40, 20, ImageOptions{}, func(Canvas) {}).Pix) {
			t.Errorf("%q leaves no dot", text)
		}
	}
}

func TestReadFontRefuses(t *testing.T) {
	for _, content := range []string{"", "no font", "ttcf", "\x00\x01\x00\x00\xff\xff"} {
		if _, err := ReadFont(strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), "no TrueType or OpenType font") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func FuzzReadFont(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, content []byte) {
		font, err := ReadFont(bytes.NewReader(content))
		if err != nil {
			return
		}
		Image(40, 20, ImageOptions{Fonts: []*Font{font}}, func(c Canvas) { c.Text(Point{2, 15}, "漢a", TextStyle{}) })
	})
}
