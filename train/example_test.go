package train_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/train"
)

// sentences are sentences of token ids with their classes.
type sentences struct {
	ids     [][]int32
	classes []int32
}

func (s sentences) Len() int         { return len(s.ids) }
func (s sentences) Length(i int) int { return len(s.ids[i]) }

func (s sentences) Append(b *bert.Batch, i int) error {
	b.Add(s.ids[i], nil)
	b.Classes = append(b.Classes, s.classes[i])
	return nil
}

// Evaluate gives the share of the sentences that the model puts into their class.
func (s sentences) Evaluate(ctx context.Context, m *bert.Model, at train.Point) (train.Evaluation, error) {
	var b bert.Batch
	for i := range s.Len() {
		if err := s.Append(&b, i); err != nil {
			return train.Evaluation{}, err
		}
	}
	out, err := m.NewSession().Forward(&b, bert.Outputs{Loss: true})
	if err != nil {
		return train.Evaluation{}, err
	}
	right := 0.0
	for i, class := range s.classes {
		if (out.Logits[2*i+1] > out.Logits[2*i]) == (class == 1) {
			right++
		}
	}
	return train.Evaluation{
		Metrics: metric.Metrics{{Name: "accuracy", Value: right / float64(s.Len())}},
		Loss:    out.Loss.Total,
	}, nil
}

// A small model learns that sentences with token 7 are of class 1, and others of class 0. The run keeps the model of the best
// epoch.
func Example() {
	data := sentences{
		ids:     [][]int32{{2, 7, 5, 3}, {2, 4, 5, 3}, {2, 6, 7, 8, 3}, {2, 6, 4, 8, 3}, {2, 7, 3}, {2, 8, 3}, {2, 5, 5, 7, 3}, {2, 5, 5, 9, 3}},
		classes: []int32{1, 0, 1, 0, 1, 0, 1, 0},
	}
	config := bert.DefaultConfig()
	config.VocabSize, config.HiddenSize, config.NumHiddenLayers, config.NumAttentionHeads = 10, 16, 1, 2
	config.IntermediateSize, config.MaxPositionEmbeddings = 32, 8
	m, err := bert.New(config, bert.Options{Head: bert.SequenceClassification, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	result, err := train.Run(context.Background(), m, data, data, train.Options{
		Recipe:     train.Recipe{Epochs: 60, BatchSize: 4, LearningRate: 3e-3, BestMetric: "accuracy"},
		Output:     dir,
		EvalEpochs: true,
		SaveModel:  func(dir string) error { return m.Save(dir, bert.SaveOptions{}) },
	})
	if err != nil {
		log.Fatal(err)
	}
	accuracy, _ := result.Evaluation.Metrics.Get("accuracy")
	fmt.Printf("%d steps, accuracy %.2f\n", result.Steps, accuracy)
	// Output:
	// 120 steps, accuracy 1.00
}
