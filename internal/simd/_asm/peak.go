package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakChains independent chains of multiply-adds keep two units with a latency of at most six cycles busy; a few more leave the scheduler room.
const peakChains = 14

// emitPeak writes the loop that the benchmarks compare products with.
func emitPeak(g *gen) {
	g.function("peak", "(steps int)", "does 14 multiply-adds of whole vectors a step and nothing else, to measure what the processor can do.")
	n := g.param("steps")
	var acc [peakChains]reg.VecVirtual
	for i := range acc {
		acc[i] = g.reg()
		g.zero(acc[i])
	}
	x := g.reg()
	g.zero(x)
	g.Label("loop")
	for _, r := range acc {
		if g.isa == avx512bf16 {
			g.VDPBF16PS(x, x, r)
		} else {
			g.VFMADD231PS(x, x, r)
		}
	}
	g.DECQ(n)
	g.JNZ(operand.LabelRef("loop"))
	g.ret()
}
