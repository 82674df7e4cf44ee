package explain

import (
	"math"
	"slices"
	"strconv"
	"testing"
)

func TestTrustworthinessEqualsScikitLearn(t *testing.T) {
	g := loadGoldens(t)
	x, _ := load(t, "digits.csv.gz")
	p, err := NewPCA(x, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	y, err := p.Transform(x, 0)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range g.Trustworthiness {
		k, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Trust(t.Context(), x, y, k, 0)
		if err != nil {
			t.Fatal(err)
		}
		// Distances between digits are whole numbers, of which many are equal: scikit-learn ranks these in any order.
		if math.Abs(got.Overall-want) > 1e-4 {
			t.Errorf("%d neighbours: %.6f, want %.6f", k, got.Overall, want)
		}
		if mean := sum(got.Points) / float64(x.Rows); math.Abs(mean-got.Overall) > 1e-12 {
			t.Errorf("the points' mean is %.9f, the whole %.9f", mean, got.Overall)
		}
	}
}

func TestTrustworthiness(t *testing.T) {
	column := func(values ...float64) *Matrix { return &Matrix{len(values), 1, values} }
	got, err := Trust(t.Context(), column(0, 1, 2, 3, 4), column(0, 2, 4, 1, 3), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Overall-0.2) > 1e-12 {
		t.Errorf("%g, want 0.2", got.Overall)
	}
	x := normal(120, 6, 5)
	moved := NewMatrix(x.Rows, x.Columns)
	for i, v := range x.Values {
		moved.Values[i] = 3*v - 7
	}
	if got, err = Trust(t.Context(), x, moved, 8, 0); err != nil || got.Overall != 1 {
		t.Errorf("of a copy, larger and elsewhere: %v, %v, want 1", got, err)
	}
	// By hand, over all pairs.
	y, k := normal(120, 2, 6), 8
	if got, err = Trust(t.Context(), x, y, k, 3); err != nil {
		t.Fatal(err)
	}
	for i := range x.Rows {
		all, penalty := nearestByHand(x, i, x.Rows-1), 0
		for _, j := range nearestByHand(y, i, k) {
			penalty += max(0, slices.Index(all, j)+1-k)
		}
		if want := 1 - 2*float64(penalty)/float64(k*(2*120-3*k-1)); math.Abs(got.Points[i]-want) > 1e-12 {
			t.Errorf("point %d: %g, want %g", i, got.Points[i], want)
		}
	}
	for _, k := range []int{0, 60} {
		if _, err := Trust(t.Context(), x, y, k, 0); err == nil {
			t.Errorf("%d neighbours of 120 points are no error", k)
		}
	}
	if _, err := Trust(t.Context(), x, normal(119, 2, 6), 5, 0); err == nil {
		t.Error("a picture of fewer points is no error")
	}
}

func TestSample(t *testing.T) {
	var groups []string
	for i := range 1000 {
		group := "many"
		switch {
		case i == 77:
			group = "one"
		case i%10 == 0:
			group = "some"
		}
		groups = append(groups, group)
	}
	rows := Sample(1000, 100, groups, 3)
	counts := make(map[string]int)
	for i, r := range rows {
		counts[groups[r]]++
		if i > 0 && r <= rows[i-1] {
			t.Fatalf("%v doesn't rise", rows)
		}
	}
	if len(rows) != 100 || counts["one"] != 1 || counts["some"] < 9 || counts["some"] > 12 {
		t.Errorf("%d rows, %v", len(rows), counts)
	}
	if !slices.Equal(rows, Sample(1000, 100, groups, 3)) || slices.Equal(rows, Sample(1000, 100, groups, 4)) {
		t.Error("a seed gives another sample, or another seed the same")
	}
	if all := Sample(7, 7, nil, 1); !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("of as many: %v", all)
	}
	if none := Sample(1000, 10, nil, 1); len(none) != 10 {
		t.Errorf("without groups: %v", none)
	}
}
