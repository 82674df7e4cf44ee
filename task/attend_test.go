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
)

func openAttender(t testing.TB, o AttendOptions, options Options) *Runner[Attended] {
	t.Helper()
	r, err := Open(t.Context(), explained, Attend(o), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// The probabilities are those of transformers' eager attention, and rows sum to 1.
func TestAttentionEqualsTransformers(t *testing.T) {
	r := openAttender(t, AttendOptions{}, Options{})
	for _, c := range loadCaptum(t).Texts {
		all, err := r.Do(t.Context(), data.Texts(c.Text))
		if err != nil {
			t.Fatal(err)
		}
		got := all[0]
		if !slices.Equal(got.Tokens, c.Tokens) || len(got.Layers) != len(c.Attention) || got.RowError > 1e-5 {
			t.Fatalf("%q: tokens %q, %d layers, rows off by %g", c.Text, got.Tokens, len(got.Layers), got.RowError)
		}
		for l, layer := range got.Layers {
			if layer.Layer != l || layer.PaperLayer != l+1 || len(layer.Heads) != len(c.Attention[l]) {
				t.Errorf("layer %d is called %d and %d, with %d heads", l, layer.Layer, layer.PaperLayer, len(layer.Heads))
			}
			for h, head := range layer.Heads {
				if head.Head != h || head.PaperHead != h+1 {
					t.Errorf("head %d is called %d and %d", h, head.Head, head.PaperHead)
				}
				for i, row := range head.Rows.All {
					for j, p := range row {
						if want := c.Attention[l][h][i][j]; math.Abs(float64(p)-want) > 1e-5 {
							t.Fatalf("%q, layer %d, head %d, %d to %d: %g, want %g", c.Text, l, h, i, j, p, want)
						}
					}
				}
			}
		}
	}
}

// parameter reads a parameter as rows.
func parameter(t *testing.T, m *bert.Model, name string, width int) [][]float64 {
	t.Helper()
	values, err := m.Values("bert." + name)
	if err != nil {
		if values, err = m.Values(name); err != nil {
			t.Fatal(err)
		}
	}
	var out [][]float64
	for i := 0; i < len(values); i += width {
		row := make([]float64, width)
		for j := range row {
			row[j] = float64(values[i+j])
		}
		out = append(out, row)
	}
	return out
}

// What each head moves, added up over tokens and heads with the bias, is what attention adds to a token: with the rest of the block
// on top, it gives the next hidden states.
func TestValueVectorsGiveTheNextLayer(t *testing.T) {
	const text = "the film was not good ."
	r, err := Open(t.Context(), explained, Encode(EncodeOptions{Layers: []int{0, 1, 2}, Attention: true}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.Do(t.Context(), data.Texts(text))
	if err != nil {
		t.Fatal(err)
	}
	var (
		e    = all[0]
		m    = r.Model()
		c    = m.Config()
		h, n = c.HiddenSize, len(e.Tokens)
	)
	norm := func(x []float64, name string) []float64 {
		gamma, beta := parameter(t, m, name+".weight", h)[0], parameter(t, m, name+".bias", h)[0]
		mean, variance := 0.0, 0.0
		for _, v := range x {
			mean += v / float64(h)
		}
		for _, v := range x {
			variance += (v - mean) * (v - mean) / float64(h)
		}
		out := make([]float64, h)
		for i, v := range x {
			out[i] = (v-mean)/math.Sqrt(variance+c.LayerNormEps)*gamma[i] + beta[i]
		}
		return out
	}
	dense := func(x []float64, name string) []float64 {
		weight, bias := parameter(t, m, name+".weight", len(x)), parameter(t, m, name+".bias", 1)
		out := make([]float64, len(weight))
		for o := range out {
			out[o] = bias[o][0]
			for i, v := range x {
				out[o] += weight[o][i] * v
			}
		}
		return out
	}
	weights, err := r.engine.headWeights()
	if err != nil {
		t.Fatal(err)
	}
	for l := range c.NumHiddenLayers {
		name := fmt.Sprintf("encoder.layer.%d.", l)
		vectors, err := weights[l].ValueVectors(e.Layers[l].Values, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			x := slices.Clone(parameter(t, m, name+"attention.output.dense.bias", h)[0])
			for head := range vectors {
				for j := range n {
					for d, v := range vectors[head][j] {
						x[d] += float64(e.Attention[l][head][i][j]) * v
					}
				}
			}
			for d, v := range e.Layers[l].Values[i] {
				x[d] += float64(v)
			}
			x = norm(x, name+"attention.output.LayerNorm")
			inner := dense(x, name+"intermediate.dense")
			for d, v := range inner {
				inner[d] = v * 0.5 * (1 + math.Erf(v/math.Sqrt2))
			}
			for d, v := range dense(inner, name+"output.dense") {
				x[d] += v
			}
			for d, v := range norm(x, name+"output.LayerNorm") {
				if want := float64(e.Layers[l+1].Values[i][d]); math.Abs(v-want) > 1e-4 {
					t.Fatalf("layer %d, token %d, dimension %d: %g, want %g", l, i, d, v, want)
				}
			}
		}
	}
}

// Which layers and heads are given, and how many weights, changes no number.
func TestAttentionOptions(t *testing.T) {
	const text = "the film was not good ."
	do := func(o AttendOptions, options Options) Attended {
		all, err := openAttender(t, o, options).Do(t.Context(), data.Texts(text))
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	for _, w := range []AttentionWeights{RawWeights, NormWeights, RolloutWeights, GradientWeights} {
		whole := do(AttendOptions{Weights: w}, Options{Model: bert.Options{Threads: 1}})
		if !reflect.DeepEqual(do(AttendOptions{Weights: w}, Options{Model: bert.Options{Threads: 3}}), whole) {
			t.Errorf("%v: threads change bits", w)
		}
		if one := do(AttendOptions{Weights: w, Layers: []int{1}}, Options{}); len(one.Layers) != 1 || !reflect.DeepEqual(one.Layers[0], whole.Layers[1]) {
			t.Errorf("%v: layer 1 alone is another", w)
		}
		n := len(whole.Tokens)
		top := do(AttendOptions{Weights: w, TopK: 2}, Options{})
		for l := range whole.Layers {
			all, some := whole.Layers[l].Rollout, top.Layers[l].Rollout
			if !w.joined() {
				all, some = &whole.Layers[l].Heads[1].Rows, &top.Layers[l].Heads[1].Rows
			}
			if len(all.All) != n || len(all.All[0]) != n || all.Top != nil || some.All != nil || len(some.Top) != n {
				t.Fatalf("%v, layer %d: %d and %d rows", w, l, len(all.All), len(some.Top))
			}
			dropped := 0.0
			for i, row := range some.Top {
				sorted := slices.Sorted(slices.Values(all.All[i]))
				slices.Reverse(sorted)
				rest, total := 0.0, 0.0
				for j, v := range sorted {
					total += float64(v)
					if j >= 2 {
						rest += float64(v)
					}
				}
				dropped = max(dropped, rest/total)
				for k, link := range row {
					if len(row) != 2 || link.Weight != sorted[k] || all.All[i][link.To] != link.Weight {
						t.Errorf("%v: the largest of row %d are %v, want %v", w, i, row, sorted[:2])
					}
				}
			}
			if math.Abs(dropped-float64(some.Dropped)) > 1e-6 {
				t.Errorf("%v: %g dropped, want %g", w, some.Dropped, dropped)
			}
		}
	}
	if heads := do(AttendOptions{Heads: []int{1}}, Options{}).Layers[0].Heads; len(heads) != 1 || heads[0].Head != 1 {
		t.Errorf("head 1 alone: %v", heads)
	}
}

func TestAttentionRefuses(t *testing.T) {
	for _, c := range []struct {
		o    AttendOptions
		want string
	}{
		{AttendOptions{Layers: []int{2}}, "layer 2: the model has 0 to 1"},
		{AttendOptions{Heads: []int{-1}}, "head -1: the model has 0 to 1"},
		{AttendOptions{Weights: 9}, "there is no AttentionWeights(9)"},
		{AttendOptions{TopK: -1}, "want at least 1"},
		{AttendOptions{Weights: RolloutWeights, Heads: []int{0}}, "rollout joins all heads"},
	} {
		_, err := Open(t.Context(), explained, Attend(c.o), Options{})
		if err == nil {
			t.Errorf("%+v: no error", c.o)
			continue
		}
		wantError(t, err, c.want)
	}
	_, err := openAttender(t, AttendOptions{}, Options{}).Do(t.Context(), data.Texts(strings.Repeat("good ", 20)))
	wantError(t, err, "input 0", "22 tokens")
}
