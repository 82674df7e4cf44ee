package bert

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Sessions of a model that has computed nothing yet are used by eight goroutines at once: their first passes have the bits of later ones.
func TestConcurrentSessions(t *testing.T) {
	for name, head := range map[string]Head{"classifier": SequenceClassification, "masked-LM": MaskedLM, "tagger": TokenClassification, "answers": QuestionAnswering, "encoder": NoHead} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = 50, 24, 2, 3, 40, 32
			pass := func(s *Session, i int) ([]float32, error) {
				var b Batch
				for j := range 3 + i%2 {
					ids := make([]int32, 4+3*j)
					for k := range ids {
						ids[k] = int32((5*i + 7*j + k) % 50)
					}
					b.Add(ids, nil)
				}
				if head == MaskedLM {
					b.MaskedPositions = []int32{1, 5}
				}
				out, err := s.Forward(&b, Outputs{LastHidden: true})
				if err != nil {
					return nil, err
				}
				return slices.Concat(out.Logits, out.LastHidden), nil
			}
			for round := range 3 {
				m, err := New(c, Options{Head: head, Threads: 2, Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				var (
					begin = make(chan struct{})
					wait  sync.WaitGroup
					got   [8][]float32
				)
				for i := range got {
					wait.Go(func() {
						<-begin
						s := m.NewSession()
						first, err := pass(s, i)
						for range 3 {
							if err != nil {
								break
							}
							var again []float32
							if again, err = pass(s, i); err == nil && !slices.Equal(again, first) {
								err = fmt.Errorf("the first pass has other bits than a later one")
							}
						}
						if got[i] = first; err != nil {
							t.Errorf("round %d, goroutine %d: %v", round, i, err)
						}
					})
				}
				close(begin)
				wait.Wait()
				for i := range got {
					if want, err := pass(m.NewSession(), i); err != nil || !slices.Equal(got[i], want) {
						t.Errorf("round %d, goroutine %d: other bits than alone (%v)", round, i, err)
					}
				}
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
