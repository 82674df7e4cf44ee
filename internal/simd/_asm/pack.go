package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func emitPack(g *gen) {
	g.shape = g.floatTiles()
	for vectors := 1; vectors <= g.shape.vectors(); vectors++ {
		g.packB(vectors)
	}
	g.packBT()
	g.packA()
}

// maskRegister is where a function keeps its only tail mask.
func (g *gen) maskRegister() reg.Register {
	if g.isa == avx2 {
		return g.YMM()
	}
	return reg.K1
}

// packB writes the function that copies rows of a panel of which the given number of vectors hold columns.
func (g *gen) packB(vectors int) {
	g.function(fmt.Sprintf("packB%d", vectors), "(dst, src *float32, ld, last, k int)",
		fmt.Sprintf("copies k > 0 rows, ld bytes apart, of %d vectors, the last of which has last columns.", vectors))
	dst, src, ld, k := g.param("dst"), g.param("src"), g.param("ld"), g.param("k")
	mask := g.tailMask(g.param("last"), g.maskRegister())
	v := make([]reg.VecVirtual, g.shape.vectors())
	for j := range v {
		v[j] = g.reg()
		if j >= vectors {
			g.zero(v[j])
		}
	}
	g.Label("loop")
	for j := range vectors - 1 {
		g.VMOVUPS(at(src, j*g.bytes), v[j])
	}
	g.loadTail(at(src, (vectors-1)*g.bytes), mask, v[vectors-1])
	for j := range v {
		g.VMOVUPS(v[j], at(dst, j*g.bytes))
	}
	g.ADDQ(ld, src)
	g.ADDQ(operand.I32(g.shape.vectors()*g.bytes), dst)
	g.DECQ(k)
	g.JNZ(g.jmp("loop"))
	g.ret()
}

// packA writes whole vectors, which reach into the next row; that is written afterwards. Only the last row is masked.
func (g *gen) packA() {
	g.function("packA1", "(dst, src *float32, ld, m, k int)", "copies k > 0 rows, ld bytes apart, of m columns to a panel of A.")
	dst, src, ld, k := g.param("dst"), g.param("src"), g.param("ld"), g.param("k")
	mask := g.tailMask(g.param("m"), g.maskRegister())
	v := g.reg()
	g.DECQ(k)
	g.JZ(g.jmp("last"))
	g.Label("loop")
	g.loadTail(at(src, 0), mask, v)
	g.VMOVUPS(v, at(dst, 0))
	g.ADDQ(ld, src)
	g.ADDQ(operand.I32(g.shape.rows()*4), dst)
	g.DECQ(k)
	g.JNZ(g.jmp("loop"))
	g.Label("last")
	g.loadTail(at(src, 0), mask, v)
	if g.isa == avx2 { // four rows are half a vector, and a masked store takes as long as ten others
		g.VMOVUPS(v.AsX(), at(dst, 0))
		g.ret()
		return
	}
	height := g.GP64()
	g.MOVQ(operand.I32(g.shape.rows()), height)
	g.storeTail(v, g.tailMask(height, mask.r), at(dst, 0))
	g.ret()
}

// packBT writes the function that transposes square blocks of as many rows as a vector has lanes.
func (g *gen) packBT() {
	g.function("packBT", "(dst, src *float32, ld, n, k int)",
		"transposes n rows, ld bytes apart, of k columns into one vector's width of a panel; lanes from n on get zero.")
	dst, src, n, k := g.param("dst"), g.param("src"), g.param("n"), g.param("k")
	row := g.rows(src, g.param("ld"), g.lanes)

	block := func(mask *tail) {
		in := make([]reg.VecVirtual, g.lanes)
		for i := range in {
			in[i] = g.reg()
			g.zero(in[i])
		}
		shuffle := g.label("shuffle")
		for i, r := range in {
			g.CMPQ(n, operand.Imm(uint64(i)))
			g.JEQ(g.jmp(shuffle))
			if mask != nil {
				g.loadTail(row(i), *mask, r)
			} else {
				g.VMOVUPS(row(i), r)
			}
		}
		g.Label(shuffle)
		for p, r := range g.transpose(in) {
			if mask != nil && p > 0 {
				g.CMPQ(k, operand.Imm(uint64(p)))
				g.JEQ(g.jmp("done"))
			}
			g.VMOVUPS(r, at(dst, p*g.shape.vectors()*g.bytes))
		}
	}

	g.Label("loop")
	g.SUBQ(operand.Imm(uint64(g.lanes)), k)
	g.JL(g.jmp("rest"))
	block(nil)
	g.ADDQ(operand.Imm(uint64(g.bytes)), src)
	g.ADDQ(operand.I32(g.lanes*g.shape.vectors()*g.bytes), dst)
	g.JMP(g.jmp("loop"))
	g.Label("rest")
	g.ADDQ(operand.Imm(uint64(g.lanes)), k)
	g.JZ(g.jmp("done"))
	mask := g.tailMask(k, g.maskRegister())
	block(&mask)
	g.Label("done")
	g.ret()
}

// transpose transposes a square block: pairs of elements, then pairs of pairs within 128-bit quarters, then the quarters.
func (g *gen) transpose(in []reg.VecVirtual) []reg.VecVirtual {
	quads := make([][4]reg.VecVirtual, len(in)/4) // [q][c]: column 4L+c of rows 4q…4q+3 in quarter L
	for q := range quads {
		r := in[4*q:]
		var pair [4]reg.VecVirtual
		for i := range pair {
			pair[i] = g.reg()
			quads[q][i] = g.reg()
		}
		g.VUNPCKLPS(r[1], r[0], pair[0])
		g.VUNPCKHPS(r[1], r[0], pair[1])
		g.VUNPCKLPS(r[3], r[2], pair[2])
		g.VUNPCKHPS(r[3], r[2], pair[3])
		g.VUNPCKLPD(pair[2], pair[0], quads[q][0])
		g.VUNPCKHPD(pair[2], pair[0], quads[q][1])
		g.VUNPCKLPD(pair[3], pair[1], quads[q][2])
		g.VUNPCKHPD(pair[3], pair[1], quads[q][3])
	}
	out := make([]reg.VecVirtual, len(in))
	for c := range 4 {
		if g.isa == avx2 {
			out[c], out[4+c] = g.reg(), g.reg()
			g.VPERM2F128(operand.Imm(0x20), quads[1][c], quads[0][c], out[c])
			g.VPERM2F128(operand.Imm(0x31), quads[1][c], quads[0][c], out[4+c])
			continue
		}
		const even, odd = operand.U8(0x88), operand.U8(0xdd)
		var half [2][2]reg.VecVirtual // [quads 0 and 1, or 2 and 3][even or odd quarters]
		for h := range half {
			half[h] = [2]reg.VecVirtual{g.reg(), g.reg()}
			g.VSHUFF32X4(even, quads[2*h+1][c], quads[2*h][c], half[h][0])
			g.VSHUFF32X4(odd, quads[2*h+1][c], quads[2*h][c], half[h][1])
		}
		for parity := range 2 {
			low, high := g.reg(), g.reg()
			g.VSHUFF32X4(even, half[1][parity], half[0][parity], low)
			g.VSHUFF32X4(odd, half[1][parity], half[0][parity], high)
			out[4*parity+c], out[8+4*parity+c] = low, high
		}
	}
	return out
}
