// Package computetest is the suite that every device passes: each operation at odd sizes against a reference in float64,
// with a bound relative to the largest value of the reference; the same bits from any number of threads; a row's bits
// independent of its batch; what compute.Device says of order and host memory; no allocation once an operation has run.
//
// Deferred is a second device for tests, as asynchronous as the contract allows.
package computetest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// The bounds of the error, relative to the largest value of the reference.
const (
	exact     = 0
	forward   = 5e-6    // a forward operation
	gradient  = 5e-5    // a gradient, whose sums run over the whole batch
	aggregate = 1e-6    // a loss or a sum that is taken in float64 of terms in float32
	quantized = 1. / 24 // a product at Int8, of operands as they were before
	rounded   = 1. / 64 // a product of PackRounded, the same
)

// bounds are those of what a precision blurs. At BFloat16 the references of products round their operands as well, and
// so the bounds above hold of them. But attention rounds what it has computed, and a neighbour of the reference's
// probability may round the other way: to within 2^-8 of it. The masks of dropout are found through such a product. So does a
// feed-forward network between its products, and at Int8 by a 127th of the row's largest.
//
// Where attention drops nothing and is not asked for LSE, its softmax may be as coarse as its operands: probabilities are off by 2^-8 for their own
// rounding, 2^-8 for that of their sum and 2^-12 for the exponential. At Int8 its products may be those of BFloat16, of operands that the
// reference doesn't round: each of three by 2^-8. The magnitudes that a score adds up come to about 12 here; were all roundings of one
// sign, it would move by 12/128, but they add up as squares do, to less than a third of that.
type bounds struct {
	context   float64 // of attention
	inference float64 // the same, without LSE and dropout
	between   float64 // of a feed-forward network
	dqkv      float64 // its gradient, whose chain has two such roundings, and of dO that O·dO does without
}

func boundsAt(p compute.Precision) bounds {
	switch p {
	case compute.BFloat16:
		return bounds{context: 1. / 128, inference: 1./128 + 1./4096, between: 1. / 512, dqkv: 1. / 64}
	case compute.Int8:
		return bounds{context: forward, inference: 1. / 24, between: 1. / 128, dqkv: gradient}
	}
	return bounds{context: forward, inference: forward, between: forward, dqkv: gradient}
}

// operand is x as a product takes it at a precision.
func operand(p compute.Precision, x []float32) []float64 {
	y := wide(x)
	if p == compute.BFloat16 {
		const digits = 8
		for i, v := range y {
			fraction, exponent := math.Frexp(v)
			y[i] = math.Ldexp(math.RoundToEven(math.Ldexp(fraction, digits)), exponent-digits)
		}
	}
	return y
}

// quantize is rows of width as a product at Int8 takes them: multiples of the row's scale.
func quantize(x []float32, width int) []float64 {
	y := make([]float64, len(x))
	for from := 0; from < len(x); from += width {
		row := x[from:][:width]
		var top float32
		for _, v := range row {
			top = max(top, v, -v)
		}
		if top == 0 {
			continue
		}
		const most = 127
		scale, factor := top/most, most/top
		for i, v := range row {
			y[from+i] = float64(scale) * math.RoundToEven(float64(v*factor))
		}
	}
	return y
}

// threads are the numbers of workers whose bits are compared; the results of the first are compared with the reference.
var threads = []int{2, 1, 3, 7}

// A check is one operation at one size.
type check struct {
	name string
	// prepare makes the inputs and the reference; probe is any device, to ask for masks of dropout. What it returns puts
	// the inputs on a device.
	prepare func(in *inputs, probe compute.Device) func(d compute.Device) operation
}

// An operation is ready to be run on a device.
type operation struct {
	do      func()
	results []result
}

// A result is something that an operation has written, and what it should be.
type result struct {
	name  string
	read  func() []float64
	want  []float64
	bound float64
}

// A Kind is a device to test: Open opens it with a number of threads, and t closes it.
type Kind struct {
	Name string
	Open func(t testing.TB, threads int) compute.Device
}

