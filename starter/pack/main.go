// Pack writes the archives that package starter embeds, from the directories of the two models:
//
//	go run ./starter/pack [-bits 8] [-group N] [-unpack DIR] PRETRAINED SENTIMENT starter/model
//
// starter/make.sh, which makes the models, runs it. -bits stores matrices as integers of so many bits, with a scale for each row or for each
// -group numbers of one; without it the archives have all bits. -unpack also writes what comes out of the archives, DIR/pretrained and
// DIR/sentiment, to be evaluated.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/starter/internal/archive"
)

// maxBytes limits the total size of the archives, because they are in every executable and every clone of the repository.
const maxBytes = 24 << 20

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	var r archive.Rounding
	flag.IntVar(&r.Bits, "bits", 0, "store matrices as integers of `N` bits, 2 to 8; 0: all bits of the weights")
	flag.IntVar(&r.Group, "group", 0, "with -bits: `N` numbers of a row share a scale; 0: the row")
	unpacked := flag.String("unpack", "", "also write what comes out of the archives to `DIR`")
	flag.Parse()
	if flag.NArg() != 3 {
		log.Print("want PRETRAINED SENTIMENT OUT: the directories of the two models, and the folder for the archives")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), flag.Arg(2), r, *unpacked); err != nil {
		log.Fatal(err)
	}
}

func run(pretrained, sentiment, out string, r archive.Rounding, unpacked string) error {
	common := []string{"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
	sum := int64(0)
	for _, m := range []struct {
		dir, archive string
		heads        []bert.Head
		files        []string
	}{
		{pretrained, "pretrained.zip", []bert.Head{bert.PreTraining, bert.MaskedLM}, common},
		{sentiment, "sentiment.zip", []bert.Head{bert.SequenceClassification}, append(common[:len(common):len(common)], "task.json")},
	} {
		if err := check(m.dir, m.heads); err != nil {
			return err
		}
		path := filepath.Join(out, m.archive)
		err := files.WriteFile(path, 0o666, func(w io.Writer) error { return archive.Write(w, os.DirFS(m.dir), m.files, r) })
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		sum += info.Size()
		log.Printf("%s: %d bytes", path, info.Size())
		if unpacked != "" {
			if err := unpack(path, filepath.Join(unpacked, strings.TrimSuffix(m.archive, ".zip"))); err != nil {
				return err
			}
		}
	}
	if sum > maxBytes {
		return fmt.Errorf("the archives have %d bytes together, want at most %d", sum, maxBytes)
	}
	return nil
}

// unpack writes what comes out of an archive to a folder.
func unpack(path, dir string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a, err := archive.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	begun := time.Now()
	for _, f := range a.Files() {
		err := files.WriteFile(filepath.Join(dir, f.Name()), 0o666, func(w io.Writer) error { _, err := f.WriteTo(w); return err })
		if err != nil {
			return err
		}
	}
	log.Printf("%s: unpacked in %v", dir, time.Since(begun).Round(time.Millisecond))
	return nil
}

// check reports a model that can't be opened or isn't ready for fine-tuning.
func check(dir string, heads []bert.Head) error {
	m, err := bert.Load(context.Background(), dir, bert.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	c := m.Config()
	if !slices.Contains(heads, m.Head()) {
		return fmt.Errorf("%s: its head is %v, want one of %v", dir, m.Head(), heads)
	}
	if c.HiddenDropoutProb != 0.1 || c.AttentionProbsDropoutProb != 0.1 {
		return fmt.Errorf("%s: config.json: dropout of %g and %g, want BERT's 0.1 for fine-tuning", dir, c.HiddenDropoutProb, c.AttentionProbsDropoutProb)
	}
	return nil
}
