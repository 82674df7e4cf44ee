// Pack writes the archives that package starter embeds, from the directories of the two models:
//
//	go run ./starter/pack PRETRAINED SENTIMENT starter/model
//
// starter/make.sh, which makes the models, runs it.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/starter/internal/archive"
)

// maxBytes limits the total size of the archives, because they are in every executable and every clone of the repository.
const maxBytes = 24 << 20

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	if len(os.Args) != 4 {
		log.Print("want PRETRAINED SENTIMENT OUT: the directories of the two models, and the folder for the archives")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(pretrained, sentiment, out string) error {
	common := []string{"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
	sum := int64(0)
	for _, m := range []struct {
		dir, archive string
		head         bert.Head
		files        []string
	}{
		{pretrained, "pretrained.zip", bert.PreTraining, common},
		{sentiment, "sentiment.zip", bert.SequenceClassification, append(common[:len(common):len(common)], "task.json")},
	} {
		if err := check(m.dir, m.head); err != nil {
			return err
		}
		path := filepath.Join(out, m.archive)
		err := files.WriteFile(path, 0o666, func(w io.Writer) error { return archive.Write(w, os.DirFS(m.dir), m.files) })
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		sum += info.Size()
		log.Printf("%s: %d bytes", path, info.Size())
	}
	if sum > maxBytes {
		return fmt.Errorf("the archives have %d bytes together, want at most %d", sum, maxBytes)
	}
	return nil
}

// check reports a model that can't be opened or isn't ready for fine-tuning.
func check(dir string, head bert.Head) error {
	m, err := bert.Load(context.Background(), dir, bert.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	c := m.Config()
	if m.Head() != head {
		return fmt.Errorf("%s: its head is %s, want %s", dir, m.Head(), head)
	}
	if c.HiddenDropoutProb != 0.1 || c.AttentionProbsDropoutProb != 0.1 {
		return fmt.Errorf("%s: config.json: dropout of %g and %g, want BERT's 0.1 for fine-tuning", dir, c.HiddenDropoutProb, c.AttentionProbsDropoutProb)
	}
	return nil
}
