package task

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
)

// resultOf is the result of predictions with a probability of 0.75 (of two classes), by label and prediction counts.
func resultOf(t testing.TB, labels []string, positive string, counts [][]int) *Result {
	t.Helper()
	var (
		truth []int32
		log   [][]float64
	)
	for label, row := range counts {
		for prediction, n := range row {
			for range n {
				truth = append(truth, int32(label))
				x := make([]float32, len(labels))
				x[prediction] = float32(math.Log(3))
				l, _ := logSoftmax(x)
				log = append(log, l)
			}
		}
	}
	return classResult(t, truth, log, labels, positive)
}

func classResult(t testing.TB, truth []int32, log [][]float64, labels []string, positive string) *Result {
	t.Helper()
	report, loss, err := newClassReport(truth, log, labels, positive)
	if err != nil {
		t.Fatal(err)
	}
	return &Result{Official: kinds[SingleLabel].metrics, Examples: len(truth), Loss: loss, Report: report}
}

// The counts of the reference run of the sentiment job give its figures.
func TestReferenceRun(t *testing.T) {
	r := resultOf(t, []string{"neg", "pos"}, "pos", [][]int{{2193, 281}, {432, 2094}})
	r.GlobalStep = 312
	want := metric.Metrics{
		{Name: "eval_accuracy", Value: 0.8574}, {Name: "f1_score", Value: 0.8545}, {Name: "auc", Value: 0.8577}, {Name: "precision", Value: 0.8817}, {Name: "recall", Value: 0.8290},
		{Name: "true_positives", Value: 2094}, {Name: "true_negatives", Value: 2193}, {Name: "false_positives", Value: 281}, {Name: "false_negatives", Value: 432},
		{Name: "loss", Value: 0.4444}, {Name: "global_step", Value: 312}, {Name: "auc_hard", Value: 0.8577}, {Name: "matthews", Value: 0.7163},
	}
	got := r.Metrics()
	if len(got) != len(want) {
		t.Fatalf("metrics %v, want %v", got, want)
	}
	for i := range want {
		if got[i].Name != want[i].Name {
			t.Errorf("metric %d is %s, want %s", i, got[i].Name, want[i].Name)
		}
		// Probabilities of two values only make the AUC that of the hard labels.
		if got[i].Name != "loss" && math.Abs(got[i].Value-want[i].Value) > 0.00005 {
			t.Errorf("%s is %v, want %v", got[i].Name, got[i].Value, want[i].Value)
		}
	}
	// −ln ¾ for the right ones, −ln ¼ for the wrong ones.
	loss := (-(2193+2094)*math.Log(0.75) - (281+432)*math.Log(0.25)) / 5000
	if math.Abs(r.Loss-loss) > 1e-7 {
		t.Errorf("loss is %v, want %v", r.Loss, loss)
	}
}

func TestResultJSON(t *testing.T) {
	two := resultOf(t, []string{"neg", "pos"}, "neg", [][]int{{3, 1}, {0, 4}})
	two.GlobalStep, two.Truncated = 7, 2
	three := resultOf(t, []string{"a", "b", "<c>"}, "", [][]int{{2, 0, 0}, {1, 1, 0}, {0, 0, 4}})
	onlyPositive := resultOf(t, []string{"neg", "pos"}, "pos", [][]int{{0, 0}, {1, 3}})
	for name, r := range map[string]*Result{"two": two, "three": three, "only-positive": onlyPositive} {
		dir := t.TempDir()
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, ResultsFile))
		if err != nil {
			t.Fatal(err)
		}
		compareFile(t, filepath.Join("testdata", "results", name+".json"), got)
		compareFile(t, filepath.Join("testdata", "results", name+".txt"), []byte(r.String()))
		if !json.Valid(got) {
			t.Errorf("%s is no JSON", name)
		}
	}
}

// compareFile compares with a file of testdata, or writes it where UPDATE_TESTDATA is set.
func compareFile(t *testing.T, path string, got []byte) {
	t.Helper()
	if os.Getenv("UPDATE_TESTDATA") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(got))
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: wrote\n%s\nwant\n%s", path, got, want)
	}
}

func TestResultOfManyLabels(t *testing.T) {
	var labels []string
	counts := make([][]int, 30)
	for i := range counts {
		labels = append(labels, strings.Repeat("long name ", 5)+string(rune('A'+i)))
		counts[i] = make([]int, 30)
		counts[i][i] = 1
	}
	text := resultOf(t, labels, "", counts).String()
	if !strings.Contains(text, "The confusion matrix of 30 labels is in eval_results.json.") {
		t.Errorf("wrote\n%s", text)
	}
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 100 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
}

