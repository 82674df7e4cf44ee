package computetest

import (
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// testAlone compares the rows of batched operations with the same rows alone, bit for bit.
func testAlone(t *testing.T, d compute.Device) {
	same := func(t *testing.T, name string, got, want []float32) {
		t.Helper()
		if at := differ(wide(got), wide(want)); at >= 0 || len(got) != len(want) {
			t.Errorf("%s: the bits alone differ from those in the batch, first at %d", name, at)
		}
	}
	for _, width := range widths {
		const rows = 129
		in := newInputs("alone")
		out := 2*width + 3
		x, w, bias := in.normal(rows*width, 1), wrap(d, in.normal(out*width, 1)), wrap(d, in.normal(out, 1))
		gamma, beta := wrap(d, in.around(width, 1)), wrap(d, in.normal(width, 1))
		ids := in.indices(rows, words)
		table := wrap(d, in.normal(words*width, 1))
		packed := pack(d, out, width, w)

		// batch is the results of rows from…to.
		batch := func(from, to int) (outputs [3][]float32) {
			n := to - from
			part := wrap(d, x[from*width:to*width])
			y := filled(d, n*out)
			d.Linear(&compute.Linear{Rows: n, X: part, W: compute.Matrix{Weight: w, Out: out, In: width, Packed: packed}, Bias: bias, F: compute.GELU, Y: y})
			d.Activate(compute.Tanh, y, y)
			s, mean, rstd := filled(d, n*width), filled(d, n), filled(d, n)
			normed, embedded := filled(d, n*width), filled(d, n*width)
			d.Norm(&compute.Norm{Rows: n, Width: width, Eps: 1e-12, X: part, Residual: part, Gamma: gamma, Beta: beta, S: s, Mean: mean, Rstd: rstd, Y: normed})
			d.Embedding(&compute.Embedding{
				Width: width, IDs: ids[from:to], PositionIDs: ids[from:to], TypeIDs: ids[from:to], Word: table, Position: table, Type: table,
				Gamma: gamma, Beta: beta, Eps: 1e-12, S: s, Mean: mean, Rstd: rstd, Y: embedded,
			})
			return [...][]float32{download(d, y), download(d, normed), download(d, embedded)}
		}
		all := batch(0, rows)
		for _, span := range [][2]int{{0, 1}, {5, 6}, {128, 129}, {3, 17}, {100, 129}} {
			part := batch(span[0], span[1])
			for i, name := range []string{"Linear and Activate", "Norm", "Embedding"} {
				each := len(all[i]) / rows
				same(t, name, part[i], all[i][span[0]*each:span[1]*each])
			}
		}
	}

	starts := []int{0, 40, 41, 171, 173}
	const count, size = 3, 16
	const hidden = count * size
	qkv := newInputs("alone").normal(starts[len(starts)-1]*3*hidden, 1)
	attend := func(starts []int, qkv []float32) []float32 {
		context := filled(d, len(qkv)/3)
		d.Attention(&compute.Attention{Heads: count, HeadSize: size, Starts: starts, QKV: wrap(d, qkv), Context: context})
		return download(d, context)
	}
	all := attend(starts, qkv)
	for b := range len(starts) - 1 {
		from, to := starts[b], starts[b+1]
		same(t, "Attention", attend([]int{0, to - from}, qkv[from*3*hidden:to*3*hidden]), all[from*hidden:to*hidden])
	}
}

// testDropout looks at the masks themselves.
func testDropout(t *testing.T, d compute.Device) {
	const rows, width = 129, 768
	differing := func(a, b []float64) (n int) {
		for i := range a {
			if (a[i] == 0) != (b[i] == 0) {
				n++
			}
		}
		return n
	}
	for _, rate := range []float32{0.1, 0.5, 0.9} {
		m := mask(d, rows, width, compute.Drop{Rate: rate, Key: 1})
		kept := 0
		for i, v := range m {
			if v == 0 {
				continue
			}
			kept++
			// A device may take the rate in steps of 1/65,536.
			if want := 1 / (1 - float64(rate)); !(math.Abs(v-want) <= want*want/65536) {
				t.Fatalf("rate %v: element %d is multiplied by %v, want %v", rate, i, v, want)
			}
		}
		const deviations = 5 // a fair generator passes all but one key in a million
		n, p := float64(rows*width), 1-float64(rate)
		if off := math.Abs(float64(kept) - n*p); off > deviations*math.Sqrt(n*p*(1-p)) {
			t.Errorf("rate %v: %d of %v kept", rate, kept, n)
		}
		// Masks under different keys, and rows of one mask, agree by chance only.
		wantDiffering := 2 * p * (1 - p) * n
		for _, key := range []uint64{2, 1 << 32} {
			if got := float64(differing(m, mask(d, rows, width, compute.Drop{Rate: rate, Key: key}))); got < 0.9*wantDiffering {
				t.Errorf("rate %v: the masks of keys 1 and %d differ in %v elements, want about %.0f", rate, key, got, wantDiffering)
			}
		}
		if got := float64(differing(m[:width*(rows-1)], m[width:])); got < 0.9*wantDiffering {
			t.Errorf("rate %v: successive rows differ in %v elements, want about %.0f", rate, got, wantDiffering)
		}
	}
	for i, v := range mask(d, rows, width, compute.Drop{Key: 5}) {
		if v != 1 {
			t.Fatalf("rate 0: element %d is multiplied by %v", i, v)
		}
	}
}

// testNaN asserts that a NaN among the logits shows in the loss, wherever it stands.
func testNaN(t *testing.T, d compute.Device) {
	for _, n := range []int{1, 2, 17, 100} {
		for _, at := range []int{0, n / 2, n - 1} {
			logits := make([]float32, 2*n)
			logits[2*at] = float32(math.NaN())
			one := logits[:n]
			if n > 1 {
				one = make([]float32, n)
				one[at] = float32(math.NaN())
			}
			loss := func(rows int, issue func(at compute.Losses)) float64 {
				into, sum := newLossRows(d, rows), 0.0
				issue(into.where)
				for _, l := range into.read() {
					sum += l
				}
				return sum
			}
			uniform := make([]float32, n)
			for i := range uniform {
				uniform[i] = 1 / float32(n)
			}
			for name, loss := range map[string]float64{
				"CrossEntropy": loss(1, func(at compute.Losses) {
					d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Labels: []int32{0}, Scale: 1, Losses: at})
				}),
				"CrossEntropy with its gradient": loss(1, func(at compute.Losses) {
					d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Labels: []int32{0}, Scale: 1, DLogits: alloc(d, n), Losses: at})
				}),
				"CrossEntropy with targets": loss(1, func(at compute.Losses) {
					d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Targets: uniform, Scale: 1, Losses: at})
				}),
				"SpanLoss": loss(1, func(at compute.Losses) {
					d.SpanLoss(&compute.SpanLoss{Starts: []int{0, n}, Logits: upload(d, logits), Labels: []int32{0}, Scale: 1, Losses: at})
				}),
				"BinaryCrossEntropy": loss(n, func(at compute.Losses) {
					d.BinaryCrossEntropy(&compute.BinaryCrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Targets: make([]float32, n), Scale: 1, Losses: at})
				}),
				"SquaredError": loss(n, func(at compute.Losses) {
					d.SquaredError(&compute.SquaredError{Rows: n, Logits: upload(d, one), Targets: make([]float32, n), Scale: 1, Losses: at})
				}),
				"SumSquares": sumSquares(d, upload(d, one)),
			} {
				if !math.IsNaN(loss) {
					t.Errorf("%s of %d logits with a NaN at %d is %v", name, n, at, loss)
				}
			}
		}
	}
}

