package bert

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// This file holds the losses: the labels of each, its divisor and its operation on the device. The table of heads names the
// losses of each head.
//
// Legend: B sequences, T tokens, M masked tokens, C classes, V vocabulary, N choices of an example.

// Loss is the loss of one or more batches.
type Loss struct {
	Total                  float64
	MaskedLM, NextSentence float64 // the two terms of a pre-training head's loss
}

// Denominators holds the divisor of each term of a loss: the sum of the weights of the rows that take part, which is their
// number if the batch has no Weights. A row is a sequence, an example of multiple choice, a token or a masked token, with the
// weight of its sequence or example. It takes part if it has a target: a label that is not negative, probabilities that are not
// all zero, a position inside its sequence. Each sequence of a regression or a multi-label classifier takes part.
//
// So a term is Σ weight·loss / Σ weight. The loss of a sequence is the mean over the classes for a multi-label classifier. In
// question answering, each of the two softmaxes is a term with a divisor of its own, and the loss is the mean of the two.
//
// Several machines share a step by adding up their Denominators, handing the sum to Backward and adding up the gradients: see
// [Pass].
type Denominators struct {
	Rows         float64 // of SequenceClassification, TokenClassification, MultipleChoice
	Starts, Ends float64 // of QuestionAnswering: first and last tokens of answers
	MaskedLM     float64 // of PreTraining and MaskedLM. PreTraining divides by MaskedLMEpsilon more
	NextSentence float64 // of PreTraining and NextSentence
}

// Add adds those of other batches.
func (d *Denominators) Add(other Denominators) {
	d.Rows += other.Rows
	d.Starts += other.Starts
	d.Ends += other.Ends
	d.MaskedLM += other.MaskedLM
	d.NextSentence += other.NextSentence
}

// MaskedLMEpsilon is what the masked LM's loss of a PreTraining head adds to the number of masked tokens before dividing by
// it (google-research/bert run_pretraining.py, get_masked_lm_output).
const MaskedLMEpsilon = 1e-5

// Denominators holds the divisors of the loss of the batches, taken together as one. The error is a BatchError.
func (m *Model) Denominators(batches ...*Batch) (Denominators, error) {
	for i, b := range batches {
		if err := b.check(&m.config); err != nil {
			return Denominators{}, inBatch(i, err)
		}
		if err := b.checkLabels(&m.config, m.head); err != nil {
			return Denominators{}, inBatch(i, err)
		}
	}
	var d Denominators
	m.denominators(&d, batches)
	return d, nil
}

// denominators sets d to those of batches that have been checked.
func (m *Model) denominators(d *Denominators, batches []*Batch) {
	*d = Denominators{}
	for _, kind := range m.head.losses(&m.config) {
		l := &losses[kind]
		sum := l.denominator(d)
		for _, b := range batches {
			for r := range l.rows().count(b) {
				if l.takes(b, &m.config, r) {
					*sum += l.rows().weight(b, r)
				}
			}
		}
	}
}

// lossKind is a row of the table of losses.
type lossKind uint8

const (
	maskedLoss lossKind = iota
	preTrainingMaskedLoss
	nextSentenceLoss
	classLoss
	choiceLoss
	tokenLoss
	startLoss
	endLoss
	multiLabelLoss
	regressionLoss
)

// lossInfo is a row of the table of losses.
type lossInfo struct {
	// denominator is the field that sums up the weights of the rows that take part. epsilon is added to it.
	denominator func(*Denominators) *float64
	epsilon     float64
	// term is the loss's own field of Loss; nil if it has none but Total.
	term func(*Loss) *float64
	// target has the labels, what they are labels of, and the operation.
	target
}

