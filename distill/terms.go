package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
)

// This file is the table of losses: how far a student is from its teacher. Each term is a sum over rows of a batch; the loss of a
// step is that sum over all its batches, divided by their rows.
//
// Legend: B sequences, T tokens, n tokens of one sequence, C classes, S student's and D teacher's width of a hidden state.

// said is what a model said of a batch, as far as a need asks for it.
type said struct {
	logits []float32
	hidden map[int][]float32 // [T,H], by the number that bert.Pass.Hidden has
	qkv    map[int][]float32 // [T,3H], by layer, from 0 on
}

// need lists what is asked of a model.
type need struct {
	Logits      bool
	Hidden, QKV []int
}

func (n *need) hidden(layer int) { n.Hidden = with(n.Hidden, layer) }
func (n *need) qkv(layer int)    { n.QKV = with(n.QKV, layer) }

// with is a sorted list with an element more, unless that is in it.
func with(list []int, x int) []int {
	i, found := slices.BinarySearch(list, x)
	if found {
		return list
	}
	return slices.Insert(list, i, x)
}

// models are the shapes that terms are made for.
type models struct {
	teacher, student bert.Config
	head             bert.Head // of both
	columns          []int     // of the teacher's logits, in the order of the student's classes; nil: as they are
	layers           []layerPair
	vectors          *vectors // what makes a sentence's vector
}

// layerPair is a student's layer and that of the teacher it learns from. 0 is the embeddings' output, i that of layer i.
type layerPair struct{ student, teacher int }

// term is a loss between what teacher and student say.
type term interface {
	// asks adds what the term compares.
	asks(teacher, student *need)
	// params are projections that it learns.
	params() []*projection
	// rows is the number of rows of a batch, by which the sum of the losses is divided.
	rows(b *bert.Batch) float64
	// add returns the sum over the rows of a batch and, unless gradient is nil, adds its gradient times scale there.
	add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error)
}

// computing is what terms compute with.
type computing struct {
	matrices *matrices
	crew     *crew
	memory   [3][]float32 // of projections
}

// termInfo is a row of the table of losses.
type termInfo struct {
	name   string // of the term in events; its key is name_weight
	weight func(*Losses) *float64
	make   func(r *Recipe, m *models) (term, error)
}

var terms = []termInfo{
	// Soft labels: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, §2.
	{"logit", func(l *Losses) *float64 { return &l.LogitWeight }, newLogitTerm},
	// Hidden states, the embeddings' too: Jiao et al. 2020 (TinyBERT), arXiv:1909.10351, equations 8 and 9.
	{"hidden", func(l *Losses) *float64 { return &l.HiddenWeight }, newHiddenTerm},
	// Attention: the same, equation 7.
	{"attention", func(l *Losses) *float64 { return &l.AttentionWeight }, newAttentionTerm},
	// Relations: Wang et al. 2020 (MiniLM), arXiv:2002.10957, §3; Wang et al. 2021 (MiniLMv2), arXiv:2012.15828, §3.
	{"relation", func(l *Losses) *float64 { return &l.RelationWeight }, newRelationTerm},
	// The direction of hidden states: Sanh et al. 2019 (DistilBERT), arXiv:1910.01108, §2.
	{"cosine", func(l *Losses) *float64 { return &l.CosineWeight }, newCosineTerm},
	// Vectors of sentences: Reimers and Gurevych 2020, arXiv:2004.09813, equation 1; and by their direction.
	{"sentence", func(l *Losses) *float64 { return &l.SentenceWeight }, newSentenceTerm},
	{"sentence_cosine", func(l *Losses) *float64 { return &l.SentenceCosineWeight }, newSentenceCosineTerm},
}

// logitTerm compares logits at a temperature T: Σ p·log(p/q) of the teacher's p = softmax(z/T) and the student's q, times T², so that
// its gradient is as large as that of labels whatever T is. Of a multi-label classifier each class is a choice of two, p = sigmoid(z/T),
// and the loss is the mean over them. Of a regression it is the squared distance.
type logitTerm struct {
	kind        logitKind
	head        bert.Head
	classes     int
	temperature float64
	columns     []int
}

type logitKind uint8

const (
	softmaxLogits logitKind = iota
	sigmoidLogits
	squaredLogits
)

func newLogitTerm(r *Recipe, m *models) (term, error) {
	t := &logitTerm{head: m.head, classes: len(m.student.Labels), temperature: r.Temperature, columns: m.columns}
	switch m.head {
	case bert.SequenceClassification:
		switch m.student.Problem() {
		case bert.MultiLabelClassification:
			t.kind = sigmoidLogits
		case bert.RegressionProblem:
			t.kind = squaredLogits
		}
	case bert.TokenClassification, bert.QuestionAnswering, bert.MultipleChoice:
	case bert.MaskedLM, bert.PreTraining: // of the masked words
		if m.teacher.VocabSize != m.student.VocabSize {
			return nil, fmt.Errorf("the teacher's logits are of %d tokens, the student's of %d: want the same vocabulary, or a loss that is not on logits", m.teacher.VocabSize, m.student.VocabSize)
		}
		t.classes = m.student.VocabSize
	default:
		return nil, fmt.Errorf("a %v has no logits to learn from", m.head)
	}
	return t, nil
}

