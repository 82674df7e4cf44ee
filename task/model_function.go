package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/explain"
)

// modelFunction is an aim as a function of the word embeddings of a sequence.
//
// Legend: n tokens, H hidden.
type modelFunction struct {
	*engine
	s   *sequence
	aim *aim
}

// batches puts points [n·H] into batches and calls use with each, and with where its first point is.
func (f *modelFunction) batches(ctx context.Context, points [][]float64, use func(s *bert.Session, b *bert.Batch, first int) error) error {
	var (
		b    bert.Batch
		size = max(1, f.tokens/len(f.s.ids))
	)
	for first := 0; first < len(points); first += size {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.Reset()
		for _, p := range points[first:min(first+size, len(points))] {
			b.Add(f.s.ids, f.s.typeIDs)
			for _, v := range p {
				b.Embeddings = append(b.Embeddings, float32(v))
			}
		}
		if err := ofNoBatch(f.withSession(ctx, func(s *bert.Session) error { return use(s, &b, first) })); err != nil {
			return err
		}
	}
	return nil
}

// ofNoBatch is an error of a batch that the caller knows nothing of.
func ofNoBatch(err error) error {
	var broken *bert.NotFiniteError
	if errors.As(err, &broken) {
		plain := *broken
		plain.Sequence = -1
		return &plain
	}
	return err
}

// besides says that the logits that answer are beside those of a masked LM.
func (f *modelFunction) besides() bool { return f.model.Head() == bert.PreTraining }

func (f *modelFunction) Values(ctx context.Context, points [][]float64) ([]float64, error) {
	values := make([]float64, len(points))
	err := f.batches(ctx, points, func(s *bert.Session, b *bert.Batch, first int) error {
		out, err := s.Forward(b, bert.Outputs{})
		if err != nil {
			return err
		}
		logits := out.Logits
		if f.besides() {
			logits = out.NextSentenceLogits
		}
		width := len(logits) / b.Len()
		for i := range b.Len() {
			values[first+i] = f.aim.at(logits[i*width:(i+1)*width], nil)
		}
		return nil
	})
	return values, err
}

// between sets values to the aim in each sequence of a batch, and adds its gradients at the logits.
func (f *modelFunction) between(values []float64) func(*bert.Activations) error {
	return func(a *bert.Activations) error {
		read, add := a.Logits, a.AddLogits
		if f.besides() {
			read, add = a.NextSentenceLogits, a.AddNextSentenceLogits
		}
		logits, err := read()
		if err != nil {
			return err
		}
		d := make([]float32, len(logits))
		width := len(logits) / len(values)
		for i := range values {
			from, to := i*width, (i+1)*width
			values[i] = f.aim.at(logits[from:to], d[from:to])
		}
		return add(d)
	}
}

func (f *modelFunction) Gradients(ctx context.Context, points [][]float64) ([]float64, [][]float64, error) {
	values, gradients := make([]float64, len(points)), make([][]float64, len(points))
	err := f.batches(ctx, points, func(s *bert.Session, b *bert.Batch, first int) error {
		at, err := s.InputGradient(b, f.between(values[first:first+b.Len()]))
		if err != nil {
			return err
		}
		width := len(at) / b.Len()
		for i := range b.Len() {
			g := make([]float64, width)
			for j, v := range at[i*width : (i+1)*width] {
				g[j] = float64(v)
			}
			gradients[first+i] = g
		}
		return nil
	})
	return values, gradients, err
}

// attention runs the sequence forward and back, for what the gradient at the attention follows from. It returns the aim too.
func (f *modelFunction) attention(ctx context.Context) (layers []explain.AttentionPass, value float64, err error) {
	err = f.alone(ctx, func(s *bert.Session, b *bert.Batch) error {
		values := make([]float64, 1)
		passes, err := s.AttentionGradients(b, f.between(values))
		if err != nil {
			return err
		}
		value = values[0]
		c := f.model.Config()
		for l, p := range passes {
			layers = append(layers, explain.AttentionPass{
				HeadVectors: explain.HeadVectors{Tokens: b.Tokens(), Heads: c.Heads(l), QKV: p.QKV}, Context: p.Context,
			})
		}
		return nil
	})
	return layers, value, err
}

// alone lends a session with a batch of the sequence.
func (f *modelFunction) alone(ctx context.Context, use func(*bert.Session, *bert.Batch) error) error {
	var b bert.Batch
	b.Add(f.s.ids, f.s.typeIDs)
	return ofNoBatch(f.withSession(ctx, func(s *bert.Session) error { return use(s, &b) }))
}

// relevance is how much each token matters for those at which the aim is read, by explain.GradientRollout.
func (f *modelFunction) relevance(ctx context.Context) (*explain.Attribution, error) {
	layers, value, err := f.attention(ctx)
	if err != nil {
		return nil, err
	}
	rollout, err := explain.GradientRollout(layers, 0)
	if err != nil {
		return nil, err
	}
	out := &explain.Attribution{Values: make([]float64, len(f.s.ids)), At: value}
	last := rollout[len(rollout)-1]
	for _, from := range f.aim.tokens {
		for to, v := range last[from] {
			out.Values[to] += v
		}
		out.Values[from]-- // what a token is of itself before the first layer
	}
	return out, nil
}

// headWeights reads the parameters that explain.ValueNorms needs, of all layers.
func (e *engine) headWeights() ([]explain.HeadWeights, error) {
	c := e.model.Config()
	out := make([]explain.HeadWeights, c.NumHiddenLayers)
	for l := range out {
		w := &out[l]
		w.Heads = c.Heads(l)
		for name, to := range map[string]*[]float32{
			"self.value.weight": &w.Value, "self.value.bias": &w.ValueBias, "output.dense.weight": &w.Output,
		} {
			suffix := fmt.Sprintf("encoder.layer.%d.attention.%s", l, name)
			i := slices.IndexFunc(e.model.Params(), func(p bert.Param) bool { return strings.HasSuffix(p.Name, suffix) })
			if i < 0 {
				return nil, fmt.Errorf("the model has no parameter %s", suffix)
			}
			var err error
			if *to, err = e.model.Values(e.model.Params()[i].Name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
