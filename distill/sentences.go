package distill

import (
	"errors"
	"io/fs"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/sentence"
)

// vectors says what the vector of a sentence is: the teacher's by its own pipeline, or the mean of its tokens' hidden states where it
// has none; the student's by the mean, through a projection where the widths differ, of length 1 if the teacher's have it.
//
// Legend: B sequences, n tokens of one, S the student's width, D that of the teacher's vectors.
type vectors struct {
	teacher    *sentence.Pipeline // nil: the mean
	hidden     int                // the teacher's width
	last       layerPair
	own, width int // S, D
	normalized bool
	projection *projection // nil: none
}

// newVectors reads the pipeline of a teacher's directory.
func newVectors(dir string, teacher, student *bert.Config) (*vectors, error) {
	v := &vectors{
		hidden: teacher.HiddenSize, own: student.HiddenSize, width: teacher.HiddenSize,
		last: layerPair{student.NumHiddenLayers, teacher.NumHiddenLayers},
	}
	p, err := sentence.Load(dir, teacher.HiddenSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case p.CrossEncoder:
		return nil, errors.New("the teacher is a cross-encoder, which has no vectors of sentences")
	default:
		one, err := p.Vector(make([]float32, v.hidden), v.hidden, 0)
		if err != nil {
			return nil, err
		}
		v.teacher, v.width = p, len(one)
		v.normalized = p.Modules[len(p.Modules)-1].Class() == "Normalize"
	}
	v.projection = projectionFor("sentence", v.own, v.width)
	return v, nil
}

// pipeline is what makes the student's vectors, for its folder.
func (v *vectors) pipeline(maxSeqLength int) (*sentence.Pipeline, error) {
	o := sentence.Options{Modes: []sentence.Mode{sentence.Mean}, Normalize: v.normalized, Hidden: v.own, MaxSeqLength: maxSeqLength}
	if p := v.projection; p != nil {
		if err := p.weight.values.Read(p.weight.memory); err != nil {
			return nil, err
		}
		if err := p.bias.values.Read(p.bias.memory); err != nil {
			return nil, err
		}
		o.Dense = &sentence.Dense{Out: p.out, Weight: p.weight.memory, Bias: p.bias.memory}
	}
	return sentence.New(o)
}

// wanted is the teacher's vector of a sequence, [D].
func (v *vectors) wanted(states []float32) ([]float32, error) {
	if v.teacher == nil {
		return sentence.Mean.Pool(states, v.hidden), nil
	}
	return v.teacher.Vector(states, v.hidden, 0)
}

// sentenceTerm is a distance of the vectors of sentences: Σ (v−t)²/D, or 1 − cos.
type sentenceTerm struct {
	*vectors
	cosine bool
}

func newSentenceTerm(_ *Recipe, m *models) (term, error) { return &sentenceTerm{m.vectors, false}, nil }
func newSentenceCosineTerm(_ *Recipe, m *models) (term, error) {
	return &sentenceTerm{m.vectors, true}, nil
}

func (t *sentenceTerm) asks(teacher, student *need) {
	teacher.hidden(t.last.teacher)
	student.hidden(t.last.student)
}

func (t *sentenceTerm) params() []*projection    { return list(t.projection) }
func (*sentenceTerm) rows(b *bert.Batch) float64 { return float64(b.Len()) }

func (t *sentenceTerm) add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error) {
	var (
		means   = make([]float32, b.Len()*t.own)
		wanted  = make([][]float32, b.Len())
		states  = student.hidden[t.last.student]
		atMeans []float32
	)
	err := c.crew.do(b.Len(), func(_ *worker, i int) (err error) {
		from, to := b.Sequence(i)
		copy(means[i*t.own:], sentence.Mean.Pool(states[from*t.own:to*t.own], t.own))
		wanted[i], err = t.wanted(teacher.hidden[t.last.teacher][from*t.hidden : to*t.hidden])
		return err
	})
	if err != nil {
		return 0, err
	}
	if gradient != nil {
		atMeans = make([]float32, len(means))
	}
	loss, err := t.projection.compare(c, means, atMeans, b.Len(), t.own, func(y, dy []float32) (float64, error) {
		loss := 0.0
		for i, want := range wanted {
			var d []float32
			if dy != nil {
				d = dy[i*t.width:][:t.width]
			}
			if row := y[i*t.width:][:t.width]; t.cosine {
				loss += cosineDistance(row, want, d, scale)
			} else {
				loss += squaredDistance(row, want, d, t.normalized, scale)
			}
		}
		return loss, nil
	})
	for i := range wanted {
		if gradient == nil {
			break
		}
		from, to := b.Sequence(i)
		at := gradient.hidden[t.last.student]
		for j := from; j < to; j++ {
			for k, g := range atMeans[i*t.own:][:t.own] {
				at[j*t.own+k] += g / float32(to-from)
			}
		}
	}
	return loss, err
}

// squaredDistance is Σ (u−want)²/D, where u is y or, if it is to be normalized, y/|y|. Unless it is nil, d becomes its gradient at y
// times scale.
func squaredDistance(y, want, d []float32, normalized bool, scale float64) (loss float64) {
	length := 1.0
	if normalized {
		squares := 0.0
		for _, x := range y {
			squares += float64(x) * float64(x)
		}
		if length = math.Sqrt(squares); length == 0 {
			length = 1
		}
	}
	n, along := float64(len(y)), 0.0
	for i, x := range y {
		u := float64(x) / length
		e := u - float64(want[i])
		loss += e * e / n
		along += 2 * e / n * u
	}
	for i := range d {
		u := float64(y[i]) / length
		g := 2 * (u - float64(want[i])) / n
		if normalized {
			g = (g - along*u) / length
		}
		d[i] = float32(scale * g)
	}
	return loss
}