// What Evaluate reports is what the model says of each example alone, whatever the batches are.
func TestEvaluate(t *testing.T) {
	m := tinyModel(t, bert.SequenceClassification, "neg", "pos")
	examples := someExamples(60)
	data, err := NewDataset(t.Context(), tinyTokenizer(t), tinySpec(), examples)
	if err != nil {
		t.Fatal(err)
	}
	s := m.NewSession()
	var (
		log   [][]float64
		truth []int32
	)
	for i := range examples {
		var b bert.Batch
		if err := data.Append(&b, i); err != nil {
			t.Fatal(err)
		}
		out, err := s.Forward(&b, bert.Outputs{})
		if err != nil {
			t.Fatal(err)
		}
		l, _ := logSoftmax(out.Logits)
		log = append(log, l)
		truth = append(truth, b.Classes...)
	}
	want := classResult(t, truth, log, []string{"neg", "pos"}, "pos")
	predictions := func(r *Result) []int { return r.Report.(*ClassReport).Predictions }
	if slices.Index(predictions(want), 0) < 0 || slices.Index(predictions(want), 1) < 0 {
		t.Fatalf("the model predicts one class only: %v", predictions(want))
	}
	want.GlobalStep, want.Truncated = 5, data.Stats().Truncated
	wantJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, tokens := range []int{0, 1, 20, 64, 1000} {
		var done []int
		got, err := Evaluate(t.Context(), m, data, EvaluateOptions{Tokens: tokens, GlobalStep: 5, Progress: func(n, all int) {
			if all != len(examples) {
				t.Errorf("progress of %d, want %d", all, len(examples))
			}
			done = append(done, n)
		}})
		if err != nil {
			t.Fatal(err)
		}
		gotJSON, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if string(gotJSON) != string(wantJSON) || !slices.Equal(predictions(got), predictions(want)) {
			t.Errorf("%d tokens: %s\nwant %s", tokens, gotJSON, wantJSON)
		}
		if !slices.IsSorted(done) || done[len(done)-1] != len(examples) {
			t.Errorf("progress %v", done)
		}
		if tokens == 1 && len(done) != len(examples) {
			t.Errorf("%d batches, want one for each example", len(done))
		}
	}
}

func TestEvaluateErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	examples := someExamples(10)
	dataset, err := NewDataset(t.Context(), tok, tinySpec(), examples)
	if err != nil {
		t.Fatal(err)
	}
	m := tinyModel(t, bert.SequenceClassification, "neg", "pos")

	_, err = Evaluate(t.Context(), tinyModel(t, bert.MaskedLM), dataset, EvaluateOptions{})
	wantError(t, err, "a BertForMaskedLM has no answers to texts: fine-tune it first")
	_, err = Evaluate(t.Context(), tinyModel(t, bert.SequenceClassification, "x", "y"), dataset, EvaluateOptions{})
	wantError(t, err, `the task's labels are "neg", "pos", the model's "x", "y"`)
	_, err = Evaluate(t.Context(), tinyModel(t, bert.SequenceClassification, "x"), dataset, EvaluateOptions{})
	wantError(t, err, "the model is for regression, the task is a single_label_classification")

	unlabelled, err := NewDataset(t.Context(), tok, tinySpec(), []data.Example{{}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Evaluate(t.Context(), m, unlabelled, EvaluateOptions{})
	wantError(t, err, "no labels to evaluate against")

	long := tinySpec()
	long.MaxSeqLength = 49
	data49, err := NewDataset(t.Context(), tok, long, examples)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Evaluate(t.Context(), m, data49, EvaluateOptions{})
	wantError(t, err, "max_seq_length is 49, the model has 48 positions")

	// An end in the middle.
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	batches := 0
	_, err = Evaluate(ctx, m, dataset, EvaluateOptions{Tokens: 1, Progress: func(int, int) {
		if batches++; batches == 3 {
			cancel(stop)
		}
	}})
	if !errors.Is(err, stop) || batches != 3 {
		t.Errorf("%v after %d batches, want %v after 3", err, batches, stop)
	}
}

func TestLogSoftmax(t *testing.T) {
	for _, c := range []struct {
		logits []float32
		want   []float64
		best   int
	}{
		{[]float32{0, 0}, []float64{-math.Ln2, -math.Ln2}, 0},
		{[]float32{1, 3, 3}, []float64{-2.7586, -0.7586, -0.7586}, 1},
		{[]float32{-3e38, 3e38}, []float64{-6e38, 0}, 1},
		{[]float32{1000, 1001}, []float64{-1.31326, -0.31326}, 1},
	} {
		got, best := logSoftmax(c.logits)
		if best != c.best {
			t.Errorf("%v: class %d, want %d", c.logits, best, c.best)
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-3*max(1, math.Abs(c.want[i])) {
				t.Errorf("%v: %v, want %v", c.logits, got, c.want)
			}
		}
	}
}

// fixedFeatures have lengths and nothing else to them.
type fixedFeatures struct{ lengths []int }

func (f fixedFeatures) Len() int         { return len(f.lengths) }
func (f fixedFeatures) Length(i int) int { return f.lengths[i] }
func (f fixedFeatures) Append(b *bert.Batch, i int) error {
	b.Add(make([]int32, f.lengths[i]), nil)
	return nil
}

// Every example is in one batch, no batch is over the budget but of a single one, and the longest come first.
func TestBatchesKeepTheBudget(t *testing.T) {
	m := tinyModel(t, bert.SequenceClassification, "a", "b")
	rapid.Check(t, func(t *rapid.T) {
		f := fixedFeatures{rapid.SliceOfN(rapid.IntRange(1, 20), 0, 30).Draw(t, "lengths")}
		tokens := rapid.IntRange(1, 60).Draw(t, "tokens")
		seen := make([]int, f.Len())
		before := math.MaxInt
		err := forward(context.Background(), only(m.NewSession()), f, tokens, bert.Outputs{}, func(indices []int, b *bert.Batch, out *bert.Output) error {
			if b.Tokens() > tokens && b.Len() > 1 || b.Len() != len(indices) || len(out.Logits) != 2*len(indices) {
				t.Fatalf("%d tokens of %d, %d sequences for %d examples", b.Tokens(), tokens, b.Len(), len(indices))
			}
			for i, at := range indices {
				seen[at]++
				from, to := b.Sequence(i)
				if to-from != f.Length(at) || to-from > before {
					t.Fatalf("%d tokens behind %d, want %d", to-from, before, f.Length(at))
				}
				before = to - from
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(seen, func(n int) bool { return n != 1 }) {
			t.Fatalf("examples were seen %v times", seen)
		}
	})
}
