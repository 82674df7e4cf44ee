package bertgraph

import (
	"math"
	"slices"

	"github.com/go-bert/bert/internal/onnx"
)

// integers are a matrix of 8-bit integers with what makes numbers of them: scale·(stored − zero). Scale and zero, which may be nil, are
// one for all, or one for each index along an axis.
type integers struct {
	stored      *array
	scale, zero *array
	axis        int
}

// reshaped follows a change of shape that leaves the last two dimensions, and drops others of 1; else there are no integers any more.
func (q *integers) reshaped(from, to []int) *integers {
	n := len(from) - 2
	if q == nil || n < 0 || len(to) != 2 || !slices.Equal(from[n:], to) || slices.ContainsFunc(from[:n], func(d int) bool { return d != 1 }) {
		return nil
	}
	return &integers{stored: q.stored.reshaped(to...), scale: q.scale, zero: q.zero, axis: q.axis - n}
}

// transposed is q with its rows as columns.
func (q *integers) transposed() *integers {
	if q == nil || len(q.stored.shape) != 2 {
		return nil
	}
	return &integers{stored: q.stored.transposed(), scale: q.scale, zero: q.zero, axis: 1 - q.axis}
}

// part is the rows from one to before another.
func (q *integers) part(from, to int) *integers {
	if q == nil || len(q.stored.shape) != 2 {
		return nil
	}
	along := func(v *array) *array {
		if v == nil || v.len() == 1 || q.axis != 0 {
			return v
		}
		return v.reshaped(v.len()).part(from, to)
	}
	return &integers{stored: q.stored.part(from, to), scale: along(q.scale), zero: along(q.zero), axis: q.axis}
}

// Integers are the elements of a parameter [rows, columns] as symmetric integers, from −127 to 127, and the scale of each row, if the
// graph holds them so that no bit of the numbers changes. ok says whether it does: not where a scale is of a column, or an integer
// less its zero point is beyond that range.
func (r *Result) Integers(p *Parameter) (values []byte, scales []float32, ok bool, err error) {
	q := p.integers
	if q == nil || len(p.Shape) != 2 {
		return nil, nil, false, nil
	}
	rows, columns := p.Shape[0], p.Shape[1]
	fits := func(v *array) bool { return v.len() == 1 || q.axis == 0 && v.vector() == rows }
	if !slices.Equal(q.stored.shape, p.Shape) || !fits(q.scale) || q.zero != nil && !fits(q.zero) {
		return nil, nil, false, nil
	}
	byRow := func(v *array) ([]float32, error) {
		numbers, err := v.numbers(r.budget)
		if err == nil && len(numbers) == 1 {
			numbers = slices.Repeat(numbers, rows)
		}
		return numbers, err
	}
	if scales, err = byRow(q.scale); err != nil {
		return nil, nil, false, err
	}
	zeros := make([]float32, rows)
	if q.zero != nil {
		if zeros, err = byRow(q.zero); err != nil {
			return nil, nil, false, err
		}
	}
	stored, err := q.stored.load(r.budget)
	if err != nil {
		return nil, nil, false, err
	}
	if values, err = r.budget.bytes(len(stored)); err != nil {
		return nil, nil, false, err
	}
	const most = 127
	signed := q.stored.typ == onnx.Int8
	for i := range rows {
		zero := int(zeros[i])
		if !(scales[i] > 0 && scales[i] <= math.MaxFloat32) || float32(zero) != zeros[i] {
			return nil, nil, false, nil
		}
		for j, b := range stored[i*columns:][:columns] {
			v := int(b)
			if signed {
				v = int(int8(b))
			}
			if v -= zero; v < -most || v > most {
				return nil, nil, false, nil
			}
			values[i*columns+j] = byte(int8(v))
		}
	}
	return values, scales, true, nil
}
