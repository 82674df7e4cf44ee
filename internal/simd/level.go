package simd

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Level is a set of instructions that a table of kernels is written in.
type Level uint8

const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2 and FMA
	AVX512               // AVX-512 F, BW, DQ, VL
	AMX                  // AVX512 with its BF16, and products of bfloat16 and int8 in tiles
	NEON                 // the vectors that every arm64 processor has
)

// levelNames are what String returns and BERT_SIMD takes.
var levelNames = [...]string{Generic: "purego", AVX2: "avx2", AVX512: "avx512", AMX: "amx", NEON: "neon"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// levelVariable is the environment variable that lowers the level that Best picks.
const levelVariable = "BERT_SIMD"

// Best returns the table of the highest level that this processor and this build have. The environment variable
// BERT_SIMD (amx, avx512, avx2, neon or purego) asks for a lower one. It is an error to ask for a level that is unknown or
// absent.
func Best() (*Kernels, error) {
	name := os.Getenv(levelVariable)
	if name == "" {
		return tables()[0], nil
	}
	for l, known := range levelNames {
		if name != known {
			continue
		}
		if k, ok := For(Level(l)); ok {
			return k, nil
		}
		return nil, fmt.Errorf("%s=%s: this processor or build lacks that level; it has %s", levelVariable, name, join(Available()))
	}
	return nil, fmt.Errorf("%s=%q: unknown level; want one of %s", levelVariable, name, join(Available()))
}

// For returns the table of a level, and false if this processor or build lacks it.
func For(l Level) (*Kernels, bool) {
	for _, k := range tables() {
		if k.Level == l {
			return k, true
		}
	}
	return nil, false
}

// Fast16 reports whether products of bfloat16 are faster than those of float32 on this machine.
func (k *Kernels) Fast16() bool { return k.Native16 && (k.Level == AMX || fast16()) }

// Bits names the bits of the table's results: two tables of the same name give the same ones, of products rounded to
// bfloat16 or of others. Without rounding AMX is AVX512; with it, the sums of AMX differ, and the processor's instructions for
// bfloat16 take subnormal numbers for zero.
func (k *Kernels) Bits(rounded bool) string {
	switch {
	case k.Level == AMX && !rounded:
		return AVX512.String()
	case k.Level == AVX512 && rounded && k.Native16:
		return AVX512.String() + "-bf16"
	}
	return k.Level.String()
}

// WithBits returns the best table of this machine whose Bits have a name, rounded where rounds says so, and false if there is none.
func WithBits(name string, rounds func(*Kernels) bool) (*Kernels, bool) {
	for _, k := range tables() {
		if k.Bits(rounds(k)) == name {
			return k, true
		}
	}
	return nil, false
}

// Available lists the levels of this processor and build, the highest first.
func Available() []Level {
	var levels []Level
	for _, k := range tables() {
		levels = append(levels, k.Level)
	}
	return slices.Compact(levels)
}

func join(levels []Level) string {
	names := make([]string, len(levels))
	for i, l := range levels {
		names[i] = l.String()
	}
	return strings.Join(names, ", ")
}
