package simd

import (
	"math"
	"testing"
)

// TestPhilox checks the vectors that the authors publish with Random123 (kat_vectors, philox4x32 with 10 rounds).
func TestPhilox(t *testing.T) {
	const all = math.MaxUint32
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, [2]uint32{all, all}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{
			[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		if got := philox(c.counter, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

// drawOf is the draw of one element, word for word from the documentation of Drop.
func drawOf(key [2]uint32, row uint64, i int) uint32 {
	g, q, l := i/128, i%128/16, i%16
	w := philox([4]uint32{uint32(g*16 + l), 0, uint32(row), uint32(row >> 32)}, key)[q/2]
	if q%2 == 0 {
		return w & 0xffff
	}
	return w >> 16
}

// TestDropoutDraws finds every draw of every level by its threshold: an element is kept at its draw and dropped at one more.
func TestDropoutDraws(t *testing.T) {
	const n = 300
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		for _, key := range [][2]uint32{{}, {0xffffffff, 0x80000001}} {
			for _, row := range []uint64{0, 1, 0xfedcba9876543210} {
				for i := range x {
					draw := drawOf(key, row, i)
					k.Dropout(y, x, Drop{Key: key, Threshold: draw, Scale: 1}, row)
					kept := y[i]
					k.Dropout(y, x, Drop{Key: key, Threshold: draw + 1, Scale: 1}, row)
					if kept != 1 || y[i] != 0 {
						t.Fatalf("key %x row %d: element %d with draw %d is %v at that threshold and %v beyond", key, row, i, draw, kept, y[i])
					}
				}
			}
		}
	})
}

func TestDropoutLimits(t *testing.T) {
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T, k *Kernels) {
		x := []float32{1, nan, -2}
		for _, c := range []struct {
			name      string
			drop      Drop
			want, sum []float32
		}{
			{"zero value", Drop{}, []float32{1, nan, -2}, []float32{2, nan, -1}},
			{"drop all", Drop{Threshold: 1 << 16, Scale: float32(math.Inf(1))}, []float32{0, 0, 0}, []float32{1, 1, 1}},
		} {
			y, sum := make([]float32, 3), []float32{1, 1, 1}
			k.Dropout(y, x, c.drop, 5)
			k.DropoutAdd(sum, x, c.drop, 5)
			if !same(y, c.want) || !same(sum, c.sum) {
				t.Errorf("%s: got %v and %v, want %v and %v", c.name, y, sum, c.want, c.sum)
			}
		}
	})
}

// TestDropoutRate checks the share of dropped elements, and that rows and keys differ.
func TestDropoutRate(t *testing.T) {
	const n, rows = 4096, 64
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	eachLevel(t, func(t *testing.T, k *Kernels) {
		dropped := 0
		var last []float32
		for row := range uint64(rows) {
			k.Dropout(y, x, dropExample, row)
			if same(last, y) {
				t.Fatalf("rows %d and %d are alike", row-1, row)
			}
			last = append(last[:0], y...)
			for _, v := range y {
				if v == 0 {
					dropped++
				}
			}
		}
		const rate = 6554. / 65536
		deviation := math.Sqrt(n * rows * rate * (1 - rate))
		if math.Abs(float64(dropped)-n*rows*rate) > 4*deviation {
			t.Errorf("dropped %d of %d elements, want %.0f ± %.0f", dropped, n*rows, n*rows*rate, 4*deviation)
		}
	})
}
