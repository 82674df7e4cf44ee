package main

import "fmt"

// An opcode is an instruction of two or three vector registers that differ in no more than their numbers.
type opcode struct {
	name string
	bits uint32 // with all registers 0
	d    string // the shapes of the operands; "" is a scalar
	n, m string
}

// What Go's assembler lacks. See the Arm Architecture Reference Manual, C7.2.
var (
	fadd   = opcode{"FADD", 0x4e20d400, ".4S", ".4S", ".4S"}
	fsub   = opcode{"FSUB", 0x4ea0d400, ".4S", ".4S", ".4S"}
	fmul   = opcode{"FMUL", 0x6e20dc00, ".4S", ".4S", ".4S"}
	fdiv   = opcode{"FDIV", 0x6e20fc00, ".4S", ".4S", ".4S"}
	fmax   = opcode{"FMAX", 0x4e20f400, ".4S", ".4S", ".4S"}
	fmin   = opcode{"FMIN", 0x4ea0f400, ".4S", ".4S", ".4S"}
	faddp  = opcode{"FADDP", 0x6e20d400, ".4S", ".4S", ".4S"}
	fmaxp  = opcode{"FMAXP", 0x6e20f400, ".4S", ".4S", ".4S"}
	fadd2  = opcode{"FADD", 0x4e60d400, ".2D", ".2D", ".2D"}
	faddp2 = opcode{"FADDP", 0x6e60d400, ".2D", ".2D", ".2D"}
	cmhs   = opcode{"CMHS", 0x6ea03c00, ".4S", ".4S", ".4S"}
	bic    = opcode{"BIC", 0x4e601c00, ".16B", ".16B", ".16B"}
	umull  = opcode{"UMULL", 0x2ea0c000, ".2D", ".2S", ".2S"}
	umax   = opcode{"UMAX", 0x6ea06400, ".4S", ".4S", ".4S"}
	umaxp  = opcode{"UMAXP", 0x6ea0a400, ".4S", ".4S", ".4S"}
	sdot   = opcode{"SDOT", 0x4e809400, ".4S", ".16B", ".16B"}  // of Armv8.2's dot product
	smmla  = opcode{"SMMLA", 0x4e80a400, ".4S", ".16B", ".16B"} // of Armv8.6's matrix multiplication
	umull2 = opcode{"UMULL2", 0x6ea0c000, ".2D", ".4S", ".4S"}

	fabs   = opcode{"FABS", 0x4ea0f800, ".4S", ".4S", ""}
	fneg   = opcode{"FNEG", 0x6ea0f800, ".4S", ".4S", ""}
	fsqrt  = opcode{"FSQRT", 0x6ea1f800, ".4S", ".4S", ""}
	frintn = opcode{"FRINTN", 0x4e218800, ".4S", ".4S", ""}
	fcvtns = opcode{"FCVTNS", 0x4e21a800, ".4S", ".4S", ""}
	scvtf  = opcode{"SCVTF", 0x4e21d800, ".4S", ".4S", ""}
	fcvtl  = opcode{"FCVTL", 0x0e617800, ".2D", ".2S", ""}
	fcvtl2 = opcode{"FCVTL2", 0x4e617800, ".2D", ".4S", ""}
)

// word emits an instruction that Go's assembler lacks.
func (g *gen) word(meaning string, encode func(number func(vector) int) (bits uint32, operands string), reads, writes []vector) {
	g.emit(instruction{
		text: func(number func(vector) int) string {
			bits, operands := encode(number)
			return fmt.Sprintf("WORD $0x%08x // %s %s", bits, meaning, operands)
		},
		reads:  reads,
		writes: writes,
	})
}

// three emits d = op(n, m).
func (g *gen) three(op opcode, d, n, m vector) {
	g.word(op.name, func(number func(vector) int) (uint32, string) {
		rd, rn, rm := number(d), number(n), number(m)
		return op.bits | uint32(rm<<16|rn<<5|rd), fmt.Sprintf("V%d%s, V%d%s, V%d%s", rd, op.d, rn, op.n, rm, op.m)
	}, []vector{n, m}, []vector{d})
}

// two emits d = op(n).
func (g *gen) two(op opcode, d, n vector) {
	g.word(op.name, func(number func(vector) int) (uint32, string) {
		rd, rn := number(d), number(n)
		return op.bits | uint32(rn<<5|rd), fmt.Sprintf("V%d%s, V%d%s", rd, op.d, rn, op.n)
	}, []vector{n}, []vector{d})
}

