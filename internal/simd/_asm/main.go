// Command asm writes the amd64 assembly of package simd: one .s file and one file of stubs for each family of primitives and
// level. It also writes the tables of primitives of all levels, of amd64 and of arm64.
//
//	go run . -dir ..
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

var (
	ordinary = []*isa{avx2, avx512}
	rounding = []*isa{avx2, avx512, avx512bf16}
	every    = []*isa{avx2, avxvnni, avx512, avx512vnni, avx512bf16, amx}
)

// families are the functions that write one pair of files each, for some levels.
var families = []struct {
	name string
	emit func(*gen)
	isas []*isa
}{
	{"gemm", emitGemm, ordinary},
	{"gemm16", emitGemm16, rounding},
	{"gemm8", emitGemm8, []*isa{avx2, avxvnni, avx512vnni}},
	{"quantize", emitQuantize, ordinary},
	{"pack", emitPack, ordinary},
	{"pack16", emitPack16, rounding},
	{"rows", emitRows, ordinary},
	{"activate", emitActivate, ordinary},
	{"activate16", emitActivate16, rounding},
	{"activate8", emitActivate8, ordinary},
	{"softmax", emitSoftmax, ordinary},
	{"attention", emitAttention, []*isa{avx512bf16}},
	{"norm", emitNorm, ordinary},
	{"norm16", emitNorm16, rounding},
	{"dropout", emitDropout, ordinary},
	{"attention", emitAttention, []*isa{avx512bf16}},
	{"peak", emitPeak, rounding},
	{"tiles", emitTiles, []*isa{amx}},
}

func main() {
	dir := flag.String("dir", "..", "folder to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, v := range every {
		for _, f := range families {
			if !slices.Contains(f.isas, v) {
				continue
			}
			g := newGen(v)
			f.emit(g)
			text, stubs, err := g.compile()
			if err != nil {
				return fmt.Errorf("%s for %s: %w", f.name, v.name, err)
			}
			base := filepath.Join(dir, f.name+"_"+v.name)
			if err := os.WriteFile(base+"_amd64.s", text, 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(base+"_amd64.go", stubs, 0o644); err != nil {
				return err
			}
		}
	}
	for _, t := range tables() {
		if err := t.write(dir); err != nil {
			return fmt.Errorf("table of %s: %w", t.Level, err)
		}
	}
	return nil
}

// evexRegister finds the registers that only AVX-512 can name. The allocator may hand them out for any level.
var evexRegister = regexp.MustCompile(`\b([XY](1[6-9]|2[0-9]|3[01])|Z[0-9]+|K[1-7])\b`)

func (g *gen) compile() (text, stubs []byte, err error) {
	f, err := g.Result()
	if err != nil {
		return nil, nil, err
	}
	if g.offsets {
		f.Includes = append(f.Includes, "go_asm.h")
	}
	cfg := printer.Config{Name: "go run . -dir .. in _asm", Pkg: "simd"}
	var s, t bytes.Buffer
	err = pass.Concat(
		pass.Compile,
		encodeMissing,
		encodeTiles,
		&pass.Output{Writer: nopCloser{&t}, Printer: printer.NewGoAsm(cfg)},
		&pass.Output{Writer: nopCloser{&s}, Printer: printer.NewStubs(cfg)},
	).Execute(f)
	if err != nil {
		return nil, nil, err
	}
	if bad := evexRegister.Find(t.Bytes()); bad != nil && g.vex() {
		return nil, nil, fmt.Errorf("uses register %s", bad)
	}
	return t.Bytes(), s.Bytes(), nil
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }
