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
	m, err := New(c, Options{Head: SequenceClassification, Threads: threads})
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
		total += bench.ForwardOperations(c.AttentionWidths(), c.HiddenSize, c.IntermediateSize, to-from)
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
			t, err := m.NewTrainer()
			if err != nil {
				b.Fatal(err)
			}
			batches := []*Batch{randomBatch(m.config, 32, 128)}
			key := uint64(0)
			step := func() {
				key++
				if _, err := t.Backward(batches, Pass{Key: key}); err != nil {
					b.Fatal(err)
				}
				update(b, t, Update{GradScale: 1 / gradNorm(b, t), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 2e-5, RootScale: 1, Decay: 2e-7})
			}
			step()
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(seconds, "s/step")
			b.ReportMetric(3*flops(m.config, batches[0])/seconds/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkPreTrainingStep is a whole step of pre-training on sequences of 128 tokens of which 19 are masked, with a
// vocabulary of 12,000.
func BenchmarkPreTrainingStep(b *testing.B) {
	for _, sequences := range []int{64, 256} {
		b.Run(fmt.Sprintf("4x256/batch=%d/length=128", sequences), func(b *testing.B) {
			c := DefaultConfig()
			c.VocabSize, c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize = 12000, 4, 256, 4, 1024
			m, err := New(c, Options{Head: PreTraining, Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			t, err := m.NewTrainer()
			if err != nil {
				b.Fatal(err)
			}
			batch := randomBatch(c, sequences, 128)
			for s := range sequences {
				batch.NextSentence = append(batch.NextSentence, int32(s%2))
				for i := range 19 {
					at := int32(128*s + 6*i + 5)
					batch.MaskedPositions = append(batch.MaskedPositions, at)
					batch.MaskedIDs = append(batch.MaskedIDs, batch.IDs[at])
				}
			}
			key := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				key++
				if _, err := t.Backward([]*Batch{batch}, Pass{Key: key}); err != nil {
					b.Fatal(err)
				}
				update(b, t, Update{GradScale: 1 / gradNorm(b, t), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 2e-5, RootScale: 1, Decay: 2e-7})
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(seconds, "s/step")
			b.ReportMetric(float64(batch.Tokens())/seconds, "tokens/s")
		})
	}
}
