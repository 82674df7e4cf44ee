package explain

import (
	"slices"
	"testing"
)

func TestRemoval(t *testing.T) {
	// f is 3x₀ + 2x₁ + x₂ + 10·(x₃+x₄): groups {0}, {1}, {2}, {3, 4}.
	f := &function{value: func(x []float64) float64 { return 3*x[0] + 2*x[1] + x[2] + 10*(x[3]+x[4]) }}
	x, base := []float64{1, 1, 1, 1, 1}, []float64{0, 0, 0, 0.5, 0}
	groups := [][]int{{0}, {1}, {2}, {3, 4}}
	got, err := Removal(t.Context(), f, x, base, groups, [][]int{{3, 0, 1, 2}, {2, 1, 0, 3}}, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float64{{26, 11, 8, 6, 5}, {26, 25, 23, 20, 5}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("order %d: %v, want %v", i, got[i], want)
		}
	}
	if a, b := MeanFall(got[0]), MeanFall(got[1]); a != (15+18+20+21)/4. || b != (1+3+6+21)/4. {
		t.Errorf("falls of %g and %g", a, b)
	}
	// Fewer groups than steps: a step may remove none.
	if got, err = Removal(t.Context(), f, x, base, groups[:2], [][]int{{1, 0}}, 6); err != nil || !slices.Equal(got[0], []float64{26, 26, 24, 24, 24, 21, 21}) {
		t.Errorf("2 groups in 6 steps: %v, %v", got, err)
	}
	if x[3] != 1 {
		t.Error("the point itself has changed")
	}
	if _, err := Removal(t.Context(), f, x, base, groups, [][]int{{1}}, 4); err == nil {
		t.Error("an order of 1 of 4 groups is no error")
	}
	if _, err := Removal(t.Context(), f, x, base[:2], groups, nil, 4); err == nil {
		t.Error("a short baseline is no error")
	}
	if _, err := Removal(t.Context(), f, x, base, groups, nil, 0); err == nil {
		t.Error("0 steps are no error")
	}
}

func TestShuffled(t *testing.T) {
	a, b, c := Shuffled(50, 1, 0), Shuffled(50, 1, 1), Shuffled(50, 2, 0)
	if slices.Equal(a, b) || slices.Equal(a, c) || !slices.Equal(a, Shuffled(50, 1, 0)) {
		t.Errorf("%v, %v, %v", a, b, c)
	}
	slices.Sort(a)
	for i, v := range a {
		if i != v {
			t.Fatalf("%v is no order of 0 to 49", a)
		}
	}
}
