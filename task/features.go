package task

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// featurizer turns inputs into token ids.
type featurizer struct {
	tokenizer *tokenizer.Tokenizer
	options   tokenizer.Options
	longest   int // tokens of a sequence of ready-made ids
	vocab     int // ids
	types     int // type ids
}

// encode puts the ids and type ids of an input into e. The other fields of e are only good for a text.
func (f *featurizer) encode(e *tokenizer.Encoding, in *Input) error {
	if in.IDs != nil {
		return f.take(e, in)
	}
	if in.TypeIDs != nil {
		return errors.New("type ids without ids")
	}
	var err error
	if in.TextPair != "" {
		err = f.tokenizer.EncodePair(e, in.Text, in.TextPair, f.options)
	} else {
		err = f.tokenizer.Encode(e, in.Text, f.options)
	}
	if err != nil {
		return err
	}
	// Only where the options don't truncate.
	if n := e.Len(); f.options.MaxLength > 0 && n > f.options.MaxLength {
		return fmt.Errorf("%s tokens, want at most %s: shorten the text, or have it truncated", thousands(n), thousands(f.options.MaxLength))
	}
	return nil
}

// take checks ids that were made elsewhere.
func (f *featurizer) take(e *tokenizer.Encoding, in *Input) error {
	switch n := len(in.IDs); {
	case in.Text != "" || in.TextPair != "":
		return errors.New("both text and ids")
	case n == 0:
		return errors.New("no ids")
	case n > f.longest:
		return fmt.Errorf("%s ids, want at most %s", thousands(n), thousands(f.longest))
	case in.TypeIDs != nil && len(in.TypeIDs) != n:
		return fmt.Errorf("%d type ids for %d ids", len(in.TypeIDs), n)
	}
	for i, id := range in.IDs {
		if id < 0 || int(id) >= f.vocab {
			return fmt.Errorf("id %d, the number %d, is not in the vocabulary of %s", id, i+1, thousands(f.vocab))
		}
	}
	for i, id := range in.TypeIDs {
		if id < 0 || int(id) >= f.types {
			return fmt.Errorf("type id %d, the number %d, is not one of %d", id, i+1, f.types)
		}
	}
	e.Reset()
	e.IDs = append(e.IDs, in.IDs...)
	e.TypeIDs = append(e.TypeIDs, in.TypeIDs...)
	for len(e.TypeIDs) < len(e.IDs) {
		e.TypeIDs = append(e.TypeIDs, 0)
	}
	return nil
}

// Dataset is the features of the examples of a data set, held compactly: what training and evaluation feed a model. It
// does not change but by SetClassWeights, and may be read from many goroutines.
type Dataset struct {
	description Description
	labels      []int32  // class ids; nil in unlabelled data
	sources     []Source // of each example
	ids         []int32  // of all examples end to end
	typeIDs     []uint8  // likewise; nil where all are 0
	starts      []int    // where each example begins in ids, and the end
	weights     []float32
	stats       Stats
}

// Stats says what became of the texts of a data set.
type Stats struct {
	Examples int
	Tokens   int // [CLS] and [SEP] included
	Longest  int // tokens of the longest example
	Empty    int // examples of no token but [CLS] and [SEP]

	// Truncated examples lost tokens, Dropped of them all together, because they were longer than MaxSeqLength.
	Truncated, Dropped int

	// PerLabel counts the examples of each class; nil in unlabelled data.
	PerLabel []int
}

// String is a line for a log.
func (s Stats) String() string {
	mean := 0.0
	if s.Examples > 0 {
		mean = float64(s.Tokens) / float64(s.Examples)
	}
	out := fmt.Sprintf("%s examples, %s tokens (mean %.1f, longest %s)", thousands(s.Examples), thousands(s.Tokens), mean, thousands(s.Longest))
	if s.Truncated > 0 {
		out += fmt.Sprintf("; truncated: %s, of which %s tokens were dropped", thousands(s.Truncated), thousands(s.Dropped))
	}
	if s.Empty > 0 {
		out += fmt.Sprintf("; empty: %s", thousands(s.Empty))
	}
	return out
}

