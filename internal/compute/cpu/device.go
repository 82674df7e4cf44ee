// Package cpu is the device that every machine has: its processor, through the primitives of package simd.
//
// A matrix product is cut into blocks of rows and stripes of columns, whose operands are packed to fit the caches
// (product.go, pack.go), in float32, rounded to bfloat16 (operands.go) or quantized to int8 (quantize.go); attention into tiles of query rows
// (attention.go); everything else into runs of rows. A pool of workers takes these pieces (pool.go). No sum is ever cut by
// the number of workers: where one is cut at all, the pieces have a fixed size and are added in order.
package cpu

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// Device is the processor as a compute.Device. Its operations are done when they return, and none fails.
type Device struct {
	mu   sync.Mutex // held by each operation: they take turns
	k    *kernels
	int8 *kernels // of what Pack has quantized; nil at other precisions, at which k does all
	half *kernels // of what PackRounded has rounded, at Int8 where products of bfloat16 are fast; else nil
	pool *pool

	sharing *sharing // nil: what Pack makes is the caller's alone

	// The state of the operations, here so that none of them allocates.
	product       product
	feedForward   feedForwardTask
	pack          packTask
	quantize      quantizeTask
	norm          normTask
	normGrad      normGradTask
	embedding     embeddingTask
	attention     attentionTask
	attending     attendTask
	attentionGrad attentionGradTask
	crossEntropy  crossEntropyTask
	scatterRows   scatterTask
	rows          rowsTask
	flat          flatTask
	sumRows       sumsTask

	packed   []float32 // of the operand of the product at hand
	results  []float32 // of a product that a Norm follows
	hidden   []float32 // the left operand of the second product of a feed-forward network
	words    []float32 // the left operand of a product of int8
	scales   []float32 // of its rows
	partials []float32 // sums over chunks of rows
	sums     []float64 // sums over chunks of elements, or losses of rows
	jobs     []attentionJob
	groups   []attentionGroup
}

var (
	_ compute.Device = (*Device)(nil)
	_ compute.Viewer = (*Device)(nil)
)

// New opens the device with the given number of workers, including the caller of an operation; 0 means GOMAXPROCS. Its
// products have the precision p. It fails if BERT_SIMD asks for a level that the machine lacks.
func New(threads int, p compute.Precision) (*Device, error) {
	if err := check(threads, p); err != nil {
		return nil, err
	}
	k, err := simd.Best()
	if err != nil {
		return nil, err
	}
	return NewAt(k, threads, p), nil
}

// NewOn is New with the kernels that Kernels named. It fails where this machine lacks them.
func NewOn(kernels string, threads int, p compute.Precision) (*Device, error) {
	if err := check(threads, p); err != nil {
		return nil, err
	}
	k, ok := withBits(kernels, p)
	if !ok {
		return nil, fmt.Errorf("cpu: this processor or build lacks the kernels %s", kernels)
	}
	return NewAt(k, threads, p), nil
}

// HasKernels reports whether this machine has the kernels of a name, at a precision.
func HasKernels(name string, p compute.Precision) bool {
	_, ok := withBits(name, p)
	return ok
}

// withBits is the best table whose devices of a precision have kernels of a name.
func withBits(name string, p compute.Precision) (*simd.Kernels, bool) {
	return simd.WithBits(name, func(k *simd.Kernels) bool { return rounding(k, p) })
}

// rounding reports whether a device of a precision with a table rounds operands of products to bfloat16.
func rounding(k *simd.Kernels, p compute.Precision) bool {
	return p == compute.BFloat16 || p == compute.Int8 && k.Fast16()
}

func check(threads int, p compute.Precision) error {
	if threads < 0 {
		return fmt.Errorf("cpu: %d threads: want 0 (all) or more", threads)
	}
	if p > compute.Int8 {
		return fmt.Errorf("cpu: unknown precision %v: want %v, %v or %v", p, compute.Float32, compute.BFloat16, compute.Int8)
	}
	return nil
}

