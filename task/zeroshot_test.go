package task

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
)

// A label's score is the entailment of its hypothesis, as a Predictor of the same model sees it.
func TestZeroShot(t *testing.T) {
	tok := tinyTokenizer(t)
	m := tinyModel(t, bert.SequenceClassification, "CONTRADICTION", "Entailment", "neutral")
	d := Spec{Task: "mnli", Labels: []string{"CONTRADICTION", "Entailment", "neutral"}, MaxSeqLength: 24}
	labels := []string{"good", "bad", "very dull"}
	p, err := NewRunner(m, tok, &d, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	inputs := data.Texts("the film is good", "it was not a very bad film , and i was not", "")
	for _, multi := range []bool{false, true} {
		z, err := NewRunner(m, tok, &d, ZeroShot(ZeroShotOptions{Labels: labels, Template: "it is {} .", MultiLabel: multi}), Options{Tokens: 60})
		if err != nil {
			t.Fatal(err)
		}
		got, err := z.Do(t.Context(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range inputs {
			var (
				sum   float64
				alone = make([]Prediction, len(labels))
			)
			for j, label := range labels {
				answers, err := p.Do(t.Context(), []data.Input{{Text: in.Text, TextPair: "it is " + label + " ."}})
				if err != nil {
					t.Fatal(err)
				}
				alone[j] = answers[0]
				sum += math.Exp(float64(answers[0].Logits[1]))
			}
			for j, label := range labels {
				want := math.Exp(float64(alone[j].Logits[1])) / sum
				if multi {
					yes, no := math.Exp(float64(alone[j].Logits[1])), math.Exp(float64(alone[j].Logits[0]))
					want = yes / (yes + no)
				}
				if p := got[i].Probabilities.Of(label); math.Abs(p-want) > 1e-6 {
					t.Errorf("multi-label %v, input %d: %s has %v, want %v", multi, i, label, p, want)
				}
			}
			one, err := z.Do(t.Context(), inputs[i:i+1])
			if err != nil || !reflect.DeepEqual(one[0], got[i]) {
				t.Errorf("input %d alone: %+v, %v; among others %+v", i, one, err, got[i])
			}
			if multi != (got[i].Labels != nil) || multi == (got[i].Label != "") {
				t.Errorf("multi-label %v: %+v", multi, got[i])
			}
		}
		// A long text is cut for each hypothesis; the hypotheses stay whole. What is dropped counts once, whatever the number of
		// labels: it was the sum over all of them.
		long, err := z.Do(t.Context(), data.Texts(strings.Repeat("good ", 30)))
		if err != nil || !long[0].Truncated || long[0].DroppedTokens != 30-(24-3-5) {
			t.Errorf("%+v, %v", long, err)
		}
	}
	for _, c := range []struct {
		d    Spec
		o    ZeroShotOptions
		want string
	}{
		{d, ZeroShotOptions{}, "no labels to choose from"},
		{d, ZeroShotOptions{Labels: []string{"a", "a"}}, `labels "a", "a": want different ones`},
		{d, ZeroShotOptions{Labels: []string{"a"}, Template: "{} {}"}, `template "{} {}": want {} in it, once`},
	} {
		_, err := NewRunner(m, tok, &c.d, ZeroShot(c.o), Options{})
		wantError(t, err, c.want)
	}
	z, err := NewRunner(m, tok, &d, ZeroShot(ZeroShotOptions{Labels: labels}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Do(t.Context(), []data.Input{{Text: "good"}, {Text: "good", TextPair: "bad"}})
	wantError(t, err, "input 1: want a single text")
	other := tinyModel(t, bert.SequenceClassification, "neg", "pos")
	sentiment := tinySpec()
	_, err = NewRunner(other, tok, &sentiment, ZeroShot(ZeroShotOptions{Labels: labels}), Options{})
	wantError(t, err, `its labels are "neg", "pos", want a model of natural language inference`)
}

func TestSimilarities(t *testing.T) {
	tok := tinyTokenizer(t)
	m := tinyModel(t, bert.NoHead)
	pairs := []data.Input{{Text: "the film is good", TextPair: "the film is good"}, {Text: "bad", TextPair: "a very bright film"}, {Text: "a", TextPair: "i"}}
	for _, pooling := range []Pooling{CLSPooling, MeanPooling, MaxPooling, PoolerPooling} {
		for _, normalized := range []bool{false, true} {
			e, err := NewRunner(m, tok, nil, Encode(EncodeOptions{Pooling: pooling, Normalize: normalized}), Options{Tokens: 12})
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewRunner(m, tok, nil, Compare(EncodeOptions{Pooling: pooling, Normalize: normalized}), Options{Tokens: 12})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Do(t.Context(), pairs)
			if err != nil {
				t.Fatal(err)
			}
			for i, pair := range pairs {
				both, err := e.Do(t.Context(), data.Texts(pair.Text, pair.TextPair))
				if err != nil {
					t.Fatal(err)
				}
				if want := Cosine(both[0].Pooled, both[1].Pooled); got[i].Cosine != want || want < -1 || want > 1 {
					t.Errorf("%v, pair %d: %v, want %v", pooling, i, got[i].Cosine, want)
				}
				if length := Cosine(both[0].Pooled, both[0].Pooled); math.Abs(length-1) > 1e-6 {
					t.Errorf("a vector's cosine with itself is %v", length)
				}
				squares := 0.0
				for _, x := range both[1].Pooled {
					squares += float64(x) * float64(x)
				}
				if normalized && math.Abs(squares-1) > 1e-6 {
					t.Errorf("a normalized vector has the squared length %v", squares)
				}
			}
			if math.Abs(got[0].Cosine-1) > 1e-6 || got[1].Cosine > 0.9999 {
				t.Errorf("%v: %v", pooling, got)
			}
		}
	}
	_, err := NewRunner(m, tok, nil, Compare(EncodeOptions{Pooling: NoPooling}), Options{})
	wantError(t, err, "vectors of texts are needed")
	c, err := NewRunner(m, tok, nil, Compare(EncodeOptions{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), data.Texts("one text"))
	wantError(t, err, "input 0: want two texts to compare")
	if got := Cosine([]float32{0, 0}, []float32{1, 2}); got != 0 {
		t.Errorf("the cosine with a vector of no length is %v", got)
	}
}
