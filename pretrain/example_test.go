package pretrain_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// From text to a pre-trained model: instances of the text, then a run on them.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "pretrain-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	in := func(name string) string { return filepath.Join(dir, name) }

	words := strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] the a film play was is good dull never .")
	tok, err := tokenizer.New(words, tokenizer.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	// Documents have blank lines between them, and a sentence a line.
	text := strings.Repeat("the film was good .\na play is never dull .\n\nthe play was dull .\na film is never good .\n\n", 20)
	o := pretrain.DefaultInstanceOptions()
	o.MaxSeqLength, o.MaxPredictions, o.DupeFactor = 24, 4, 2
	instances := pretrain.InstanceJob{
		Corpus:    &pretrain.Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(text)},
		Tokenizer: tok, Dir: in("instances"), Options: o,
	}
	if _, err := instances.Run(ctx); err != nil {
		log.Fatal(err)
	}

	config := `{"vocab_size": 15, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 24}`
	if err := os.WriteFile(in("config.json"), []byte(config), 0o666); err != nil {
		log.Fatal(err)
	}
	recipe := pretrain.Recipe{
		Instances: []string{in("instances")}, EvalShare: 0.1, Config: in("config.json"),
		MaxSteps: 200, Training: pretrain.Training{LearningRate: 5e-3},
	}
	job, err := recipe.Prepare(ctx, pretrain.Options{Output: in("model")})
	if err != nil {
		log.Fatal(err)
	}
	defer job.Close()
	result, err := job.Run(ctx, func(e train.Event) {
		if e, ok := e.(train.Ended); ok {
			fmt.Println("steps:", e.Result.Steps)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("learnt:", result.Evaluation.MaskedLMAccuracy > 0.5)

	m, err := bert.Load(ctx, in("model"), bert.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Head())
	// Output:
	// steps: 200
	// learnt: true
	// BertForPreTraining
}
