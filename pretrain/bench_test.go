package pretrain

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// BenchmarkMake makes instances of 8 MB of text on one core; bench/instances does the same in Python.
func BenchmarkMake(b *testing.B) {
	f, err := os.Open(golden.Shared(b, "data", "corpora", "wikipedia", "train-000.txt.zst"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(io.LimitReader(z, 8<<20))
	if err != nil {
		b.Fatal(err)
	}
	tok, err := tokenizer.LoadVocab(golden.Shared(b, "vocab", "bert-base-uncased", "vocab.txt"), tokenizer.GoogleConfig(true))
	if err != nil {
		b.Fatal(err)
	}
	for name, change := range map[string]func(*InstanceOptions){
		"static":  func(*InstanceOptions) {},
		"dynamic": func(o *InstanceOptions) { o.Dynamic, o.DupeFactor = true, 1 },
	} {
		b.Run(name, func(b *testing.B) {
			o := DefaultInstanceOptions()
			o.SplitSentences = true
			change(&o)
			plain, err := textTokenizer(tok)
			if err != nil {
				b.Fatal(err)
			}
			tokens := int64(0)
			for b.Loop() {
				c := &Corpus{Paths: []string{"-"}, Stdin: bytes.NewReader(text)}
				w := (&InstanceJob{Dir: b.TempDir(), Options: o, Tokenizer: tok}).newWorker(&index{Options: o, Vocabulary: VocabularyOf(tok)}, plain)
				for g, err := range groups(c.Lines(b.Context()), o.GroupBytes) {
					if err != nil {
						b.Fatal(err)
					}
					r, _, err := w.group(g, record{}, false)
					if err != nil {
						b.Fatal(err)
					}
					tokens += r.Stats.Tokens
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds()/1e6, "Mtokens/s")
		})
	}
}

// BenchmarkInstance reads and masks instances of a dynamic set.
func BenchmarkInstance(b *testing.B) {
	o := DefaultInstanceOptions()
	o.Dynamic, o.DupeFactor = true, 1
	dir := b.TempDir()
	j := &InstanceJob{Corpus: &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(testText(2000))}, Tokenizer: testTokenizer(b), Dir: dir, Options: o}
	if _, err := j.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var in Instance
	i, tokens := 0, 0
	for b.Loop() {
		if err := s.Instance(i%s.Len(), i/s.Len(), &in); err != nil {
			b.Fatal(err)
		}
		tokens += len(in.IDs)
		i++
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds()/1e6, "Mtokens/s")
}
