package task

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// The Large Movie Review Dataset v1.0 has 25,000 reviews to train, 25,000 to test, half of each of each label, and 50,000
// without.
func TestGoldenIMDB(t *testing.T) {
	if testing.Short() {
		t.Skip("inflates 215 MB three times")
	}
	archive := golden.Shared(t, "data", "imdb", "aclImdb_v1.tar.gz")
	var train []Example
	for split, want := range map[Split]map[string]int{
		Train: {"neg": 12500, "pos": 12500}, Test: {"neg": 12500, "pos": 12500}, Unsupervised: {"": 50000},
	} {
		examples, err := ReadIMDB(archive, split)
		if err != nil {
			t.Fatal(err)
		}
		if split == Train {
			train = examples
		}
		got := make(map[string]int)
		for i, e := range examples {
			got[e.Label]++
			if e.Text == "" || !utf8.ValidString(e.Text) {
				t.Errorf("%v: %q", e.Source, e.Text)
			}
			if !strings.Contains(e.Source.Member, "aclImdb/"+imdbFolder(split, e.Label)+"/") {
				t.Fatalf("%v is labelled %q", e.Source, e.Label)
			}
			if i > 0 && examples[i-1].Source.Member >= e.Source.Member {
				t.Fatalf("%v stands behind %v", e.Source, examples[i-1].Source)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: labels %v, want %v", split, got, want)
		}
		for label, n := range want {
			if got[label] != n {
				t.Errorf("%s: %d reviews of %q, want %d", split, got[label], label, n)
			}
		}
	}
	t.Run("features", func(t *testing.T) { goldenFeatures(t, train) })
}

// goldenFeatures checks what is left and what is dropped of real reviews.
func goldenFeatures(t *testing.T, train []Example) {
	vocab := golden.Shared(t, "vocab", "bert-base-uncased", "vocab.txt")
	tok, err := tokenizer.LoadVocab(vocab, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	imdb, err := Lookup("imdb")
	if err != nil {
		t.Fatal(err)
	}
	drawn := Draw(train, 1000, 1)
	features, err := NewDataset(tok, imdb.Describe(nil, 128), drawn)
	if err != nil {
		t.Fatal(err)
	}
	// What is dropped and what is left is all that the texts have.
	d := imdb.Describe(nil, 128)
	d.Truncation, d.MaxSeqLength = tokenizer.DoNotTruncate, 1<<20
	whole, err := NewDataset(tok, d, drawn)
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

// records are the lines of a file, without the header.
func records(t *testing.T, path string, header bool) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if header {
		lines = lines[1:]
	}
	return lines
}
