package distill

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
)

// This file compares what tokens of a sequence are to one another: products x·yᵀ/√d of queries, keys or values, head by head.
//
// Legend: n tokens of a sequence, A heads, d width of a head, S student's and D teacher's width of a hidden state.

// relation says which rows are multiplied: each is query, key or value.
type relation struct{ x, y int }

// parts are the letters of a relation, in the order in which a row of queries, keys and values has them.
const parts = "qkv"

func parseRelation(name string) (relation, error) {
	if len(name) == 2 {
		if x, y := strings.IndexByte(parts, name[0]), strings.IndexByte(parts, name[1]); x >= 0 && y >= 0 {
			return relation{x, y}, nil
		}
	}
	return relation{}, fmt.Errorf("relation %q: want two of q, k and v, as in qk or vv", name)
}

// relationTerm compares relations of pairs of layers.
type relationTerm struct {
	pairs      []layerPair // of layers from 1 on
	relations  []relation
	heads      int
	own, width int // S, D
	// perElement divides by the elements of the n×n numbers, not by their rows.
	perElement bool
	// compare is the loss of one head of a sequence, of the teacher's numbers and the student's, [n,n]. It leaves the gradient at s in d.
	compare func(t, s, d []float32, n int) float64
}

// newRelationTerm compares the softmax of each row by Σ p·log(p/q), in the mean over rows and heads, added up over relations. MiniLM has
// qk and vv of the last layers, MiniLMv2 qq, kk and vv, with as many heads as are asked for.
func newRelationTerm(r *Recipe, m *models) (term, error) {
	if err := wholeHeads(r, m, "relation_weight"); err != nil {
		return nil, err
	}
	t := &relationTerm{
		pairs: []layerPair{{m.student.NumHiddenLayers, r.RelationLayer}}, heads: r.RelationHeads,
		own: m.student.HiddenSize, width: m.teacher.HiddenSize, compare: compareRows,
	}
	if r.RelationLayer == 0 {
		t.pairs[0].teacher = m.teacher.NumHiddenLayers
	}
	if r.RelationLayer > m.teacher.NumHiddenLayers {
		err := recipe.Wrong(r, "relation_layer", "one of its layers, or 0 for the last")
		err.Reason = fmt.Sprintf("but the teacher has layers 1 to %d", m.teacher.NumHiddenLayers)
		return nil, err
	}
	for _, name := range r.Relations {
		relation, err := parseRelation(name)
		if err != nil {
			return nil, err
		}
		t.relations = append(t.relations, relation)
	}
	if t.heads == 0 {
		t.heads = m.teacher.NumAttentionHeads
		for t.own%t.heads != 0 || t.width%t.heads != 0 {
			t.heads--
		}
	}
	if t.own%t.heads != 0 || t.width%t.heads != 0 {
		return nil, recipe.Wrong(r, "relation_heads", fmt.Sprintf("a divisor of the student's width, %d, and of the teacher's, %d", t.own, t.width))
	}
	return t, nil
}

// newAttentionTerm compares scores (before softmax, as in the authors' code) or probabilities by their mean squared distance, layer by
// layer, added up.
func newAttentionTerm(r *Recipe, m *models) (term, error) {
	if err := wholeHeads(r, m, "attention_weight"); err != nil {
		return nil, err
	}
	t := &relationTerm{
		relations: []relation{{0, 1}}, heads: m.teacher.NumAttentionHeads, own: m.student.HiddenSize, width: m.teacher.HiddenSize,
		perElement: true, compare: compareScores,
	}
	if r.AttentionOf == Probabilities {
		t.compare = compareProbabilities
	}
	if a, b := m.teacher.NumAttentionHeads, m.student.NumAttentionHeads; a != b {
		err := recipe.Wrong(r, "attention_weight", "0 where they differ; relations, of `relation_weight`, need no heads")
		err.Reason = fmt.Sprintf("but the teacher has %d heads and the student %d", a, b)
		return nil, err
	}
	for _, p := range m.layers {
		if p.student > 0 && p.teacher > 0 {
			t.pairs = append(t.pairs, p)
		}
	}
	if len(t.pairs) == 0 {
		return nil, recipe.Wrong(r, "layer_map", "layers above the embeddings, whose attention can be compared")
	}
	return t, nil
}

// wholeHeads refuses the loss of a weight for models some of whose heads were taken out: their queries, keys and values have other widths
// from layer to layer.
func wholeHeads(r *Recipe, m *models, weight string) error {
	if m.teacher.PrunedHeads == nil && m.student.PrunedHeads == nil {
		return nil
	}
	err := recipe.Wrong(r, weight, "0 where heads were pruned, or models with all of them")
	err.Reason = "but the teacher or the student has layers with fewer heads"
	return err
}

func (t *relationTerm) asks(teacher, student *need) {
	for _, p := range t.pairs {
		teacher.qkv(p.teacher - 1)
		student.qkv(p.student - 1)
	}
}

func (*relationTerm) params() []*projection { return nil }

func (t *relationTerm) rows(b *bert.Batch) float64 {
	if !t.perElement {
		return float64(b.Tokens() * t.heads)
	}
	elements := 0
	for i := range b.Len() {
		from, to := b.Sequence(i)
		elements += (to - from) * (to - from)
	}
	return float64(elements * t.heads)
}

