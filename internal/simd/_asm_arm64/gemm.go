package main

import "fmt"

// The largest tile has 24 sums in registers, a row of B in four more, and elements of A in the remaining four. A width of
// 16 divides the sizes that models have, those of heads among them, so that narrow tiles, which have too few independent
// sums to hide the latency of the multiply-adds, are rare.
const (
	tileRows    = 6
	tileVectors = 4
)

// elementsAhead is how many elements of A are loaded before they are needed.
const elementsAhead = 3

// emitGemm writes one function for each width of a tile. The driver in Go cuts m into tiles of nearly equal height, so no tile
// has only the few rows that are left.
//
// A step of k of the largest tile is 24 multiply-adds of whole vectors and, with A in place, 10 other instructions: two
// loads of pairs of B, six of elements of A, a count and a jump; with A packed it is 7 others. These need none of the units
// that compute, so a processor can keep all of its units busy if
//
//	             it starts a cycle    and loads, a pair as two,    and adds within
//	of 2 units   34/12 = 2.8          10/12 = 0.8                  12 cycles
//	of 4 units   34/6  = 5.7          10/6  = 1.7                   6 cycles
//
// That is arithmetic; it has not been measured.
func emitGemm(g *gen) {
	g.offsets = true
	for vectors := 1; vectors <= tileVectors; vectors++ {
		g.gemmWidth("gemm", vectors, tileKind{lane: fmla, panels: true, steps: (*tileLoop).stepsInPlace, complete: (*tileLoop).addBias})
	}
}

// A tileKind is what products of one kind of element differ in.
type tileKind struct {
	lane     laneOpcode                        // multiplies and adds
	panels   bool                              // A may be packed
	steps    func(l *tileLoop, acc [][]vector) // adds up k > 0 steps of rows of A in place
	turn     func(l *tileLoop)                 // rearranges sums that were loaded from C, unless it is nil
	complete func(l *tileLoop)                 // completes the sums before they are stored
}

// A tileLoop is the state of a function that computes tiles of one width and any height. The Go tools write the offsets of the
// fields of its arguments to go_asm.h.
type tileLoop struct {
	*gen
	tileKind
	acc          [][]vector // by row and vector, whatever the height
	run, a, c    general
	b, k         general
	row, scratch general
	ends         []general // of the rows of A
	last         general   // the elements in the last vector
}

// field loads a field of the run.
func (l *tileLoop) field(name string, r general) { l.line("MOVD gemmRun_%s(%s), %s", name, l.run, r) }

// setField stores to a field of the run.
func (l *tileLoop) setField(r general, name string) {
	l.line("MOVD %s, gemmRun_%s(%s)", r, name, l.run)
}

// flag loads a field that is a bool.
func (l *tileLoop) flag(name string, r general) { l.line("MOVBU gemmRun_%s(%s), %s", name, l.run, r) }

// pick emits jumps to the labels of the heights above one. A height of one falls through.
func (l *tileLoop) pick(label string) {
	l.field("rows", l.scratch)
	for rows := tileRows; rows > 1; rows-- {
		l.line("CMP $%d, %s", rows, l.scratch)
		l.jump("BEQ", fmt.Sprint(label, rows))
	}
}

// eachRow emits body for each row of the highest tile, from the last to the first. Lower tiles enter at their own last row.
func (l *tileLoop) eachRow(body func(i int)) {
	label := l.label("row") + "of"
	l.pick(label)
	l.jump("B", label+"1")
	for i := tileRows - 1; i >= 0; i-- {
		l.place(fmt.Sprint(label, i+1))
		body(i)
	}
}

// eachRowOfC is eachRow with the address of the row of C in row. It leaves scratch to body.
func (l *tileLoop) eachRowOfC(ldc general, body func(i int)) {
	l.field("cs", l.row)
	l.line("ADD %s, %s", l.c, l.row)
	l.eachRow(func(i int) {
		l.line("SUB %s, %s", ldc, l.row)
		body(i)
	})
}

