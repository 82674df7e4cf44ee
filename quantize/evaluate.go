package quantize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
)

// A Measure measures how good a model is. It is handed options to load the model with, and may be called many times.
type Measure func(ctx context.Context, o bert.Options) (Score, error)

// Score is what a Measure finds.
type Score struct {
	Metric string  // its name, the same for each call
	Value  float64 // the higher, the better
	Least  float64 // of cosines, the least of all texts; else 0
	Loss   float64 // of labelled data, as of training; else 0
}

// OnData measures the main metric of a task's data, with the model of a directory.
func OnData(dir string, d *task.Dataset) Measure {
	return func(ctx context.Context, o bert.Options) (Score, error) {
		m, err := bert.Load(ctx, sentence.EncoderDir(dir), o)
		if err != nil {
			return Score{}, err
		}
		defer m.Close()
		r, err := task.Evaluate(ctx, m, d, task.EvaluateOptions{})
		if err != nil {
			return Score{}, err
		}
		main, ok := r.Main()
		if !ok {
			return Score{}, errors.New("the task has no metric")
		}
		return Score{Metric: main.Name, Value: main.Value, Loss: r.Loss}, nil
	}
}

// OnTexts measures the mean cosine between the vectors of texts that a directory's model makes and those that it makes in float32. A model
// without a pipeline makes a vector as the mean of the last hidden states.
func OnTexts(dir string, texts []data.Input) Measure {
	var want [][]float32
	vectors := func(ctx context.Context, o bert.Options) ([][]float32, error) {
		options := task.EncodeOptions{Pooling: task.ModelPooling}
		if d, err := task.Describe(ctx, dir); err == nil && d.Pipeline == nil {
			options.Pooling = task.MeanPooling
		}
		r, err := task.Open(ctx, dir, task.Encode(options), task.Options{Model: o})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		encoded, err := r.Do(ctx, texts)
		if err != nil {
			return nil, err
		}
		out := make([][]float32, len(encoded))
		for i := range encoded {
			out[i] = encoded[i].Pooled
		}
		return out, nil
	}
	return func(ctx context.Context, o bert.Options) (Score, error) {
		if want == nil {
			exact := o
			exact.Precision, exact.Dequantize, exact.Quantize = bert.Float32, true, nil
			var err error
			if want, err = vectors(ctx, exact); err != nil {
				return Score{}, err
			}
		}
		got, err := vectors(ctx, o)
		if err != nil {
			return Score{}, err
		}
		s := Score{Metric: "cosine", Least: 1}
		for i := range got {
			c := task.Cosine(got[i], want[i])
			s.Value += c / float64(len(got))
			s.Least = min(s.Least, c)
		}
		return s, nil
	}
}

// EvaluateOptions say how Evaluate runs. The zero value is good.
type EvaluateOptions struct {
	// Model says how the model is loaded. The precision isn't used.
	Model bert.Options
	// Layers are those that are to be int8: the lines of an evaluation are about them.
	Layers bert.Quantize
	// MaxLoss is the loss of the metric that a recommendation may have; 0: DefaultMaxLoss.
	MaxLoss float64
	// Progress, if not nil, is called before each measurement with what it measures.
	Progress func(done, all int, what string)
}

// DefaultMaxLoss is the most that a recommended model loses: of a cosine or a share of right answers, 0.3 points of a hundred.
const DefaultMaxLoss = 0.003

// Line is what int8 costs in some layers while the others are float32.
type Line struct {
	Layers string `json:"layers"` // "intermediate", "query, key, value", "block 3", "all"
	// Products says that the layers' products are int8, and not their stored weights alone.
	Products bool `json:"int8_products"`
	// Saved is by how many bytes the file gets smaller.
	Saved int64   `json:"saved_bytes"`
	Value float64 `json:"value"` // of the metric
	Lost  float64 `json:"lost"`  // less than in float32
	Least float64 `json:"least,omitempty"`
	Loss  float64 `json:"loss,omitempty"`

	layers bert.Quantize
}

// Evaluation is what int8 costs a model.
type Evaluation struct {
	Metric  string  `json:"metric"`
	Float32 float64 `json:"float32"` // the metric in float32
	Bytes   int64   `json:"bytes"`   // of the weights in float32
	// Lines are sorted by what is lost, the most first.
	Lines []Line `json:"lines"`
	// Recommended loses at most MaxLoss, and of the ways that were tried is the one with the most products in int8. Keep and WeightsOnly
	// are those of bert.Quantize.
	Recommended Line     `json:"recommended"`
	Keep        []string `json:"keep"`
	WeightsOnly []string `json:"weights_only"`
	MaxLoss     float64  `json:"max_loss"`
}

// unit is layers that become int8 together.
type unit struct {
	name     string
	has      func(l *bert.Int8Layer) bool
	products bool
	kinds    []string // of one that is all layers of some kinds
}

