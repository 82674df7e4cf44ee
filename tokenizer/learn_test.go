package tokenizer

import (
	"context"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

func textsOf(texts ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range texts {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// learnMerges is learn with the merges, and without an error if the texts give too few.
func learnMerges(t *testing.T, texts iter.Seq2[string, error], c Config, o LearnOptions) (*merger, LearnStats) {
	t.Helper()
	vocab, err := o.fixedTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	splitter, err := New(vocab, c)
	if err != nil {
		t.Fatal(err)
	}
	var stats LearnStats
	words, err := countWords(context.Background(), splitter, texts, &o, &stats)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMerger(words, vocab, c.Prefix, &o, &stats)
	if err != nil {
		t.Fatal(err)
	}
	_ = m.run(context.Background(), &o, &stats) // the size may be too large
	return m, stats
}

// TestGoldenLearn compares with HF's WordPiece trainer, with its ties broken in a fixed order.
func TestGoldenLearn(t *testing.T) {
	var file struct {
		Text  string
		Words int64
		Total int64 `json:"word_tokens"`
		Cases []struct {
			Size         int   `json:"vocab_size"`
			MinFrequency int64 `json:"min_frequency"`
			Sorted       []string
			Merges       [][4]any
			Always       []string `json:"in_every_rust_run"`
		}
	}
	readJSON(t, golden.Path(t, "tokenization", "wordpiece-train.json"), &file)
	text, err := os.ReadFile(golden.Path(t, "tokenization", file.Text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		for _, threads := range []int{1, 3} {
			o := DefaultLearnOptions()
			o.Size, o.MinFrequency, o.LimitAlphabet, o.Threads = c.Size, c.MinFrequency, 0, threads
			m, stats := learnMerges(t, textsOf(strings.SplitAfter(string(text), "\n")...), DefaultConfig(), o)
			if stats.Words != file.Total || stats.DistinctWords != file.Words {
				t.Errorf("size %d: %d words, %d distinct, want %d, %d", c.Size, stats.Words, stats.DistinctWords, file.Total, file.Words)
			}
			if !slices.Equal(m.tokens, c.Sorted) {
				t.Errorf("size %d: got %q, want %q", c.Size, m.tokens, c.Sorted)
			}
			var merges [][4]any
			for _, g := range m.merges {
				merges = append(merges, [4]any{m.tokens[g.token], m.tokens[g.pair.left()], m.tokens[g.pair.right()], float64(g.count)})
			}
			if !slices.Equal(merges, c.Merges) {
				t.Errorf("size %d: merges: got %v, want %v", c.Size, merges, c.Merges)
			}
			shared := 0
			for _, s := range c.Always {
				if slices.Contains(m.tokens, s) {
					shared++
				}
			}
			t.Logf("size %d: %d of the %d tokens of every run of HF's trainer", c.Size, shared, len(c.Always))
		}
	}
}
