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

func (g *gen) dropout(name string, add bool) {
	g.function(name, "(dst, x *float32, n int, key0, key1, threshold uint32, scale float32, rowLow, rowHigh uint32)",
		"is Kernels."+map[bool]string{false: "Dropout", true: "DropoutAdd"}[add]+" for 0 < threshold < 65536.")
	const schedule = philoxRounds * 8
	local := g.AllocLocal(schedule + 8)
	counter, bound := local.Offset(schedule), local.Offset(schedule+4)
	g.keySchedule(local)

	word := g.GP32()
	g.MOVL(g.paramAddr("threshold"), word)
	if !g.vex() {
		g.SHLL(operand.Imm(16), word) // draws are compared in the upper half of a word
	}
	g.MOVL(word, bound)
	g.MOVL(operand.U32(0), counter)

	dst, x, left := g.param("dst"), g.param("x"), g.param("n")
	index := g.GP64()
	g.XORQ(index, index)
	step := g.GP64() // elements to the next lanes of draws
	g.MOVQ(operand.U32(uint64(dropGroup-g.lanes)), step)
	m0, m1 := g.hold(philoxM0), g.hold(philoxM1)

	// A turn computes as many blocks of the generator as a vector has lanes: all of a group, or half of them at AVX2.
	g.Label("turn")
	words := g.philox(counter, local, m0, m1)
	scale := g.spread("scale")
	threshold := g.reg()
	g.VPBROADCASTD(bound, threshold)
	draws, first := g.reg(), g.GP64() // of the vector in which the row ends
	for q := range dropGroup / dropLanes {
		g.CMPQ(left, operand.I32(q*dropLanes+g.lanes))
		g.JL(g.jmp(fmt.Sprint("part", q)))
		c := chunk{gen: g, index: index, off: q * dropLanes * 4}
		d := g.reg()
		g.draws(words[q/2], q%2 == 1, d)
		g.applyDraws(c, dst, x, d, threshold, scale, add)
	}
	g.Label("advance")
	g.ADDL(operand.U32(uint64(g.lanes)), counter)
	if g.isa == avx2 {
		g.SUBQ(operand.I32(dropGroup), step) // 8 and 120 in turns
		g.NEGQ(step)
		g.LEAQ(operand.Mem{Base: index, Index: step, Scale: 4}, index)
		g.SUBQ(step, left)
	} else {
		g.ADDQ(operand.I32(dropGroup*4), index)
		g.SUBQ(operand.I32(dropGroup), left)
	}
	g.JG(g.jmp("turn"))
	g.ret()

	for q := range dropGroup / dropLanes {
		g.Label(fmt.Sprint("part", q))
		g.draws(words[q/2], q%2 == 1, draws)
		g.MOVQ(operand.U32(uint64(q*dropLanes)), first)
		if q < dropGroup/dropLanes-1 {
			g.JMP(g.jmp("part"))
		}
	}
	g.Label("part")
	count := g.GP64()
	g.MOVQ(left, count)
	g.SUBQ(first, count)
	g.JLE(g.jmp("advance"))
	mask := g.tailMask(count, g.maskRegister())
	g.LEAQ(operand.Mem{Base: index, Index: first, Scale: 4}, first)
	g.applyDraws(chunk{gen: g, index: first, mask: &mask}, dst, x, draws, threshold, scale, add)
	g.JMP(g.jmp("advance"))
}

// keySchedule writes the keys of all rounds.
func (g *gen) keySchedule(to operand.Mem) {
	key := g.GP32()
	for w, weyl := range []uint32{philoxW0, philoxW1} {
		g.MOVL(g.paramAddr([]string{"key0", "key1"}[w]), key)
		for round := range philoxRounds {
			g.MOVL(key, to.Offset(round*8+w*4))
			if round < philoxRounds-1 {
				g.ADDL(operand.U32(weyl), key)
			}
		}
	}
}

// A philoxState holds as many counters as a vector has 64-bit lanes, in the lower halves of these; the upper halves are
// ignored. That suits VPMULUDQ, which multiplies lower halves to whole lanes.
type philoxState [4]reg.VecVirtual

