package explain

import (
	"errors"
	"fmt"
	"math"
)

// This file compares heads: of a pair of texts, of several texts, and of two models.
//
// Legend: L layers, A heads, n tokens.

// WithoutTokens are the weights [n,n] among the tokens that are not left out: the others' rows and columns are zeros, and each row
// sums to 1 where anything is left of it.
func WithoutTokens(rows [][]float32, left []bool) ([][]float32, error) {
	out := make([][]float32, len(rows))
	for i, row := range rows {
		if len(row) != len(left) || len(rows) != len(left) {
			return nil, fmt.Errorf("weights of %d tokens for %d, of which %d are marked", len(rows), len(row), len(left))
		}
		out[i] = make([]float32, len(row))
		if left[i] {
			continue
		}
		sum := 0.0
		for j, w := range row {
			if !left[j] {
				sum += float64(w)
			}
		}
		if sum <= 0 {
			continue
		}
		for j, w := range row {
			if !left[j] {
				out[i][j] = float32(float64(w) / sum)
			}
		}
	}
	return out, nil
}

// PairBlocks are the shares of a head's attention within and between the texts of a pair, each a mean over the tokens that look.
type PairBlocks struct {
	FirstToFirst, FirstToSecond   float64
	SecondToFirst, SecondToSecond float64
}

// NewPairBlocks sums up weights [n,n]. texts says which text each token is of: 0 or 1, or −1 for neither, [n].
func NewPairBlocks(rows [][]float32, texts []int) (PairBlocks, error) {
	var (
		shares [2][2]float64
		counts [2]int
	)
	for i, row := range rows {
		if len(row) != len(texts) || len(rows) != len(texts) {
			return PairBlocks{}, fmt.Errorf("weights of %d tokens for %d, of which %d are in a text", len(rows), len(row), len(texts))
		}
		from := texts[i]
		if from != 0 && from != 1 {
			continue
		}
		counts[from]++
		for j, w := range row {
			if to := texts[j]; to == 0 || to == 1 {
				shares[from][to] += float64(w)
			}
		}
	}
	for from, n := range counts {
		for to := range shares[from] {
			shares[from][to] /= float64(max(1, n))
		}
	}
	return PairBlocks{shares[0][0], shares[0][1], shares[1][0], shares[1][1]}, nil
}

// Atlas is what the heads of a model do on the whole, in many texts: each token that looks counts once. The zero value is ready.
type Atlas struct {
	heads  []HeadStatistic // sums
	tokens int
}

// Add adds the statistics of a text of n tokens.
func (a *Atlas) Add(statistics []HeadStatistic, n int) error {
	if a.heads == nil {
		a.heads = make([]HeadStatistic, len(statistics))
		for i, s := range statistics {
			a.heads[i].Layer, a.heads[i].Head = s.Layer, s.Head
		}
	}
	if len(statistics) != len(a.heads) {
		return fmt.Errorf("statistics of %d heads, and of %d before", len(statistics), len(a.heads))
	}
	a.tokens += n
	for i, s := range statistics {
		h := &a.heads[i]
		for _, add := range []struct {
			to   *float64
			mean float64
		}{
			{&h.First, s.First}, {&h.Separators, s.Separators}, {&h.Self, s.Self}, {&h.Previous, s.Previous}, {&h.Next, s.Next},
			{&h.Entropy, s.Entropy},
		} {
			*add.to += add.mean * float64(n)
		}
		h.RowError = max(h.RowError, s.RowError)
	}
	return nil
}

// Tokens is how many looked.
func (a *Atlas) Tokens() int { return a.tokens }

// Heads are the means, by layer and head.
func (a *Atlas) Heads() []HeadStatistic {
	out := append([]HeadStatistic(nil), a.heads...)
	for i := range out {
		h := &out[i]
		for _, v := range []*float64{&h.First, &h.Separators, &h.Self, &h.Previous, &h.Next, &h.Entropy} {
			*v /= float64(max(1, a.tokens))
		}
	}
	return out
}

// HeadDivergences say how far the heads of two models differ in what they attend to in a text: the Jensen–Shannon divergence of
// their probabilities in nats, as a mean over the tokens that look, by layer and head. It is 0 where they are alike and log 2 where
// they attend to other tokens altogether. Both are [L,A,n,n].
func HeadDivergences(a, b [][][][]float32) ([]float64, error) {
	if len(a) != len(b) {
		return nil, fmt.Errorf("attention of %d layers and of %d", len(a), len(b))
	}
	var out []float64
	for l := range a {
		if len(a[l]) != len(b[l]) {
			return nil, fmt.Errorf("layer %d: attention of %d heads and of %d", l, len(a[l]), len(b[l]))
		}
		for h := range a[l] {
			x, y := a[l][h], b[l][h]
			if len(x) != len(y) || len(x) == 0 {
				return nil, fmt.Errorf("attention of %d tokens and of %d", len(x), len(y))
			}
			sum := 0.0
			for i := range x {
				if len(x[i]) != len(y[i]) {
					return nil, errors.New("attention to different numbers of tokens")
				}
				for j := range x[i] {
					p, q := float64(x[i][j]), float64(y[i][j])
					mean := (p + q) / 2
					if p > 0 {
						sum += p / 2 * math.Log(p/mean)
					}
					if q > 0 {
						sum += q / 2 * math.Log(q/mean)
					}
				}
			}
			out = append(out, max(0, sum/float64(len(x))))
		}
	}
	return out, nil
}