// NewDataset turns examples into features as d says, on all processors. Data in which no example has a label makes an
// unlabelled Dataset, for prediction; otherwise every label has to be one of d's. An error names the first bad example's
// source.
func NewDataset(t *tokenizer.Tokenizer, d Description, examples []Example) (*Dataset, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("task %s: %w", d.Task, err)
	}
	if len(examples) == 0 {
		return nil, errors.New("no examples")
	}
	data := &Dataset{description: d, sources: make([]Source, len(examples)), starts: make([]int, 1, len(examples)+1)}
	if slices.ContainsFunc(examples, func(e Example) bool { return e.Label != "" }) {
		if err := data.setLabels(examples); err != nil {
			return nil, err
		}
	}
	for i := range examples {
		data.sources[i] = examples[i].Source
	}
	parts, err := encodeParts(&featurizer{
		tokenizer: t, options: d.options(), longest: d.MaxSeqLength, vocab: t.VocabSize(), types: math.MaxUint8 + 1,
	}, examples)
	if err != nil {
		return nil, err
	}
	data.join(parts)
	return data, nil
}

func (d *Dataset) setLabels(examples []Example) error {
	if len(d.description.Labels) < 2 {
		return fmt.Errorf("a classifier needs two labels, the task has only %s", quoteAll(d.description.Labels))
	}
	d.labels = make([]int32, len(examples))
	d.stats.PerLabel = make([]int, len(d.description.Labels))
	ids := labelIDs(d.description.Labels)
	for i, e := range examples {
		id, ok := ids[e.Label]
		if !ok {
			return &SourceError{e.Source, unknownLabel(e.Label, d.description.Labels)}
		}
		d.labels[i] = id
		d.stats.PerLabel[id]++
	}
	return nil
}

// part is the features of consecutive examples.
type part struct {
	ids     []int32
	typeIDs []uint8
	lengths []int
	paired  bool // some type id isn't 0
	stats   Stats
	failed  int // index of the example that err is about
	err     error
}

// encodeParts tokenizes the examples in parts, each by one goroutine. Where a part fails, those that are not begun yet
// aren't; but those before it were, so that the error is always that of the first bad example.
func encodeParts(f *featurizer, examples []Example) ([]part, error) {
	const size = 256
	var (
		parts = make([]part, (len(examples)+size-1)/size)
		next  atomic.Int64
		stop  atomic.Bool
		wait  sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(parts)) {
		wait.Go(func() {
			var e tokenizer.Encoding
			for !stop.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				p := &parts[i]
				from := i * size
				for j := from; j < min(from+size, len(examples)); j++ {
					if p.err = f.encode(&e, &examples[j].Input); p.err != nil {
						p.failed = j
						stop.Store(true)
						break
					}
					p.add(&e)
				}
			}
		})
	}
	wait.Wait()
	for _, p := range parts {
		if p.err != nil {
			return nil, &SourceError{examples[p.failed].Source, p.err}
		}
	}
	return parts, nil
}

func (p *part) add(e *tokenizer.Encoding) {
	p.ids = append(p.ids, e.IDs...)
	for _, t := range e.TypeIDs {
		p.typeIDs = append(p.typeIDs, uint8(t))
		p.paired = p.paired || t != 0
	}
	p.lengths = append(p.lengths, e.Len())
	p.stats.Longest = max(p.stats.Longest, e.Len())
	if e.Truncated > 0 {
		p.stats.Truncated++
		p.stats.Dropped += e.Truncated
	}
	if len(e.SpecialTokensMask) > 0 && !slices.Contains(e.SpecialTokensMask, 0) {
		p.stats.Empty++
	}
}

func (d *Dataset) join(parts []part) {
	tokens, paired := 0, false
	for _, p := range parts {
		tokens += len(p.ids)
		paired = paired || p.paired
	}
	d.ids = make([]int32, 0, tokens)
	if paired {
		d.typeIDs = make([]uint8, 0, tokens)
	}
	for _, p := range parts {
		d.ids = append(d.ids, p.ids...)
		if paired {
			d.typeIDs = append(d.typeIDs, p.typeIDs...)
		}
		for _, n := range p.lengths {
			d.starts = append(d.starts, d.starts[len(d.starts)-1]+n)
		}
		d.stats.Longest = max(d.stats.Longest, p.stats.Longest)
		d.stats.Truncated += p.stats.Truncated
		d.stats.Dropped += p.stats.Dropped
		d.stats.Empty += p.stats.Empty
	}
	d.stats.Examples, d.stats.Tokens = d.Len(), tokens
}

