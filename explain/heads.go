package explain

import (
	"fmt"
	"math"
)

// This file is about single heads: what their probabilities are made of, and the gradient at them.
//
// Legend: L layers, A heads of a layer, n tokens, D the size of a head, W = A·D.

// HeadVectors are the queries, keys and values of a layer's heads, as package bert gives them for a sequence.
type HeadVectors struct {
	Tokens, Heads int
	QKV           []float32 // [n,3W]: a row is a token's query, key and value, of which each is [A,D]
}

// check returns D.
func (v *HeadVectors) check() (d int, err error) {
	if v.Tokens < 1 || v.Heads < 1 || len(v.QKV) == 0 || len(v.QKV)%(3*v.Heads*v.Tokens) != 0 {
		return 0, fmt.Errorf("%d numbers, want the queries, keys and values of %d heads and %d tokens", len(v.QKV), v.Heads, v.Tokens)
	}
	return len(v.QKV) / (3 * v.Heads * v.Tokens), nil
}

// part is a token's query (0), key (1) or value (2) of a head, in place.
func (v *HeadVectors) part(which, head, token, d int) []float32 {
	return v.QKV[(3*token+which)*v.Heads*d+head*d:][:d:d]
}

// vectors copies the queries, keys or values of a head.
func (v *HeadVectors) vectors(which, head int) ([][]float32, error) {
	d, err := v.check()
	if err != nil {
		return nil, err
	}
	if head < 0 || head >= v.Heads {
		return nil, fmt.Errorf("head %d of %d", head, v.Heads)
	}
	out := make([][]float32, v.Tokens)
	for i := range out {
		out[i] = append([]float32(nil), v.part(which, head, i, d)...)
	}
	return out, nil
}

// Queries are those of a head, [n,D]. What it looks for with a query is a key: softmax(q·k/√D) is its attention.
func (v *HeadVectors) Queries(head int) ([][]float32, error) { return v.vectors(0, head) }

// Keys are those of a head, [n,D].
func (v *HeadVectors) Keys(head int) ([][]float32, error) { return v.vectors(1, head) }

// attention is the probabilities of a head, softmax(Q·Kᵀ/√D), [n,n].
func (v *HeadVectors) attention(head, d int) [][]float64 {
	out := squareOf(v.Tokens)
	scale := 1 / math.Sqrt(float64(d))
	for i, row := range out {
		largest := math.Inf(-1)
		for j := range row {
			row[j] = scale * dot32(v.part(0, head, i, d), v.part(1, head, j, d))
			largest = max(largest, row[j])
		}
		sum := 0.0
		for j := range row {
			row[j] = math.Exp(row[j] - largest)
			sum += row[j]
		}
		for j := range row {
			row[j] /= sum
		}
	}
	return out
}

// Attention is the probabilities of a layer's heads, [A,n,n].
func (v *HeadVectors) Attention(threads int) ([][][]float64, error) {
	d, err := v.check()
	if err != nil {
		return nil, err
	}
	out := make([][][]float64, v.Heads)
	parallel(threadsOf(threads), v.Heads, func(from, to int) {
		for h := from; h < to; h++ {
			out[h] = v.attention(h, d)
		}
	})
	return out, nil
}

// AttentionPass is a layer's attention and the gradient at what it gives: what a pass forward and back leaves.
type AttentionPass struct {
	HeadVectors
	Context []float32 // [n,W]: the gradient at P·V of all heads, a row is [A,D]
}

// check returns D.
func (p *AttentionPass) check() (int, error) {
	d, err := p.HeadVectors.check()
	if err == nil && len(p.Context) != p.Tokens*p.Heads*d {
		err = fmt.Errorf("a gradient of %d numbers at what %d heads of a width of %d give %d tokens", len(p.Context), p.Heads, d, p.Tokens)
	}
	return d, err
}

// gradient is that at the probabilities of a head, dO·Vᵀ, [n,n].
func (p *AttentionPass) gradient(head, d int) [][]float64 {
	out := squareOf(p.Tokens)
	for i, row := range out {
		at := p.Context[(i*p.Heads+head)*d:][:d]
		for j := range row {
			row[j] = dot32(at, p.part(2, head, j, d))
		}
	}
	return out
}

// Gradients are those at the probabilities of a layer's heads, [A,n,n]. Probabilities that change have the same sum, which plays no
// part here: a gradient says what more of one probability would do.
func (p *AttentionPass) Gradients(threads int) ([][][]float64, error) {
	d, err := p.check()
	if err != nil {
		return nil, err
	}
	out := make([][][]float64, p.Heads)
	parallel(threadsOf(threads), p.Heads, func(from, to int) {
		for h := from; h < to; h++ {
			out[h] = p.gradient(h, d)
		}
	})
	return out, nil
}

// GradientRollout follows through the layers what of their attention raises a number (Chefer, Gur and Wolf 2021, arXiv:2103.15679,
// equations 5 and 6): R = Rₗ₋₁ + mean over the heads of relu(∂/∂P ⊙ P)·Rₗ₋₁, from the first layer up, where R is I before it. The
// result is [L,n,n]: how much each token's input matters for each token after a layer, for that number. The row of the token from
// which the number is read, without the 1 at the token itself, says which tokens it comes from. Rows sum to 1 or more.
func GradientRollout(layers []AttentionPass, threads int) ([][][]float64, error) {
	threads = threadsOf(threads)
	var out [][][]float64
	for l := range layers {
		p := &layers[l]
		d, err := p.check()
		switch {
		case err != nil:
			return nil, fmt.Errorf("layer %d: %w", l, err)
		case p.Tokens != layers[0].Tokens:
			return nil, fmt.Errorf("layer %d has %d tokens, the first %d", l, p.Tokens, layers[0].Tokens)
		}
		heads := make([][][]float64, p.Heads)
		parallel(threads, p.Heads, func(from, to int) {
			for h := from; h < to; h++ {
				heads[h] = relevance(p.attention(h, d), p.gradient(h, d))
			}
		})
		before := identity(p.Tokens)
		if l > 0 {
			before = out[l-1]
		}
		out = append(out, addRelevance(before, heads, threads))
	}
	return out, nil
}

// relevance is relu(gradient ⊙ attention), in the place of attention.
func relevance(attention, gradient [][]float64) [][]float64 {
	for i, row := range attention {
		for j := range row {
			row[j] = max(0, row[j]*gradient[i][j])
		}
	}
	return attention
}

// addRelevance is before + mean(heads)·before.
func addRelevance(before [][]float64, heads [][][]float64, threads int) [][]float64 {
	n := len(before)
	out := squareOf(n)
	parallel(threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			copy(out[i], before[i])
			for k := range n {
				weight := 0.0
				for _, head := range heads {
					weight += head[i][k]
				}
				weight /= float64(len(heads))
				if weight == 0 {
					continue
				}
				for j, v := range before[k] {
					out[i][j] += weight * v
				}
			}
		}
	})
	return out
}

func squareOf(n int) [][]float64 {
	values, out := make([]float64, n*n), make([][]float64, n)
	for i := range out {
		out[i] = values[i*n:][:n:n]
	}
	return out
}

func identity(n int) [][]float64 {
	out := squareOf(n)
	for i := range out {
		out[i][i] = 1
	}
	return out
}

// dot32 is a·b in float64.
func dot32(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1 float64
	i := 0
	for ; i+1 < len(a); i += 2 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
	}
	if i < len(a) {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1
}