// Run runs the suite on kinds of a device whose products have the precision p. Operations without products are the same at every
// precision, and are checked at Float32. Inputs and references, which take longer
// than the operations, are made once for all kinds; so the first kind's masks of dropout are those of all.
func Run(t *testing.T, p compute.Precision, kinds []Kind) {
	devices := make([][]compute.Device, len(kinds))
	for k, kind := range kinds {
		for _, n := range threads {
			d := kind.Open(t, n)
			if got := d.Threads(); got != n {
				t.Fatalf("opened with %d threads, has %d", n, got)
			}
			devices[k] = append(devices[k], d)
		}
	}
	probe := devices[0][0]
	for _, group := range []struct {
		name       string
		multiplies bool
		checks     []check
	}{
		{"Linear", true, linearChecks(p)},
		{"FeedForward", true, feedForwardChecks(p)},
		{"LinearInputGrad", true, linearInputGradChecks(p)},
		{"LinearWeightGrad", true, linearWeightGradChecks(p)},
		{"Attention", true, attentionChecks(p)},
		{"AttentionGrad", true, attentionGradChecks(p)},
		{"Memory", false, memoryChecks()},
		{"Norm", false, normChecks()},
		{"NormGrad", false, normGradChecks()},
		{"Embedding", false, embeddingChecks()},
		{"EmbeddingGrad", false, embeddingGradChecks()},
		{"Activate", false, activateChecks()},
		{"Rows", false, rowsChecks()},
		{"CrossEntropy", false, crossEntropyChecks()},
		{"SpanLoss", false, spanLossChecks()},
		{"BinaryCrossEntropy", false, binaryCrossEntropyChecks()},
		{"SquaredError", false, squaredErrorChecks()},
		{"SumSquares", false, sumSquaresChecks()},
		{"Adam", false, adamChecks()},
		{"LAMB", false, lambChecks()},
	} {
		if !group.multiplies && p != compute.Float32 {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, c := range group.checks {
				if seen[c.name] {
					t.Fatalf("two checks are named %q", c.name)
				}
				seen[c.name] = true
				t.Run(c.name, func(t *testing.T) {
					on := c.prepare(newInputs(c.name), probe)
					for k, kind := range kinds {
						t.Run(kind.Name, func(t *testing.T) { runCheck(t, on, devices[k]) })
					}
				})
			}
		})
	}
	for k, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) {
			devices := devices[k]
			t.Run("Alone", func(t *testing.T) { testAlone(t, devices[0]) })
			t.Run("FeedForward", func(t *testing.T) { testFeedForward(t, p, devices) })
			t.Run("Following", func(t *testing.T) { testFollowing(t, devices) })
			t.Run("ProductBefore", func(t *testing.T) { testProductBefore(t, devices) })
			t.Run("Operands", func(t *testing.T) { testOperands(t, devices) })
			t.Run("GradOperands", func(t *testing.T) { testGradOperands(t, devices) })
			t.Run("FirstOnly", func(t *testing.T) { testFirstOnly(t, p, devices) })
			t.Run("Dropout", func(t *testing.T) { testDropout(t, devices[0]) })
			t.Run("NaN", func(t *testing.T) { testNaN(t, devices[0]) })
			t.Run("Extremes", func(t *testing.T) { testExtremes(t, devices[0]) })
			t.Run("HostMemory", func(t *testing.T) { testHostMemory(t, devices[0]) })
			if p == compute.Int8 {
				t.Run("Integers", func(t *testing.T) { testIntegers(t, devices[0]) })
			}
			t.Run("Order", func(t *testing.T) { testOrder(t, devices[0]) })
			t.Run("Misfits", func(t *testing.T) { testMisfits(t, devices[0]) })
			t.Run("Allocations", func(t *testing.T) { testAllocations(t, devices) })
		})
	}
}

// runCheck runs an operation on each device, and compares the results of the first with the reference, bit for bit those of
// the others with the first's.
func runCheck(t *testing.T, on func(compute.Device) operation, devices []compute.Device) {
	var first [][]float64
	for i, d := range devices {
		op := on(d)
		op.do()
		for j, r := range op.results {
			got := r.read()
			if i == 0 {
				first = append(first, got)
				r.compare(t, got)
			} else if at := differ(got, first[j]); at >= 0 {
				t.Errorf("%s: %d threads give other bits than %d, first at %d", r.name, d.Threads(), devices[0].Threads(), at)
			}
		}
	}
}

// check compares a result with the reference.
func (r result) check(t *testing.T) {
	t.Helper()
	r.compare(t, r.read())
}

func (r result) compare(t *testing.T, got []float64) {
	t.Helper()
	if len(got) != len(r.want) {
		t.Fatalf("%s has %d values, want %d", r.name, len(got), len(r.want))
	}
	largest, worst, at := 0.0, 0.0, 0
	for i, want := range r.want {
		largest = max(largest, math.Abs(want))
		if e := math.Abs(got[i] - want); !(e <= worst) {
			worst, at = e, i
		}
	}
	if !(worst <= r.bound*largest) {
		t.Errorf("%s[%d] is %.9g, want %.9g: off by %.2g of the largest, %.2g, more than %.2g",
			r.name, at, got[at], r.want[at], worst/largest, largest, r.bound)
	}
}

