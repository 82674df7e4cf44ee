package task

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// nerSpec is that of a model for tags of two types.
func nerSpec(length int) Spec {
	return Spec{Task: "ner", Kind: TokenClassification, Labels: []string{"B-X", "B-Y", "I-X", "I-Y", "O"}, MaxSeqLength: length}
}

// A label is on the first piece of its word; a word of no piece has none.
func TestWordTargets(t *testing.T) {
	tok := tinyTokenizer(t)
	d := nerSpec(16)
	x := data.Example{
		Input:  data.Input{Words: []string{"film", "bcd", "\u200b", "very", "good!"}},
		Labels: []string{"O", "B-X", "B-Y", "O", "I-X"},
	}
	dataset, err := NewDataset(t.Context(), tok, d, []data.Example{x})
	if err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	if err := dataset.Append(&b, 0); err != nil {
		t.Fatal(err)
	}
	want := []string{"[CLS]", "film", "b", "##c", "##d", "very", "good", "!", "[SEP]"}
	if got := tok.Tokens(b.IDs); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	if want := []int32{-1, 4, 0, -1, -1, 4, 2, -1, -1}; !slices.Equal(b.TokenClasses, want) {
		t.Errorf("%v, want %v", b.TokenClasses, want)
	}
	if s := dataset.Stats(); !slices.Equal(s.PerLabel, []int{1, 0, 1, 0, 2}) {
		t.Errorf("%v", s.PerLabel)
	}
	// The word of no piece still counts: as one that was not found.
	m := tinyModel(t, bert.TokenClassification, d.Labels...)
	r, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	report := r.Report.(*EntityReport)
	if report.Words != 5 || report.Micro.Support != 3 || report.Predictions[0][2] != 4 {
		t.Errorf("%+v", report)
	}
	for _, c := range []struct {
		x    data.Example
		want string
	}{
		{data.Example{Input: x.Input, Labels: []string{"O"}}, "1 labels for 5 words"},
		{data.Example{Input: data.Input{Words: []string{"a", "b"}}, Labels: []string{"O", "B-Z"}}, `word 2, "b": label "B-Z" is not one of "B-X"`},
		{data.Example{Input: data.Input{Text: "a"}, Label: "O"}, "no label"},
		{data.Example{Input: data.Input{IDs: []int32{2, 3}}, Labels: []string{}}, "ids, but the model labels words"},
		{data.Example{Input: data.Input{Text: "a", TextPair: "b"}, Labels: []string{}}, "a pair of texts"},
		{data.Example{Input: data.Input{Text: "a", Words: []string{"b"}}, Labels: []string{"O"}}, "both text and words"},
		{data.Example{Input: data.Input{Text: "a", Choices: []string{"b"}}, Labels: []string{"O"}}, "choices, but the model labels words"},
	} {
		c.x.Source = data.Source{File: "a.txt", Line: 7}
		_, err := NewDataset(t.Context(), tok, d, []data.Example{c.x})
		wantError(t, err, "a.txt:7: "+c.want)
	}
}

// A long sentence is read in windows; each word is labelled once, in the window where it has the most context.
func TestWordWindows(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, stride := range []int{0, 1, 3, 100} {
		for n := 1; n < 40; n++ {
			d := nerSpec(10)
			d.DocStride = stride
			x := data.Example{Input: data.Input{Words: make([]string, n)}, Labels: make([]string, n)}
			for i := range n {
				x.Words[i] = []string{"good", "bcd", "film", "very", "not", "bc"}[(i*i+i/3)%6]
				x.Labels[i] = d.Labels[i%5]
			}
			dataset, err := NewDataset(t.Context(), tok, d, []data.Example{x})
			if err != nil {
				t.Fatal(err)
			}
			if s := dataset.Stats(); s.Truncated > 0 || s.Longest > 10 {
				t.Fatalf("%d words: %v", n, s)
			}
			in, s := dataset.example(0)
			var whole tokenizer.Encoding
			if err := tok.EncodeWords(&whole, in.Words, tokenizer.Options{}); err != nil {
				t.Fatal(err)
			}
			labelled := make(map[int32]int)
			at := 0
			for w := range s {
				for i, word := range s[w].words {
					if class := dataset.targets.tokens[at]; class >= 0 {
						labelled[word]++
						first := slices.Index(whole.WordIDs, word)
						if int(class) != int(word)%5 || s[w].ids[i] != whole.IDs[first] {
							t.Errorf("stride %d, %d words: window %d labels the token %d of word %d with %d", stride, n, w, i, word, class)
						}
					}
					at++
				}
			}
			for word := range n {
				if labelled[int32(word)] != 1 {
					t.Errorf("stride %d, %d words: word %d is labelled %d times", stride, n, word, labelled[int32(word)])
				}
			}
			// What is on both sides of a word in its window, against the best of all windows.
			if stride != 0 {
				continue
			}
			for word, p := range d.wordPlaces(s, n) {
				least := min(p.token, len(s[p.window].ids)-1-p.token)
				if inner := word > 6 && word < n-7; inner && least < 3 {
					t.Errorf("%d words: word %d has %d tokens on its poorer side", n, word, least)
				}
			}
		}
	}
}

