package reference

import "math"

// matrix is a value of the computation with its gradient, row by row.
type matrix struct {
	rows, cols  int
	value, grad []float64
}

func newMatrix(rows, cols int) *matrix {
	return &matrix{rows: rows, cols: cols, value: make([]float64, rows*cols), grad: make([]float64, rows*cols)}
}

func (m *matrix) row(r int) []float64     { return m.value[r*m.cols:][:m.cols] }
func (m *matrix) gradRow(r int) []float64 { return m.grad[r*m.cols:][:m.cols] }

// tape remembers how to go back through each operation (reverse-mode differentiation). An operation adds to the gradients
// of its operands.
type tape struct{ steps []func() }

func (t *tape) push(back func()) { t.steps = append(t.steps, back) }

// backward goes back from loss, a single number.
func (t *tape) backward(loss *matrix) {
	loss.grad[0] = 1
	for i := len(t.steps) - 1; i >= 0; i-- {
		t.steps[i]()
	}
}

// product is a·b.
func (t *tape) product(a, b *matrix) *matrix {
	y := newMatrix(a.rows, b.cols)
	for i := range a.rows {
		for k, x := range a.row(i) {
			addScaled(y.row(i), x, b.row(k))
		}
	}
	t.push(func() {
		for i := range a.rows {
			dy := y.gradRow(i)
			for k, x := range a.row(i) {
				addScaled(b.gradRow(k), x, dy)
				sum := 0.0
				for j, w := range b.row(k) {
					sum += dy[j] * w
				}
				a.gradRow(i)[k] += sum
			}
		}
	})
	return y
}

// addScaled adds s·x to y.
func addScaled(y []float64, s float64, x []float64) {
	for i, v := range x {
		y[i] += s * v
	}
}

func (t *tape) transpose(a *matrix) *matrix {
	y := newMatrix(a.cols, a.rows)
	for i := range a.rows {
		for j := range a.cols {
			y.value[j*y.cols+i] = a.value[i*a.cols+j]
		}
	}
	t.push(func() {
		for i := range a.rows {
			for j := range a.cols {
				a.grad[i*a.cols+j] += y.grad[j*y.cols+i]
			}
		}
	})
	return y
}

// add is a + b; b may be a single row, which is added to each row of a.
func (t *tape) add(a, b *matrix) *matrix {
	y := newMatrix(a.rows, a.cols)
	for i := range y.value {
		y.value[i] = a.value[i] + b.value[i%len(b.value)]
	}
	t.push(func() {
		for i, d := range y.grad {
			a.grad[i] += d
			b.grad[i%len(b.value)] += d
		}
	})
	return y
}

func (t *tape) scale(a *matrix, s float64) *matrix {
	return t.each(a, func(x float64) (float64, float64) { return s * x, s })
}

// each applies f, which returns its value and its derivative, to every element.
func (t *tape) each(a *matrix, f func(x float64) (y, slope float64)) *matrix {
	y := newMatrix(a.rows, a.cols)
	slopes := make([]float64, len(a.value))
	for i, x := range a.value {
		y.value[i], slopes[i] = f(x)
	}
	t.push(func() {
		for i, d := range y.grad {
			a.grad[i] += d * slopes[i]
		}
	})
	return y
}

// gather takes rows of a, some perhaps more than once.
func (t *tape) gather(a *matrix, rows []int) *matrix {
	y := newMatrix(len(rows), a.cols)
	for i, r := range rows {
		copy(y.row(i), a.row(r))
	}
	t.push(func() {
		for i, r := range rows {
			for j, d := range y.gradRow(i) {
				a.gradRow(r)[j] += d
			}
		}
	})
	return y
}

// columns takes the columns from first to end.
func (t *tape) columns(a *matrix, first, end int) *matrix {
	y := newMatrix(a.rows, end-first)
	for i := range a.rows {
		copy(y.row(i), a.row(i)[first:end])
	}
	t.push(func() {
		for i := range a.rows {
			for j, d := range y.gradRow(i) {
				a.gradRow(i)[first+j] += d
			}
		}
	})
	return y
}

