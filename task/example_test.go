package task_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// saveSmallModel writes the directory of a small classifier of random weights.
func saveSmallModel(dir string) error {
	vocab := append(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK]"), strings.Fields("a joy mess from start to finish .")...)
	t, err := tokenizer.New(vocab, tokenizer.DefaultConfig())
	if err != nil {
		return err
	}
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocab), 16, 2, 2, 32
	m, err := bert.New(c, bert.Options{Head: bert.SequenceClassification, Labels: []string{"neg", "pos"}, Seed: 1})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := t.Save(dir, tokenizer.SaveOptions{}); err != nil {
		return err
	}
	d := task.Spec{Task: "text", Labels: []string{"neg", "pos"}, Positive: "pos", MaxSeqLength: 8}
	if err := d.Save(dir); err != nil {
		return err
	}
	return m.Save(dir, bert.SaveOptions{})
}

// A service opens a model directory once and asks it from as many goroutines as it likes.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := saveSmallModel(dir); err != nil {
		log.Fatal(err)
	}

	p, err := task.Open(context.Background(), dir, task.Predict(), task.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	predictions, err := p.Do(context.Background(), data.Texts("A joy.", "A mess from start to finish."))
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range predictions {
		sum := x.Probabilities.Of("neg") + x.Probabilities.Of("pos")
		fmt.Printf("a label: %v, probabilities that sum to %.3f, truncated: %v (%d tokens)\n", x.Label != "", sum, x.Truncated, x.DroppedTokens)
	}
	// Output:
	// a label: true, probabilities that sum to 1.000, truncated: false (0 tokens)
	// a label: true, probabilities that sum to 1.000, truncated: true (1 tokens)
}

func ExampleRunner_Stream() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := saveSmallModel(dir); err != nil {
		log.Fatal(err)
	}
	p, err := task.Open(context.Background(), dir, task.Predict(), task.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	in := data.NewInputReader(strings.NewReader("A joy.\n{\"text\": \"A mess.\"}\n{\"txt\": \"A joy.\"}\n"), "reviews.txt", data.InputOptions{SkipBad: true})
	err = p.Stream(context.Background(), in, func(item task.Item, answer task.Prediction) error {
		fmt.Println(item.Source, item.Text, len(answer.Logits))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	n, first := in.Skipped()
	fmt.Printf("%d skipped: %v\n", n, first)
	// Output:
	// reviews.txt:1 A joy. 2
	// reviews.txt:2 A mess. 2
	// 1 skipped: reviews.txt:3: key "txt": want text and text_pair, question and context, text and choices, words, or ids and type_ids
}
