package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// Dataset is the features of the examples of a data set, held compactly: what training and evaluation feed a model. Its
// items are what goes into a batch together: an example, or a window of a long one. It does not change but by
// SetClassWeights, and may be read from many goroutines.
type Dataset struct {
	spec     Spec
	labelled bool
	targets  targets
	sources  []data.Source  // of each example
	examples []data.Example // only of a kind with places or choices, whose answers need the texts
	ids      []int32        // of all sequences end to end
	typeIDs  []uint8        // likewise; nil where all are 0
	starts   []int          // where each sequence begins in ids, and the end
	firsts   []int          // the first sequence of each example, and the end; nil: each example is one
	choices  int            // sequences of an item, of a kind with choices; else 0
	weights  []float32
	dropped  []int // tokens that each example lost; nil: none did

	// Only of a kind with places, of each token: see sequence.
	offsets []tokenizer.Offset
	words   []int32

	stats Stats
}

// Stats says what became of the texts of a data set.
type Stats struct {
	Examples int
	Tokens   int // [CLS] and [SEP] included
	Longest  int // tokens of the longest sequence
	Empty    int // examples of no token but [CLS] and [SEP]
	Windows  int // sequences, where an example may have several windows and some have; else 0

	// Truncated examples lost tokens, Dropped of them all together, because they were longer than MaxSeqLength.
	Truncated, Dropped int

	// PerLabel counts the examples of each label, or the tokens that have it; nil in unlabelled data and where there are no
	// labels.
	PerLabel []int
}

// String is a line for a log.
func (s Stats) String() string {
	mean := 0.0
	if s.Examples > 0 {
		mean = float64(s.Tokens) / float64(max(s.Examples, s.Windows))
	}
	out := fmt.Sprintf("%s examples, ", message.Thousands(s.Examples))
	if s.Windows > 0 {
		out += fmt.Sprintf("%s windows, ", message.Thousands(s.Windows))
	}
	out += fmt.Sprintf("%s tokens (mean %.1f, longest %s)", message.Thousands(s.Tokens), mean, message.Thousands(s.Longest))
	if s.Truncated > 0 {
		out += fmt.Sprintf("; truncated: %s, of which %s tokens were dropped", message.Thousands(s.Truncated), message.Thousands(s.Dropped))
	}
	if s.Empty > 0 {
		out += fmt.Sprintf("; empty: %s", message.Thousands(s.Empty))
	}
	return out
}

// NewDataset turns examples into features as d says, on all processors. Data in which no example has a label makes an
// unlabelled Dataset, for prediction; otherwise every example has to have one of d's kind. An error names the first bad
// example's source. When ctx ends, NewDataset ends with the cause.
func NewDataset(ctx context.Context, t *tokenizer.Tokenizer, d Spec, examples []data.Example) (*Dataset, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("task %s: %w", d.Task, err)
	}
	if len(examples) == 0 {
		return nil, errors.New("no examples")
	}
	dataset := &Dataset{spec: d, sources: make([]data.Source, len(examples)), starts: make([]int, 1, len(examples)+1)}
	dataset.labelled = slices.ContainsFunc(examples, func(x data.Example) bool { return x.Labelled() })
	if dataset.labelled && len(d.Labels) < dataset.kind().labels {
		return nil, fmt.Errorf("a classifier needs two labels, the task has only %s", message.QuoteAll(d.Labels))
	}
	for i := range examples {
		dataset.sources[i] = examples[i].Source
	}
	if k := dataset.kind(); k.places || k.choices {
		dataset.examples = slices.Clone(examples)
	}
	parts, err := dataset.encode(ctx, &featurizer{
		tokenizer: t, options: d.options(), spec: &dataset.spec,
		longest: d.MaxSeqLength, vocab: t.VocabSize(), types: math.MaxUint8 + 1, longBytes: longBytes,
	}, examples)
	if err != nil {
		return nil, err
	}
	if err := dataset.join(parts); err != nil {
		return nil, err
	}
	dataset.count()
	return dataset, nil
}