// beside puts matrices of equal height side by side.
func (t *tape) beside(parts []*matrix) *matrix {
	cols := 0
	for _, p := range parts {
		cols += p.cols
	}
	y := newMatrix(parts[0].rows, cols)
	at := 0
	for _, p := range parts {
		first := at
		for i := range p.rows {
			copy(y.row(i)[first:], p.row(i))
		}
		t.push(func() {
			for i := range p.rows {
				for j := range p.cols {
					p.gradRow(i)[j] += y.gradRow(i)[first+j]
				}
			}
		})
		at += p.cols
	}
	return y
}

// below puts matrices of equal width one below the other.
func (t *tape) below(parts []*matrix) *matrix {
	rows := 0
	for _, p := range parts {
		rows += p.rows
	}
	y := newMatrix(rows, parts[0].cols)
	at := 0
	for _, p := range parts {
		first := at
		copy(y.value[first:], p.value)
		t.push(func() {
			for i := range p.grad {
				p.grad[i] += y.grad[first+i]
			}
		})
		at += len(p.value)
	}
	return y
}

// reshape gives the elements other dimensions.
func (t *tape) reshape(a *matrix, rows, cols int) *matrix {
	y := newMatrix(rows, cols)
	copy(y.value, a.value)
	t.push(func() {
		for i, d := range y.grad {
			a.grad[i] += d
		}
	})
	return y
}

// softmax is over each row.
func (t *tape) softmax(a *matrix) *matrix {
	y := newMatrix(a.rows, a.cols)
	for i := range a.rows {
		total := logSumExp(a.row(i))
		for j, x := range a.row(i) {
			y.row(i)[j] = math.Exp(x - total)
		}
	}
	t.push(func() {
		for i := range a.rows {
			mean := 0.0
			for j, p := range y.row(i) {
				mean += p * y.gradRow(i)[j]
			}
			for j, p := range y.row(i) {
				a.gradRow(i)[j] += p * (y.gradRow(i)[j] - mean)
			}
		}
	})
	return y
}

// normalize brings each row to mean 0 and variance 1, but for eps.
func (t *tape) normalize(a *matrix, eps float64) *matrix {
	y := newMatrix(a.rows, a.cols)
	width := float64(a.cols)
	inverse := make([]float64, a.rows) // 1/√(variance + eps)
	for i := range a.rows {
		mean, variance := 0.0, 0.0
		for _, x := range a.row(i) {
			mean += x / width
		}
		for _, x := range a.row(i) {
			variance += (x - mean) * (x - mean) / width
		}
		inverse[i] = 1 / math.Sqrt(variance+eps)
		for j, x := range a.row(i) {
			y.row(i)[j] = (x - mean) * inverse[i]
		}
	}
	t.push(func() {
		for i := range a.rows {
			mean, along := 0.0, 0.0
			for j, d := range y.gradRow(i) {
				mean += d / width
				along += d * y.row(i)[j] / width
			}
			for j, d := range y.gradRow(i) {
				a.gradRow(i)[j] += (d - mean - y.row(i)[j]*along) * inverse[i]
			}
		}
	})
	return y
}

// times multiplies each row of a by the single row b, element by element.
func (t *tape) times(a, b *matrix) *matrix {
	y := newMatrix(a.rows, a.cols)
	for i, x := range a.value {
		y.value[i] = x * b.value[i%a.cols]
	}
	t.push(func() {
		for i, d := range y.grad {
			a.grad[i] += d * b.value[i%a.cols]
			b.grad[i%a.cols] += d * a.value[i]
		}
	})
	return y
}

// crossEntropy is −log softmax of each row at its label, one column. A row with a negative label has 0.
func (t *tape) crossEntropy(a *matrix, labels []int) *matrix {
	y := newMatrix(a.rows, 1)
	for i, label := range labels {
		if label >= 0 {
			y.value[i] = logSumExp(a.row(i)) - a.row(i)[label]
		}
	}
	t.push(func() {
		for i, label := range labels {
			if label < 0 {
				continue
			}
			total := logSumExp(a.row(i))
			for j, x := range a.row(i) {
				p := math.Exp(x - total)
				if j == label {
					p--
				}
				a.gradRow(i)[j] += y.grad[i] * p
			}
		}
	})
	return y
}

// sum is the sum of all elements.
func (t *tape) sum(a *matrix) *matrix {
	y := newMatrix(1, 1)
	for _, x := range a.value {
		y.value[0] += x
	}
	t.push(func() {
		for i := range a.grad {
			a.grad[i] += y.grad[0]
		}
	})
	return y
}

func logSumExp(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}
