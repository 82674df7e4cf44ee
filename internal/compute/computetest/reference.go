package computetest

import (
	"math"

	"github.com/go-bert/bert/internal/compute"
)

// The operations once more, in float64 and as the books write them. The gradients are checked against central differences
// of the forward functions in this package's own test.
//
// The innermost loops are hidden from the race detector (go:norace): they touch nothing but what their caller made, and
// the products' references would take minutes under it.

// linear is x·Wᵀ + bias of x [rows, in] and W [out, in]; bias may be nil.
//
//go:norace
func linear(x, w, bias []float64, rows, in, out int) []float64 {
	y := make([]float64, rows*out)
	for r := range rows {
		for o := range out {
			sum := 0.0
			for i, v := range w[o*in:][:in] {
				sum += x[r*in+i] * v
			}
			if bias != nil {
				sum += bias[o]
			}
			y[r*out+o] = sum
		}
	}
	return y
}

// linearInputGrad is dy·W.
//
//go:norace
func linearInputGrad(dy, w []float64, rows, in, out int) []float64 {
	dx := make([]float64, rows*in)
	for r := range rows {
		for o := range out {
			g := dy[r*out+o]
			for i, v := range w[o*in:][:in] {
				dx[r*in+i] += g * v
			}
		}
	}
	return dx
}

// linearWeightGrad is dyᵀ·x.
//
//go:norace
func linearWeightGrad(dy, x []float64, rows, in, out int) []float64 {
	dw := make([]float64, out*in)
	for r := range rows {
		for o := range out {
			g := dy[r*out+o]
			for i, v := range x[r*in:][:in] {
				dw[o*in+i] += g * v
			}
		}
	}
	return dw
}

// columnSums is the sums of the columns of x [rows, width].
func columnSums(x []float64, rows, width int) []float64 {
	sums := make([]float64, width)
	for r := range rows {
		for i, v := range x[r*width:][:width] {
			sums[i] += v
		}
	}
	return sums
}

// geluTanhFactor and geluTanhCube are the constants of the tanh form of GELU (Hendrycks & Gimpel 2016, §2).
var geluTanhFactor = math.Sqrt(2 / math.Pi)

const geluTanhCube = 0.044715

func activate(f compute.Activation, x float64) float64 {
	switch f {
	case compute.GELU:
		return x * normalCDF(x)
	case compute.GELUTanh:
		return 0.5 * x * (1 + math.Tanh(geluTanhFactor*(x+geluTanhCube*x*x*x)))
	case compute.ReLU:
		return max(x, 0)
	case compute.Tanh:
		return math.Tanh(x)
	case compute.SiLU:
		return x * sigmoid(x)
	}
	return x
}

