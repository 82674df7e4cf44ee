package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// prunedConfig is smallConfig with different numbers of heads in its layers.
func prunedConfig() Config {
	c := smallConfig()
	c.PrunedHeads = map[int][]int{0: {1, 3}, 1: {0, 2, 3, 4}}
	return c
}

// pruned is Prune, or the end of the test.
func pruned(t *testing.T, m *Model, p Pruning) *Model {
	t.Helper()
	precision, _ := m.Precision()
	n, err := m.Prune(p, Options{Threads: 1, Precision: precision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func forward(t *testing.T, m *Model, b *Batch, want Outputs) *Output {
	t.Helper()
	out, err := m.NewSession().Forward(b, want)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// nearShare fails where a value is further from the one wanted than a share of the largest of these.
func nearShare(t *testing.T, what string, got, want []float32, share float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	largest, worst := 0.0, 0.0
	for i := range want {
		largest = max(largest, math.Abs(float64(want[i])))
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	if !(worst <= share*largest) || largest == 0 {
		t.Errorf("%s: off by %g, the largest is %g", what, worst, largest)
	}
}

// TestPruneNothing: where nothing is left out, all bits stay.
func TestPruneNothing(t *testing.T) {
	for _, h := range []Head{NoHead, PreTraining, SequenceClassification} {
		m := newTestModel(t, prunedConfig(), h, 1)
		n := pruned(t, m, Pruning{})
		for _, p := range m.Params() {
			want, err := m.Values(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := n.Values(p.Name); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v: %s has other values: %v", h, p.Name, err)
			}
		}
		was, err := json.Marshal(m.Config())
		if err != nil {
			t.Fatal(err)
		}
		if is, err := json.Marshal(n.Config()); err != nil || string(is) != string(was) {
			t.Errorf("%v: the configuration is %s, was %s: %v", h, is, was, err)
		}
		b := testBatch(m.config, 9, 1, 13)
		if !slices.Equal(forward(t, n, b, Outputs{LastHidden: true}).LastHidden, forward(t, m, b, Outputs{LastHidden: true}).LastHidden) {
			t.Errorf("%v: other hidden states", h)
		}
	}
}

// TestPruneTokens: with a smaller vocabulary, texts of its tokens have the same bits.
func TestPruneTokens(t *testing.T) {
	c := smallConfig()
	c.PadTokenID = 3
	if err := c.setExtra("sep_token_id", 17); err != nil {
		t.Fatal(err)
	}
	if err := c.setExtra("eos_token_id", 16); err != nil {
		t.Fatal(err)
	}
	keep := []int32{1, 3, 4, 17, 29, 30, 52}
	for _, untied := range []bool{false, true} {
		c.UntiedDecoder = untied
		m := newTestModel(t, c, PreTraining, 1)
		n := pruned(t, m, Pruning{Tokens: keep})
		b := testBatch(c, 9, 4)
		for i := range b.IDs {
			b.IDs[i] = int32(i % len(keep))
		}
		small := forward(t, n, b, Outputs{LastHidden: true})
		for i, id := range b.IDs {
			b.IDs[i] = keep[id]
		}
		large := forward(t, m, b, Outputs{LastHidden: true})
		if !slices.Equal(small.LastHidden, large.LastHidden) || !slices.Equal(small.NextSentenceLogits, large.NextSentenceLogits) {
			t.Error("other hidden states or next-sentence logits")
		}
		for i := range b.MaskedPositions {
			for j, id := range keep {
				if got, want := small.Logits[i*len(keep)+j], large.Logits[i*c.VocabSize+int(id)]; got != want {
					t.Fatalf("untied %v: logit of token %d at mask %d is %v, was %v", untied, id, i, got, want)
				}
			}
		}
		got := n.Config()
		if got.VocabSize != len(keep) || got.PadTokenID != 1 || string(got.Extra["sep_token_id"]) != "3" || got.Extra["eos_token_id"] != nil {
			t.Errorf("vocab_size %d, pad_token_id %d, %s", got.VocabSize, got.PadTokenID, got.Extra)
		}
		if m.Config().VocabSize != c.VocabSize || string(m.Config().Extra["sep_token_id"]) != "17" {
			t.Error("the old model's configuration has changed")
		}
	}
}

// zeroColumns sets columns of a matrix of a model to zero, so that what goes into them plays no part.
func zeroColumns(t *testing.T, m *Model, name string, columns []int) {
	t.Helper()
	for i := range m.params {
		p := &m.params[i]
		if !strings.HasSuffix(p.Name, name) {
			continue
		}
		values := slices.Clone(m.host(p.value))
		for r := range p.Shape[0] {
			for _, c := range columns {
				values[r*p.Shape[1]+c] = 0
			}
		}
		m.device.Write(p.value, values)
		return
	}
	t.Fatalf("no parameter %s", name)
}

// TestPruneHeadsAndNeurons: without heads and neurons a model is what it was with masked ones, and learns what it learnt.
func TestPruneHeadsAndNeurons(t *testing.T) {
	atEveryPrecision(t, func(t *testing.T, precision Precision) {
		c := smallConfig()
		keep := Pruning{Heads: [][]int{{0, 2, 4}, {1}}, Neurons: [][]int{nil, nil}}
		for l := range keep.Neurons {
			for j := range c.IntermediateSize {
				if j%5 != l {
					keep.Neurons[l] = append(keep.Neurons[l], j)
				}
			}
		}
		keep.Neurons[1] = keep.Neurons[1][:len(keep.Neurons[0])]
		for _, h := range []Head{NoHead, SequenceClassification, TokenClassification} {
			m := newTestModelAt(t, precision, c, h, 1)
			for l := range c.NumHiddenLayers {
				var heads, neurons []int
				for j := range c.HiddenSize {
					if !slices.Contains(keep.Heads[l], j/c.HeadSize()) {
						heads = append(heads, j)
					}
				}
				for j := range c.IntermediateSize {
					if !slices.Contains(keep.Neurons[l], j) {
						neurons = append(neurons, j)
					}
				}
				zeroColumns(t, m, fmt.Sprintf("encoder.layer.%d.attention.output.dense.weight", l), heads)
				zeroColumns(t, m, fmt.Sprintf("encoder.layer.%d.output.dense.weight", l), neurons)
			}
			n := pruned(t, m, keep)
			small := n.Config()
			if small.Heads(0) != 3 || small.Heads(1) != 1 || small.IntermediateSize != len(keep.Neurons[0]) || !slices.Equal(small.PrunedHeads[1], []int{0, 2, 3, 4}) {
				t.Fatalf("heads %d and %d, intermediate_size %d, pruned_heads %v", small.Heads(0), small.Heads(1), small.IntermediateSize, small.PrunedHeads)
			}
			bound := map[Precision]float64{Float32: 5e-6, BFloat16: 0.03, Int8: 0.06}[precision]
			b := testBatch(c, 9, 1, 24)
			nearShare(t, "hidden states", forward(t, n, b, Outputs{LastHidden: true}).LastHidden, forward(t, m, b, Outputs{LastHidden: true}).LastHidden, bound)
			if h != NoHead {
				nearShare(t, "logits", forward(t, n, b, Outputs{}).Logits, forward(t, m, b, Outputs{}).Logits, bound)
			}
			if h == NoHead || precision != Float32 {
				continue
			}
			var gradients [2]map[string][]float32
			for i, m := range []*Model{m, n} {
				tr := newTrainer(t, m)
				backward(t, tr, Pass{NoDropout: true}, b)
				gradients[i] = make(map[string][]float32)
				for p, v := range tr.Gradients() {
					values := make([]float32, v.Len())
					if err := v.Read(values); err != nil {
						t.Fatal(err)
					}
					gradients[i][p.Name] = values
				}
				tr.Close()
			}
			k, err := keep.keep(&c)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range m.Params() {
				if strings.HasSuffix(p.Name, "key.bias") {
					continue // 0 but for rounding
				}
				_, rows, columns := k.source(p.Name)
				nearShare(t, p.Name, gradients[1][p.Name], chosenOf(gradients[0][p.Name], p.Shape, rows, columns), 5e-5)
			}
		}
	})
}

// TestPruneLayers: a model of some layers has their parameters, and the heads that they have.
func TestPruneLayers(t *testing.T) {
	c := smallConfig()
	c.NumHiddenLayers = 4
	c.PrunedHeads = map[int][]int{1: {2}, 3: {0, 4}}
	m := newTestModel(t, c, SequenceClassification, 1)
	n := pruned(t, m, Pruning{Layers: []int{0, 3}, Heads: [][]int{nil, nil, nil, {0, 2}}})
	if got := n.Config(); got.NumHiddenLayers != 2 || len(got.PrunedHeads) != 1 || !slices.Equal(got.PrunedHeads[1], []int{0, 2, 4}) {
		t.Errorf("%d layers, pruned_heads %v", got.NumHiddenLayers, got.PrunedHeads)
	}
	const name = "output.LayerNorm.weight"
	got, err := n.Values("bert.encoder.layer.1." + name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Values("bert.encoder.layer.3." + name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("layer 1 is not the old layer 3")
	}
	// The embeddings, and what one layer makes of them, are the same.
	b := testBatch(c, 9, 3)
	small, large := forward(t, n, b, Outputs{Hidden: true}).Hidden, forward(t, m, b, Outputs{Hidden: true}).Hidden
	if !slices.Equal(small[0], large[0]) || !slices.Equal(small[1], large[1]) {
		t.Error("the embeddings or the first layer give other bits")
	}
}

func TestPruneRefuses(t *testing.T) {
	m := newTestModel(t, smallConfig(), NoHead, 1)
	all := make([]int, 37)
	for i := range all {
		all[i] = i
	}
	for want, p := range map[string]Pruning{
		"none of the layers is kept":                                     {Layers: []int{}},
		"2 of the layers to keep, want 0 to 1":                           {Layers: []int{0, 2}},
		"0 after 1 of the layers to keep: want them in order, each once": {Layers: []int{1, 0}},
		"53 of the tokens to keep, want 0 to 52":                         {Tokens: []int32{0, 53}},
		"token 0 is not kept, which is pad_token_id":                     {Tokens: []int32{1, 2}},
		"heads of 1 layers, the model has 2":                             {Heads: [][]int{{0}}},
		"none of the heads of layer 1 is kept":                           {Heads: [][]int{nil, {}}},
		"5 of the heads of layer 0 to keep, want 0 to 4":                 {Heads: [][]int{{5}, nil}},
		"neurons of layer 1":                                             {Neurons: [][]int{{0}, {0, 99}}},
		"1 neurons of layer 0 and 37 of layer 1":                         {Neurons: [][]int{{0}, all}},
	} {
		if n, err := m.Prune(p, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
			if err == nil {
				n.Close()
			}
		}
	}
	m.Close()
	if _, err := m.Prune(Pruning{}, Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed model: %v, want ErrClosed", err)
	}
}

// TestPrunedHeadsEverywhere: sequences of a model with different numbers of heads have the same bits alone and in a batch, on any
// number of threads; its attention, queries and the gradients at its attention have the sizes of each layer; formats give it back.
func TestPrunedHeadsEverywhere(t *testing.T) {
	c := prunedConfig()
	b := testBatch(c, 9, 1, 24, 13)
	everything := Outputs{LastHidden: true, Attentions: true, QKV: true, Hidden: true}
	atEveryPrecision(t, func(t *testing.T, precision Precision) {
		m := newTestModelAt(t, precision, c, SequenceClassification, 2)
		all := forward(t, m, b, everything)
		for l, heads := range []int{3, 1} {
			if got, want := len(all.QKV[l]), b.Tokens()*3*4*heads; got != want {
				t.Errorf("layer %d: %d numbers of queries, keys and values, want %d", l, got, want)
			}
			if got, want := len(all.Attentions[l]), (81+1+576+169)*heads; got != want {
				t.Errorf("layer %d: %d probabilities, want %d", l, got, want)
			}
			for i := 0; i < 9; i++ { // a row of the first sequence's first head
				sum := float32(0)
				for _, p := range all.Attentions[l][i*9 : (i+1)*9] {
					sum += p
				}
				if math.Abs(float64(sum)-1) > 1e-5 {
					t.Fatalf("layer %d: a row of probabilities sums to %v", l, sum)
				}
			}
		}
		logits := forward(t, m, b, Outputs{}).Logits
		if !slices.Equal(logits, all.Logits) {
			t.Error("the first tokens alone give other bits")
		}
		for i := range b.Len() {
			from, to := b.Sequence(i)
			one := &Batch{}
			one.Add(b.IDs[from:to], b.TypeIDs[from:to])
			if out := forward(t, m, one, Outputs{LastHidden: true}); !slices.Equal(out.LastHidden, all.LastHidden[from*c.HiddenSize:to*c.HiddenSize]) {
				t.Errorf("sequence %d has other bits alone", i)
			}
		}
		dir := filepath.Join(t.TempDir(), "model")
		for _, format := range []checkpoint.Format{checkpoint.Safetensors, checkpoint.Torch, checkpoint.ONNX} {
			at := filepath.Join(dir, format.String())
			if err := m.Save(at, SaveOptions{Format: format}); err != nil {
				t.Fatal(err)
			}
			back := load(t, at, Options{Threads: 1, Precision: precision})
			if !slices.Equal(forward(t, back, b, Outputs{}).Logits, logits) {
				t.Errorf("read from %v: other bits", format)
			}
		}
		if err := m.Save(filepath.Join(dir, "tf"), SaveOptions{Format: checkpoint.TensorFlow}); err == nil || !strings.Contains(err.Error(), "pruned") {
			t.Errorf("as TensorFlow: %v, want an error", err)
		}
	})
	var values [2][]float32
	for i, threads := range []int{1, 2} {
		m := newTestModel(t, c, SequenceClassification, threads)
		tr := newTrainer(t, m)
		for key := range uint64(2) {
			backward(t, tr, Pass{Key: key}, b)
			update(t, tr, Update{GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1})
		}
		values[i] = slices.Clone(m.host(m.values))
	}
	if !slices.Equal(values[0], values[1]) {
		t.Error("training on two threads gives other bits than on one")
	}
	m := newTestModel(t, c, SequenceClassification, 1)
	passes, err := m.NewSession().AttentionGradients(b, func(a *Activations) error { return a.AddLogits(make([]float32, 4*3)) })
	if err != nil || len(passes[0].Context) != b.Tokens()*12 || len(passes[1].QKV) != b.Tokens()*12 {
		t.Errorf("gradients at attention of %d and %d numbers: %v", len(passes[0].Context), len(passes[1].QKV), err)
	}
}

// TestMaskGradients compares the gradients at masks with differences of the loss where what follows a head or a neuron is a little
// larger and smaller.
func TestMaskGradients(t *testing.T) {
	for _, h := range []Head{SequenceClassification, TokenClassification, QuestionAnswering, MultipleChoice, MaskedLM} {
		c := prunedConfig()
		m := newTestModel(t, c, h, 1)
		b := headBatch(c, h, 9, 4, 13)
		g, err := m.NewSession().MaskGradients(b)
		if err != nil {
			t.Fatal(err)
		}
		want := forward(t, m, b, Outputs{Loss: true}).Loss.Total
		if math.Abs(g.Loss.Total-want) > 1e-6*want {
			t.Errorf("%v: loss %v, want %v", h, g.Loss.Total, want)
		}
		difference := func(name string, columns []int) float64 {
			i := slices.IndexFunc(m.params, func(p parameter) bool { return strings.HasSuffix(p.Name, name) })
			p := &m.params[i]
			was := slices.Clone(m.host(p.value))
			const step = 0.01
			var loss [2]float64
			for side, scale := range []float32{1 - step, 1 + step} {
				values := slices.Clone(was)
				for r := range p.Shape[0] {
					for _, c := range columns {
						values[r*p.Shape[1]+c] *= scale
					}
				}
				m.device.Write(p.value, values)
				m.weights, m.packed, m.passed = nil, packNone, false
				loss[side] = forward(t, m, b, Outputs{Loss: true}).Loss.Total
			}
			m.device.Write(p.value, was)
			return (loss[1] - loss[0]) / (2 * step)
		}
		for l := range c.NumHiddenLayers {
			var heads, neurons [2][]float32 // got, want
			for head, v := range g.Heads[l] {
				var columns []int
				for i := range c.HeadSize() {
					columns = append(columns, head*c.HeadSize()+i)
				}
				heads[0] = append(heads[0], float32(v))
				heads[1] = append(heads[1], float32(difference(fmt.Sprintf("encoder.layer.%d.attention.output.dense.weight", l), columns)))
			}
			for j := 0; j < len(g.Neurons[l]); j += 5 {
				neurons[0] = append(neurons[0], float32(g.Neurons[l][j]))
				neurons[1] = append(neurons[1], float32(difference(fmt.Sprintf("encoder.layer.%d.output.dense.weight", l), []int{j})))
			}
			nearShare(t, fmt.Sprintf("%v, layer %d, heads", h, l), heads[0], heads[1], 0.01)
			nearShare(t, fmt.Sprintf("%v, layer %d, neurons", h, l), neurons[0], neurons[1], 0.01)
		}
	}
	m := newTestModel(t, smallConfig(), NoHead, 1)
	if _, err := m.NewSession().MaskGradients(testBatch(m.config, 4)); err == nil {
		t.Error("a model without a head has no loss, want an error")
	}
}

// TestTransformersPrunedHeads reads a model from which transformers took heads, and compares what they give and the gradients at its masks
// of heads with those of PyTorch (testdata/pruned/make.py).
func TestTransformersPrunedHeads(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "pruned", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Sequences []struct {
			InputIDs         []int32     `json:"input_ids"`
			TokenTypeIDs     []int32     `json:"token_type_ids"`
			Label            int32       `json:"label"`
			Loss             float64     `json:"loss"`
			HeadMaskGradient [][]float64 `json:"head_mask_gradient"`
			PrunedHidden     [][]float32 `json:"pruned_hidden"`
			PrunedLogits     []float32   `json:"pruned_logits"`
		} `json:"sequences"`
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	full := load(t, filepath.Join("testdata", "pruned", "full"), Options{Threads: 1})
	heads := load(t, filepath.Join("testdata", "pruned", "heads"), Options{Threads: 1})
	ours := pruned(t, full, Pruning{Heads: [][]int{{0, 2}, {1}}})
	if got := ours.Config().PrunedHeads; fmt.Sprint(got) != fmt.Sprint(heads.Config().PrunedHeads) {
		t.Errorf("pruned_heads %v, theirs %v", got, heads.Config().PrunedHeads)
	}
	for _, p := range heads.Params() {
		got, err := ours.Values(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := heads.Values(p.Name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: other values than theirs: %v", p.Name, err)
		}
	}
	if len(expected.Sequences) == 0 {
		t.Fatal("no sequences")
	}
	for i, s := range expected.Sequences {
		b := &Batch{Classes: []int32{s.Label}}
		b.Add(s.InputIDs, s.TokenTypeIDs)
		out := forward(t, heads, b, Outputs{LastHidden: true})
		nearShare(t, fmt.Sprintf("sequence %d: hidden states", i), out.LastHidden, slices.Concat(s.PrunedHidden...), 5e-6)
		nearShare(t, fmt.Sprintf("sequence %d: logits", i), out.Logits, s.PrunedLogits, 5e-6)
		g, err := full.NewSession().MaskGradients(b)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(g.Loss.Total-s.Loss) > 2e-6*s.Loss {
			t.Errorf("sequence %d: loss %v, want %v", i, g.Loss.Total, s.Loss)
		}
		for l := range g.Heads {
			var got, want []float32
			for h, v := range g.Heads[l] {
				got, want = append(got, float32(v)), append(want, float32(s.HeadMaskGradient[l][h]))
			}
			nearShare(t, fmt.Sprintf("sequence %d, layer %d: gradients at masks", i, l), got, want, 5e-5)
		}
	}
}

func TestPrunedHeadsConfig(t *testing.T) {
	parse := func(heads string) (Config, error) {
		return ParseConfig([]byte(`{"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 8, "pruned_heads": ` + heads + `}`))
	}
	c, err := parse(`{"1": [3, 0, 3], "0": []}`)
	if err != nil || len(c.PrunedHeads) != 1 || !slices.Equal(c.PrunedHeads[1], []int{0, 3}) || c.Heads(0) != 4 || c.AttentionWidth(1) != 4 {
		t.Errorf("%v, %v", c.PrunedHeads, err)
	}
	for _, empty := range []string{`{}`, `null`} {
		if c, err := parse(empty); err != nil || c.PrunedHeads != nil {
			t.Errorf("%s: %v, %v", empty, c.PrunedHeads, err)
		} else if text, err := json.Marshal(c); err != nil || strings.Contains(string(text), "pruned") {
			t.Errorf("%s: written as %s, %v", empty, text, err)
		}
	}
	for heads, want := range map[string]string{
		`{"2": [0]}`:          "pruned_heads has layer 2, want 0 to 1",
		`{"0": [4]}`:          "pruned_heads has head 4 of layer 0, want 0 to 3",
		`{"0": [-1]}`:         "pruned_heads has head -1",
		`{"0": [0, 1, 2, 3]}`: "pruned_heads has all 4 heads of layer 0: a layer needs one",
		`[1]`:                 "pruned_heads is [1], want an object",
		`{"a": [1]}`:          "want an object",
	} {
		if _, err := parse(heads); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", heads, err, want)
		}
	}
}
