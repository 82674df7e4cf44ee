package task

import (
	"cmp"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

func TestFillMask(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, head := range []bert.Head{bert.MaskedLM, bert.PreTraining} {
		m := tinyModel(t, head)
		v := m.Config().VocabSize
		inputs := []data.Input{
			{Text: "the [MASK] is good"},
			{Text: "[MASK]"},
			{Text: "i was [MASK] and [MASK] .", TextPair: "very [MASK] !"},
			{IDs: []int32{2, 4, 4, 3}},
		}
		positions := [][]int{{2}, {1}, {3, 5, 9}, {1, 2}}
		for _, k := range []int{1, 5, 10000} {
			f, err := NewRunner(m, tok, nil, FillMask(k), Options{})
			if err != nil {
				t.Fatal(err)
			}
			answers, err := f.Do(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			s := m.NewSession()
			for i, masks := range answers {
				b := batchOf(t, f, inputs[i])
				for _, p := range positions[i] {
					b.MaskedPositions = append(b.MaskedPositions, int32(p))
				}
				out, err := s.Forward(b, bert.Outputs{})
				if err != nil {
					t.Fatal(err)
				}
				if len(masks) != len(positions[i]) {
					t.Fatalf("%v, input %d: %d masks, want %d", head, i, len(masks), len(positions[i]))
				}
				for j, mask := range masks {
					if want := topK(tok, out.Logits[j*v:(j+1)*v], k); mask.Position != positions[i][j] || !near(mask.Candidates, want) {
						t.Errorf("%v, input %d: %+v, want at %d %+v", head, i, mask, positions[i][j], want)
					}
				}
			}
		}
	}
}

// topK sorts all.
func topK(tok *tokenizer.Tokenizer, logits []float32, k int) []Candidate {
	log, _ := logSoftmax(logits)
	var all []Candidate
	for id, l := range log {
		token, _ := tok.Token(int32(id))
		all = append(all, Candidate{token, math.Exp(l)})
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return cmp.Compare(b.Probability, a.Probability) })
	return all[:min(k, len(all))]
}

func near(a, b []Candidate) bool {
	return slices.EqualFunc(a, b, func(a, b Candidate) bool {
		return a.Token == b.Token && math.Abs(a.Probability-b.Probability) <= 1e-12*b.Probability
	})
}

// Equal logits are in the order of their ids.
func TestCandidatesTie(t *testing.T) {
	tok := tinyTokenizer(t)
	f := &maskFiller{engine: &engine{featurizer: featurizer{tokenizer: tok, vocab: tok.VocabSize()}}, topK: 4}
	logits := make([]float32, tok.VocabSize()+3) // three rows without a token
	for _, id := range []int{9, 6, 30} {
		logits[id] = 2
	}
	logits[12] = 3
	logits[len(logits)-1] = 9
	got, err := f.candidates(logits)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for _, c := range got {
		tokens = append(tokens, c.Token)
	}
	if want := tok.Tokens([]int32{12, 6, 9, 30}); !slices.Equal(tokens, want) {
		t.Errorf("candidates %v, want %v", tokens, want)
	}
	logits[3] = float32(math.NaN())
	_, err = f.candidates(logits)
	wantError(t, err, "not finite")
}

func TestFillMaskErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	m := tinyModel(t, bert.MaskedLM)
	f, err := NewRunner(m, tok, nil, FillMask(3), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Do(t.Context(), data.Texts("a [MASK]", "a mask"))
	wantError(t, err, "input 1: no [MASK] in it")
	_, err = f.Do(t.Context(), data.Texts(strings.Repeat("good ", 50)+"[MASK]"))
	wantError(t, err, "input 0: 53 tokens, want at most 48")
	in := data.NewInputReader(strings.NewReader("[MASK]\nnone\n[MASK] !\n"), "f", data.InputOptions{SkipBad: true})
	var lines []int
	if err := f.Stream(t.Context(), in, func(item Item, masks []Mask) error {
		lines = append(lines, item.Source.Line)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n, first := in.Skipped()
	if !slices.Equal(lines, []int{1, 3}) || n != 1 {
		t.Errorf("answered lines %v, skipped %d", lines, n)
	}
	wantError(t, first, "f:2: no [MASK] in it")

	_, err = NewRunner(tinyModel(t, bert.SequenceClassification, "a", "b"), tok, nil, FillMask(3), Options{})
	wantError(t, err, "BertForSequenceClassification has no masked-LM head")
	_, err = NewRunner(m, tok, nil, FillMask(0), Options{})
	wantError(t, err, "the number of candidates is 0")
}

func TestOpenMaskFiller(t *testing.T) {
	f, err := Open(t.Context(), tinyDir(t, bert.MaskedLM), FillMask(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	masks, err := f.Do(t.Context(), data.Texts("a [MASK]"))
	if err != nil || len(masks) != 1 || len(masks[0]) != 1 {
		t.Fatalf("%v, %v", masks, err)
	}
	line, err := json.Marshal(masks[0][0])
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(line, &keys); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(keys["position"], 2.0) || keys["candidates"] == nil {
		t.Errorf("wrote %s", line)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
