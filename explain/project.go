package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Projector is a way from many dimensions to two.
type Projector uint8

const (
	// ByPCA takes the first two principal components: distances between far points mean something, near ones may hide behind one
	// another.
	ByPCA Projector = iota
	// ByTSNE keeps near points near: distances between far points mean little.
	ByTSNE
)

var projectorNames = [...]string{ByPCA: "pca", ByTSNE: "tsne"}

func (p Projector) String() string {
	if int(p) >= len(projectorNames) {
		return fmt.Sprintf("Projector(%d)", p)
	}
	return projectorNames[p]
}

// Projectors lists what ParseProjector reads.
func Projectors() []string { return slices.Clone(projectorNames[:]) }

// ParseProjector reads pca or tsne.
func ParseProjector(name string) (Projector, error) {
	if i := slices.Index(projectorNames[:], name); i >= 0 {
		return Projector(i), nil
	}
	return 0, fmt.Errorf("method %q: want %s", name, strings.Join(projectorNames[:], ", "))
}

// MarshalText writes String.
func (p Projector) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParseProjector.
func (p *Projector) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProjector(string(text))
	return err
}

// ProjectOptions say how Project makes its picture. The zero value is good.
type ProjectOptions struct {
	Method Projector
	TSNE   TSNEOptions // of ByTSNE
	// Neighbours is the number of neighbours in the original space that are found for each point, and by which the picture is
	// judged; 0: 10. It is less where there are few points.
	Neighbours int
	Threads    int // 0: all processors; no bit of the result depends on it
}

// Projection is a picture of points, and how good it is.
//
// Legend: N points, K neighbours.
type Projection struct {
	Method     Projector
	Points     *Matrix          // [N,2]
	Ratios     []float64        // [2]: the shares of the variance along both axes, of ByPCA
	Map        *Map             // of ByTSNE
	Trust      *Trustworthiness // of K neighbours
	Neighbours *Neighbours      // [N,K]: in the original space
	Notes      []string
}

// Project makes a picture of points [N,D], and judges it. Errors are *TooFewError, *ValueError and the cause of ctx's end.
func Project(ctx context.Context, x *Matrix, o ProjectOptions) (*Projection, error) {
	out, err := place(ctx, x, o)
	if err != nil {
		return nil, err
	}
	return out, out.judge(ctx, x, o)
}

// place makes the picture.
func place(ctx context.Context, x *Matrix, o ProjectOptions) (*Projection, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	out := &Projection{Method: o.Method}
	switch o.Method {
	case ByPCA:
		p, places, err := principalPlane(x, o.Threads)
		if err != nil {
			return nil, err
		}
		out.Points, out.Ratios = places, p.Ratios
		if places.Columns == 1 { // of points of one dimension
			out.Points, out.Ratios = NewMatrix(x.Rows, 2), append(p.Ratios, 0)
			for i, v := range places.Values {
				out.Points.Values[2*i] = v
			}
		}
	case ByTSNE:
		o.TSNE.Threads = cmp.Or(o.TSNE.Threads, o.Threads)
		m, err := TSNE(ctx, x, o.TSNE)
		if err != nil {
			return nil, err
		}
		out.Points, out.Map, out.Notes = m.Points, m, m.Notes
	default:
		return nil, fmt.Errorf("there is no %v", o.Method)
	}
	return out, nil
}

// judge measures the picture of points x.
func (p *Projection) judge(ctx context.Context, x *Matrix, o ProjectOptions) (err error) {
	k := cmp.Or(o.Neighbours, 10)
	if k < 1 {
		return fmt.Errorf("%d neighbours, want at least 1", k)
	}
	if most := (x.Rows - 1) / 2; k > most {
		if o.Neighbours > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("%d neighbours are too many for %d points: %d", k, x.Rows, most))
		}
		k = most
	}
	p.Trust, p.Neighbours, err = trustAndNeighbours(ctx, x, p.Points, k, o.Threads, true)
	return err
}
