package train

import "time"

// A meter measures the speed of a run by an exponential moving average over its steps. Evaluations and checkpoints do not count.
type meter struct {
	seconds, examples, tokens, operations, weight float64
}

// meterMemory is the weight of the past after one step; after 14 steps it is one half.
const meterMemory = 0.95

func (m *meter) add(d time.Duration, examples, tokens int, operations float64) {
	for _, v := range []struct {
		mean *float64
		x    float64
	}{{&m.seconds, d.Seconds()}, {&m.examples, float64(examples)}, {&m.tokens, float64(tokens)}, {&m.operations, operations}, {&m.weight, 1}} {
		*v.mean = meterMemory**v.mean + (1-meterMemory)*v.x
	}
}

// rates returns the speeds, or 0 before the first step.
func (m *meter) rates() (examplesPerSecond, tokensPerSecond, operationsPerSecond float64) {
	if m.seconds <= 0 {
		return 0, 0, 0
	}
	return m.examples / m.seconds, m.tokens / m.seconds, m.operations / m.seconds
}

// left estimates the time for a number of steps.
func (m *meter) left(steps int) time.Duration {
	if m.weight <= 0 {
		return 0
	}
	return time.Duration(float64(steps) * m.seconds / m.weight * float64(time.Second))
}
