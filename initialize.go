package bert

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// initialize gives a parameter the values of a new model. They depend on the seed and the tensor's name alone, so that a
// new head is the same whatever else the model has.
func (m *Model) initialize(p *parameter, seed uint64) {
	data := make([]float32, p.Len())
	switch p.Init {
	case InitZero:
	case InitOne:
		for i := range data {
			data[i] = 1
		}
	case InitNormal:
		name := fnv.New64a()
		name.Write([]byte(p.Name))
		g := truncatedNormal{source: rand.NewPCG(seed, name.Sum64())}
		for i := range data {
			data[i] = float32(g.next() * m.config.InitializerRange)
		}
	}
	m.device.Write(p.value, data)
}

// truncatedNormal draws from the standard normal distribution, drawing again what lies beyond two deviations, as
// TensorFlow's truncated_normal_initializer does.
type truncatedNormal struct {
	source *rand.PCG
	spare  float64
	saved  bool
}

func (t *truncatedNormal) next() float64 {
	for {
		if x := t.normal(); math.Abs(x) <= 2 {
			return x
		}
	}
}

// normal is the polar form of Box and Muller's method, which gives two numbers at a time.
func (t *truncatedNormal) normal() float64 {
	if t.saved {
		t.saved = false
		return t.spare
	}
	for {
		x, y := t.uniform(), t.uniform()
		if s := x*x + y*y; s > 0 && s < 1 {
			f := math.Sqrt(-2 * math.Log(s) / s)
			t.spare, t.saved = y*f, true
			return x * f
		}
	}
}

// uniform is a number in [−1, 1).
func (t *truncatedNormal) uniform() float64 {
	return float64(int64(t.source.Uint64())>>11) / (1 << 52)
}
