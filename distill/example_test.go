package distill_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/distill"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/tinymodel"
)

// A model is fine-tuned, and one of its first layer alone learns its answers, from texts without labels.
func Example() {
	ctx := context.Background()
	dir, clean := folder() // with base, a model, and train.tsv, dev.tsv and texts.tsv
	defer clean()
	in := func(name string) string { return filepath.Join(dir, name) }

	large := finetune.Recipe{
		Data:     finetune.Data{Task: "text", Path: in("train.tsv"), EvalPath: in("dev.tsv"), MaxSeqLength: 16},
		Model:    finetune.Model{Dir: in("base")},
		Training: finetune.Training{LearningRate: 3e-3, Epochs: 80, BatchSize: 4, BestMetric: finetune.MainMetric},
	}
	teacher, err := large.Prepare(ctx, finetune.Options{Output: in("teacher")})
	if err != nil {
		log.Fatal(err)
	}
	defer teacher.Close()
	if _, err := teacher.Run(ctx, nil); err != nil {
		log.Fatal(err)
	}

	r := distill.Recipe{
		Models:   distill.Models{Teacher: in("teacher"), StudentLayers: "0"},
		Losses:   distill.Losses{LogitWeight: 1, HiddenWeight: 1, Unlabelled: true},
		Data:     distill.Data{Task: "text", Path: in("texts.tsv"), EvalPath: in("dev.tsv"), MaxSeqLength: 16},
		Training: distill.Training{LearningRate: 3e-3, Epochs: 80, BatchSize: 4, BestMetric: finetune.MainMetric},
	}
	job, err := r.Prepare(ctx, distill.Options{Output: in("student")})
	if err != nil {
		log.Fatal(err)
	}
	defer job.Close()
	result, err := job.Run(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	accuracy, _ := result.Evaluation.Main()
	fmt.Printf("%v: %s %.2f\n", job.Terms(), accuracy.Name, accuracy.Value)
	// Output:
	// [logit 1 hidden 1]: eval_accuracy 1.00
}

// folder makes a folder with a small model and data.
func folder() (dir string, clean func()) {
	dir, err := os.MkdirTemp("", "distill")
	if err == nil {
		err = tinymodel.Save(filepath.Join(dir, "base"))
	}
	for name, text := range map[string]string{
		"train.tsv": "label\ttext\nfun\ta joy\nfun\tthe film was a joy\nfun\tgood film\nfun\twas good!\ndull\tdull film\ndull\tthe film was dull\ndull\tbad, bad\ndull\twas the film dull?\n",
		"dev.tsv":   "label\ttext\nfun\ta good joy\nfun\tgood! good!\ndull\ta bad film\ndull\tdull, dull\n",
		"texts.tsv": "text\na joy\nthe film was a joy\ngood film\nwas good!\ndull film\nthe film was dull\nbad, bad\nwas the film dull?\n",
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}