// testExtremes asserts that finite logits of any size give finite losses and gradients.
func testExtremes(t *testing.T, d compute.Device) {
	finite := func(name string, values ...float64) {
		t.Helper()
		for i, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s[%d] is %v", name, i, v)
			}
		}
	}
	logits := []float32{1e30, -1e30, 0, 1e30, 5e4, -1e4, 88, -104}
	n := len(logits)
	grad := filled(d, n)
	into := newLossRows(d, n)
	for label := range int32(n) {
		d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, logits), Labels: []int32{label}, Scale: 1, DLogits: grad, Losses: into.where})
		finite("CrossEntropy", into.read()...)
		finite("its gradient", wide(download(d, grad))...)
	}
	d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, logits), Targets: newInputs("extremes").distributions(1, n), Scale: 1, DLogits: grad, Losses: into.where})
	finite("CrossEntropy with targets", into.read()...)
	finite("its gradient", wide(download(d, grad))...)
	for column := range 2 {
		d.SpanLoss(&compute.SpanLoss{Starts: []int{0, n / 2}, Logits: upload(d, logits), Column: column, Labels: []int32{1}, Scale: 1, DLogits: grad, Losses: into.where})
		finite("SpanLoss", into.read()...)
	}
	finite("its gradient", wide(download(d, grad))...)
	d.BinaryCrossEntropy(&compute.BinaryCrossEntropy{Rows: 1, Classes: n, Logits: upload(d, logits), Targets: make([]float32, n), Scale: 1, DLogits: grad, Losses: into.where})
	finite("BinaryCrossEntropy", into.read()...)
	finite("its gradient", wide(download(d, grad))...)
}

