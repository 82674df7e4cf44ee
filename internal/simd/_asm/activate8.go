package main

// emitActivate8 writes the parts of Integers.Activate.
func emitActivate8(g *gen) {
	for i := range activations {
		a := &activations[i]
		g.function("activateSums"+a.name, "(dst, sums, columns *float32, offsets *int32, bias *float32, scale float32, n int) (top uint32)",
			"makes numbers of a row of sums, and returns the bits of the largest magnitude.")
		dst, sums, columns := g.param("dst"), g.param("sums"), g.param("columns")
		offsets, bias, scale := g.param("offsets"), g.param("bias"), g.spread("scale")
		r := g.row(g.param("n"))
		f := a.rounded(g)
		const unroll = 2
		sweep := r.sweepTogether
		if g.vex() { // too few registers for two vectors at a time
			sweep = r.sweep
		}
		tops := g.sums(unroll)
		sweep(unroll, func(c chunk) {
			// Past the end of the row all of it is zero, or NaN if the scale is.
			x := c.load(sums)
			g.VPADDD(c.load(offsets), x, x)
			g.VCVTDQ2PS(x, x)
			g.VMULPS(g.mul(c.load(columns), scale), x, x)
			y := f(g.add(x, c.load(bias)))
			c.store(y, dst)
			g.VPMAXSD(c.abs(y), tops[c.turn], tops[c.turn])
		})
		g.result(g.reduce(g.VPMAXSD, tops), "top")
		g.ret()
	}
}
