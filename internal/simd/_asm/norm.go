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
	n := g.param("n")
	r := g.row(n)

	s := g.sums(unrolled)
	r.sweep(unrolled, func(c chunk) { g.VADDPS(c.load(x), s[c.turn], s[c.turn]) })
	length := g.length(n)
	mean := g.div(g.reduce(g.VADDPS, s), length)
	g.result(mean, "mean")

	s = g.sums(unrolled)
	r.sweep(unrolled, func(c chunk) {
		d := g.sub(c.load(x), mean)
		c.clearTail(d)
		g.VFMADD231PS(d, d, s[c.turn])
	})
	rstd := g.div(g.reduce(g.VADDPS, s), length)
	g.VADDPS(g.spread("eps"), rstd, rstd)
	g.VSQRTPS(rstd, rstd)
	g.VDIVPS(rstd, g.hold(f32(1)), rstd)
	g.result(rstd, "rstd")

	r.sweep(unrolled, func(c chunk) {
		d := g.mul(g.sub(c.load(x), mean), rstd)
		g.VFMADD213PS(c.load(beta), c.load(gamma), d)
		c.store(d, y)
	})
	g.ret()
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