var losses = [...]lossInfo{
	maskedLoss:            {denominator: maskedDenominator, term: maskedTerm, target: maskedTarget},
	preTrainingMaskedLoss: {denominator: maskedDenominator, epsilon: MaskedLMEpsilon, term: maskedTerm, target: maskedTarget},
	nextSentenceLoss: {
		denominator: func(d *Denominators) *float64 { return &d.NextSentence },
		term:        func(l *Loss) *float64 { return &l.NextSentence },
		target: &softmaxTarget{
			of: perSequence, label: "next-sentence label", labels: "next-sentence labels",
			classes: func(*Batch, *Config) int { return 2 },
			hard:    func(b *Batch) []int32 { return b.NextSentence },
			soft:    func(*Batch) []float32 { return nil },
			logits:  func(w *workspace) compute.Buffer { return w.nextLogits },
		},
	},
	classLoss: {denominator: rowsDenominator, target: &softmaxTarget{
		of: perSequence, label: "class", labels: "classes",
		classes: func(_ *Batch, c *Config) int { return len(c.Labels) },
		hard:    func(b *Batch) []int32 { return b.Classes },
		soft:    func(b *Batch) []float32 { return b.SoftClasses },
		logits:  outputLogits,
	}},
	choiceLoss: {denominator: rowsDenominator, target: &softmaxTarget{
		of: perExample, label: "right choice", labels: "right choices",
		classes: func(b *Batch, _ *Config) int { return b.Choices },
		hard:    func(b *Batch) []int32 { return b.Classes },
		soft:    func(b *Batch) []float32 { return b.SoftClasses },
		logits:  outputLogits,
	}},
	tokenLoss: {denominator: rowsDenominator, target: &softmaxTarget{
		of: perToken, label: "token class", labels: "token classes",
		classes: func(_ *Batch, c *Config) int { return len(c.Labels) },
		hard:    func(b *Batch) []int32 { return b.TokenClasses },
		soft:    func(b *Batch) []float32 { return b.SoftClasses },
		logits:  outputLogits,
	}},
	startLoss: {
		denominator: func(d *Denominators) *float64 { return &d.Starts },
		target:      &spanTarget{column: 0, what: "answer starts", labels: func(b *Batch) []int32 { return b.From }},
	},
	endLoss: {
		denominator: func(d *Denominators) *float64 { return &d.Ends },
		target:      &spanTarget{column: 1, what: "answer ends", labels: func(b *Batch) []int32 { return b.To }},
	},
	multiLabelLoss: {denominator: rowsDenominator, target: multiLabelTarget{}},
	regressionLoss: {denominator: rowsDenominator, target: regressionTarget{}},
}

func rowsDenominator(d *Denominators) *float64   { return &d.Rows }
func maskedDenominator(d *Denominators) *float64 { return &d.MaskedLM }
func maskedTerm(l *Loss) *float64                { return &l.MaskedLM }
func outputLogits(w *workspace) compute.Buffer   { return w.logits }

var maskedTarget = &softmaxTarget{
	of: perMaskedToken, label: "masked id", labels: "masked ids",
	classes: func(_ *Batch, c *Config) int { return c.VocabSize },
	hard:    func(b *Batch) []int32 { return b.MaskedIDs },
	soft:    func(b *Batch) []float32 { return b.SoftMaskedIDs },
	logits:  func(w *workspace) compute.Buffer { return w.maskedLogits },
}

// divisor is the divisor of the sum of the rows' losses.
func (l *lossInfo) divisor(d *Denominators) float64 { return *l.denominator(d) + l.epsilon }

// rowsOf is the kind of rows that a loss has.
type rowsOf uint8

const (
	perSequence rowsOf = iota
	perExample         // of multiple choice
	perToken
	perMaskedToken
)

func (k rowsOf) String() string {
	return [...]string{"sequence", "example", "token", "masked token"}[k]
}

// count is the number of rows of a batch.
func (k rowsOf) count(b *Batch) int {
	switch k {
	case perExample:
		return b.Len() / b.Choices
	case perToken:
		return b.Tokens()
	case perMaskedToken:
		return len(b.MaskedPositions)
	default:
		return b.Len()
	}
}

// place is the sequence of row r, the first of an example's, and its token there; −1 of a row that is no token.
func (k rowsOf) place(b *Batch, r int) (sequence, token int) {
	switch k {
	case perExample:
		return r * b.Choices, -1
	case perToken, perMaskedToken:
		if k == perMaskedToken {
			r = int(b.MaskedPositions[r])
		}
		after, _ := slices.BinarySearch(b.Starts, r+1)
		return after - 1, r - b.Starts[after-1]
	default:
		return r, -1
	}
}

// weight is that of row r.
func (k rowsOf) weight(b *Batch, r int) float64 {
	if len(b.Weights) == 0 {
		return 1
	}
	if k == perToken || k == perMaskedToken {
		r, _ = k.place(b, r)
	}
	return float64(b.Weights[r])
}

// weights is those of all rows, nil for ones; memory is used for those that the batch doesn't have as they are.
func (k rowsOf) weights(b *Batch, memory *[]float32) []float32 {
	if len(b.Weights) == 0 {
		return nil
	}
	if k != perToken && k != perMaskedToken {
		return b.Weights
	}
	*memory = (*memory)[:0]
	for r := range k.count(b) {
		*memory = append(*memory, float32(k.weight(b, r)))
	}
	return *memory
}

