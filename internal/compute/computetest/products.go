package computetest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// productShapes calls add for each shape of a weight and number of rows, numbering them.
func productShapes(add func(i, rows, in, out int)) {
	i := 0
	for j, in := range widths {
		for _, out := range []int{widths[(j+1)%len(widths)], widths[(j+4)%len(widths)], in} {
			if testing.Short() && in*out > 100e3 {
				continue // slow on an emulated processor and under the race detector: what cuts large operands is the same code on all
			}
			for _, rows := range rowCounts {
				if rows*in*out > 12e6 {
					rows = 15 // enough of a product that large
				}
				add(i, rows, in, out)
				i++
			}
		}
	}
	// Rows at a stride of 4,096 bytes; several steps along the inner dimension; operands so large that a device may take
	// them in parts, of columns, of rows, and of both where they are gradients.
	for _, s := range [][3]int{{30, 1024, 70}, {1, 1024, 5}, {17, 1700, 33}, {2, 400, 1501}, {2, 2000, 300}, {750, 751, 2}} {
		if testing.Short() && max(s[0], s[2])*s[1] > 400e3 {
			continue
		}
		add(i, s[0], s[1], s[2])
		i++
	}
}

// strideOf is the distance of the rows of an operand in check i: 0, for the width; a little more; or a multiple of 4,096
// bytes, at which rows share their places in a cache.
func strideOf(i, width int) int {
	const crowded = 1024
	return []int{0, width + 7, (width + crowded) / crowded * crowded}[i%3]
}

// between stands between the rows of results, which an operation is not to write. Between those of other operands, which
// it is not to read, there is NaN.
const between = 0.125

// spread is x with its rows stride apart, or as it is with a stride of 0, and v between them.
func spread[T float32 | float64](x []T, rows, width, stride int, v T) []T {
	if stride == 0 {
		return x
	}
	s := make([]T, rows*stride)
	for i := range s {
		s[i] = v
	}
	for r := range rows {
		copy(s[r*stride:], x[r*width:][:width])
	}
	return s
}

// apart uploads rows to read.
func apart(d compute.Device, x []float32, rows, width, stride int) compute.Buffer {
	return upload(d, spread(x, rows, width, stride, float32(math.NaN())))
}

// filledApart is rows of NaNs, for results that are written.
func filledApart(d compute.Device, rows, width, stride int) compute.Buffer {
	return upload(d, spread(slices.Repeat([]float32{float32(math.NaN())}, rows*width), rows, width, stride, between))
}

func linearChecks(p compute.Precision) (checks []check) {
	productShapes(func(i, rows, in, out int) {
		f := compute.Activation(i % int(compute.SiLU+1))
		hasBias, hasPre, packed := i%5 != 4, i%2 == 0, i%3 == 0
		checks = append(checks, check{fmt.Sprintf("%d-%dx%dx%d", i, rows, in, out), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			x, w := data.normal(rows*in, 1), data.normal(out*in, 1/float64(1+in/4))
			var bias []float32
			var wideBias []float64
			if hasBias {
				bias = data.normal(out, 1)
				wideBias = wide(bias)
			}
			wideX, wideW := operand(p, x), operand(p, w)
			// At Int8, some weights are laid out to be rounded, if the device likes.
			// The largest of a few results may be small by chance: then a bound relative to it means little.
			blurred := p == compute.Int8 && packed && rows*out >= 100
			laid, bound := pack, forward
			if blurred && i%2 == 1 {
				laid, bound, blurred = packRounded, rounded, false
			}
			var exact []float64 // of operands that are not quantized, where they are
			if blurred {
				exact = linear(wideX, wideW, wideBias, rows, in, out)
				for i, v := range exact {
					exact[i] = activate(f, v)
				}
			}
			if p == compute.Int8 && packed && bound != rounded {
				wideX, wideW = quantize(x, in), quantize(w, in)
			}
			pre := linear(wideX, wideW, wideBias, rows, in, out)
			y := make([]float64, len(pre))
			for i, v := range pre {
				y[i] = activate(f, v)
			}
			xs, ys := strideOf(i, in), strideOf(i+1, out)
			y, pre = spread(y, rows, out, ys, between), spread(pre, rows, out, ys, between)
			return func(d compute.Device) operation {
				op := compute.Linear{
					Rows: rows, X: apart(d, x, rows, in, xs), XStride: xs, W: compute.Matrix{Weight: wrap(d, w), Out: out, In: in}, F: f,
					Y: filledApart(d, rows, out, ys), YStride: ys,
				}
				results := []result{inBuffer(d, "y", op.Y, y, bound)}
				if exact != nil {
					results = append(results, inBuffer(d, "y, of exact operands", op.Y, spread(exact, rows, out, ys, between), quantized))
				}
				if hasBias {
					op.Bias = upload(d, bias)
				}
				if hasPre {
					op.Pre = filledApart(d, rows, out, ys)
					results = append(results, inBuffer(d, "pre", op.Pre, pre, bound))
				}
				if packed {
					// Of two parts, as the query's, key's and value's weights stand in one.
					cut := out / 3 * in
					op.W.Packed = laid(d, out, in, op.W.Weight.Slice(0, cut), op.W.Weight.Slice(cut, out*in))
				}
				return operation{func() { d.Linear(&op) }, results}
			}
		}})
	})
	return checks
}