// CheckLabels reports the first example whose label is none of d's, or no number where it has to be one. With skipBad such examples
// are left out of the set and counted. Data in which no example has a label has nothing to check.
func (d *Spec) CheckLabels(set *data.Set, skipBad bool) error {
	codec := d.Kind.info().codec
	if codec == nil || !slices.ContainsFunc(set.Examples, func(x data.Example) bool { return x.Labelled() }) {
		return nil
	}
	return set.Check(func(x *data.Example) error { return codec.checkLabel(d, x) }, skipBad)
}

func (d *Dataset) kind() *kindInfo { return d.spec.Kind.info() }

// part is the features of consecutive examples.
type part struct {
	ids     []int32
	typeIDs []uint8
	offsets []tokenizer.Offset
	words   []int32
	lengths []int // of each sequence
	counts  []int // sequences of each example
	dropped []int // tokens that each example lost
	targets targets
	paired  bool // some type id isn't 0
	stats   Stats
	failed  int // index of the example that err is about
	err     error
}

// encode tokenizes the examples in parts, each by one goroutine. Where a part fails, those that are not begun yet aren't;
// but those before it were, so that the error is always that of the first bad example.
func (d *Dataset) encode(ctx context.Context, f *featurizer, examples []data.Example) ([]part, error) {
	const size = 256
	var (
		parts = make([]part, (len(examples)+size-1)/size)
		next  atomic.Int64
		stop  atomic.Bool
		wait  sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(parts)) {
		wait.Go(func() {
			var (
				e     tokenizer.Encoding
				views []sequence
			)
			for !stop.Load() && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				p := &parts[i]
				from := i * size
				for j := from; j < min(from+size, len(examples)); j++ {
					if views, p.err = d.encodeOne(f, p, &e, &examples[j], views[:0]); p.err != nil {
						p.failed = j
						stop.Store(true)
						break
					}
				}
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, p := range parts {
		if p.err != nil {
			return nil, &data.SourceError{Source: examples[p.failed].Source, Err: p.err}
		}
	}
	return parts, nil
}

// encodeOne adds the features of an example to p. e and views are scratch memory.
func (d *Dataset) encodeOne(f *featurizer, p *part, e *tokenizer.Encoding, x *data.Example, views []sequence) ([]sequence, error) {
	var (
		places   = d.kind().places
		dropped  = 0 // as function dropped has it
		sequence = len(p.lengths)
		token    = len(p.ids)
		empty    = true
	)
	err := d.kind().codec.encode(f, &x.Input, e, func(e *tokenizer.Encoding) {
		p.add(e, places)
		dropped = max(dropped, e.Truncated)
		empty = empty && len(e.SpecialTokensMask) > 0 && !slices.Contains(e.SpecialTokensMask, 0)
	})
	if err != nil {
		return views, err
	}
	p.counts = append(p.counts, len(p.lengths)-sequence)
	p.dropped = append(p.dropped, dropped)
	if dropped > 0 {
		p.stats.Truncated++
		p.stats.Dropped += dropped
	}
	if empty {
		p.stats.Empty++
	}
	if !d.labelled {
		return views, nil
	}
	for _, n := range p.lengths[sequence:] {
		views = append(views, newView(p.ids, p.typeIDs, p.offsets, p.words, token, token+n))
		token += n
	}
	return views, d.kind().codec.target(&d.spec, x, views, &p.targets)
}

func (p *part) add(e *tokenizer.Encoding, places bool) {
	p.ids = append(p.ids, e.IDs...)
	for _, t := range e.TypeIDs {
		p.typeIDs = append(p.typeIDs, uint8(t))
		p.paired = p.paired || t != 0
	}
	if places {
		p.offsets = append(p.offsets, e.Offsets...)
		p.words = append(p.words, e.WordIDs...)
	}
	p.lengths = append(p.lengths, e.Len())
	p.stats.Longest = max(p.stats.Longest, e.Len())
}

func (d *Dataset) join(parts []part) error {
	tokens, paired := 0, false
	for _, p := range parts {
		tokens += len(p.ids)
		paired = paired || p.paired
	}
	d.ids = make([]int32, 0, tokens)
	if paired {
		d.typeIDs = make([]uint8, 0, tokens)
	}
	d.firsts = make([]int, 1, len(d.sources)+1)
	if slices.ContainsFunc(parts, func(p part) bool { return p.stats.Truncated > 0 }) {
		d.dropped = make([]int, 0, len(d.sources))
	}
	for i := range parts {
		p := &parts[i]
		if d.dropped != nil {
			d.dropped = append(d.dropped, p.dropped...)
		}
		d.ids = append(d.ids, p.ids...)
		if paired {
			d.typeIDs = append(d.typeIDs, p.typeIDs...)
		}
		d.offsets = append(d.offsets, p.offsets...)
		d.words = append(d.words, p.words...)
		for _, n := range p.lengths {
			d.starts = append(d.starts, d.starts[len(d.starts)-1]+n)
		}
		for _, n := range p.counts {
			d.firsts = append(d.firsts, d.firsts[len(d.firsts)-1]+n)
		}
		d.targets.add(&p.targets)
		d.stats.Longest = max(d.stats.Longest, p.stats.Longest)
		d.stats.Truncated += p.stats.Truncated
		d.stats.Dropped += p.stats.Dropped
		d.stats.Empty += p.stats.Empty
		*p = part{} // its memory is needed no more
	}
	d.stats.Examples, d.stats.Tokens = d.Examples(), tokens
	if d.kind().choices {
		d.choices = d.firsts[1]
		for i := range d.sources {
			if n := d.firsts[i+1] - d.firsts[i]; n != d.choices {
				return &data.SourceError{Source: d.sources[i], Err: fmt.Errorf("%d choices, want %d as those before", n, d.choices)}
			}
		}
		d.firsts = nil
		return nil
	}
	if len(d.starts) == len(d.firsts) {
		d.firsts = nil
		return nil
	}
	d.stats.Windows = len(d.starts) - 1
	return nil
}

// count fills in Stats.PerLabel.
func (d *Dataset) count() {
	if !d.labelled || d.kind().labels == 0 || d.spec.Kind == Regression {
		return
	}
	n := make([]int, len(d.spec.Labels))
	for _, c := range d.targets.classes {
		n[c]++
	}
	for _, c := range d.targets.tokens {
		if c >= 0 {
			n[c]++
		}
	}
	for i, v := range d.targets.values {
		if v != 0 {
			n[i%len(n)]++
		}
	}
	d.stats.PerLabel = n
}

// Len is the number of items: of examples, or where long ones have several windows of those.
func (d *Dataset) Len() int { return (len(d.starts) - 1) / d.Sequences(0) }

// Examples is the number of examples.
func (d *Dataset) Examples() int { return len(d.sources) }

// Sequences is the number of sequences of item i.
func (d *Dataset) Sequences(int) int { return max(1, d.choices) }

// exampleOf is the example that item i is of.
func (d *Dataset) exampleOf(i int) int {
	if d.firsts == nil {
		return i
	}
	// The last one that begins at i or before.
	at, _ := slices.BinarySearch(d.firsts, i+1)
	return at - 1
}

// itemsOf is the range of the items of example i.
func (d *Dataset) itemsOf(i int) (from, to int) {
	if d.firsts == nil {
		return i, i + 1
	}
	return d.firsts[i], d.firsts[i+1]
}

// logits are those of example i among those of all sequences.
func (d *Dataset) logits(all [][]float32, i int) [][]float32 {
	from, to := d.itemsOf(i)
	n := d.Sequences(0)
	return all[from*n : to*n]
}

// example is the input and the sequences of example i. Of a kind without places it doesn't know the texts.
func (d *Dataset) example(i int) (in data.Input, s []sequence) {
	if d.examples != nil {
		in = d.examples[i].Input
	}
	from, to := d.itemsOf(i)
	for j := from * d.Sequences(0); j < to*d.Sequences(0); j++ {
		s = append(s, newView(d.ids, d.typeIDs, d.offsets, d.words, d.starts[j], d.starts[j+1]))
	}
	return in, s
}

// eachSequence is the sequences of a data set one by one, without their labels: those of an item may be too many for a batch.
type eachSequence struct{ *Dataset }

func (d eachSequence) Len() int { return len(d.starts) - 1 }

func (d eachSequence) Length(s int) int { return d.starts[s+1] - d.starts[s] }

func (d eachSequence) Append(b *bert.Batch, s int) error {
	d.appendSequence(b, s)
	return nil
}

// appendSequence adds sequence s to a batch, without its label.
func (d *Dataset) appendSequence(b *bert.Batch, s int) {
	from, to := d.starts[s], d.starts[s+1]
	at := b.Tokens()
	b.Add(d.ids[from:to], nil)
	if d.typeIDs != nil {
		for j, t := range d.typeIDs[from:to] {
			b.TypeIDs[at+j] = int32(t)
		}
	}
}

// Length is the number of tokens of item i.
func (d *Dataset) Length(i int) int {
	n := d.Sequences(i)
	return d.starts[(i+1)*n] - d.starts[i*n]
}

// Append adds item i to a batch: its tokens, its label and, where there are class weights, its weight.
func (d *Dataset) Append(b *bert.Batch, i int) error {
	n := d.Sequences(i)
	for s := i * n; s < (i+1)*n; s++ {
		from, to := d.starts[s], d.starts[s+1]
		d.appendSequence(b, s)
		if d.targets.tokens != nil {
			b.TokenClasses = append(b.TokenClasses, d.targets.tokens[from:to]...)
		}
		if d.targets.from != nil {
			b.From, b.To = append(b.From, d.targets.from[s]), append(b.To, d.targets.to[s])
		}
	}
	b.Choices = d.choices
	x := d.exampleOf(i)
	if d.targets.classes != nil {
		class := d.targets.classes[x]
		b.Classes = append(b.Classes, class)
		if d.weights != nil {
			b.Weights = append(b.Weights, d.weights[class])
		}
	}
	if d.targets.values != nil {
		width := len(d.targets.values) / d.Examples()
		b.Values = append(b.Values, d.targets.values[x*width:(x+1)*width]...)
	}
	return nil
}

// Labelled says whether the examples have labels.
func (d *Dataset) Labelled() bool { return d.labelled }

// Spec is what the features were made by.
func (d *Dataset) Spec() Spec { return d.spec }

// Stats says what became of the texts.
func (d *Dataset) Stats() Stats { return d.stats }

// Source is where the example of item i came from.
func (d *Dataset) Source(i int) data.Source { return d.sources[d.exampleOf(i)] }

// SetClassWeights weighs the loss of each example by its label; nil: all alike. Only data whose examples have one class each, of
// SingleLabel, takes them. It is not for use while others read d.
func (d *Dataset) SetClassWeights(weights []float32) error {
	switch labels := d.spec.Labels; {
	case weights != nil && !d.kind().weights:
		return d.noClassWeights()
	case weights != nil && len(weights) != len(labels):
		return fmt.Errorf("%d class weights for the labels %s", len(weights), message.QuoteAll(labels))
	}
	for i, w := range weights {
		if !(w > 0) || math.IsInf(float64(w), 0) {
			return fmt.Errorf("the class weight of %s is %v, want a positive number", message.Quote(d.spec.Labels[i]), w)
		}
	}
	d.weights = slices.Clone(weights)
	return nil
}

// BalancedClassWeights are n/(k·count) for each label, with n examples of k labels, as scikit-learn's: each label then has the
// same share of the loss.
func (d *Dataset) BalancedClassWeights() ([]float32, error) {
	switch {
	case !d.kind().weights:
		return nil, d.noClassWeights()
	case d.stats.PerLabel == nil:
		return nil, errors.New("balanced class weights need labelled examples")
	}
	weights := make([]float32, len(d.spec.Labels))
	for i, count := range d.stats.PerLabel {
		if count == 0 {
			return nil, fmt.Errorf("balanced class weights need examples of each label, there is none of %s", message.Quote(d.spec.Labels[i]))
		}
		weights[i] = float32(float64(d.Examples()) / (float64(len(weights)) * float64(count)))
	}
	return weights, nil
}

func (d *Dataset) noClassWeights() error {
	return fmt.Errorf("class weights are for %v, whose examples have one class each; this is %v", SingleLabel, d.spec.Kind)
}
