package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type instruction = func(ops ...operand.Op)

// f32 are the bits of a float32 constant.
func f32(x float64) uint32 { return math.Float32bits(float32(x)) }

const (
	absBits  = 0x7fffffff
	signBits = 0x80000000
)

// constant is a constant in memory: once for AVX-512, whose instructions spread it, and as a whole vector
// for AVX2.
func (g *gen) constant(bits uint32) operand.Mem {
	name := fmt.Sprintf("c%08x", bits)
	m, ok := g.named[name]
	if !ok {
		m = g.file.StaticGlobal(name)
		g.file.DataAttributes(attr.RODATA | attr.NOPTR)
		if g.isa == avx2 {
			for range g.lanes / 2 {
				g.file.AppendDatum(operand.U64(uint64(bits)<<32 | uint64(bits)))
			}
		} else {
			g.file.AppendDatum(operand.U32(bits))
		}
		g.named[name] = m
	}
	return m
}

// with emits an instruction whose first operand is a constant: plain for AVX2, spread for AVX-512.
func (g *gen) with(plain, spread instruction, bits uint32, rest ...operand.Op) {
	f := spread
	if g.isa == avx2 {
		f = plain
	}
	f(append([]operand.Op{g.constant(bits)}, rest...)...)
}

// hold loads a constant into a register of its own.
func (g *gen) hold(bits uint32) reg.VecVirtual {
	r := g.reg()
	g.VBROADCASTSS(g.constant(bits), r)
	return r
}

// spread loads a float32 parameter into every lane of a register.
func (g *gen) spread(param string) reg.VecVirtual {
	r := g.reg()
	g.VBROADCASTSS(g.paramAddr(param), r)
	return r
}

// The helpers below return a new register.

func (g *gen) add(a, b reg.Register) reg.VecVirtual { return g.op2(g.VADDPS, b, a) }
func (g *gen) sub(a, b reg.Register) reg.VecVirtual { return g.op2(g.VSUBPS, b, a) }
func (g *gen) mul(a, b reg.Register) reg.VecVirtual { return g.op2(g.VMULPS, b, a) }
func (g *gen) div(a, b reg.Register) reg.VecVirtual { return g.op2(g.VDIVPS, b, a) }

// atLeast and atMost are max and min of x and bound that return x if it is NaN, and if both are zeros.
func (g *gen) atLeast(x, bound reg.Register) reg.VecVirtual { return g.op2(g.VMAXPS, x, bound) }
func (g *gen) atMost(x, bound reg.Register) reg.VecVirtual  { return g.op2(g.VMINPS, x, bound) }

func (g *gen) op2(f instruction, second, first reg.Register) reg.VecVirtual {
	r := g.reg()
	f(second, first, r)
	return r
}

func (g *gen) addC(a reg.Register, c float64) reg.VecVirtual {
	r := g.reg()
	g.with(g.VADDPS, g.VADDPS_BCST, f32(c), a, r)
	return r
}

func (g *gen) subC(a reg.Register, c float64) reg.VecVirtual {
	r := g.reg()
	g.with(g.VSUBPS, g.VSUBPS_BCST, f32(c), a, r)
	return r
}

func (g *gen) mulC(a reg.Register, c float64) reg.VecVirtual {
	r := g.reg()
	g.with(g.VMULPS, g.VMULPS_BCST, f32(c), a, r)
	return r
}

func (g *gen) abs(a reg.Register) reg.VecVirtual {
	r := g.reg()
	g.with(g.VANDPS, g.VANDPS_BCST, absBits, a, r)
	return r
}

// withSign returns magnitude, which is not negative, with the sign of x.
func (g *gen) withSign(magnitude, x reg.Register) reg.VecVirtual {
	r := g.reg()
	g.with(g.VANDPS, g.VANDPS_BCST, signBits, x, r)
	g.VORPS(magnitude, r, r)
	return r
}

// bySign returns negative where x has its sign bit set, else positive.
func (g *gen) bySign(x, negative, positive reg.Register) reg.VecVirtual {
	r := g.reg()
	if g.isa == avx2 {
		g.VBLENDVPS(x, negative, positive, r)
		return r
	}
	k := g.K()
	g.VPMOVD2M(x, k)
	g.VBLENDMPS(negative, positive, k, r)
	return r
}

// horner returns the polynomial of x whose coefficients are given from the constant on.
func (g *gen) horner(x reg.Register, coefficients ...float64) reg.VecVirtual {
	last := len(coefficients) - 1
	r := g.hold(f32(coefficients[last]))
	for i := last - 1; i >= 0; i-- {
		g.with(g.VFMADD213PS, g.VFMADD213PS_BCST, f32(coefficients[i]), x, r)
	}
	return r
}

