package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitNorm16 writes LayerNorm with what is before and behind it.
func emitNorm16(g *gen) {
	g.function("addNorm", "(y, s, residual, gamma, beta *float32, n int, eps float32, words *uint32) (mean, rstd float32)",
		"is Kernels.AddNorm, for n > 0.")
	y, s, residual := g.param("y"), g.param("s"), g.param("residual")
	n := g.param("n")
	r := g.row(n)
	mean, rstd := g.normStatistics(r, func(c chunk) reg.VecVirtual {
		v := g.add(c.load(s), c.load(residual))
		c.store(v, s)
		return v
	}, func(c chunk) reg.VecVirtual { return c.load(s) })

	gamma, beta, words := g.param("gamma"), g.param("beta"), g.param("words")
	g.TESTQ(words, words)
	g.JZ(g.jmp("floats"))
	joiner := g.joiner()
	var first reg.VecVirtual // of a pair
	r.sweep(unrolled, func(c chunk) {
		d := c.normalized(s, gamma, beta, mean, rstd)
		c.store(d, y)
		paired := c.turn%2 != 0
		if !paired {
			first = d
			if c.unrolled {
				return
			}
			d = g.reg()
			g.zero(d)
			c.clearTail(first)
		}
		joined := g.reg()
		joiner.join(first, d, joined)
		index := g.GP64()
		g.MOVQ(c.index, index)
		g.SHRQ(operand.Imm(1), index)
		to := operand.Mem{Base: words, Index: index, Scale: 1}
		switch {
		case paired:
			to.Disp = (c.off - g.bytes) / 2
			g.VMOVUPS(joined, to)
		case c.mask != nil:
			count := g.GP64()
			g.MOVQ(n, count)
			g.ANDQ(operand.Imm(uint64(g.lanes-1)), count)
			g.INCQ(count)
			g.SHRQ(operand.Imm(1), count)
			g.storeTail(joined, g.tailMask(count, c.mask.r), to)
		case g.vex():
			g.VMOVUPS(joined.AsX(), to)
		default:
			g.VMOVUPS(joined.AsY(), to)
		}
	})
	g.ret()

	g.Label("floats")
	r.sweep(unrolled, func(c chunk) { c.store(c.normalized(s, gamma, beta, mean, rstd), y) })
	g.ret()
}
