package sentence

import (
	"errors"
	"io/fs"
	"math"
)

// Normalize gives v the length 1; one shorter than 1e-12 is divided by that, as in torch.nn.functional.normalize.
func Normalize(v []float32) {
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	length := math.Max(math.Sqrt(squares), 1e-12)
	for i, x := range v {
		v[i] = float32(float64(x) / length)
	}
}

// normalize is the module Normalize.
type normalize struct{ place }

func (n *normalize) apply(f *features) error {
	n.each(f, func(v []float32) []float32 {
		Normalize(v)
		return v
	})
	return nil
}

func (n *normalize) String() string { return "Normalize" + n.place.String() }

func readNormalize(r *reader, m *Module, dir string) (step, error) {
	var (
		n             = &normalize{}
		input, output = sentenceEmbedding, ""
	)
	path, err := r.config(m, dir, map[string]any{"module_input_name": &input, "module_output_name": &output})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // releases before 6.0 write none
		return nil, err
	}
	n.place, err = r.place(path, input, output)
	return n, err
}

// layerNorm is the module LayerNorm, of a vector.
type layerNorm struct{ weight, bias []float32 } // [D]

// layerNormEps is the default of torch.nn.LayerNorm.
const layerNormEps = 1e-5

func (l *layerNorm) apply(f *features) error {
	mean, variance, n := 0.0, 0.0, float64(len(f.vector))
	for _, x := range f.vector {
		mean += float64(x) / n
	}
	for _, x := range f.vector {
		variance += (float64(x) - mean) * (float64(x) - mean) / n
	}
	scale := 1 / math.Sqrt(variance+layerNormEps)
	for i, x := range f.vector {
		f.vector[i] = float32((float64(x)-mean)*scale*float64(l.weight[i]) + float64(l.bias[i]))
	}
	return nil
}

func (l *layerNorm) String() string { return "LayerNorm" }

func readLayerNorm(r *reader, m *Module, dir string) (step, error) {
	var (
		l         = &layerNorm{}
		dimension int
	)
	path, err := r.config(m, dir, map[string]any{"dimension": &dimension})
	if err != nil {
		return nil, err
	}
	at, err := r.place(path, sentenceEmbedding, "")
	if err != nil {
		return nil, err
	}
	if err := r.fit(path, "dimension", dimension, at); err != nil {
		return nil, err
	}
	r.widths.vector = dimension
	shape := []int{dimension}
	return l, r.weights(m, dir, []tensor{{"norm.weight", shape, &l.weight}, {"norm.bias", shape, &l.bias}})
}

// readDropout reads the module Dropout, which does nothing outside of training.
func readDropout(r *reader, m *Module, dir string) (step, error) {
	var share float64
	_, err := r.config(m, dir, map[string]any{"dropout": &share})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, err
}
