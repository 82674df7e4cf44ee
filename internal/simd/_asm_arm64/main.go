// Command asm writes the arm64 assembly of package simd: one .s file and one file of stubs for each family of primitives.
//
//	go run . -dir ..
//
// Go's assembler lacks most of the floating-point vector instructions of arm64. They are written as words, each with what
// it means, in the syntax of Arm, as a comment.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// families are the functions that write one pair of files each.
var families = []struct {
	name string
	emit func(*gen)
}{
	{"gemm", emitGemm},
	{"gemm8", emitGemm8},
	{"quantize", emitQuantize},
	{"pack", emitPack},
	{"widen", emitWiden},
	{"rows", emitRows},
	{"activate", emitActivate},
	{"softmax", emitSoftmax},
	{"norm", emitNorm},
	{"dropout", emitDropout},
	{"peak", emitPeak},
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
	for _, f := range families {
		g := &gen{}
		f.emit(g)
		text, stubs, err := g.file()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		base := filepath.Join(dir, f.name+"_neon_arm64")
		if err := os.WriteFile(base+".s", text, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(base+".go", stubs, 0o644); err != nil {
			return err
		}
	}
	return nil
}
