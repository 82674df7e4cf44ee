package main

// peakChains independent chains of multiply-adds keep four units with a latency of at most six cycles busy.
const peakChains = 24

// emitPeak writes the loops that the benchmarks compare products with.
func emitPeak(g *gen) {
	g.peak("peak", "multiply-adds of whole vectors", g.multiplyAdd)
}

func (g *gen) peak(name, what string, multiplyAdd func(sum, a, b vector)) {
	g.function(name, "(steps int)", "does 24 "+what+" a step and nothing else, to measure what the processor can do.")
	acc := g.sums(peakChains)
	x := g.zero()
	g.loop(g.param("steps"), func() {
		for _, r := range acc {
			multiplyAdd(r, x, x)
		}
	})
	g.ret()
}
