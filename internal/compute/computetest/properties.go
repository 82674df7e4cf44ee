package computetest

import (
	"math"
	"runtime"
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
		x, w, bias := in.normal(rows*width, 1), d.Wrap(in.normal(out*width, 1)), d.Wrap(in.normal(out, 1))
		gamma, beta := d.Wrap(in.around(width, 1)), d.Wrap(in.normal(width, 1))
		ids := in.indices(rows, words)
		table := d.Wrap(in.normal(words*width, 1))
		packed := d.Pack(out, width, w)

		// batch is the results of rows from…to.
		batch := func(from, to int) (outputs [3][]float32) {
			n := to - from
			part := d.Wrap(x[from*width : to*width])
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
		d.Attention(&compute.Attention{Heads: count, HeadSize: size, Starts: starts, QKV: d.Wrap(qkv), Context: context})
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
			for name, loss := range map[string]float64{
				"CrossEntropy":                   d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Labels: []int32{0}, Scale: 1}),
				"CrossEntropy with its gradient": d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Labels: []int32{0}, Scale: 1, DLogits: d.Alloc(n)}),
				"SpanLoss":                       d.SpanLoss(&compute.SpanLoss{Starts: []int{0, n}, Logits: upload(d, logits), From: []int32{0}, To: []int32{0}, Scale: 1}),
				"BinaryCrossEntropy":             d.BinaryCrossEntropy(&compute.BinaryCrossEntropy{Rows: 1, Classes: n, Logits: upload(d, one), Targets: make([]float32, n), Scale: 1}),
				"SquaredError":                   d.SquaredError(&compute.SquaredError{Rows: n, Logits: upload(d, one), Targets: make([]float32, n), Scale: 1}),
				"SumSquares":                     d.SumSquares(upload(d, one)),
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
	for label := range int32(n) {
		loss := d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: n, Logits: upload(d, logits), Labels: []int32{label}, Scale: 1, DLogits: grad})
		finite("CrossEntropy", loss)
		finite("its gradient", wide(download(d, grad))...)
	}
	loss := d.SpanLoss(&compute.SpanLoss{Starts: []int{0, n / 2}, Logits: upload(d, logits), From: []int32{1}, To: []int32{0}, Scale: 1, DLogits: grad})
	finite("SpanLoss", loss)
	finite("its gradient", wide(download(d, grad))...)
	loss = d.BinaryCrossEntropy(&compute.BinaryCrossEntropy{Rows: 1, Classes: n, Logits: upload(d, logits), Targets: make([]float32, n), Scale: 1, DLogits: grad})
	finite("BinaryCrossEntropy", loss)
	finite("its gradient", wide(download(d, grad))...)
}

