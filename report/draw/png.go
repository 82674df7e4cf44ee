package draw

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/vector"
)

// ImageOptions say what a picture in memory looks like. The zero value is in the light theme, with two dots to a pixel of CSS.
type ImageOptions struct {
	Theme Theme
	Scale float64 // dots to a pixel of CSS; 0: 2
	// Fonts have the characters that the figures' own font lacks, in the order in which they are asked. Texts are set from left
	// to right, a character after the other.
	Fonts []*Font
}

// maxDots bounds the width and height of a picture in memory.
const maxDots = 1 << 14

// Image draws a picture of a size.
func Image(width, height float64, o ImageOptions, draw func(Canvas)) *image.RGBA {
	if o.Scale <= 0 {
		o.Scale = 2
	}
	dots := func(length float64) int { return max(1, min(maxDots, int(math.Ceil(length*o.Scale)))) }
	p := &raster{options: o, image: image.NewRGBA(image.Rect(0, 0, dots(width), dots(height)))}
	p.clip = p.image.Bounds()
	p.Rect(Rect{0, 0, width + 1, height + 1}, Paper, Stroke{})
	draw(p)
	return p.image
}

// WritePNG draws a picture of a size and writes it as PNG.
func WritePNG(w io.Writer, width, height float64, o ImageOptions, draw func(Canvas)) error {
	e := png.Encoder{CompressionLevel: png.BestCompression}
	return e.Encode(w, Image(width, height, o, draw))
}

// raster is a Canvas of dots.
type raster struct {
	options    ImageOptions
	image      *image.RGBA
	clip       image.Rectangle
	rasterizer vector.Rasterizer
	buffer     sfnt.Buffer
}

// fill fills the area within contours, in pixels of CSS. Contours of the same sense of rotation may overlap.
func (p *raster) fill(contours [][]Point, paint Paint) {
	if paint == None || len(contours) == 0 {
		return
	}
	scale := p.options.Scale
	box := [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, c := range contours {
		for _, q := range c {
			if math.IsNaN(q.X+q.Y) || math.IsInf(q.X+q.Y, 0) {
				return
			}
			box[0], box[1] = min(box[0], q.X*scale), min(box[1], q.Y*scale)
			box[2], box[3] = max(box[2], q.X*scale), max(box[3], q.Y*scale)
		}
	}
	limit := func(v float64) int { return int(max(-maxDots, min(2*maxDots, v))) }
	area := image.Rect(limit(math.Floor(box[0])), limit(math.Floor(box[1])), limit(math.Ceil(box[2])), limit(math.Ceil(box[3]))).Intersect(p.clip)
	if area.Empty() {
		return
	}
	r := &p.rasterizer
	r.Reset(area.Dx(), area.Dy())
	r.DrawOp = draw.Over
	x := func(q Point) (float32, float32) {
		return float32(q.X*scale - float64(area.Min.X)), float32(q.Y*scale - float64(area.Min.Y))
	}
	for _, c := range contours {
		r.MoveTo(x(c[0]))
		for _, q := range c[1:] {
			r.LineTo(x(q))
		}
		r.ClosePath()
	}
	c := p.options.Theme.Colour(paint)
	nrgba := color.NRGBA{c.R, c.G, c.B, uint8(math.Round(255 * paint.Opacity()))}
	r.Draw(p.image, area, image.NewUniform(nrgba), image.Point{})
}

func (p *raster) Polygon(points []Point, fill Paint) {
	if len(points) > 2 {
		p.fill([][]Point{points}, fill)
	}
}

func (p *raster) Rect(r Rect, fill Paint, outline Stroke) {
	corners := []Point{{r.X, r.Y}, {r.X + r.W, r.Y}, {r.X + r.W, r.Y + r.H}, {r.X, r.Y + r.H}}
	p.fill([][]Point{corners}, fill)
	p.Polyline(append(corners, corners[0], corners[1]), outline)
}

func (p *raster) Circle(centre Point, radius float64, fill Paint, outline Stroke) {
	points := p.disc(centre, radius)
	p.fill([][]Point{points}, fill)
	p.Polyline(append(points, points[0], points[1]), outline)
}

// disc is a circle as a polygon, clockwise.
func (p *raster) disc(centre Point, radius float64) []Point {
	n := max(8, min(64, int(4*math.Sqrt(radius*p.options.Scale)+8)))
	points := make([]Point, n)
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		points[i] = Point{centre.X + radius*cos, centre.Y + radius*sin}
	}
	return points
}

