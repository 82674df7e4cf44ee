package train

import "github.com/go-bert/bert/internal/random"

// The purposes of random numbers. Each has its own streams, with keys (seed, purpose, index).
const (
	forOrder uint64 = iota + 1
	forBatches
	forDropout
	forPhases
)

// dropoutKey returns the key of the dropout masks of a step, counted from 0.
func dropoutKey(seed uint64, step int) uint64 {
	s := random.New(seed, forDropout, uint64(step))
	return s.Next()
}

// phaseSeed returns the seed for the order of a phase's examples. For the first phase it is the seed of the run.
func phaseSeed(seed uint64, phase int) uint64 {
	if phase == 0 {
		return seed
	}
	s := random.New(seed, forPhases, uint64(phase))
	return s.Next()
}
