package finetune_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/task"
)

// A model is fine-tuned on a table of texts with labels and evaluated on another. Its folder then answers texts.
func Example() {
	ctx := context.Background()
	dir, clean := folder() // with base, a model, and train.tsv and dev.tsv
	defer clean()

	r := finetune.Recipe{
		Data:     finetune.Data{Task: "text", Path: filepath.Join(dir, "train.tsv"), EvalPath: filepath.Join(dir, "dev.tsv"), MaxSeqLength: 16},
		Model:    finetune.Model{Dir: filepath.Join(dir, "base")},
		Training: finetune.Training{LearningRate: 3e-3, Epochs: 80, BatchSize: 4, BestMetric: finetune.MainMetric},
	}
	job, err := r.Prepare(ctx, finetune.Options{Output: filepath.Join(dir, "model")})
	if err != nil {
		log.Fatal(err)
	}
	defer job.Close()
	result, err := job.Run(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	accuracy, _ := result.Evaluation.Main()
	fmt.Printf("%s: %.2f\n", accuracy.Name, accuracy.Value)

	p, err := task.Open(ctx, result.Output, task.Predict(), task.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	answers, err := p.Do(ctx, data.Texts("what a joy", "it was so dull"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answers[0].Label, answers[1].Label)
	// Output:
	// eval_accuracy: 1.00
	// fun dull
}

// folder makes a folder with a small model and data.
func folder() (dir string, clean func()) {
	dir, err := os.MkdirTemp("", "finetune")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "train.tsv"), []byte(table("fun", "a joy", "the film was a joy", "good film", "was good!")+
			strings.TrimPrefix(table("dull", "dull film", "the film was dull", "bad, bad", "was the film dull?"), header)), 0o666)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "dev.tsv"), []byte(table("fun", "a good joy", "good! good!")+
			strings.TrimPrefix(table("dull", "a bad film", "dull, dull"), header)), 0o666)
	}
	if err == nil {
		err = tinymodel.Save(filepath.Join(dir, "base"))
	}
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

const header = "label\ttext\n"

// table is a table of texts with one label.
func table(label string, texts ...string) string {
	b := header
	for _, text := range texts {
		b += label + "\t" + text + "\n"
	}
	return b
}
