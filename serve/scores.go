package serve

import (
	"cmp"
	"math"
	"slices"

	"github.com/go-bert/bert"
)

// squash is what makes scores of a classifier's logits.
type squash uint8

const (
	asTheyAre squash = iota // "none"
	softmaxed
	squashed // by the logistic function, each alone
)

var squashes = [...]string{asTheyAre: "none", softmaxed: "softmax", squashed: "sigmoid"}

// squashOf is what a model's scores are made by where a request doesn't say it. It follows problem_type and the number of labels,
// as transformers' pipeline of text classification does.
func squashOf(c *bert.Config) squash {
	switch {
	case c.ProblemType == bert.RegressionProblem:
		return asTheyAre
	case c.ProblemType == bert.MultiLabelClassification || len(c.Labels) == 1:
		return squashed
	}
	return softmaxed
}

// of makes scores of logits.
func (s squash) of(logits []float32) []float32 {
	out := slices.Clone(logits)
	switch s {
	case softmaxed:
		softmax(out)
	case squashed:
		for i, x := range out {
			out[i] = sigmoid(x)
		}
	}
	return out
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// softmax turns logits into probabilities, in place.
func softmax(x []float32) {
	if len(x) == 0 {
		return
	}
	largest := float64(slices.Max(x))
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - largest)
	}
	for i, v := range x {
		x[i] = float32(math.Exp(float64(v)-largest) / sum)
	}
}

// descending is the indices of scores, those of the largest first, and of equal ones the lower index.
func descending(scores []float32) []int {
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	return at
}

// largest is the first index of the largest value.
func largest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// appendScores appends labels with their scores, the best first, at most n of them.
func appendScores(b []byte, labels []string, scores []float32, n int) []byte {
	order := descending(scores)
	return appendEach(b, min(n, len(order)), func(b []byte, i int) []byte {
		o := openObject(b)
		o.float("score", scores[order[i]])
		o.text("label", labels[order[i]])
		return o.close()
	})
}