func (t *logitTerm) asks(teacher, student *need) { teacher.Logits, student.Logits = true, true }
func (*logitTerm) params() []*projection         { return nil }

// row is the logits of a softmax: from, from+stride, … n of them.
type row struct{ from, stride, n int }

// each lists the rows of a batch.
func (t *logitTerm) each(b *bert.Batch) []row {
	var list []row
	switch t.head {
	case bert.TokenClassification:
		for i := range b.Tokens() {
			// A token that is no first piece of a word has no answer.
			if len(b.TokenClasses) == 0 || b.TokenClasses[i] >= 0 {
				list = append(list, row{i * t.classes, 1, t.classes})
			}
		}
	case bert.QuestionAnswering:
		for i := range b.Len() {
			from, to := b.Sequence(i)
			list = append(list, row{2 * from, 2, to - from}, row{2*from + 1, 2, to - from})
		}
	case bert.MultipleChoice:
		for i := 0; i < b.Len(); i += b.Choices {
			list = append(list, row{i, 1, b.Choices})
		}
	case bert.MaskedLM, bert.PreTraining: // of the masked words
		for i := range b.MaskedPositions {
			list = append(list, row{i * t.classes, 1, t.classes})
		}
	default:
		for i := range b.Len() {
			list = append(list, row{i * t.classes, 1, t.classes})
		}
	}
	return list
}

func (t *logitTerm) rows(b *bert.Batch) float64 { return float64(len(t.each(b))) }

func (t *logitTerm) add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error) {
	rows := t.each(b)
	if len(teacher.logits) != len(student.logits) {
		return 0, fmt.Errorf("the teacher has %d logits, the student %d", len(teacher.logits), len(student.logits))
	}
	losses := make([]float64, len(rows))
	const together = 64 // rows of a job: the small ones are not worth one each
	err := c.crew.do((len(rows)+together-1)/together, func(_ *worker, k int) error {
		var z, s, d []float64
		for i := k * together; i < min((k+1)*together, len(rows)); i++ {
			r := rows[i]
			z, s, d = slices.Grow(z[:0], r.n)[:r.n], slices.Grow(s[:0], r.n)[:r.n], slices.Grow(d[:0], r.n)[:r.n]
			for j := range r.n {
				from := j
				if t.columns != nil {
					from = t.columns[j]
				}
				z[j] = float64(teacher.logits[r.from+from*r.stride])
				s[j] = float64(student.logits[r.from+j*r.stride])
			}
			losses[i] = t.compare(z, s, d)
			if gradient != nil {
				for j, x := range d {
					gradient.logits[r.from+j*r.stride] += float32(scale * x)
				}
			}
		}
		return nil
	})
	return sum(losses), err
}

// compare is the loss of a row, of the teacher's logits z and the student's s; it leaves the gradient at s in d.
func (t *logitTerm) compare(z, s, d []float64) (loss float64) {
	T := t.temperature
	switch t.kind {
	case squaredLogits:
		for j := range s {
			e := s[j] - z[j]
			loss += e * e
			d[j] = 2 * e
		}
		n := float64(len(s))
		for j := range d {
			d[j] /= n
		}
		return loss / n
	case sigmoidLogits:
		n := float64(len(s))
		for j := range s {
			p, q := sigmoid(z[j]/T), sigmoid(s[j]/T)
			// Σ p·log(p/q) over both choices, by the logarithms of the sigmoids.
			a, b := logSigmoid(z[j]/T)-logSigmoid(s[j]/T), logSigmoid(-z[j]/T)-logSigmoid(-s[j]/T)
			loss += p*a + (1-p)*b
			d[j] = T * (q - p) / n
		}
		return T * T * loss / n
	}
	for j := range s {
		z[j] /= T
		s[j] /= T
	}
	loss = divergence(z, s, d)
	for j := range d {
		d[j] *= T
	}
	return T * T * loss
}

// divergence is Σ p·log(p/q) of the softmax p of z and the softmax q of s. It leaves the gradient at s, q−p, in d, and p in z.
func divergence(z, s, d []float64) float64 {
	lz, ls := logSumExp(z), logSumExp(s)
	loss := 0.0
	for j := range s {
		p := math.Exp(z[j] - lz)
		loss += p * (z[j] - s[j])
		d[j] = math.Exp(s[j]-ls) - p
		z[j] = p
	}
	return loss - lz + ls
}

