package main

import (
	"fmt"
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

// isa is one level's vector registers. Most instructions have one name for both levels, so that most generators are
// written once; what differs is in the methods of gen.
type isa struct {
	name   string // in names of files
	suffix string // of names in Go
	bytes  int    // of a vector
	lanes  int    // float32 elements of a vector
	vec    []reg.VecPhysical
}

var (
	avx2 = &isa{"avx2", "AVX2", 32, 8, []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}}
	avx512 = &isa{"avx512", "AVX512", 64, 16, []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}}
	// avxvnni is avx2 with an instruction for int8; what needs none is in the files of avx2.
	avxvnni = &isa{"avxvnni", "AVXVNNI", avx2.bytes, avx2.lanes, avx2.vec}
	// avx512vnni is avx512 with instructions for int8; what needs none is in the files of avx512.
	avx512vnni = &isa{"avx512vnni", "AVX512VNNI", avx512.bytes, avx512.lanes, avx512.vec}
	// avx512bf16 is avx512 with instructions for bfloat16; what needs none is in the files of avx512.
	avx512bf16 = &isa{"avx512bf16", "AVX512BF16", avx512.bytes, avx512.lanes, avx512.vec}
	// amx is avx512bf16 with products in registers of tiles (tiles.go).
	amx = &isa{"amx", "AMX", avx512.bytes, avx512.lanes, avx512.vec}
)

// vex reports whether the level has the sixteen registers of 256 bits that VEX can name, and no masks.
func (v *isa) vex() bool { return v.bytes == 32 }

// gen is an avo context for one file of one level.
type gen struct {
	*build.Context
	*isa
	file    *build.Context         // where data goes, also while code goes elsewhere
	named   map[string]operand.Mem // data that is there already
	labels  int
	shape   shape // of the tiles of a file
	offsets bool  // it uses those of fields of Go's types
}

func newGen(v *isa) *gen {
	c := build.NewContext()
	g := &gen{Context: c, file: c, isa: v, named: map[string]operand.Mem{}}
	g.ConstraintExpr("amd64,!purego")
	return g
}

// function begins a function of this level; the level is appended to its name. The signature is without "func".
func (g *gen) function(name, signature, doc string) {
	name, g.labels = name+g.suffix, 0
	g.begin(name, doc)
	g.SignatureExpr("func" + signature)
}

func (g *gen) begin(name, doc string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + " " + doc)
}

// functionOf begins a function whose only parameter points to a struct of package simd.
func (g *gen) functionOf(name, param, typeName, doc string) {
	name, g.labels, g.offsets = name+g.suffix, 0, true
	g.begin(name, doc)
	pkg := types.NewPackage("simd", "simd")
	t := types.NewNamed(types.NewTypeName(token.NoPos, pkg, typeName, nil), types.NewStruct(nil, nil), nil)
	params := types.NewTuple(types.NewParam(token.NoPos, pkg, param, types.NewPointer(t)))
	g.Signature(gotypes.NewSignature(pkg, types.NewSignatureType(nil, nil, nil, params, nil, false)))
}

func (g *gen) ret() {
	g.VZEROUPPER()
	g.RET()
}

// together emits bodies without branches in turns, an instruction of each at a time. Where a body is one long chain, the
// scheduler holds little more than it, and would begin the next one late.
func (g *gen) together(bodies ...func()) {
	parts := make([][]*ir.Instruction, len(bodies))
	for i, body := range bodies {
		part := build.NewContext()
		part.Collection = g.file.Collection // registers differ from one another
		part.Function("part")
		g.Context = part
		body()
		g.Context = g.file
		f, err := part.Result()
		if err != nil {
			panic(err)
		}
		parts[i] = f.Functions()[0].Instructions()
	}
	for at := range parts[0] {
		for _, part := range parts {
			g.Instruction(part[at])
		}
	}
}

// param loads an integer or pointer parameter into a new register.
func (g *gen) param(name string) reg.GPVirtual {
	r := g.GP64()
	g.Load(g.Param(name), r)
	return r
}

