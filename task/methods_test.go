package task

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/metric"
)

func openComparer(t testing.TB, o CompareMethodsOptions, options Options) *Runner[MethodComparison] {
	t.Helper()
	r, err := Open(t.Context(), explained, CompareMethods(o), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// What stands side by side is what each method says alone, with the correlation of its ranks.
func TestCompareMethods(t *testing.T) {
	texts := data.Texts("the film was not good .", "a joyful actor , very badly dull !")
	all, err := openComparer(t, CompareMethodsOptions{Orders: 3}, Options{}).Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	alone := make([][]Explanation, len(methodNames))
	for m := range methodNames {
		if alone[m], err = openExplainer(t, ExplainOptions{Method: Method(m)}, Options{}).Do(t.Context(), texts); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range all {
		got := c.Targets[0]
		if len(c.Methods) != len(methodNames) || len(c.Targets) != 1 || got.Value != alone[0][i].Targets[0].Value || !reflect.DeepEqual(got.Target, alone[0][i].Targets[0].Target) {
			t.Fatalf("%d methods, %d targets, %+v", len(c.Methods), len(c.Targets), got.Target)
		}
		scores := make([][]float64, len(c.Methods))
		for k, m := range c.Methods {
			for w, word := range alone[m][i].Targets[0].Words {
				if got.Words[w].Text != word.Text || got.Words[w].Start != word.Start || got.Words[w].Scores[k] != word.Score {
					t.Errorf("%v: word %+v, alone %+v", m, got.Words[w], word)
				}
				scores[k] = append(scores[k], float64(word.Score))
			}
		}
		for k := range c.Methods {
			for l := range c.Methods {
				want, err := metric.Spearman(scores[k], scores[l])
				if err != nil {
					t.Fatal(err)
				}
				if r := got.Correlations[k][l]; r == nil || math.Abs(float64(*r)-want) > 1e-6 {
					t.Errorf("%v and %v correlate by %v, want %g", c.Methods[k], c.Methods[l], r, want)
				}
			}
		}
		checkRemoval(t, &got, alone[Occlusion][i].Targets[0])
	}
}

// checkRemoval holds curves against the model: occlusion's first word removed falls by its score.
func checkRemoval(t *testing.T, c *ComparedTarget, occluded Attributed) {
	t.Helper()
	r := &c.Removal
	if len(r.Words) != removalSteps+1 || r.Words[0] != 0 || r.Words[removalSteps] != len(c.Words) || !slices.IsSorted(r.Words) {
		t.Errorf("words removed: %v of %d", r.Words, len(c.Words))
	}
	for k, curve := range append(slices.Clip(r.Methods), r.Random) {
		if math.Abs(float64(curve[0]-c.Value)) > 1e-5 || math.Abs(float64(curve[removalSteps]-r.Random[removalSteps])) > 1e-5 {
			t.Errorf("curve %d goes from %g to %g, want %g to %g", k, curve[0], curve[removalSteps], c.Value, r.Random[removalSteps])
		}
		fall := float32(0)
		for _, v := range curve[1:] {
			fall += (curve[0] - v) / removalSteps
		}
		want := r.RandomFall
		if k < len(r.Falls) {
			want = r.Falls[k]
		}
		if math.Abs(float64(fall-want)) > 1e-5 {
			t.Errorf("curve %d falls by %g, said to be %g", k, fall, want)
		}
	}
	most := float32(math.Inf(-1))
	for _, w := range occluded.Words {
		most = max(most, w.Score)
	}
	if at := slices.Index(r.Words, 1); math.Abs(float64(r.Methods[Occlusion][0]-r.Methods[Occlusion][at]-most)) > 1e-5 {
		t.Errorf("without its first word the number falls from %g to %g, by occlusion by %g", r.Methods[Occlusion][0], r.Methods[Occlusion][at], most)
	}
}

// Batches, threads and what stands beside a text change no bit; the seed changes the orders at random alone.
func TestComparisonsHaveOneResult(t *testing.T) {
	texts := data.Texts(sentences(4)...)
	o := CompareMethodsOptions{Methods: []Method{Occlusion, AttentionGradient, LastNorms}, Seed: 5}
	want, err := openComparer(t, o, Options{Model: bert.Options{Threads: 1}}).Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := openComparer(t, o, Options{Model: bert.Options{Threads: 3}, Tokens: 60}).Do(t.Context(), texts)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("three threads and other batches give other bits: %v", err)
	}
	alone, err := openComparer(t, o, Options{}).Do(t.Context(), texts[3:])
	if err != nil || !reflect.DeepEqual(alone[0], want[3]) {
		t.Errorf("a text has other bits alone: %v", err)
	}
	o.Seed = 6
	if got, err = openComparer(t, o, Options{}).Do(t.Context(), texts); err != nil || reflect.DeepEqual(got, want) || !reflect.DeepEqual(got[0].Targets[0].Removal.Methods, want[0].Targets[0].Removal.Methods) {
		t.Errorf("another seed: %v", err)
	}
}

// Words that integrated gradients and occlusion put first matter more than words at random, over many texts.
func TestComparisonsAreFaithful(t *testing.T) {
	texts := slices.DeleteFunc(sentences(120), func(s string) bool { return len(strings.Fields(s)) < 5 })
	o := CompareMethodsOptions{Methods: []Method{IntegratedGradients, Occlusion}, Orders: 4}
	all, err := openComparer(t, o, Options{}).Do(t.Context(), data.Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	falls, random := make([]float64, 2), 0.0
	for _, c := range all {
		r := &c.Targets[0].Removal
		for k := range falls {
			falls[k] += float64(r.Falls[k]) / float64(len(all))
		}
		random += float64(r.RandomFall) / float64(len(all))
	}
	for k, m := range o.Methods {
		if falls[k] <= random+0.03 {
			t.Errorf("%v: the logit falls by %.3f, at random by %.3f", m, falls[k], random)
		}
	}
}

// Each kind of task has its comparison, and its attention that raises the answer.
func TestCompareMethodsOfKinds(t *testing.T) {
	for _, c := range kindCases() {
		_, e := kindRunners(t, &c, ExplainOptions{})
		in := []data.Input{c.examples[2].Input}
		spec := *e.engine.spec
		want, err := e.Do(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRunner(e.Model(), e.engine.tokenizer, &spec, CompareMethods(CompareMethodsOptions{Orders: 2}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Do(t.Context(), in)
		if err != nil {
			t.Fatalf("%v: %v", c.kind, err)
		}
		if len(got[0].Targets) != len(want[0].Targets) {
			t.Errorf("%v: %d targets, want %d", c.kind, len(got[0].Targets), len(want[0].Targets))
		}
		for i, a := range got[0].Targets {
			w := want[0].Targets[i]
			if !reflect.DeepEqual(a.Target, w.Target) || len(a.Words) != len(w.Words) || a.Value != w.Value {
				t.Errorf("%v: %+v with %d words is %g, want %+v with %d, %g", c.kind, a.Target, len(a.Words), a.Value, w.Target, len(w.Words), w.Value)
			}
			for _, word := range a.Words {
				if word.Scores[AttentionGradient] < 0 || word.Scores[LastAttention] < 0 || word.Scores[LastAttention] > 1 || word.Scores[LastNorms] < 0 {
					t.Errorf("%v: %q has the scores %v", c.kind, word.Text, word.Scores)
				}
			}
		}
		g, err := NewRunner(e.Model(), e.engine.tokenizer, &spec, Attend(AttendOptions{Weights: GradientWeights}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		attended, err := g.Do(t.Context(), in)
		if len(want[0].Targets) == 0 {
			wantError(t, err, "nothing to follow back")
			continue
		}
		if err != nil {
			t.Fatalf("%v: %v", c.kind, err)
		}
		a := attended[0]
		if c.kind == TokenClassification && !slices.Equal(a.From, []int{*a.Target.FirstPiece}) || len(a.From) == 0 || c.kind == SingleLabel && a.From[0] != 0 {
			t.Errorf("%v: %v is read at %v", c.kind, a.Target, a.From)
		}
		if a.Target == nil || c.kind == QuestionAnswering && a.Target.Side != "both" || len(a.Layers[0].Rollout.All) != len(a.Tokens) {
			t.Errorf("%v: %+v", c.kind, a.Target)
		}
	}
}

func TestCompareMethodsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    CompareMethodsOptions
		want string
	}{
		"method": {CompareMethodsOptions{Methods: []Method{99}}, "there is no Method(99)"},
		"twice":  {CompareMethodsOptions{Methods: []Method{Occlusion, Occlusion}}, "method occlusion is there twice"},
		"orders": {CompareMethodsOptions{Orders: -1}, "-1 orders at random"},
		"label":  {CompareMethodsOptions{Label: "good"}, `label "good" is not one`},
	} {
		_, err := Open(t.Context(), explained, CompareMethods(c.o), Options{})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantError(t, err, c.want)
	}
	if _, err := ParseMethods([]string{"ig", "ig"}); err == nil {
		t.Error("a method twice is no error")
	}
	if all, err := ParseMethods([]string{"all"}); err != nil || all != nil {
		t.Errorf("all: %v, %v", all, err)
	}
}

// The scores of attention are the rows of the last layer that Attend gives, on average over the heads.
func TestLastAttention(t *testing.T) {
	text := data.Texts("the film was not good .")
	for method, weights := range map[Method]AttentionWeights{LastAttention: RawWeights, LastNorms: NormWeights} {
		got, err := openExplainer(t, ExplainOptions{Method: method}, Options{}).Do(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		attended, err := openAttender(t, AttendOptions{Weights: weights}, Options{}).Do(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		last := attended[0].Layers[1]
		for i, score := range got[0].Targets[0].Scores {
			want := 0.0
			for _, h := range last.Heads {
				want += float64(h.Rows.All[0][i]) / float64(len(last.Heads))
			}
			if i == 0 || i == len(attended[0].Tokens)-1 {
				want = 0 // [CLS] and [SEP] are no words
			}
			if math.Abs(float64(score)-want) > 1e-5*max(1, want) {
				t.Errorf("%v: token %d has %g, want %g", method, i, score, want)
			}
		}
	}
}

// The scores of attention-gradient are the row of [CLS] of the rollout that bert attention gives.
func TestAttentionGradientIsTheRollouts(t *testing.T) {
	text := data.Texts("the actor is good and the film is bad")
	got, err := openExplainer(t, ExplainOptions{Method: AttentionGradient, Label: "pos"}, Options{}).Do(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	attended, err := openAttender(t, AttendOptions{Weights: GradientWeights, Label: "pos"}, Options{}).Do(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	a := attended[0]
	row := a.Layers[1].Rollout.All[0]
	for i, score := range got[0].Targets[0].Scores {
		want := row[i]
		if slices.Contains(a.Special, i) {
			want = 0
		}
		if score != want {
			t.Errorf("token %d has %g, in the rollout %g", i, score, want)
		}
	}
	if a.Target.Label != "pos" || slices.Max(row) <= 0 || slices.Min(row) < 0 {
		t.Errorf("%+v with %v", a.Target, row)
	}
	// The options of other weights hold here too.
	if _, err := openAttender(t, AttendOptions{Weights: GradientWeights, TopK: 2, Bare: true}, Options{}).Do(t.Context(), text); err != nil {
		t.Error(err)
	}
	_, err = Open(t.Context(), explained, Attend(AttendOptions{Label: "pos"}), Options{})
	wantError(t, err, "want gradient")
	_, err = Open(t.Context(), tinyDir(t, bert.MaskedLM), Attend(AttendOptions{Weights: GradientWeights}), Options{})
	if err == nil {
		t.Error("a model without answers has attention that raises them")
	}
}

// The heads' queries and keys give their attention.
func TestAttentionVectors(t *testing.T) {
	all, err := openAttender(t, AttendOptions{Vectors: true, Rollout: true, Heads: []int{1}}, Options{}).Do(t.Context(), data.Texts("the film was not good .", "joy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		for l, layer := range a.Layers {
			h := layer.Heads[0]
			d := len(h.Queries[0])
			for i, q := range h.Queries {
				sum := 0.0
				weights := make([]float64, len(h.Keys))
				for j, k := range h.Keys {
					s := 0.0
					for x := range q {
						s += float64(q[x]) * float64(k[x])
					}
					weights[j] = math.Exp(s / math.Sqrt(float64(d)))
					sum += weights[j]
				}
				for j, w := range weights {
					if got := float64(h.Rows.All[i][j]); math.Abs(got-w/sum) > 1e-5 {
						t.Fatalf("layer %d, %d to %d: %g, of query and key %g", l, i, j, got, w/sum)
					}
				}
			}
		}
		rollout, err := openAttender(t, AttendOptions{Weights: RolloutWeights}, Options{}).Do(t.Context(), data.Texts(strings.Join(a.Tokens[1:len(a.Tokens)-1], " ")))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rollout[0].Layers[1].Rollout, a.Layers[1].Rollout) {
			t.Error("the rollout beside heads is another")
		}
	}
}

// A pair has blocks; without [CLS] and [SEP] rows sum to 1 among the others.
func TestAttentionOfPairs(t *testing.T) {
	in := []data.Input{{Text: "the film was good", TextPair: "not dull", Pair: true}}
	all, err := openAttender(t, AttendOptions{}, Options{}).Do(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	a := all[0]
	if a.Second != 6 || !slices.Equal(a.Special, []int{0, 5, 8}) {
		t.Fatalf("%q: the second text begins at %d, special are %v", a.Tokens, a.Second, a.Special)
	}
	for _, h := range a.Layers[1].Heads {
		want := 0.0
		for i := 1; i < 5; i++ {
			want += float64(h.Rows.All[i][6]+h.Rows.All[i][7]) / 4
		}
		if math.Abs(float64(h.Blocks.FirstToSecond)-want) > 1e-6 {
			t.Errorf("head %d: %g from the first to the second, want %g", h.Head, h.Blocks.FirstToSecond, want)
		}
	}
	bare, err := openAttender(t, AttendOptions{Bare: true, Weights: NormWeights}, Options{}).Do(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	norms, err := openAttender(t, AttendOptions{Weights: NormWeights}, Options{}).Do(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for h, head := range bare[0].Layers[0].Heads {
		want, err := explain.WithoutTokens(norms[0].Layers[0].Heads[h].Rows.All, marks(9, a.Special))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(head.Rows.All, want) || head.Rows.All[0][3] != 0 || !bare[0].Bare {
			t.Errorf("head %d: %v, want %v", h, head.Rows.All[1], want[1])
		}
	}
}

// A model has not changed since itself; another model's heads do something else.
func TestHeadChanges(t *testing.T) {
	texts := data.Texts(sentences(5)...)
	r := openAttender(t, AttendOptions{}, Options{})
	after, err := r.Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	m := r.Model()
	other, err := bert.New(m.Config(), bert.Options{Head: m.Head(), Threads: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b, err := NewRunner(other, r.Description().Tokenizer, nil, Attend(AttendOptions{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := b.Do(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	var same, changed HeadChanges
	tokens, entropy := 0, 0.0
	for i := range texts {
		if err := same.Add(&after[i], &after[i]); err != nil {
			t.Fatal(err)
		}
		if err := changed.Add(&before[i], &after[i]); err != nil {
			t.Fatal(err)
		}
		tokens += len(after[i].Tokens)
		entropy += float64(before[i].Layers[1].Heads[0].Entropy) * float64(len(after[i].Tokens))
	}
	if changed.Tokens() != tokens {
		t.Errorf("%d tokens, want %d", changed.Tokens(), tokens)
	}
	for i, h := range changed.Heads() {
		if s := same.Heads()[i]; s.Divergence != 0 || s.Before != s.After {
			t.Errorf("since itself: %+v", s)
		}
		if h.Layer != i/2 || h.PaperLayer != i/2+1 || h.Head != i%2 || h.PaperHead != i%2+1 || !(h.Divergence > 0.001 && h.Divergence < math.Ln2) || h.Before == h.After {
			t.Errorf("since another: %+v", h)
		}
		if i == 2 && math.Abs(float64(h.Before.Entropy)-entropy/float64(tokens)) > 1e-5 {
			t.Errorf("the entropy was %g, want %g", h.Before.Entropy, entropy/float64(tokens))
		}
	}
	wantError(t, same.Add(&before[0], &after[1]), "want models with one vocabulary")
	top, err := openAttender(t, AttendOptions{TopK: 1}, Options{}).Do(t.Context(), texts[:1])
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, same.Add(&top[0], &top[0]), "want all")
}

// The attention that raises a label is what Chefer, Gur and Wolf's formula gives with gradients by differences, in loops of another
// program (testdata/explain/chefer.py).
func TestAttentionGradientEqualsDifferences(t *testing.T) {
	text, err := os.ReadFile(explained + "/chefer.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Texts []struct {
			Text      string
			Relevance [][][]float64 // [labels,n,n]
		}
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	for label, name := range []string{"neg", "neutral", "pos"} {
		r := openAttender(t, AttendOptions{Weights: GradientWeights, Label: name}, Options{})
		e := openExplainer(t, ExplainOptions{Method: AttentionGradient, Label: name}, Options{})
		for _, c := range g.Texts {
			attended, err := r.Do(t.Context(), data.Texts(c.Text))
			if err != nil {
				t.Fatal(err)
			}
			explanations, err := e.Do(t.Context(), data.Texts(c.Text))
			if err != nil {
				t.Fatal(err)
			}
			rows := attended[0].Layers[1].Rollout.All
			if len(rows) != len(c.Relevance[label]) {
				t.Fatalf("%q: %d rows, want %d", c.Text, len(rows), len(c.Relevance[label]))
			}
			for i, row := range c.Relevance[label] {
				for j, want := range row {
					if i == j {
						want--
					}
					if math.Abs(float64(rows[i][j])-want) > 1e-5 {
						t.Errorf("%s of %q: %d for %d is %g, want %g", name, c.Text, j, i, rows[i][j], want)
					}
					if score := explanations[0].Targets[0].Scores[j]; i == 0 && score != 0 && score != rows[0][j] {
						t.Errorf("%s of %q: the score of token %d is %g, want %g", name, c.Text, j, score, rows[0][j])
					}
				}
			}
		}
	}
}
