package simd

import (
	"slices"
	"strings"
	"testing"
)

func TestBest(t *testing.T) {
	available := Available()
	if !slices.Contains(available, Generic) || !slices.IsSortedFunc(available, func(a, b Level) int { return int(b) - int(a) }) {
		t.Fatalf("Available() = %v, want the highest first, and purego", available)
	}
	for _, l := range available {
		if k, ok := For(l); !ok || k.Level != l {
			t.Errorf("For(%v) returns another level or none", l)
		}
	}
	t.Setenv(levelVariable, "")
	if k, err := Best(); err != nil || k.Level != available[0] {
		t.Errorf("Best() = %v, %v, want %v", k, err, available[0])
	}
	for _, l := range []Level{Generic, AVX2, AVX512, AMX, NEON} {
		t.Setenv(levelVariable, l.String())
		k, err := Best()
		if slices.Contains(available, l) {
			if err != nil || k.Level != l {
				t.Errorf("%s=%v: Best() = %v, %v", levelVariable, l, k, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "lacks that level") {
			t.Errorf("%s=%v: error %v, want that the level is absent", levelVariable, l, err)
		}
	}
	t.Setenv(levelVariable, "sse9")
	if _, err := Best(); err == nil || !strings.Contains(err.Error(), `BERT_SIMD="sse9"`) || !strings.Contains(err.Error(), "purego") {
		t.Errorf("error %v, want one that names the variable, its value and the choices", err)
	}
}

func TestLevelString(t *testing.T) {
	for l, want := range map[Level]string{Generic: "purego", AVX2: "avx2", AVX512: "avx512", AMX: "amx", NEON: "neon", 9: "Level(9)"} {
		if got := l.String(); got != want {
			t.Errorf("Level %d is %q, want %q", uint8(l), got, want)
		}
	}
}

// Tables of the same bits have one name, and each is found by its own.
func TestBits(t *testing.T) {
	for _, k := range tables() {
		for _, rounded := range []bool{false, true} {
			name := k.Bits(rounded)
			found, ok := WithBits(name, func(*Kernels) bool { return rounded })
			if !ok || found.Bits(rounded) != name {
				t.Errorf("%s, rounded %v: found %v", name, rounded, ok)
			}
		}
	}
	for _, c := range []struct {
		k       Kernels
		rounded bool
		want    string
	}{
		{Kernels{Level: AMX, Native16: true}, false, "avx512"},
		{Kernels{Level: AMX, Native16: true}, true, "amx"},
		{Kernels{Level: AVX512, Native16: true}, false, "avx512"},
		{Kernels{Level: AVX512, Native16: true}, true, "avx512-bf16"},
		{Kernels{Level: AVX512}, true, "avx512"},
		{Kernels{Level: AVX2}, true, "avx2"},
		{Kernels{Level: Generic}, false, "purego"},
	} {
		if got := c.k.Bits(c.rounded); got != c.want {
			t.Errorf("%v, rounded %v: %q, want %q", c.k.Level, c.rounded, got, c.want)
		}
	}
	if _, ok := WithBits("abacus", func(*Kernels) bool { return false }); ok {
		t.Error("there are kernels of an unknown name")
	}
}
