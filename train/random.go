package train

import "math/bits"

// What random numbers are for; each purpose has streams of its own.
const (
	forOrder uint64 = iota + 1
	forBatches
	forDropout
	forPhases
)

// stream gives random numbers that depend on nothing but (seed, purpose, index) and how many were drawn before: to go
// on with a run, no state of a generator has to be known. It is SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, 2014), written out here so that a run that is resumed under another release of Go
// sees the same numbers.
type stream uint64

func newStream(seed, purpose, index uint64) stream {
	s := stream(seed)
	s = stream(s.next() + purpose)
	s = stream(s.next() + index)
	return stream(s.next())
}

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a number in [0, n), every one equally likely (Lemire: Fast Random Integer Generation in an Interval, 2019).
func (s *stream) below(n uint64) uint64 {
	hi, lo := bits.Mul64(s.next(), n)
	if lo < n {
		for threshold := -n % n; lo < threshold; {
			hi, lo = bits.Mul64(s.next(), n)
		}
	}
	return hi
}

func (s *stream) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, int(s.below(uint64(i+1))))
	}
}

// dropoutKey is the key of the dropout masks of the step that follows the given number of steps.
func dropoutKey(seed uint64, step int) uint64 {
	s := newStream(seed, forDropout, uint64(step))
	return s.next()
}

// phaseSeed is the seed of the order of a phase's examples: that of the run for the first.
func phaseSeed(seed uint64, phase int) uint64 {
	if phase == 0 {
		return seed
	}
	s := newStream(seed, forPhases, uint64(phase))
	return s.next()
}
