package task

import (
	"context"
	"errors"

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
		for _, p := range passes {
			layers = append(layers, explain.AttentionPass{
				HeadVectors: explain.HeadVectors{Tokens: b.Tokens(), Heads: f.model.Config().NumAttentionHeads, QKV: p.QKV}, Context: p.Context,
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

// lastAttention is the attention of the tokens at which an aim is read, in the last layer: the mean of its heads, or of the lengths
// of what they move.
func (x *explainer) lastAttention(ctx context.Context, f *modelFunction) (*explain.Attribution, error) {
	var (
		c   = f.model.Config()
		n   = len(f.s.ids)
		out = &explain.Attribution{Values: make([]float64, n)}
	)
	err := f.alone(ctx, func(s *bert.Session, b *bert.Batch) error {
		pass, err := s.Forward(b, bert.Outputs{Attentions: true, Hidden: x.options.Method == LastNorms})
		if err != nil {
			return err
		}
		logits := pass.Logits
		if f.besides() {
			logits = pass.NextSentenceLogits
		}
		out.At = f.aim.at(logits, nil)
		last := c.NumHiddenLayers - 1
		heads := make([][][]float32, c.NumAttentionHeads)
		for h := range heads {
			heads[h] = rows(pass.Attentions[last][h*n*n:(h+1)*n*n], n, n)
		}
		if x.options.Method == LastNorms {
			weights, err := x.weights()
			if err != nil {
				return err
			}
			if heads, err = weights[last].ValueNorms(heads, rows(pass.Hidden[last], n, c.HiddenSize), 0); err != nil {
				return err
			}
		}
		for _, head := range heads {
			for _, from := range f.aim.tokens {
				for to, w := range head[from] {
					out.Values[to] += float64(w) / float64(len(heads)*len(f.aim.tokens))
				}
			}
		}
		return nil
	})
	return out, err
}