func (t *relationTerm) add(c *computing, b *bert.Batch, teacher, student, gradient *said, scale float64) (float64, error) {
	total := 0.0
	losses := make([]float64, b.Len()*t.heads)
	for _, p := range t.pairs {
		ours := head{student.qkv[p.student-1], t.own}
		theirs := head{teacher.qkv[p.teacher-1], t.width}
		var at []float32
		if gradient != nil {
			at = gradient.qkv[p.student-1]
		}
		err := c.crew.do(len(losses), func(w *worker, i int) (err error) {
			from, to := b.Sequence(i / t.heads)
			losses[i], err = t.head(w, theirs, ours, head{at, t.own}, from, to, i%t.heads, scale)
			return err
		})
		if err != nil {
			return 0, err
		}
		total += sum(losses)
	}
	return total, nil
}

// head is rows of queries, keys and values of a width each.
type head struct {
	rows  []float32 // [T,3·width]
	width int
}

// copyTo copies the part (query, key or value) of head a of A of the tokens from … to, [n,d].
func (h *head) copyTo(dst []float32, from, to, part, a, heads int) {
	d := h.width / heads
	for i := from; i < to; i++ {
		copy(dst[(i-from)*d:], h.rows[(3*i+part)*h.width+a*d:][:d])
	}
}

// add adds what copyTo copies from.
func (h *head) add(src []float32, scale float64, from, to, part, a, heads int) {
	d := h.width / heads
	for i := from; i < to; i++ {
		row := h.rows[(3*i+part)*h.width+a*d:][:d]
		for j, x := range src[(i-from)*d:][:d] {
			row[j] += float32(scale * float64(x))
		}
	}
}

// head is the loss of a head of a sequence, over all relations. Unless there is no gradient, it is added there.
func (t *relationTerm) head(w *worker, theirs, ours, gradient head, from, to, a int, scale float64) (float64, error) {
	n := to - from
	d := t.own / t.heads
	theirScores, scores, dScores := w.take(0, n*n), w.take(1, n*n), w.take(2, n*n)
	x, y := w.take(3, n*max(t.own, t.width)/t.heads), w.take(4, n*max(t.own, t.width)/t.heads)
	total := 0.0
	for _, r := range t.relations {
		if err := products(w, theirScores, x, y, &theirs, r, from, to, a, t.heads); err != nil {
			return 0, err
		}
		if err := products(w, scores, x, y, &ours, r, from, to, a, t.heads); err != nil {
			return 0, err
		}
		total += t.compare(theirScores, scores, dScores, n)
		if gradient.rows == nil {
			continue
		}
		// The gradients at x and y: d·y and dᵀ·x, of which the products had 1/√d.
		factor := scale / math.Sqrt(float64(d))
		back := w.take(5, n*d)
		if err := w.inputGrad(back, dScores, y, n, n, d); err != nil {
			return 0, err
		}
		gradient.add(back, factor, from, to, r.x, a, t.heads)
		if err := w.weightGrad(back, nil, dScores, x, n, n, d); err != nil {
			return 0, err
		}
		gradient.add(back, factor, from, to, r.y, a, t.heads)
	}
	return total, nil
}

// products is x·yᵀ/√d of a head, [n,n]. It leaves x and y in the memory given.
func products(w *worker, to, x, y []float32, of *head, r relation, from, end, a, heads int) error {
	d := of.width / heads
	of.copyTo(x, from, end, r.x, a, heads)
	of.copyTo(y, from, end, r.y, a, heads)
	n := end - from
	if err := w.linear(to, x, y, nil, n, n, d); err != nil {
		return err
	}
	scale := float32(1 / math.Sqrt(float64(d)))
	for i := range to {
		to[i] *= scale
	}
	return nil
}

// compareRows is Σ p·log(p/q) of the softmaxes of each row.
func compareRows(t, s, d []float32, n int) (loss float64) {
	for from := 0; from < n*n; from += n {
		loss += divergence32(t[from:][:n], s[from:][:n], d[from:][:n])
	}
	return loss
}

// divergence32 is divergence, of a row of float32.
func divergence32(t, s, d []float32) float64 {
	top, own := float64(slices.Max(t)), float64(slices.Max(s))
	var p, q, cross float64
	for j := range t {
		e := math.Exp(float64(t[j]) - top)
		p += e
		cross += e * (float64(t[j]) - float64(s[j]))
		t[j] = float32(e)
		f := math.Exp(float64(s[j]) - own)
		q += f
		d[j] = float32(f)
	}
	for j := range d {
		d[j] = float32(float64(d[j])/q - float64(t[j])/p)
	}
	return cross/p - (top + math.Log(p)) + own + math.Log(q)
}

// compareScores is Σ (s−t)².
func compareScores(t, s, d []float32, _ int) (loss float64) {
	for i := range s {
		e := float64(s[i]) - float64(t[i])
		loss += e * e
		d[i] = float32(2 * e)
	}
	return loss
}

// compareProbabilities is Σ (q−p)² of the softmaxes of each row.
func compareProbabilities(t, s, d []float32, n int) (loss float64) {
	for from := 0; from < n*n; from += n {
		p, q, g := t[from:][:n], s[from:][:n], d[from:][:n]
		softmax32(p)
		softmax32(q)
		inner := 0.0
		for j := range q {
			e := float64(q[j]) - float64(p[j])
			loss += e * e
			inner += 2 * e * float64(q[j])
		}
		for j := range q {
			g[j] = float32(float64(q[j]) * (2*(float64(q[j])-float64(p[j])) - inner))
		}
	}
	return loss
}

func softmax32(x []float32) {
	top, total := float64(slices.Max(x)), 0.0
	for i, v := range x {
		e := math.Exp(float64(v) - top)
		total += e
		x[i] = float32(e)
	}
	for i, v := range x {
		x[i] = float32(float64(v) / total)
	}
}
