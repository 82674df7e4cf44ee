package task

import (
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// BenchmarkNewDataset tokenizes 2,000 training reviews.
func BenchmarkNewDataset(b *testing.B) {
	archive := golden.Shared(b, "data", "imdb", "aclImdb_v1.tar.gz")
	tok, err := tokenizer.LoadVocab(golden.Shared(b, "vocab", "bert-base-uncased", "vocab.txt"), tokenizer.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	set, err := data.ReadIMDB(b.Context(), archive, data.Train, data.TableOptions{})
	if err != nil {
		b.Fatal(err)
	}
	examples := data.Draw(set.Examples, 2000, 1)
	size := 0
	for _, e := range examples {
		size += len(e.Text)
	}
	d := Spec{Task: "imdb", Labels: []string{"neg", "pos"}, MaxSeqLength: 128}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewDataset(b.Context(), tok, d, examples); err != nil {
			b.Fatal(err)
		}
	}
}