// round returns the integer nearest to x.
func (g *gen) round(x reg.Register) reg.VecVirtual {
	const nearest = operand.U8(8)
	r := g.reg()
	if g.isa == avx2 {
		g.VROUNDPS(nearest, x, r)
	} else {
		g.VRNDSCALEPS(nearest, x, r)
	}
	return r
}

// A chunk is one vector of each operand of a row.
type chunk struct {
	*gen
	index reg.Register // in bytes
	off   int          // in bytes, from index
	turn  int          // which of the unrolled vectors it is
	mask  *tail        // of a partly filled vector
	// unrolled says that another with the next turn follows, unless it is the last.
	unrolled bool
}

func (c chunk) addr(p reg.Register) operand.Mem {
	return operand.Mem{Base: p, Index: c.index, Scale: 1, Disp: c.off}
}

// load loads the chunk of the row at p; elements past the row's end are zero.
func (c chunk) load(p reg.Register) reg.VecVirtual {
	r := c.reg()
	if c.mask != nil {
		c.loadTail(c.addr(p), *c.mask, r)
	} else {
		c.VMOVUPS(c.addr(p), r)
	}
	return r
}

func (c chunk) store(r, p reg.Register) {
	if c.mask != nil {
		c.storeTail(r, *c.mask, c.addr(p))
	} else {
		c.VMOVUPS(r, c.addr(p))
	}
}

// clearTail sets the elements past the row's end to zero.
func (c chunk) clearTail(r reg.Register) {
	switch {
	case c.mask == nil:
	case c.isa == avx2:
		c.VANDPS(c.mask.r, r, r)
	default:
		c.VMOVAPS_Z(r, c.mask.r, r)
	}
}

// A row is the length of the operands of a function, ready to be swept as often as needed.
type row struct {
	*gen
	n    reg.GPVirtual
	mask tail
}

// row prepares the mask of the last vector of rows of n elements.
func (g *gen) row(n reg.GPVirtual) row {
	last := g.GP64()
	g.MOVQ(n, last)
	g.ANDQ(operand.Imm(uint64(g.lanes-1)), last)
	return row{g, n, g.tailMask(last, g.maskRegister())}
}

// sweep emits body for every chunk of the row from its beginning: unroll chunks at a time while there are as many, then
// single ones, then what is left. Which chunk gets which turn depends on the row's length alone.
func (r row) sweep(unroll int, body func(c chunk)) {
	r.sweepBy(unroll, body, func(bodies ...func()) {
		for _, b := range bodies {
			b()
		}
	})
}

// sweepTogether is sweep of chunks whose instructions take turns.
func (r row) sweepTogether(unroll int, body func(c chunk)) { r.sweepBy(unroll, body, r.together) }

func (r row) sweepBy(unroll int, body func(c chunk), emit func(bodies ...func())) {
	many, afterMany, one, afterOne, done := r.label("many"), r.label("afterMany"), r.label("one"), r.label("afterOne"), r.label("done")
	index, left := r.GP64(), r.GP64()
	r.XORQ(index, index)
	r.MOVQ(r.n, left)
	if unroll > 1 {
		r.Label(many)
		r.SUBQ(operand.I32(unroll*r.lanes), left)
		r.JL(r.jmp(afterMany))
		var bodies []func()
		for u := range unroll {
			bodies = append(bodies, func() { body(chunk{gen: r.gen, index: index, off: u * r.bytes, turn: u, unrolled: true}) })
		}
		emit(bodies...)
		r.ADDQ(operand.I32(unroll*r.bytes), index)
		r.JMP(r.jmp(many))
		r.Label(afterMany)
		r.ADDQ(operand.I32(unroll*r.lanes), left)
	}
	r.Label(one)
	r.SUBQ(operand.Imm(uint64(r.lanes)), left)
	r.JL(r.jmp(afterOne))
	body(chunk{gen: r.gen, index: index})
	r.ADDQ(operand.Imm(uint64(r.bytes)), index)
	r.JMP(r.jmp(one))
	r.Label(afterOne)
	r.ADDQ(operand.Imm(uint64(r.lanes)), left)
	r.JZ(r.jmp(done))
	body(chunk{gen: r.gen, index: index, mask: &r.mask})
	r.Label(done)
}

// atMostLanes returns the lesser of left and the lanes of a vector.
func (g *gen) atMostLanes(left reg.GPVirtual) reg.GPVirtual {
	count, most := g.GP64(), g.GP64()
	g.MOVQ(left, count)
	g.MOVQ(operand.U32(uint64(g.lanes)), most)
	g.CMPQ(count, most)
	g.CMOVQGT(most, count)
	return count
}

