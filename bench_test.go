package bert

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-bert/bert/internal/bench"
)

// sizes are published models, by layers and width (google-research/bert README).
var sizes = []struct {
	name          string
	layers, width int
}{
	{"tiny", 2, 128},
	{"mini", 4, 256},
	{"base", 12, 768},
}

func sizedModel(tb testing.TB, layers, width, threads int) *Model {
	tb.Helper()
	c := DefaultConfig()
	c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize = layers, width, width/64, 4*width
	m, err := New(c, SequenceClassification, Options{Threads: threads})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close() })
	return m
}

// randomBatch has sequences of n random tokens with a random class each.
func randomBatch(c Config, sequences, n int) *Batch {
	r := rand.New(rand.NewPCG(1, uint64(sequences*n)))
	b := &Batch{}
	ids := make([]int32, n)
	for range sequences {
		for i := range ids {
			ids[i] = int32(r.IntN(c.VocabSize))
		}
		b.Add(ids, nil)
		b.Classes = append(b.Classes, int32(r.IntN(len(c.Labels))))
	}
	return b
}

// flops counts the operations of a forward pass over b.
func flops(c Config, b *Batch) (total float64) {
	for s := range b.Len() {
		from, to := b.Sequence(s)
		total += bench.ForwardOperations(c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize, to-from)
	}
	return total
}

func BenchmarkForward(b *testing.B) {
	for _, size := range sizes {
		m := sizedModel(b, size.layers, size.width, 0)
		for _, sequences := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%s/batch=%d/length=128", size.name, sequences), func(b *testing.B) {
				batch := randomBatch(m.config, sequences, 128)
				s := m.NewSession()
				if _, err := s.Forward(batch, Outputs{}); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Forward(batch, Outputs{}); err != nil {
						b.Fatal(err)
					}
				}
				seconds := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(float64(sequences)/seconds, "sequences/s")
				b.ReportMetric(flops(m.config, batch)/seconds/1e9, "GFLOP/s")
			})
		}
	}
}

// BenchmarkTrainingStep is a whole step of fine-tuning: forward, backward with dropout, the norm, and Adam.
func BenchmarkTrainingStep(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%s/batch=32/length=128", size.name), func(b *testing.B) {
			m := sizedModel(b, size.layers, size.width, 0)
			batch := randomBatch(m.config, 32, 128)
			benchmarkSteps(b, m, batch, flops(m.config, batch))
		})
	}
}

// benchmarkSteps runs steps of training over a batch whose forward pass takes so many operations.
func benchmarkSteps(b *testing.B, m *Model, batch *Batch, forward float64) {
	t, err := m.NewTrainer()
	if err != nil {
		b.Fatal(err)
	}
	batches := []*Batch{batch}
	key := uint64(0)
	step := func() {
		key++
		if _, err := t.Backward(batches, key); err != nil {
			b.Fatal(err)
		}
		t.Update(Update{GradScale: 1 / t.GradNorm(), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 2e-5, RootScale: 1, Decay: 2e-7})
	}
	step()
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(seconds, "s/step")
	b.ReportMetric(3*forward/seconds/1e9, "GFLOP/s")
}

// BenchmarkPretrainingStep is a whole step of pre-training a small model with a vocabulary of its own: 19 of 128 tokens
// are masked.
func BenchmarkPretrainingStep(b *testing.B) {
	const layers, width, vocabulary, sequences, n, masked = 4, 256, 12000, 64, 128, 19
	b.Run(fmt.Sprintf("%dx%d/vocabulary=%d/batch=%d/length=%d", layers, width, vocabulary, sequences, n), func(b *testing.B) {
		c := DefaultConfig()
		c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize = layers, width, width/64, 4*width
		c.VocabSize = vocabulary
		m, err := New(c, PreTraining, Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		batch := randomBatch(c, sequences, n)
		batch.Classes = nil
		for s := range sequences {
			batch.NextSentence = append(batch.NextSentence, int32(s%2))
			for i := range masked {
				at := int32(s*n + i*n/masked)
				batch.MaskedPositions = append(batch.MaskedPositions, at)
				batch.MaskedIDs = append(batch.MaskedIDs, batch.IDs[at])
			}
		}
		products := 12.0*layers*width*width + 2*layers*n*width // multiply-adds of a token
		head := float64(masked * width * (width + vocabulary))
		benchmarkSteps(b, m, batch, 2*sequences*(n*products+head))
	})
}
