package main

// emitGemm8 writes the functions for products of int8, four elements of k in a word, and the loop of nothing else. Tiles are those of
// float32, of words in place of numbers: one instruction adds up the products of four words of B with one of A. Processors
// without it, of Armv8.0 and some of 8.1, have plain Go.
func emitGemm8(g *gen) {
	g.offsets = true
	for vectors := 1; vectors <= tileVectors; vectors++ {
		g.gemmWidth("gemm8x", vectors, sdotLane, false, (*tileLoop).scale)
	}
	g.peak("peak8", "multiply-adds of whole vectors of bytes", func(sum, a, b vector) {
		g.three(sdot, sum, a, b)
		last := &g.f.code[len(g.f.code)-1]
		last.reads = append(last.reads, sum)
	})
}

// scale makes numbers of the sums, unless there are no scales: see Scaling.
func (l *tileLoop) scale() {
	none, scales := l.label("unscaled"), l.general()
	l.field("scales", scales)
	l.jump("CBZ "+string(scales)+",", none)
	l.field("offsets", l.row)
	offsets := l.loadRow(l.row)
	for _, row := range l.acc { // rows that a lower tile lacks are not stored
		for j, r := range offsets {
			l.native("VADD", "S4", row[j], row[j], r)
			l.two(scvtf, row[j], row[j])
		}
	}
	of := l.loadRow(scales)
	l.field("rowScales", l.row)
	l.eachRow(func(i int) {
		scale, both := l.vector(), l.vector()
		l.load(scale, floatSize, l.row, i*floatSize)
		for j, r := range of {
			l.byLane(fmulLane, both, r, scale, 0)
			l.three(fmul, l.acc[i][j], both, l.acc[i][j])
		}
	})
	l.field("rows", l.scratch)
	l.line("ADD %s<<2, %s", l.scratch, l.row)
	l.setField(l.row, "rowScales")
	l.addBias()
	l.place(none)
}

// emitQuantize writes the parts of Integers.QuantizeRow.
func emitQuantize(g *gen) {
	g.topBits()
	g.quantize()
}

func (g *gen) topBits() {
	g.function("topBits", "(src *float32, n int) (bits uint32)", "returns the bits of the largest magnitude.")
	const unroll = 4
	tops := g.sums(unroll)
	g.sweep(unroll, []string{"src"}, func(c chunk) {
		g.three(umax, tops[c.turn], tops[c.turn], c.abs(c.load("src")))
	})
	g.result32(g.reduce(umax, umaxp, tops), "bits")
	g.ret()
}

// quantizedAtOnce is how many elements become a vector of bytes.
const quantizedAtOnce = 16

func (g *gen) quantize() {
	g.function("quantize", "(dst *uint32, src *float32, n int, factor float32, offset uint32)",
		"rounds x·factor to bytes and inverts the bits of offset. n is a multiple of 16.")
	dst, src, n := g.param("dst"), g.param("src"), g.param("n")
	factor, offset := g.spread("factor"), g.spread("offset")
	evens := func(shape string, low, high vector) vector { // the lower halves of elements
		r := g.vector()
		g.native("VUZP1", shape, r, low, high)
		return r
	}
	g.while(n, quantizedAtOnce, func() {
		v := make([]vector, quantizedAtOnce/lanes)
		for i := range v {
			v[i] = g.vector()
			g.load(v[i], vectorSize, src, i*vectorSize)
			v[i] = g.op2(fcvtns, g.mul(v[i], factor))
		}
		bytes := evens("B16", evens("H8", v[0], v[1]), evens("H8", v[2], v[3]))
		g.native("VEOR", "B16", bytes, bytes, offset)
		g.store(bytes, vectorSize, dst, 0)
		g.line("ADD $%d, %s", quantizedAtOnce*floatSize, src)
		g.line("ADD $%d, %s", vectorSize, dst)
	})
	g.ret()
}
