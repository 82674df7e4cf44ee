package computetest

import (
	"fmt"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// feedForwardShapes calls add for rows and the widths of the input, the hidden layer and the output, numbering them. Those of
// many rows and columns are cut into blocks and stripes.
func feedForwardShapes(add func(i, rows, in, hidden, out int)) {
	for i, s := range [][4]int{
		{0, 5, 7, 3}, {1, 1, 1, 1}, {1, 20, 36, 5}, {2, 36, 96, 36}, {13, 96, 100, 96}, {13, 5, 300, 5}, {129, 48, 100, 36},
		{129, 96, 384, 96}, {700, 20, 36, 48}, {1000, 5, 20, 5}, {300, 64, 1024, 33},
	} {
		add(i, s[0], s[1], s[2], s[3])
	}
	if !testing.Short() {
		add(11, 200, 1700, 70, 5) // several steps along the inner dimension of each product
		add(12, 200, 5, 1700, 20)
		add(13, 5, 400, 1501, 5) // a weight that a device may take in parts
	}
}

func feedForwardChecks(p compute.Precision) (checks []check) {
	feedForwardShapes(func(i, rows, in, hidden, out int) {
		f := compute.Activation(i % int(compute.SiLU+1))
		hasBias, hasPre, packed := i%5 != 4, i%2 == 1, i%3 != 1
		checks = append(checks, check{fmt.Sprintf("%d-%dx%dx%dx%d", i, rows, in, hidden, out), func(data *inputs, _ compute.Device) func(compute.Device) operation {
			x := data.normal(rows*in, 1)
			w1, w2 := data.normal(hidden*in, 1/float64(1+in/4)), data.normal(out*hidden, 1/float64(1+hidden/4))
			var bias1, bias2 []float32
			var wide1, wide2 []float64
			if hasBias {
				bias1, bias2 = data.normal(hidden, 1), data.normal(out, 1)
				wide1, wide2 = wide(bias1), wide(bias2)
			}
			take := func(x []float32, width int) []float64 {
				if p == compute.Int8 && packed {
					return quantize(x, width)
				}
				return operand(p, x)
			}
			pre := linear(take(x, in), take(w1, in), wide1, rows, in, hidden)
			inner := make([]float64, len(pre))
			for i, v := range pre {
				inner[i] = activate(f, v)
			}
			y := linear(take(narrow(inner), hidden), take(w2, hidden), wide2, rows, hidden, out)
			ps := strideOf(i, hidden)
			pre = spread(pre, rows, hidden, ps, between)
			return func(d compute.Device) operation {
				op := compute.FeedForward{
					Rows: rows, X: upload(d, x), F: f, Y: filled(d, rows*out),
					W1: compute.Matrix{Weight: wrap(d, w1), Out: hidden, In: in}, W2: compute.Matrix{Weight: wrap(d, w2), Out: out, In: hidden},
				}
				if packed {
					op.W1.Packed, op.W2.Packed = pack(d, hidden, in, op.W1.Weight), pack(d, out, hidden, op.W2.Weight)
				}
				if hasBias {
					op.Bias1, op.Bias2 = upload(d, bias1), upload(d, bias2)
				}
				results := []result{inBuffer(d, "y", op.Y, y, boundsAt(p).between)}
				if hasPre {
					op.Pre, op.PreStride = filledApart(d, rows, hidden, ps), ps
					results = append(results, inBuffer(d, "pre", op.Pre, pre, forward))
				}
				return operation{func() { d.FeedForward(&op) }, results}
			}
		}})
	})
	return checks
}

// testFeedForward asserts that a feed-forward network has the same bits whatever its rows are cut into and with whatever others they
// are, those of its two products at Float32, and leaves the same input of the activation. Where what is between the products is rounded,
// it may be a neighbour of what the second product would make of the activation.
func testFeedForward(t *testing.T, p compute.Precision, devices []compute.Device) {
	in := newInputs("feed-forward")
	const width, hidden, out = 40, 200, 24
	x, w1, w2 := in.normal(1000*width, 1), in.normal(hidden*width, 0.1), in.normal(out*hidden, 0.1)
	bias1, bias2 := in.normal(hidden, 1), in.normal(out, 1)
	bound := boundsAt(p).between
	if p == compute.Float32 {
		bound = exact
	}
	all := map[bool][]float64{} // of most rows, packed or not
	for _, d := range devices {
		for _, rows := range []int{1000, 200, 50, 1} {
			for _, packed := range []bool{false, true} {
				first := compute.Linear{
					Rows: rows, X: wrap(d, x[:rows*width]), W: compute.Matrix{Weight: wrap(d, w1), Out: hidden, In: width}, Bias: wrap(d, bias1),
					F: compute.GELU, Pre: filled(d, rows*hidden), Y: filled(d, rows*hidden),
				}
				second := compute.Linear{Rows: rows, X: first.Y, W: compute.Matrix{Weight: wrap(d, w2), Out: out, In: hidden}, Bias: wrap(d, bias2), Y: filled(d, rows*out)}
				if packed {
					first.W.Packed, second.W.Packed = pack(d, hidden, width, first.W.Weight), pack(d, out, hidden, second.W.Weight)
				}
				d.Linear(&first)
				d.Linear(&second)
				products := wide(download(d, second.Y))
				both := compute.FeedForward{
					Rows: rows, X: first.X, W1: first.W, Bias1: first.Bias, F: first.F, W2: second.W, Bias2: second.Bias, Y: filled(d, rows*out),
				}
				d.FeedForward(&both)
				what := fmt.Sprintf("%d rows on %d threads, packed: %v: y", rows, d.Threads(), packed)
				inBuffer(d, what, both.Y, products, bound).check(t)
				if all[packed] == nil {
					all[packed] = wide(download(d, both.Y))
				}
				inBuffer(d, what+" beside 1000 rows", both.Y, all[packed][:rows*out], exact).check(t)
				both.Pre, both.Y = filled(d, rows*hidden), filled(d, rows*out)
				d.FeedForward(&both)
				inBuffer(d, what+" with pre", both.Y, products, bound).check(t)
				equal(t, d, what+": pre", both.Pre, first.Pre)
			}
		}
	}
}

// testOperands asserts that a product of an operand has the bits of that of the values, of whatever operation leaves it.
func testOperands(t *testing.T, devices []compute.Device) {
	in := newInputs("operands")
	const tokens, most = 43, 90
	for _, d := range devices {
		for _, s := range [][2]int{{1, 1}, {2, 4}, {3, 5}, {5, 18}, {1, 64}} { // heads and their size
			width := s[0] * s[1]
			size := d.OperandSize(width)
			if size == 0 {
				continue
			}
			w := compute.Matrix{Weight: upload(d, in.normal(most*width, 1)), Out: most, In: width}
			row := upload(d, in.around(width, 1))
			x := upload(d, in.normal(tokens*3*width, 1))
			starts := []int{0, 1, 13, tokens}
			mean, rstd := alloc(d, tokens), alloc(d, tokens)
			check := func(name string, rows int, leave func(y, operand compute.Buffer)) {
				t.Helper()
				y, operand, got, want := filled(d, rows*width), filled(d, rows*size), filled(d, rows*most), filled(d, rows*most)
				leave(y, operand)
				linear := compute.Linear{Rows: rows, X: y, W: w, Y: want}
				d.Linear(&linear)
				linear.X, linear.Operand, linear.Y = compute.Buffer{}, operand, got
				d.Linear(&linear)
				equal(t, d, fmt.Sprintf("%s of %d×%d on %d threads", name, s[0], s[1], d.Threads()), got, want)

				back := compute.Matrix{Weight: upload(d, in.normal(width*most, 1)), Out: width, In: most}
				both := compute.FeedForward{Rows: rows, X: y, W1: w, F: compute.ReLU, W2: back, Y: filled(d, rows*width)}
				d.FeedForward(&both)
				fromValues := both.Y
				both.X, both.Operand, both.Y = compute.Buffer{}, operand, filled(d, rows*width)
				d.FeedForward(&both)
				equal(t, d, fmt.Sprintf("FeedForward after %s of %d×%d on %d threads", name, s[0], s[1], d.Threads()), both.Y, fromValues)
			}
			check("Norm", tokens, func(y, operand compute.Buffer) {
				d.Norm(&compute.Norm{
					Rows: tokens, Width: width, Eps: 1e-3, X: x.Slice(0, tokens*width), Gamma: row, Beta: row, S: y, Mean: mean, Rstd: rstd, Y: y,
					Operand: operand,
				})
			})
			ids := in.indices(tokens, tokens)
			check("Embedding", tokens, func(y, operand compute.Buffer) {
				table := x.Slice(0, tokens*width)
				d.Embedding(&compute.Embedding{
					Width: width, IDs: ids, PositionIDs: ids, TypeIDs: ids, Word: table, Position: table, Type: table, Gamma: row, Beta: row,
					Eps: 1e-3, Drop: compute.Drop{Rate: 0.1, Key: 7}, S: y, Mean: mean, Rstd: rstd, Y: y, Operand: operand,
				})
			})
			for _, first := range []bool{false, true} {
				rows := tokens
				if first {
					rows = len(starts) - 1
				}
				check(fmt.Sprintf("Attention, first only: %v,", first), rows, func(y, operand compute.Buffer) {
					op := compute.Attention{Heads: s[0], HeadSize: s[1], Starts: starts, QKV: x, FirstOnly: first, Context: y}
					d.Attention(&op)
					op.Context, op.Operand = compute.Buffer{}, operand
					d.Attention(&op)
				})
				check(fmt.Sprintf("Attention with context, first only: %v,", first), rows, func(y, operand compute.Buffer) {
					d.Attention(&compute.Attention{Heads: s[0], HeadSize: s[1], Starts: starts, QKV: x, FirstOnly: first, Context: y, Operand: operand})
				})
			}
		}
	}
}

// testFollowing asserts that a Norm that follows a product has the bits of one of its own, whatever rows are cut into, though it
// leaves its operand where that of the product was.
func testFollowing(t *testing.T, devices []compute.Device) {
	in := newInputs("following")
	const width, hidden, most = 40, 72, 1000
	x, residual := in.normal(most*width, 1), in.normal(most*width, 1)
	w1, w2, w := in.normal(hidden*width, 0.1), in.normal(width*hidden, 0.1), in.normal(width*width, 0.1)
	row := in.around(width, 1)
	for _, d := range devices {
		square := compute.Matrix{Weight: wrap(d, w), Out: width, In: width, Packed: pack(d, width, width, wrap(d, w))}
		up := compute.Matrix{Weight: wrap(d, w1), Out: hidden, In: width, Packed: pack(d, hidden, width, wrap(d, w1))}
		down := compute.Matrix{Weight: wrap(d, w2), Out: width, In: hidden}
		if p, _ := d.Precision(); p == compute.Int8 {
			down.Packed = pack(d, width, hidden, down.Weight)
		}
		for _, rows := range []int{1, 50, 200, most} {
			n := rows * width
			gamma := wrap(d, row)
			for _, kept := range []bool{false, true} {
				norm := compute.Norm{
					Rows: rows, Width: width, Eps: 1e-6, Residual: wrap(d, residual[:n]), Gamma: gamma, Beta: gamma, Mean: filled(d, rows), Rstd: filled(d, rows),
				}
				if kept {
					norm.Drop = compute.Drop{Rate: 0.2, Key: 9}
				}
				from := wrap(d, x[:n])
				// both runs a product and the Norm, and then the product that the Norm follows; the products of what they leave are compared too.
				both := func(name string, product func(operand, y compute.Buffer, norm *compute.Norm)) {
					size := d.OperandSize(width)
					operand := func() (b compute.Buffer) {
						if size > 0 {
							b = filled(d, rows*size)
							d.Norm(&compute.Norm{
								Rows: rows, Width: width, Eps: 1e-6, X: from, Gamma: gamma, Beta: gamma, Mean: alloc(d, rows), Rstd: alloc(d, rows),
								S: alloc(d, n), Y: alloc(d, n), Operand: b,
							})
						}
						return b
					}
					apart, sum := norm, filled(d, n)
					apart.X, apart.S, apart.Y, apart.Operand = sum, filled(d, n), filled(d, n), operand()
					product(operand(), sum, nil)
					d.Norm(&apart)
					after := norm
					var y compute.Buffer
					if kept {
						y = filled(d, n)
						after.S = y
					}
					after.Y, after.Operand = filled(d, n), operand()
					after.Mean, after.Rstd = filled(d, rows), filled(d, rows)
					product(after.Operand, y, &after)
					what := fmt.Sprintf("%s of %d rows on %d threads, kept: %v: ", name, rows, d.Threads(), kept)
					equal(t, d, what+"y", after.Y, apart.Y)
					equal(t, d, what+"mean", after.Mean, apart.Mean)
					equal(t, d, what+"rstd", after.Rstd, apart.Rstd)
					if kept {
						equal(t, d, what+"s", after.S, apart.S)
					}
					got, want := filled(d, n), filled(d, n)
					d.Linear(&compute.Linear{Rows: rows, X: after.Y, Operand: after.Operand, W: square, Y: got})
					d.Linear(&compute.Linear{Rows: rows, X: apart.Y, Operand: apart.Operand, W: square, Y: want})
					equal(t, d, what+"operand", got, want)
				}
				both("Linear", func(operand, y compute.Buffer, norm *compute.Norm) {
					d.Linear(&compute.Linear{Rows: rows, X: from, Operand: operand, W: square, Bias: gamma, Y: y, Norm: norm})
				})
				both("FeedForward", func(operand, y compute.Buffer, norm *compute.Norm) {
					d.FeedForward(&compute.FeedForward{Rows: rows, X: from, Operand: operand, W1: up, F: compute.GELU, W2: down, Bias2: gamma, Y: y, Norm: norm})
				})
			}
		}
	}
}

// testProductBefore asserts that attention has the bits of its product and itself one after the other, whatever sequences are done
// together.
func testProductBefore(t *testing.T, devices []compute.Device) {
	in := newInputs("product before")
	lengths := []int{0, 150, 3, 0, 200, 1}
	short := 40
	sizes := [][2]int{{2, 32}, {3, 5}, {2, 8}} // heads and their size
	if testing.Short() {
		short, sizes = 10, sizes[1:]
	}
	for i := range short {
		lengths = append(lengths, 1+i*17%48)
	}
	starts := []int{0}
	for _, n := range lengths {
		starts = append(starts, starts[len(starts)-1]+n)
	}
	for _, d := range devices {
		for _, s := range sizes {
			H := s[0] * s[1]
			w, row := wrap(d, in.normal(3*H*H, 0.3)), wrap(d, in.around(3*H, 0))
			for _, from := range []int{0, 1, len(lengths) - 3} { // all sequences, those but the first, the last three
				some := make([]int, 0, len(starts))
				T, probs := 0, 0
				for b, start := range starts[from:] {
					some = append(some, start-starts[from])
					if b > 0 {
						n := start - starts[from+b-1]
						T, probs = T+n, probs+s[0]*n*n
					}
				}
				x := upload(d, in.normal(T*H, 1))
				for i, packed := range []compute.Packed{nil, must(d.PackFloat(3*H, H, w)), must(d.PackRounded(3*H, H, w)), pack(d, 3*H, H, w), nil, must(d.PackRounded(3*H, H, w))} {
					product := compute.Linear{Rows: T, X: x, W: compute.Matrix{Weight: w, Out: 3 * H, In: H, Packed: packed}, Bias: row, Y: filled(d, 3*T*H)}
					d.Linear(&product)
					want := compute.Attention{
						Heads: s[0], HeadSize: s[1], Starts: some, QKV: product.Y, Drop: compute.Drop{Rate: 0.1, Key: 2},
						Context: filled(d, T*H), LSE: filled(d, T*s[0]), Probs: filled(d, probs),
					}
					if i >= 3 { // as in inference
						want.Drop, want.LSE, want.Probs = compute.Drop{}, compute.Buffer{}, compute.Buffer{}
					}
					d.Attention(&want)
					before, got := product, want
					before.Y = compute.Buffer{}
					got.Product, got.QKV, got.Context = &before, filled(d, 3*T*H), filled(d, T*H)
					if !want.LSE.None() {
						got.LSE, got.Probs = filled(d, T*s[0]), filled(d, probs)
					}
					d.Attention(&got)
					what := fmt.Sprintf("%d tokens, %d×%d, on %d threads, way %d: ", T, s[0], s[1], d.Threads(), i)
					equal(t, d, what+"qkv", got.QKV, want.QKV)
					equal(t, d, what+"context", got.Context, want.Context)
					if !want.LSE.None() {
						equal(t, d, what+"lse", got.LSE, want.LSE)
						equal(t, d, what+"probs", got.Probs, want.Probs)
					}
					got.QKV, got.LSE, got.Probs, got.Context = compute.Buffer{}, compute.Buffer{}, compute.Buffer{}, filled(d, T*H)
					d.Attention(&got)
					equal(t, d, what+"context without qkv", got.Context, want.Context)

					if size := d.OperandSize(H); size > 0 {
						operand, width := filled(d, T*size), compute.Matrix{Weight: w.Slice(0, H*H), Out: H, In: H}
						y, z := filled(d, T*H), filled(d, T*H)
						d.Norm(&compute.Norm{
							Rows: T, Width: H, Eps: 1, X: x, Gamma: row.Slice(0, H), Beta: row.Slice(0, H), S: alloc(d, T*H), Mean: alloc(d, T), Rstd: alloc(d, T),
							Y: before.X, Operand: operand,
						})
						got.Operand = filled(d, T*size)
						d.Attention(&got)
						d.Linear(&compute.Linear{Rows: T, X: got.Context, Operand: got.Operand, W: width, Y: y})
						before.Operand, got.Operand, got.Context = operand, operand, compute.Buffer{}
						d.Attention(&got)
						d.Linear(&compute.Linear{Rows: T, Operand: operand, W: width, Y: z})
						equal(t, d, what+"operand in place", z, y)
						before.Operand = compute.Buffer{}
					}
				}
			}
		}
	}

	// Of first queries alone.
	some := []int{0}
	for len(some) < 30 {
		some = append(some, some[len(some)-1]+1+len(some)*13%60)
	}
	T, B := some[len(some)-1], len(some)-1
	const A, D, H = 2, 8, 16
	x, w := in.normal(T*H, 1), in.normal(3*H*H, 0.3)
	for _, d := range devices {
		product := compute.Linear{Rows: T, X: wrap(d, x), W: compute.Matrix{Weight: wrap(d, w), Out: 3 * H, In: H}, Y: filled(d, 3*T*H)}
		d.Linear(&product)
		want := compute.Attention{Heads: A, HeadSize: D, Starts: some, QKV: product.Y, FirstOnly: true, Context: filled(d, B*H)}
		d.Attention(&want)
		got := want
		product.Y = compute.Buffer{}
		got.Product, got.QKV, got.Context = &product, compute.Buffer{}, filled(d, B*H)
		d.Attention(&got)
		equal(t, d, fmt.Sprintf("first queries on %d threads", d.Threads()), got.Context, want.Context)
	}
}