// philox returns the four words of as many blocks as a vector has lanes, beginning with that of the counter. Two states hold
// the even and the odd counters.
func (g *gen) philox(counter, keys operand.Mem, m0, m1 reg.Register) [4]reg.VecVirtual {
	var states [2]philoxState
	var spare [2][2]reg.VecVirtual
	for parity := range states {
		s := &states[parity]
		for i := range s {
			s[i] = g.reg()
		}
		spare[parity] = [2]reg.VecVirtual{g.reg(), g.reg()}
		g.VPBROADCASTD(counter, s[0])
		g.VPADDD(g.laneNumbers(parity), s[0], s[0])
		g.zero(s[1])
		g.VBROADCASTSS(g.paramAddr("rowLow"), s[2])
		g.VBROADCASTSS(g.paramAddr("rowHigh"), s[3])
	}
	// Products replace the words that a round has used, so after two rounds every word is in its first register again.
	const unrolled = 2
	round := g.GP64()
	g.XORQ(round, round)
	loop := g.label("rounds")
	g.Label(loop)
	for r := range unrolled {
		for parity := range states {
			s, free := &states[parity], &spare[parity]
			p0, p1 := free[0], free[1]
			g.VPMULUDQ(m0, s[0], p0)
			g.VPMULUDQ(m1, s[2], p1)
			g.VPSRLQ(operand.Imm(32), p1, s[0])
			g.VPSRLQ(operand.Imm(32), p0, s[2])
			for word, i := range []int{0, 2} {
				key := keys.Offset(8*r + 4*word)
				key.Index, key.Scale = round, 8
				g.xor3(s[i], s[i+1], key)
			}
			free[1], free[0] = s[1], s[3]
			s[1], s[3] = p1, p0
		}
	}
	g.ADDQ(operand.Imm(unrolled), round)
	g.CMPQ(round, operand.Imm(philoxRounds))
	g.JL(g.jmp(loop))
	var words [4]reg.VecVirtual
	if !g.vex() {
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

// laneNumbers is where parity, parity+2… are in memory, in the lower halves of 64-bit lanes.
func (g *gen) laneNumbers(parity int) operand.Mem {
	name := fmt.Sprintf("lanes%d", parity)
	if m, ok := g.named[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range g.lanes / 2 {
		g.AppendDatum(operand.U64(uint64(parity + 2*i)))
	}
	g.named[name] = m
	return m
}

// xor3 sets r to r ^ a ^ key.
func (g *gen) xor3(r, a reg.Register, key operand.Mem) {
	if !g.vex() {
		g.VPTERNLOGD_BCST(operand.U8(0x96), key, a, r)
		return
	}
	k := g.reg()
	g.VPBROADCASTD(key, k)
	g.VPXOR(a, r, r)
	g.VPXOR(k, r, r)
}

// draws extracts draws, the lower or the upper halves of words. At AVX-512 they are in the upper halves of lanes; the lower
// halves do not change the comparison.
func (g *gen) draws(words reg.Register, upper bool, draws reg.Register) {
	switch {
	case !g.vex() && upper:
		g.VMOVAPS(words, draws)
	case !g.vex():
		g.VPSLLD(operand.Imm(16), words, draws)
	case upper:
		g.VPSRLD(operand.Imm(16), words, draws)
	default:
		g.VPSLLD(operand.Imm(16), words, draws)
		g.VPSRLD(operand.Imm(16), draws, draws)
	}
}

// applyDraws drops elements of one vector. It clobbers draws.
func (g *gen) applyDraws(c chunk, dst, x, draws reg.Register, threshold, scale reg.Register, add bool) {
	if !g.vex() {
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
	g.VPCMPGTD(draws, threshold, draws) // dropped
	y := g.mul(c.load(x), scale)
	g.VANDNPS(y, draws, y)
	if add {
		y = g.add(c.load(dst), y)
	}
	c.store(y, dst)
}