// testMisfits asserts that mistakes of the caller panic, and leave the device in order.
func testMisfits(t *testing.T, d compute.Device) {
	for name, mistake := range map[string]func(){
		"too short an input": func() {
			d.Linear(&compute.Linear{Rows: 2, X: alloc(d, 5), W: compute.Matrix{Weight: alloc(d, 9), Out: 3, In: 3}, Y: alloc(d, 6)})
		},
		"a missing weight": func() {
			d.Linear(&compute.Linear{Rows: 2, X: alloc(d, 6), W: compute.Matrix{Out: 3, In: 3}, Y: alloc(d, 6)})
		},
		"rows nearer than their width": func() {
			d.Linear(&compute.Linear{Rows: 2, X: alloc(d, 6), XStride: 2, W: compute.Matrix{Weight: alloc(d, 9), Out: 3, In: 3}, Y: alloc(d, 6)})
		},
		"rows farther apart than the buffer has them": func() {
			d.Linear(&compute.Linear{Rows: 2, X: alloc(d, 6), W: compute.Matrix{Weight: alloc(d, 9), Out: 3, In: 3}, Y: alloc(d, 6), YStride: 4})
		},
		"a hidden layer of two widths": func() {
			d.FeedForward(&compute.FeedForward{
				Rows: 1, X: alloc(d, 2), W1: compute.Matrix{Weight: alloc(d, 6), Out: 3, In: 2}, W2: compute.Matrix{Weight: alloc(d, 8), Out: 2, In: 4},
				Y: alloc(d, 2),
			})
		},
		"attention after a product of another width": func() {
			d.Attention(&compute.Attention{
				Heads: 1, HeadSize: 2, Starts: []int{0, 1}, Context: alloc(d, 2),
				Product: &compute.Linear{Rows: 1, X: alloc(d, 2), W: compute.Matrix{Weight: alloc(d, 8), Out: 4, In: 2}},
			})
		},
		"a Norm of another width than its product": func() {
			d.Linear(&compute.Linear{
				Rows: 1, X: alloc(d, 2), W: compute.Matrix{Weight: alloc(d, 8), Out: 4, In: 2},
				Norm: &compute.Norm{Rows: 1, Width: 2, Gamma: alloc(d, 2), Beta: alloc(d, 2), Mean: alloc(d, 1), Rstd: alloc(d, 1), Y: alloc(d, 2)},
			})
		},
		"attention that leaves nothing": func() {
			d.Attention(&compute.Attention{Heads: 1, HeadSize: 2, Starts: []int{0, 1}, QKV: alloc(d, 6)})
		},
		"an unknown activation": func() { d.Activate(99, alloc(d, 1), alloc(d, 1)) },
		"a rate of one":         func() { d.Dropout(alloc(d, 1), alloc(d, 1), 1, 1, compute.Drop{Rate: 1}) },
		"an index past the end": func() { d.Gather(alloc(d, 2), alloc(d, 4), []int32{2}, 2) },
		"a negative index":      func() { d.ScatterAdd(alloc(d, 4), alloc(d, 2), []int32{-1}, 2) },
		"losses past the end of their room": func() {
			d.SquaredError(&compute.SquaredError{Rows: 2, Logits: alloc(d, 2), Targets: make([]float32, 2), Losses: newLossRows(d, 0).where})
		},
		"a column that is not there": func() {
			d.SpanLoss(&compute.SpanLoss{Starts: []int{0, 1}, Logits: alloc(d, 2), Column: 2, Labels: []int32{0}})
		},
		"wrapped memory as a target": func() { d.Zero(wrap(d, make([]float32, 3))) },
		"a label past the classes": func() {
			d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: 2, Logits: alloc(d, 2), Labels: []int32{2}})
		},
		"rows that do not fill the weight": func() { pack(d, 3, 2, alloc(d, 4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			mistake()
			wait(d)
		}()
	}
	if got := sumSquares(d, upload(d, []float32{3, 4})); got != 25 {
		t.Errorf("after panics, SumSquares is %v, want 25", got)
	}
}

