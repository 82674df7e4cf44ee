package serve

import (
	"math"
	"sync"
	"time"
)

// meter measures how many tokens of a model are computed in a second. Batches count by their tokens: what a short one takes says little
// of a full one.
type meter struct {
	mu      sync.Mutex
	tokens  float64 // Σ tokens²
	seconds float64 // Σ tokens·seconds
}

// meterMemory is how much computing time counts: what is e times as long ago counts e times less.
const meterMemory = 10 * time.Second

// add says that so many tokens took so long.
func (m *meter) add(tokens int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fade := math.Exp(-took.Seconds() / meterMemory.Seconds())
	m.tokens = m.tokens*fade + float64(tokens)*float64(tokens)
	m.seconds = m.seconds*fade + float64(tokens)*took.Seconds()
}

// rate is the number of tokens a second, 0 where it is not known.
func (m *meter) rate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seconds <= 0 {
		return 0
	}
	return m.tokens / m.seconds
}
