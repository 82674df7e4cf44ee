package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The constants of Philox4x32-10, as in the plain Go version.
const (
	philoxM0     = 0xD2511F53
	philoxM1     = 0xCD9E8D57
	philoxW0     = 0x9E3779B9
	philoxW1     = 0xBB67AE85
	philoxRounds = 10

	dropGroup = 128 // elements that dropLanes blocks of the generator serve
	dropLanes = 16
)

func emitDropout(g *gen) {
	g.dropout("dropout", false)
	g.dropout("dropoutAdd", true)
}

// A philoxState holds as many counters as a vector has 64-bit lanes, in the lower halves of these; the upper halves are
// of no meaning. That suits VPMULUDQ, which multiplies lower halves to whole lanes.
type philoxState [4]reg.VecVirtual

func (g *gen) dropout(name string, add bool) {
	g.function(name, "(dst, x *float32, n int, key0, key1, threshold uint32, scale float32, rowLow, rowHigh uint32)",
		"is Kernels."+map[bool]string{false: "Dropout", true: "DropoutAdd"}[add]+" for 0 < threshold < 65536.")
	schedule := g.AllocLocal(philoxRounds*8 + 16)
	keyAt := func(round, word int) operand.Mem { return schedule.Offset(round*8 + word*4) }
	counter := schedule.Offset(philoxRounds * 8)
	bound := schedule.Offset(philoxRounds*8 + 4)

	word := g.GP32()
	for w, weyl := range []uint32{philoxW0, philoxW1} {
		g.MOVL(g.paramAddr([]string{"key0", "key1"}[w]), word)
		for round := range philoxRounds {
			g.MOVL(word, keyAt(round, w))
			if round < philoxRounds-1 {
				g.ADDL(operand.U32(weyl), word)
			}
		}
	}
	g.MOVL(g.paramAddr("threshold"), word)
	if g.isa == avx512 {
		g.SHLL(operand.Imm(16), word) // draws are compared in the upper half of a word
	}
	g.MOVL(word, bound)
	g.MOVL(operand.U32(0), counter)

	dst, x, left := g.param("dst"), g.param("x"), g.param("n")
	index := g.GP64()
	g.XORQ(index, index)

	var parts []func()
	g.Label("group")
	for half := 0; half < dropLanes; half += g.lanes {
		words := g.philox(counter, half, keyAt)
		scale := g.spread("scale")
		threshold := g.reg()
		g.VPBROADCASTD(bound, threshold)
		for q := range dropGroup / dropLanes {
			first := q*dropLanes + half
			next, part := g.label("next"), g.label("part")
			apply := func(mask *tail) {
				c := chunk{gen: g, index: index, off: first * 4, mask: mask}
				g.applyDraws(c, dst, x, words[q/2], q%2 == 1, threshold, scale, add)
			}
			g.CMPQ(left, operand.I32(first+g.lanes))
			g.JL(g.jmp(part))
			apply(nil)
			g.Label(next)
			parts = append(parts, func() {
				g.Label(part)
				count := g.GP64()
				g.MOVQ(left, count)
				g.SUBQ(operand.I32(first), count)
				g.JLE(g.jmp(next))
				mask := g.tailMask(count, g.maskRegister())
				apply(&mask)
				g.JMP(g.jmp(next))
			})
		}
	}
	g.ADDL(operand.U32(dropLanes), counter)
	g.ADDQ(operand.I32(dropGroup*4), index)
	g.SUBQ(operand.I32(dropGroup), left)
	g.JG(g.jmp("group"))
	g.ret()
	for _, f := range parts {
		f()
	}
}

