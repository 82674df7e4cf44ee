package train

import "time"

// meter measures how fast a run is: the mean over the last steps, the newest of which count most. It is told of steps
// alone, so evaluations and checkpoints take no part.
type meter struct {
	seconds, examples, tokens, operations, weight float64
}

// meterMemory is the share of the past that is left after a step: half after 14.
const meterMemory = 0.95

func (m *meter) add(d time.Duration, examples, tokens int, operations float64) {
	for _, v := range []struct {
		mean *float64
		x    float64
	}{{&m.seconds, d.Seconds()}, {&m.examples, float64(examples)}, {&m.tokens, float64(tokens)}, {&m.operations, operations}, {&m.weight, 1}} {
		*v.mean = meterMemory**v.mean + (1-meterMemory)*v.x
	}
}

// rates are 0 while nothing is known.
func (m *meter) rates() (examplesPerSecond, tokensPerSecond, operationsPerSecond float64) {
	if m.seconds <= 0 {
		return 0, 0, 0
	}
	return m.examples / m.seconds, m.tokens / m.seconds, m.operations / m.seconds
}

// left is the time that so many steps will take.
func (m *meter) left(steps int) time.Duration {
	if m.weight <= 0 {
		return 0
	}
	return time.Duration(float64(steps) * m.seconds / m.weight * float64(time.Second))
}
