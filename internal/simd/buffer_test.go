package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A place says where in its guarded memory an operand stands.
type place int

const (
	atStart   place = iota // its first element is the first after a protected page
	atEnd                  // its last element is the last before a protected page
	unaligned              // one element behind atStart
	places
)

// A buffer is guarded memory in which the operands of one parameter are put, one at a time.
type buffer struct {
	all      []float32
	from, to int
}

// canaries is how many elements on each side of an operand are watched: more than the largest vector has.
const canaries = 32

var canary = math.Float32frombits(0x7fc0dead)

func newBuffer(t testing.TB, n int) *buffer { return &buffer{all: guarded(t, n+1)} }

// put copies x to the buffer and surrounds it with canaries, as far as the protected pages leave room.
func (b *buffer) put(x []float32, where place) []float32 {
	switch where {
	case atStart:
		b.from = 0
	case atEnd:
		b.from = len(b.all) - len(x)
	case unaligned:
		b.from = 1
	}
	b.to = b.from + copy(b.all[b.from:], x)
	b.watched(func(side []float32) bool {
		for i := range side {
			side[i] = canary
		}
		return true
	})
	return b.all[b.from:b.to:b.to]
}

// intact tells if no canary was overwritten.
func (b *buffer) intact() bool {
	return b.watched(func(side []float32) bool {
		for _, v := range side {
			if math.Float32bits(v) != math.Float32bits(canary) {
				return false
			}
		}
		return true
	})
}

func (b *buffer) watched(f func(side []float32) bool) bool {
	before := b.all[max(0, b.from-canaries):b.from]
	behind := b.all[b.to:min(len(b.all), b.to+canaries)]
	return f(before) && f(behind)
}

// testedTables are those of this machine, or those that are emulated (emulate_linux_amd64_test.go).
var testedTables = tables

// emulated says that instructions take long, so that tests should take few of them.
var emulated bool

// eachLevel runs a test for every tested table.
func eachLevel(t *testing.T, f func(t *testing.T, k *Kernels)) {
	for _, k := range testedTables() {
		t.Run(tableName(k), func(t *testing.T) { f(t, k) })
	}
}

// tableName tells tables of one level apart.
func tableName(k *Kernels) string {
	switch {
	case k.Native16:
		return k.Level.String() + "+bf16"
	case k.Level == AVX2 && k.Int8.Offset != 0:
		return k.Level.String() + "+vnni"
	case k.Level == NEON && k.Int8.Native:
		return k.Level.String() + "+dot"
	}
	return k.Level.String()
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// normals returns n numbers of a normal distribution.
func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// same tells if two slices have the same bits; a NaN equals any NaN.
func same(x, y []float32) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if math.Float32bits(x[i]) != math.Float32bits(y[i]) && (x[i] == x[i] || y[i] == y[i]) {
			return false
		}
	}
	return true
}
