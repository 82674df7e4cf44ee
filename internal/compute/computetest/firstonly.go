package computetest

import (
	"math"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// testFirstOnly compares attention of the first queries alone with that of all. Forward, the rows are the same bits; the
// gradient is that of a gradient at the other rows of zero. Dropout falls otherwise, since the rows are numbered otherwise:
// its forward and backward passes are compared with one another by the change of Σ context·dcontext along the values,
// which is linear.
func testFirstOnly(t *testing.T, p compute.Precision, devices []compute.Device) {
	const A, D = 3, 16
	const H = A * D
	starts := []int{0, 2, 42, 43, 173}
	T, B := starts[len(starts)-1], len(starts)-1
	in := newInputs("first only")
	qkv, dfirst := in.normal(3*T*H, 1), in.normal(B*H, 1)
	dall := make([]float32, T*H)
	for b := range B {
		copy(dall[starts[b]*H:][:H], dfirst[b*H:])
	}
	for _, d := range devices {
		all := compute.Attention{Heads: A, HeadSize: D, Starts: starts, QKV: wrap(d, qkv), Context: filled(d, T*H), LSE: filled(d, T*A)}
		first := all
		first.FirstOnly, first.Context, first.LSE = true, filled(d, B*H), filled(d, B*A)
		d.Attention(&all)
		d.Attention(&first)
		for b := range B {
			equal(t, d, "context", first.Context.Slice(b*H, (b+1)*H), all.Context.Slice(starts[b]*H, (starts[b]+1)*H))
			equal(t, d, "lse", first.LSE.Slice(b*A, (b+1)*A), all.LSE.Slice(starts[b]*A, (starts[b]+1)*A))
		}

		every, few := all, first // asked for the context alone
		every.LSE, few.LSE, every.Context, few.Context = compute.Buffer{}, compute.Buffer{}, filled(d, T*H), filled(d, B*H)
		d.Attention(&every)
		d.Attention(&few)
		for b := range B {
			equal(t, d, "context alone", few.Context.Slice(b*H, (b+1)*H), every.Context.Slice(starts[b]*H, (starts[b]+1)*H))
		}

		grad := compute.AttentionGrad{Heads: A, HeadSize: D, Starts: starts, QKV: all.QKV, Context: all.Context, LSE: all.LSE, DContext: upload(d, dall), DQKV: filled(d, 3*T*H)}
		d.AttentionGrad(&grad)
		want := download(d, grad.DQKV)
		grad.FirstOnly, grad.Context, grad.LSE, grad.DContext, grad.DQKV = true, first.Context, first.LSE, upload(d, dfirst), filled(d, 3*T*H)
		d.AttentionGrad(&grad)
		inBuffer(d, "dqkv", grad.DQKV, wide(want), gradient).check(t)

		first.Drop = compute.Drop{Rate: 0.3, Key: 5}
		grad.Drop = first.Drop
		d.Attention(&first)
		d.AttentionGrad(&grad)
		dqkv, context := download(d, grad.DQKV), download(d, first.Context)
		var out, back, size float64 // Σ context·dcontext, Σ values·dvalues: equal
		for i, x := range context {
			out += float64(x) * float64(dfirst[i])
			size += math.Abs(float64(x) * float64(dfirst[i]))
		}
		for i := range T {
			for j := 2 * H; j < 3*H; j++ {
				back += float64(qkv[i*3*H+j]) * float64(dqkv[i*3*H+j])
			}
		}
		if !(math.Abs(out-back) <= boundsAt(p).dqkv*size) {
			t.Errorf("with dropout on %d threads: Σ context·dcontext is %g, Σ values·dvalues %g", d.Threads(), out, back)
		}
	}
}

// equal reports an error unless two buffers have the same bits.
func equal(t *testing.T, d compute.Device, what string, got, want compute.Buffer) {
	t.Helper()
	inBuffer(d, what, got, wide(download(d, want)), 0).check(t)
}