// testHostMemory asserts that a device has read what it is given in host memory when a call returns: the operation and its
// slices are spoilt at once, long before anybody waits.
func testHostMemory(t *testing.T, d compute.Device) {
	const rows, width, classes = 7, 12, 5
	in := newInputs("host memory")
	x, words := in.normal(rows*width, 1), in.normal(classes*width, 1)
	ids, starts, weights := in.indices(rows, classes), []int{0, 3, rows}, in.around(rows, 1)
	soft, values := in.distributions(rows, classes), in.normal(rows, 1)
	// run issues everything from copies of the inputs and returns what it has written; with spoil, each copy is overwritten
	// as soon as it has been handed over.
	run := func(spoil bool) []float32 {
		ints := func(x []int32) []int32 { return append([]int32(nil), x...) }
		floats := func(x []float32) []float32 { return append([]float32(nil), x...) }
		after := func(f func()) {
			if spoil {
				f()
			}
		}
		from, table, into := alloc(d, rows*width), alloc(d, classes*width), alloc(d, rows*width)
		gathered, summed, context, lse := alloc(d, rows*width), alloc(d, classes*width), alloc(d, rows*width/3), alloc(d, rows*2)
		mean, rstd := alloc(d, rows), alloc(d, rows)
		dlogits, dspan, dvalues := alloc(d, rows*classes), alloc(d, 2*rows), alloc(d, rows)
		losses := newLossRows(d, rows*classes)

		a, b := floats(x), floats(words)
		d.Write(from, a)
		d.Write(table, b)
		after(func() { clear(a); clear(b) })

		i := ints(ids)
		embedding := compute.Embedding{
			Width: width, IDs: i, PositionIDs: i, TypeIDs: i, Word: table, Position: table, Type: table, Gamma: table.Slice(0, width),
			Beta: table.Slice(0, width), Eps: 1e-6, S: into, Mean: mean, Rstd: rstd, Y: into,
		}
		d.Embedding(&embedding)
		after(func() { clear(i); embedding = compute.Embedding{} })
		i = ints(ids)
		d.Gather(gathered, table, i, width)
		after(func() { clear(i) })
		i = ints(ids)
		d.ScatterAdd(summed, from, i, width)
		after(func() { clear(i) })

		s := append([]int(nil), starts...)
		attention := compute.Attention{Heads: 2, HeadSize: 2, Starts: s, QKV: from, Context: context, LSE: lse}
		d.Attention(&attention)
		after(func() { clear(s); attention = compute.Attention{} })

		logits := from.Slice(0, rows*classes)
		labels, targets, w := ints(ids), floats(soft), floats(weights)
		labels[2] = -1
		entropy := compute.CrossEntropy{Rows: rows, Classes: classes, Logits: logits, Labels: labels, Targets: targets, Weights: w, Scale: 1, DLogits: dlogits, Losses: losses.where}
		d.CrossEntropy(&entropy)
		after(func() { clear(labels); clear(targets); clear(w); entropy = compute.CrossEntropy{} })
		s, labels = append([]int(nil), starts...), []int32{1, 2}
		span := compute.SpanLoss{Starts: s, Logits: from.Slice(0, 2*rows), Labels: labels, Scale: 1, DLogits: dspan}
		d.SpanLoss(&span)
		after(func() { clear(s); clear(labels); span = compute.SpanLoss{} })
		v := floats(values)
		squared := compute.SquaredError{Rows: rows, Logits: from.Slice(0, rows), Targets: v, Scale: 1, DLogits: dvalues}
		d.SquaredError(&squared)
		after(func() { clear(v); squared = compute.SquaredError{} })
		var out []float32
		for _, b := range []compute.Buffer{from, table, into, gathered, summed, context, lse, dlogits, dspan, dvalues} {
			out = append(out, download(d, b)...)
		}
		for _, l := range losses.read() {
			out = append(out, float32(l))
		}
		return out
	}
	if at := differ(wide(run(true)), wide(run(false))); at >= 0 {
		t.Errorf("what is overwritten after a call shows in its results, first at %d", at)
	}
}

