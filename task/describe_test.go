package task

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// A description of a directory says what Open then does.
func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		head   bert.Head
		labels []string
		kind   Kind
		can    []Capability
	}{
		{bert.NoHead, nil, 0, []Capability{Encoding, Comparing}},
		{bert.MaskedLM, nil, 0, []Capability{FillingMasks, Encoding, Comparing}},
		{bert.PreTraining, nil, SingleLabel, []Capability{Predicting, FillingMasks, Encoding, Comparing}},
		{bert.NextSentence, nil, SingleLabel, []Capability{Predicting, Encoding, Comparing}},
		{bert.SequenceClassification, []string{"neg", "pos"}, SingleLabel, []Capability{Predicting, Encoding, Comparing}},
		{bert.SequenceClassification, []string{"Entailment", "other"}, SingleLabel, []Capability{Predicting, Encoding, Comparing, ZeroShotting}},
		{bert.SequenceClassification, []string{"x"}, Regression, []Capability{Predicting, Encoding, Comparing}},
		{bert.TokenClassification, []string{"B-X", "O"}, TokenClassification, []Capability{Predicting, Encoding, Comparing}},
		{bert.QuestionAnswering, nil, QuestionAnswering, []Capability{Predicting, Encoding, Comparing}},
		{bert.MultipleChoice, nil, MultipleChoice, []Capability{Predicting, Encoding, Comparing}},
	} {
		t.Run(fmt.Sprint(c.head, c.labels), func(t *testing.T) {
			dir := tinyDir(t, c.head, c.labels...)
			d, err := Describe(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if d.Head != c.head || d.Saved || !slices.Equal(d.Can(), c.can) {
				t.Errorf("%v, saved %v, can %v; want %v, not saved, %v", d.Head, d.Saved, d.Can(), c.head, c.can)
			}
			if predicts := slices.Contains(c.can, Predicting); predicts != (d.Spec != nil) || predicts && d.Spec.Kind != c.kind {
				t.Errorf("spec %+v", d.Spec)
			}
			check(t, dir, d, Predicting, Predict())
			check(t, dir, d, FillingMasks, FillMask(1))
			check(t, dir, d, Encoding, Encode(EncodeOptions{}))
			check(t, dir, d, Comparing, Compare(EncodeOptions{Pooling: CLSPooling}))
			check(t, dir, d, ZeroShotting, ZeroShot(ZeroShotOptions{Labels: []string{"a"}}))
		})
	}
}

// check opens a model for a use that d says it has or hasn't.
func check[T any](t *testing.T, dir string, d *Description, asked Capability, use Use[T]) {
	t.Helper()
	r, err := Open(t.Context(), dir, use, Options{})
	if err == nil {
		if !slices.Contains(d.Can(), asked) {
			t.Errorf("opened for %v, which it can't", asked)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	var wrong *WrongTaskError
	if !errors.As(err, &wrong) || slices.Contains(d.Can(), asked) {
		t.Fatalf("%v: %v", asked, err)
	}
	if wrong.Dir != dir || wrong.Asked != asked || wrong.Head != d.Head || !slices.Equal(wrong.Can, d.Can()) {
		t.Errorf("%+v", wrong)
	}
	if !strings.HasPrefix(err.Error(), dir+": ") {
		t.Errorf("%v: want the directory first", err)
	}
}

// Without architectures the weights say which head there is, as for Open.
func TestDescribeWithoutArchitectures(t *testing.T) {
	dir := tinyDir(t, bert.MaskedLM)
	path := filepath.Join(dir, "config.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), `"architectures"`, `"architects"`, 1)
	if changed == string(content) {
		t.Fatal("no architectures")
	}
	write(t, path, changed)
	d, err := Describe(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Head != bert.MaskedLM {
		t.Errorf("head %v, want %v", d.Head, bert.MaskedLM)
	}
}

// The tokenizer's model_max_length holds where it leaves room for a token.
func TestDescribeLength(t *testing.T) {
	for given, want := range map[int]int{0: 48, 1: 48, 2: 48, 3: 3, 20: 20, 500: 48} {
		dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
		c := tokenizer.DefaultConfig()
		c.ModelMaxLength = given
		tok, err := tokenizer.New(tinyVocab(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Save(dir, tokenizer.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		d, err := Describe(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if d.Spec.MaxSeqLength != want || d.Spec.Validate() != nil {
			t.Errorf("model_max_length %d: sequences of %d, want %d", given, d.Spec.MaxSeqLength, want)
		}
	}
}

// A task.json that doesn't fit is an error of the uses that need it, and of no others.
func TestDescribeOfBrokenSpec(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
	write(t, filepath.Join(dir, SpecFile), `{`)
	d, err := Describe(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Can(), []Capability{Encoding, Comparing}; !slices.Equal(got, want) {
		t.Errorf("can %v, want %v", got, want)
	}
	wantError(t, d.Check(Predicting), SpecFile+": not JSON")
	if err := d.Check(Encoding); err != nil {
		t.Error(err)
	}
}

func TestCapabilities(t *testing.T) {
	for c := range Capability(len(capabilityNames)) {
		text, err := c.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Capability
		if err := back.UnmarshalText(text); err != nil || back != c {
			t.Errorf("%v: %v, %v", c, back, err)
		}
	}
	_, err := ParseCapability("train")
	wantError(t, err, `capability "train": want predict, fill-mask, encode, similarity, zero-shot`)
}
