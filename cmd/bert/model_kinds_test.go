package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/tokenizer"
)

// TestModelKinds gives every command that takes a model each kind of name that a model may have. What is computed is the same.
func TestModelKinds(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every command with every kind of name")
	}
	t.Chdir(t.TempDir())
	t.Setenv("HF_HUB_CACHE", "cache")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bertOf := func(args ...string) (out, messages string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := run(args, strings.NewReader(""), &stdout, &stderr); status != exitDone {
			t.Errorf("bert %s: status %d\n%s", strings.Join(args, " "), status, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	must(os.MkdirAll("glue/RTE", 0o777))
	must(os.WriteFile("train.tsv", []byte("text\tlabel\nthe good film\tgood\nthe bad film\tbad\njoy\tgood\ndull\tbad\n"), 0o666))
	for _, part := range []string{"train", "dev"} {
		must(os.WriteFile("glue/RTE/"+part+".tsv", []byte("index\tsentence1\tsentence2\tlabel\n0\tthe film\tgood\tentailment\n1\tthe film\tbad\tnot_entailment\n"), 0o666))
	}
	must(os.WriteFile("corpus.txt", []byte(strings.Repeat("the film was good .\nit was a joy .\n\n", 4)), 0o666))

	// kinds makes the names of a model in all forms, of which the first is its folder.
	kinds := func(head bert.Head, name string) []string {
		must(os.MkdirAll(name, 0o777))
		c := bert.DefaultConfig()
		vocabulary := tinymodel.Vocabulary()
		c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 1, 2, 20
		c.MaxPositionEmbeddings, c.HiddenAct = 32, "relu"
		c.Labels = []string{"bad", "good"}
		m, err := bert.New(c, bert.Options{Head: head, Seed: 1, Threads: 1})
		must(err)
		defer m.Close()
		tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
		must(err)
		must(m.Save(name, bert.SaveOptions{}))
		must(tok.Save(name, tokenizer.SaveOptions{}))
		for _, format := range []string{"torch", "tf", "onnx"} {
			bertOf("convert", "--quiet", name, name+"-"+format, "--to", format)
		}
		const commit = "0123456789abcdef0123456789abcdef01234567"
		cached := filepath.Join("cache", "models--org--"+name)
		must(os.CopyFS(filepath.Join(cached, "snapshots", commit), os.DirFS(name)))
		must(os.MkdirAll(filepath.Join(cached, "refs"), 0o777))
		must(os.WriteFile(filepath.Join(cached, "refs", "main"), []byte(commit), 0o666))
		for _, step := range []string{"90", "100"} {
			must(os.CopyFS(name+"-trained/checkpoint-"+step, os.DirFS(name)))
		}
		return []string{
			name, name + "/model.safetensors", name + "-torch", name + "-torch/pytorch_model.bin", name + "-onnx/model.onnx", name + "-tf",
			name + "-tf/bert_model.ckpt", name + "-tf/bert_model.ckpt.index", "org/" + name, "org/" + name + "@main", name + "-trained",
		}
	}
	classifiers, pretrained := kinds(bert.SequenceClassification, "classifier"), kinds(bert.PreTraining, "pretrained")
	// few are enough for a command that measures the machine, which takes its time.
	few := func(all []string) []string { return []string{all[0], all[1], all[6], all[8], all[10]} }
	bertOf("instances", "--quiet", "--input", "corpus.txt", "--vocab", "pretrained", "--output", "instances", "--max-seq-length", "16")

	for _, c := range []struct {
		args   string // with MODEL, and OUT for a new folder
		models []string
		// free says that the output has times, or names of files.
		free bool
	}{
		{"predict --model MODEL the_film", classifiers, false},
		{"predict --model MODEL --task text --data train.tsv", classifiers, false},
		{"encode --model MODEL --layers -1 the_film", classifiers, false},
		{"tokenize --model MODEL the_film", classifiers, false},
		{"evaluate --model MODEL --task text --data train.tsv --output OUT", classifiers, false},
		{"finetune --model MODEL --task text --data train.tsv --eval-data train.tsv --output OUT --num-train-epochs 1 --train-batch-size 2 --max-seq-length 8", classifiers, false},
		{"sweep --model MODEL --task text --data train.tsv --eval-data train.tsv --output OUT --num-train-epochs 1 --train-batch-size 2 --max-seq-length 8 --learning-rate 1e-3 --seeds 1", classifiers, true},
		{"glue --model MODEL --data glue --tasks rte --output OUT --num-train-epochs 1 --train-batch-size 2 --max-seq-length 8", classifiers, true},
		{"convert MODEL OUT --to hf", classifiers, true},
		{"inspect MODEL", classifiers, true},
		{"bench infer --model MODEL --seq-lengths 8 --batch-sizes 1 --seconds 0.01", few(classifiers), true},
		{"bench tokenize --model MODEL --input corpus.txt --seconds 0.01", few(classifiers), true},
		{"fill-mask --model MODEL the_[MASK]", pretrained, false},
		{"evaluate --model MODEL --instances instances --output OUT", pretrained, false},
		{"pretrain --init MODEL --instances instances --output OUT --num-train-steps 2 --train-batch-size 2 --eval-share 0.5", few(pretrained), false},
	} {
		t.Run(strings.Join(strings.Fields(c.args)[:2], " "), func(t *testing.T) {
			want := ""
			for i, model := range c.models {
				args := strings.Fields(c.args)
				for j := range args {
					switch args[j] {
					case "MODEL":
						args[j] = model
					case "OUT":
						args[j] = filepath.Join(t.TempDir(), "out")
					}
				}
				out, messages := bertOf(args...)
				if i == 0 {
					want = out
				} else if out != want && !c.free {
					t.Errorf("bert %s: %s, want %s", strings.Join(args, " "), out, want)
				}
				if says := strings.Contains(messages, "the output folder of a Trainer: taking checkpoint-100, its newest checkpoint"); says != strings.HasSuffix(model, "-trained") {
					t.Errorf("bert %s: %s", strings.Join(args, " "), messages)
				}
			}
		})
	}
}
