package bert_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/go-bert/bert"
)

// small is a configuration for the examples; real ones come from a model directory.
func small() bert.Config {
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 100, 32, 2, 4, 128
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0, 0
	return c
}

func ExampleSession_Forward() {
	m, err := bert.New(small(), bert.Options{Head: bert.NoHead, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	var b bert.Batch
	b.Add([]int32{2, 17, 45, 3}, nil)                             // one segment
	b.Add([]int32{2, 8, 3, 90, 91, 3}, []int32{0, 0, 0, 1, 1, 1}) // a pair
	out, err := m.NewSession().Forward(&b, bert.Outputs{LastHidden: true, Pooled: true, Attentions: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("hidden states:", len(out.LastHidden)/32, "tokens of width 32")
	fmt.Println("pooled:", len(out.Pooled)/32, "vectors of width 32")
	fmt.Println("attention:", len(out.Attentions), "layers of", len(out.Attentions[0]), "probabilities")
	// Output:
	// hidden states: 10 tokens of width 32
	// pooled: 2 vectors of width 32
	// attention: 2 layers of 208 probabilities
}

func ExampleTrainer() {
	m, err := bert.New(small(), bert.Options{Head: bert.SequenceClassification, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	t, err := m.NewTrainer()
	if err != nil {
		log.Fatal(err)
	}
	b := &bert.Batch{Classes: []int32{0, 1}}
	b.Add([]int32{2, 10, 11, 3}, nil)
	b.Add([]int32{2, 20, 21, 22, 3}, nil)

	var first, last bert.Loss
	for step := range uint64(30) {
		loss, err := t.Backward([]*bert.Batch{b}, bert.Pass{Key: step})
		if err != nil {
			log.Fatal(err)
		}
		if step == 0 {
			first = loss
		}
		last = loss
		if err := t.Update(bert.Update{GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("learnt:", last.Total < first.Total/2)
	// Output:
	// learnt: true
}

func ExampleModel_Save() {
	dir, err := os.MkdirTemp("", "bert")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := small()
	c.Labels = []string{"negative", "positive"}
	m, err := bert.New(c, bert.Options{Head: bert.SequenceClassification})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		log.Fatal(err)
	}

	again, err := bert.Load(context.Background(), dir, bert.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	fmt.Println(again.Head(), again.Config().Labels)
	// Output:
	// BertForSequenceClassification [negative positive]
}

// Params is the table that sizes, names, decay and initialisation come from.
func ExampleParams() {
	c := small()
	for _, p := range bert.Params(&c, bert.NextSentence)[:4] {
		fmt.Println(p.Name, p.Shape, p.Decay)
	}
	// Output:
	// bert.embeddings.word_embeddings.weight [100 32] true
	// bert.embeddings.position_embeddings.weight [512 32] true
	// bert.embeddings.token_type_embeddings.weight [2 32] true
	// bert.embeddings.LayerNorm.weight [32] false
}