// testIntegers asserts that at Int8 rows that QuantizeRow has rounded give the bits of those that Pack rounds, that the input's columns are
// multiplied before they are rounded, and that what PackIntegers is given may be changed after the call.
func testIntegers(t *testing.T, d compute.Device) {
	const rows, in, out = 5, 23, 7
	data := newInputs("integers")
	x, w := data.normal(rows*in, 1), data.normal(out*in, 1)
	scales, scaled := make([]float32, in), slices.Clone(x)
	for j := range scales {
		scales[j] = float32(1+j%3) / 2
	}
	for i := range scaled {
		scaled[i] *= scales[i%in]
	}
	linear := func(x []float32, p compute.Packed) []float32 {
		y := filled(d, rows*out)
		d.Linear(&compute.Linear{Rows: rows, X: upload(d, x), W: compute.Matrix{Out: out, In: in, Packed: p}, Y: y})
		return download(d, y)
	}
	integers := func(inputScales []float32) compute.Packed {
		q := compute.Integers{Values: make([]int8, out*in), Scales: make([]float32, out)}
		for o := range out {
			q.Scales[o] = compute.QuantizeRow(q.Values[o*in:][:in], w[o*in:][:in])
		}
		const cut = 3
		p := must(d.PackIntegers(out, in, inputScales,
			compute.Integers{Values: q.Values[:cut*in], Scales: q.Scales[:cut]}, compute.Integers{Values: q.Values[cut*in:], Scales: q.Scales[cut:]}))
		clear(q.Values)
		clear(q.Scales)
		clear(inputScales)
		return p
	}
	if at := differ(wide(linear(x, integers(nil))), wide(linear(x, pack(d, out, in, upload(d, w))))); at >= 0 {
		t.Errorf("the bits differ from those of Pack, first at %d", at)
	}
	if at := differ(wide(linear(x, integers(slices.Clone(scales)))), wide(linear(scaled, integers(nil)))); at >= 0 {
		t.Errorf("the bits differ from those of a scaled input, first at %d", at)
	}
}

// testOrder asserts that operations take effect in the order in which they are issued, that of Pack included, though nobody
// waits in between.
func testOrder(t *testing.T, d compute.Device) {
	const width = 3
	w, x, y, again := alloc(d, width*width), upload(d, []float32{127, 2, 3}), filled(d, width), filled(d, width)
	const one = 127 // the largest integer of int8, so that the scale is 1 and nothing is rounded
	d.Write(w, []float32{one, 0, 0, 0, one, 0, 0, 0, one})
	packed := pack(d, width, width, w)
	d.Write(w, []float32{2 * one, 0, 0, 0, 2 * one, 0, 0, 0, 2 * one})
	d.Linear(&compute.Linear{Rows: 1, X: x, W: compute.Matrix{Weight: w, Out: width, In: width, Packed: packed}, Y: y})
	d.Linear(&compute.Linear{Rows: 1, X: x, W: compute.Matrix{Weight: w, Out: width, In: width}, Y: again})
	d.Add(y, again) // one·x + 2·one·x
	d.Zero(x)
	d.Copy(again, x)
	if got, want := sumSquares(d, y), 9*one*one*(127*127+2*2+3*3.); got != want {
		t.Errorf("the sum of squares is %v, want %v", got, want)
	}
	if got := sumSquares(d, again); got != 0 {
		t.Errorf("the sum of squares is %v, want 0", got)
	}
	if v, ok := d.(compute.Viewer); ok {
		d.Write(x, []float32{3, 4, 5})
		view, err := v.View(x)
		if err != nil || len(view) != width || view[2] != 5 {
			t.Errorf("the view is %v, %v", view, err)
		}
		view[2] = 0
		if got := sumSquares(d, x); got != 25 {
			t.Errorf("after a change through the view, the sum of squares is %v, want 25", got)
		}
	}
}

