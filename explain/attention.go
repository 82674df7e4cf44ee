package explain

import (
	"errors"
	"fmt"
	"math"
)

// This file is about attention probabilities as package bert gives them.
//
// Legend: L layers, A heads of a layer, n tokens, H hidden, D the size of a head, W = A·D.

// HeadStatistic sums up what a head attends to, as a mean over the tokens that look (Clark et al. 2019, arXiv:1906.04341).
type HeadStatistic struct {
	Layer, Head int // from 0
	// First and Separators are the shares of the attention that go to the first token, [CLS], and to the separators, [SEP].
	First, Separators float64
	// Self, Previous and Next are those that go to the token itself and to its neighbours.
	Self, Previous, Next float64
	Entropy              float64 // in nats; log n where all tokens get the same
	// RowError is how far a row of the probabilities is from a sum of 1, at most. More than 1e-5 says that something is wrong.
	RowError float64
}

// HeadStatistics describes each head of attention [L,A,n,n]: layer, head, from, to. separators says which tokens are, [n].
func HeadStatistics(attention [][][][]float32, separators []bool) ([]HeadStatistic, error) {
	var out []HeadStatistic
	for l, layer := range attention {
		for h, head := range layer {
			s := HeadStatistic{Layer: l, Head: h}
			n := len(head)
			if n == 0 || len(separators) != n {
				return nil, fmt.Errorf("attention of %d tokens, of which %d are marked", n, len(separators))
			}
			for i, row := range head {
				if len(row) != n {
					return nil, fmt.Errorf("attention of %d tokens to %d, want a square", n, len(row))
				}
				total := 0.0
				for j, p32 := range row {
					p := float64(p32)
					total += p
					share := p / float64(n)
					if j == 0 {
						s.First += share
					}
					if separators[j] {
						s.Separators += share
					}
					switch j - i {
					case 0:
						s.Self += share
					case -1:
						s.Previous += share
					case 1:
						s.Next += share
					}
					if p > 0 {
						s.Entropy -= share * math.Log(p)
					}
				}
				s.RowError = max(s.RowError, math.Abs(total-1))
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// Rollout follows attention [L,A,n,n] through the layers (Abnar and Zuidema 2020, arXiv:2005.00928): R = Âₗ·Rₗ₋₁ with
// Â = (mean over the heads + I)/2, of which the half that is I stands for the residual connection. The result is [L,n,n]: how much
// of each token's input is in each token after a layer. Rows sum to 1.
func Rollout(attention [][][][]float32) ([][][]float64, error) {
	if len(attention) == 0 || len(attention[0]) == 0 {
		return nil, errors.New("no attention to follow")
	}
	n := len(attention[0][0])
	before := make([][]float64, n)
	for i := range before {
		before[i] = make([]float64, n)
		before[i][i] = 1
	}
	out := make([][][]float64, 0, len(attention))
	for _, layer := range attention {
		mixed := make([][]float64, n)
		for i := range mixed {
			mixed[i] = make([]float64, n)
		}
		for _, head := range layer {
			if len(head) != n {
				return nil, fmt.Errorf("attention of %d tokens, and of %d in another layer or head", len(head), n)
			}
			for i, row := range head {
				if len(row) != n {
					return nil, fmt.Errorf("attention of %d tokens to %d, want a square", n, len(row))
				}
				for j, p := range row {
					mixed[i][j] += float64(p) / float64(len(layer))
				}
			}
		}
		after := make([][]float64, n)
		for i, row := range mixed {
			after[i] = make([]float64, n)
			row[i]++
			for k, weight := range row {
				for j, v := range before[k] {
					after[i][j] += weight / 2 * v
				}
			}
		}
		out = append(out, after)
		before = after
	}
	return out, nil
}

// HeadWeights are the parameters of a layer with which its heads make vectors of tokens. Weights are as in the model's files: a row
// for each output.
type HeadWeights struct {
	Heads     int
	Value     []float32 // [W,H]
	ValueBias []float32 // [W]
	Output    []float32 // [H,W]: of the dense layer after attention, without its bias
}

// ValueVectors are what each head makes of each token, (x·W_V + b_V)·W_O, of hidden states [n,H] that go into the layer: [A,n,H].
// Weighed by a head's attention and added up over heads and tokens they are, with the bias of the dense layer, what attention
// adds to a token.
func (w *HeadWeights) ValueVectors(hidden [][]float32, threads int) ([][][]float64, error) {
	width := len(w.ValueBias)
	if w.Heads < 1 || width == 0 || width%w.Heads != 0 || len(w.Value)%width != 0 || len(w.Output) != len(w.Value) {
		return nil, fmt.Errorf("weights of %d and %d numbers for %d heads of a width of %d in all", len(w.Value), len(w.Output), w.Heads, width)
	}
	h := len(w.Value) / width
	for _, x := range hidden {
		if len(x) != h {
			return nil, fmt.Errorf("hidden states of width %d, want %d", len(x), h)
		}
	}
	d := width / w.Heads
	out := make([][][]float64, w.Heads)
	for a := range out {
		out[a] = make([][]float64, len(hidden))
	}
	parallel(threadsOf(threads), len(hidden), func(from, to int) {
		value := make([]float64, width)
		for j := from; j < to; j++ {
			for o := range value {
				value[o] = float64(w.ValueBias[o])
				for i, x := range hidden[j] {
					value[o] += float64(x) * float64(w.Value[o*h+i])
				}
			}
			for a := range out {
				vector := make([]float64, h)
				for o := range vector {
					row := w.Output[o*width+a*d:][:d]
					for i, v := range value[a*d : (a+1)*d] {
						vector[o] += v * float64(row[i])
					}
				}
				out[a][j] = vector
			}
		}
	})
	return out, nil
}

// ValueNorms weighs a layer's attention [A,n,n] by the length of what it moves, ‖α·(x·W_V + b_V)·W_O‖ (Kobayashi et al. 2020,
// arXiv:2004.10102): a head that attends to a token whose vector is next to nothing attends to nothing. hidden is [n,H].
func (w *HeadWeights) ValueNorms(attention [][][]float32, hidden [][]float32, threads int) ([][][]float32, error) {
	vectors, err := w.ValueVectors(hidden, threads)
	if err != nil {
		return nil, err
	}
	if len(attention) != len(vectors) {
		return nil, fmt.Errorf("attention of %d heads, want %d", len(attention), len(vectors))
	}
	out := make([][][]float32, len(attention))
	for a, head := range attention {
		norms := make([]float64, len(hidden))
		for j, v := range vectors[a] {
			norms[j] = math.Sqrt(dot(v, v))
		}
		out[a] = make([][]float32, len(head))
		for i, row := range head {
			if len(row) != len(norms) {
				return nil, fmt.Errorf("attention to %d tokens, want %d", len(row), len(norms))
			}
			out[a][i] = make([]float32, len(row))
			for j, p := range row {
				out[a][i][j] = float32(float64(p) * norms[j])
			}
		}
	}
	return out, nil
}