// apply calls f for every vector of a row, unroll at a time, with the vectors of the operands from, and emits code that stores
// its result in to. The end of the row uses the same code, only with masked loads and stores. The instructions of several
// vectors alternate. late, which may be nil, is an operand that f loads itself, last of all.
func (r row) apply(unroll int, to reg.Register, from []reg.Register, late reg.GPVirtual, f func(v []reg.VecVirtual, late func() reg.VecVirtual) reg.VecVirtual) {
	loop, compute, rest, partial, done := r.label("loop"), r.label("compute"), r.label("rest"), r.label("partial"), r.label("done")
	index, left := r.GP64(), r.GP64()
	chunks := make([]chunk, unroll)
	in, out := make([][]reg.VecVirtual, unroll), make([]reg.VecVirtual, unroll)
	for u := range chunks {
		chunks[u] = chunk{gen: r.gen, index: index, off: u * r.bytes}
		for range from {
			in[u] = append(in[u], r.reg())
		}
	}
	step := operand.I32(unroll * r.lanes)
	r.XORQ(index, index)
	r.MOVQ(r.n, left)
	r.Label(loop)
	r.SUBQ(step, left)
	r.JL(r.jmp(rest))
	for u, c := range chunks {
		for i, p := range from {
			r.VMOVUPS(c.addr(p), in[u][i])
		}
	}
	r.Label(compute)
	var bodies []func()
	for u, c := range chunks {
		bodies = append(bodies, func() {
			out[u] = f(in[u], func() reg.VecVirtual { return c.load(late) })
		})
	}
	if unroll > 1 {
		r.together(bodies...)
	} else {
		bodies[0]()
	}
	r.TESTQ(left, left)
	r.JS(r.jmp(partial))
	for u, c := range chunks {
		c.store(out[u], to)
	}
	r.ADDQ(operand.I32(unroll*r.bytes), index)
	r.JMP(r.jmp(loop))

	r.Label(rest) // from here on, left is negative
	r.ADDQ(step, left)
	r.JZ(r.jmp(done))
	var end operand.Mem // of late
	if late != nil {
		end = r.AllocLocal(unroll * r.bytes)
	}
	r.eachPart(chunks, left, func(u int, c chunk) {
		for i, p := range from {
			r.loadTail(c.addr(p), *c.mask, in[u][i])
		}
		if late != nil {
			r.VMOVUPS(c.load(late), end.Offset(u*r.bytes))
		}
	})
	if late != nil {
		r.LEAQ(end, late)
		r.SUBQ(index, late)
	}
	r.SUBQ(step, left)
	r.JMP(r.jmp(compute))

	r.Label(partial)
	r.ADDQ(step, left)
	r.eachPart(chunks, left, func(u int, c chunk) { r.storeTail(out[u], *c.mask, c.addr(to)) })
	r.Label(done)
}

// eachPart emits body for the chunks of the row's end, of left elements, with their masks.
func (r row) eachPart(chunks []chunk, left reg.GPVirtual, body func(u int, c chunk)) {
	count := left
	for u, c := range chunks {
		if len(chunks) > 1 {
			if u > 0 {
				next, none := r.GP64(), r.GP64()
				r.MOVQ(left, next)
				r.XORQ(none, none)
				r.SUBQ(operand.I32(u*r.lanes), next)
				r.CMOVQLT(none, next)
				count = next
			}
			count = r.atMostLanes(count)
		}
		mask := r.mask
		if r.isa == avx2 {
			mask = r.tailMask(count, r.maskRegister())
		}
		c.mask = &mask
		body(u, c)
	}
}

// sums returns n cleared registers.
func (g *gen) sums(n int) []reg.VecVirtual {
	s := make([]reg.VecVirtual, n)
	for i := range s {
		s[i] = g.reg()
		g.zero(s[i])
	}
	return s
}

// reduce combines all lanes of all registers in a fixed order; the result is in every lane of the register it returns.
// It clobbers s.
func (g *gen) reduce(f instruction, s []reg.VecVirtual) reg.VecVirtual {
	for len(s) > 1 {
		half := len(s) / 2
		for i := range half {
			f(s[i+half], s[i], s[i])
		}
		s = s[:half]
	}
	y := s[0].AsY()
	if g.isa != avx2 {
		upper := g.YMM()
		g.VEXTRACTF64X4(operand.Imm(1), s[0], upper)
		f(upper, y, y)
	}
	x, t := g.XMM(), g.XMM()
	if g.isa != avx2 {
		g.VEXTRACTF32X4(operand.Imm(1), y, t)
	} else {
		g.VEXTRACTF128(operand.Imm(1), y, t)
	}
	f(t, s[0].AsX(), x)
	const swapPairs, swapNeighbours = operand.U8(0x4e), operand.U8(0xb1)
	g.VPERMILPS(swapPairs, x, t)
	f(t, x, x)
	g.VPERMILPS(swapNeighbours, x, t)
	f(t, x, x)
	r := g.reg()
	g.VBROADCASTSS(x, r)
	return r
}

// result stores the lowest lane of r as a float32 result.
func (g *gen) result(r reg.VecVirtual, name string) {
	b, err := g.Return(name).Resolve()
	if err != nil {
		panic(err)
	}
	g.VMOVSS(r.AsX(), b.Addr)
}
