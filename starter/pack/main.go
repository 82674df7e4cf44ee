// Pack writes the archives that package starter embeds, from the directories of the two models:
//
//	go run ./starter/pack [FLAG ...] PRETRAINED [SENTIMENT] starter/model
//
// starter/make.sh and starter/next.sh, which make the models, run it. -bits stores matrices as integers of so many bits, with a scale for each row
// or for each -group numbers of one; -embedding-bits and -embedding-group are those of the tables of embeddings, unless they are the same. Without
// -bits the archives have all bits. -unpack also writes what comes out of the archives, DIR/pretrained and DIR/sentiment.
//
// The archive of SENTIMENT holds what it has not in common with that of PRETRAINED. With -difference-bits and -difference-group its matrices are
// stored as differences. That is for a model that was fine-tuned from what -unpack wrote of PRETRAINED alone, to which it is close.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
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
const maxBytes = 13_490_168

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	var s archive.Storage
	flag.IntVar(&s.Matrices.Bits, "bits", 0, "store matrices as integers of `N` bits, 2 to 8; 0: all bits of the weights")
	flag.IntVar(&s.Matrices.Group, "group", 0, "with -bits: `N` numbers of a row share a scale; 0: the row")
	flag.IntVar(&s.Embeddings.Bits, "embedding-bits", 0, "those of embeddings; 0: as -bits and -group say")
	flag.IntVar(&s.Embeddings.Group, "embedding-group", 0, "with -embedding-bits: `N` numbers of a row share a scale; 0: the row")
	flag.IntVar(&s.Differences.Bits, "difference-bits", 0, "store what SENTIMENT adds to the matrices of PRETRAINED as integers of `N` bits; 0: all of SENTIMENT")
	flag.IntVar(&s.Differences.Group, "difference-group", 0, "with -difference-bits: `N` numbers of a row share a scale; 0: the row")
	unpacked := flag.String("unpack", "", "also write what comes out of the archives to `DIR`")
	flag.Parse()
	if flag.NArg() != 2 && flag.NArg() != 3 {
		log.Print("want PRETRAINED [SENTIMENT] OUT: the directories of the models, and the folder for the archives")
		os.Exit(2)
	}
	if s.Embeddings.Bits == 0 {
		s.Embeddings = s.Matrices
	}
	sentiment := ""
	if flag.NArg() == 3 {
		sentiment = flag.Arg(1)
	}
	if err := run(flag.Arg(0), sentiment, flag.Arg(flag.NArg()-1), s, *unpacked); err != nil {
		log.Fatal(err)
	}
}

func run(pretrained, sentiment, out string, s archive.Storage, unpacked string) error {
	common := []string{"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
	encoder, err := withPipeline(common, pretrained)
	if err != nil {
		return err
	}
	differences := s.Differences
	s.Differences = archive.Rounding{}
	sum := int64(0)
	for _, m := range []struct {
		dir, archive string
		heads        []bert.Head
		files        []string
	}{
		{pretrained, "pretrained.zip", []bert.Head{bert.PreTraining, bert.MaskedLM}, encoder},
		{sentiment, "sentiment.zip", []bert.Head{bert.SequenceClassification}, append(common[:len(common):len(common)], "task.json")},
	} {
		if m.dir == "" {
			continue
		}
		if err := check(m.dir, m.heads); err != nil {
			return err
		}
		var b bytes.Buffer
		if err := archive.Write(&b, os.DirFS(m.dir), m.files, s); err != nil {
			return err
		}
		path := filepath.Join(out, m.archive)
		err := files.WriteFile(path, 0o666, func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err })
		if err != nil {
			return err
		}
		sum += int64(b.Len())
		log.Printf("%s: %d bytes", path, b.Len())
		a, err := archive.Open(bytes.NewReader(b.Bytes()), int64(b.Len()), s.Base)
		if err != nil {
			return err
		}
		if unpacked != "" {
			if err := unpack(a, filepath.Join(unpacked, strings.TrimSuffix(m.archive, ".zip"))); err != nil {
				return err
			}
		}
		s.Base, s.Differences = a, differences // the next has the first as its base
	}
	if sum > maxBytes {
		return fmt.Errorf("the archives have %d bytes together, want at most %d", sum, maxBytes)
	}
	log.Printf("%d bytes together", sum)
	return nil
}

// withPipeline adds to names those of the sentence-transformers pipeline in dir, as far as they are there: how a text's vector is made.
func withPipeline(names []string, dir string) ([]string, error) {
	names = slices.Clone(names)
	for _, name := range []string{"modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling/config.json"} {
		_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// unpack writes what comes out of an archive to a folder.
func unpack(a *archive.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	begun := time.Now()
	for _, f := range a.Files() {
		path := filepath.Join(dir, filepath.FromSlash(f.Name()))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		err := files.WriteFile(path, 0o666, func(w io.Writer) error { _, err := f.WriteTo(w); return err })
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