// bad is the error of row r.
func (k rowsOf) bad(b *Batch, r int, cause error, format string, args ...any) error {
	e := &BatchError{text: fmt.Sprintf(format, args...), cause: cause}
	e.Sequence, e.Token = k.place(b, r)
	return e
}

// checkLabels reports the first thing in b's labels that the head can't take. b has been checked.
func (b *Batch) checkLabels(c *Config, head Head) error {
	kinds := head.losses(c)
	if len(kinds) == 0 {
		return fmt.Errorf("a %v has no loss: give it a head", head)
	}
	for _, kind := range kinds {
		l := &losses[kind]
		if l.rows() == perExample {
			if err := b.checkChoices(); err != nil {
				return err
			}
		}
		if err := l.check(b, c); err != nil {
			return err
		}
	}
	// All losses of a head have a weight for each sequence, or for each example.
	k := losses[kinds[0]].rows()
	if k != perExample {
		k = perSequence
	}
	if len(b.Weights) == 0 {
		return nil
	}
	if err := count("weights", len(b.Weights), k.count(b)); err != nil {
		return err
	}
	for i, w := range b.Weights {
		if !finite(w) {
			return k.bad(b, i, ErrNotFinite, "weight %d of the batch is %v, want a number", i, w)
		}
		if w < 0 {
			return k.bad(b, i, nil, "weight %d of the batch is %v, want 0 or more", i, w)
		}
	}
	return nil
}

