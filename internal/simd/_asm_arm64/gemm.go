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

// emitGemm writes a part for each height and each width of a tile. The driver in Go cuts m into tiles of nearly equal
// height, so there is no remainder of few rows.
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
	g.gemm()
	for vectors := 1; vectors <= tileVectors; vectors++ {
		for rows := 1; rows <= tileRows; rows++ {
			g.gemmTile(rows, vectors)
		}
	}
}

// tileParameters are those of the function that all tiles are part of.
const tileParameters = "(rows, vectors, tiles int, a *float32, as, rs int, b *float32, k int, c *float32, ldc, last int, add, packed bool)"

// gemm writes the function that goes on to the tile of the given size. Tiles that only it knows keep it to one call, of
// which the compiler sees that it leaves its operands where they are.
func (g *gen) gemm() {
	g.function("gemmTiles", tileParameters,
		"computes tiles of rows×vectors, the last vector of which has last columns, that lie below one another. Strides are\n"+
			"// in bytes: as of the tiles of A, rs of its rows; if A is packed, a tile's rows are a panel and rs has no meaning.")
	rows, vectors := g.param("rows"), g.param("vectors")
	for v := tileVectors; v > 0; v-- {
		narrower := g.label("narrower")
		g.line("CMP $%d, %s", v, vectors)
		g.jump("BNE", narrower)
		for r := tileRows; r > 0; r-- {
			lower := g.label("lower")
			g.line("CMP $%d, %s", r, rows)
			g.jump("BNE", lower)
			g.goOn(tileName(r, v))
			g.place(lower)
		}
		g.place(narrower)
	}
	g.ret()
}

func tileName(rows, vectors int) string { return fmt.Sprintf("gemm%dx%d", rows, vectors) }

// gemmTile writes the part of gemmTiles for tiles of one size.
func (g *gen) gemmTile(rows, vectors int) {
	g.part(tileName(rows, vectors), tileParameters)

	acc := make([][]vector, rows)
	for i := range acc {
		acc[i] = make([]vector, vectors)
		for j := range acc[i] {
			acc[i][j] = g.vector()
		}
	}
	tiles, a, as, rs := g.param("tiles"), g.param("a"), g.param("as"), g.param("rs")
	b, k, c, ldc := g.general(), g.general(), g.param("c"), g.param("ldc")
	last, add, packed := g.param("last"), g.param("add"), g.param("packed")
	row := g.general()

	tile := g.label("tile")
	g.place(tile)
	g.reload("b", b)
	g.reload("k", k)
	fresh, start := g.label("fresh"), g.label("start")
	g.jump(fmt.Sprintf("CBZ %s,", add), fresh)
	g.line("MOVD %s, %s", c, row)
	for i := range acc {
		for j, r := range acc[i] {
			if j == vectors-1 {
				g.loadPart(r, row, j*vectorSize, last)
			} else {
				g.load(r, vectorSize, row, j*vectorSize)
			}
		}
		g.line("ADD %s, %s", ldc, row)
	}
	g.jump("B", start)
	g.place(fresh)
	for i := range acc {
		for _, r := range acc[i] {
			g.clear(r)
		}
	}
	g.place(start)
	store, panel := g.label("store"), g.label("panel")
	g.jump(fmt.Sprintf("CBZ %s,", k), store)
	g.jump(fmt.Sprintf("CBNZ %s,", packed), panel)
	g.stepsInPlace(acc, a, rs, b, k)
	g.jump("B", store)
	g.place(panel)
	g.line("MOVD %s, %s", a, row)
	g.stepsPacked(acc, row, b, k)

	g.place(store)
	for i := range acc {
		for j, r := range acc[i] {
			if j == vectors-1 {
				g.storePart(r, c, j*vectorSize, last)
			} else {
				g.store(r, vectorSize, c, j*vectorSize)
			}
		}
		g.line("ADD %s, %s", ldc, c)
	}
	g.line("ADD %s, %s", as, a)
	g.line("SUBS $1, %s", tiles)
	g.jump("BNE", tile)
	g.ret()
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

// stepsInPlace adds up k > 0 steps of rows of A, rs bytes apart. A negative index leads to the ends of all rows at once.
func (g *gen) stepsInPlace(acc [][]vector, a, rs, b, k general) {
	ends := g.rows(a, rs, len(acc))
	for _, r := range ends {
		g.line("ADD %s<<2, %s", k, r)
	}
	g.line("NEG %s, %s", k, k)
	loop := g.label("loop")
	g.place(loop)
	rowB := g.loadB(b, len(acc[0]))
	elements := make([]vector, len(acc))
	load := func(i int) {
		if i < len(acc) {
			elements[i] = g.vector()
			g.to(elements[i], fmt.Sprintf("FMOVS (%s)(%s<<2), F%%d", ends[i], k))
		}
	}
	for i := range elementsAhead {
		load(i)
	}
	for i := range acc {
		for j, r := range rowB {
			g.fmlaLane(acc[i][j], r, elements[i], 0)
		}
		load(i + elementsAhead)
	}
	g.line("ADDS $1, %s", k)
	g.jump("BNE", loop)
}

// stepsPacked adds up k > 0 steps of a panel of A.
func (g *gen) stepsPacked(acc [][]vector, a, b, k general) {
	g.loop(k, func() {
		rowB := g.loadB(b, len(acc[0]))
		var columnA []vector
		for i := 0; i < len(acc); i += lanes {
			size := vectorSize
			if i+lanes > tileRows {
				size = (tileRows - i) * floatSize
			}
			r := g.vector()
			g.load(r, size, a, i*floatSize)
			columnA = append(columnA, r)
		}
		g.line("ADD $%d, %s", tileRows*floatSize, a)
		for i := range acc {
			for j, r := range rowB {
				g.fmlaLane(acc[i][j], r, columnA[i/lanes], i%lanes)
			}
		}
	})
}
