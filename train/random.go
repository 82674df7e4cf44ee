package train

import "github.com/go-bert/bert/internal/random"

// What random numbers are for; each purpose has streams of its own, of (seed, purpose, index).
const (
	forOrder uint64 = iota + 1
	forBatches
	forDropout
	forPhases
)

// dropoutKey is the key of the dropout masks of the step that follows the given number of steps.
func dropoutKey(seed uint64, step int) uint64 {
	s := random.New(seed, forDropout, uint64(step))
	return s.Next()
}

// phaseSeed is the seed of the order of a phase's examples: that of the run for the first.
func phaseSeed(seed uint64, phase int) uint64 {
	if phase == 0 {
		return seed
	}
	s := random.New(seed, forPhases, uint64(phase))
	return s.Next()
}