// paramAddr is the address of a parameter on the stack.
func (g *gen) paramAddr(name string) operand.Mem {
	b, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// label returns a label that is unique in this function.
func (g *gen) label(what string) string {
	g.labels++
	return fmt.Sprintf("%s%d", what, g.labels)
}

func (g *gen) jmp(l string) operand.LabelRef { return operand.LabelRef(l) }

// reg returns a new vector register.
func (g *gen) reg() reg.VecVirtual {
	if g.vex() {
		return g.YMM()
	}
	return g.ZMM()
}

// at is the memory off bytes after a pointer.
func at(base reg.Register, off int) operand.Mem { return operand.Mem{Base: base, Disp: off} }

// rows returns a function that gives the address of row i < n, stride bytes apart.
func (g *gen) rows(base, stride reg.GPVirtual, n int) func(i int) operand.Mem {
	return g.rowsBy(base, g.oddMultiples(stride, n))
}

// oddMultiples holds the odd multiples of stride below n in registers.
func (g *gen) oddMultiples(stride reg.GPVirtual, n int) map[int]reg.GPVirtual {
	odd := map[int]reg.GPVirtual{1: stride}
	for i := 3; i < n; i += 2 {
		odd[i] = g.GP64()
		g.LEAQ(operand.Mem{Base: odd[i-2], Index: stride, Scale: 2}, odd[i])
	}
	return odd
}

// rowsBy returns a function that gives the address of row i: the base plus an odd multiple of the stride times 1, 2, 4
// or 8.
func (g *gen) rowsBy(base reg.GPVirtual, odd map[int]reg.GPVirtual) func(i int) operand.Mem {
	return func(i int) operand.Mem {
		if i == 0 {
			return at(base, 0)
		}
		scale := uint8(1)
		for i%2 == 0 {
			i /= 2
			scale *= 2
		}
		return operand.Mem{Base: base, Index: odd[i], Scale: scale}
	}
}

// zero clears a register.
func (g *gen) zero(r reg.Register) {
	if g.vex() {
		g.VXORPS(r, r, r)
		return
	}
	i, err := x86.VPXORD(r, r, r)
	if err != nil {
		panic(err)
	}
	i.CancellingInputs = true // avo knows it of the VEX forms only, and would keep r alive from the beginning
	g.Instruction(i)
}

// A tail is the mask of the last, partly filled vector of a row: in AVX-512 a mask register, in AVX2 a
// vector register.
type tail struct{ r reg.Register }

// tailMask makes the mask of the first count elements, 0 ≤ count ≤ lanes, in r, a mask register for AVX-512 and a vector
// register for AVX2. It leaves count as it is.
func (g *gen) tailMask(count reg.GPVirtual, r reg.Register) tail {
	if g.vex() {
		table := g.GP64()
		g.LEAQ(g.tailTable().Offset(g.bytes), table)
		back := g.GP64()
		g.MOVQ(count, back)
		g.NEGQ(back)
		g.VMOVUPS(operand.Mem{Base: table, Index: back, Scale: 4}, r)
		return tail{r}
	}
	bits := g.GP32()
	g.MOVQ(count, reg.RCX)
	g.MOVL(operand.U32(1), bits)
	g.SHLL(reg.CL, bits)
	g.DECL(bits)
	g.KMOVW(bits, r)
	return tail{r}
}

// tailTable has as many −1 as a vector has lanes, then as many 0.
func (g *gen) tailTable() operand.Mem {
	const name = "tailTable"
	m, ok := g.named[name]
	if ok {
		return m
	}
	m = g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for range g.lanes {
		g.AppendDatum(operand.I32(-1))
	}
	for range g.lanes {
		g.AppendDatum(operand.I32(0))
	}
	g.named[name] = m
	return m
}

// loadTail loads the elements of a partly filled vector and sets the others to zero.
func (g *gen) loadTail(m operand.Mem, t tail, dst reg.Register) {
	if g.vex() {
		g.VMASKMOVPS(m, t.r, dst)
	} else {
		g.VMOVUPS_Z(m, t.r, dst)
	}
}

// storeTail stores the elements of a partly filled vector.
func (g *gen) storeTail(src reg.Register, t tail, m operand.Mem) {
	if g.vex() {
		g.VMASKMOVPS(src, t.r, m)
	} else {
		g.VMOVUPS(src, t.r, m)
	}
}

// rounds reports whether the level has instructions that round to bfloat16.
func (v *isa) rounds() bool { return v == avx512bf16 || v == amx }