// testMisfits asserts that mistakes of the caller panic, and leave the device in order.
func testMisfits(t *testing.T, d compute.Device) {
	for name, mistake := range map[string]func(){
		"too short an input": func() {
			d.Linear(&compute.Linear{Rows: 2, X: d.Alloc(5), W: compute.Matrix{Weight: d.Alloc(9), Out: 3, In: 3}, Y: d.Alloc(6)})
		},
		"a missing weight": func() {
			d.Linear(&compute.Linear{Rows: 2, X: d.Alloc(6), W: compute.Matrix{Out: 3, In: 3}, Y: d.Alloc(6)})
		},
		"rows nearer than their width": func() {
			d.Linear(&compute.Linear{Rows: 2, X: d.Alloc(6), XStride: 2, W: compute.Matrix{Weight: d.Alloc(9), Out: 3, In: 3}, Y: d.Alloc(6)})
		},
		"rows farther apart than the buffer has them": func() {
			d.Linear(&compute.Linear{Rows: 2, X: d.Alloc(6), W: compute.Matrix{Weight: d.Alloc(9), Out: 3, In: 3}, Y: d.Alloc(6), YStride: 4})
		},
		"an unknown activation":      func() { d.Activate(99, d.Alloc(1), d.Alloc(1)) },
		"a rate of one":              func() { d.Dropout(d.Alloc(1), d.Alloc(1), 1, 1, compute.Drop{Rate: 1}) },
		"an index past the end":      func() { d.Gather(d.Alloc(2), d.Alloc(4), []int32{2}, 2) },
		"a negative index":           func() { d.ScatterAdd(d.Alloc(4), d.Alloc(2), []int32{-1}, 2) },
		"wrapped memory as a target": func() { d.Zero(d.Wrap(make([]float32, 3))) },
		"a label past the classes": func() {
			d.CrossEntropy(&compute.CrossEntropy{Rows: 1, Classes: 2, Logits: d.Alloc(2), Labels: []int32{2}})
		},
		"rows that do not fill the weight": func() { d.Pack(3, 2, d.Alloc(4)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			mistake()
		}()
	}
	if got := d.SumSquares(upload(d, []float32{3, 4})); got != 25 {
		t.Errorf("after panics, SumSquares is %v, want 25", got)
	}
}

// testAllocations asserts that operations allocate nothing once they have run at a size.
func testAllocations(t *testing.T, devices []compute.Device) {
	for _, d := range devices {
		const rows, width, classes = 129, 96, 30
		in := newInputs("allocations")
		n := rows * width
		x, y, pre, wide3 := upload(d, in.normal(n, 1)), d.Alloc(n), upload(d, in.normal(n, 1)), upload(d, in.normal(3*n, 1))
		dqkv := d.Alloc(3 * n)
		weight := d.Wrap(in.normal(width*width, 1))
		w := compute.Matrix{Weight: weight, Out: width, In: width}
		packed := w
		packed.Packed = d.Pack(width, width, weight)
		row, drow := upload(d, in.around(width, 1)), d.Alloc(width)
		mean, rstd := d.Alloc(rows), upload(d, in.around(rows, 1))
		dw, logits, dlogits := d.Alloc(width*width), upload(d, in.normal(rows*classes, 1)), d.Alloc(rows*classes)
		lse := d.Alloc(rows * 6)
		ids, labels := in.indices(rows, width), in.indices(rows, classes)
		targets := in.normal(rows*classes, 1)
		starts := []int{0, 40, 129}
		drop := compute.Drop{Rate: 0.1, Key: 3}
		host := make([]float32, n)

		linear := compute.Linear{Rows: rows, X: x, W: w, Bias: row, F: compute.GELU, Pre: pre, Y: y}
		linearPacked := compute.Linear{Rows: rows, X: x, W: packed, Bias: row, Y: y}
		inputGrad := compute.LinearInputGrad{Rows: rows, DY: y, W: w, F: compute.GELU, Pre: pre, DX: dqkv.Slice(0, n)}
		weightGrad := compute.LinearWeightGrad{Rows: rows, Out: width, In: width, DY: y, X: x, DW: dw, DBias: drow}
		norm := compute.Norm{Rows: rows, Width: width, Eps: 1e-12, X: x, Residual: pre, Drop: drop, Gamma: row, Beta: row, S: y, Mean: mean, Rstd: rstd, Y: y}
		normGrad := compute.NormGrad{Rows: rows, Width: width, DY: y, S: x, Mean: mean, Rstd: rstd, Gamma: row, Drop: drop, DS: y, DX: dqkv.Slice(0, n), DGamma: drow, DBeta: drow}
		embedding := compute.Embedding{Width: width, IDs: ids, PositionIDs: ids, TypeIDs: ids, Word: weight, Position: weight, Type: weight, Gamma: row, Beta: row, Eps: 1e-12, Drop: drop, S: y, Mean: mean, Rstd: rstd, Y: y}
		embeddingGrad := compute.EmbeddingGrad{Width: width, IDs: ids, PositionIDs: ids, TypeIDs: ids, DY: y, S: x, Mean: mean, Rstd: rstd, Gamma: row, Drop: drop, DWord: dw, DPosition: dw, DType: dw, DGamma: drow, DBeta: drow}
		attention := compute.Attention{Heads: 6, HeadSize: 16, Starts: starts, QKV: wide3, Drop: drop, Context: y, LSE: lse}
		attentionGrad := compute.AttentionGrad{Heads: 6, HeadSize: 16, Starts: starts, QKV: wide3, Context: y, LSE: lse, Drop: drop, DContext: pre, DQKV: dqkv}
		crossEntropy := compute.CrossEntropy{Rows: rows, Classes: classes, Logits: logits, Labels: labels, Scale: 1, DLogits: dlogits}
		span := compute.SpanLoss{Starts: starts, Logits: logits.Slice(0, 2*rows), From: labels[:2], To: labels[:2], Scale: 1, DLogits: dlogits.Slice(0, 2*rows)}
		binary := compute.BinaryCrossEntropy{Rows: rows, Classes: classes, Logits: logits, Targets: targets, Scale: 1, DLogits: dlogits}
		squared := compute.SquaredError{Rows: rows, Logits: logits.Slice(0, rows), Targets: targets[:rows], Scale: 1, DLogits: dlogits.Slice(0, rows)}
		adam := compute.Adam{P: y, G: x, M: dqkv.Slice(0, n), V: dqkv.Slice(n, 2*n), Beta1: 0.9, Beta2: 0.999, RootScale: 1, Eps: 1e-6}
		lamb := compute.LAMB{Adam: adam, Rate: 1}
		lamb.G = pre

		for name, do := range map[string]func(){
			"Write": func() { d.Write(y, host) }, "Read": func() { d.Read(host, y) }, "Zero": func() { d.Zero(y) },
			"Copy": func() { d.Copy(y, x) }, "Add": func() { d.Add(y, x) },
			"Linear": func() { d.Linear(&linear) }, "Linear, packed": func() { d.Linear(&linearPacked) },
			"LinearInputGrad": func() { d.LinearInputGrad(&inputGrad) }, "LinearWeightGrad": func() { d.LinearWeightGrad(&weightGrad) },
			"Norm": func() { d.Norm(&norm) }, "NormGrad": func() { d.NormGrad(&normGrad) },
			"Embedding": func() { d.Embedding(&embedding) }, "EmbeddingGrad": func() { d.EmbeddingGrad(&embeddingGrad) },
			"Attention": func() { d.Attention(&attention) }, "AttentionGrad": func() { d.AttentionGrad(&attentionGrad) },
			"Activate": func() { d.Activate(compute.GELU, y, x) }, "ActivateGrad": func() { d.ActivateGrad(compute.GELU, y, y, x) },
			"Dropout": func() { d.Dropout(y, x, rows, width, drop) }, "Gather": func() { d.Gather(y, weight, ids, width) },
			"ScatterAdd":   func() { d.ScatterAdd(dw, x, ids, width) },
			"CrossEntropy": func() { d.CrossEntropy(&crossEntropy) }, "SpanLoss": func() { d.SpanLoss(&span) },
			"BinaryCrossEntropy": func() { d.BinaryCrossEntropy(&binary) }, "SquaredError": func() { d.SquaredError(&squared) },
			"SumSquares": func() { d.SumSquares(x) }, "Adam": func() { d.Adam(&adam) }, "LAMB": func() { d.LAMB(&lamb) },
		} {
			if got := SteadyAllocations(do); got != 0 {
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
