package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// kindCase is a small task of a kind that a small model learns.
type kindCase struct {
	kind     Kind
	labels   []string
	examples []data.Example
	// learnt says that an evaluation of the examples trained on is what it has to be.
	learnt func(*Result) bool
	key    string // that a prediction has in JSON
}

// over says whether a metric is over a bound.
func over(name string, bound float64) func(*Result) bool {
	return func(r *Result) bool {
		v, _ := r.Metrics().Get(name)
		return v > bound
	}
}

// kindCases has one of each kind with a codec.
func kindCases() []kindCase {
	words := []string{"good", "bad", "dull", "bright"}
	var single, several, numbers, choices, tagged, questions []data.Example
	for i := range 24 {
		text := fmt.Sprintf("the film is %s and %s", words[i%4], words[(i/4)%4])
		source := data.Source{File: "made.tsv", Line: i + 1}
		single = append(single, data.Example{Input: data.Input{Text: text}, Label: []string{"no", "yes"}[i%4%2], Source: source})
		labels := []string{}
		for _, w := range []string{"good", "bright"} {
			if strings.Contains(text, w) {
				labels = append(labels, w)
			}
		}
		several = append(several, data.Example{Input: data.Input{Text: text}, Labels: labels, Source: source})
		numbers = append(numbers, data.Example{Input: data.Input{Text: text, TextPair: "very"}, Label: fmt.Sprint(float64(i%4) / 2), Source: source})
		tags := []string{"O", "O", "B-X", "O", "B-X", "I-X"}
		if i%4 < 2 {
			tags[2] = "B-Y"
		}
		tagged = append(tagged, data.Example{Input: data.Input{Words: []string{"the", "film", words[i%4], "is", "very", "dull"}}, Labels: tags, Source: source})
		right := i % 3
		endings := slices.Repeat([]string{"bad", "dull", "not"}, 1)
		endings[right] = "good"
		context := "the film is " + strings.Repeat("very ", i%3) + words[i%4] + " and i was not"
		questions = append(questions, data.Example{
			Input:   data.Input{Text: "is it", TextPair: context},
			Answers: []data.Span{{Text: words[i%4], Start: strings.Index(context, words[i%4])}}, Source: source,
		})
		choices = append(choices, data.Example{Input: data.Input{Text: "the film is", Choices: endings}, Label: fmt.Sprint(right), Source: source})
	}
	return []kindCase{
		{SingleLabel, []string{"no", "yes"}, single, over("matthews", 0.99), `"label":`},
		{MultiLabel, []string{"bright", "good"}, several, over("micro_f1", 0.99), `"labels":`},
		{Regression, []string{"value"}, numbers, over("pearson", 0.95), `"value":`},
		{TokenClassification, []string{"B-X", "B-Y", "I-X", "I-Y", "O"}, tagged, over("f1", 0.99), `"entities":`},
		{QuestionAnswering, nil, questions, over("exact", 99), `"answer":`},
		{MultipleChoice, nil, choices, over("eval_accuracy", 0.99), `"choice":`},
	}
}

func (c *kindCase) spec() Spec {
	d := Spec{Task: "made", Kind: c.kind, Labels: c.labels, MaxSeqLength: 24}
	d.SetPositive("")
	return d
}