// compareZero emits d = n ≤ 0 as a mask.
func (g *gen) compareZero(d, n vector) {
	g.word("FCMLE", func(number func(vector) int) (uint32, string) {
		rd, rn := number(d), number(n)
		return 0x6ea0d800 | uint32(rn<<5|rd), fmt.Sprintf("V%d.4S, V%d.4S, #0.0", rd, rn)
	}, []vector{n}, []vector{d})
}

// shiftSigned emits d = n >> by of signed integers.
func (g *gen) shiftSigned(d, n vector, by int) {
	g.word("SSHR", func(number func(vector) int) (uint32, string) {
		rd, rn := number(d), number(n)
		return 0x4f000400 | uint32((64-by)<<16|rn<<5|rd), fmt.Sprintf("V%d.4S, V%d.4S, #%d", rd, rn, by)
	}, []vector{n}, []vector{d})
}

// A laneOpcode is an instruction of which an element of the last register meets each of the one before it.
type laneOpcode struct {
	name  string
	bits  uint32 // with all registers and the lane 0
	n, m  string // the shapes of the operands
	reads bool   // the destination
}

var (
	fmla     = laneOpcode{"FMLA", 0x4f801000, ".4S", ".S", true}
	fmulLane = laneOpcode{"FMUL", 0x4f809000, ".4S", ".S", false}
	sdotLane = laneOpcode{"SDOT", 0x4f80e000, ".16B", ".4B", true}
)

// byLane emits d = op(n, m[lane]), or with an op that reads it d += op(n, m[lane]).
func (g *gen) byLane(op laneOpcode, d, n, m vector, lane int) {
	reads := []vector{n, m}
	if op.reads {
		reads = append(reads, d)
	}
	g.word(op.name, func(number func(vector) int) (uint32, string) {
		rd, rn, rm := number(d), number(n), number(m)
		low, high := lane&1, lane>>1
		return op.bits | uint32(low<<21|high<<11|rm<<16|rn<<5|rd), fmt.Sprintf("V%d.4S, V%d%s, V%d%s[%d]", rd, rn, op.n, rm, op.m, lane)
	}, reads, []vector{d})
}

// native emits d = name(n, m), which Go's assembler knows; its operands are in the opposite order.
func (g *gen) native(name, shape string, d, n, m vector) {
	g.emit(instruction{
		text: func(number func(vector) int) string {
			return fmt.Sprintf("%s V%d.%s, V%d.%s, V%d.%s", name, number(m), shape, number(n), shape, number(d), shape)
		},
		reads: []vector{n, m}, writes: []vector{d},
	})
}

// accumulate is native for instructions that read d, too.
func (g *gen) accumulate(name, shape string, d, n, m vector) {
	g.native(name, shape, d, n, m)
	last := &g.f.code[len(g.f.code)-1]
	last.reads = append(last.reads, d)
}

// shift emits d = n shifted, of unsigned integers: VSHL or VUSHR.
func (g *gen) shift(name string, d, n vector, by int) {
	g.emit(instruction{
		text: func(number func(vector) int) string {
			return fmt.Sprintf("%s $%d, V%d.S4, V%d.S4", name, by, number(n), number(d))
		},
		reads: []vector{n}, writes: []vector{d},
	})
}

// to emits an instruction that writes d; the format has a place for its number.
func (g *gen) to(d vector, format string) {
	g.emit(instruction{
		text:   func(number func(vector) int) string { return fmt.Sprintf(format, number(d)) },
		writes: []vector{d},
	})
}

// from emits an instruction that reads n; the format has a place for its number.
func (g *gen) from(n vector, format string) {
	g.emit(instruction{
		text:  func(number func(vector) int) string { return fmt.Sprintf(format, number(n)) },
		reads: []vector{n},
	})
}

// pairTo emits an instruction that writes two vectors; the format has places for both.
func (g *gen) pairTo(d, e vector, format string) {
	g.emit(instruction{
		text:   func(number func(vector) int) string { return fmt.Sprintf(format, number(d), number(e)) },
		writes: []vector{d, e},
	})
}

// move emits d = n.
func (g *gen) move(d, n vector) {
	g.emit(instruction{
		text: func(number func(vector) int) string {
			return fmt.Sprintf("VMOV V%d.B16, V%d.B16", number(n), number(d))
		},
		reads: []vector{n}, writes: []vector{d}, move: true,
	})
}
