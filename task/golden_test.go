package task

import (
	"bufio"
	"os"
	"path/filepath"
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
		t.Skip("inflates 215 MB thrice")
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

// The tables of GLUE, read by the columns that each file has.
func TestGoldenGLUE(t *testing.T) {
	dir := golden.Shared(t, "data", "glue")
	sentences := Columns{Text: "sentence1", TextPair: "sentence2"}
	cola := Columns{Text: "4", Label: "2", NoHeader: true}
	for _, c := range []struct {
		file    string
		columns Columns
		labels  string
		n       int // records, counted independently; a header isn't one
	}{
		{"SST-2/train.tsv", Columns{Text: "sentence"}, "0 1", 67349},
		{"SST-2/dev.tsv", Columns{Text: "sentence"}, "0 1", 872},
		{"CoLA/train.tsv", cola, "0 1", 8551},
		{"CoLA/dev.tsv", cola, "0 1", 1043},
		{"WNLI/train.tsv", sentences, "0 1", 635},
		{"WNLI/dev.tsv", sentences, "0 1", 71},
		{"WNLI/test.tsv", sentences, "", 146},
		{"QNLI/dev.tsv", Columns{Text: "question", TextPair: "sentence"}, "entailment not_entailment", 5463},
		{"STS-B/dev.tsv", Columns{Text: "sentence1", TextPair: "sentence2", Label: "score"}, "-", 1500},
	} {
		t.Run(c.file, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(c.file))
			if _, err := os.Stat(path); err != nil {
				t.Skipf("no %s", path)
			}
			data, err := ReadTable(path, TableOptions{Columns: c.columns, Unlabelled: c.labels == ""})
			if err != nil {
				t.Fatal(err)
			}
			if len(data.Examples) != c.n {
				t.Errorf("%d examples, want %d", len(data.Examples), c.n)
			}
			for i, line := range records(t, path, !c.columns.NoHeader) {
				e := data.Examples[i]
				for _, text := range []string{e.Text, e.TextPair, e.Label} {
					if !strings.Contains(line, text) {
						t.Fatalf("%v: %q is not in the line %q", e.Source, text, line)
					}
				}
				if e.Text == "" || (c.columns.TextPair != "") != (e.TextPair != "") {
					t.Fatalf("%v: %+v", e.Source, e)
				}
			}
			if c.labels == "" || c.labels == "-" {
				return
			}
			labels, err := LabelsOf(data.Examples)
			if err != nil || strings.Join(labels, " ") != c.labels {
				t.Errorf("labels %q, %v; want %s", labels, err, c.labels)
			}
		})
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
