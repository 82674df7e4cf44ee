// Package draw draws figures: lines, areas and text on a [Canvas], which is an SVG document ([SVG]) or a picture in memory
// ([Image]). What draws on one draws on the other.
//
// Lengths are in pixels of CSS, of which an inch has 96; x grows to the right and y downwards. Colours are a [Paint]: a role, to
// which a [Theme] gives its colour, or a colour of its own. The bytes of a drawing depend on nothing but what was drawn.
package draw

// Point is a place on a canvas.
type Point struct{ X, Y float64 }

// Rect is a rectangle with its upper left corner at X, Y.
type Rect struct{ X, Y, W, H float64 }

// Stroke is how a line is drawn. One of no width or paint isn't.
type Stroke struct {
	Paint Paint
	Width float64
	// Dash are the lengths of dashes and gaps in turn; nil: a solid line.
	Dash []float64
}

// Anchor says which point of a text its place is.
type Anchor uint8

// The anchors.
const (
	Start Anchor = iota
	Middle
	End
)

// TextStyle is how a text is set. The zero value is 12 pixels high, upright, begins at its place and is in Ink.
type TextStyle struct {
	Size   float64 // of an em; 0: DefaultSize
	Anchor Anchor
	// Centred says that the place is at half the height of the capitals, and not on the baseline.
	Centred bool
	// Rotate turns the text about its place, in degrees clockwise.
	Rotate float64
	Bold   bool
	Paint  Paint // None: Ink
}

// DefaultSize is the height of a text whose TextStyle gives none.
const DefaultSize = 12

func (s TextStyle) size() float64 {
	if s.Size > 0 {
		return s.Size
	}
	return DefaultSize
}

func (s TextStyle) paint() Paint {
	if s.Paint == None {
		return Ink
	}
	return s.Paint
}

// capHeight is the height of capitals as a share of the em, of the Go fonts as of most.
const capHeight = 0.72

// Canvas is what a figure is drawn on.
type Canvas interface {
	// Polyline draws a line through points.
	Polyline(points []Point, s Stroke)
	// Polygon fills the area within points. It doesn't cross itself.
	Polygon(points []Point, fill Paint)
	// Rect fills a rectangle and draws its outline. Either may be missing.
	Rect(r Rect, fill Paint, outline Stroke)
	// Circle fills a circle and draws its outline. Either may be missing.
	Circle(centre Point, radius float64, fill Paint, outline Stroke)
	// Text sets a line of text.
	Text(at Point, text string, s TextStyle)
	// Group is what draw draws, under a name that is shown where the pointer is, if the canvas can.
	Group(name string, draw func())
	// Clip leaves out what draw draws outside of a rectangle.
	Clip(r Rect, draw func())
}

// Line draws a straight line.
func Line(c Canvas, from, to Point, s Stroke) { c.Polyline([]Point{from, to}, s) }

// Shape is a mark of a data point. Shapes tell series apart where colours can't.
type Shape uint8

// The shapes. Star is for the one that stands out.
const (
	Disc Shape = iota
	Square
	Triangle
	Diamond
	Cross
	Star
)

// star are the points of a star of radius 1, the first at the top.
var star = [10]Point{
	{0, -1}, {0.2245, -0.309}, {0.9511, -0.309}, {0.3633, 0.118}, {0.5878, 0.809},
	{0, 0.382}, {-0.5878, 0.809}, {-0.3633, 0.118}, {-0.9511, -0.309}, {-0.2245, -0.309},
}

// Mark draws a shape of a radius.
func Mark(c Canvas, s Shape, at Point, radius float64, fill Paint) {
	polygon := func(points ...Point) {
		for i, p := range points {
			points[i] = Point{at.X + radius*p.X, at.Y + radius*p.Y}
		}
		c.Polygon(points, fill)
	}
	switch s {
	case Square:
		side := 1.7 * radius
		c.Rect(Rect{at.X - side/2, at.Y - side/2, side, side}, fill, Stroke{})
	case Triangle:
		polygon(Point{0, -1.15}, Point{1, 0.75}, Point{-1, 0.75})
	case Diamond:
		polygon(Point{0, -1.2}, Point{1.2, 0}, Point{0, 1.2}, Point{-1.2, 0})
	case Cross:
		line := Stroke{Paint: fill, Width: 0.6 * radius}
		Line(c, Point{at.X - radius, at.Y - radius}, Point{at.X + radius, at.Y + radius}, line)
		Line(c, Point{at.X - radius, at.Y + radius}, Point{at.X + radius, at.Y - radius}, line)
	case Star:
		points := star
		for i := range points {
			points[i] = Point{1.5 * points[i].X, 1.5 * points[i].Y}
		}
		polygon(points[:]...)
	default:
		c.Circle(at, radius, fill, Stroke{})
	}
}