// Evaluate measures what it costs to make layers int8: the layers of each kind, those of each block, and all together. Then it
// looks for the way that has most in int8 and loses at most o.MaxLoss: beginning with all, it takes the products of the kind that loses
// most back to float32, until that is enough.
func Evaluate(ctx context.Context, c bert.Config, head bert.Head, measure Measure, o EvaluateOptions) (*Evaluation, error) {
	layers := bert.Int8Layers(&c, head)
	e := &Evaluation{MaxLoss: cmp.Or(o.MaxLoss, DefaultMaxLoss), Keep: []string{}, WeightsOnly: []string{}}
	for _, p := range bert.Params(&c, head) {
		e.Bytes += 4 * int64(p.Len())
	}
	units := unitsOf(&c, layers)
	done, all := 0, len(units)+2
	at := func(what string) {
		if o.Progress != nil {
			o.Progress(done, max(all, done+1), what)
		}
		done++
	}
	options := o.Model
	at("float32")
	options.Precision, options.Dequantize, options.Quantize = bert.Float32, true, nil
	exact, err := measure(ctx, options)
	if err != nil {
		return nil, err
	}
	e.Metric, e.Float32 = exact.Metric, exact.Value
	line := func(name string, products bool, q bert.Quantize) (Line, error) {
		at(name)
		q.InputScales = o.Layers.InputScales
		options.Precision, options.Quantize = bert.Int8, &q
		s, err := measure(ctx, options)
		if err != nil {
			return Line{}, fmt.Errorf("%s: %w", name, err)
		}
		saved, err := Saved(&c, head, &q)
		return Line{Layers: name, Products: products, Saved: saved, Value: s.Value, Lost: exact.Value - s.Value, Least: s.Least, Loss: s.Loss, layers: q}, err
	}
	for _, u := range units {
		q := bert.Quantize{WeightsOnly: []string{}}
		for i := range layers {
			switch l := &layers[i]; {
			case !u.has(l):
				q.Keep = append(q.Keep, l.Name)
			case !u.products:
				q.WeightsOnly = append(q.WeightsOnly, l.Name)
			}
		}
		l, err := line(u.name, u.products, q)
		if err != nil {
			return nil, err
		}
		e.Lines = append(e.Lines, l)
	}
	everything, err := line("all", true, bert.Quantize{Keep: o.Layers.Keep, WeightsOnly: append([]string{}, o.Layers.WeightsOnly...)})
	if err != nil {
		return nil, err
	}
	e.Lines = append(e.Lines, everything)
	if err := e.recommend(units, everything, line); err != nil {
		return nil, err
	}
	slices.SortStableFunc(e.Lines, func(a, b Line) int { return cmp.Compare(b.Lost, a.Lost) })
	return e, nil
}

// recommend looks for the way to recommend, from the one that has everything in int8 on.
func (e *Evaluation) recommend(units []unit, everything Line, line func(name string, products bool, q bert.Quantize) (Line, error)) error {
	lost := make(map[string]float64)
	for _, l := range e.Lines {
		lost[l.Layers] = l.Lost
	}
	costly := slices.DeleteFunc(slices.Clone(units), func(u unit) bool { return !u.products || u.kinds == nil })
	slices.SortStableFunc(costly, func(a, b unit) int { return cmp.Compare(lost[b.name], lost[a.name]) })
	e.Recommended = everything
	for i := 0; e.Recommended.Lost > e.MaxLoss; i++ {
		q := e.Recommended.layers
		switch {
		case i < len(costly):
			q.WeightsOnly = slices.Concat(q.WeightsOnly, costly[i].kinds)
		case i == len(costly):
			q.Keep = slices.Concat(q.Keep, []string{"embeddings"})
		default:
			q.Keep = bert.Int8Kinds()
		}
		var err error
		name := "with float32 products of " + strings.Join(q.WeightsOnly, ", ")
		if e.Recommended, err = line(name, true, q); err != nil {
			return err
		}
		if i > len(costly) {
			break // everything in float32
		}
	}
	e.Keep = append(e.Keep, e.Recommended.layers.Keep...)
	e.WeightsOnly = append(e.WeightsOnly, e.Recommended.layers.WeightsOnly...)
	return nil
}

// unitsOf lists what is measured of a model with some layers.
func unitsOf(c *bert.Config, layers []bert.Int8Layer) []unit {
	ofKinds := func(kinds ...string) func(l *bert.Int8Layer) bool {
		return func(l *bert.Int8Layer) bool { return slices.Contains(kinds, l.Kind) }
	}
	attention := []string{"query", "key", "value"}
	name := strings.Join(attention, ", ")
	units := []unit{
		{name: "embeddings", has: ofKinds("embeddings")},
		{name: name + ", weights only", has: ofKinds(attention...)},
		{name: name, has: ofKinds(attention...), products: true, kinds: attention},
	}
	for _, kind := range bert.Int8Kinds() {
		i := slices.IndexFunc(layers, func(l bert.Int8Layer) bool { return l.Kind == kind })
		if i >= 0 && layers[i].Products && !slices.Contains(attention, kind) {
			units = append(units, unit{name: kind, has: ofKinds(kind), products: true, kinds: []string{kind}})
		}
	}
	for block := range c.NumHiddenLayers {
		units = append(units, unit{name: fmt.Sprintf("block %d", block), has: func(l *bert.Int8Layer) bool { return l.Block == block }, products: true})
	}
	return units
}

// Saved is by how many bytes int8 makes a model's weights smaller, in float32 before.
func Saved(c *bert.Config, head bert.Head, q *bert.Quantize) (int64, error) {
	uses, err := q.Uses(c, head)
	if err != nil {
		return 0, err
	}
	saved := int64(0)
	for _, l := range bert.Int8Layers(c, head) {
		if uses[l.Name] {
			rows, in := int64(l.Shape[0]), int64(l.Shape[1])
			saved += 3*rows*in - 4*rows
		}
	}
	return saved, nil
}
