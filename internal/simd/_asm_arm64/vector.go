package main

import (
	"fmt"
	"math"
	"slices"
)

const (
	vectorSize = 16 // bytes
	lanes      = 4  // float32 elements of a vector
	floatSize  = 4

	signBits = 0x80000000
	ones     = 0xffffffff
)

// f32 are the bits of a float32 constant.
func f32(x float64) uint32 { return math.Float32bits(float32(x)) }

// vectorOf loads a vector from the constants of the file. It takes a load, which the units that compute have nothing to do
// with, so that a loop need not hold its constants in registers.
func (g *gen) vectorOf(c [4]uint32) vector {
	i := slices.Index(g.constants, c)
	if i < 0 {
		i = len(g.constants)
		g.constants = append(g.constants, c)
	}
	if g.f.pool == "" {
		g.f.pool = g.general()
	}
	r := g.vector()
	g.to(r, fmt.Sprintf("FMOVQ %d(%s), F%%d", i*vectorSize, g.f.pool))
	return r
}

// bits loads a constant into every lane of a new register.
func (g *gen) bits(c uint32) vector { return g.vectorOf([4]uint32{c, c, c, c}) }

// constant loads a number into every lane of a new register.
func (g *gen) constant(x float64) vector { return g.bits(f32(x)) }

// spread loads a parameter of 32 bits into every lane of a new register.
func (g *gen) spread(param string) vector { return g.spreadFrom(g.param(param)) }

// spreadFrom copies the lower half of a general register into every lane of a new register.
func (g *gen) spreadFrom(r general) vector {
	v := g.vector()
	g.to(v, fmt.Sprintf("VDUP %s, V%%d.S4", r))
	return v
}

// zero returns a cleared register.
func (g *gen) zero() vector {
	r := g.vector()
	g.clear(r)
	return r
}

func (g *gen) clear(r vector) { g.to(r, "VMOVI $0, V%d.B16") }

// The helpers below return a new register.

func (g *gen) op3(op opcode, n, m vector) vector {
	r := g.vector()
	g.three(op, r, n, m)
	return r
}

func (g *gen) op2(op opcode, n vector) vector {
	r := g.vector()
	g.two(op, r, n)
	return r
}

func (g *gen) add(a, b vector) vector { return g.op3(fadd, a, b) }
func (g *gen) sub(a, b vector) vector { return g.op3(fsub, a, b) }
func (g *gen) mul(a, b vector) vector { return g.op3(fmul, a, b) }
func (g *gen) div(a, b vector) vector { return g.op3(fdiv, a, b) }
func (g *gen) abs(a vector) vector    { return g.op2(fabs, a) }

// atLeast and atMost are max and min of x and bound; they return NaN if x is NaN.
func (g *gen) atLeast(x, bound vector) vector { return g.op3(fmax, x, bound) }
func (g *gen) atMost(x, bound vector) vector  { return g.op3(fmin, x, bound) }

func (g *gen) addC(a vector, c float64) vector { return g.add(a, g.constant(c)) }
func (g *gen) mulC(a vector, c float64) vector { return g.mul(a, g.constant(c)) }

func (g *gen) copy(a vector) vector {
	r := g.vector()
	g.move(r, a)
	return r
}

// multiplyAdd does sum += a·b, multiplySub sum −= a·b.
func (g *gen) multiplyAdd(sum, a, b vector) { g.accumulate("VFMLA", "S4", sum, a, b) }
func (g *gen) multiplySub(sum, a, b vector) { g.accumulate("VFMLS", "S4", sum, a, b) }

// blend returns the bits of a where mask has ones, else those of b.
func (g *gen) blend(mask, a, b vector) vector {
	r := g.copy(mask)
	g.accumulate("VBSL", "B16", r, a, b)
	return r
}

// bySign returns negative where x has its sign bit set, else positive.
func (g *gen) bySign(x, negative, positive vector) vector {
	mask := g.vector()
	g.shiftSigned(mask, x, 31)
	return g.blend(mask, negative, positive)
}

// withSign returns magnitude, which is not negative, with the sign of x.
func (g *gen) withSign(magnitude, x vector) vector { return g.blend(g.bits(signBits), x, magnitude) }

// horner returns the polynomial of x whose coefficients are given from the constant on.
func (g *gen) horner(x vector, coefficients ...float64) vector {
	last := len(coefficients) - 1
	r := g.constant(coefficients[last])
	for i := last - 1; i >= 0; i-- {
		c := g.constant(coefficients[i])
		g.multiplyAdd(c, r, x)
		r = c
	}
	return r
}

// load loads size bytes, 4, 8 or 16, off bytes after p, and clears the rest of the register.
func (g *gen) load(r vector, size int, p general, off int) {
	g.to(r, fmt.Sprintf("%s %d(%s), F%%d", moves[size], off, p))
}

// store stores the lowest size bytes, 4, 8 or 16, off bytes after p.
func (g *gen) store(r vector, size int, p general, off int) {
	g.from(r, fmt.Sprintf("%s F%%d, %d(%s)", moves[size], off, p))
}

var moves = map[int]string{4: "FMOVS", 8: "FMOVD", 16: "FMOVQ"}

// loadPart loads the first count elements, 1 ≤ count ≤ 4, off bytes after p, and sets the others to zero.
func (g *gen) loadPart(r vector, p general, off int, count general) {
	g.piecewise(p, off, count, func(size int) { g.load(r, size, p, off) }, func(at general) {
		g.to(r, fmt.Sprintf("VLD1 (%s), V%%d.S[2]", at))
		last := &g.f.code[len(g.f.code)-1]
		last.reads = last.writes
	})
}

// storePart stores the first count elements, 1 ≤ count ≤ 4, off bytes after p.
func (g *gen) storePart(r vector, p general, off int, count general) {
	g.piecewise(p, off, count, func(size int) { g.store(r, size, p, off) }, func(at general) {
		g.from(r, fmt.Sprintf("VST1 V%%d.S[2], (%s)", at))
	})
}

// piecewise emits move of as many bytes as count elements have; three elements are two and, at an address of its own, a third.
func (g *gen) piecewise(p general, off int, count general, move func(size int), third func(at general)) {
	if g.f.address == "" {
		g.f.address = g.general()
	}
	notAll, one, done := g.label("notAll"), g.label("one"), g.label("done")
	g.jump(fmt.Sprintf("TBZ $2, %s,", count), notAll)
	move(16)
	g.jump("B", done)
	g.place(notAll)
	g.jump(fmt.Sprintf("TBZ $1, %s,", count), one)
	move(8)
	g.jump(fmt.Sprintf("TBZ $0, %s,", count), done)
	g.line("ADD $%d, %s, %s", off+8, p, g.f.address)
	third(g.f.address)
	g.jump("B", done)
	g.place(one)
	move(4)
	g.place(done)
}

// result32 and result64 store the lowest lane of r as a result.
func (g *gen) result32(r vector, name string) { g.result("FMOVS", r, name) }
func (g *gen) result64(r vector, name string) { g.result("FMOVD", r, name) }

func (g *gen) result(move string, r vector, name string) {
	g.from(r, fmt.Sprintf("%s F%%d, %s+%d(FP)", move, name, g.f.frame[name].offset))
}