// NewAt is New with a given table of primitives.
func NewAt(table *simd.Kernels, threads int, p compute.Precision) *Device {
	return NewWith(table, threads, p, DefaultThresholds())
}

// NewWith is NewAt with other thresholds, to measure them.
func NewWith(table *simd.Kernels, threads int, p compute.Precision, at Thresholds) *Device {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var int8, half *kernels
	if p == compute.Int8 {
		if rounding(table, p) {
			half = newKernels(table, compute.BFloat16, at)
		}
		int8, p = newInt8Kernels(table, at), compute.Float32
	}
	k := newKernels(table, p, at)
	d := &Device{k: k, int8: int8, half: half, pool: newPool(k, threads)}
	// The workers know the pool alone, so a Device that was forgotten can be collected, and its workers end.
	runtime.AddCleanup(d, (*pool).close, d.pool)
	return d
}

// Name is the level of the primitives, the precision unless it is float32, and the number of workers.
func (d *Device) Name() string {
	name := d.k.simd.Level.String()
	if p, _ := d.Precision(); p != compute.Float32 {
		name += " " + p.String()
	}
	if n := d.Threads(); n != 1 {
		return fmt.Sprintf("%s, %d threads", name, n)
	}
	return name + ", 1 thread"
}

// Kernels names the primitives by their bits: two devices of the same name and precision give the same results.
func (d *Device) Kernels() string { return d.k.simd.Bits(d.k.rounds() || d.half != nil) }

// Precision is that of the products. Float32 is native to every level.
func (d *Device) Precision() (p compute.Precision, native bool) {
	switch {
	case d.int8 != nil:
		return compute.Int8, d.k.simd.Int8.Native
	case d.k.rounds():
		return compute.BFloat16, d.k.simd.Native16
	}
	return compute.Float32, true
}

// Threads is the number of workers, the caller of an operation among them.
func (d *Device) Threads() int { return len(d.pool.workers) }

// Close ends the workers and returns when they have ended.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pool.close()
	d.pool.ended.Wait()
}

// memory is plain Go memory.
type memory struct {
	data     []float32
	readOnly bool
}

func (m *memory) Len() int { return len(m.data) }

// Alloc is n zeros, aligned to a cache line. The error is nil: where Go has no memory, the process ends.
func (d *Device) Alloc(n int) (compute.Buffer, error) {
	return compute.Buffer{Memory: &memory{data: aligned(n)}, Len: n}, nil
}

// AllocNumbers is n zeros.
func (d *Device) AllocNumbers(n int) (compute.Numbers, error) { return make(numbers, n), nil }

