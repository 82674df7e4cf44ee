package main

import "fmt"

const upperHalf = 0xffff0000

// emitWiden writes what makes float32 of words of two bfloat16. Of a word, the upper half comes first, for so products add
// them up.
func emitWiden(g *gen) {
	g.widenPanel("widenB", tileVectors*lanes)
	g.widenPanel("widenA", tileRows)
	g.widenRow()
}

// halves returns the halves of words as float32.
func (g *gen) halves(words, mask vector) (upper, lower vector) {
	upper, lower = g.vector(), g.vector()
	g.native("VAND", "B16", upper, words, mask)
	g.shift("VSHL", lower, words, halfWord)
	return upper, lower
}

func (g *gen) widenPanel(name string, width int) {
	g.function(name, "(dst *float32, src *uint32, k int)",
		fmt.Sprintf("makes 2k rows of a panel of width %d of k > 0 rows of words.", width))
	dst, src, mask := g.param("dst"), g.param("src"), g.bits(upperHalf)
	g.loop(g.param("k"), func() {
		for j := 0; j < width; j += lanes {
			size := min(lanes, width-j) * floatSize
			words := g.vector()
			g.load(words, size, src, j*floatSize)
			upper, lower := g.halves(words, mask)
			g.store(upper, size, dst, j*floatSize)
			g.store(lower, size, dst, (width+j)*floatSize)
		}
		g.line("ADD $%d, %s", width*floatSize, src)
		g.line("ADD $%d, %s", 2*width*floatSize, dst)
	})
	g.ret()
}

func (g *gen) widenRow() {
	g.function("widenRow", "(dst *float32, src *uint32, n int)",
		"makes 2n elements of n words, and zeros up to the next multiple of 8.")
	dst, src, n, mask := g.param("dst"), g.param("src"), g.param("n"), g.bits(upperHalf)
	widen := func(words vector) {
		upper, lower := g.halves(words, mask)
		for i, zip := range []string{"VZIP1", "VZIP2"} {
			r := g.vector()
			g.native(zip, "S4", r, upper, lower)
			g.store(r, vectorSize, dst, i*vectorSize)
		}
	}
	g.while(n, lanes, func() {
		words := g.vector()
		g.load(words, vectorSize, src, 0)
		widen(words)
		g.line("ADD $%d, %s", vectorSize, src)
		g.line("ADD $%d, %s", 2*vectorSize, dst)
	})
	done := g.label("done")
	g.jump("BEQ", done)
	words := g.vector()
	g.loadPart(words, src, 0, n)
	widen(words)
	g.place(done)
	g.ret()
}
