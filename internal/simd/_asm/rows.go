package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// unrolled is how many vectors the loops of cheap bodies treat at a time; sums have as many registers, which hides the
// latency of an addition.
const unrolled = 4

// lineBytes is the size of a cache line.
const lineBytes = 64

func emitRows(g *gen) {
	g.addRow()
	g.axpy()
	g.scale()
	g.dot()
	g.sumSquares()
	g.adam()
	g.prefetch()
}

func (g *gen) addRow() {
	g.function("add", "(dst, x *float32, n int)", "is Kernels.Add.")
	dst, x := g.param("dst"), g.param("x")
	g.row(g.param("n")).sweep(unrolled, func(c chunk) {
		c.store(g.add(c.load(dst), c.load(x)), dst)
	})
	g.ret()
}

func (g *gen) axpy() {
	g.function("axpy", "(dst *float32, s float32, x *float32, n int)", "is Kernels.Axpy.")
	dst, x := g.param("dst"), g.param("x")
	s := g.spread("s")
	g.row(g.param("n")).sweep(unrolled, func(c chunk) {
		sum := c.load(dst)
		g.VFMADD231PS(c.load(x), s, sum)
		c.store(sum, dst)
	})
	g.ret()
}

func (g *gen) scale() {
	g.function("scale", "(dst *float32, s float32, n int)", "is Kernels.Scale.")
	dst := g.param("dst")
	s := g.spread("s")
	g.row(g.param("n")).sweep(unrolled, func(c chunk) {
		c.store(g.mul(c.load(dst), s), dst)
	})
	g.ret()
}

func (g *gen) dot() {
	g.function("dot", "(x, y *float32, n int) (sum float32)", "is Kernels.Dot.")
	x, y := g.param("x"), g.param("y")
	s := g.sums(unrolled)
	g.row(g.param("n")).sweep(unrolled, func(c chunk) {
		g.VFMADD231PS(c.load(x), c.load(y), s[c.turn])
	})
	g.result(g.reduce(g.VADDPS, s), "sum")
	g.ret()
}

func (g *gen) sumSquares() {
	g.function("sumSquares", "(x *float32, n int) (sum float64)", "is Kernels.SumSquares.")
	x := g.param("x")
	const pairs = 2
	s := g.sums(2 * pairs)
	g.row(g.param("n")).sweep(pairs, func(c chunk) {
		v := c.load(x)
		low, high := g.reg(), g.reg()
		if g.isa == avx2 {
			upper := g.XMM()
			g.VEXTRACTF128(operand.Imm(1), v, upper)
			g.VCVTPS2PD(v.AsX(), low)
			g.VCVTPS2PD(upper, high)
		} else {
			upper := g.YMM()
			g.VEXTRACTF64X4(operand.Imm(1), v, upper)
			g.VCVTPS2PD(v.AsY(), low)
			g.VCVTPS2PD(upper, high)
		}
		g.VFMADD231PD(low, low, s[2*c.turn])
		g.VFMADD231PD(high, high, s[2*c.turn+1])
	})
	g.VADDPD(s[2], s[0], s[0])
	g.VADDPD(s[3], s[1], s[1])
	g.VADDPD(s[1], s[0], s[0])
	y, t := s[0].AsY(), g.XMM()
	if g.isa != avx2 {
		upper := g.YMM()
		g.VEXTRACTF64X4(operand.Imm(1), s[0], upper)
		g.VADDPD(upper, y, y)
		g.VEXTRACTF32X4(operand.Imm(1), y, t)
	} else {
		g.VEXTRACTF128(operand.Imm(1), y, t)
	}
	low := s[0].AsX()
	g.VADDPD(t, low, low)
	g.VPERMILPD(operand.Imm(1), low, t)
	g.VADDPD(t, low, low)
	b, err := g.Return("sum").Resolve()
	if err != nil {
		panic(err)
	}
	g.VMOVSD(low, b.Addr)
	g.ret()
}

// adam reads the constants in the order in which AdamStep has them.
func (g *gen) adam() {
	g.function("adam", "(p, grad, m, v *float32, n int, c *float32)", "is Kernels.Adam; c points to the first field of an AdamStep.")
	p, grad, m, v, step := g.param("p"), g.param("grad"), g.param("m"), g.param("v"), g.param("c")
	var constants [9]reg.VecVirtual
	for i := range constants {
		constants[i] = g.reg()
		g.VBROADCASTSS(at(step, 4*i), constants[i])
	}
	gradScale, beta1, rest1, beta2, rest2 := constants[0], constants[1], constants[2], constants[3], constants[4]
	decay, stepSize, rootScale, eps := constants[5], constants[6], constants[7], constants[8]
	g.row(g.param("n")).sweep(1, func(c chunk) {
		gi := g.mul(c.load(grad), gradScale)
		mi := g.mul(c.load(m), beta1)
		g.VFMADD231PS(gi, rest1, mi)
		c.store(mi, m)
		g.VMULPS(gi, gi, gi)
		vi := g.mul(c.load(v), beta2)
		g.VFMADD231PS(gi, rest2, vi)
		c.store(vi, v)
		root := g.reg()
		g.VSQRTPS(vi, root)
		g.VFMADD213PS(eps, rootScale, root)
		g.VMULPS(stepSize, mi, mi)
		g.VDIVPS(root, mi, mi)
		pi := c.load(p)
		g.VFMADD231PS(pi, decay, mi)
		g.VSUBPS(mi, pi, pi)
		c.store(pi, p)
	})
	g.ret()
}

func (g *gen) prefetch() {
	g.function("prefetch", "(x *float32, ld, rows, n int)", "asks for the cache lines of n > 0 elements of each of rows > 0, ld bytes apart.")
	x, ld, rows, n := g.param("x"), g.param("ld"), g.param("rows"), g.param("n")
	line, end := g.GP64(), g.GP64()
	g.Label("row")
	g.LEAQ(operand.Mem{Base: x, Index: n, Scale: 4}, end)
	g.MOVQ(x, line)
	g.ANDQ(operand.I32(-lineBytes), line)
	g.Label("line")
	g.PREFETCHT0(at(line, 0))
	g.ADDQ(operand.Imm(lineBytes), line)
	g.CMPQ(line, end)
	g.JLT(g.jmp("line"))
	g.ADDQ(ld, x)
	g.DECQ(rows)
	g.JNZ(g.jmp("row"))
	g.RET()
}
