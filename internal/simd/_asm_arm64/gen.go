package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
)

// suffix ends the names of functions in Go.
const suffix = "NEON"

// gen writes one file.
type gen struct {
	text, stubs bytes.Buffer // of the functions that are finished
	constants   [][4]uint32  // the file's vectors of constants
	offsets     bool         // it uses those of fields of Go's types
	f           *function    // the one at hand
	err         error        // the first one
}

// A function is a list of instructions over as many vector registers as it likes. General registers are handed out one
// after another, for there are enough.
type function struct {
	symbol    string
	frame     map[string]field // the parameters and results
	arguments int              // bytes
	code      []instruction
	vectors   int
	generals  int
	labels    int
	pool      general // the address of the constants, if it uses any
	address   general // of single elements, if it moves any
}

// A vector is a 128-bit register that is chosen later.
type vector int

// A general is a general register.
type general string

// generals are the registers that functions may use: all but that of the platform (R18), those that Go reserves (R26 to
// R28), the frame pointer and the return address.
var generals = []general{
	"R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "R16", "R17",
	"R19", "R20", "R21", "R22", "R23", "R24", "R25",
}

// An instruction is a line of assembly, or a label.
type instruction struct {
	text          func(number func(vector) int) string
	reads, writes []vector
	move          bool   // from reads[0] to writes[0]
	label         string // that is placed here
	target        string // where it may jump
	ends          bool   // the next instruction is not reached from here
}

// A field is a parameter or result.
type field struct {
	offset int
	load   string // the instruction that loads it into a general register
}

// fieldSizes are the sizes of the types of parameters and results, which are their alignments too.
var fieldSizes = map[string]struct {
	size int
	load string
}{
	"*float32": {8, "MOVD"},
	"*uint32":  {8, "MOVD"},
	"*gemmRun": {8, "MOVD"},
	"int":      {8, "MOVD"},
	"float64":  {8, "MOVD"},
	"float32":  {4, "MOVWU"},
	"uint32":   {4, "MOVWU"},
	"bool":     {1, "MOVBU"},
}

// function begins a function that Go may call; its name gets the suffix. The signature is without "func".
func (g *gen) function(name, signature, doc string) {
	name += suffix
	g.begin("·"+name, signature)
	fmt.Fprintf(&g.stubs, "\n// %s %s\n//\n//go:noescape\nfunc %s%s\n", name, doc, name, signature)
}

func (g *gen) begin(symbol, signature string) {
	g.f = &function{symbol: symbol, frame: map[string]field{}}
	parsed, err := parser.ParseExpr("func" + signature)
	if err != nil {
		g.fail(err)
		return
	}
	t := parsed.(*ast.FuncType)
	g.layOut(t.Params)
	if t.Results != nil {
		g.f.arguments = (g.f.arguments + 7) / 8 * 8
		g.layOut(t.Results)
	}
}

// layOut gives the fields of a list their places in the frame.
func (g *gen) layOut(list *ast.FieldList) {
	for _, group := range list.List {
		kind := ""
		switch t := group.Type.(type) {
		case *ast.Ident:
			kind = t.Name
		case *ast.StarExpr:
			kind = "*" + t.X.(*ast.Ident).Name
		}
		k, ok := fieldSizes[kind]
		if !ok {
			g.fail(fmt.Errorf("unknown type of %v", group.Names))
			return
		}
		for _, name := range group.Names {
			offset := (g.f.arguments + k.size - 1) / k.size * k.size
			g.f.frame[name.Name] = field{offset, k.load}
			g.f.arguments = offset + k.size
		}
	}
}

func (g *gen) fail(err error) {
	if g.err == nil {
		g.err = fmt.Errorf("%s: %w", g.f.symbol, err)
	}
}

func (g *gen) emit(i instruction) { g.f.code = append(g.f.code, i) }

// line emits an instruction without vector registers.
func (g *gen) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	g.emit(instruction{text: func(func(vector) int) string { return s }})
}

// jump emits a jump to a label: B, or one that depends on the flags or on the operands before the label.
func (g *gen) jump(what, label string) {
	g.emit(instruction{
		text:   func(func(vector) int) string { return what + " " + label },
		target: label,
		ends:   what == "B",
	})
}

func (g *gen) place(label string) { g.emit(instruction{label: label}) }

// label returns a label that is unique in this function.
func (g *gen) label(what string) string {
	g.f.labels++
	return fmt.Sprintf("%s%d", what, g.f.labels)
}

// ret ends the function and writes it.
func (g *gen) ret() {
	g.emit(instruction{text: func(func(vector) int) string { return "RET" }, ends: true})
	f := g.f
	if f.pool != "" {
		load := fmt.Sprintf("MOVD $constants<>(SB), %s", f.pool)
		f.code = append([]instruction{{text: func(func(vector) int) string { return load }}}, f.code...)
	}
	numbers, err := f.allocate()
	if err != nil {
		g.fail(err)
		return
	}
	number := func(v vector) int { return numbers[v] }
	fmt.Fprintf(&g.text, "\nTEXT %s(SB), NOSPLIT, $0-%d\n", f.symbol, f.arguments)
	for _, i := range f.code {
		switch {
		case i.label != "":
			fmt.Fprintf(&g.text, "\n%s:\n", i.label)
		case i.move && number(i.reads[0]) == number(i.writes[0]):
		default:
			fmt.Fprintf(&g.text, "\t%s\n", i.text(number))
		}
	}
}

const header = "// Code generated by go run . -dir .. in _asm_arm64. DO NOT EDIT.\n\n//go:build arm64 && !purego\n\n"

// file returns the assembly and the stubs.
func (g *gen) file() (text, stubs []byte, err error) {
	if g.err != nil {
		return nil, nil, g.err
	}
	var s bytes.Buffer
	s.WriteString(header)
	if g.offsets {
		s.WriteString("#include \"go_asm.h\"\n")
	}
	s.WriteString("#include \"textflag.h\"\n")
	for i, c := range g.constants {
		if i == 0 {
			s.WriteString("\n")
		}
		for half := range 2 {
			fmt.Fprintf(&s, "DATA constants<>+%d(SB)/8, $0x%08x%08x\n", i*vectorSize+8*half, c[2*half+1], c[2*half])
		}
	}
	if len(g.constants) > 0 {
		fmt.Fprintf(&s, "GLOBL constants<>(SB), RODATA|NOPTR, $%d\n", len(g.constants)*vectorSize)
	}
	s.Write(g.text.Bytes())
	stubs, err = format.Source(append([]byte(header+"package simd\n"), g.stubs.Bytes()...))
	return s.Bytes(), stubs, err
}

// general returns a new general register.
func (g *gen) general() general {
	if g.f.generals == len(generals) {
		g.fail(fmt.Errorf("out of general registers"))
		return generals[0]
	}
	g.f.generals++
	return generals[g.f.generals-1]
}

// param loads a parameter into a new general register.
func (g *gen) param(name string) general {
	r := g.general()
	g.reload(name, r)
	return r
}

// reload loads a parameter into a register.
func (g *gen) reload(name string, r general) {
	p, ok := g.f.frame[name]
	if !ok {
		g.fail(fmt.Errorf("no parameter %s", name))
	}
	g.line("%s %s+%d(FP), %s", p.load, name, p.offset, r)
}

// vector returns a new vector register.
func (g *gen) vector() vector {
	g.f.vectors++
	return vector(g.f.vectors - 1)
}