// testAllocations asserts that operations allocate nothing once they have run at a size.
func testAllocations(t *testing.T, devices []compute.Device) {
	if testing.Short() {
		t.Skip("takes minutes on an emulated processor, which changes nothing about it")
	}
	for _, d := range devices {
		const rows, width, classes = 129, 96, 30
		in := newInputs("allocations")
		n := rows * width
		x, y, pre, wide3 := upload(d, in.normal(n, 1)), alloc(d, n), upload(d, in.normal(n, 1)), upload(d, in.normal(3*n, 1))
		dqkv := alloc(d, 3*n)
		weight := wrap(d, in.normal(width*width, 1))
		w := compute.Matrix{Weight: weight, Out: width, In: width}
		packed := w
		packed.Packed = pack(d, width, width, weight)
		row, drow := upload(d, in.around(width, 1)), alloc(d, width)
		mean, rstd := alloc(d, rows), upload(d, in.around(rows, 1))
		dw, logits, dlogits := alloc(d, width*width), upload(d, in.normal(rows*classes, 1)), alloc(d, rows*classes)
		lse := alloc(d, rows*6)
		ids, labels := in.indices(rows, width), in.indices(rows, classes)
		targets := in.normal(rows*classes, 1)
		starts := []int{0, 40, 129}
		drop := compute.Drop{Rate: 0.1, Key: 3}
		host := make([]float32, n)

		linear := compute.Linear{Rows: rows, X: x, W: w, Bias: row, F: compute.GELU, Pre: pre, Y: y}
		linearPacked := compute.Linear{Rows: rows, X: x, W: packed, Bias: row, Y: y}
		feedForward := compute.FeedForward{Rows: rows, X: x, W1: w, Bias1: row, F: compute.GELU, W2: packed, Bias2: row, Y: y}
		norm := compute.Norm{Rows: rows, Width: width, Eps: 1e-12, X: x, Residual: pre, Drop: drop, Gamma: row, Beta: row, S: y, Mean: mean, Rstd: rstd, Y: y}
		feedForwardNorm := feedForward
		following := norm
		following.X, following.S, feedForwardNorm.Y, feedForwardNorm.Norm = compute.Buffer{}, compute.Buffer{}, compute.Buffer{}, &following
		inputGrad := compute.LinearInputGrad{Rows: rows, DY: y, W: w, F: compute.GELU, Pre: pre, DX: dqkv.Slice(0, n)}
		weightGrad := compute.LinearWeightGrad{Rows: rows, Out: width, In: width, DY: y, X: x, DW: dw, DBias: drow}
		normGrad := compute.NormGrad{Rows: rows, Width: width, DY: y, S: x, Mean: mean, Rstd: rstd, Gamma: row, Drop: drop, DS: y, DX: dqkv.Slice(0, n), DGamma: drow, DBeta: drow}
		embedding := compute.Embedding{Width: width, IDs: ids, PositionIDs: ids, TypeIDs: ids, Word: weight, Position: weight, Type: weight, Gamma: row, Beta: row, Eps: 1e-12, Drop: drop, S: y, Mean: mean, Rstd: rstd, Y: y}
		embeddingGrad := compute.EmbeddingGrad{Width: width, IDs: ids, PositionIDs: ids, TypeIDs: ids, DY: y, S: x, Mean: mean, Rstd: rstd, Gamma: row, Drop: drop, DWord: dw, DPosition: dw, DType: dw, DGamma: drow, DBeta: drow}
		attention := compute.Attention{Heads: 6, HeadSize: 16, Starts: starts, QKV: wide3, Drop: drop, Context: y, LSE: lse}
		triple := compute.Matrix{Weight: upload(d, in.normal(3*width*width, 1)), Out: 3 * width, In: width}
		attended := compute.Attention{
			Heads: 6, HeadSize: 16, Starts: starts, Context: y, Product: &compute.Linear{Rows: rows, X: x, W: triple},
		}
		attentionGrad := compute.AttentionGrad{Heads: 6, HeadSize: 16, Starts: starts, QKV: wide3, Context: y, LSE: lse, Drop: drop, DContext: pre, DQKV: dqkv}
		losses := newLossRows(d, rows*classes).where
		numbers := make([]float64, rows)
		crossEntropy := compute.CrossEntropy{Rows: rows, Classes: classes, Logits: logits, Labels: labels, Scale: 1, DLogits: dlogits, Losses: losses}
		soft := compute.CrossEntropy{Rows: rows, Classes: classes, Logits: logits, Targets: in.distributions(rows, classes), Scale: 1, DLogits: dlogits, Losses: losses}
		span := compute.SpanLoss{Starts: starts, Logits: logits.Slice(0, 2*rows), Labels: labels[:2], Scale: 1, DLogits: dlogits.Slice(0, 2*rows), Losses: losses}
		binary := compute.BinaryCrossEntropy{Rows: rows, Classes: classes, Logits: logits, Targets: targets, Scale: 1, DLogits: dlogits, Losses: losses}
		squared := compute.SquaredError{Rows: rows, Logits: logits.Slice(0, rows), Targets: targets[:rows], Scale: 1, DLogits: dlogits.Slice(0, rows), Losses: losses}
		adam := compute.Adam{P: y, G: x, M: dqkv.Slice(0, n), V: dqkv.Slice(n, 2*n), Beta1: 0.9, Beta2: 0.999, RootScale: 1, Eps: 1e-6}
		lamb := compute.LAMB{Adam: adam, Rate: 1}
		lamb.G = pre

		for name, do := range map[string]func(){
			"Write": func() { d.Write(y, host) }, "Read": func() { d.Read(host, y) },
			"ReadNumbers": func() { d.ReadNumbers(numbers, losses.Numbers) }, "CrossEntropy with targets": func() { d.CrossEntropy(&soft) },
			"Zero": func() { d.Zero(y) },
			"Copy": func() { d.Copy(y, x) }, "Add": func() { d.Add(y, x) },
			"Linear": func() { d.Linear(&linear) }, "Linear, packed": func() { d.Linear(&linearPacked) },
			"FeedForward": func() { d.FeedForward(&feedForward) }, "FeedForward and Norm": func() { d.FeedForward(&feedForwardNorm) },
			"Attention after its product": func() { d.Attention(&attended) },
			"LinearInputGrad":             func() { d.LinearInputGrad(&inputGrad) }, "LinearWeightGrad": func() { d.LinearWeightGrad(&weightGrad) },
			"Norm": func() { d.Norm(&norm) }, "NormGrad": func() { d.NormGrad(&normGrad) },
			"Embedding": func() { d.Embedding(&embedding) }, "EmbeddingGrad": func() { d.EmbeddingGrad(&embeddingGrad) },
			"Attention": func() { d.Attention(&attention) }, "AttentionGrad": func() { d.AttentionGrad(&attentionGrad) },
			"Activate": func() { d.Activate(compute.GELU, y, x) }, "ActivateGrad": func() { d.ActivateGrad(compute.GELU, y, y, x) },
			"Dropout": func() { d.Dropout(y, x, rows, width, drop) }, "Gather": func() { d.Gather(y, weight, ids, width) },
			"ScatterAdd":   func() { d.ScatterAdd(dw, x, ids, width) },
			"CrossEntropy": func() { d.CrossEntropy(&crossEntropy) }, "SpanLoss": func() { d.SpanLoss(&span) },
			"BinaryCrossEntropy": func() { d.BinaryCrossEntropy(&binary) }, "SquaredError": func() { d.SquaredError(&squared) },
			"SumSquares": func() { sumSquares(d, x) }, "Adam": func() { d.Adam(&adam) }, "LAMB": func() { d.LAMB(&lamb) },
			"RunSquares": func() { d.RunSquares(numbers[:compute.Runs(n)], x) },
			"Direction":  func() { d.Direction(&lamb.Adam) }, "Axpy": func() { d.Axpy(y, 0.5, x) },
		} {
			got := SteadyAllocations(func() {
				do()
				d.ReadNumbers(numbers[:0], losses.Numbers) // waits
			})
			if got != 0 {
				t.Errorf("%s on %d threads still allocates %v times a run", name, d.Threads(), got)
			}
		}
	}
}

// SteadyAllocations is how often f allocates once it has run for a while: 0 if in 20 runs on end it never does. Workers that
// come late to the first runs, of which a busy machine has many, grow their memory in later ones; that has to come to an end
// within 400. Every allocation of the process counts, so nothing else may run; but for what the runtime itself allocates now
// and then, each round has another chance.
func SteadyAllocations(f func()) float64 {
	const runs, rounds, wantQuiet = 10, 40, 2
	var before, after runtime.MemStats
	quiet, worst := 0, uint64(0)
	f()
	for range rounds {
		runtime.ReadMemStats(&before)
		for range runs {
			f()
		}
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > 0 {
			quiet, worst = 0, n
			continue
		}
		if quiet++; quiet == wantQuiet {
			return 0
		}
	}
	return float64(worst) / runs
}