// differ returns the first place where the bits of a and b differ, or −1.
func differ(a, b []float64) int {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) {
			return i
		}
	}
	return -1
}

// inputs are random numbers, the same for the same name.
type inputs struct{ *rand.Rand }

func newInputs(name string) *inputs {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &inputs{rand.New(rand.NewPCG(h.Sum64(), 0))}
}

// normal is n normal numbers times scale.
func (in *inputs) normal(n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(in.NormFloat64() * scale)
	}
	return x
}

// indices is n numbers below limit.
func (in *inputs) indices(n, limit int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = in.Int32N(int32(limit))
	}
	return x
}

// wide is x in float64.
func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// times is x∘y.
func times(x, y []float64) []float64 {
	z := make([]float64, len(x))
	for i := range x {
		z[i] = x[i] * y[i]
	}
	return z
}

// plus is x + y.
func plus(x, y []float64) []float64 {
	z := make([]float64, len(x))
	for i := range x {
		z[i] = x[i] + y[i]
	}
	return z
}

// must is v. Devices under test have memory enough for all that is asked of them.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func alloc(d compute.Device, n int) compute.Buffer { return must(d.Alloc(n)) }

func wrap(d compute.Device, data []float32) compute.Buffer { return must(d.Wrap(data)) }

func pack(d compute.Device, out, in int, weights ...compute.Buffer) compute.Packed {
	return must(d.Pack(out, in, weights...))
}

func packRounded(d compute.Device, out, in int, weights ...compute.Buffer) compute.Packed {
	return must(d.PackRounded(out, in, weights...))
}

func sumSquares(d compute.Device, x compute.Buffer) float64 { return must(d.SumSquares(x)) }

// wait returns when the device has done what was issued.
func wait(d compute.Device) { sumSquares(d, alloc(d, 1)) }

// upload makes a buffer of data.
func upload(d compute.Device, data []float32) compute.Buffer {
	b := alloc(d, len(data))
	d.Write(b, data)
	return b
}

// filled is a buffer of NaNs, for results that are written and not added to.
func filled(d compute.Device, n int) compute.Buffer {
	return filledApart(d, 1, n, 0)
}

func download(d compute.Device, b compute.Buffer) []float32 {
	x := make([]float32, b.Len)
	if err := d.Read(x, b); err != nil {
		panic(err)
	}
	return x
}

// lossRows is room on the device for the losses of rows, between two numbers that have to stay 0.
type lossRows struct {
	d     compute.Device
	where compute.Losses
	rows  int
}

func newLossRows(d compute.Device, rows int) lossRows {
	return lossRows{d, compute.Losses{Numbers: must(d.AllocNumbers(rows + 2)), Offset: 1}, rows}
}

// read is the losses.
func (l lossRows) read() []float64 {
	x := make([]float64, l.rows+2)
	if err := l.d.ReadNumbers(x, l.where.Numbers); err != nil {
		panic(err)
	}
	if x[0] != 0 || x[l.rows+1] != 0 {
		panic(fmt.Sprintf("computetest: losses written outside of their place: %v", x))
	}
	return x[1 : l.rows+1]
}

// result compares the losses with want.
func (l lossRows) result(want []float64, bound float64) result {
	return result{"losses", l.read, want, bound}
}

// inBuffer is the result in b.
func inBuffer(d compute.Device, name string, b compute.Buffer, want []float64, bound float64) result {
	return result{name, func() []float64 { return wide(download(d, b)) }, want, bound}
}

// inVariable is the result in *v.
func inVariable(name string, v *float64, want, bound float64) result {
	return result{name, func() []float64 { return []float64{*v} }, []float64{want}, bound}
}

// mask is the factors that dropout multiplies rows with.
func mask(d compute.Device, rows, width int, drop compute.Drop) []float64 {
	x := make([]float32, rows*width)
	for i := range x {
		x[i] = 1
	}
	b := upload(d, x)
	d.Dropout(b, b, rows, width, drop)
	return wide(download(d, b))
}

// The sizes of the checks.
var (
	widths    = []int{1, 5, 20, 36, 48, 96, 100, 768}
	rowCounts = []int{0, 1, 2, 13, 129}
	drops     = []compute.Drop{{}, {Rate: 0.1, Key: 0x123456789abcdef}}
)

// shaped calls add for each width and number of rows, and dropout at each rate.
func shaped(add func(name string, rows, width int, drop compute.Drop)) {
	for i, width := range widths {
		for j, rows := range rowCounts {
			add(fmt.Sprintf("%dx%d", rows, width), rows, width, drops[(i+j)%2])
		}
	}
}