// gemmWidth writes the function that computes tiles below one another in C, of the given width and any height up to tileRows. All
// heights share the code that loads and stores C; each has its own loops along k, of A in place and perhaps of A packed.
func (g *gen) gemmWidth(name string, vectors int, kind tileKind) {
	g.function(fmt.Sprintf("%s%d", name, vectors), "(run *gemmRun)", fmt.Sprintf("computes tiles of width %d, in vectors.", vectors))
	l := &tileLoop{
		gen: g, tileKind: kind, run: g.param("run"), a: g.general(), c: g.general(), b: g.general(), k: g.general(),
		row: g.general(), scratch: g.general(),
	}
	for range tileRows {
		l.ends = append(l.ends, g.general())
		l.acc = append(l.acc, g.sums(vectors))
	}
	ldc := g.general()
	l.last = g.general()
	l.field("a", l.a)
	l.field("c", l.c)
	l.field("ldc", ldc)
	l.field("last", l.last)

	tile, fresh, start, store := g.label("tile"), g.label("fresh"), g.label("start"), g.label("store")
	g.place(tile)
	l.field("b", l.b)
	l.field("k", l.k)
	l.flag("add", l.scratch)
	g.jump(fmt.Sprintf("CBZ %s,", l.scratch), fresh)
	l.eachRowOfC(ldc, func(i int) {
		for j, r := range l.acc[i] {
			if j == vectors-1 {
				g.loadPart(r, l.row, j*vectorSize, l.last)
			} else {
				g.load(r, vectorSize, l.row, j*vectorSize)
			}
		}
	})
	if kind.turn != nil {
		kind.turn(l)
	}
	g.jump("B", start)
	g.place(fresh)
	for _, row := range l.acc {
		for _, r := range row {
			g.clear(r)
		}
	}
	g.place(start)
	g.jump(fmt.Sprintf("CBZ %s,", l.k), store)
	panel := g.label("panel")
	if kind.panels {
		l.flag("packed", l.scratch)
		g.jump(fmt.Sprintf("CBNZ %s,", l.scratch), panel)
	}
	l.findEnds()
	l.eachHeight("inPlace", store, func(acc [][]vector) { kind.steps(l, acc) })
	if kind.panels {
		g.place(panel)
		g.line("MOVD %s, %s", l.a, l.row)
		l.eachHeight("packed", store, l.stepsPacked)
	}

	g.place(store)
	kind.complete(l)
	l.eachRowOfC(ldc, func(i int) {
		for j, r := range l.acc[i] {
			if j == vectors-1 {
				g.storePart(r, l.row, j*vectorSize, l.last)
			} else {
				g.store(r, vectorSize, l.row, j*vectorSize)
			}
		}
	})
	l.next(tile)
	g.ret()
}

// next goes on to the next tile, if there is one.
func (l *tileLoop) next(tile string) {
	end := l.label("end")
	l.field("as", l.scratch)
	l.line("ADD %s, %s", l.scratch, l.a)
	l.field("cs", l.scratch)
	l.line("ADD %s, %s", l.scratch, l.c)
	l.field("tiles", l.scratch)
	l.line("SUBS $1, %s", l.scratch)
	l.setField(l.scratch, "tiles")
	l.jump("BNE", tile)
	l.field("lowTiles", l.scratch)
	l.jump(fmt.Sprintf("CBZ %s,", l.scratch), end)
	l.setField(l.scratch, "tiles")
	l.setField("ZR", "lowTiles")
	for _, low := range [][2]string{{"lowRows", "rows"}, {"lowAs", "as"}, {"lowCs", "cs"}} {
		l.field(low[0], l.scratch)
		l.setField(l.scratch, low[1])
	}
	l.jump("B", tile)
	l.place(end)
}

// addBias adds a row to each row of sums, unless there is none.
func (l *tileLoop) addBias() {
	none := l.label("none")
	l.field("bias", l.row)
	l.jump(fmt.Sprintf("CBZ %s,", l.row), none)
	bias := l.loadRow(l.row)
	for _, row := range l.acc { // rows that a lower tile lacks are not stored
		for j, r := range bias {
			l.three(fadd, row[j], row[j], r)
		}
	}
	l.place(none)
}

