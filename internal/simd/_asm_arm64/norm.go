package main

func emitNorm(g *gen) {
	g.layerNorm()
	g.layerNormBackward()
}

func (g *gen) layerNorm() {
	g.function("layerNorm", "(y, x, gamma, beta *float32, n int, eps float32) (mean, rstd float32)",
		"is Kernels.LayerNorm, for n > 0.")
	s := g.sums(unrolled)
	g.sweep(unrolled, []string{"x"}, func(c chunk) { g.three(fadd, s[c.turn], s[c.turn], c.load("x")) })
	length := g.length()
	mean := g.div(g.sum(s), length)
	g.result32(mean, "mean")

	s = g.sums(unrolled)
	g.sweep(unrolled, []string{"x"}, func(c chunk) {
		d := c.clearTail(g.sub(c.load("x"), mean))
		g.multiplyAdd(s[c.turn], d, d)
	})
	variance := g.div(g.sum(s), length)
	rstd := g.div(g.constant(1), g.op2(fsqrt, g.add(variance, g.spread("eps"))))
	g.result32(rstd, "rstd")

	g.sweep(unrolled, []string{"x", "gamma", "beta", "y"}, func(c chunk) {
		d := g.mul(g.sub(c.load("x"), mean), rstd)
		v := c.load("beta")
		g.multiplyAdd(v, d, c.load("gamma"))
		c.store(v, "y")
	})
	g.ret()
}

func (g *gen) layerNormBackward() {
	g.function("layerNormBackward", "(dx, dy, x, gamma *float32, mean, rstd float32, dgamma, dbeta *float32, n int)",
		"is Kernels.LayerNormBackward, for n > 0.")
	mean, rstd := g.spread("mean"), g.spread("rstd")
	normal := func(c chunk) vector { return g.mul(g.sub(c.load("x"), mean), rstd) }

	sums, dots := g.sums(unrolled), g.sums(unrolled)
	g.sweep(unrolled, []string{"dy", "x", "gamma", "dgamma", "dbeta"}, func(c chunk) {
		d, xhat := c.load("dy"), normal(c)
		c.store(g.add(c.load("dbeta"), d), "dbeta")
		dg := c.load("dgamma")
		g.multiplyAdd(dg, xhat, d)
		c.store(dg, "dgamma")
		d = g.mul(d, c.load("gamma")) // zero past the end
		g.three(fadd, sums[c.turn], sums[c.turn], d)
		g.multiplyAdd(dots[c.turn], d, xhat)
	})
	length := g.length()
	meanG, meanGX := g.div(g.sum(sums), length), g.div(g.sum(dots), length)

	g.sweep(unrolled, []string{"dy", "x", "gamma", "dx"}, func(c chunk) {
		v := g.sub(g.mul(c.load("dy"), c.load("gamma")), meanG)
		g.multiplySub(v, normal(c), meanGX)
		c.store(g.mul(v, rstd), "dx")
	})
	g.ret()
}
