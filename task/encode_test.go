package task

import (
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

func TestEncode(t *testing.T) {
	tok := tinyTokenizer(t)
	m := tinyModel(t, bert.SequenceClassification, "a", "b")
	c := m.Config()
	inputs := someTexts(12)
	for _, pooling := range []Pooling{ModelPooling, NoPooling, CLSPooling, MeanPooling, MaxPooling, PoolerPooling} {
		for _, layers := range [][]int{nil, {-1}, {0, -2, 3}, {2}} {
			o := EncodeOptions{Layers: layers, Pooling: pooling, Attention: len(layers) == 1}
			e, err := NewRunner(m, tok, nil, Encode(o), Options{Tokens: 40})
			if err != nil {
				t.Fatal(err)
			}
			answers, err := e.Do(t.Context(), inputs)
			if err != nil {
				t.Fatal(err)
			}
			if layers == nil && (pooling == NoPooling || pooling == ModelPooling) {
				layers = []int{-1}
			}
			s := m.NewSession()
			for i, got := range answers {
				b := batchOf(t, e, inputs[i])
				out, err := s.Forward(b, bert.Outputs{Hidden: true, Pooled: true, Attentions: true})
				if err != nil {
					t.Fatal(err)
				}
				n := b.Tokens()
				if !slices.Equal(got.Tokens, tok.Tokens(b.IDs)) {
					t.Fatalf("tokens %v", got.Tokens)
				}
				at := func(l int) []float32 { return out.Hidden[(l+c.NumHiddenLayers+1)%(c.NumHiddenLayers+1)] }
				if len(got.Layers) != len(layers) {
					t.Fatalf("%d layers, want %v", len(got.Layers), layers)
				}
				last := out.Hidden[c.NumHiddenLayers]
				for j, l := range layers {
					if got.Layers[j].Index != l || len(got.Layers[j].Values) != n || !slices.Equal(slices.Concat(got.Layers[j].Values...), at(l)) {
						t.Fatalf("layer %d, %v: other values than the model's", l, pooling)
					}
					last = at(l)
				}
				var want []float32
				switch pooling {
				case CLSPooling:
					want = last[:c.HiddenSize]
				case MaxPooling:
					want = slices.Clone(last[:c.HiddenSize])
					for j, x := range last {
						want[j%c.HiddenSize] = max(want[j%c.HiddenSize], x)
					}
				case PoolerPooling:
					want = out.Pooled
				case MeanPooling:
					want = make([]float32, c.HiddenSize)
					for h := range want {
						sum := 0.0
						for row := range n {
							sum += float64(last[row*c.HiddenSize+h])
						}
						want[h] = float32(sum / float64(n))
					}
				}
				if !slices.EqualFunc(got.Pooled, want, func(a, b float32) bool { return math.Abs(float64(a-b)) <= 1e-6*math.Abs(float64(b)) }) {
					t.Errorf("%v: %v, want %v", pooling, got.Pooled, want)
				}
				if (got.Attention != nil) != o.Attention {
					t.Fatalf("attention: %v", got.Attention != nil)
				}
				for l, heads := range got.Attention {
					var flat []float32
					for _, head := range heads {
						flat = append(flat, slices.Concat(head...)...)
					}
					if !slices.Equal(flat, out.Attentions[l]) {
						t.Fatalf("layer %d: other attention than the model's", l)
					}
				}
			}
		}
	}
}

// batchOf is the batch of a single input.
func batchOf[T any](t *testing.T, r *Runner[T], in data.Input) *bert.Batch {
	t.Helper()
	p, err := r.work.prepare(new(tokenizer.Encoding), &in)
	if err != nil {
		t.Fatal(err)
	}
	b := new(bert.Batch)
	for _, s := range p.sequences {
		b.Add(s.ids, s.typeIDs)
	}
	return b
}

func TestEncodeStream(t *testing.T) {
	e, err := Open(t.Context(), tinyDir(t, bert.NoHead), Encode(EncodeOptions{Pooling: MeanPooling, MaxLength: 5}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	inputs := data.Texts("good", "very very bad film", "")
	want, err := e.Do(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	var got []Encoded
	err = e.Stream(t.Context(), data.NewInputReader(strings.NewReader("good\nvery very bad film\n\n"), "f", data.InputOptions{}), func(_ Item, x Encoded) error {
		got = append(got, x)
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("streamed %v (%v), want %v", got, err, want)
	}
	if !got[1].Truncated || got[1].DroppedTokens != 1 || got[0].Truncated {
		t.Errorf("%+v", got)
	}
	line, err := json.Marshal(got[2])
	if err != nil || !strings.HasPrefix(string(line), `{"tokens":["[CLS]","[SEP]"],"pooled":[`) {
		t.Errorf("wrote %s, %v", line, err)
	}
}

func TestEncodeErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	m := tinyModel(t, bert.MaskedLM)
	for want, o := range map[string]EncodeOptions{
		"layer 4: the model has 0 (its embeddings) to 3": {Layers: []int{1, 4}},
		"layer -5": {Layers: []int{-5}},
		"the longest sequence is 2, want at least 3":     {MaxLength: 2},
		"the longest sequence is 49, the model has 48":   {MaxLength: 49},
		"there is no Pooling(9)":                         {Pooling: 9},
		"there is no vector of the text to normalize":    {Normalize: true},
		"both a prompt and the name of one":              {Prompt: new(string), PromptName: "query"},
		`there is no prompt "query": the model has none`: {PromptName: "query"},
	} {
		_, err := NewRunner(m, tok, nil, Encode(o), Options{})
		wantError(t, err, want)
	}
	e, err := NewRunner(m, tok, nil, Encode(EncodeOptions{Pooling: PoolerPooling}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Do(t.Context(), data.Texts("good"))
	wantError(t, err, "BertForMaskedLM has no pooler")
	_, err = e.Do(t.Context(), data.Texts(strings.Repeat("good ", 50)))
	wantError(t, err, "input 0: 52 tokens, want at most 48")
}

func TestParseLayers(t *testing.T) {
	for list, want := range map[string][]int{"all": {0, 1, 2, 3}, "-1": {-1}, "-1, -2,0": {-1, -2, 0}} {
		got, err := ParseLayers(list, 3)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"", "last", "1,,2", "1.5"} {
		_, err := ParseLayers(list, 3)
		wantError(t, err, "want all, or numbers as in -1,-2")
	}
	for _, p := range []Pooling{ModelPooling, NoPooling, CLSPooling, MeanPooling, MaxPooling, PoolerPooling} {
		if got, err := ParsePooling(p.String()); err != nil || got != p {
			t.Errorf("%v: %v, %v", p, got, err)
		}
	}
	_, err := ParsePooling("sum")
	wantError(t, err, `pooling "sum": want model, none, pooler, cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken`)
}
