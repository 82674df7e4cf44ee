package task

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// explained is the folder of a small model, and of what captum and transformers make of it.
const explained = "testdata/explain"

// captum has what testdata/explain/make.py writes.
type captum struct {
	Texts []struct {
		Text          string
		Tokens        []string
		Logits        []float32
		Integrated    [][]float64     // [labels,n]
		GradientInput [][]float64     `json:"gradient_input"`
		Attention     [][][][]float64 // [L,A,n,n]
	}
}

func loadCaptum(t *testing.T) *captum {
	t.Helper()
	text, err := os.ReadFile(explained + "/captum.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(captum)
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// openExplainer opens the small model.
func openExplainer(t testing.TB, o ExplainOptions, options Options) *Runner[Explanation] {
	t.Helper()
	r, err := Open(t.Context(), explained, Explain(o), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// The scores of tokens are captum's, with as many points, of each label.
func TestExplainEqualsCaptum(t *testing.T) {
	g := loadCaptum(t)
	for label, name := range []string{"neg", "neutral", "pos"} {
		for _, method := range []Method{IntegratedGradients, GradientInput} {
			o := ExplainOptions{Method: method, Label: name}
			if method == IntegratedGradients {
				o.Path = explain.IntegratedOptions{Points: 50, MaxPoints: 50}
			}
			r := openExplainer(t, o, Options{})
			for _, c := range g.Texts {
				all, err := r.Do(t.Context(), data.Texts(c.Text))
				if err != nil {
					t.Fatal(err)
				}
				if len(all[0].Targets) != 1 {
					t.Fatalf("%d targets", len(all[0].Targets))
				}
				got := all[0].Targets[0]
				if !slices.Equal(got.Tokens, c.Tokens) || got.Target.Label != name {
					t.Fatalf("%q: tokens %q of %s, want %q", c.Text, got.Tokens, got.Target.Label, c.Tokens)
				}
				want := c.Integrated[label]
				if method == GradientInput {
					want = c.GradientInput[label]
				}
				for i, score := range got.Scores {
					special := i == 0 || i == len(want)-1
					if special && score != 0 {
						t.Errorf("%v of %s: %s, which stays, has %g", method, name, c.Tokens[i], score)
					}
					if !special && math.Abs(float64(score)-want[i]) > 1e-4 {
						t.Errorf("%v of %s in %q: %s has %g, captum %g", method, name, c.Text, c.Tokens[i], score, want[i])
					}
				}
				if math.Abs(float64(got.Value-c.Logits[label])) > 1e-5 {
					t.Errorf("%q: the logit is %g, want %g", c.Text, got.Value, c.Logits[label])
				}
			}
		}
	}
}

// sentences are of words that the small model knows.
func sentences(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the a film was is good bad not dull joyful badly joy . , ! very actor s and")
	out := make([]string, n)
	for i := range out {
		for range 1 + r.IntN(9) {
			out[i] += words[r.IntN(len(words))] + " "
		}
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// The scores of 200 sentences add up to the difference from the baseline, words to their pieces.
func TestExplanationsAreComplete(t *testing.T) {
	for _, baseline := range []Baseline{DefaultBaseline, ZeroBaseline, MaskBaseline, UnknownBaseline} {
		texts := sentences(200)
		if baseline != DefaultBaseline {
			texts = texts[:20]
		}
		all, err := openExplainer(t, ExplainOptions{Baseline: baseline}, Options{}).Do(t.Context(), data.Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range all {
			got := e.Targets[0]
			pieces, words := 0.0, 0.0
			for _, s := range got.Scores {
				pieces += float64(s)
			}
			for _, w := range got.Words {
				words += float64(w.Score)
				if text := texts[i][w.Start:w.End]; text != w.Text {
					t.Errorf("%q: word %q is at %d to %d, where %q is", texts[i], w.Text, w.Start, w.End, text)
				}
			}
			difference := float64(got.Value - *got.BaselineValue)
			if off := math.Abs(pieces - difference); off > max(0.01*math.Abs(difference), 1e-3)+1e-5 || !*got.Complete {
				t.Errorf("%v, %q: scores add up to %g, want %g; complete %v with %d points", baseline, texts[i], pieces, difference, *got.Complete, got.Points)
			}
			if math.Abs(words-pieces) > 1e-5 || math.Abs(pieces-difference-float64(*got.Delta)) > 1e-5 {
				t.Errorf("%q: words add up to %g, pieces to %g, delta %g", texts[i], words, pieces, *got.Delta)
			}
		}
	}
}

// A word that is the baseline already gets exactly nothing.
func TestUnchangedWordsGetNothing(t *testing.T) {
	all, err := openExplainer(t, ExplainOptions{Baseline: MaskBaseline}, Options{}).Do(t.Context(), data.Texts("the [MASK] was not good"))
	if err != nil {
		t.Fatal(err)
	}
	got := all[0].Targets[0]
	for i, token := range got.Tokens {
		fixed := i == 0 || i == len(got.Tokens)-1 || token == "[MASK]"
		if fixed != (got.Scores[i] == 0) {
			t.Errorf("%s has %g", token, got.Scores[i])
		}
	}
}

// From the baseline to the text is the reverse of the way back.
func TestExplanationsAreSymmetric(t *testing.T) {
	r := openExplainer(t, ExplainOptions{}, Options{})
	var e tokenizer.Encoding
	x := &explainer{engine: r.engine, kind: SingleLabel.info()}
	p, err := x.prepare(&e, &data.Input{Text: "the film was not good ."})
	if err != nil {
		t.Fatal(err)
	}
	s := &p.sequences[0]
	row := func(ids []int32) []float64 {
		values, err := r.Model().WordEmbeddings(ids)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, len(values))
		for i, v := range values {
			out[i] = float64(v)
		}
		return out
	}
	f := &modelFunction{r.engine, s, &aim{at: linear(map[int]float32{2: 1, 0: -1})}}
	text, pad := row(s.ids), row(make([]int32, len(s.ids)))
	o := explain.IntegratedOptions{Points: 40, MaxPoints: 40}
	there, err := explain.IntegratedGradients(t.Context(), f, text, pad, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := explain.IntegratedGradients(t.Context(), f, pad, text, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		if math.Abs(there.Values[i]+back.Values[i]) > 1e-5 {
			t.Fatalf("coordinate %d: %g there, %g back", i, there.Values[i], back.Values[i])
		}
	}
}

// Batches, sessions and threads change no bit.
func TestExplanationsHaveOneResult(t *testing.T) {
	texts := data.Texts(sentences(12)...)
	for m := range methodNames {
		method := Method(m)
		var want []Explanation
		for _, o := range []Options{
			{Model: bert.Options{Threads: 1}}, {Model: bert.Options{Threads: 3}}, {Tokens: 1}, {Tokens: 100, Sessions: 1},
		} {
			got, err := openExplainer(t, ExplainOptions{Method: method}, o).Do(t.Context(), texts)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%v: %+v gives other bits", method, o)
			}
		}
		r := openExplainer(t, ExplainOptions{Method: method}, Options{})
		for i := range texts {
			alone, err := r.Do(t.Context(), texts[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(alone[0], want[i]) {
				t.Errorf("%v: text %d has other scores alone", method, i)
			}
		}
	}
}

// kindRunners answer and explain with a model of the kind that has learnt its examples.
func kindRunners(t *testing.T, c *kindCase, o ExplainOptions) (*Runner[Prediction], *Runner[Explanation]) {
	t.Helper()
	m, spec, tok := c.model(t), c.spec(), tinyTokenizer(t)
	dataset, err := NewDataset(t.Context(), tok, spec, c.examples)
	if err != nil {
		t.Fatal(err)
	}
	learn(t, m, dataset, 40)
	p, err := NewRunner(m, tok, &spec, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewRunner(m, tok, &spec, Explain(o), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p, e
}

// What is explained of each kind is its answer: what the prediction says, and the numbers that it has.
func TestExplainKinds(t *testing.T) {
	for _, c := range kindCases() {
		t.Run(c.kind.String(), func(t *testing.T) {
			p, e := kindRunners(t, &c, ExplainOptions{})
			inputs := make([]data.Input, 6)
			for i := range inputs {
				inputs[i] = c.examples[i].Input
			}
			predictions, err := p.Do(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			explanations, err := e.Do(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range explanations {
				checkExplanation(t, c.kind, &inputs[i], &predictions[i], &got)
			}
		})
	}
}

// checkExplanation compares the targets of an explanation with a prediction.
func checkExplanation(t *testing.T, k Kind, in *data.Input, p *Prediction, e *Explanation) {
	t.Helper()
	var got, want []string
	value := func(v float32) string { return fmt.Sprintf("%.4f", v) }
	for _, a := range e.Targets {
		name := a.Target.Label + a.Target.Side
		if k == TokenClassification {
			name = fmt.Sprint(*a.Target.Word, " ", name)
			got = append(got, name)
		} else {
			got = append(got, name+" "+value(a.Value))
		}
		if !*a.Complete {
			t.Errorf("%v is not complete: delta %g with %d points", a.Target, *a.Delta, a.Points)
		}
		for _, w := range a.Words {
			text := in.Text
			switch {
			case in.Words != nil:
				text = strings.Join(in.Words, " ")
			case w.Pair && in.Choices != nil:
				text = in.Choices[*a.Target.Choice]
			case w.Pair:
				text = in.TextPair
			}
			if w.Text == "" || text[w.Start:w.End] != w.Text {
				t.Errorf("word %q is at %d to %d of %q", w.Text, w.Start, w.End, text)
			}
		}
	}
	switch k {
	case SingleLabel, MultipleChoice:
		want = []string{p.Label + " " + value(slices.Max(p.Logits))}
	case MultiLabel:
		for i, s := range p.Probabilities {
			if slices.Contains(p.Labels, s.Label) {
				want = append(want, s.Label+" "+value(p.Logits[i]))
			}
		}
		if want == nil {
			best := slices.Index(p.Logits, slices.Max(p.Logits))
			want = []string{p.Probabilities[best].Label + " " + value(p.Logits[best])}
		}
	case Regression:
		want = []string{"value " + value(p.Logits[0])}
	case TokenClassification:
		for i, label := range p.Labels {
			if label != "O" {
				want = append(want, fmt.Sprint(i, " ", label))
			}
		}
	case QuestionAnswering:
		want = []string{
			"start " + value(p.Answer.StartLogit), "end " + value(p.Answer.EndLogit), "both " + value(p.Answer.StartLogit+p.Answer.EndLogit),
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}
}

// A margin is what the logits differ by, a probability that of the prediction; both add up.
func TestExplainQuantities(t *testing.T) {
	for _, c := range kindCases() {
		for _, q := range []Quantity{Margin, Probability} {
			p, e := kindRunners(t, &c, ExplainOptions{Quantity: q})
			in := []data.Input{c.examples[3].Input}
			got, err := e.Do(t.Context(), in)
			if c.kind == Regression || c.kind == MultiLabel && q == Margin {
				wantError(t, err, "want logit")
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			prediction, err := p.Do(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range got[0].Targets {
				if !*a.Complete || a.Target.Quantity != q {
					t.Errorf("%v: %v is not complete: delta %g", c.kind, a.Target, *a.Delta)
				}
				var want float64
				switch {
				case c.kind == TokenClassification || c.kind == QuestionAnswering:
					if q == Probability && !(a.Value > 0 && a.Value <= 1) || q == Margin && a.Value < 0 {
						t.Errorf("%v: %v is %g", c.kind, a.Target, a.Value)
					}
					continue
				case q == Probability:
					want = prediction[0].Probabilities.Of(a.Target.Label)
				default:
					logits := slices.Sorted(slices.Values(prediction[0].Logits))
					want = float64(logits[len(logits)-1] - logits[len(logits)-2])
					if a.Target.Rival == "" || a.Target.Rival == a.Target.Label {
						t.Errorf("%v: the rival of %q is %q", c.kind, a.Target.Label, a.Target.Rival)
					}
				}
				if math.Abs(float64(a.Value)-want) > 1e-5 {
					t.Errorf("%v: %v is %g, want %g", c.kind, a.Target, a.Value, want)
				}
			}
		}
	}
}

// Without the fifth of the words that an explanation puts first, the logit falls more than without another fifth, on average.
func TestExplanationsAreFaithful(t *testing.T) {
	texts := slices.DeleteFunc(sentences(150), func(s string) bool { return len(strings.Fields(s)) < 5 })
	p, err := Open(t.Context(), explained, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// Attention that raises the logit knows nothing of what words do beside attention: it finds less of what matters.
	for method, margin := range map[Method]float64{IntegratedGradients: 0.05, Occlusion: 0.05, AttentionGradient: 0.02} {
		r := rand.New(rand.NewPCG(3, 4))
		explanations, err := openExplainer(t, ExplainOptions{Method: method}, Options{}).Do(t.Context(), data.Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		fall := func(choose func(words []WordScore, n int) []int) float64 {
			var without []data.Input
			for i, e := range explanations {
				words := e.Targets[0].Words
				text := texts[i]
				chosen := choose(words, max(1, len(words)/5))
				slices.Sort(chosen)
				slices.Reverse(chosen)
				for _, w := range chosen {
					text = text[:words[w].Start] + "[MASK]" + text[words[w].End:]
				}
				without = append(without, data.Input{Text: text})
			}
			after, err := p.Do(t.Context(), without)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for i, e := range explanations {
				label := slices.IndexFunc(after[i].Probabilities, func(s Score) bool { return s.Label == e.Targets[0].Target.Label })
				sum += float64(e.Targets[0].Value - after[i].Logits[label])
			}
			return sum / float64(len(texts))
		}
		top := fall(func(words []WordScore, n int) []int {
			order := upTo(len(words))
			slices.SortStableFunc(order, func(a, b int) int {
				if words[a].Score > words[b].Score {
					return -1
				}
				return 1
			})
			return order[:n]
		})
		random := fall(func(words []WordScore, n int) []int { return r.Perm(len(words))[:n] })
		if top <= random+margin {
			t.Errorf("%v: without the first fifth the logit falls by %.3f, without any by %.3f", method, top, random)
		}
	}
}

// The scores come from the weights: a model of other weights has others. Mean rank correlation, over texts.
func TestExplanationsDependOnTheModel(t *testing.T) {
	texts := slices.DeleteFunc(sentences(100), func(s string) bool { return len(strings.Fields(s)) < 6 })
	for _, method := range []Method{IntegratedGradients, AttentionGradient} {
		o := ExplainOptions{Method: method, Label: "pos"}
		first := openExplainer(t, o, Options{})
		m := first.Model()
		other, err := bert.New(m.Config(), bert.Options{Head: m.Head(), Threads: 1, Seed: 11})
		if err != nil {
			t.Fatal(err)
		}
		second, err := NewRunner(other, first.Description().Tokenizer, nil, Explain(o), Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := first.Do(t.Context(), data.Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		b, err := second.Do(t.Context(), data.Texts(texts...))
		if err != nil {
			t.Fatal(err)
		}
		scores := func(words []WordScore) []float64 {
			out := make([]float64, len(words))
			for i, w := range words {
				out[i] = float64(w.Score)
			}
			return out
		}
		mean := 0.0
		for i := range texts {
			if r, err := metric.Spearman(scores(a[i].Targets[0].Words), scores(b[i].Targets[0].Words)); err == nil { // not all are equal
				mean += r / float64(len(texts))
			}
		}
		if math.Abs(mean) > 0.25 {
			t.Errorf("%v: the ranks of another model's scores correlate by %.2f", method, mean)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The next-sentence heads, whose logits may stand beside those of a masked LM, are explained too.
func TestExplainNextSentence(t *testing.T) {
	in := []data.Input{{Text: "the film was good", TextPair: "i was not very bright"}}
	for _, head := range []bert.Head{bert.NextSentence, bert.PreTraining} {
		m, tok := tinyModel(t, head), tinyTokenizer(t)
		p, err := NewRunner(m, tok, nil, Predict(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewRunner(m, tok, nil, Explain(ExplainOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		predictions, err := p.Do(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		explanations, err := e.Do(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := explanations[0].Targets[0]
		if got.Target.Label != predictions[0].Label || got.Value != slices.Max(predictions[0].Logits) || !*got.Complete {
			t.Errorf("%v: %+v, want %s of %v", head, got, predictions[0].Label, predictions[0].Logits)
		}
		if last := got.Words[len(got.Words)-1]; !last.Pair || last.Text != "bright" {
			t.Errorf("%v: the last word is %+v", head, last)
		}
	}
}

// A text in windows is explained in the one with the largest logit, one that is cut says so.
func TestExplainLongTexts(t *testing.T) {
	spec := tinySpec()
	spec.MaxSeqLength, spec.Long = 10, Windows
	m, tok := tinyModel(t, bert.SequenceClassification, spec.Labels...), tinyTokenizer(t)
	text := strings.TrimSpace(strings.Repeat("the film was good and i was not dull , ", 3))
	for _, long := range []LongText{Windows, TruncateLong, HeadTail} {
		spec.Long = long
		r, err := NewRunner(m, tok, &spec, Explain(ExplainOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Do(t.Context(), data.Texts(text))
		if err != nil {
			t.Fatal(err)
		}
		e := all[0]
		if windows := long == Windows; windows != (e.Windows > 1) || windows == e.Truncated || windows == (e.DroppedTokens > 0) {
			t.Errorf("%v: %d windows, truncated %v, %d dropped", long, e.Windows, e.Truncated, e.DroppedTokens)
		}
		for _, w := range e.Targets[0].Words {
			if text[w.Start:w.End] != w.Text {
				t.Errorf("%v: word %q is at %d", long, w.Text, w.Start)
			}
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	r := openExplainer(t, ExplainOptions{}, Options{})
	_, err := r.Do(t.Context(), []data.Input{{IDs: []int32{2, 5, 3}}})
	wantError(t, err, "input 0", "want a text")
	for name, c := range map[string]struct {
		o    ExplainOptions
		want string
	}{
		"label":    {ExplainOptions{Label: "good"}, `label "good" is not one of the model's: "neg", "neutral", "pos"`},
		"baseline": {ExplainOptions{Method: GradientNorm, Baseline: PadBaseline}, "grad-norm has no baseline"},
		"method":   {ExplainOptions{Method: 9}, "there is no Method(9)"},
		"quantity": {ExplainOptions{Quantity: 9}, "there is no Quantity(9)"},
		"row":      {ExplainOptions{Baseline: 9}, "there is no Baseline(9)"},
	} {
		_, err := Open(t.Context(), explained, Explain(c.o), Options{})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantError(t, err, c.want)
	}
	if _, err := Open(t.Context(), tinyDir(t, bert.MaskedLM), Explain(ExplainOptions{}), Options{}); err == nil {
		t.Error("a model without answers is explained")
	}
}

// An input's own target comes before the options'.
func TestExplainGold(t *testing.T) {
	for _, c := range kindCases() {
		x := c.examples[1]
		target, err := GoldTarget(c.kind, &x)
		if c.kind != SingleLabel && c.kind != MultipleChoice {
			wantError(t, err, "have no single label to explain")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, e := kindRunners(t, &c, ExplainOptions{})
		for _, want := range []string{target, other(&c, &x, target)} {
			x.Target = want
			all, err := e.Do(t.Context(), []data.Input{x.Input})
			if err != nil {
				t.Fatal(err)
			}
			if got := all[0].Targets[0].Target.Label; got != want {
				t.Errorf("%v: %q is explained, want %q", c.kind, got, want)
			}
		}
		x.Label = ""
		_, err = GoldTarget(c.kind, &x)
		wantError(t, err, data.ErrNoLabel.Error())
	}
}

// other is a label or choice that the target isn't.
func other(c *kindCase, x *data.Example, target string) string {
	all := c.labels
	if x.Choices != nil {
		all = x.Choices
	}
	return all[slices.IndexFunc(all, func(s string) bool { return s != target })]
}

// The names of closed sets are read back.
func TestExplainNames(t *testing.T) {
	for _, name := range Methods() {
		if m, err := ParseMethod(name); err != nil || m.String() != name {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	for _, name := range Baselines() {
		if b, err := ParseBaseline(name); err != nil || b.String() != name {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	for _, name := range Quantities() {
		if q, err := ParseQuantity(name); err != nil || q.String() != name {
			t.Errorf("%s: %v, %v", name, q, err)
		}
	}
	for _, name := range AllAttentionWeights() {
		if w, err := ParseAttentionWeights(name); err != nil || w.String() != name {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
}