// loadRow loads a row of as many elements as a row of the tile has.
func (l *tileLoop) loadRow(p general) []vector {
	r := make([]vector, len(l.acc[0]))
	for j := range r {
		r[j] = l.vector()
		if j == len(r)-1 {
			l.loadPart(r[j], p, j*vectorSize, l.last)
		} else {
			l.load(r[j], vectorSize, p, j*vectorSize)
		}
	}
	return r
}

// eachHeight emits steps for each height, and a jump to store after each.
func (l *tileLoop) eachHeight(label, store string, steps func(acc [][]vector)) {
	l.pick(label)
	for rows := 1; rows <= tileRows; rows++ {
		l.place(fmt.Sprint(label, rows))
		steps(l.acc[:rows])
		l.jump("B", store)
	}
}

// loadB loads a row of a panel of B and goes on to the next.
func (g *gen) loadB(b general, vectors int) []vector {
	r := make([]vector, vectors)
	for j := range r {
		r[j] = g.vector()
	}
	// The first load moves b on, so it comes last.
	const size = tileVectors * vectorSize
	if vectors > 2 {
		if vectors == 4 {
			g.pairTo(r[2], r[3], fmt.Sprintf("FLDPQ %d(%s), (F%%d, F%%d)", 2*vectorSize, b))
		} else {
			g.load(r[2], vectorSize, b, 2*vectorSize)
		}
	}
	if vectors > 1 {
		g.pairTo(r[0], r[1], fmt.Sprintf("FLDPQ.P %d(%s), (F%%d, F%%d)", size, b))
	} else {
		g.to(r[0], fmt.Sprintf("FMOVQ.P %d(%s), F%%d", size, b))
	}
	return r
}

// findEnds prepares stepsInPlace: a negative index leads to the ends of all rows at once.
func (l *tileLoop) findEnds() {
	l.field("rs", l.scratch)
	for i, end := range l.ends {
		if i == 0 {
			l.line("ADD %s<<2, %s, %s", l.k, l.a, end)
		} else {
			l.line("ADD %s, %s, %s", l.scratch, l.ends[i-1], end)
		}
	}
	l.line("NEG %s, %s", l.k, l.k)
}

// stepsInPlace adds up k > 0 steps of rows of A.
func (l *tileLoop) stepsInPlace(acc [][]vector) {
	loop := l.label("loop")
	l.place(loop)
	rowB := l.loadB(l.b, len(acc[0]))
	elements := make([]vector, len(acc))
	load := func(i int) {
		if i < len(acc) {
			elements[i] = l.vector()
			l.to(elements[i], fmt.Sprintf("FMOVS (%s)(%s<<2), F%%d", l.ends[i], l.k))
		}
	}
	for i := range elementsAhead {
		load(i)
	}
	for i := range acc {
		for j, r := range rowB {
			l.byLane(l.lane, acc[i][j], r, elements[i], 0)
		}
		load(i + elementsAhead)
	}
	l.line("ADDS $1, %s", l.k)
	l.jump("BNE", loop)
}

// stepsPacked adds up k > 0 steps of a panel of A, of which row is the address.
func (l *tileLoop) stepsPacked(acc [][]vector) {
	l.loop(l.k, func() {
		rowB := l.loadB(l.b, len(acc[0]))
		var columnA []vector
		for i := 0; i < len(acc); i += lanes {
			size := vectorSize
			if i+lanes > tileRows {
				size = (tileRows - i) * floatSize
			}
			r := l.vector()
			l.load(r, size, l.row, i*floatSize)
			columnA = append(columnA, r)
		}
		l.line("ADD $%d, %s", tileRows*floatSize, l.row)
		for i := range acc {
			for j, r := range rowB {
				l.byLane(l.lane, acc[i][j], r, columnA[i/lanes], i%lanes)
			}
		}
	})
}