func logSumExp(x []float64) float64 {
	top := slices.Max(x)
	total := 0.0
	for _, v := range x {
		total += math.Exp(v - top)
	}
	return top + math.Log(total)
}

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func logSigmoid(x float64) float64 { return min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) }

func sum(list []float64) float64 {
	total := 0.0
	for _, x := range list {
		total += x
	}
	return total
}

// hiddenTerm is the mean squared distance of hidden states, layer by layer, added up: a student's state goes through a projection
// first where the teacher's are wider or narrower. As in the authors' code it is one for all layers.
type hiddenTerm struct {
	pairs      []layerPair
	width      int         // D
	own        int         // S
	projection *projection // nil: none
}

func newHiddenTerm(_ *Recipe, m *models) (term, error) {
	t := &hiddenTerm{pairs: m.layers, width: m.teacher.HiddenSize, own: m.student.HiddenSize}
	t.projection = projectionFor("hidden", t.own, t.width)
	return t, nil
}

func (t *hiddenTerm) asks(teacher, student *need) {
	for _, p := range t.pairs {
		teacher.hidden(p.teacher)
		student.hidden(p.student)
	}
}

func (t *hiddenTerm) params() []*projection { return list(t.projection) }

// rows are the elements of a layer's states.
func (t *hiddenTerm) rows(b *bert.Batch) float64 { return float64(b.Tokens() * t.width) }

func (t *hiddenTerm) add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error) {
	total := 0.0
	for _, p := range t.pairs {
		loss, err := t.projection.compare(c, student.hidden[p.student], gradientOf(gradient, p.student), b.Tokens(), t.own, func(y, dy []float32) (float64, error) {
			want, loss := teacher.hidden[p.teacher], 0.0
			for i, v := range y {
				e := float64(v) - float64(want[i])
				loss += e * e
				if dy != nil {
					dy[i] = float32(2 * scale * e)
				}
			}
			return loss, nil
		})
		if err != nil {
			return 0, err
		}
		total += loss
	}
	return total, nil
}

// gradientOf is where the gradient at hidden states goes, nil where none is asked for.
func gradientOf(g *said, layer int) []float32 {
	if g == nil {
		return nil
	}
	return g.hidden[layer]
}

// cosineTerm is 1 − cos of the last hidden states of each token.
type cosineTerm struct {
	last       layerPair
	width, own int
	projection *projection
}

func newCosineTerm(_ *Recipe, m *models) (term, error) {
	t := &cosineTerm{
		last:  layerPair{m.student.NumHiddenLayers, m.teacher.NumHiddenLayers},
		width: m.teacher.HiddenSize, own: m.student.HiddenSize,
	}
	t.projection = projectionFor("cosine", t.own, t.width)
	return t, nil
}

func (t *cosineTerm) asks(teacher, student *need) {
	teacher.hidden(t.last.teacher)
	student.hidden(t.last.student)
}

func (t *cosineTerm) params() []*projection    { return list(t.projection) }
func (*cosineTerm) rows(b *bert.Batch) float64 { return float64(b.Tokens()) }

func (t *cosineTerm) add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error) {
	return t.projection.compare(c, student.hidden[t.last.student], gradientOf(gradient, t.last.student), b.Tokens(), t.own, func(y, dy []float32) (float64, error) {
		want, loss := teacher.hidden[t.last.teacher], 0.0
		for from := 0; from < len(y); from += t.width {
			var d []float32
			if dy != nil {
				d = dy[from:][:t.width]
			}
			loss += cosineDistance(y[from:][:t.width], want[from:][:t.width], d, scale)
		}
		return loss, nil
	})
}

// cosineDistance is 1 − cos(y, want); unless it is nil, d becomes its gradient at y times scale. A vector of zeros has no direction,
// and a cosine of 0.
func cosineDistance(y, want, d []float32, scale float64) float64 {
	var dot, yy, ww float64
	for i := range y {
		a, b := float64(y[i]), float64(want[i])
		dot += a * b
		yy += a * a
		ww += b * b
	}
	clear(d)
	if yy == 0 || ww == 0 {
		return 1
	}
	norms := math.Sqrt(yy) * math.Sqrt(ww)
	cos := dot / norms
	for i := range d {
		d[i] = float32(-scale * (float64(want[i])/norms - cos*float64(y[i])/yy))
	}
	return 1 - cos
}

// list is the projections that there are.
func list(p ...*projection) []*projection {
	return slices.DeleteFunc(p, func(p *projection) bool { return p == nil })
}

// errNoTerm says that a recipe has no loss to learn from a teacher.
var errNoTerm = errors.New("there is no loss between teacher and student: want a weight above 0")