func slope(f compute.Activation, x float64) float64 {
	switch f {
	case compute.GELU:
		return normalCDF(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	case compute.GELUTanh:
		t := math.Tanh(geluTanhFactor * (x + geluTanhCube*x*x*x))
		return 0.5*(1+t) + 0.5*x*(1-t*t)*geluTanhFactor*(1+3*geluTanhCube*x*x)
	case compute.ReLU:
		if x > 0 {
			return 1
		}
		return 0
	case compute.Tanh:
		t := math.Tanh(x)
		return 1 - t*t
	case compute.SiLU:
		s := sigmoid(x)
		return s * (1 + x*(1-s))
	}
	return 1
}

func normalCDF(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// layerNorm normalises rows of x.
func layerNorm(x, gamma, beta []float64, eps float64) (y, mean, rstd []float64) {
	width := len(gamma)
	y = make([]float64, len(x))
	for r := range len(x) / width {
		row := x[r*width:][:width]
		m, v := 0.0, 0.0
		for _, e := range row {
			m += e / float64(width)
		}
		for _, e := range row {
			v += (e - m) * (e - m) / float64(width)
		}
		s := 1 / math.Sqrt(v+eps)
		for i, e := range row {
			y[r*width+i] = (e-m)*s*gamma[i] + beta[i]
		}
		mean, rstd = append(mean, m), append(rstd, s)
	}
	return y, mean, rstd
}

// layerNormGrad goes back through layerNorm.
func layerNormGrad(dy, x, gamma []float64, eps float64) (dx, dgamma, dbeta []float64) {
	width := len(gamma)
	xhat, _, rstd := layerNorm(x, ones(width), make([]float64, width), eps)
	dx, dgamma, dbeta = make([]float64, len(x)), make([]float64, width), make([]float64, width)
	for r := range len(x) / width {
		g, gx := 0.0, 0.0 // means of dxhat and of dxhat∘xhat
		for i := range width {
			at := r*width + i
			dgamma[i] += dy[at] * xhat[at]
			dbeta[i] += dy[at]
			g += dy[at] * gamma[i] / float64(width)
			gx += dy[at] * gamma[i] * xhat[at] / float64(width)
		}
		for i := range width {
			at := r*width + i
			dx[at] = rstd[r] * (float64(dy[at]*gamma[i]) - g - xhat[at]*gx) // not fused: of one element it is 0
		}
	}
	return dx, dgamma, dbeta
}

// softmax is the probabilities of a row and the logarithm of the sum of its exponentials.
func softmax(x []float64) (p []float64, lse float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	p = make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(v-top) / sum
	}
	return p, top + math.Log(sum)
}

// heads is the shape of an attention.
type heads struct {
	heads, size int
	starts      []int
}

// each calls f for each sequence and head, with the first token, the number of tokens and where the head's probabilities
// begin.
func (s heads) each(f func(first, n, head, probs int)) {
	probs := 0
	for b := range len(s.starts) - 1 {
		n := s.starts[b+1] - s.starts[b]
		for h := range s.heads {
			f(s.starts[b], n, h, probs)
			probs += n * n
		}
	}
}

func (s heads) tokens() int { return s.starts[len(s.starts)-1] }

// part is the query (0), the key (1) or the value (2) of a token, out of rows of query, key and value.
func (s heads) part(qkv []float64, token, head, part int) []float64 {
	hidden := s.heads * s.size
	return qkv[token*3*hidden+part*hidden+head*s.size:][:s.size]
}

// attention is multi-head self-attention; mask holds the factor of each probability, nil for ones.
func attention(s heads, qkv, mask []float64) (context, lse, probs []float64) {
	hidden := s.heads * s.size
	context = make([]float64, s.tokens()*hidden)
	lse = make([]float64, s.tokens()*s.heads)
	s.each(func(first, n, h, at int) {
		for i := range n {
			scores := make([]float64, n)
			for j := range n {
				scores[j] = dot(s.part(qkv, first+i, h, 0), s.part(qkv, first+j, h, 1)) / math.Sqrt(float64(s.size))
			}
			p, l := softmax(scores)
			lse[(first+i)*s.heads+h] = l
			probs = append(probs, p...)
			for j := range n {
				factor := p[j]
				if mask != nil {
					factor *= mask[at+i*n+j]
				}
				addTo(context[(first+i)*hidden+h*s.size:][:s.size], factor, s.part(qkv, first+j, h, 2))
			}
		}
	})
	return context, lse, probs
}

// attentionGrad goes back through attention.
func attentionGrad(s heads, qkv, mask, dcontext []float64) (dqkv []float64) {
	hidden := s.heads * s.size
	scale := 1 / math.Sqrt(float64(s.size))
	_, _, probs := attention(s, qkv, mask)
	dqkv = make([]float64, len(qkv))
	s.each(func(first, n, h, at int) {
		for i := range n {
			dc := dcontext[(first+i)*hidden+h*s.size:][:s.size]
			dp := make([]float64, n)
			sum := 0.0
			for j := range n {
				p, m := probs[at+i*n+j], 1.0
				if mask != nil {
					m = mask[at+i*n+j]
				}
				addTo(s.part(dqkv, first+j, h, 2), p*m, dc)
				dp[j] = m * dot(dc, s.part(qkv, first+j, h, 2))
				sum += p * dp[j]
			}
			for j := range n {
				ds := probs[at+i*n+j] * (dp[j] - sum) * scale
				addTo(s.part(dqkv, first+i, h, 0), ds, s.part(qkv, first+j, h, 1))
				addTo(s.part(dqkv, first+j, h, 1), ds, s.part(qkv, first+i, h, 0))
			}
		}
	})
	return dqkv
}

//go:norace
func dot(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

//go:norace
func addTo(dst []float64, s float64, x []float64) {
	for i := range dst {
		dst[i] += s * x[i]
	}
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// crossEntropy is the losses of rows, weights[r]·Σ t·(−log p), and the gradient of their sum. The target t of a row is its
// label, or where that is negative its row of targets. labels, targets and weights may be nil.
func crossEntropy(logits []float64, labels []int32, targets, weights []float64, rows, classes int) (losses, d []float64) {
	d, losses = make([]float64, len(logits)), make([]float64, rows)
	for r := range rows {
		target := make([]float64, classes)
		if labels != nil && labels[r] >= 0 {
			target[labels[r]] = 1
		} else if targets != nil {
			copy(target, targets[r*classes:])
		}
		p, lse := softmax(logits[r*classes:][:classes])
		for i, t := range target {
			losses[r] += weightOf(weights, r) * t * (lse - logits[r*classes+i])
			addTo(d[r*classes:][:classes], weightOf(weights, r)*t, p)
			d[r*classes+i] -= weightOf(weights, r) * t
		}
	}
	return losses, d
}

func weightOf(weights []float64, row int) float64 {
	if weights == nil {
		return 1
	}
	return weights[row]
}

// spanLoss is the losses of sequences by a column of the logits of their tokens, and the gradient of their sum.
func spanLoss(logits []float64, starts []int, column int, labels []int32, weights []float64) (losses, d []float64) {
	d, losses = make([]float64, len(logits)), make([]float64, len(labels))
	for b, l := range labels {
		n := starts[b+1] - starts[b]
		if l < 0 || int(l) >= n {
			continue
		}
		row := make([]float64, n)
		for i := range n {
			row[i] = logits[2*(starts[b]+i)+column]
		}
		loss, grad := crossEntropy(row, []int32{l}, nil, []float64{weightOf(weights, b)}, 1, n)
		losses[b] = loss[0]
		for i := range n {
			d[2*(starts[b]+i)+column] = grad[i]
		}
	}
	return losses, d
}

// binaryCrossEntropy is −t·log σ(x) − (1−t)·log(1−σ(x)) of each element, and the gradient of their sum.
func binaryCrossEntropy(logits, targets, weights []float64, classes int) (losses, d []float64) {
	d, losses = make([]float64, len(logits)), make([]float64, len(logits))
	for i, x := range logits {
		w := weightOf(weights, i/classes)
		losses[i] = -w * (targets[i]*math.Log(sigmoid(x)) + (1-targets[i])*math.Log(sigmoid(-x)))
		d[i] = w * (sigmoid(x) - targets[i])
	}
	return losses, d
}

// squaredError is (x − target)² of each row, and the gradient of their sum.
func squaredError(x, targets, weights []float64) (losses, d []float64) {
	d, losses = make([]float64, len(x)), make([]float64, len(x))
	for i := range x {
		e, w := x[i]-targets[i], weightOf(weights, i)
		losses[i] = w * e * e
		d[i] = 2 * w * e
	}
	return losses, d
}
