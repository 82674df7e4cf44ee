package explain

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// nearestByHand compares all distances.
func nearestByHand(x *Matrix, i, k int) []int32 {
	var all []neighbour
	for j := range x.Rows {
		if j != i {
			all = append(all, neighbour{int32(j), squaredDistance(x.Row(i), x.Row(j))})
		}
	}
	slices.SortFunc(all, compareNeighbours)
	var out []int32
	for _, n := range all[:k] {
		out = append(out, n.index)
	}
	return out
}

// What the products in float32 sift are the very neighbours: among points that are far from the origin, of different sizes, equal,
// and on a grid where many are equally far.
func TestNearestIsExact(t *testing.T) {
	far := normal(300, 20, 1)
	for i := range far.Values {
		far.Values[i] = far.Values[i]*1e-3 + 1000
	}
	sizes := normal(200, 5, 2)
	for i := range sizes.Rows {
		for j := range sizes.Row(i) {
			sizes.Row(i)[j] *= math.Pow(10, float64(i%9-4))
		}
	}
	grid := NewMatrix(144, 2)
	for i := range grid.Rows {
		copy(grid.Row(i), []float64{float64(i % 12), float64(i / 12)})
	}
	equal := NewMatrix(40, 3)
	tiny := normal(50, 4, 3)
	for i := range tiny.Values {
		tiny.Values[i] *= 1e-60
	}
	for name, x := range map[string]*Matrix{"far": far, "sizes": sizes, "grid": grid, "equal": equal, "tiny": tiny, "one dimension": normal(100, 1, 4)} {
		for _, k := range []int{1, 7, x.Rows + 5} {
			n, err := Nearest(t.Context(), x, k, 2)
			if err != nil {
				t.Fatal(err)
			}
			if want := min(k, x.Rows-1); n.K != want {
				t.Fatalf("%s: %d neighbours, want %d", name, n.K, want)
			}
			for i := range x.Rows {
				if want := nearestByHand(x, i, n.K); !slices.Equal(n.Of(i), want) {
					t.Fatalf("%s: the %d nearest of %d are %v, want %v", name, k, i, n.Of(i), want)
				}
				for c, j := range n.Of(i) {
					if want := math.Sqrt(squaredDistance(x.Row(i), x.Row(int(j)))); n.Distances[i*n.K+c] != want {
						t.Fatalf("%s: distance %g, want %g", name, n.Distances[i*n.K+c], want)
					}
				}
			}
		}
	}
}

func TestNearestRefuses(t *testing.T) {
	var few *TooFewError
	if _, err := Nearest(t.Context(), normal(3, 2, 1), 2, 0); !errors.As(err, &few) {
		t.Errorf("3 points: %v", err)
	}
	bad := normal(6, 2, 1)
	bad.Values[3] = math.Inf(1)
	var value *ValueError
	if _, err := Nearest(t.Context(), bad, 2, 0); !errors.As(err, &value) || value.Row != 1 || value.Column != 1 {
		t.Errorf("infinity: %v", err)
	}
}