// count is the error of a number of labels that is not that of the rows.
func count(what string, got, want int) error {
	if got != want {
		return badBatch("batch has %d %s, want %d", got, what, want)
	}
	return nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

func (b *Batch) checkChoices() error {
	if b.Choices < 1 || b.Len()%b.Choices != 0 {
		return badBatch("batch has %d sequences of %d choices each, want a multiple", b.Len(), b.Choices)
	}
	return nil
}

func (b *Batch) checkMaskedPositions() error {
	for i, p := range b.MaskedPositions {
		if p < 0 || int(p) >= len(b.IDs) {
			return badBatch("masked position %d of the batch is token %d of %d", i, p, len(b.IDs))
		}
	}
	return nil
}

// target is a kind of labels, and how logits are compared with them.
type target interface {
	// rows are what has a label each, and with it a weight.
	rows() rowsOf
	// check reports the first thing in a batch's labels that the loss can't take.
	check(b *Batch, c *Config) error
	// takes reports whether row r takes part.
	takes(b *Batch, c *Config, r int) bool
	// perRow is the number of losses of a row.
	perRow(c *Config) int
	// mean is the loss, from the sum of the losses of all rows and its divisor.
	mean(c *Config, sum, n float64) float64
	// issue lets the device compute the losses of the batch and, with o.gradient, replaces the logits by their gradients.
	issue(w *workspace, o lossOp)
}

// lossOp is the arguments of a loss's operation.
type lossOp struct {
	rows     int
	weights  []float32 // of the rows, nil for ones
	divisor  float64
	gradient bool
	losses   compute.Losses
}

// gradientAt is where the gradient at logits goes.
func (o *lossOp) gradientAt(logits compute.Buffer) compute.Buffer {
	if o.gradient {
		return logits
	}
	return compute.Buffer{}
}

// share is 1/n, and 0 for the loss of nothing.
func share(n float64) float32 {
	if n == 0 {
		return 0
	}
	return float32(1 / n)
}

// roundedOne is n·(1/n) in float32: 1, or a rounding away from it. Means have always had this factor, and keep it so that runs
// that are resumed keep their bits.
func roundedOne(n float64) float64 { return float64(share(n) * float32(n)) }

// meanShare is the factor of a mean over n rows of each elements, and 0 for that of nothing.
func meanShare(n float64, each int) float64 {
	if n == 0 {
		return 0
	}
	return roundedOne(n) / (n * float64(each))
}

// softmaxTarget is a label or a distribution for each row, compared by cross-entropy.
type softmaxTarget struct {
	of            rowsOf
	label, labels string // in messages
	classes       func(*Batch, *Config) int
	hard          func(*Batch) []int32
	soft          func(*Batch) []float32 // [rows, classes], or none
	logits        func(*workspace) compute.Buffer
}

func (t *softmaxTarget) rows() rowsOf { return t.of }

func (t *softmaxTarget) check(b *Batch, c *Config) error {
	if t.of == perMaskedToken {
		if err := b.checkMaskedPositions(); err != nil {
			return err
		}
	}
	var (
		n, classes = t.of.count(b), t.classes(b, c)
		hard, soft = t.hard(b), t.soft(b)
	)
	if len(soft) == 0 || len(hard) > 0 {
		if err := count(t.labels, len(hard), n); err != nil {
			return err
		}
	}
	for r, l := range hard {
		if int(l) >= classes {
			return t.of.bad(b, r, nil, "%s %d of the batch is %d, the model has %d classes", t.label, r, l, classes)
		}
	}
	if len(soft) == 0 {
		return nil
	}
	if len(soft) != n*classes {
		return count("probabilities of "+t.labels, len(soft), n*classes)
	}
	const rounding = 1e-3
	for r := range n {
		sum := 0.0
		for i, p := range soft[r*classes:][:classes] {
			if !(p >= 0 && p <= 1+rounding) {
				var cause error
				if !finite(p) {
					cause = ErrNotFinite
				}
				return t.of.bad(b, r, cause, "probability %d of %s %d of the batch is %v, want one in [0, 1]", i, t.label, r, p)
			}
			sum += float64(p)
		}
		if sum != 0 && math.Abs(sum-1) > rounding {
			return t.of.bad(b, r, nil, "the probabilities of %s %d of the batch add up to %v, want 1, or 0 for no target", t.label, r, sum)
		}
	}
	return nil
}

func (t *softmaxTarget) takes(b *Batch, c *Config, r int) bool {
	if hard := t.hard(b); len(hard) > 0 && hard[r] >= 0 {
		return true
	}
	soft := t.soft(b)
	if len(soft) == 0 {
		return false
	}
	classes := t.classes(b, c)
	return slices.ContainsFunc(soft[r*classes:][:classes], func(p float32) bool { return p != 0 })
}

func (*softmaxTarget) perRow(*Config) int                     { return 1 }
func (*softmaxTarget) mean(_ *Config, sum, n float64) float64 { return sum * float64(share(n)) }

func (t *softmaxTarget) issue(w *workspace, o lossOp) {
	classes := t.classes(w.b, &w.m.config)
	logits := t.logits(w).Slice(0, o.rows*classes)
	op := &w.op.crossEntropy
	*op = compute.CrossEntropy{
		Rows: o.rows, Classes: classes, Logits: logits, Weights: o.weights, Scale: share(o.divisor),
		DLogits: o.gradientAt(logits), Losses: o.losses,
	}
	if hard := t.hard(w.b); len(hard) > 0 {
		op.Labels = hard
	}
	if soft := t.soft(w.b); len(soft) > 0 {
		op.Targets = soft
	}
	w.device.CrossEntropy(op)
}

// spanTarget is the first or the last token of an answer, compared by a softmax over the tokens of its sequence.
type spanTarget struct {
	column int
	what   string // in messages
	labels func(*Batch) []int32
}

func (*spanTarget) rows() rowsOf { return perSequence }

func (t *spanTarget) check(b *Batch, _ *Config) error {
	return count(t.what, len(t.labels(b)), b.Len())
}

func (t *spanTarget) takes(b *Batch, _ *Config, r int) bool {
	from, to := b.Sequence(r)
	label := t.labels(b)[r]
	return label >= 0 && int(label) < to-from
}

func (*spanTarget) perRow(*Config) int { return 1 }
func (*spanTarget) mean(_ *Config, sum, n float64) float64 {
	if n == 0 {
		return 0
	}
	return sum / (2 * n) * roundedOne(n)
}

func (t *spanTarget) issue(w *workspace, o lossOp) {
	logits := rows(w.logits, w.b.Tokens(), 2)
	w.op.spanLoss = compute.SpanLoss{
		Starts: w.b.Starts, Logits: logits, Column: t.column, Labels: t.labels(w.b), Weights: o.weights,
		Scale: meanShare(o.divisor, 2), DLogits: o.gradientAt(logits), Losses: o.losses,
	}
	w.device.SpanLoss(&w.op.spanLoss)
}

// multiLabelTarget is a value of each class, compared by binary cross-entropy.
type multiLabelTarget struct{}

func (multiLabelTarget) rows() rowsOf { return perSequence }

func (multiLabelTarget) check(b *Batch, c *Config) error { return b.checkValues(len(c.Labels)) }

func (multiLabelTarget) takes(*Batch, *Config, int) bool { return true }

func (multiLabelTarget) perRow(c *Config) int { return len(c.Labels) }
func (multiLabelTarget) mean(c *Config, sum, n float64) float64 {
	return sum * meanShare(n, len(c.Labels))
}

func (multiLabelTarget) issue(w *workspace, o lossOp) {
	c := &w.m.config
	logits := rows(w.logits, o.rows, len(c.Labels))
	w.op.binary = compute.BinaryCrossEntropy{
		Rows: o.rows, Classes: len(c.Labels), Logits: logits, Targets: w.b.Values, Weights: o.weights,
		Scale: meanShare(o.divisor, len(c.Labels)), DLogits: o.gradientAt(logits), Losses: o.losses,
	}
	w.device.BinaryCrossEntropy(&w.op.binary)
}

// regressionTarget is a number, compared by the squared error.
type regressionTarget struct{}

func (regressionTarget) rows() rowsOf { return perSequence }

func (regressionTarget) check(b *Batch, c *Config) error {
	if n := len(c.Labels); n > 1 {
		return fmt.Errorf("a regression of %d numbers has no loss here: only one of a single number has", n)
	}
	return b.checkValues(1)
}

func (regressionTarget) takes(*Batch, *Config, int) bool { return true }

func (regressionTarget) perRow(*Config) int                     { return 1 }
func (regressionTarget) mean(_ *Config, sum, n float64) float64 { return sum * meanShare(n, 1) }

func (regressionTarget) issue(w *workspace, o lossOp) {
	logits := rows(w.logits, o.rows, 1)
	w.op.squared = compute.SquaredError{
		Rows: o.rows, Logits: logits, Targets: w.b.Values, Weights: o.weights,
		Scale: meanShare(o.divisor, 1), DLogits: o.gradientAt(logits), Losses: o.losses,
	}
	w.device.SquaredError(&w.op.squared)
}

// checkValues reports the first thing wrong with Values of which each sequence has the given number.
func (b *Batch) checkValues(each int) error {
	if err := count("values", len(b.Values), b.Len()*each); err != nil {
		return err
	}
	for i, v := range b.Values {
		if !finite(v) {
			return perSequence.bad(b, i/each, ErrNotFinite, "value %d of the batch is %v, want a number", i, v)
		}
	}
	return nil
}

// expectLosses makes room for the losses of the batches, which headLoss leaves there one batch after the other.
func (w *workspace) expectLosses(batches []*Batch) error {
	n := 0
	for _, b := range batches {
		for _, kind := range w.m.head.losses(&w.m.config) {
			n += losses[kind].rows().count(b) * losses[kind].perRow(&w.m.config)
		}
	}
	w.lossesUsed = 0
	if w.losses == nil || n > w.losses.Len() {
		numbers, err := w.device.AllocNumbers(n + n/8)
		if err != nil {
			return err
		}
		w.losses = numbers
	}
	return nil
}

// headLoss leaves the losses of the batch's rows on the device. With gradient, the logits are replaced by the gradients of the
// sum that takeLoss will give.
func (w *workspace) headLoss(d *Denominators, gradient bool) {
	for _, kind := range w.m.head.losses(&w.m.config) {
		l := &losses[kind]
		n := l.rows().count(w.b)
		if n == 0 {
			continue
		}
		l.issue(w, lossOp{
			rows: n, weights: l.rows().weights(w.b, &w.rowWeights), divisor: l.divisor(d), gradient: gradient,
			losses: compute.Losses{Numbers: w.losses, Offset: w.lossesUsed},
		})
		w.lossesUsed += n * l.perRow(&w.m.config)
	}
}

// takeLoss adds up the losses that headLoss has left of the batches, row by row through all of them: so the sums don't depend
// on how the rows are split.
func (w *workspace) takeLoss(d *Denominators, batches []*Batch) (Loss, error) {
	w.lossesRead = slices.Grow(w.lossesRead[:0], w.lossesUsed)[:w.lossesUsed]
	if err := w.device.ReadNumbers(w.lossesRead, w.losses); err != nil {
		return Loss{}, err
	}
	const mostTerms = 2
	var (
		cfg   = &w.m.config
		kinds = w.m.head.losses(cfg)
		sums  [mostTerms]float64
		rest  = w.lossesRead
	)
	for _, b := range batches {
		for k, kind := range kinds {
			l := &losses[kind]
			n := l.rows().count(b) * l.perRow(cfg)
			for _, x := range rest[:n] {
				sums[k] += x
			}
			rest = rest[n:]
		}
	}
	w.loss = Loss{}
	for k, kind := range kinds {
		l := &losses[kind]
		v := l.mean(cfg, sums[k], l.divisor(d))
		w.loss.Total += v
		if l.term != nil {
			*l.term(&w.loss) = v
		}
	}
	return w.loss, nil
}