// model is a small model for the case that learns fast: no dropout.
func (c *kindCase) model(t testing.TB) *bert.Model {
	t.Helper()
	config := tinyConfig()
	config.NumHiddenLayers, config.HiddenDropoutProb, config.AttentionProbsDropoutProb, config.InitializerRange = 1, 0, 0, 0.1
	m, err := bert.New(config, bert.Options{Head: c.kind.Head(), Threads: 1, Labels: c.labels, ProblemType: c.kind.ProblemType(), Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// learn makes steps of Adam over all examples at once.
func learn(t testing.TB, m *bert.Model, data *Dataset, steps int) {
	t.Helper()
	trainer, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var b bert.Batch
	for i := range data.Len() {
		if err := data.Append(&b, i); err != nil {
			t.Fatal(err)
		}
	}
	for step := range steps {
		if _, err := trainer.Backward([]*bert.Batch{&b}, bert.Pass{Key: uint64(step)}); err != nil {
			t.Fatal(err)
		}
		n := float64(step + 1)
		trainer.Update(bert.Update{
			GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
			StepSize: 1e-2 / (1 - math.Pow(0.9, n)), RootScale: 1 / math.Sqrt(1-math.Pow(0.999, n)),
		})
	}
}

// Every kind learns what it is taught, saves what it is, and predicts what it was found right for.
func TestKinds(t *testing.T) {
	tok := tinyTokenizer(t)
	seen := make(map[Kind]bool)
	for _, c := range kindCases() {
		t.Run(c.kind.String(), func(t *testing.T) {
			seen[c.kind] = true
			m := c.model(t)
			dataset, err := NewDataset(t.Context(), tok, c.spec(), c.examples)
			if err != nil {
				t.Fatal(err)
			}
			before, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			learn(t, m, dataset, 120)
			after, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{Tokens: 50})
			if err != nil {
				t.Fatal(err)
			}
			if !c.learnt(after) || after.Loss >= before.Loss {
				t.Errorf("%v after training, %v before", after, before)
			}
			checkLoss(t, m, dataset, after.Loss)
			checkResult(t, c.spec(), after)

			dir := t.TempDir()
			d := c.spec()
			d.Metrics = after.Metrics()
			for _, err := range []error{m.Save(dir, bert.SaveOptions{}), tok.Save(dir, tokenizer.SaveOptions{}), d.Save(dir)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			p, err := Open(t.Context(), dir, Predict(), Options{Tokens: 40})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			inputs := make([]data.Input, len(c.examples))
			for i, x := range c.examples {
				inputs[i] = x.Input
			}
			got, err := p.Do(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				alone, err := p.Do(t.Context(), inputs[i:i+1])
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got[i], alone[0]) {
					t.Errorf("input %d: alone %+v, among others %+v", i, alone[0], got[i])
				}
				line, err := json.Marshal(got[i])
				if err != nil || !bytes.Contains(line, []byte(c.key)) {
					t.Errorf("%s, %v; want the key %s", line, err, c.key)
				}
			}
			if first := got[0].String(); first == "" {
				t.Errorf("an empty answer: %+v", got[0])
			}

			// Without task.json, config.json says of what kind the model is.
			bare := filepath.Join(t.TempDir(), "bare")
			if err := m.Save(bare, bert.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := tok.Save(bare, tokenizer.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			q, err := Open(t.Context(), bare, Predict(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			if q.Description().Spec.Kind != c.kind {
				t.Errorf("without task.json a %v", q.Description().Spec.Kind)
			}
		})
	}
	for k, info := range kinds {
		if info.codec != nil && !seen[Kind(k)] {
			t.Errorf("%v has no case here", Kind(k))
		}
	}
}

// checkLoss holds the loss of an evaluation against the model's own.
func checkLoss(t *testing.T, m *bert.Model, data *Dataset, got float64) {
	t.Helper()
	var b bert.Batch
	for i := range data.Len() {
		if err := data.Append(&b, i); err != nil {
			t.Fatal(err)
		}
	}
	out, err := m.NewSession().Forward(&b, bert.Outputs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := out.Loss.Total; math.Abs(got-want) > 1e-5*max(1, math.Abs(want)) {
		t.Errorf("loss is %v, the model's %v", got, want)
	}
}

// checkResult checks that a result has the figures that were announced, and can be written and read.
func checkResult(t *testing.T, d Spec, r *Result) {
	t.Helper()
	all, official := d.MetricNames()
	var names []string
	for _, m := range r.Metrics() {
		if m.Name != "global_step" {
			names = append(names, m.Name)
		}
	}
	if !slices.Equal(all, names) || !slices.Equal(official, r.Official) {
		t.Errorf("metrics %v, announced were %v; official %v and %v", names, all, r.Official, official)
	}
	for _, name := range official {
		if !slices.Contains(all, name) {
			t.Errorf("the official metric %s is none of %v", name, all)
		}
	}
	if own := r.Report.Metrics(); len(own)+2 != len(r.Metrics()) {
		t.Errorf("the report's metrics are %v, the result's %v", own.Names(), r.Metrics().Names())
	}
	checkSaved(t, r)
	main, ok := r.Main()
	if !ok || !strings.Contains(r.String(), metric.Label(main.Name)) {
		t.Errorf("the text doesn't say %s:\n%v", main.Name, r)
	}
}

// checkSaved holds eval_results.json against the result that it is of.
func checkSaved(t *testing.T, r *Result) {
	t.Helper()
	dir := t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResult(dir)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Metrics) != fmt.Sprint(r.Metrics()) || !slices.Equal(got.Official, r.Official) || got.Examples != r.Examples ||
		got.Windows != r.Windows || got.Truncated != r.Truncated || got.Precision != r.Precision {
		t.Errorf("read %+v, want %+v", got, r)
	}
	want, details := r.Report.details(), []string(nil)
	for _, d := range got.Details {
		details = append(details, d.Key)
	}
	if len(details) != len(want) {
		t.Fatalf("details %v, want %v", details, want)
	}
	for i, e := range want {
		if details[i] != e.key {
			t.Errorf("details %v, want %s at %d", details, e.key, i)
		}
	}
	main, ok := got.Main()
	if wantMain, _ := r.Main(); !ok || main.Name != wantMain.Name {
		t.Errorf("main metric %v, want %v", main, wantMain)
	}
}

func TestKindErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	at := data.Source{File: "a.tsv", Line: 3}
	describe := func(k Kind, labels ...string) Spec {
		return Spec{Task: "made", Kind: k, Labels: labels, MaxSeqLength: 16}
	}
	for _, c := range []struct {
		d    Spec
		x    data.Example
		want string
	}{
		{describe(Regression, "value"), data.Example{Label: "many"}, `a.tsv:3: label "many" is no number`},
		{describe(Regression, "value"), data.Example{Label: "Inf"}, `a.tsv:3: label "Inf" is no number`},
		{describe(Regression, "value", "other"), data.Example{Label: "1"}, `labels is "value", "other", a regression has one`},
		{describe(MultiLabel, "a", "b"), data.Example{Labels: []string{"a", "c"}}, `a.tsv:3: label "c" is not one of "a", "b"`},
		{describe(MultiLabel, "a", "b"), data.Example{Labels: []string{"a", "a"}}, `a.tsv:3: label "a" twice`},
		{describe(MultiLabel, "a", "b"), data.Example{Label: "a"}, `a.tsv:3: no label`},
		{describe(MultipleChoice), data.Example{Input: data.Input{Choices: []string{"a", "b"}}, Label: "2"}, `a.tsv:3: label "2" is not one of the choices 0 to 1`},
		{describe(MultipleChoice), data.Example{Input: data.Input{Choices: []string{"a"}}, Label: "0"}, `a.tsv:3: 1 choices, want at least 2`},
		{describe(MultipleChoice, "a"), data.Example{Label: "0"}, `labels is "a", a model of multiple_choice has none`},
		{describe(SingleLabel, "a", "b"), data.Example{Input: data.Input{Choices: []string{"a"}}, Label: "a"}, `a.tsv:3: choices, but the model reads texts`},
		{describe(SingleLabel, "a", "b"), data.Example{Input: data.Input{Words: []string{"a"}}, Label: "a"}, `a.tsv:3: words, but the model reads texts`},
	} {
		c.x.Source = at
		_, err := NewDataset(t.Context(), tok, c.d, []data.Example{c.x})
		wantError(t, err, c.want)
	}
	three := data.Example{Input: data.Input{Choices: []string{"a", "b", "c"}}, Label: "0", Source: at}
	two := data.Example{Input: data.Input{Choices: []string{"a", "b"}}, Label: "0"}
	_, err := NewDataset(t.Context(), tok, describe(MultipleChoice), []data.Example{two, three})
	wantError(t, err, "a.tsv:3: 3 choices, want 2 as those before")

	_, err = ParseKind("classification")
	wantError(t, err, `kind "classification": want single_label_classification, multi_label_classification, regression`)
	text, err := Lookup("text")
	if err != nil {
		t.Fatal(err)
	}
	if err := text.SetKind(Regression); err != nil || text.Kind != Regression {
		t.Error(err)
	}
	wantError(t, text.SetKind(MultipleChoice), "task text is a regression, not a multiple_choice")
}

// Class weights are for one label of several.
// Weights of kinds whose examples don't have one class each are refused, and not set without an effect.
func TestWeightsOfOtherKinds(t *testing.T) {
	for _, c := range kindCases()[1:] {
		dataset, err := NewDataset(t.Context(), tinyTokenizer(t), c.spec(), c.examples)
		if err != nil {
			t.Fatal(err)
		}
		_, err = dataset.BalancedClassWeights()
		wantError(t, err, "class weights are for single_label_classification", "this is "+c.kind.String())
		weights := make([]float32, len(c.labels))
		for i := range weights {
			weights[i] = 1
		}
		wantError(t, dataset.SetClassWeights(weights), "class weights are for single_label_classification", "this is "+c.kind.String())
		if err := dataset.SetClassWeights(nil); err != nil {
			t.Error(err)
		}
	}
}

// numbered is tokens that tell themselves apart.
func longText(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = string(rune('b' + i%7))
	}
	return strings.Join(words, " ")
}

func TestHeadTail(t *testing.T) {
	tok := tinyTokenizer(t)
	d := Spec{Task: "made", Labels: []string{"a", "b"}, MaxSeqLength: 22, Long: HeadTail}
	long := longText(40)
	dataset, err := NewDataset(t.Context(), tok, d, []data.Example{
		{Input: data.Input{Text: long}, Label: "a"},
		{Input: data.Input{Text: longText(20)}, Label: "a"},
		{Input: data.Input{Text: "good bad", TextPair: long}, Label: "b"},
		{Input: data.Input{IDs: []int32{2, 5, 3}}, Label: "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all tokenizer.Encoding
	if err := tok.Encode(&all, long, tokenizer.Options{}); err != nil {
		t.Fatal(err)
	}
	// 128/510 of 20 are 5 of the beginning, and 15 of the end; of the 17 that a pair leaves, 4 and 13.
	text := all.IDs[1:41]
	want := slices.Concat([]int32{2}, text[:5], text[25:], []int32{3})
	if got := dataset.ids[:22]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", tok.Tokens(got), tok.Tokens(want))
	}
	if got := dataset.ids[22:44]; !slices.Equal(got[1:21], all.IDs[1:21]) {
		t.Errorf("a text that fits: %v", tok.Tokens(got))
	}
	want = slices.Concat(text[:4], text[27:], []int32{3})
	if got := dataset.ids[44:66]; !slices.Equal(got[4:], want) || got[3] != 3 {
		t.Errorf("a pair: %v, want it to end in %v", tok.Tokens(got), tok.Tokens(want))
	}
	s := dataset.Stats()
	if s.Truncated != 2 || s.Dropped != 20+23 || s.Windows != 0 || s.Longest != 22 {
		t.Errorf("%v", s)
	}
}

func TestWindows(t *testing.T) {
	tok := tinyTokenizer(t)
	d := Spec{Task: "made", Labels: []string{"a", "b"}, Positive: "b", MaxSeqLength: 12, Long: Windows, DocStride: 6}
	long := longText(25) // windows of 10 from 0, 6, 12 and 18
	examples := []data.Example{
		{Input: data.Input{Text: "good"}, Label: "a", Source: data.Source{File: "x", Line: 1}},
		{Input: data.Input{Text: long}, Label: "b", Source: data.Source{File: "x", Line: 2}},
		{Input: data.Input{Text: "bad"}, Label: "a", Source: data.Source{File: "x", Line: 3}},
	}
	dataset, err := NewDataset(t.Context(), tok, d, examples)
	if err != nil {
		t.Fatal(err)
	}
	var all tokenizer.Encoding
	if err := tok.Encode(&all, long, tokenizer.Options{}); err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	for i, at := range []int{0, 6, 12, 18} {
		b.Reset()
		if err := dataset.Append(&b, 1+i); err != nil {
			t.Fatal(err)
		}
		if want := all.IDs[1+at : min(1+at+10, 26)]; !slices.Equal(b.IDs[1:len(b.IDs)-1], want) || b.Classes[0] != 1 || dataset.Source(1+i).Line != 2 {
			t.Errorf("window %d: %v of %v, want %v", i, tok.Tokens(b.IDs), dataset.Source(1+i), tok.Tokens(want))
		}
	}
	if _, windows := dataset.example(1); len(windows) != 4 || !slices.Equal(windows[3].ids, b.IDs) {
		t.Errorf("the example has the sequences %v", windows)
	}
	s := dataset.Stats()
	if dataset.Len() != 6 || dataset.Examples() != 3 || s.Windows != 6 || s.Truncated != 0 || !slices.Equal(s.PerLabel, []int{2, 1}) || dataset.Source(5).Line != 3 {
		t.Errorf("%d items, %v", dataset.Len(), s)
	}
	if want := "3 examples, 6 windows, 51 tokens (mean 8.5, longest 12)"; s.String() != want {
		t.Errorf("%v, want %s", s, want)
	}

	// A text's probabilities are the mean of its windows', in evaluation and prediction alike.
	m := tinyModel(t, bert.SequenceClassification, "a", "b")
	r, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewRunner(m, tok, &d, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Do(t.Context(), []data.Input{examples[0].Input, examples[1].Input, examples[2].Input})
	if err != nil {
		t.Fatal(err)
	}
	mean, loss := 0.0, 0.0
	for i := range 4 {
		b.Reset()
		if err := dataset.Append(&b, 1+i); err != nil {
			t.Fatal(err)
		}
		alone, err := p.Do(t.Context(), []data.Input{{IDs: b.IDs}})
		if err != nil {
			t.Fatal(err)
		}
		mean += alone[0].Probabilities.Of("b") / 4
	}
	for i, x := range examples {
		loss -= got[i].LogProbabilities.Of(x.Label) / 3
	}
	if math.Abs(got[1].Probabilities.Of("b")-mean) > 1e-12 || got[1].Windows != 4 || got[0].Windows != 0 || got[1].Truncated {
		t.Errorf("%+v, the windows' mean is %v", got[1], mean)
	}
	if math.Abs(r.Loss-loss) > 1e-12 || r.Examples != 3 || r.Windows != 6 {
		t.Errorf("%+v, want the loss %v", r, loss)
	}

	d.Truncation = tokenizer.LongestFirst
	_, err = NewDataset(t.Context(), tok, d, []data.Example{{Input: data.Input{Text: "good", TextPair: long}, Label: "a"}})
	wantError(t, err, "want truncation only_first or only_second")
	d.Truncation, d.DocStride = tokenizer.OnlySecond, 4
	dataset, err = NewDataset(t.Context(), tok, d, []data.Example{{Input: data.Input{Text: "good", TextPair: long}, Label: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range dataset.Len() {
		b.Reset()
		if err := dataset.Append(&b, i); err != nil {
			t.Fatal(err)
		}
		if want := all.IDs[1+4*i : min(1+4*i+8, 26)]; !slices.Equal(b.IDs[3:len(b.IDs)-1], want) {
			t.Errorf("window %d of a pair: %v, want %v", i, tok.Tokens(b.IDs), tok.Tokens(want))
		}
	}
}

// The tokens that an input loses count once, not once for each choice beside it.
func TestDroppedTokensOfChoices(t *testing.T) {
	tok := tinyTokenizer(t)
	d := Spec{Task: "made", Kind: MultipleChoice, MaxSeqLength: 16, Truncation: tokenizer.OnlyFirst}
	var inputs []data.Input
	for _, n := range []int{2, 4} {
		inputs = append(inputs, data.Input{Text: longText(30), Choices: slices.Repeat([]string{"good"}, n)})
	}
	p, err := NewRunner(tinyModel(t, bert.MultipleChoice), tok, &d, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range inputs {
		dataset, err := NewDataset(t.Context(), tok, d, []data.Example{{Input: in, Label: "0"}})
		if err != nil {
			t.Fatal(err)
		}
		const want = 30 - (16 - 3 - 1)
		if s := dataset.Stats(); got[i].DroppedTokens != want || s.Dropped != want || s.Truncated != 1 {
			t.Errorf("%d choices: %d tokens dropped, by the Dataset %d of %d examples; want %d of 1", len(in.Choices), got[i].DroppedTokens, s.Dropped, s.Truncated, want)
		}
	}
}

// A number that is no Kind has a name and no head, and doesn't panic.
func TestUnknownKind(t *testing.T) {
	k := Kind(99)
	if k.String() != "Kind(99)" || k.Head() != bert.NoHead || k.PredictionsFile() != "" || k.ProblemType() != 0 || k.InputJSON() != "" {
		t.Errorf("%v: %v, %q", k, k.Head(), k.PredictionsFile())
	}
	d := Spec{Task: "made", Kind: k, MaxSeqLength: 9}
	wantError(t, d.Validate(), "there is no Kind(99)")
	_, err := SavePredictions(t.TempDir(), k, nil, nil)
	wantError(t, err, "there is no form for predictions of Kind(99)")
	for k := range Kind(len(kinds)) {
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Kind
		if err := back.UnmarshalText(text); err != nil || back != k {
			t.Errorf("%v: %v, %v", k, back, err)
		}
	}
}
