package computetest

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
)

// attentionShapes calls add for each shape, numbering them.
func attentionShapes(add func(name string, s heads, drop compute.Drop)) {
	i := 0
	for _, starts := range [][]int{{0}, {0, 0}, {0, 1}, {0, 2}, {0, 40}, {0, 130}, {0, 2, 2, 42, 43, 173, 203}} {
		for _, size := range []int{4, 8, 16, 64} {
			s := heads{1 + i%3, size, starts}
			for _, drop := range drops {
				add(fmt.Sprintf("%d-%dx%d-rate%v", len(starts)-1, s.tokens(), size, drop.Rate), s, drop)
			}
			i++
		}
	}
	add("1-1030x16-rate0", heads{1, 16, []int{0, 1030}}, compute.Drop{}) // rows of scores at a stride of 4,096 bytes
}

// attentionMask finds the factors of the probabilities, by what reaches the context when the values of size tokens at a
// time are the basis vectors and all others zero. The queries and keys are zero: each probability is 1/n.
func attentionMask(d compute.Device, s heads, drop compute.Drop) []float64 {
	if drop.Rate == 0 {
		return nil
	}
	hidden := s.heads * s.size
	longest, probs := 0, 0
	s.each(func(first, n, head, at int) { longest, probs = max(longest, n), probs+n*n })
	factors := make([]float64, probs)
	context := alloc(d, s.tokens()*hidden)
	for block := 0; block < longest; block += s.size {
		qkv := make([]float32, s.tokens()*3*hidden)
		s.each(func(first, n, head, at int) {
			for j := block; j < min(block+s.size, n); j++ {
				qkv[(first+j)*3*hidden+2*hidden+head*s.size+j-block] = 1
			}
		})
		d.Attention(&compute.Attention{Heads: s.heads, HeadSize: s.size, Starts: s.starts, QKV: upload(d, qkv), Drop: drop, Context: context})
		got := download(d, context)
		s.each(func(first, n, head, at int) {
			for i := range n {
				for j := block; j < min(block+s.size, n); j++ {
					factors[at+i*n+j] = float64(got[(first+i)*hidden+head*s.size+j-block]) * float64(n)
				}
			}
		})
	}
	return factors
}

func attentionChecks(p compute.Precision) (checks []check) {
	i := 0
	add := func(name string, s heads, drop compute.Drop, bound float64, hasLSE, hasProbs bool) {
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := s.tokens() * s.heads * s.size
			qkv := data.normal(3*n, 1.5)
			context, lse, probs := attention(s, operand(p, qkv), attentionMask(probe, s, drop))
			return func(d compute.Device) operation {
				op := compute.Attention{Heads: s.heads, HeadSize: s.size, Starts: s.starts, QKV: wrap(d, qkv), Drop: drop, Context: filled(d, n)}
				results := []result{inBuffer(d, "context", op.Context, context, bound)}
				if hasLSE {
					op.LSE = filled(d, len(lse))
					results = append(results, inBuffer(d, "lse", op.LSE, lse, forward))
				}
				if hasProbs {
					op.Probs = filled(d, len(probs))
					results = append(results, inBuffer(d, "probs", op.Probs, probs, forward))
				}
				return operation{func() { d.Attention(&op) }, results}
			}
		}})
	}
	attentionShapes(func(name string, s heads, drop compute.Drop) {
		add(name, s, drop, boundsAt(p).context, i%3 != 0, i%3 != 1)
		if i++; drop.Rate == 0 {
			add(name+"-context", s, drop, boundsAt(p).contextAlone, false, false)
		}
	})
	return checks
}

func attentionGradChecks(p compute.Precision) (checks []check) {
	attentionShapes(func(name string, s heads, drop compute.Drop) {
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := s.tokens() * s.heads * s.size
			qkv, dcontext := data.normal(3*n, 1), data.normal(n, 1)
			factors := attentionMask(probe, s, drop)
			context, lse, _ := attention(s, operand(p, qkv), factors)
			want := attentionGrad(s, operand(p, qkv), factors, operand(p, dcontext))
			return func(d compute.Device) operation {
				op := compute.AttentionGrad{
					Heads: s.heads, HeadSize: s.size, Starts: s.starts, QKV: wrap(d, qkv), Drop: drop,
					Context: upload(d, narrow(context)), LSE: upload(d, narrow(lse)), DContext: wrap(d, dcontext), DQKV: filled(d, 3*n),
				}
				return operation{func() { d.AttentionGrad(&op) }, []result{inBuffer(d, "dqkv", op.DQKV, want, boundsAt(p).dqkv)}}
			}
		}})
	})
	return checks
}
