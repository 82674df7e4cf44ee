package task

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

func tinyPredictor(t testing.TB, d Spec, o Options) *Runner[Prediction] {
	t.Helper()
	p, err := NewRunner(tinyModel(t, bert.SequenceClassification, d.Labels...), tinyTokenizer(t), &d, Predict(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPredict(t *testing.T) {
	d := tinySpec()
	p := tinyPredictor(t, d, Options{})
	inputs := someTexts(40)
	inputs = append(inputs, data.Input{IDs: []int32{2, 7, 8, 3}}, data.Input{IDs: []int32{2, 7, 3, 8, 3}, TypeIDs: []int32{0, 0, 0, 1, 1}})
	all, err := p.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	classes := make(map[string]int)
	truncated := 0
	var e tokenizer.Encoding
	for i, got := range all {
		classes[got.Label]++
		sum := 0.0
		for j, s := range got.Probabilities {
			sum += s.Value
			if s.Label != d.Labels[j] || math.Abs(math.Log(s.Value)-got.LogProbabilities.Of(s.Label)) > 1e-9 || s.Value > got.Probabilities.Of(got.Label) {
				t.Errorf("input %d: %+v", i, got)
			}
		}
		if margin := got.LogProbabilities.Of("pos") - got.LogProbabilities.Of("neg"); math.Abs(sum-1) > 1e-12 || math.Abs(margin-float64(got.Logits[1])+float64(got.Logits[0])) > 1e-6 {
			t.Errorf("input %d: %+v", i, got)
		}
		if inputs[i].IDs == nil {
			if inputs[i].TextPair == "" {
				err = p.Description().Tokenizer.Encode(&e, inputs[i].Text, d.options())
			} else {
				err = p.Description().Tokenizer.EncodePair(&e, inputs[i].Text, inputs[i].TextPair, d.options())
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.DroppedTokens != e.Truncated || got.Truncated != (e.Truncated > 0) {
				t.Errorf("input %d: %v, %d tokens dropped, want %d", i, got.Truncated, got.DroppedTokens, e.Truncated)
			}
			if got.Truncated {
				truncated++
			}
		} else if got.Truncated || got.DroppedTokens != 0 {
			t.Errorf("ids were truncated: %+v", got)
		}
		alone, err := p.Do(t.Context(), inputs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone[0], got) {
			t.Errorf("input %d alone: %+v, among others %+v", i, alone[0], got)
		}
	}
	if len(classes) != 2 || truncated == 0 {
		t.Fatalf("the test needs both classes and truncated texts: %v, %d", classes, truncated)
	}
	if none, err := p.Do(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no inputs: %v, %v", none, err)
	}
	if !math.IsNaN(all[0].Probabilities.Of("other")) {
		t.Error("a label that isn't there has a probability")
	}
}

func TestPredictionJSON(t *testing.T) {
	p := Prediction{
		Label: "pos", Probabilities: Scores{{"z<", 0.25}, {"pos", 0.75}}, LogProbabilities: Scores{{"z<", -1.5}, {"pos", -0.25}},
		Logits: []float32{-0.1, 1}, Truncated: true, DroppedTokens: 3,
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		t.Fatal(err)
	}
	want := `{"label":"pos","probabilities":{"z<":0.25,"pos":0.75},"log_probabilities":{"z<":-1.5,"pos":-0.25},"logits":[-0.1,1],"truncated":true,"dropped_tokens":3}` + "\n"
	if b.String() != want {
		t.Errorf("wrote %s, want %s", b.String(), want)
	}
}

func TestPredictErrors(t *testing.T) {
	d := tinySpec()
	d.Truncation = tokenizer.DoNotTruncate
	p := tinyPredictor(t, d, Options{})
	for _, c := range []struct {
		in   data.Input
		want string
	}{
		{data.Input{Text: strings.Repeat("good ", 15)}, "input 1: 17 tokens, want at most 16"},
		{data.Input{IDs: []int32{}}, "input 1: no ids"},
		{data.Input{IDs: []int32{5000}}, "input 1: id 5000, the number 1, is not in the vocabulary of"},
		{data.Input{IDs: []int32{-1}}, "input 1: id -1"},
		{data.Input{IDs: make([]int32, 49)}, "input 1: 49 ids, want at most 48"},
		{data.Input{IDs: []int32{1}, TypeIDs: []int32{2}}, "input 1: type id 2, the number 1, is not one of 2"},
		{data.Input{IDs: []int32{1}, TypeIDs: []int32{}}, "input 1: 0 type ids for 1 ids"},
		{data.Input{IDs: []int32{1}, Text: "x"}, "input 1: both text and ids"},
		{data.Input{TypeIDs: []int32{1}}, "input 1: type ids without ids"},
	} {
		_, err := p.Do(t.Context(), []data.Input{{Text: "good"}, c.in})
		wantError(t, err, c.want)
		var bad *InputError
		if !errors.As(err, &bad) || bad.Index != 1 {
			t.Errorf("%v is no *InputError of input 1", err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Do(ctx, data.Texts("good")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}

	tok := tinyTokenizer(t)
	_, err := NewRunner(tinyModel(t, bert.PreTraining), tok, &d, Predict(), Options{})
	wantError(t, err, "a BertForPreTraining has no answers to texts")
	m := tinyModel(t, bert.SequenceClassification, "x", "y")
	_, err = NewRunner(m, tok, &d, Predict(), Options{})
	wantError(t, err, `the task's labels are "neg", "pos", the model's "x", "y"`)
	d.Labels, d.Positive, d.MaxSeqLength = []string{"x", "y"}, "", 49
	_, err = NewRunner(m, tok, &d, Predict(), Options{})
	wantError(t, err, "max_seq_length is 49, the model has 48 positions")
	d.MaxSeqLength = 8
	big, err := tokenizer.New(append(tinyVocab(), "more"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewRunner(m, big, &d, Predict(), Options{})
	wantError(t, err, "the vocabulary has")
}

func TestOpen(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
	p, err := Open(t.Context(), dir, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Description().Spec; d.MaxSeqLength != 48 || d.Positive != "pos" || d.Truncation != tokenizer.LongestFirst {
		t.Errorf("without task.json: %+v", d)
	}
	inputs := someTexts(10)
	got, err := p.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	d := tinySpec()
	d.MaxSeqLength = 48
	want, err := tinyPredictor(t, d, Options{}).Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the saved model answers otherwise")
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = p.Do(t.Context(), inputs)
	wantError(t, err, "the model is closed")
	if !errors.Is(err, bert.ErrClosed) {
		t.Errorf("%v is not ErrClosed", err)
	}

	d.MaxSeqLength = 6
	if err := d.Save(dir); err != nil {
		t.Fatal(err)
	}
	p, err = Open(t.Context(), dir, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Description().Spec.MaxSeqLength; got != 6 {
		t.Errorf("max_seq_length is %d, want task.json's 6", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}

	write(t, filepath.Join(dir, SpecFile), `{"task": "t", "labels": ["pos", "neg"], "max_seq_length": 8}`)
	_, err = Open(t.Context(), dir, Predict(), Options{})
	wantError(t, err, dir, `the task's labels are "pos", "neg", the model's "neg", "pos"`)
	write(t, filepath.Join(dir, SpecFile), `{`)
	_, err = Open(t.Context(), dir, Predict(), Options{})
	wantError(t, err, filepath.Join(dir, SpecFile)+": not JSON")
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), dir, Predict(), Options{})
	wantError(t, err, dir)
	_, err = Open(t.Context(), filepath.Join(dir, "none"), Predict(), Options{})
	wantError(t, err, "none")
}

// A model whose weights aren't numbers says so, and not that a text is good.
func TestPredictOfBrokenWeights(t *testing.T) {
	dir := tinyDir(t, bert.SequenceClassification, "neg", "pos")
	path := filepath.Join(dir, "model.safetensors")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint64(content))
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(content[8:8+n], &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "__metadata__")
	tensors, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(tensors, &header); err != nil {
		t.Fatal(err)
	}
	at := 8 + n + header["classifier.bias"].Offsets[0]
	binary.LittleEndian.PutUint32(content[at:], math.Float32bits(float32(math.NaN())))
	write(t, path, string(content))
	p, err := Open(t.Context(), dir, Predict(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.Do(t.Context(), data.Texts("good"))
	wantError(t, err, "input 0", "tensor classifier.bias has 1 NaN", "the model is broken")
	if !errors.Is(err, bert.ErrNotFinite) {
		t.Errorf("%v is not ErrNotFinite", err)
	}
}

func TestPredictConcurrently(t *testing.T) {
	p := tinyPredictor(t, tinySpec(), Options{Sessions: 3, Tokens: 30})
	inputs := someTexts(30)
	want, err := p.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 6 {
				from := (g + 3*i) % 20
				got, err := p.Do(t.Context(), inputs[from:from+10])
				if err != nil || !reflect.DeepEqual(got, want[from:from+10]) {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	wait.Wait()
	// Close lets those end that have begun; later calls get ErrClosed.
	for range 4 {
		wait.Go(func() {
			if got, err := p.Do(t.Context(), inputs); err == nil && !reflect.DeepEqual(got, want) || err != nil && !errors.Is(err, bert.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wait.Wait()
}

// The first passes of a model just opened may be at the same time, each with a session of its own. (Run with -race.)
func TestPredictConcurrentlyFromTheStart(t *testing.T) {
	p, err := Open(t.Context(), tinyDir(t, bert.SequenceClassification, "neg", "pos"), Predict(), Options{Sessions: 4, Tokens: 30})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var (
		wait   sync.WaitGroup
		inputs = someTexts(10)
		got    [8][]Prediction
	)
	for g := range got {
		wait.Go(func() {
			var err error
			if got[g], err = p.Do(t.Context(), inputs); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for g := range got {
		if !reflect.DeepEqual(got[g], got[0]) {
			t.Errorf("goroutine %d has other answers", g)
		}
	}
}

// streamed is what a stream of predictions emits, each with its place and text.
func streamed(t testing.TB, p *Runner[Prediction], in data.Inputs) ([]string, error) {
	t.Helper()
	var out []string
	err := p.Stream(t.Context(), in, func(item Item, answer Prediction) error {
		out = append(out, fmt.Sprint(item.Source, "|", item.Text, "|", item.TextPair, "|", answer))
		return nil
	})
	return out, err
}

func TestStream(t *testing.T) {
	inputs := someTexts(1500)
	for _, tokens := range []int{1, 0} {
		p := tinyPredictor(t, tinySpec(), Options{Tokens: tokens})
		if tokens == 1 {
			inputs = inputs[:100]
		}
		answers, err := p.Do(t.Context(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		var (
			lines bytes.Buffer
			want  []string
		)
		for i, in := range inputs {
			if in.TextPair == "" {
				fmt.Fprintln(&lines, in.Text)
			} else {
				line, err := json.Marshal(map[string]string{"text": in.Text, "text_pair": in.TextPair})
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&lines, "%s\n", line)
			}
			want = append(want, fmt.Sprintf("f:%d|%s|%s|%v", i+1, in.Text, in.TextPair, answers[i]))
		}
		got, err := streamed(t, p, data.NewInputReader(&lines, "f", data.InputOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d answers other than Predict's %d, or in another order", len(got), len(want))
		}
	}
}

func TestStreamOfBadLines(t *testing.T) {
	d := tinySpec()
	d.Truncation = tokenizer.DoNotTruncate
	p := tinyPredictor(t, d, Options{})
	const content = "good\nbad\n{\"ids\": [9999]}\nfilm\n{\"txt\": 1}\nthe film is very very very very very very very very very very very very very bad\nlast\n"
	got, err := streamed(t, p, data.NewInputReader(strings.NewReader(content), "f", data.InputOptions{}))
	wantError(t, err, "f:3: id 9999")
	if len(got) != 2 {
		t.Errorf("%d answers, want those of the 2 lines before the bad one", len(got))
	}
	in := data.NewInputReader(strings.NewReader(content), "f", data.InputOptions{SkipBad: true})
	got, err = streamed(t, p, in)
	if err != nil {
		t.Fatal(err)
	}
	n, first := in.Skipped()
	if n != 3 || len(got) != 4 || !strings.HasPrefix(got[3], "f:7|last|") {
		t.Errorf("skipped %d, answers %q", n, got)
	}
	wantError(t, first, "f:3: id 9999")
	if got, err := streamed(t, p, data.NewInputReader(strings.NewReader(""), "f", data.InputOptions{})); err != nil || len(got) != 0 {
		t.Errorf("an empty stream: %v, %v", got, err)
	}
	broken := errors.New("broken disk")
	got, err = streamed(t, p, data.NewInputReader(io.MultiReader(strings.NewReader("good\nbad"), iotest.ErrReader(broken)), "f", data.InputOptions{SkipBad: true}))
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("a failing reader: %q, %v", got, err)
	}
	full := errors.New("full disk")
	n = 0
	err = p.Stream(t.Context(), data.NewInputReader(strings.NewReader(content), "f", data.InputOptions{SkipBad: true}), func(Item, Prediction) error {
		n++
		return full
	})
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("a failing writer: %v after %d", err, n)
	}
}

// Who types a line gets its answer before the next one.
func TestStreamAnswersAtOnce(t *testing.T) {
	p := tinyPredictor(t, tinySpec(), Options{})
	r, w := io.Pipe()
	answers := make(chan string)
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- p.Stream(ctx, data.NewInputReader(r, "pipe", data.InputOptions{}), func(item Item, _ Prediction) error {
			answers <- item.Text
			return nil
		})
	}()
	for _, text := range []string{"good", "", "bad"} {
		if _, err := io.WriteString(w, text+"\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answers:
			if got != text {
				t.Errorf("answer to %q, want to %q", got, text)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no answer")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	w.Close() // ends the reading goroutine
}
