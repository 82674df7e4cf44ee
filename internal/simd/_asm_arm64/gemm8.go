package main

import "fmt"

// emitGemm8 writes the functions for products of int8, four elements of k in a word, and the loop of nothing else. Tiles are those of
// float32, of words in place of numbers: one instruction adds up the products of four words of B with one of A. Processors
// without it, of Armv8.0 and some of 8.1, have plain Go.
func emitGemm8(g *gen) {
	g.offsets = true
	for vectors := 1; vectors <= tileVectors; vectors++ {
		g.gemmWidth("gemm8x", vectors, tileKind{lane: sdotLane, steps: (*tileLoop).stepsInPlace, complete: (*tileLoop).scale})
		g.gemmWidth("gemm8square", vectors, tileKind{steps: (*tileLoop).stepsOfSquares, turn: (*tileLoop).turnSquares, complete: func(l *tileLoop) {
			l.turnSquares()
			l.scale()
		}})
	}
	g.peak("peak8", "multiply-adds of whole vectors of bytes", func(sum, a, b vector) { g.addTo(sdot, sum, a, b) })
	g.peak("peak8Square", "multiply-adds of squares of bytes", func(sum, a, b vector) { g.addTo(smmla, sum, a, b) })
}

// addTo emits sum += op(a, b).
func (g *gen) addTo(op opcode, sum, a, b vector) {
	g.three(op, sum, a, b)
	last := &g.f.code[len(g.f.code)-1]
	last.reads = append(last.reads, sum)
}

// SMMLA multiplies two rows of A, eight bytes each, with two columns of B: a square of four sums in a vector. Two words of each of
// four columns of a panel become eight bytes of each column as both vectors are zipped, so that panels are those of SDOT. With
// equally fast instructions a step of eight elements of k of the largest tile takes 24 of them and 11 zips, in place of 48 of
// SDOT. That is arithmetic; it has not been measured.

// zip returns the elements of the lower halves of n and m in turns, or those of the upper halves.
func (g *gen) zip(shape string, n, m vector, upper bool) vector {
	name := "VZIP1"
	if upper {
		name = "VZIP2"
	}
	r := g.vector()
	g.native(name, shape, r, n, m)
	return r
}

// turnSquares makes squares of the sums of two rows, or rows of squares: the same exchange of halves. In place of the sums of the
// upper row stand the squares of columns 0 and 1, of the lower row those of columns 2 and 3. What a row that a lower tile lacks
// holds stays apart.
func (l *tileLoop) turnSquares() {
	for i := 0; i < tileRows; i += 2 {
		for j := range l.acc[i] {
			first := l.zip("D2", l.acc[i][j], l.acc[i+1][j], false)
			l.native("VZIP2", "D2", l.acc[i+1][j], l.acc[i][j], l.acc[i+1][j])
			l.move(l.acc[i][j], first)
		}
	}
}

// stepsOfSquares adds up k > 0 words of rows of A, two at a time, and the last of an odd number beside zeros.
func (l *tileLoop) stepsOfSquares(acc [][]vector) {
	rows, all := len(acc), l.acc[:(len(acc)+1)/2*2]
	step := func(load string, second bool) {
		var pairs []vector
		for i := 0; i < rows; i += 2 {
			var row [2]vector
			for r := range row {
				row[r] = l.vector()
				if i+r < rows {
					l.to(row[r], fmt.Sprintf("%s (%s)(%s), F%%d", load, l.ends[i+r], l.k))
				} else {
					l.clear(row[r])
				}
			}
			pairs = append(pairs, l.zip("D2", row[0], row[1], false))
		}
		const width = tileVectors * vectorSize
		for j := range all[0] {
			words := [2]vector{l.vector(), l.vector()}
			l.load(words[0], vectorSize, l.b, j*vectorSize)
			if second {
				l.load(words[1], vectorSize, l.b, width+j*vectorSize)
			} else {
				l.clear(words[1])
			}
			left, right := l.zip("S4", words[0], words[1], false), l.zip("S4", words[0], words[1], true)
			for i, pair := range pairs {
				l.addTo(smmla, all[2*i][j], pair, left)
				l.addTo(smmla, all[2*i+1][j], pair, right)
			}
		}
		l.line("ADD $%d, %s", map[bool]int{true: 2, false: 1}[second]*width, l.b)
	}
	const word = 4
	loop, last, done := l.label("loop"), l.label("last"), l.label("done")
	l.line("LSL $2, %s, %s", l.k, l.k) // bytes, negative
	l.place(loop)
	l.line("ADDS $%d, %s, %s", 2*word, l.k, l.scratch)
	l.jump("BGT", last) // less than two words are left
	step(moves[2*word], true)
	l.line("ADDS $%d, %s", 2*word, l.k)
	l.jump("BNE", loop)
	l.jump("B", done)
	l.place(last)
	step(moves[word], false)
	l.place(done)
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
