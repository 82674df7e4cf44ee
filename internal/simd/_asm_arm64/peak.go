package main

// peakChains independent chains of multiply-adds keep four units with a latency of at most six cycles busy.
const peakChains = 24

// emitPeak writes the loop that the benchmarks compare products with.
func emitPeak(g *gen) {
	g.function("peak", "(steps int)", "does 24 multiply-adds of whole vectors a step and nothing else, to measure what the processor can do.")
	acc := g.sums(peakChains)
	x := g.zero()
	g.loop(g.param("steps"), func() {
		for _, r := range acc {
			g.multiplyAdd(r, x, x)
		}
	})
	g.ret()
}
