package explain

import (
	"context"
	"math"
	"slices"
	"testing"
)

// function is a Function of a formula and its gradient. It counts the points at which it was asked for gradients.
type function struct {
	value    func(x []float64) float64
	gradient func(x []float64) []float64
	asked    []int // of each call of Gradients
}

func (f *function) Values(_ context.Context, points [][]float64) ([]float64, error) {
	var out []float64
	for _, p := range points {
		out = append(out, f.value(p))
	}
	return out, nil
}

func (f *function) Gradients(ctx context.Context, points [][]float64) ([]float64, [][]float64, error) {
	f.asked = append(f.asked, len(points))
	values, err := f.Values(ctx, points)
	var gradients [][]float64
	for _, p := range points {
		gradients = append(gradients, f.gradient(p))
	}
	return values, gradients, err
}

// power is Σ xᵏ.
func power(k int) *function {
	return &function{
		value: func(x []float64) float64 {
			s := 0.0
			for _, v := range x {
				s += math.Pow(v, float64(k))
			}
			return s
		},
		gradient: func(x []float64) []float64 {
			g := make([]float64, len(x))
			for i, v := range x {
				g[i] = float64(k) * math.Pow(v, float64(k-1))
			}
			return g
		},
	}
}

// bend is a function whose coordinates act together: tanh(x₀·x₁) + x₁·sin(3·x₂).
func bend() *function {
	return &function{
		value: func(x []float64) float64 { return math.Tanh(x[0]*x[1]) + x[1]*math.Sin(3*x[2]) },
		gradient: func(x []float64) []float64 {
			s := 1 - math.Pow(math.Tanh(x[0]*x[1]), 2)
			return []float64{s * x[1], s*x[0] + math.Sin(3*x[2]), 3 * x[1] * math.Cos(3*x[2])}
		},
	}
}

// n points are exact for polynomials of degree 2n−1 on the path, whose integrals have degree 2n.
func TestIntegratedGradientsArePolynomialsExactly(t *testing.T) {
	x, base := []float64{1.5, -0.5, 2}, []float64{0.5, 1, 2}
	for _, points := range []int{1, 2, 3, 8} {
		for k := 1; k <= 2*points; k++ {
			f := power(k)
			a, err := IntegratedGradients(t.Context(), f, x, base, IntegratedOptions{Points: points, MaxPoints: points})
			if err != nil {
				t.Fatal(err)
			}
			for d := range x {
				want := math.Pow(x[d], float64(k)) - math.Pow(base[d], float64(k))
				if math.Abs(a.Values[d]-want) > 1e-12*max(1, a.At) {
					t.Errorf("x^%d with %d points, dimension %d: %.15f, want %.15f", k, points, d, a.Values[d], want)
				}
			}
			if a.Values[2] != 0 {
				t.Errorf("a coordinate that doesn't change gets %g", a.Values[2])
			}
			if !a.Complete || a.Points != points {
				t.Errorf("x^%d with %d points: complete %v with %d", k, points, a.Complete, a.Points)
			}
		}
		if points > 3 { // rounding hides what is missing
			continue
		}
		// One degree more is not exact, so that the test above can fail.
		a, err := IntegratedGradients(t.Context(), power(2*points+1), x, base, IntegratedOptions{Points: points, MaxPoints: points})
		if err != nil {
			t.Fatal(err)
		}
		if want := math.Pow(x[0], float64(2*points+1)) - math.Pow(base[0], float64(2*points+1)); math.Abs(a.Values[0]-want) < 1e-12*max(1, a.At) {
			t.Errorf("x^%d with %d points is exact", 2*points+1, points)
		}
	}
}

