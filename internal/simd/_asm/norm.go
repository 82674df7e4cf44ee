package main

import "github.com/mmcloughlin/avo/reg"

func emitNorm(g *gen) {
	g.layerNorm()
	g.layerNormBackward()
}

// length returns the number of elements as float32 in every lane.
func (g *gen) length(n reg.GPVirtual) reg.VecVirtual {
	x, r := g.XMM(), g.reg()
	g.VXORPS(x, x, x)
	g.VCVTSI2SSQ(n, x, x)
	g.VBROADCASTSS(x, r)
	return r
}

func (g *gen) layerNorm() {
	g.function("layerNorm", "(y, x, gamma, beta *float32, n int, eps float32) (mean, rstd float32)",
		"is Kernels.LayerNorm, for n > 0.")
	y, x, gamma, beta := g.param("y"), g.param("x"), g.param("gamma"), g.param("beta")
	r := g.row(g.param("n"))
	load := func(c chunk) reg.VecVirtual { return c.load(x) }
	mean, rstd := g.normStatistics(r, load, load)
	r.sweep(unrolled, func(c chunk) { c.store(c.normalized(x, gamma, beta, mean, rstd), y) })
	g.ret()
}

// normStatistics returns the results of LayerNorm, of what first loads and, for the second time, again.
func (g *gen) normStatistics(r row, first, again func(c chunk) reg.VecVirtual) (mean, rstd reg.VecVirtual) {
	// A division and a root of one number take half as long as those of a whole vector.
	s := g.sums(unrolled)
	r.sweep(unrolled, func(c chunk) { g.VADDPS(first(c), s[c.turn], s[c.turn]) })
	length := g.length(r.n).AsX()
	one := g.XMM()
	g.VDIVSS(length, g.reduce(g.VADDPS, s).AsX(), one)
	mean = g.everywhere(one)
	g.result(mean, "mean")

	s = g.sums(unrolled)
	r.sweep(unrolled, func(c chunk) {
		d := g.sub(again(c), mean)
		c.clearTail(d)
		g.VFMADD231PS(d, d, s[c.turn])
	})
	one = g.XMM()
	g.VDIVSS(length, g.reduce(g.VADDPS, s).AsX(), one)
	g.VADDSS(g.paramAddr("eps"), one, one)
	g.VSQRTSS(one, one, one)
	g.VDIVSS(one, g.hold(f32(1)).AsX(), one)
	rstd = g.everywhere(one)
	g.result(rstd, "rstd")
	return mean, rstd
}

// everywhere is a vector of the lowest element of x.
func (g *gen) everywhere(x reg.Register) reg.VecVirtual {
	r := g.reg()
	g.VBROADCASTSS(x, r)
	return r
}

// normalized is a chunk of LayerNorm's result.
func (c chunk) normalized(x, gamma, beta, mean, rstd reg.Register) reg.VecVirtual {
	d := c.mul(c.sub(c.load(x), mean), rstd)
	c.VFMADD213PS(c.load(beta), c.load(gamma), d)
	return d
}

func (g *gen) layerNormBackward() {
	g.function("layerNormBackward", "(dx, dy, x, gamma *float32, mean, rstd float32, dgamma, dbeta *float32, n int)",
		"is Kernels.LayerNormBackward, for n > 0.")
	dx, dy, x, gamma := g.param("dx"), g.param("dy"), g.param("x"), g.param("gamma")
	dgamma, dbeta := g.param("dgamma"), g.param("dbeta")
	mean, rstd := g.spread("mean"), g.spread("rstd")
	n := g.param("n")
	r := g.row(n)

	const pairs = 2
	sums, dots := g.sums(pairs), g.sums(pairs)
	r.sweep(pairs, func(c chunk) {
		d := c.load(dy)
		xhat := g.mul(g.sub(c.load(x), mean), rstd)
		db := g.add(c.load(dbeta), d)
		c.store(db, dbeta)
		dg := c.load(dgamma)
		g.VFMADD231PS(xhat, d, dg)
		c.store(dg, dgamma)
		g.VMULPS(c.load(gamma), d, d) // zero past the end
		g.VADDPS(d, sums[c.turn], sums[c.turn])
		g.VFMADD231PS(xhat, d, dots[c.turn])
	})
	length := g.length(n)
	meanG := g.div(g.reduce(g.VADDPS, sums), length)
	meanGX := g.div(g.reduce(g.VADDPS, dots), length)

	r.sweep(pairs, func(c chunk) {
		v := g.mul(c.load(dy), c.load(gamma))
		xhat := g.mul(g.sub(c.load(x), mean), rstd)
		g.VSUBPS(meanG, v, v)
		g.VFNMADD231PS(xhat, meanGX, v)
		g.VMULPS(rstd, v, v)
		c.store(v, dx)
	})
	g.ret()
}
