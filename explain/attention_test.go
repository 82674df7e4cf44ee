package explain

import (
	"math"
	"slices"
	"testing"

	"github.com/go-bert/bert/internal/random"
)

// one is attention of a single head in each layer.
func one(layers ...[][]float32) [][][][]float32 {
	var out [][][][]float32
	for _, l := range layers {
		out = append(out, [][][]float32{l})
	}
	return out
}

func TestRollout(t *testing.T) {
	got, err := Rollout(one([][]float32{{.8, .2}, {.4, .6}}, [][]float32{{.5, .5}, {.1, .9}}))
	if err != nil {
		t.Fatal(err)
	}
	// Both products by hand.
	if off := differ(t, slices.Concat(got[1]...), []float64{.725, .275, .235, .765}); off > 1e-7 {
		t.Errorf("%v", got[1])
	}
	if off := differ(t, slices.Concat(got[0]...), []float64{.9, .1, .2, .8}); off > 1e-7 {
		t.Errorf("%v", got[0])
	}
	identity := [][]float32{{1, 0}, {0, 1}}
	if got, err = Rollout(one(identity, identity, identity)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Concat(got[2]...), []float64{1, 0, 0, 1}) {
		t.Errorf("of identities: %v", got[2])
	}
	if _, err := Rollout(nil); err == nil {
		t.Error("no attention is no error")
	}
	if _, err := Rollout(one([][]float32{{1, 0}, {1}})); err == nil {
		t.Error("a short row is no error")
	}
}

// attentionOf is random probabilities.
func attentionOf(layers, heads, n int, seed uint64) [][][][]float32 {
	stream := random.New(seed)
	out := make([][][][]float32, layers)
	for l := range out {
		out[l] = make([][][]float32, heads)
		for h := range out[l] {
			out[l][h] = make([][]float32, n)
			for i := range out[l][h] {
				row, total := make([]float64, n), 0.0
				for j := range row {
					row[j] = math.Exp(3 * stream.Float64())
					total += row[j]
				}
				for _, v := range row {
					out[l][h][i] = append(out[l][h][i], float32(v/total))
				}
			}
		}
	}
	return out
}

func TestRolloutRowsSumToOne(t *testing.T) {
	got, err := Rollout(attentionOf(12, 4, 20, 3))
	if err != nil {
		t.Fatal(err)
	}
	for l, rows := range got {
		for i, row := range rows {
			if s := sum(row); math.Abs(s-1) > 1e-6 {
				t.Errorf("layer %d, row %d sums to %.9f", l, i, s)
			}
		}
	}
}

func TestHeadStatistics(t *testing.T) {
	// The first head looks at the token before, and the first token at itself; the second at all alike.
	third := float32(1) / 3
	attention := [][][][]float32{{
		{{1, 0, 0}, {1, 0, 0}, {0, 1, 0}},
		{{third, third, third}, {third, third, third}, {third, third, third}},
	}}
	got, err := HeadStatistics(attention, []bool{false, false, true})
	if err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
	a, b := got[0], got[1]
	if a.Head != 0 || b.Head != 1 || !near(a.First, 2./3) || a.Separators != 0 || !near(a.Previous, 2./3) || !near(a.Self, 1./3) || a.Next != 0 || a.Entropy != 0 {
		t.Errorf("the first head: %+v", a)
	}
	if !near(b.First, 1./3) || !near(b.Separators, 1./3) || !near(b.Previous, 2./9) || !near(b.Next, 2./9) || !near(b.Entropy, math.Log(3)) {
		t.Errorf("the second head: %+v", b)
	}
	attention[0][0][1][0] = .5
	if got, _ = HeadStatistics(attention, make([]bool, 3)); !near(got[0].RowError, .5) {
		t.Errorf("a row of 0.5 has the error %g", got[0].RowError)
	}
	if _, err := HeadStatistics(attention, make([]bool, 2)); err == nil {
		t.Error("marks of two of three tokens are no error")
	}
}

// Weighed by the attention and added up, the vectors of all heads are what W_O makes of the joined heads.
func TestValueVectorsAddUp(t *testing.T) {
	const n, h, heads = 5, 6, 3
	values := func(count int, seed uint64) []float32 {
		var out []float32
		for _, v := range normal(1, count, seed).Values {
			out = append(out, float32(v))
		}
		return out
	}
	w := HeadWeights{Heads: heads, Value: values(h*h, 1), ValueBias: values(h, 2), Output: values(h*h, 3)}
	var hidden [][]float32
	for i := range n {
		hidden = append(hidden, values(h, uint64(10+i)))
	}
	attention := attentionOf(1, heads, n, 4)[0]
	vectors, err := w.ValueVectors(hidden, 2)
	if err != nil {
		t.Fatal(err)
	}
	norms, err := w.ValueNorms(attention, hidden, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		// The other way: values, the mean of each head, W_O.
		context := make([]float64, h)
		for c := range h {
			for j := range n {
				v := float64(w.ValueBias[c])
				for k := range h {
					v += float64(w.Value[c*h+k]) * float64(hidden[j][k])
				}
				context[c] += float64(attention[c/(h/heads)][i][j]) * v
			}
		}
		want, got := make([]float64, h), make([]float64, h)
		for o := range h {
			for c := range h {
				want[o] += float64(w.Output[o*h+c]) * context[c]
			}
		}
		for a := range heads {
			for j := range n {
				squares := 0.0
				for o, v := range vectors[a][j] {
					got[o] += float64(attention[a][i][j]) * v
					squares += v * v
				}
				if moved := float64(attention[a][i][j]) * math.Sqrt(squares); math.Abs(moved-float64(norms[a][i][j])) > 1e-5*moved {
					t.Errorf("head %d, %d to %d: norm %g, want %g", a, i, j, norms[a][i][j], moved)
				}
			}
		}
		if off := differ(t, got, want); off > 1e-12 {
			t.Errorf("token %d: the sums differ by %g", i, off)
		}
	}
	w.Heads = 4
	if _, err := w.ValueNorms(attention, hidden, 1); err == nil {
		t.Error("4 heads of a width of 6 are no error")
	}
}
