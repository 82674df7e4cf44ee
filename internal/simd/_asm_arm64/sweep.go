package main

import "fmt"

// A chunk is one vector of each operand of a row.
type chunk struct {
	*gen
	pointers map[string]general
	off      int     // in bytes
	turn     int     // which of the unrolled vectors it is
	count    general // the elements of a partly filled vector, else ""
}

// load loads the chunk of an operand; elements past the row's end are zero.
func (c chunk) load(operand string) vector {
	r := c.vector()
	if c.count != "" {
		c.gen.loadPart(r, c.pointers[operand], 0, c.count)
	} else {
		c.gen.load(r, vectorSize, c.pointers[operand], c.off)
	}
	return r
}

func (c chunk) store(r vector, operand string) {
	if c.count != "" {
		c.gen.storePart(r, c.pointers[operand], 0, c.count)
	} else {
		c.gen.store(r, vectorSize, c.pointers[operand], c.off)
	}
}

// filled returns r with the elements past the row's end replaced by those of other.
func (c chunk) filled(r, other vector) vector {
	if c.count == "" {
		return r
	}
	past := c.op3(cmhs, c.vectorOf([4]uint32{0, 1, 2, 3}), c.spreadFrom(c.count)) // lanes of no lesser number
	return c.blend(past, other, r)
}

// clearTail returns r with zeros past the row's end.
func (c chunk) clearTail(r vector) vector {
	if c.count == "" {
		return r
	}
	return c.filled(r, c.zero())
}

// sweep emits body for every chunk of the rows of n elements at the named parameters: unroll chunks at a time while there
// are as many, then single ones, then what is left. Which chunk gets which turn depends on n alone.
func (g *gen) sweep(unroll int, operands []string, body func(c chunk)) {
	c := chunk{gen: g, pointers: map[string]general{}}
	for _, name := range operands {
		c.pointers[name] = g.param(name)
	}
	left := g.param("n")
	advance := func(bytes int) {
		for _, name := range operands {
			g.line("ADD $%d, %s", bytes, c.pointers[name])
		}
	}
	if unroll > 1 {
		g.while(left, unroll*lanes, func() {
			for u := range unroll {
				c.off, c.turn = u*vectorSize, u
				body(c)
			}
			advance(unroll * vectorSize)
		})
	}
	c.off, c.turn = 0, 0
	g.while(left, lanes, func() {
		body(c)
		advance(vectorSize)
	})
	done := g.label("done")
	g.jump("BEQ", done)
	c.count = left
	body(c)
	g.place(done)
}

// apply calls f for every vector of the rows of n elements at the named parameters, with the vectors of the operands from, and
// emits code that stores its result in to. The end of the row uses the same code, only with piecewise loads and stores.
func (g *gen) apply(to string, from []string, f func(v []vector) vector) {
	c := chunk{gen: g, pointers: map[string]general{to: g.param(to)}}
	for _, name := range from {
		c.pointers[name] = g.param(name)
	}
	left := g.param("n")
	in := make([]vector, len(from))
	for i := range in {
		in[i] = g.vector()
	}
	loop, compute, rest, part, done := g.label("loop"), g.label("compute"), g.label("rest"), g.label("part"), g.label("done")
	g.line("SUBS $%d, %s", lanes, left)
	g.jump("BLT", rest)
	g.place(loop)
	for i, name := range from {
		g.load(in[i], vectorSize, c.pointers[name], 0)
	}
	g.place(compute)
	out := f(in)
	g.jump(fmt.Sprintf("TBNZ $63, %s,", left), part)
	c.store(out, to)
	for _, name := range append([]string{to}, from...) {
		g.line("ADD $%d, %s", vectorSize, c.pointers[name])
	}
	g.line("SUBS $%d, %s", lanes, left)
	g.jump("BGE", loop)

	g.place(rest) // from here on, left is negative
	g.line("ADDS $%d, %s", lanes, left)
	g.jump("BEQ", done)
	for i, name := range from {
		g.loadPart(in[i], c.pointers[name], 0, left)
	}
	g.line("SUB $%d, %s", lanes, left)
	g.jump("B", compute)

	g.place(part)
	g.line("ADD $%d, %s", lanes, left)
	g.storePart(out, c.pointers[to], 0, left)
	g.place(done)
}

// sums returns n cleared registers.
func (g *gen) sums(n int) []vector {
	s := make([]vector, n)
	for i := range s {
		s[i] = g.zero()
	}
	return s
}

// reduce combines all lanes of all registers in a fixed order, by an operation and the same of neighbouring lanes. The
// result is in every lane of the register that it returns.
func (g *gen) reduce(op, pairwise opcode, s []vector) vector {
	for len(s) > 1 {
		half := len(s) / 2
		combined := make([]vector, half)
		for i := range half {
			combined[i] = g.op3(op, s[i], s[i+half])
		}
		s = combined
	}
	r := g.op3(pairwise, s[0], s[0])
	return g.op3(pairwise, r, r)
}

func (g *gen) sum(s []vector) vector { return g.reduce(fadd, faddp, s) }

// length returns the number of elements as float32 in every lane.
func (g *gen) length() vector {
	r := g.spread("n")
	g.two(scvtf, r, r)
	return r
}

// rows returns base + i·stride for each of n rows, in new registers.
func (g *gen) rows(base, stride general, n int) []general {
	r := make([]general, n)
	for i := range r {
		r[i] = g.general()
		if i == 0 {
			g.line("MOVD %s, %s", base, r[0])
		} else {
			g.line("ADD %s, %s, %s", stride, r[i-1], r[i])
		}
	}
	return r
}

// loop emits body as often as the count says, at least once.
func (g *gen) loop(count general, body func()) {
	start := g.label("loop")
	g.place(start)
	body()
	g.line("SUBS $1, %s", count)
	g.jump("BNE", start)
}

// while emits body to be repeated while there are count elements left, and counts them. The flags then say whether any are
// left.
func (g *gen) while(left general, count int, body func()) {
	loop, end := g.label("loop"), g.label("end")
	g.line("SUBS $%d, %s", count, left)
	g.jump("BLT", end)
	g.place(loop)
	body()
	g.line("SUBS $%d, %s", count, left)
	g.jump("BGE", loop)
	g.place(end)
	g.line("ADDS $%d, %s", count, left)
}
