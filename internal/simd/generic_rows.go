package simd

import "math"

// length is the common length of the operands of a row. That they differ is an error of the caller's program, which the
// assembly would answer by leaving its operands.
func length(n int, others ...int) int {
	for _, m := range others {
		if m != n {
			panic("simd: operands of unequal length")
		}
	}
	return n
}

func addGeneric(dst, x []float32) {
	x = x[:length(len(dst), len(x))]
	for i := range dst {
		dst[i] += x[i]
	}
}

func axpyGeneric(dst []float32, s float32, x []float32) {
	x = x[:length(len(dst), len(x))]
	for i := range dst {
		dst[i] += float32(s * x[i])
	}
}

func scaleGeneric(dst []float32, s float32) {
	for i := range dst {
		dst[i] *= s
	}
}

func dotGeneric(x, y []float32) float32 {
	y = y[:length(len(x), len(y))]
	var sum float64
	for i := range x {
		sum += float64(x[i]) * float64(y[i]) // the product is exact, so fusing changes nothing
	}
	return float32(sum)
}

func sumSquaresGeneric(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

func layerNormGeneric(y, x, gamma, beta []float32, eps float32) (mean, rstd float32) {
	n := length(len(x), len(y), len(gamma), len(beta))
	y, gamma, beta = y[:n], gamma[:n], beta[:n]
	if n == 0 {
		return 0, float32(1 / math.Sqrt(float64(eps)))
	}
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	mean = float32(sum / float64(n))
	for _, v := range x {
		d := float64(v - mean)
		squares += d * d
	}
	rstd = float32(1 / math.Sqrt(squares/float64(n)+float64(eps)))
	for i, v := range x {
		y[i] = float32((v-mean)*rstd*gamma[i]) + beta[i]
	}
	return mean, rstd
}

func addNormGeneric(y, s, residual, gamma, beta []float32, eps float32, words []uint32) (mean, rstd float32) {
	checkAddNorm(y, s, residual, gamma, beta, words)
	addGeneric(s, residual)
	mean, rstd = layerNormGeneric(y, s, gamma, beta, eps)
	if words != nil {
		roundRowGeneric(words, y)
	}
	return mean, rstd
}

// checkAddNorm returns the common length of the operands of AddNorm.
func checkAddNorm(y, s, residual, gamma, beta []float32, rounded []uint32) int {
	n := length(len(y), len(s), len(residual), len(gamma), len(beta))
	if rounded != nil {
		length(words(n), len(rounded))
	}
	return n
}

func layerNormBackwardGeneric(dx, dy, x, gamma []float32, mean, rstd float32, dgamma, dbeta []float32) {
	n := length(len(x), len(dx), len(dy), len(gamma), len(dgamma), len(dbeta))
	dx, dy, gamma, dgamma, dbeta = dx[:n], dy[:n], gamma[:n], dgamma[:n], dbeta[:n]
	var sum, dot float64
	for i, d := range dy {
		xhat := (x[i] - mean) * rstd
		g := float32(d * gamma[i])
		sum += float64(g)
		dot += float64(g) * float64(xhat)
		dgamma[i] += float32(d * xhat)
		dbeta[i] += d
	}
	meanG, meanGX := float32(sum/float64(n)), float32(dot/float64(n))
	for i, d := range dy {
		xhat := (x[i] - mean) * rstd
		dx[i] = rstd * (float32(d*gamma[i]) - meanG - float32(xhat*meanGX))
	}
}

func softmaxGeneric(x []float32, s float32) (lse float32) {
	top, sum := sumExp(x, s)
	for i, v := range x {
		x[i] = float32(math.Exp(float64(s)*float64(v)-top) / sum)
	}
	return float32(top + math.Log(sum))
}

func softmaxAgainGeneric(x []float32, s, lse float32) {
	for i, v := range x {
		x[i] = float32(math.Exp(float64(s)*float64(v) - float64(lse)))
	}
}

func logSumExpGeneric(x []float32) float64 {
	top, sum := sumExp(x, 1)
	return top + math.Log(sum)
}

// sumExp returns the maximum of s·x, −Inf for an empty row, and the sum of exp(s·x − maximum).
func sumExp(x []float32, s float32) (top, sum float64) {
	top = math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(s)*float64(v))
	}
	for _, v := range x {
		sum += math.Exp(float64(s)*float64(v) - top)
	}
	return top, sum
}

func softmaxBackwardGeneric(ds, p, dp []float32, s, d float32) {
	n := length(len(ds), len(p), len(dp))
	p, dp = p[:n], dp[:n]
	for i := range ds {
		ds[i] = s * p[i] * (dp[i] - d)
	}
}

func adamGeneric(p, g, m, v []float32, c *AdamStep) {
	n := length(len(p), len(g), len(m), len(v))
	g, m, v = g[:n], m[:n], v[:n]
	for i := range p {
		gi := g[i] * c.GradScale
		m[i] = float32(c.Beta1*m[i]) + float32(c.Rest1*gi)
		v[i] = float32(c.Beta2*v[i]) + float32(c.Rest2*float32(gi*gi))
		root := float32(math.Sqrt(float64(v[i])))
		p[i] -= float32(c.Decay*p[i]) + float32(c.StepSize*m[i])/(float32(root*c.RootScale)+c.Eps)
	}
}

func prefetchGeneric(_ []float32, _, _, _ int) {}