// Len is the number of examples.
func (d *Dataset) Len() int { return len(d.starts) - 1 }

// Length is the number of tokens of example i.
func (d *Dataset) Length(i int) int { return d.starts[i+1] - d.starts[i] }

// Append adds example i to a batch: its tokens, its class and, where there are class weights, its weight.
func (d *Dataset) Append(b *bert.Batch, i int) error {
	from, to := d.starts[i], d.starts[i+1]
	at := b.Tokens()
	b.Add(d.ids[from:to], nil)
	if d.typeIDs != nil {
		for j, t := range d.typeIDs[from:to] {
			b.TypeIDs[at+j] = int32(t)
		}
	}
	if d.labels != nil {
		b.Classes = append(b.Classes, d.labels[i])
		if d.weights != nil {
			b.Weights = append(b.Weights, d.weights[d.labels[i]])
		}
	}
	return nil
}

// Labelled says whether the examples have labels.
func (d *Dataset) Labelled() bool { return d.labels != nil }

// Description is what the features were made by.
func (d *Dataset) Description() Description { return d.description }

// Stats says what became of the texts.
func (d *Dataset) Stats() Stats { return d.stats }

// Source is where example i came from.
func (d *Dataset) Source(i int) Source { return d.sources[i] }

// SetClassWeights weighs the loss of each example by its label; nil: all alike. It is not for use while others read d.
func (d *Dataset) SetClassWeights(weights []float32) error {
	if weights != nil && len(weights) != len(d.description.Labels) {
		return fmt.Errorf("%d class weights for the labels %s", len(weights), quoteAll(d.description.Labels))
	}
	d.weights = slices.Clone(weights)
	return nil
}

// ClassWeights reads a choice of class weights for this data: "none", "balanced", or a number for each label, between
// commas. Balanced weights are n/(k·count), with n examples of k labels, as scikit-learn's.
func (d *Dataset) ClassWeights(choice string) ([]float32, error) {
	labels := d.description.Labels
	switch choice {
	case "", "none":
		return nil, nil
	case "balanced":
		if d.labels == nil {
			return nil, errors.New("balanced class weights need labelled examples")
		}
		weights := make([]float32, len(labels))
		for i, count := range d.stats.PerLabel {
			if count == 0 {
				return nil, fmt.Errorf("balanced class weights need examples of each label, there is none of %s", quote(labels[i]))
			}
			weights[i] = float32(float64(d.Len()) / (float64(len(labels)) * float64(count)))
		}
		return weights, nil
	}
	fields := strings.Split(choice, ",")
	if len(fields) != len(labels) {
		return nil, fmt.Errorf("class weights %s: want none, balanced or %d numbers, for %s", quote(choice), len(labels), quoteAll(labels))
	}
	weights := make([]float32, len(labels))
	for i, field := range fields {
		w, err := strconv.ParseFloat(strings.TrimSpace(field), 32)
		if err != nil || !(w > 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("class weights %s: %s is no positive number", quote(choice), quote(field))
		}
		weights[i] = float32(w)
	}
	return weights, nil
}

// ShowExamples writes the first n examples as google-research/bert run_classifier.py logs them. There is no input_mask,
// because there is no padding.
func (d *Dataset) ShowExamples(w io.Writer, t *tokenizer.Tokenizer, n int) error {
	var b strings.Builder
	for i := range min(n, d.Len()) {
		from, to := d.starts[i], d.starts[i+1]
		ids := d.ids[from:to]
		types := make([]uint8, len(ids))
		if d.typeIDs != nil {
			copy(types, d.typeIDs[from:to])
		}
		fmt.Fprintf(&b, "*** Example ***\nguid: %s\ntokens: %s\ninput_ids: %s\nsegment_ids: %s\n",
			d.sources[i], strings.Join(t.Tokens(ids), " "), list(ids), list(types))
		if d.labels != nil {
			fmt.Fprintf(&b, "label: %s (id = %d)\n", d.description.Labels[d.labels[i]], d.labels[i])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// list writes numbers with blanks between them.
func list[T any](numbers []T) string { return strings.Trim(fmt.Sprint(numbers), "[]") }
