package explain

import (
	"math"
	"runtime"
	"slices"
	"testing"
)

// turned is x by a rotation of two dimensions, mirrored and moved.
func turned(x *Matrix, angle float64) *Matrix {
	out := NewMatrix(x.Rows, x.Columns)
	for i := range x.Rows {
		from, to := x.Row(i), out.Row(i)
		copy(to, from)
		to[0] = math.Cos(angle)*from[0] - math.Sin(angle)*from[1] + 5
		to[1] = math.Sin(angle)*from[0] + math.Cos(angle)*from[1] - 3
		to[2] = -from[2]
	}
	return out
}

// What is turned, mirrored and moved comes back, and of anything else no distance changes.
func TestAlign(t *testing.T) {
	x := normal(60, 5, 1)
	back, err := Align(turned(x, 0.8), x)
	if err != nil {
		t.Fatal(err)
	}
	if off := differ(t, back.Values, x.Values); off > 1e-12 {
		t.Errorf("what was turned is off by %g", off)
	}
	other := normal(60, 5, 2)
	onto, err := Align(other, x)
	if err != nil {
		t.Fatal(err)
	}
	distance := func(a, b *Matrix) float64 {
		sum := 0.0
		for i := range a.Rows {
			sum += squaredDistance(a.Row(i), b.Row(i))
		}
		return sum
	}
	if before, after := distance(other, x), distance(onto, x); after > before {
		t.Errorf("turned, points are farther away: %g, before %g", after, before)
	}
	for i := range 59 {
		if a, b := squaredDistance(other.Row(i), other.Row(i+1)), squaredDistance(onto.Row(i), onto.Row(i+1)); math.Abs(a-b) > 1e-10*a {
			t.Errorf("the distance² of %d and %d is %g, before %g", i, i+1, b, a)
		}
	}
	if _, err := Align(x, normal(60, 4, 1)); err == nil {
		t.Error("other dimensions are no error")
	}
}

func TestProjectDrift(t *testing.T) {
	after := clusters(90, 8)
	// Nothing moves but one point, to the place of one of another cluster.
	before := turned(after, 0.3)
	copy(before.Row(7), before.Row(50))
	for _, method := range []Projector{ByPCA, ByTSNE} {
		o := ProjectOptions{Method: method, Neighbours: 5, Threads: 1}
		p, d, err := ProjectDrift(t.Context(), before, after, o)
		if err != nil {
			t.Fatal(err)
		}
		if p.Points.Rows != 90 || d.Before.Rows != 90 || len(p.Trust.Points) != 90 || d.K != 5 {
			t.Fatalf("%v: %d points, %d before, %d judged, %d neighbours", method, p.Points.Rows, d.Before.Rows, len(p.Trust.Points), d.K)
		}
		most := slices.Index(d.Moved, slices.Max(d.Moved))
		if most != 7 || d.Kept[7] > 0.5 || d.MeanKept() < 0.9 {
			t.Errorf("%v: point %d moved the farthest; 7 has kept %g, all %g", method, most, d.Kept[7], d.MeanKept())
		}
		for i, moved := range d.Moved {
			if i != 7 && moved > d.Moved[7]/3 {
				t.Errorf("%v: point %d moved %g, the one that did %g", method, i, moved, d.Moved[7])
			}
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // gonum takes as many threads
		o.Threads = 3
		again, e, err := ProjectDrift(t.Context(), before, after, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Points.Values, p.Points.Values) || !slices.Equal(e.Moved, d.Moved) || !slices.Equal(e.Before.Values, d.Before.Values) {
			t.Errorf("%v: threads change bits", method)
		}
	}
	if _, _, err := ProjectDrift(t.Context(), before, clusters(80, 8), ProjectOptions{}); err == nil {
		t.Error("fewer points are no error")
	}
}
