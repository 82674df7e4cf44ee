package main

import "fmt"

func emitPack(g *gen) {
	for columns := lanes; columns <= tileVectors*lanes; columns += lanes {
		g.packRows("packB", tileVectors*lanes, columns)
	}
	for _, columns := range []int{lanes, tileRows} {
		g.packRows("packA", tileRows, columns)
	}
	g.packBT()
}

// packRows writes the function that copies rows to a panel of the given width. They have at most the given number of
// columns, and more than would do with one vector less. Of a last vector that only half belongs to the panel, half is
// stored.
func (g *gen) packRows(name string, width, columns int) {
	vectors := (columns + lanes - 1) / lanes
	g.function(fmt.Sprintf("%s%d", name, vectors), "(dst, src *float32, ld, last, k int)",
		fmt.Sprintf("copies k > 0 rows, ld bytes apart, of %d vectors, the last of which has last columns.", vectors))
	dst, src, ld, last, k := g.param("dst"), g.param("src"), g.param("ld"), g.param("last"), g.param("k")
	zero := g.zero()
	g.loop(k, func() {
		for j := 0; j*lanes < width; j++ {
			r := zero
			if j < vectors {
				r = g.vector()
			}
			switch {
			case j == vectors-1:
				g.loadPart(r, src, j*vectorSize, last)
			case j < vectors:
				g.load(r, vectorSize, src, j*vectorSize)
			}
			g.store(r, min(lanes, width-j*lanes)*floatSize, dst, j*vectorSize)
		}
		g.line("ADD %s, %s", ld, src)
		g.line("ADD $%d, %s", width*floatSize, dst)
	})
	g.ret()
}

// packBT writes the function that transposes square blocks of as many rows as a vector has lanes.
func (g *gen) packBT() {
	g.function("packBT", "(dst, src *float32, ld, n, k int)",
		"transposes n ≤ 4 rows, ld bytes apart, of k columns into one vector's width of a panel of B; lanes from n on get zero.")
	dst, n, k := g.param("dst"), g.param("n"), g.param("k")
	rows := g.rows(g.param("src"), g.param("ld"), lanes)
	done := g.label("done")

	block := func(columns general) {
		in := make([]vector, lanes)
		for i := range in {
			in[i] = g.zero()
		}
		shuffle := g.label("shuffle")
		for i, r := range in {
			g.line("CMP $%d, %s", i, n)
			g.jump("BEQ", shuffle)
			if columns != "" {
				g.loadPart(r, rows[i], 0, columns)
			} else {
				g.load(r, vectorSize, rows[i], 0)
			}
		}
		g.place(shuffle)
		for p, r := range g.transpose([lanes]vector(in)) {
			if columns != "" && p > 0 {
				g.line("CMP $%d, %s", p, columns)
				g.jump("BEQ", done)
			}
			g.store(r, vectorSize, dst, p*tileVectors*vectorSize)
		}
	}

	loop, rest := g.label("loop"), g.label("rest")
	g.line("SUBS $%d, %s", lanes, k)
	g.jump("BLT", rest)
	g.place(loop)
	block("")
	for _, r := range rows {
		g.line("ADD $%d, %s", vectorSize, r)
	}
	g.line("ADD $%d, %s", lanes*tileVectors*vectorSize, dst)
	g.line("SUBS $%d, %s", lanes, k)
	g.jump("BGE", loop)
	g.place(rest)
	g.line("ADDS $%d, %s", lanes, k)
	g.jump("BEQ", done)
	block(k)
	g.place(done)
	g.ret()
}

// transpose transposes a square block: neighbouring elements, then pairs of them.
func (g *gen) transpose(in [lanes]vector) (out [lanes]vector) {
	trn := func(name, shape string, n, m vector) vector {
		r := g.vector()
		g.native(name, shape, r, n, m)
		return r
	}
	for odd, name := range []string{"VTRN1", "VTRN2"} {
		upper, lower := trn(name, "S4", in[0], in[1]), trn(name, "S4", in[2], in[3])
		out[odd] = trn("VTRN1", "D2", upper, lower)
		out[2+odd] = trn("VTRN2", "D2", upper, lower)
	}
	return out
}
