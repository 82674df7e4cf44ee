package main

import "fmt"

// unrolled is how many vectors the loops of cheap bodies treat at a time; sums have as many registers, which hides the
// latency of an addition on two units.
const unrolled = 4

func emitRows(g *gen) {
	g.addRow()
	g.axpy()
	g.scale()
	g.dot()
	g.sumSquares()
	g.adam()
}

func (g *gen) addRow() {
	g.function("add", "(dst, x *float32, n int)", "is Kernels.Add.")
	g.sweep(unrolled, []string{"dst", "x"}, func(c chunk) {
		c.store(g.add(c.load("dst"), c.load("x")), "dst")
	})
	g.ret()
}

func (g *gen) axpy() {
	g.function("axpy", "(dst *float32, s float32, x *float32, n int)", "is Kernels.Axpy.")
	s := g.spread("s")
	g.sweep(unrolled, []string{"dst", "x"}, func(c chunk) {
		sum := c.load("dst")
		g.multiplyAdd(sum, c.load("x"), s)
		c.store(sum, "dst")
	})
	g.ret()
}

func (g *gen) scale() {
	g.function("scale", "(dst *float32, s float32, n int)", "is Kernels.Scale.")
	s := g.spread("s")
	g.sweep(unrolled, []string{"dst"}, func(c chunk) {
		c.store(g.mul(c.load("dst"), s), "dst")
	})
	g.ret()
}

func (g *gen) dot() {
	g.function("dot", "(x, y *float32, n int) (sum float32)", "is Kernels.Dot.")
	s := g.sums(unrolled)
	g.sweep(unrolled, []string{"x", "y"}, func(c chunk) {
		g.multiplyAdd(s[c.turn], c.load("x"), c.load("y"))
	})
	g.result32(g.sum(s), "sum")
	g.ret()
}

func (g *gen) sumSquares() {
	g.function("sumSquares", "(x *float32, n int) (sum float64)", "is Kernels.SumSquares.")
	s := g.sums(2 * unrolled)
	g.sweep(unrolled, []string{"x"}, func(c chunk) {
		v := c.load("x")
		for half, convert := range []opcode{fcvtl, fcvtl2} {
			w := g.op2(convert, v)
			g.accumulate("VFMLA", "D2", s[2*c.turn+half], w, w)
		}
	})
	for len(s) > 1 {
		half := len(s) / 2
		for i := range half {
			g.three(fadd2, s[i], s[i], s[i+half])
		}
		s = s[:half]
	}
	g.result64(g.op3(faddp2, s[0], s[0]), "sum")
	g.ret()
}

// adam reads the constants in the order in which AdamStep has them.
func (g *gen) adam() {
	g.function("adam", "(p, grad, m, v *float32, n int, c *float32)", "is Kernels.Adam; c points to the first field of an AdamStep.")
	step := g.param("c")
	var constants [9]vector
	for i := range constants {
		constants[i] = g.vector()
		at := g.general()
		g.line("MOVWU %d(%s), %s", i*floatSize, step, at)
		g.to(constants[i], fmt.Sprintf("VDUP %s, V%%d.S4", at))
	}
	gradScale, beta1, rest1, beta2, rest2 := constants[0], constants[1], constants[2], constants[3], constants[4]
	decay, stepSize, rootScale, eps := constants[5], constants[6], constants[7], constants[8]
	g.sweep(1, []string{"p", "grad", "m", "v"}, func(c chunk) {
		gi := g.mul(c.load("grad"), gradScale)
		mi := g.mul(c.load("m"), beta1)
		g.multiplyAdd(mi, gi, rest1)
		c.store(mi, "m")
		vi := g.mul(c.load("v"), beta2)
		g.multiplyAdd(vi, g.mul(gi, gi), rest2)
		c.store(vi, "v")
		divisor := g.copy(eps)
		g.multiplyAdd(divisor, g.op2(fsqrt, vi), rootScale)
		change := g.div(g.mul(mi, stepSize), divisor)
		pi := c.load("p")
		g.multiplyAdd(change, pi, decay)
		c.store(g.sub(pi, change), "p")
	})
	g.ret()
}
