package explain

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Matrix is points: a row each, one after another.
type Matrix struct {
	Rows, Columns int
	Values        []float64 // [Rows,Columns]
}

// NewMatrix is a matrix of zeros.
func NewMatrix(rows, columns int) *Matrix {
	return &Matrix{rows, columns, make([]float64, rows*columns)}
}

// MatrixOf copies rows of the same length.
func MatrixOf[T float32 | float64](rows [][]T) (*Matrix, error) {
	if len(rows) == 0 {
		return &Matrix{}, nil
	}
	m := NewMatrix(len(rows), len(rows[0]))
	for i, row := range rows {
		if len(row) != m.Columns {
			return nil, fmt.Errorf("point %d has %d numbers, the first %d: want as many", i, len(row), m.Columns)
		}
		for j, x := range row {
			m.Values[i*m.Columns+j] = float64(x)
		}
	}
	return m, nil
}

// Row is row i, in place.
func (m *Matrix) Row(i int) []float64 { return m.Values[i*m.Columns:][:m.Columns:m.Columns] }

// Select copies rows.
func (m *Matrix) Select(rows []int) *Matrix {
	out := NewMatrix(len(rows), m.Columns)
	for i, r := range rows {
		copy(out.Row(i), m.Row(r))
	}
	return out
}

// Normalize divides each row by its length, so that distances are those of angles: |a−b|² = 2 − 2·cos. Rows of zeros stay.
func (m *Matrix) Normalize() {
	for i := range m.Rows {
		row, squares := m.Row(i), 0.0
		for _, x := range row {
			squares += x * x
		}
		if squares == 0 {
			continue
		}
		length := math.Sqrt(squares)
		for j := range row {
			row[j] /= length
		}
	}
}

// ValueError is a number of a point that is none, or too large.
type ValueError struct {
	Row, Column int // from 0
	Value       float64
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("point %d, dimension %d: %v, want a number of at most %g by amount", e.Row, e.Column, e.Value, maxValue)
}

// maxValue is the largest number of a point, of which squares and their sums are finite.
const maxValue = 1e140

// minPoints is the least number of points that make a picture.
const minPoints = 5

// TooFewError says that there are not enough points for a picture.
type TooFewError struct{ Points int }

func (e *TooFewError) Error() string {
	if e.Points == 1 {
		return fmt.Sprintf("1 point, want at least %d", minPoints)
	}
	return fmt.Sprintf("%d points, want at least %d", e.Points, minPoints)
}

// check reports the first thing in m that makes it no set of points.
func (m *Matrix) check() error {
	switch {
	case m.Rows < 0 || m.Columns < 0 || len(m.Values) != m.Rows*m.Columns:
		return fmt.Errorf("%d numbers of %d points with %d each", len(m.Values), m.Rows, m.Columns)
	case m.Rows < minPoints:
		return &TooFewError{m.Rows}
	case m.Columns == 0:
		return fmt.Errorf("points of no dimension")
	}
	for i, x := range m.Values {
		if !(math.Abs(x) <= maxValue) {
			return &ValueError{i / m.Columns, i % m.Columns, x}
		}
	}
	return nil
}

// threadsOf is a number of threads, of which 0 means all.
func threadsOf(threads int) int {
	if threads <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return threads
}

// parallel calls do for runs that make up [0, n), on so many goroutines. What do does for a number must not depend on the run
// that it is in.
func parallel(threads, n int, do func(from, to int)) {
	const runs = 8 // a thread, so that all end at about the same time
	run := max(1, (n+runs*threads-1)/(runs*threads))
	if threads == 1 || n <= run {
		do(0, n)
		return
	}
	var (
		next atomic.Int64
		wait sync.WaitGroup
	)
	for range min(threads, (n+run-1)/run) {
		wait.Go(func() {
			for {
				from := int(next.Add(int64(run))) - run
				if from >= n {
					return
				}
				do(from, min(from+run, n))
			}
		})
	}
	wait.Wait()
}

// squaredDistance is |a−b|².
func squaredDistance(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1 float64
	i := 0
	for ; i+1 < len(a); i += 2 {
		d0, d1 := a[i]-b[i], a[i+1]-b[i+1]
		s0 += d0 * d0
		s1 += d1 * d1
	}
	if i < len(a) {
		d := a[i] - b[i]
		s0 += d * d
	}
	return s0 + s1
}
