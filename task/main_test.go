package task

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tinyVocab has the words of the tests, and letters for all others.
func tinyVocab() []string {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	vocab = append(vocab, strings.Fields("a the film is was good bad dull bright very not and i it . , ! ? < > /")...)
	for c := 'b'; c <= 'z'; c++ {
		if c != 'i' {
			vocab = append(vocab, string(c))
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		vocab = append(vocab, "##"+string(c))
	}
	return vocab
}

func tinyTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.New(tinyVocab(), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func tinyConfig() bert.Config {
	c := bert.DefaultConfig()
	c.VocabSize = len(tinyVocab())
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 24, 3, 3, 40
	c.MaxPositionEmbeddings = 48
	c.InitializerRange = 0.5 // so that answers differ
	return c
}

func tinyModel(t testing.TB, head bert.Head, labels ...string) *bert.Model {
	t.Helper()
	m, err := bert.New(tinyConfig(), bert.Options{Head: head, Threads: 2, Labels: labels, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// tinyDir is the directory of a model with a tokenizer.
func tinyDir(t testing.TB, head bert.Head, labels ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := tinyModel(t, head, labels...).Save(dir, bert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := tinyTokenizer(t).Save(dir, tokenizer.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// someTexts are texts of many lengths.
func someTexts(n int) []data.Input {
	words := strings.Fields("the film is very bad and dull . i was not a good bright ! odd words too")
	inputs := make([]data.Input, n)
	for i := range inputs {
		var text []string
		for j := range (i * 7) % 23 {
			text = append(text, words[(i*j+j)%len(words)])
		}
		inputs[i].Text = strings.Join(text, " ")
		if i%4 == 3 {
			inputs[i].TextPair = "a pair , too"
		}
	}
	return inputs
}

// value is the metric of a name, which has to be there.
func value(t testing.TB, m metric.Metrics, name string) float64 {
	t.Helper()
	v, ok := m.Get(name)
	if !ok {
		t.Errorf("no metric %s among %v", name, m.Names())
	}
	return v
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantError checks that err is there and says all of want.
func wantError(t testing.TB, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error is\n\t%v\nwant it to say\n\t%s", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}