// ReadNumbers copies the first len(dst) numbers of src.
func (d *Device) ReadNumbers(dst []float64, src compute.Numbers) error {
	from := src.(numbers)
	if len(dst) > len(from) {
		misfit("ReadNumbers.src", len(from), len(dst))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(dst, from)
	return nil
}

// Wrap makes a Buffer of data itself. An operation that would write to it panics.
func (d *Device) Wrap(data []float32) (compute.Buffer, error) {
	return compute.Buffer{Memory: &memory{data: data, readOnly: true}, Len: len(data)}, nil
}

// View is the memory of a buffer.
func (d *Device) View(b compute.Buffer) ([]float32, error) { return source(b, b.Len, "View.b"), nil }

// lineFloats is how many elements a cache line holds.
const lineFloats = 16

// aligned is n zeros that begin at a cache line. Huge pages are asked for from there on: much of this size, as the tensors of a model that is
// trained, would leave a part of one unused each if it began at one.
func aligned(n int) []float32 { return alignedTo(lineFloats, n, hugePage) }

// pages is n zeros that operations read or write again and again, and which begin at a huge page if they have least bytes: parts of one are
// in different sets of the second cache, those of pages of 4 KB where chance has put them.
func pages(n, least int) []float32 {
	if 4*n < least {
		return aligned(n)
	}
	return alignedTo(hugePage/4, n, 0)
}

// scratch is pages that all operations share, for which a huge page is well spent even if they fill only a quarter of it.
func scratch(n int) []float32 { return pages(n, hugePage/4) }

// alignedTo is n zeros that begin at a multiple of that many elements, for which huge pages are asked if they have least bytes.
func alignedTo(unit, n, least int) []float32 {
	s := make([]float32, n+unit-1)
	at := int(-uintptr(unsafe.Pointer(&s[0])) / 4 % uintptr(unit))
	s = s[at : at+n : at+n]
	if 4*n >= least {
		adviseHugePages(s)
	}
	return s
}

// grow returns s with at least n elements, whose values are of no use.
func grow(s []float32, n int) []float32 {
	if n <= len(s) {
		return s
	}
	return scratch(n + n/4)
}

// source is the n elements of a buffer that an operation reads; what names it in a panic.
func source(b compute.Buffer, n int, what string) []float32 {
	if b.Len != n {
		misfit(what, b.Len, n)
	}
	if b.None() {
		return nil
	}
	return b.Memory.(*memory).data[b.Offset : b.Offset+n : b.Offset+n]
}

// optional is source, or nil for no buffer.
func optional(b compute.Buffer, n int, what string) []float32 {
	if b.None() {
		return nil
	}
	return source(b, n, what)
}

// target is the n elements of a buffer that an operation writes.
func target(b compute.Buffer, n int, what string) []float32 {
	if !b.None() && b.Memory.(*memory).readOnly {
		panic("cpu: " + what + " is read-only memory")
	}
	return source(b, n, what)
}

// optionalTarget is target, or nil for no buffer.
func optionalTarget(b compute.Buffer, n int, what string) []float32 {
	if b.None() {
		return nil
	}
	return target(b, n, what)
}

func misfit(what string, got, want int) {
	panic(fmt.Sprintf("cpu: %s has %d elements, want %d", what, got, want))
}

// checkIndices panics unless all ids lie in [0, n).
func checkIndices(ids []int32, n int, what string) {
	for i, id := range ids {
		if uint(id) >= uint(n) {
			panic(fmt.Sprintf("cpu: %s[%d] is %d, want 0…%d", what, i, id, n-1))
		}
	}
}

// checkStarts panics unless starts are the bounds of sequences, and returns the number of their tokens.
func checkStarts(starts []int) int {
	if len(starts) == 0 || starts[0] != 0 {
		panic("cpu: the starts of the sequences do not begin with 0")
	}
	for i := 1; i < len(starts); i++ {
		if starts[i] < starts[i-1] {
			panic(fmt.Sprintf("cpu: sequence %d ends at %d, before its start %d", i-1, starts[i], starts[i-1]))
		}
	}
	return starts[len(starts)-1]
}

// activation is the name that package simd has for f.
func activation(f compute.Activation) simd.Activation {
	switch f {
	case compute.Identity:
		return simd.Identity
	case compute.GELU:
		return simd.GELU
	case compute.GELUTanh:
		return simd.GELUTanh
	case compute.ReLU:
		return simd.ReLU
	case compute.Tanh:
		return simd.Tanh
	case compute.SiLU:
		return simd.SiLU
	}
	panic(fmt.Sprintf("cpu: unknown activation %d", f))
}

// dropOf is dropout as package simd has it: the rate in steps of 1/65,536.
func dropOf(d compute.Drop) simd.Drop {
	if !(d.Rate >= 0 && d.Rate < 1) {
		panic(fmt.Sprintf("cpu: dropout of rate %v, want 0 ≤ rate < 1", d.Rate))
	}
	const one = 1 << 16
	threshold := min(uint32(math.Round(float64(d.Rate)*one)), one-1)
	return simd.Drop{
		Key:       [2]uint32{uint32(d.Key), uint32(d.Key >> 32)},
		Threshold: threshold,
		Scale:     one / float32(one-threshold),
	}
}
