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
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// featurizer turns inputs into token ids.
type featurizer struct {
	tokenizer   *tokenizer.Tokenizer
	options     tokenizer.Options
	description *Description // for a kind's codec; nil where there is no task
	longest     int          // tokens of a sequence of ready-made ids
	vocab       int          // ids
	types       int          // type ids
}

// encode puts the ids and type ids of an input into e. The other fields of e are only good for a text.
func (f *featurizer) encode(e *tokenizer.Encoding, in *data.Input) error {
	if in.IDs != nil {
		return f.take(e, in)
	}
	switch {
	case in.TypeIDs != nil:
		return errors.New("type ids without ids")
	case in.Words != nil:
		return errors.New("words, but the model reads texts")
	case in.Choices != nil:
		return errors.New("choices, but the model reads texts")
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
		return fmt.Errorf("%s tokens, want at most %s: shorten the text, or have it truncated", message.Thousands(n), message.Thousands(f.options.MaxLength))
	}
	return nil
}

// take checks ids that were made elsewhere.
func (f *featurizer) take(e *tokenizer.Encoding, in *data.Input) error {
	switch n := len(in.IDs); {
	case in.Text != "" || in.TextPair != "":
		return errors.New("both text and ids")
	case n == 0:
		return errors.New("no ids")
	case n > f.longest:
		return fmt.Errorf("%s ids, want at most %s", message.Thousands(n), message.Thousands(f.longest))
	case in.TypeIDs != nil && len(in.TypeIDs) != n:
		return fmt.Errorf("%d type ids for %d ids", len(in.TypeIDs), n)
	}
	for i, id := range in.IDs {
		if id < 0 || int(id) >= f.vocab {
			return fmt.Errorf("id %d, the number %d, is not in the vocabulary of %s", id, i+1, message.Thousands(f.vocab))
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

// Dataset is the features of the examples of a data set, held compactly: what training and evaluation feed a model. Its
// items are what goes into a batch together: an example, or a window of a long one. It does not change but by
// SetClassWeights, and may be read from many goroutines.
type Dataset struct {
	description Description
	labelled    bool
	targets     targets
	sources     []data.Source  // of each example
	examples    []data.Example // only of a kind with places or choices, whose answers need the texts
	ids         []int32        // of all sequences end to end
	typeIDs     []uint8        // likewise; nil where all are 0
	starts      []int          // where each sequence begins in ids, and the end
	firsts      []int          // the first sequence of each example, and the end; nil: each example is one
	choices     int            // sequences of an item, of a kind with choices; else 0
	weights     []float32

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
// example's source.
func NewDataset(t *tokenizer.Tokenizer, d Description, examples []data.Example) (*Dataset, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("task %s: %w", d.Task, err)
	}
	if len(examples) == 0 {
		return nil, errors.New("no examples")
	}
	dataset := &Dataset{description: d, sources: make([]data.Source, len(examples)), starts: make([]int, 1, len(examples)+1)}
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
	parts, err := dataset.encode(&featurizer{
		tokenizer: t, options: d.options(), description: &dataset.description,
		longest: d.MaxSeqLength, vocab: t.VocabSize(), types: math.MaxUint8 + 1,
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

func (d *Dataset) kind() *kindInfo { return &kinds[d.description.Kind] }

// part is the features of consecutive examples.
type part struct {
	ids     []int32
	typeIDs []uint8
	offsets []tokenizer.Offset
	words   []int32
	lengths []int // of each sequence
	counts  []int // sequences of each example
	targets targets
	paired  bool // some type id isn't 0
	stats   Stats
	failed  int // index of the example that err is about
	err     error
}

// encode tokenizes the examples in parts, each by one goroutine. Where a part fails, those that are not begun yet aren't;
// but those before it were, so that the error is always that of the first bad example.
func (d *Dataset) encode(f *featurizer, examples []data.Example) ([]part, error) {
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
			for !stop.Load() {
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
		dropped  = p.stats.Dropped
		sequence = len(p.lengths)
		token    = len(p.ids)
		empty    = true
	)
	err := d.kind().codec.encode(f, &x.Input, e, func(e *tokenizer.Encoding) {
		p.add(e, places)
		empty = empty && len(e.SpecialTokensMask) > 0 && !slices.Contains(e.SpecialTokensMask, 0)
	})
	if err != nil {
		return views, err
	}
	p.counts = append(p.counts, len(p.lengths)-sequence)
	if p.stats.Dropped > dropped {
		p.stats.Truncated++
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
	return views, d.kind().codec.target(&d.description, x, views, &p.targets)
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
	p.stats.Dropped += e.Truncated
}

// newView is a sequence of features that are held end to end. Of a kind without places it has the ids alone.
func newView(ids []int32, typeIDs []uint8, offsets []tokenizer.Offset, words []int32, from, to int) sequence {
	s := sequence{ids: ids[from:to]}
	if offsets == nil {
		return s
	}
	s.offsets, s.words = offsets[from:to], words[from:to]
	s.typeIDs = make([]int32, to-from)
	if typeIDs != nil {
		for i, t := range typeIDs[from:to] {
			s.typeIDs[i] = int32(t)
		}
	}
	return s
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
	for i := range parts {
		p := &parts[i]
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
	if !d.labelled || d.kind().labels == 0 || d.description.Kind == Regression {
		return
	}
	n := make([]int, len(d.description.Labels))
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

// logits are those of example i among those of all items.
func (d *Dataset) logits(all [][]float32, i int) [][]float32 {
	from, to := d.itemsOf(i)
	return all[from:to]
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
		at := b.Tokens()
		b.Add(d.ids[from:to], nil)
		if d.typeIDs != nil {
			for j, t := range d.typeIDs[from:to] {
				b.TypeIDs[at+j] = int32(t)
			}
		}
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

// Description is what the features were made by.
func (d *Dataset) Description() Description { return d.description }

// Stats says what became of the texts.
func (d *Dataset) Stats() Stats { return d.stats }

// Source is where the example of item i came from.
func (d *Dataset) Source(i int) data.Source { return d.sources[d.exampleOf(i)] }

// SetClassWeights weighs the loss of each example by its label; nil: all alike. It is not for use while others read d.
func (d *Dataset) SetClassWeights(weights []float32) error {
	if weights != nil && len(weights) != len(d.description.Labels) {
		return fmt.Errorf("%d class weights for the labels %s", len(weights), message.QuoteAll(d.description.Labels))
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
	}
	if d.description.Kind != SingleLabel {
		return nil, fmt.Errorf("class weights are for %v, this is a %v", SingleLabel, d.description.Kind)
	}
	switch choice {
	case "balanced":
		if d.stats.PerLabel == nil {
			return nil, errors.New("balanced class weights need labelled examples")
		}
		weights := make([]float32, len(labels))
		for i, count := range d.stats.PerLabel {
			if count == 0 {
				return nil, fmt.Errorf("balanced class weights need examples of each label, there is none of %s", message.Quote(labels[i]))
			}
			weights[i] = float32(float64(d.Examples()) / (float64(len(labels)) * float64(count)))
		}
		return weights, nil
	}
	fields := strings.Split(choice, ",")
	if len(fields) != len(labels) {
		return nil, fmt.Errorf("class weights %s: want none, balanced or %d numbers, for %s", message.Quote(choice), len(labels), message.QuoteAll(labels))
	}
	weights := make([]float32, len(labels))
	for i, field := range fields {
		w, err := strconv.ParseFloat(strings.TrimSpace(field), 32)
		if err != nil || !(w > 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("class weights %s: %s is no positive number", message.Quote(choice), message.Quote(field))
		}
		weights[i] = float32(w)
	}
	return weights, nil
}

// ShowExamples writes the first n sequences as google-research/bert run_classifier.py and run_squad.py log them. There is no
// input_mask, because there is no padding.
func (d *Dataset) ShowExamples(w io.Writer, t *tokenizer.Tokenizer, n int) error {
	var (
		out   strings.Builder
		batch bert.Batch
	)
	for i := 0; i < min((n+d.Sequences(0)-1)/d.Sequences(0), d.Len()); i++ {
		batch.Reset()
		if err := d.Append(&batch, i); err != nil {
			return err
		}
		for s := range batch.Len() {
			from, to := batch.Sequence(s)
			ids := batch.IDs[from:to]
			fmt.Fprintf(&out, "*** Example ***\nguid: %s\ntokens: %s\ninput_ids: %s\nsegment_ids: %s\n",
				d.Source(i), strings.Join(t.Tokens(ids), " "), list(ids), list(batch.TypeIDs[from:to]))
			if len(batch.From) > 0 {
				fmt.Fprintf(&out, "start_position: %d\nend_position: %d\n", batch.From[s], batch.To[s])
			}
		}
		for _, c := range batch.Classes {
			if d.choices > 0 {
				fmt.Fprintf(&out, "label: %d\n", c)
			} else {
				fmt.Fprintf(&out, "label: %s (id = %d)\n", d.description.Labels[c], c)
			}
		}
		if len(batch.Values) > 0 {
			fmt.Fprintf(&out, "label: %s\n", list(batch.Values))
		}
		if len(batch.TokenClasses) > 0 {
			fmt.Fprintf(&out, "label_ids: %s\n", list(batch.TokenClasses))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// list writes numbers with blanks between them.
func list[T any](numbers []T) string { return strings.Trim(fmt.Sprint(numbers), "[]") }
