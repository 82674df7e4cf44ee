package serve

import (
	"encoding/json"
	"slices"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// options are those of inputs that are read so.
func (r *reading) options(c *call) inputOptions {
	var o inputOptions
	how, _ := c.truncation(&o)
	switch {
	case r.truncate != nil && !*r.truncate:
		o.truncate = TruncateNever
	case r.left && (r.truncate != nil || how != TruncateNever):
		o.truncate = TruncateLeft
	case r.truncate != nil:
		o.truncate = TruncateRight
	}
	return o
}

// data are the inputs as the library takes them.
func (l *textInputs) data() []data.Input {
	out := make([]data.Input, len(l.inputs))
	for i := range l.inputs {
		in := &l.inputs[i]
		out[i] = data.Input{Text: in.text, TextPair: in.pair, Pair: in.isPair, IDs: in.ids}
	}
	return out
}

// checkDimensions reports a vector that is to be cut though the model was not trained for it; 0: it isn't to be cut.
func (m *model) checkDimensions(n int) error {
	d := m.description()
	if n == 0 {
		return nil
	}
	var (
		sizes  []int
		nested bool
		extra  = d.Config.Extra
	)
	_ = json.Unmarshal(extra["matryoshka_dimensions"], &sizes) // a value of another kind is none
	_ = json.Unmarshal(extra["is_matryoshka"], &nested)
	nested = nested || d.Pipeline != nil && d.Pipeline.TruncateDim > 0
	switch {
	case len(sizes) > 0 && !slices.Contains(sizes, n):
		return errorf(BadRequest, "`dimensions` is %d, the vectors of %s can be cut to %v", n, m.name, sizes).param("dimensions")
	case len(sizes) == 0 && !nested && n != m.vectorSize():
		return errorf(BadRequest, "`dimensions` is %d, but %s is not known to be trained so that the beginning of a vector can be used alone "+
			"(Matryoshka): leave `dimensions` out, or set matryoshka_dimensions in the model's config.json where it is", n, m.name).param("dimensions")
	}
	return nil
}

// vectorSize is the number of elements of a vector where it is known without making one, and else 0.
func (m *model) vectorSize() int {
	if m.pooling() != task.ModelPooling {
		return m.description().Config.HiddenSize
	}
	return 0
}

// vectors are those of a request's inputs.
func (c *call) vectors(m *model, l *textInputs, r *reading, normalize *bool, dimensions int) (*answers[[]float32], error) {
	if err := m.checkDimensions(dimensions); err != nil {
		return nil, err
	}
	return c.embed(m, l.data(), embedOptions{inputOptions: r.options(c), normalize: normalize, dimensions: dimensions, promptName: r.promptName})
}

// similarities are the cosines between a text and each of others.
func (c *call) similarities(m *model, q *similarityRequest) ([]float32, error) {
	l := textInputs{inputs: make([]textInput, 1+len(q.sentences))}
	l.inputs[0].text = q.source
	for i, s := range q.sentences {
		l.inputs[i+1].text = s
	}
	yes := true
	a, err := c.vectors(m, &l, &q.reading, &yes, 0)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(q.sentences))
	for i := range out {
		sum := 0.0
		for j, x := range a.values[0] {
			sum += float64(x) * float64(a.values[i+1][j])
		}
		out[i] = float32(sum)
	}
	return out, nil
}

// appendVectors appends an array of vectors.
func appendVectors(b []byte, vectors [][]float32) []byte {
	return appendEach(b, len(vectors), func(b []byte, i int) []byte { return appendVector(b, vectors[i]) })
}
