// Package random generates random numbers by counter. A number depends only on its keys and on how many were drawn before
// it, so work that is resumed or divided among workers needs no saved generator state.
package random

import "math/bits"

// Stream is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). It is implemented here so
// that every release of Go gives the same numbers. Streams with different keys are unrelated.
type Stream uint64

// New returns the stream for a seed and keys. The keys say what the numbers are used for, such as a purpose and an index.
func New(seed uint64, keys ...uint64) Stream {
	s := Stream(seed)
	for _, key := range keys {
		s = Stream(s.Next() + key)
	}
	return Stream(s.Next())
}

// Next returns 64 random bits.
func (s *Stream) Next() uint64 {
	*s += step
	return mix(uint64(*s))
}

// step is the increment of a stream's state.
const step = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Below returns a uniform number in [0, n) (Lemire: Fast Random Integer Generation in an Interval, 2019). n must not be 0.
func (s *Stream) Below(n uint64) uint64 {
	hi, lo := bits.Mul64(s.Next(), n)
	if lo < n {
		for threshold := -n % n; lo < threshold; {
			hi, lo = bits.Mul64(s.Next(), n)
		}
	}
	return hi
}

// Float64 returns a uniform number in [0, 1), a multiple of 2⁻⁵³.
func (s *Stream) Float64() float64 { return float64(s.Next()>>11) * 0x1p-53 }

// Shuffle puts n elements into random order, each order equally likely, working from the last position to the first.
func (s *Stream) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, int(s.Below(uint64(i+1))))
	}
}

// ShuffleHead gives the first n elements of list the values that Shuffle would give them, with the same draws; the other
// elements are unspecified. It is fast for many short lists: Below is inlined and the state stays in a register.
func ShuffleHead[T any](s *Stream, list []T, n int) {
	state := uint64(*s)
	for i := len(list) - 1; i > 0; i-- {
		bound := uint64(i + 1)
		state += step
		j, lo := bits.Mul64(mix(state), bound)
		for lo < bound && lo < -bound%bound {
			state += step
			j, lo = bits.Mul64(mix(state), bound)
		}
		if i >= n {
			list[j] = list[i] // list[i] is outside the head, and no later draw reads it
		} else {
			list[i], list[j] = list[j], list[i]
		}
	}
	*s = Stream(state)
}
