// Command fit finds the coefficients of the approximations that the generators use, by the algorithm of Remez: the
// polynomial or rational function whose largest weighted error over an interval is least.
//
//	go run ./fit
package main

import (
	"fmt"
	"math"
	"math/big"
	"os"
)

// A problem asks for P/Q with P of degree num and Q of degree den, Q(0) = 1, so that weight·(P/Q − f) is small everywhere
// in [lo, hi].
type problem struct {
	name      string
	f, weight func(float64) float64
	num, den  int
	lo, hi    float64
}

var problems = []problem{
	{
		name:   "exp(r) = 1 + r + r²·P(r), relative error, |r| ≤ ½·ln 2",
		f:      expRest,
		weight: func(r float64) float64 { return r * r / math.Exp(r) },
		num:    4,
		lo:     -0.3467, hi: 0.3467,
	},
	{
		name:   "2^r, relative error, 0 ≤ r < 1",
		f:      math.Exp2,
		weight: func(r float64) float64 { return math.Exp2(-r) },
		num:    3,
		lo:     0, hi: 1,
	},
	{
		name:   "Φ(−u)·exp(u²/2) = P(u)/Q(u), relative error",
		f:      scaledTail,
		weight: func(u float64) float64 { return 1 / scaledTail(u) },
		num:    4, den: 5,
		lo: 0, hi: 15,
	},
	{
		name:   "2^r = 1 + r·P(r), relative error, 0 ≤ r ≤ 1",
		f:      exp2Rest,
		weight: func(r float64) float64 { return r / math.Exp2(r) },
		num:    2,
		lo:     0, hi: 1,
	},
	{
		name:   "2^r = 1 + r·P(r), relative error, |r| ≤ ½",
		f:      exp2Rest,
		weight: func(r float64) float64 { return math.Abs(r) / math.Exp2(r) },
		num:    2,
		lo:     -0.5, hi: 0.5,
	},
	{
		name:   "Φ(−u)·exp(u²/2) = P(u)/Q(u), relative error, coarse",
		f:      scaledTail,
		weight: func(u float64) float64 { return 1 / scaledTail(u) },
		num:    2, den: 3,
		lo: 0, hi: 13.3,
	},
}

// expRest is (exp(r) − 1 − r)/r², by its series.
func expRest(r float64) float64 {
	sum, term := 0.0, 0.5
	for k := 3.0; k < 25; k++ {
		sum += term
		term *= r / k
	}
	return sum
}

// exp2Rest is (2^r − 1)/r.
func exp2Rest(r float64) float64 {
	if r == 0 {
		return math.Ln2
	}
	return math.Expm1(r*math.Ln2) / r
}

// scaledTail is Φ(−u)·exp(u²/2).
func scaledTail(u float64) float64 { return 0.5 * math.Erfc(u/math.Sqrt2) * math.Exp(u*u/2) }

// pieces are 32 parabolas for log₂ f(u), so many to a unit, each around its multiple. An absolute error is a relative one of f.
func pieces(name string, logarithm func(u float64) float64, perUnit float64) (all []problem) {
	for i := range 32 {
		all = append(all, problem{
			name:   fmt.Sprintf("log₂ %s = P(u), error times ln 2, %d of %g in 1", name, i, perUnit),
			f:      logarithm,
			weight: func(float64) float64 { return math.Ln2 },
			num:    2,
			lo:     max(0, float64(i)-0.5) / perUnit, hi: (float64(i) + 0.5) / perUnit,
		})
	}
	return all
}

func logTail(u float64) float64 { return math.Log2(0.5 * math.Erfc(u/math.Sqrt2)) }

// logTailTanh is the logarithm of sigmoid(−v) for v = 2·√(2/π)·(u + 0.044715·u³).
func logTailTanh(u float64) float64 {
	v := 2 * math.Sqrt(2/math.Pi) * (u + 0.044715*u*u*u)
	return -(v + math.Log1p(math.Exp(-v))) / math.Ln2
}

func main() {
	problems = append(problems, pieces("Φ(−u)", logTail, 2)...)
	problems = append(problems, pieces("sigmoid(−v(u))", logTailTanh, 3)...)
	for _, p := range problems {
		num, den, worst, err := p.solve()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
			os.Exit(1)
		}
		fmt.Printf("%s: %.2g\n  P: %.9g\n  Q: %.9g\n", p.name, worst, num, den)
	}
}

// gridPoints is how finely the error is sampled between exchanges.
const gridPoints = 20000