func (p *raster) Polyline(points []Point, s Stroke) {
	if s.Paint == None || s.Width <= 0 {
		return
	}
	var contours [][]Point
	for _, line := range dashes(points, s.Dash) {
		for i, to := range line[1:] {
			from := line[i]
			length := math.Hypot(to.X-from.X, to.Y-from.Y)
			if !(length > 0) {
				continue
			}
			// Half the width, across the line. The corners go round clockwise, as those of disc do.
			dx, dy := (to.Y-from.Y)/length*s.Width/2, -(to.X-from.X)/length*s.Width/2
			contours = append(contours, []Point{
				{from.X + dx, from.Y + dy}, {to.X + dx, to.Y + dy}, {to.X - dx, to.Y - dy}, {from.X - dx, from.Y - dy},
			})
			if i > 0 {
				contours = append(contours, p.disc(from, s.Width/2))
			}
		}
	}
	p.fill(contours, s.Paint)
}

// dashes cuts a line into those that are drawn.
func dashes(points []Point, dash []float64) [][]Point {
	if len(points) < 2 {
		return nil
	}
	long := 0.0
	for i, to := range points[1:] {
		long = max(long, math.Hypot(to.X-points[i].X, to.Y-points[i].Y))
	}
	if len(dash) == 0 || !(long < maxDots) { // what is longer than a picture isn't worth its dashes
		return [][]Point{points}
	}
	var (
		lines [][]Point
		line  = []Point{points[0]}
		left  = dash[0]
		at    = 0
	)
	for i, to := range points[1:] {
		from := points[i]
		length := math.Hypot(to.X-from.X, to.Y-from.Y)
		for done := 0.0; done < length; {
			step := min(left, length-done)
			done += step
			left -= step
			here := Point{from.X + (to.X-from.X)*done/length, from.Y + (to.Y-from.Y)*done/length}
			if at%2 == 0 {
				line = append(line, here)
			}
			if left > 0 {
				continue
			}
			if at%2 == 0 {
				lines = append(lines, line)
			}
			at++
			left, line = max(dash[at%len(dash)], 0.1), []Point{here}
		}
	}
	if at%2 == 0 && len(line) > 1 {
		lines = append(lines, line)
	}
	return lines
}

func (p *raster) Text(at Point, text string, s TextStyle) {
	size := s.size()
	sin, cos := math.Sincos(s.Rotate * math.Pi / 180)
	x, y := 0.0, 0.0 // along the text, and across
	if s.Centred {
		y = capHeight / 2 * size
	}
	length := 0.0
	p.each(text, s.Bold, func(f *Font, g sfnt.GlyphIndex, width float64) { length += width * size })
	switch s.Anchor {
	case Middle:
		x = -length / 2
	case End:
		x = -length
	}
	var contours [][]Point
	p.each(text, s.Bold, func(f *Font, g sfnt.GlyphIndex, width float64) {
		if f != nil {
			place := func(u, v float64) Point {
				u, v = x+u*size, y+v*size
				return Point{at.X + u*cos - v*sin, at.Y + u*sin + v*cos}
			}
			f.outline(&p.buffer, g, place, 0.5/p.options.Scale, func(c []Point) { contours = append(contours, c) })
		}
		x += width * size
	})
	p.fill(contours, s.paint())
}

// each calls visit with each character of a text: its font, its shape and its width in ems. The font is nil where none has it.
func (p *raster) each(text string, bold bool, visit func(f *Font, g sfnt.GlyphIndex, width float64)) {
	for _, r := range text {
		found := false
		for _, f := range append([]*Font{goFont(bold)}, p.options.Fonts...) {
			if g := f.glyph(&p.buffer, r); g != 0 {
				visit(f, g, f.advance(&p.buffer, g)/f.em)
				found = true
				break
			}
		}
		if !found {
			visit(goFont(bold), 0, guessedWidth(r)) // the shape of what is missing
		}
	}
}

func (p *raster) Group(_ string, draw func()) { draw() }

func (p *raster) Clip(r Rect, draw func()) {
	before, scale := p.clip, p.options.Scale
	p.clip = image.Rect(int(math.Floor(r.X*scale)), int(math.Floor(r.Y*scale)), int(math.Ceil((r.X+r.W)*scale)), int(math.Ceil((r.Y+r.H)*scale))).Intersect(before)
	draw()
	p.clip = before
}
