package task

import (
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// What is left and what is dropped of real reviews.
func TestGoldenFeatures(t *testing.T) {
	if testing.Short() {
		t.Skip("inflates 215 MB")
	}
	set, err := data.ReadIMDB(t.Context(), golden.Shared(t, "data", "imdb", "aclImdb_v1.tar.gz"), data.Train, data.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	train := set.Examples
	vocab := golden.Shared(t, "vocab", "bert-base-uncased", "vocab.txt")
	tok, err := tokenizer.LoadVocab(vocab, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	imdb, err := Lookup("imdb")
	if err != nil {
		t.Fatal(err)
	}
	drawn := data.Draw(train, 1000, 1)
	features, err := NewDataset(t.Context(), tok, imdb.Spec(nil, 128), drawn)
	if err != nil {
		t.Fatal(err)
	}
	// What is dropped and what is left is all that the texts have.
	d := imdb.Spec(nil, 128)
	d.Truncation, d.MaxSeqLength = tokenizer.DoNotTruncate, 1<<20
	whole, err := NewDataset(t.Context(), tok, d, drawn)
	if err != nil {
		t.Fatal(err)
	}
	got, all := features.Stats(), whole.Stats()
	if got.Tokens+got.Dropped != all.Tokens || got.Longest != 128 || got.Empty != 0 || all.Truncated != 0 {
		t.Errorf("%v; without truncation %v", got, all)
	}
	truncated := 0
	for i := range drawn {
		if whole.Length(i) > 128 {
			truncated++
		}
		if features.Length(i) != min(128, whole.Length(i)) {
			t.Errorf("%v: %d tokens of %d", features.Source(i), features.Length(i), whole.Length(i))
		}
	}
	if got.Truncated != truncated {
		t.Errorf("%d truncated, want %d", got.Truncated, truncated)
	}
}