func (p problem) solve() (num, den []float64, worst float64, err error) {
	grid := make([]float64, gridPoints+1)
	for i := range grid {
		grid[i] = p.lo + (p.hi-p.lo)*(1-math.Cos(math.Pi*float64(i)/gridPoints))/2
	}
	unknowns := p.num + p.den + 2 // the coefficients and the levelled error
	nodes := make([]float64, unknowns)
	for i := range nodes {
		nodes[i] = p.lo + (p.hi-p.lo)*(1-math.Cos(math.Pi*(float64(i)+0.5)/float64(unknowns)))/2
	}
	den = []float64{1}
	for range 60 {
		var level float64
		if num, den, level, err = p.level(nodes, den); err != nil {
			return nil, nil, 0, err
		}
		e := func(x float64) float64 { return p.weight(x) * (eval(num, x)/eval(den, x) - p.f(x)) }
		nodes, worst = exchange(grid, e, unknowns)
		if len(nodes) < unknowns {
			return nil, nil, 0, fmt.Errorf("the error has %d extrema, want %d", len(nodes), unknowns)
		}
		if worst <= math.Abs(level)*1.0001 {
			return num, den, worst, nil
		}
	}
	return nil, nil, 0, fmt.Errorf("no convergence; the error is %g", worst)
}

// level finds the coefficients for which the error has equal size and alternating sign at the nodes. The product of the
// error and the denominator is taken with the denominator of the last round.
func (p problem) level(nodes, lastDen []float64) (num, den []float64, level float64, err error) {
	n := len(nodes)
	m := make([][]*big.Float, n)
	sign := 1.0
	for i, x := range nodes {
		row := make([]float64, 0, n+1)
		for j := range p.num + 1 {
			row = append(row, math.Pow(x, float64(j)))
		}
		for j := 1; j <= p.den; j++ {
			row = append(row, -p.f(x)*math.Pow(x, float64(j)))
		}
		row = append(row, -sign*eval(lastDen, x)/p.weight(x), p.f(x))
		for _, v := range row {
			m[i] = append(m[i], new(big.Float).SetPrec(300).SetFloat64(v))
		}
		sign = -sign
	}
	solution, err := gauss(m)
	if err != nil {
		return nil, nil, 0, err
	}
	num = solution[:p.num+1]
	den = append([]float64{1}, solution[p.num+1:n-1]...)
	return num, den, solution[n-1], nil
}

func eval(coefficients []float64, x float64) float64 {
	var y float64
	for i := len(coefficients) - 1; i >= 0; i-- {
		y = y*x + coefficients[i]
	}
	return y
}

// exchange returns at most n points of the grid at which e has extrema of alternating sign, and the largest error.
func exchange(grid []float64, e func(float64) float64, n int) (nodes []float64, worst float64) {
	var errors []float64
	for _, x := range grid {
		v := e(x)
		worst = max(worst, math.Abs(v))
		last := len(nodes) - 1
		switch {
		case last < 0 || math.Signbit(v) != math.Signbit(errors[last]):
			nodes, errors = append(nodes, x), append(errors, v)
		case math.Abs(v) > math.Abs(errors[last]):
			nodes[last], errors[last] = x, v
		}
	}
	for len(nodes) > n { // drop the smaller end
		if math.Abs(errors[0]) < math.Abs(errors[len(errors)-1]) {
			nodes, errors = nodes[1:], errors[1:]
		} else {
			nodes, errors = nodes[:len(nodes)-1], errors[:len(errors)-1]
		}
	}
	return nodes, worst
}

// gauss solves the linear equations whose last column is the right side.
func gauss(m [][]*big.Float) ([]float64, error) {
	n := len(m)
	for c := range n {
		pivot := c
		for i := c + 1; i < n; i++ {
			if new(big.Float).Abs(m[i][c]).Cmp(new(big.Float).Abs(m[pivot][c])) > 0 {
				pivot = i
			}
		}
		if m[pivot][c].Sign() == 0 {
			return nil, fmt.Errorf("the equations are singular")
		}
		m[c], m[pivot] = m[pivot], m[c]
		for i := range n {
			if i == c {
				continue
			}
			factor := new(big.Float).Quo(m[i][c], m[c][c])
			for j := c; j <= n; j++ {
				m[i][j].Sub(m[i][j], new(big.Float).Mul(factor, m[c][j]))
			}
		}
	}
	x := make([]float64, n)
	for i := range x {
		x[i], _ = new(big.Float).Quo(m[i][n], m[i][i]).Float64()
	}
	return x, nil
}
