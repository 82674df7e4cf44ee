package computetest

import (
	"fmt"
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// testGradOperands asserts that the products of the backward pass have the bits of those of values with operands, of whatever operation
// leaves them, and that what LinearInputGrad leaves beside its gradient are the bits of the operations that it stands for.
func testGradOperands(t *testing.T, devices []compute.Device) {
	in := newInputs("operands of the backward pass")
	for _, d := range devices {
		if d.OperandSize(1) == 0 {
			continue
		}
		// The rows are less than those whose sums are taken together, and several times as many.
		for _, s := range [][3]int{{1, 1, 1}, {7, 3, 5}, {129, 70, 34}, {300, 33, 130}, {700, 520, 96}} {
			testLinearGradOperands(t, d, in, s[0], s[1], s[2])
		}
		for _, s := range [][2]int{{1, 1}, {3, 5}, {2, 32}} { // heads and their size
			for _, first := range []bool{false, true} {
				testAttentionGradOperand(t, d, in, s[0], s[1], first)
			}
		}
	}
}

func testLinearGradOperands(t *testing.T, d compute.Device, in *inputs, rows, width, out int) {
	what := fmt.Sprintf("%d×%d×%d on %d threads: ", rows, width, out, d.Threads())
	operandOf := func(width int) compute.Buffer { return filled(d, rows*d.OperandSize(width)) }

	// The gradient at the output comes from a NormGrad, with and without dropout after it.
	dy, dyOperand := filled(d, rows*out), operandOf(out)
	for _, drop := range []compute.Drop{{}, {Rate: 0.3, Key: 5}} {
		op := compute.NormGrad{
			Rows: rows, Width: out, DY: upload(d, in.normal(rows*out, 1)), S: upload(d, in.normal(rows*out, 1)), Mean: upload(d, in.normal(rows, 1)),
			Rstd: upload(d, in.around(rows, 1)), Gamma: upload(d, in.around(out, 1)), Drop: drop, DS: dy, Operand: dyOperand,
			DGamma: alloc(d, out), DBeta: alloc(d, out),
		}
		if drop.Rate > 0 {
			op.DS, op.DX = filled(d, rows*out), dy
		}
		bias := in.normal(out, 1)
		d.NormGrad(&op)
		gamma := download(d, op.DGamma)
		// The operand and its sums, without the values.
		op.DS, op.DX, op.Operand, op.DBias = filled(d, rows*out), compute.Buffer{}, operandOf(out), upload(d, bias)
		d.NormGrad(&op)
		dyOperand = op.Operand
		inBuffer(d, what+"dbias of NormGrad", op.DBias, plus(columnSums(wide(download(d, dy)), rows, out), wide(bias)), gradient).check(t)
		inBuffer(d, what+"dgamma beside an operand", op.DGamma, plus(wide(gamma), wide(gamma)), gradient).check(t)

		// The gradient at the input, and the value of an activation there.
		w := compute.Matrix{Weight: upload(d, in.normal(out*width, 1)), Out: out, In: width}
		pre := upload(d, in.normal(rows*width, 1))
		want := compute.LinearInputGrad{Rows: rows, DY: dy, W: w, F: compute.GELU, Pre: pre, DX: filled(d, rows*width)}
		d.LinearInputGrad(&want)
		got := want
		got.DY, got.Operand, got.DX = compute.Buffer{}, dyOperand, filled(d, rows*width)
		d.LinearInputGrad(&got)
		equal(t, d, what+"dx of an operand", got.DX, want.DX)
		got.DXOperand, got.Y, got.DBias = operandOf(width), operandOf(width), alloc(d, width)
		before := upload(d, in.normal(width, 1))
		d.Copy(got.DBias, before)
		both := got.DXOperand
		d.LinearInputGrad(&got)
		equal(t, d, what+"dx beside its operand", got.DX, want.DX)
		got.DX, got.DXOperand = compute.Buffer{}, operandOf(width)
		d.Copy(got.DBias, before)
		d.LinearInputGrad(&got)

		inner := filled(d, rows*width)
		d.Activate(compute.GELU, inner, pre)
		grad := func(op compute.LinearWeightGrad) compute.LinearWeightGrad {
			op.Rows, op.DW = rows, alloc(d, op.Out*op.In)
			if !op.DY.None() {
				op.DBias = alloc(d, op.Out)
				if op.Out == width {
					d.Copy(op.DBias, before)
				}
			}
			d.LinearWeightGrad(&op)
			return op
		}
		wantUp, wantDown := grad(compute.LinearWeightGrad{Out: out, In: width, DY: dy, X: inner}), grad(compute.LinearWeightGrad{Out: width, In: out, DY: want.DX, X: dy})
		equal(t, d, what+"dbias", got.DBias, wantDown.DBias)
		for name, op := range map[string]compute.LinearWeightGrad{
			"dy":       {Out: out, In: width, DY: dy, DYOperand: dyOperand, X: inner},
			"x":        {Out: out, In: width, DY: dy, XOperand: got.Y},
			"dy and x": {Out: out, In: width, DYOperand: dyOperand, XOperand: got.Y},
		} {
			g := grad(op)
			bound := boundsAt(compute.BFloat16).between // as between the products of a feed-forward network
			if op.XOperand.None() {
				bound = exact
			}
			inBuffer(d, what+"dw of "+name, g.DW, wide(download(d, wantUp.DW)), bound).check(t)
			if !g.DBias.None() {
				equal(t, d, what+"dbias of "+name, g.DBias, wantUp.DBias)
			}
		}
		for _, operand := range []compute.Buffer{both, got.DXOperand} {
			g := grad(compute.LinearWeightGrad{Out: width, In: out, DYOperand: operand, XOperand: dyOperand})
			equal(t, d, what+"dw of dx", g.DW, wantDown.DW)
		}
	}
}

func testAttentionGradOperand(t *testing.T, d compute.Device, in *inputs, heads, size int, first bool) {
	const most = 9
	starts := []int{0, 1, 14, 214}
	tokens, width := starts[len(starts)-1], heads*size
	rows := tokens
	if first {
		rows = len(starts) - 1
	}
	forward := compute.Attention{
		Heads: heads, HeadSize: size, Starts: starts, QKV: upload(d, in.normal(tokens*3*width, 1)), Drop: compute.Drop{Rate: 0.1, Key: 3},
		FirstOnly: first, Context: filled(d, rows*width), LSE: filled(d, rows*heads),
	}
	d.Attention(&forward)
	op := compute.AttentionGrad{
		Heads: heads, HeadSize: size, Starts: starts, QKV: forward.QKV, Context: forward.Context, LSE: forward.LSE, Drop: forward.Drop, FirstOnly: first,
		DContext: upload(d, in.normal(rows*width, 1)), DQKV: filled(d, tokens*3*width), Operand: filled(d, tokens*d.OperandSize(3*width)),
	}
	d.AttentionGrad(&op)
	bias := in.normal(3*width, 1)
	alone := op
	alone.DQKV, alone.Operand, alone.DBias = compute.Buffer{}, filled(d, tokens*d.OperandSize(3*width)), upload(d, bias)
	d.AttentionGrad(&alone)
	what := fmt.Sprintf(" after AttentionGrad of %d×%d on %d threads, first only: %v", heads, size, d.Threads(), first)
	sums := plus(columnSums(wide(download(d, op.DQKV)), tokens, 3*width), wide(bias))
	inBuffer(d, "dbias"+what, alone.DBias, sums, gradient).check(t)
	w := compute.Matrix{Weight: upload(d, in.normal(3*width*most, 1)), Out: 3 * width, In: most}
	want := compute.LinearInputGrad{Rows: tokens, DY: op.DQKV, W: w, DX: filled(d, tokens*most)}
	d.LinearInputGrad(&want)
	got := want
	for _, operand := range []compute.Buffer{op.Operand, alone.Operand} {
		got.DY, got.Operand, got.DX = compute.Buffer{}, operand, filled(d, tokens*most)
		d.LinearInputGrad(&got)
		equal(t, d, "dx"+what, got.DX, want.DX)
	}
}
