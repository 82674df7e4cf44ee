package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// keptMasks writes the function that says which elements dropout keeps, in bits.
func (g *gen) keptMasks() {
	g.function("keptMasks", "(masks *uint16, groups int, first uint32, key0, key1, threshold, rowLow, rowHigh uint32)",
		"sets a bit for each of groups · 128 elements of a row that dropout keeps, from the group on that begins with the block first of the generator.")
	const schedule = philoxRounds * 8
	local := g.AllocLocal(schedule + 8)
	counter, bound := local.Offset(schedule), local.Offset(schedule+4)
	g.keySchedule(local)
	word := g.GP32()
	g.MOVL(g.paramAddr("threshold"), word)
	g.SHLL(operand.Imm(16), word) // draws are compared in the upper half of a word
	g.MOVL(word, bound)
	g.MOVL(g.paramAddr("first"), word)
	g.MOVL(word, counter)
	masks, groups := g.param("masks"), g.param("groups")
	m0, m1 := g.hold(philoxM0), g.hold(philoxM1)
	g.Label("turn")
	words := g.philox(counter, local, m0, m1)
	threshold, d := g.reg(), g.reg()
	g.VPBROADCASTD(bound, threshold)
	for q := range dropGroup / dropLanes {
		const notLess = operand.U8(5)
		g.draws(words[q/2], q%2 == 1, d)
		g.VPCMPUD(notLess, threshold, d, reg.K2)
		g.KMOVW(reg.K2, at(masks, 2*q))
	}
	g.ADDQ(operand.Imm(2*dropGroup/dropLanes), masks)
	g.ADDL(operand.U32(uint64(g.lanes)), counter)
	g.DECQ(groups)
	g.JNZ(g.jmp("turn"))
	g.ret()
}

// softmaxGrad16 writes the function that goes back through the softmax of a row and rounds.
func (g *gen) softmaxGrad16() {
	g.function("softmaxGrad16", "(p, ds *uint32, x, dp *float32, n int, s, lse, d, scale float32, masks *uint16)",
		"is Kernels.SoftmaxGrad16, given the elements that are kept.")
	p, ds, x, dp, n, masks := g.param("p"), g.param("ds"), g.param("x"), g.param("dp"), g.param("n"), g.param("masks")
	s, lse, d, scale := g.spread("s"), g.spread("lse"), g.spread("d"), g.spread("scale")
	b, join := g.expBounds(), g.joiner()
	kept := []reg.Register{reg.K3, reg.K4}
	pair := func(tails *pairTails) (probabilities, gradients reg.VecVirtual) {
		var rounded [2][2]reg.VecVirtual
		scores, slopes := [2]reg.VecVirtual{}, [2]reg.VecVirtual{}
		scores[0], scores[1] = g.loadPair(at(x, 0), tails)
		slopes[0], slopes[1] = g.loadPair(at(dp, 0), tails)
		for u := range 2 {
			v, e := scores[u], slopes[u]
			g.KMOVW(at(masks, 2*u), kept[u])
			g.VFMSUB213PS(lse, s, v)
			prob := g.exp(g.clamp(v, b), nil)
			g.VMULPS_Z(e, scale, kept[u], e)
			rounded[1][u] = g.mul(g.mul(prob, s), g.sub(e, d))
			g.VMULPS_Z(prob, scale, kept[u], prob)
			rounded[0][u] = prob
			if tails != nil {
				within := [2]tail{tails.first, tails.second}[u].r
				for _, r := range rounded {
					g.VMOVAPS_Z(r[u], within, r[u])
				}
			}
		}
		probabilities, gradients = g.reg(), g.reg()
		join.join(rounded[0][0], rounded[0][1], probabilities)
		join.join(rounded[1][0], rounded[1][1], gradients)
		return probabilities, gradients
	}
	g.Label("loop")
	g.SUBQ(operand.Imm(uint64(2*g.lanes)), n)
	g.JL(g.jmp("rest"))
	probabilities, gradients := pair(nil)
	g.VMOVUPS(probabilities, at(p, 0))
	g.VMOVUPS(gradients, at(ds, 0))
	for _, r := range []reg.GPVirtual{x, dp} {
		g.ADDQ(operand.I32(2*g.bytes), r)
	}
	for _, r := range []reg.GPVirtual{p, ds} {
		g.ADDQ(operand.I32(g.bytes), r)
	}
	g.ADDQ(operand.Imm(4), masks)
	g.JMP(g.jmp("loop"))
	g.Label("rest")
	g.ADDQ(operand.Imm(uint64(2*g.lanes)), n)
	g.JZ(g.jmp("done"))
	count := g.GP64()
	g.LEAQ(operand.Mem{Base: n, Disp: 1}, count)
	g.SHRQ(operand.Imm(1), count)
	tails := g.pairTails(n)
	probabilities, gradients = pair(&tails)
	within := g.tailMask(count, tails.first.r)
	g.storeTail(probabilities, within, at(p, 0))
	g.storeTail(gradients, within, at(ds, 0))
	g.Label("done")
	g.ret()
}
