package task

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/testbound"
	"github.com/go-bert/bert/tokenizer"
)

// hostileInputs are single lines of about size bytes from which a model reads far more tokens, or of which it says far more.
var hostileInputs = []struct {
	what  string
	size  int
	line  func(size int) any
	head  bert.Head
	spec  Spec
	use   Use[Prediction]
	bound testbound.Bound // the time is the model's, which is not measured here
}{
	{"choices", 2_000_000, func(size int) any {
		return map[string]any{"text": "the film", "choices": strings.Split(strings.Repeat("a ", size/4), " ")}
	}, bert.MultipleChoice, Spec{Task: "made", Kind: MultipleChoice, MaxSeqLength: 16}, Predict(), answerBound(250.0 / 4)},
	{"choices beside a long text", 2_000_000, func(size int) any {
		return map[string]any{"text": strings.Repeat("the film ", size/18), "choices": strings.Split(strings.Repeat("a ", size/80), " ")}
	}, bert.MultipleChoice, Spec{Task: "made", Kind: MultipleChoice, MaxSeqLength: 16}, Predict(), answerBound(4)},
	{"windows", 1_000_000, func(size int) any { return map[string]any{"text": strings.Repeat("!", size)} },
		bert.SequenceClassification, Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 40, Long: Windows}, Predict(), answerBound(10)},
	{"the beginning and the end", 12_000_000, func(size int) any { return map[string]any{"text": strings.Repeat("!", size)} },
		bert.SequenceClassification, Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 40, Long: HeadTail}, Predict(), testbound.Default},
	{"a long text", 12_000_000, func(size int) any { return map[string]any{"text": strings.Repeat("!", size)} },
		bert.SequenceClassification, Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 40}, Predict(), testbound.Default},
	{"two long texts", 12_000_000, func(size int) any {
		return map[string]any{"text": strings.Repeat("a ", size/4), "text_pair": strings.Repeat("! ", size/4)}
	}, bert.SequenceClassification, Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 40}, Predict(), testbound.Default},
	{"entities", 1_000_000, func(size int) any { return map[string]any{"text": strings.Repeat("a ", size/2)} },
		bert.TokenClassification, nerSpec(40), Predict(), answerBound(100)},
	{"entities of words", 1_000_000, func(size int) any { return map[string]any{"words": strings.Split(strings.Repeat("a ", size/4), " ")} },
		bert.TokenClassification, nerSpec(40), Predict(), answerBound(100)},
	{"a long context", 1_000_000, func(size int) any {
		return map[string]any{"question": "is it", "context": strings.Repeat("very bad , ", size/11)}
	}, bert.QuestionAnswering, Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 40, DocStride: 20}, Predict(), testbound.Default},
	{"a long question", 12_000_000, func(size int) any {
		return map[string]any{"question": strings.Repeat("is it ", size/6), "context": "a film"}
	}, bert.QuestionAnswering, Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 48, DocStride: 20}, Predict(), testbound.Default},
	{"hypotheses", 1_000_000, func(size int) any { return map[string]any{"text": strings.Repeat("! ", size/2)} },
		bert.SequenceClassification, Spec{Task: "made", Labels: []string{"contradiction", "entailment", "neutral"}, MaxSeqLength: 40}, ZeroShot(ZeroShotOptions{Labels: numberedLabels(5000)}), testbound.Default},
}

// answerBound is the bound of inputs of which the answer says so many bytes for each byte of theirs.
func answerBound(perByte float64) testbound.Bound {
	b := testbound.Default
	b.PerByte += perByte
	return b
}

func numberedLabels(n int) (labels []string) {
	for i := range n {
		labels = append(labels, fmt.Sprintf("%x", i))
	}
	return labels
}

func TestBound(t *testing.T) {
	for _, h := range hostileInputs {
		t.Run(h.what, func(t *testing.T) {
			bound := h.bound
			bound.Time = time.Minute
			testbound.Read(t, bound, func(dir string) (string, error) {
				line, err := json.Marshal(h.line(h.size))
				if err != nil {
					return "", err
				}
				path := filepath.Join(dir, "a.jsonl")
				return path, os.WriteFile(path, line, 0o666)
			}, func(path string) error {
				tok, err := tokenizer.New(tinyVocab(), tokenizer.DefaultConfig())
				if err != nil {
					return err
				}
				c := tinyConfig()
				c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 4, 1, 1, 4
				m, err := bert.New(c, bert.Options{Head: h.head, Labels: h.spec.Labels})
				if err != nil {
					return err
				}
				p, err := NewRunner(m, tok, &h.spec, h.use, Options{})
				if err != nil {
					return err
				}
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				n := 0
				err = p.Stream(context.Background(), data.NewInputReader(f, path, data.InputOptions{}), func(Item, Prediction) error { n++; return nil })
				if err == nil && n != 1 {
					err = fmt.Errorf("%d answers", n)
				}
				return err
			})
		})
	}
}

// hostileSettings are values of task.json and eval_results.json that are larger than any could be.
var hostileSettings = []struct {
	what    string
	content func(size int) string
	want    string
}{
	{"digits", func(size int) string { return `{"task":"a","max_seq_length":` + strings.Repeat("9", size) + "}" }, "want a whole number"},
	{"digits in metrics", func(size int) string { return `{"task":"a","metrics":{"x":` + strings.Repeat("9", size) + "}}" }, "want a number"},
	{"a string for metrics", func(size int) string { return `{"task":"a","metrics":"` + strings.Repeat("9", size) + `"}` }, "not a JSON object"},
	{"nesting", func(size int) string { return `{"task":"a","labels":` + strings.Repeat("[", size) }, "not JSON"},
	{"a long key", func(size int) string { return `{"` + strings.Repeat("k", size) + `":0}` }, "is not known"},
	{"a long label", func(size int) string { return `{"task":"a","positive_label":"` + strings.Repeat("k", size) + `"}` }, "want a string"},
	{"labels", func(size int) string { return `{"task":"a","labels":[` + strings.Repeat(`"a",`, size/4) + `"a"]}` }, "more than"},
	{"no UTF-8", func(size int) string { return strings.Repeat("\xff", size) }, "not JSON"},
	{"spaces", func(size int) string { return strings.Repeat(" ", size) }, "too early"},
}

func TestBoundSpec(t *testing.T) {
	for _, h := range hostileSettings {
		t.Run(h.what, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				return dir, os.WriteFile(filepath.Join(dir, SpecFile), []byte(h.content(maxSpecFile-1000)), 0o666)
			}, func(path string) error {
				_, err := LoadSpec(path)
				return err
			})
			if !strings.Contains(u.Err, h.want) {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
}

// What is no regular file is neither waited for nor read without end.
func TestOnlyFiles(t *testing.T) {
	for name, read := range map[string]func(dir string) error{
		SpecFile:    func(dir string) error { _, err := LoadSpec(dir); return err },
		ResultsFile: func(dir string) error { _, err := ReadResult(dir); return err },
	} {
		dir := t.TempDir()
		testbound.Pipe(t, dir, name)
		err := read(dir)
		wantError(t, err, "a pipe, want a regular file")
		dir = t.TempDir()
		if err := os.Symlink("/dev/zero", filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
		wantError(t, read(dir), "a device, want a regular file")
		dir = t.TempDir()
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = f.Truncate(1 << 40)
		}
		if err != nil {
			t.Skip(err)
		}
		f.Close()
		wantError(t, read(dir), "larger than")
	}
}
