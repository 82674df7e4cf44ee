package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/reg"
)

// vexDot is VPDPBUSD of AVX-VNNI, by the name that GNU's assembler has for it.
const vexDot = "{vex} VPDPBUSD"

// missing are the instructions that neither the generator nor Go's assembler knows. All take three registers, of 512 bits with
// EVEX and of 256 with VEX, in Go's order: second source, first source, destination. They are in the program like any other
// until registers are allocated; then encodeMissing writes their bytes.
var missing = map[string]struct {
	isa    string
	vex    bool
	prefix byte // the field pp
	opcode byte // in map 0F38, with W0
	reads  bool // its destination
}{
	"VDPBF16PS":      {"AVX512_BF16", false, 2, 0x52, true},
	"VCVTNE2PS2BF16": {"AVX512_BF16", false, 3, 0x72, false},
	vexDot:           {"AVX_VNNI", true, 1, 0x50, true},
}

// VDPBF16PS adds to the third operand the products of the words of the others: first of the upper halves, then of the lower.
func (g *gen) VDPBF16PS(ops ...operand.Op) { g.missing("VDPBF16PS", ops[0], ops[1], ops[2]) }

// VCVTNE2PS2BF16 rounds its first operand to the lower 256 bits of the third, its second to the upper ones.
func (g *gen) VCVTNE2PS2BF16(ops ...operand.Op) {
	g.missing("VCVTNE2PS2BF16", ops[0], ops[1], ops[2])
}

func (g *gen) missing(name string, second, first, dst operand.Op) {
	i := &ir.Instruction{
		Opcode:   name,
		Operands: []operand.Op{second, first, dst},
		Inputs:   []operand.Op{second, first},
		Outputs:  []operand.Op{dst},
		ISA:      []string{missing[name].isa},
	}
	if missing[name].reads {
		i.Inputs = append(i.Inputs, dst)
	}
	g.Instruction(i)
}

// encodeMissing runs when all registers are physical. The instruction's text is kept as a comment.
var encodeMissing = pass.InstructionPass(func(i *ir.Instruction) error {
	m, ok := missing[i.Opcode]
	if !ok {
		return nil
	}
	size, encode := uint(64), evex
	if m.vex {
		size, encode = 32, vexRegisters
	}
	var number [3]byte
	for j, o := range i.Operands {
		r, ok := o.(reg.Physical)
		if !ok || r.Size() != size {
			return fmt.Errorf("%s: %s is not a register of %d bytes", i.Opcode, o.Asm(), size)
		}
		number[j] = byte(r.PhysicalIndex())
	}
	asBytes(i, encode(m.prefix, m.opcode, number[0], number[1], number[2]))
	return nil
})

// asBytes makes an instruction one of bytes, with its text as a comment.
func asBytes(i *ir.Instruction, code []byte) {
	text := make([]string, len(i.Operands))
	for j, o := range i.Operands {
		text[j] = o.Asm()
	}
	bytes := make([]string, len(code))
	for j, b := range code {
		bytes[j] = fmt.Sprintf("$0x%02x", b)
	}
	i.Operands = []operand.Op{raw(fmt.Sprintf("%s // %s %s", strings.Join(bytes, "; BYTE "), i.Opcode, strings.Join(text, ", ")))}
	i.Opcode = "BYTE"
}

// raw is the text after an opcode.
type raw string

func (r raw) Asm() string { return string(r) }

// evex encodes an instruction of map 0F38 with W0 and three 512-bit registers (Intel's Software Developer's Manual, volume
// 2, section 2.7: EVEX). The upper bits of the registers' numbers are stored inverted.
func evex(prefix, opcode, second, first, dst byte) []byte {
	inverted := func(number, bit byte) byte { return ^number >> bit & 1 }
	const (
		escape = 0x62
		map38  = 2
		fixed  = 1 << 2 // a bit that is always set
		length = 2 << 5 // 512 bits
		direct = 3 << 6 // registers only
	)
	return []byte{
		escape,
		inverted(dst, 3)<<7 | inverted(second, 4)<<6 | inverted(second, 3)<<5 | inverted(dst, 4)<<4 | map38,
		^first&15<<3 | fixed | prefix,
		length | inverted(first, 4)<<3,
		opcode,
		direct | dst&7<<3 | second&7,
	}
}

// vexRegisters encodes an instruction of map 0F38 with W0 and three 256-bit registers.
func vexRegisters(prefix, opcode, second, first, dst byte) []byte {
	const (
		length = 1 << 2 // 256 bits
		direct = 3 << 6 // registers only
	)
	code := vex(prefix, dst, 0, second, first)
	code[len(code)-1] |= length
	return append(code, opcode, direct|dst&7<<3|second&7)
}

// vex is the prefix of an instruction of map 0F38 with W0 and 128 bits (Software Developer's Manual, volume 2, section 2.3). The
// upper bits of the numbers of a register, an index and a base, and the first source, are stored inverted.
func vex(prefix, register, index, base, first byte) []byte {
	const map38 = 2
	return []byte{0xc4, ^register>>3&1<<7 | ^index>>3&1<<6 | ^base>>3&1<<5 | map38, ^first&15<<3 | prefix}
}
