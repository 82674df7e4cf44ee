package bert

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// Calibration finds what the inputs of a model's dense layers are like, from texts, so that they lose little when they are rounded to
// int8 (Xiao et al. 2022, SmoothQuant, arXiv:2211.10438). A few columns of an input are much larger than the others, and make the
// scale of a token so large that the others are rounded to a few integers. Multiplying a column of the input and dividing the same
// column of the weight changes nothing but where the rounding errors are made.
//
// As in the paper, the inputs are those of query, key and value and of the first product of the feed-forward network, which come out of
// a LayerNorm. The paper folds the factors into that LayerNorm. A BERT's LayerNorms are also the residual that is added after the
// layer (post-LayerNorm), where the factors must not be; so they are applied as the input is rounded: Quantize.InputScales. The
// other products gain nothing: attention's output loses little as it is, and the largest inputs of the second product, which come out of
// the activation, differ from text to text.
//
// A Calibration serves one goroutine.
type Calibration struct {
	session *Session
	largest map[string][]float32 // magnitude of each column of a layer's input, by Int8Layer.Name
	read    []float32
	failure error
}

// NewCalibration begins a calibration. The model is one in floating point, at Float32 for the best result.
func (m *Model) NewCalibration() *Calibration {
	c := &Calibration{session: m.NewSession(), largest: make(map[string][]float32)}
	c.session.space.observe = c.see
	return c
}

// Add runs the model over a batch.
func (c *Calibration) Add(b *Batch) error {
	_, err := c.session.Forward(b, Outputs{LastHidden: true})
	if err == nil {
		err = c.failure
	}
	return err
}

// see takes the input [rows, in] of a block's layers, whose rows are stride apart.
func (c *Calibration) see(block int, layer string, x compute.Buffer, rows, in, stride int) {
	if c.failure != nil {
		return
	}
	if cap(c.read) < x.Len {
		c.read = make([]float32, x.Len)
	}
	values := c.read[:x.Len]
	if c.failure = c.session.m.device.Read(values, x); c.failure != nil {
		return
	}
	name := fmt.Sprintf("encoder.layer.%d.%s", block, layer)
	largest := c.largest[name]
	if largest == nil {
		largest = make([]float32, in)
		c.largest[name] = largest
	}
	for r := range rows {
		for j, v := range values[r*stride:][:in] {
			largest[j] = max(largest[j], v, -v)
		}
	}
}

// InputScales gives the scales of the layers' inputs, 1/s of the paper's s = max|X|^α / max|W|^(1−α), for Quantize.InputScales. A
// higher α, in [0, 1], makes it easier to round the inputs and harder to round the weights; the paper's is 0.5.
func (c *Calibration) InputScales(alpha float64) (map[string][]float32, error) {
	if !(alpha >= 0 && alpha <= 1) {
		return nil, fmt.Errorf("alpha is %v, want a number in [0, 1]", alpha)
	}
	if len(c.largest) == 0 {
		return nil, fmt.Errorf("no texts to calibrate with")
	}
	m := c.session.m
	weights := make(map[string][]float32) // the largest magnitude of each column, of all layers that have an input
	for _, l := range Int8Layers(&m.config, m.head) {
		if !smoothed(&l) {
			continue
		}
		values, err := m.Values(l.Param)
		if err != nil {
			return nil, err
		}
		input := inputOf(&l)
		columns := weights[input]
		if columns == nil {
			columns = make([]float32, l.Shape[1])
			weights[input] = columns
		}
		for r := range l.Shape[0] {
			for j, v := range values[r*l.Shape[1]:][:l.Shape[1]] {
				columns[j] = max(columns[j], v, -v)
			}
		}
	}
	scales := make(map[string][]float32)
	for _, l := range Int8Layers(&m.config, m.head) {
		if !smoothed(&l) {
			continue
		}
		input := inputOf(&l)
		if scales[input] == nil {
			scales[input] = smooth(c.largest[input], weights[input], alpha)
		}
		scales[l.Name] = scales[input]
	}
	return scales, nil
}

// smoothed reports whether a layer's input is scaled.
func smoothed(l *Int8Layer) bool {
	return slices.Contains([]string{"query", "key", "value", "intermediate"}, l.Kind)
}

// inputOf is the layer whose input is a layer's too: the query for query, key and value.
func inputOf(l *Int8Layer) string {
	if l.Kind == "key" || l.Kind == "value" {
		return attentionInputs(l.Block)[0]
	}
	return l.Name
}

// smooth is the scales of an input's columns, whose mean on a logarithmic scale is 1, so that nothing gets very small or large.
func smooth(inputs, weights []float32, alpha float64) []float32 {
	const least, most = 0x1p-20, 0x1p20
	var (
		logs = make([]float64, len(inputs))
		mean float64
	)
	for j := range logs {
		x, w := math.Max(float64(inputs[j]), least), math.Max(float64(weights[j]), least)
		logs[j] = (1-alpha)*math.Log(w) - alpha*math.Log(x)
		mean += logs[j] / float64(len(logs))
	}
	scales := make([]float32, len(logs))
	for j, v := range logs {
		scales[j] = float32(math.Min(math.Max(math.Exp(v-mean), least), most))
	}
	return scales
}