func linearInputGradChecks(p compute.Precision) (checks []check) {
	productShapes(func(i, rows, in, out int) {
		f := compute.Activation(i % int(compute.SiLU+1))
		add := f == compute.Identity && i%4 != 0
		checks = append(checks, check{fmt.Sprintf("%d-%dx%dx%d", i, rows, in, out), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			dy, w := data.normal(rows*out, 1), data.normal(out*in, 1/float64(1+out/4))
			pre, dx := data.normal(rows*in, 1), data.normal(rows*in, 1)
			want := linearInputGrad(operand(p, dy), operand(p, w), rows, in, out)
			for i, v := range pre {
				want[i] *= slope(f, float64(v))
			}
			if add {
				want = plus(want, wide(dx))
			}
			dys, dxs := strideOf(i+1, out), strideOf(i, in)
			want = spread(want, rows, in, dxs, between)
			return func(d compute.Device) operation {
				op := compute.LinearInputGrad{
					Rows: rows, DY: apart(d, dy, rows, out, dys), DYStride: dys, W: compute.Matrix{Weight: upload(d, w), Out: out, In: in},
					F: f, DX: filledApart(d, rows, in, dxs), DXStride: dxs, Add: add,
				}
				if add {
					op.DX = upload(d, spread(dx, rows, in, dxs, between))
				}
				if f != compute.Identity {
					op.Pre = apart(d, pre, rows, in, dxs)
				}
				return operation{func() { d.LinearInputGrad(&op) }, []result{inBuffer(d, "dx", op.DX, want, gradient)}}
			}
		}})
	})
	return checks
}

func linearWeightGradChecks(p compute.Precision) (checks []check) {
	productShapes(func(i, rows, in, out int) {
		hasBias := i%3 != 2 || rows > 1000 // always where the sums may be taken in parts
		checks = append(checks, check{fmt.Sprintf("%d-%dx%dx%d", i, rows, in, out), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			dy, x := data.normal(rows*out, 1), data.normal(rows*in, 1)
			dw, dbias := data.normal(out*in, 1), data.normal(out, 1)
			wantW := plus(linearWeightGrad(operand(p, dy), operand(p, x), rows, in, out), wide(dw))
			wantBias := plus(columnSums(wide(dy), rows, out), wide(dbias))
			dys, xs := strideOf(i, out), strideOf(i+1, in)
			return func(d compute.Device) operation {
				op := compute.LinearWeightGrad{
					Rows: rows, Out: out, In: in, DY: apart(d, dy, rows, out, dys), DYStride: dys, X: apart(d, x, rows, in, xs), XStride: xs,
					DW: upload(d, dw),
				}
				results := []result{inBuffer(d, "dw", op.DW, wantW, gradient)}
				if hasBias {
					op.DBias = upload(d, dbias)
					results = append(results, inBuffer(d, "dbias", op.DBias, wantBias, gradient))
				}
				return operation{func() { d.LinearWeightGrad(&op) }, results}
			}
		}})
	})
	return checks
}