// Entities are pieces of the text by bytes, whatever its letters; for words, of the words with blanks between them.
func TestEntityOffsets(t *testing.T) {
	tok := tinyTokenizer(t)
	labels := nerSpec(48).Labels
	// A model that is asked nothing: the logits are made to say the tags.
	answer := func(d Spec, in data.Input, tags []string) Prediction {
		f := featurizer{tokenizer: tok, options: d.options(), spec: &d}
		var (
			e      tokenizer.Encoding
			s      []sequence
			logits [][]float32
		)
		err := tokenClassification{}.encode(&f, &in, &e, func(e *tokenizer.Encoding) { s = append(s, newSequence(e, true)) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range s {
			logits = append(logits, make([]float32, len(s[i].ids)*len(labels)))
		}
		for word, p := range d.wordPlaces(s, wordsOf(&in, s)) {
			if p.window >= 0 {
				logits[p.window][p.token*len(labels)+slices.Index(labels, tags[word])] = 20
			}
		}
		return foldAll(tokenClassification{}.fold(&d, &in), s, logits)
	}
	text := "Très  Müller-Ôze, «Ⅷ日本» é"
	// très müller - ôze , « Ⅷ 日 本 » é
	tags := strings.Fields("O B-X I-X I-X O O I-Y B-X I-X O B-Y")
	for _, length := range []int{48, 9} {
		p := answer(nerSpec(length), data.Input{Text: text}, tags)
		want := []string{"X Müller-Ôze 1-3", "Y Ⅷ 6-6", "X 日本 7-8", "Y é 10-10"}
		var got []string
		for _, e := range p.Entities {
			got = append(got, fmt.Sprintf("%s %s %d-%d", e.Type, e.Text, e.FirstWord, e.LastWord))
			if text[e.Start:e.End] != e.Text || e.Score < 0.99 {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(got, want) || p.Labels != nil {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p := answer(nerSpec(48), data.Input{Words: []string{"Müller", "du", "\u200b", "Ôze"}}, strings.Fields("B-X I-X O B-Y"))
	want := []Entity{{"X", "Müller du", 0, 10, 0, 1, 0}, {"Y", "Ôze", 15, 19, 3, 3, 0}}
	for i := range p.Entities {
		p.Entities[i].Score = 0
	}
	if !reflect.DeepEqual(p.Entities, want) || !slices.Equal(p.Labels, strings.Fields("B-X I-X O B-Y")) {
		t.Errorf("%+v, %q", p.Entities, p.Labels)
	}
	if p := answer(nerSpec(48), data.Input{}, nil); p.Entities == nil || len(p.Entities) != 0 {
		t.Errorf("of nothing %+v", p)
	}
}

// A long sentence among others is answered as it is alone, and evaluation and prediction agree.
func TestLongSentences(t *testing.T) {
	tok := tinyTokenizer(t)
	d := nerSpec(12)
	m := tinyModel(t, bert.TokenClassification, d.Labels...)
	var (
		examples []data.Example
		inputs   []data.Input
		set      = metric.NewTagSet(d.Labels)
	)
	for i := range 12 {
		x := data.Example{Input: data.Input{Words: []string{}}, Labels: []string{}}
		for j := range 1 + i*i%31 {
			x.Words = append(x.Words, []string{"good", "bcd", "film", "very"}[(i*j+j)%4])
			x.Labels = append(x.Labels, d.Labels[(i+j)%5])
		}
		examples, inputs = append(examples, x), append(inputs, x.Input)
	}
	dataset, err := NewDataset(t.Context(), tok, d, examples)
	if err != nil {
		t.Fatal(err)
	}
	if dataset.Stats().Windows == 0 {
		t.Fatal("no sentence has windows")
	}
	r, err := Evaluate(t.Context(), m, dataset, EvaluateOptions{Tokens: 30})
	if err != nil {
		t.Fatal(err)
	}
	checkLoss(t, m, dataset, r.Loss)
	p, err := NewRunner(m, tok, &d, Predict(), Options{Tokens: 25})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	right, words := 0, 0
	for i, x := range examples {
		alone, err := p.Do(t.Context(), inputs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone[0], got[i]) {
			t.Errorf("sentence %d: %+v, alone %+v", i, got[i], alone[0])
		}
		tags := make([]metric.Tag, len(x.Words))
		for j, label := range got[i].Labels {
			tags[j] = set.Tag(label)
			words++
			if label == x.Labels[j] {
				right++
			}
		}
		if n := len(metric.Entities(tags)); n != len(got[i].Entities) {
			t.Errorf("sentence %d has %d entities, its labels spell %d", i, len(got[i].Entities), n)
		}
	}
	if acc := value(t, r.Metrics(), "eval_accuracy"); math.Abs(acc-float64(right)/float64(words)) > 1e-12 {
		t.Errorf("accuracy %v, %d of %d predictions are right", acc, right, words)
	}
}