// philox returns the four words of as many blocks as a vector has lanes, beginning with that of the counter plus first.
// Two states hold the even and the odd counters.
func (g *gen) philox(counter operand.Mem, first int, keyAt func(round, word int) operand.Mem) [4]reg.VecVirtual {
	var states [2]philoxState
	for parity := range states {
		s := &states[parity]
		for i := range s {
			s[i] = g.reg()
		}
		g.VPBROADCASTD(counter, s[0])
		g.VPADDD(g.laneNumbers(first, parity), s[0], s[0])
		g.zero(s[1])
		g.VBROADCASTSS(g.paramAddr("rowLow"), s[2])
		g.VBROADCASTSS(g.paramAddr("rowHigh"), s[3])
	}
	m0, m1 := g.hold(philoxM0), g.hold(philoxM1)
	for round := range philoxRounds {
		for parity := range states {
			s := &states[parity]
			p0, p1 := g.reg(), g.reg()
			g.VPMULUDQ(m0, s[0], p0)
			g.VPMULUDQ(m1, s[2], p1)
			n0, n2 := g.reg(), g.reg()
			g.VPSRLQ(operand.Imm(32), p1, n0)
			g.VPSRLQ(operand.Imm(32), p0, n2)
			g.xor3(n0, s[1], keyAt(round, 0))
			g.xor3(n2, s[3], keyAt(round, 1))
			*s = philoxState{n0, p1, n2, p0}
		}
	}
	var words [4]reg.VecVirtual
	if g.isa == avx512 {
		bits := g.GP32()
		g.MOVL(operand.U32(0xaaaa), bits)
		g.KMOVW(bits, reg.K2)
	}
	for i := range words {
		words[i] = g.reg()
		odd := states[1][i]
		g.VPSLLQ(operand.Imm(32), odd, odd)
		if g.isa == avx2 {
			g.VPBLENDD(operand.Imm(0xaa), odd, states[0][i], words[i])
		} else {
			g.VPBLENDMD(odd, states[0][i], reg.K2, words[i])
		}
	}
	return words
}

// laneNumbers is where first+parity, first+parity+2… stand in memory, in the lower halves of 64-bit lanes.
func (g *gen) laneNumbers(first, parity int) operand.Mem {
	name := fmt.Sprintf("lanes%d", first+parity)
	if m, ok := g.named[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range g.lanes / 2 {
		g.AppendDatum(operand.U64(uint64(first + parity + 2*i)))
	}
	g.named[name] = m
	return m
}

// xor3 sets r to r ^ a ^ key.
func (g *gen) xor3(r, a reg.Register, key operand.Mem) {
	if g.isa == avx512 {
		g.VPTERNLOGD_BCST(operand.U8(0x96), key, a, r)
		return
	}
	k := g.reg()
	g.VPBROADCASTD(key, k)
	g.VPXOR(a, r, r)
	g.VPXOR(k, r, r)
}

// applyDraws treats one vector of elements, whose draws are the lower or the upper halves of words.
func (g *gen) applyDraws(c chunk, dst, x, words reg.Register, upper bool, threshold, scale reg.Register, add bool) {
	draws := g.reg()
	if g.isa == avx512 {
		if upper {
			draws = words.(reg.VecVirtual) // the lower half does not change the comparison
		} else {
			g.VPSLLD(operand.Imm(16), words, draws)
		}
		const notLess = operand.U8(5)
		g.VPCMPUD(notLess, threshold, draws, reg.K2)
		if add {
			sum := c.load(dst)
			g.VFMADD231PS(c.load(x), scale, reg.K2, sum)
			c.store(sum, dst)
			return
		}
		y := g.reg()
		g.VMULPS_Z(c.load(x), scale, reg.K2, y)
		c.store(y, dst)
		return
	}
	if upper {
		g.VPSRLD(operand.Imm(16), words, draws)
	} else {
		g.VPSLLD(operand.Imm(16), words, draws)
		g.VPSRLD(operand.Imm(16), draws, draws)
	}
	g.VPCMPGTD(draws, threshold, draws) // dropped
	y := g.mul(c.load(x), scale)
	g.VANDNPS(y, draws, y)
	if add {
		y = g.add(c.load(dst), y)
	}
	c.store(y, dst)
}