func TestIntegratedGradientsDouble(t *testing.T) {
	// A step in the middle of the path takes many points.
	step := &function{
		value:    func(x []float64) float64 { return math.Tanh(60 * (x[0] - 0.47)) },
		gradient: func(x []float64) []float64 { c := math.Cosh(60 * (x[0] - 0.47)); return []float64{60 / (c * c)} },
	}
	a, err := IntegratedGradients(t.Context(), step, []float64{1}, []float64{0}, IntegratedOptions{Points: 8, MaxPoints: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if !a.Complete || math.Abs(a.Delta) > 0.02 || math.Abs(a.At-a.AtBaseline-2) > 1e-6 {
		t.Errorf("%+v", a)
	}
	want := []int{8, 16, 32, 64, 128}
	if !slices.Equal(step.asked, want[:len(step.asked)]) || len(step.asked) < 2 || a.Points != step.asked[len(step.asked)-1] {
		t.Errorf("points %v, and %d in the end; want doubles of 8", step.asked, a.Points)
	}
	// Where the bound comes first, the best result stands, and says what is missing.
	step.asked = nil
	a, err = IntegratedGradients(t.Context(), step, []float64{1}, []float64{0}, IntegratedOptions{Points: 2, MaxPoints: 5})
	if err != nil {
		t.Fatal(err)
	}
	if a.Complete || !slices.Equal(step.asked, []int{2, 4, 5}) || a.Missing() < 0.01 {
		t.Errorf("%+v after %v points, missing %g", a, step.asked, a.Missing())
	}
	for _, points := range []int{2, 4, 5} {
		b, err := IntegratedGradients(t.Context(), step, []float64{1}, []float64{0}, IntegratedOptions{Points: points, MaxPoints: points})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(b.Delta) < math.Abs(a.Delta) {
			t.Errorf("%d points have delta %g, the best is said to be %g", points, b.Delta, a.Delta)
		}
	}
}

func TestIntegratedGradientsAreSymmetric(t *testing.T) {
	x, base := []float64{0.7, -1.2, 0.4}, []float64{-0.3, 0.8, 0.1}
	o := IntegratedOptions{Points: 20, MaxPoints: 20}
	there, err := IntegratedGradients(t.Context(), bend(), x, base, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := IntegratedGradients(t.Context(), bend(), base, x, o)
	if err != nil {
		t.Fatal(err)
	}
	for d := range x {
		if math.Abs(there.Values[d]+back.Values[d]) > 1e-12 {
			t.Errorf("dimension %d: %g there, %g back", d, there.Values[d], back.Values[d])
		}
	}
}

func TestOtherAttributions(t *testing.T) {
	x, base := []float64{0.7, -1.2, 0.4}, []float64{0, 0, 0}
	f := bend()
	g := f.gradient(x)
	product, err := GradientTimesInput(t.Context(), f, x)
	if err != nil {
		t.Fatal(err)
	}
	groups := [][]int{{0}, {1, 2}}
	norms, err := GradientNorms(t.Context(), f, x, groups)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Occlusion(t.Context(), f, x, base, groups)
	if err != nil {
		t.Fatal(err)
	}
	for d := range x {
		if product.Values[d] != x[d]*g[d] {
			t.Errorf("gradient × input %d is %g, want %g", d, product.Values[d], x[d]*g[d])
		}
	}
	if want := []float64{math.Abs(g[0]), math.Hypot(g[1], g[2])}; differ(t, norms.Values, want) > 1e-15 {
		t.Errorf("norms %v, want %v", norms.Values, want)
	}
	at := f.value(x)
	if want := []float64{at - f.value([]float64{0, -1.2, 0.4}), at - f.value([]float64{0.7, 0, 0})}; differ(t, without.Values, want) > 1e-15 {
		t.Errorf("occlusion %v, want %v", without.Values, want)
	}
	if x[0] != 0.7 || product.At != at || norms.At != at || without.At != at {
		t.Errorf("values %g, %g, %g, want %g", product.At, norms.At, without.At, at)
	}
}

func TestAttributionRefuses(t *testing.T) {
	f := bend()
	x := make([]float64, 3)
	for name, o := range map[string]IntegratedOptions{
		"no points": {Points: -1}, "fewer at the end": {Points: 8, MaxPoints: 4}, "tolerance": {Relative: math.NaN()},
	} {
		if _, err := IntegratedGradients(t.Context(), f, x, x, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := IntegratedGradients(t.Context(), f, x, x[:2], IntegratedOptions{}); err == nil {
		t.Error("a short baseline is no error")
	}
	if _, err := Occlusion(t.Context(), f, x, x[:2], nil); err == nil {
		t.Error("a short baseline is no error of occlusion")
	}
}
