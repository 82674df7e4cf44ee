// Package random gives random numbers by counter: they depend on nothing but their keys and how many were drawn before, so
// that work which is resumed, or shared out among workers, needs no state of a generator.
package random

import "math/bits"

// Stream is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), written out here so that
// another release of Go gives the same numbers. Streams of different keys have nothing to do with one another.
type Stream uint64

// New returns the stream of a seed and keys: what the numbers are for, and for which of such things.
func New(seed uint64, keys ...uint64) Stream {
	s := Stream(seed)
	for _, key := range keys {
		s = Stream(s.Next() + key)
	}
	return Stream(s.Next())
}

// Next is a number of 64 random bits.
func (s *Stream) Next() uint64 {
	*s += step
	return mix(uint64(*s))
}

// step is what a stream advances by.
const step = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Below is a number in [0, n), every one equally likely (Lemire: Fast Random Integer Generation in an Interval, 2019). n
// is not 0.
func (s *Stream) Below(n uint64) uint64 {
	hi, lo := bits.Mul64(s.Next(), n)
	if lo < n {
		for threshold := -n % n; lo < threshold; {
			hi, lo = bits.Mul64(s.Next(), n)
		}
	}
	return hi
}

// Float64 is a number in [0, 1), a multiple of 2⁻⁵³.
func (s *Stream) Float64() float64 { return float64(s.Next()>>11) * 0x1p-53 }

// Shuffle puts n things into random order, every one equally likely, from the last place to the first.
func (s *Stream) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, int(s.Below(uint64(i+1))))
	}
}

// ShuffleHead makes the first n elements of a list what Shuffle would, with the same draws; what the others are is not
// said. It is for lists that are short and many: Below is written out, and the stream stays in a register.
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
			list[j] = list[i] // what list[i] becomes no later draw moves
		} else {
			list[i], list[j] = list[j], list[i]
		}
	}
	*s = Stream(state)
}
