package explain

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
)

// differ is the largest difference between two lists, relative to the largest number of want.
func differ(t *testing.T, got, want []float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	off, size := 0.0, 0.0
	for i := range want {
		off, size = max(off, math.Abs(got[i]-want[i])), max(size, math.Abs(want[i]))
	}
	return off / size
}

func TestPCAEqualsScikitLearn(t *testing.T) {
	g := loadGoldens(t)
	for name, file := range map[string]string{"digits": "digits.csv.gz", "iris": "iris.csv"} {
		x, _ := load(t, file)
		want := g.PCA[name]
		p, err := NewPCA(x, len(want.Ratios), 0)
		if err != nil {
			t.Fatal(err)
		}
		places, err := p.Transform(x, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what      string
			got, want []float64
		}{
			{"ratios", p.Ratios, want.Ratios},
			{"variances", p.Variances, want.Variances},
			{"components", p.Components.Values, slices.Concat(want.Components...)},
			{"points", places.Values[:10*len(want.Ratios)], slices.Concat(want.Points...)},
		} {
			if off := differ(t, c.got, c.want); off > 1e-6 {
				t.Errorf("%s: %s differ by %g of the largest", name, c.what, off)
			}
		}
	}
}

// The properties hold for tall sets of points and for wide ones, which are computed by other matrices.
func TestPCAProperties(t *testing.T) {
	for _, shape := range [][2]int{{40, 7}, {7, 40}, {9, 9}, {30, 1}} {
		x := normal(shape[0], shape[1], 1)
		p, err := NewPCA(x, 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		k := min(shape[0], shape[1])
		if p.Components.Rows != k {
			t.Errorf("%v: %d components, want %d", shape, p.Components.Rows, k)
		}
		for a := range k {
			for b := range k {
				want := 0.0
				if a == b {
					want = 1
				}
				if got := dot(p.Components.Row(a), p.Components.Row(b)); math.Abs(got-want) > 1e-10 {
					t.Errorf("%v: components %d and %d: product %g, want %g", shape, a, b, got, want)
				}
			}
		}
		if s := sum(p.Ratios); math.Abs(s-1) > 1e-10 {
			t.Errorf("%v: ratios sum to %.12f", shape, s)
		}
		if !slices.IsSortedFunc(p.Ratios, func(a, b float64) int {
			if a < b-1e-15 {
				return 1
			}
			return -1
		}) {
			t.Errorf("%v: ratios %v don't fall", shape, p.Ratios)
		}
		// What the variances say is what the points do.
		places, err := p.Transform(x, 0)
		if err != nil {
			t.Fatal(err)
		}
		for c := range k {
			squares := 0.0
			for i := range x.Rows {
				squares += places.Row(i)[c] * places.Row(i)[c]
			}
			if v := squares / float64(x.Rows-1); math.Abs(v-p.Variances[c]) > 1e-10*(1+p.Variances[0]) {
				t.Errorf("%v: variance %d is %g, of the points %g", shape, c, p.Variances[c], v)
			}
		}
	}
}

// Points that are all the same, or vary in fewer dimensions than are asked for, have components all the same.
func TestPCAOfFewDimensions(t *testing.T) {
	x := NewMatrix(6, 3)
	for i := range x.Rows {
		x.Row(i)[1] = 5
	}
	p, err := NewPCA(x, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range slices.Concat(p.Ratios, p.Variances) {
		if v != 0 {
			t.Errorf("ratios %v, variances %v of equal points, want zeros", p.Ratios, p.Variances)
		}
	}
	for c := range 3 {
		if l := dot(p.Components.Row(c), p.Components.Row(c)); math.Abs(l-1) > 1e-12 {
			t.Errorf("component %d has length² %g", c, l)
		}
	}
}

func TestPCARefuses(t *testing.T) {
	bad := normal(6, 2, 1)
	bad.Row(4)[1] = math.NaN()
	var value *ValueError
	if _, err := NewPCA(bad, 2, 0); !errors.As(err, &value) || value.Row != 4 || value.Column != 1 {
		t.Errorf("NaN: %v", err)
	}
	var few *TooFewError
	if _, err := NewPCA(normal(4, 2, 1), 2, 0); !errors.As(err, &few) || few.Points != 4 {
		t.Errorf("4 points: %v", err)
	}
	if _, err := NewPCA(normal(6, 2, 1), 0, 0); err == nil {
		t.Error("0 components are no error")
	}
}

func TestPCAHasOneResult(t *testing.T) {
	x, _ := load(t, "digits.csv.gz")
	one, err := NewPCA(x, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // gonum takes as many threads
	many, err := NewPCA(x, 10, 7)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(one.Components.Values, many.Components.Values) || !slices.Equal(one.Ratios, many.Ratios) {
		t.Error("the components depend on the number of threads")
	}
}
