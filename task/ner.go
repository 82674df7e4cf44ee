package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// tokenClassification is the codec of words that have a label each (paper §5.3). The label of a word is that of its first
// piece; the others take no part. A sentence that is too long is read in windows that overlap, and each word in the one where
// it has the most context, in training too: so nothing is cut and no word counts twice.
//
// A text that isn't in words is split into those that the tokenizer finds: what white space and punctuation separate.
type tokenClassification struct{}

func (tokenClassification) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	switch {
	case in.IDs != nil || in.TypeIDs != nil:
		return errors.New("ids, but the model labels words: want a text, or words")
	case in.IsPair():
		return errors.New("a pair of texts, but the model labels the words of one")
	case in.Choices != nil:
		return errors.New("choices, but the model labels words")
	case in.Words != nil && in.Text != "":
		return errors.New("both text and words")
	}
	o := f.options
	o.Truncation, o.TruncateLeft, o.Overflow = tokenizer.OnlyFirst, false, true
	o.Stride = max(0, o.MaxLength-2-f.spec.step())
	if done, err := f.longWindows(in, o, 0, add); done || err != nil {
		return err
	}
	var err error
	if in.Words != nil {
		err = f.tokenizer.EncodeWords(e, in.Words, o)
	} else {
		err = f.tokenizer.Encode(e, in.Text, o)
	}
	if err != nil {
		return err
	}
	addWindows(e, 0, add)
	return nil
}

// wordPlace is where the first piece of a word is read: in which of an example's windows, and which token of it.
// window is −1 for a word without a piece, of which cleaning left nothing.
type wordPlace struct{ window, token int }

// wordPlaces finds each of n words in the window in which its first piece has the most context, counted on the side that has less; the
// first of equal ones.
func (d *Spec) wordPlaces(s []sequence, n int) []wordPlace {
	var (
		places = make([]wordPlace, n)
		first  = make([]int, n) // piece of each word, counted over the whole text
		most   = make([]int, n)
	)
	for i := range places {
		places[i].window = -1
	}
	const specials = 1 // before the text, and after it
	step := min(d.step(), len(s[0].ids)-2*specials)
	for w := range s {
		tokens := len(s[w].ids)
		for t, word := range s[w].words {
			if word < 0 {
				continue
			}
			at, context := w*step+t, min(t, tokens-1-t)
			p := &places[word]
			switch {
			case p.window < 0:
				first[word] = at
			case first[word] != at || context <= most[word]:
				continue
			}
			*p, most[word] = wordPlace{w, t}, context
		}
	}
	return places
}

func (tokenClassification) checkLabel(d *Spec, x *data.Example) error {
	switch {
	case x.Labels == nil:
		return data.ErrNoLabel
	case len(x.Labels) != len(x.Words):
		return fmt.Errorf("%d labels for %d words", len(x.Labels), len(x.Words))
	}
	for i, label := range x.Labels {
		if _, err := data.LabelID(label, d.Labels); err != nil {
			return fmt.Errorf("word %d, %s: %w", i+1, message.Quote(x.Words[i]), err)
		}
	}
	return nil
}

func (tokenClassification) target(d *Spec, x *data.Example, s []sequence, t *targets) error {
	if err := (tokenClassification{}).checkLabel(d, x); err != nil {
		return err
	}
	from := make([]int, len(s))
	at := len(t.tokens)
	for i := range s {
		from[i] = at
		at += len(s[i].ids)
	}
	for len(t.tokens) < at {
		t.tokens = append(t.tokens, -1)
	}
	for i, p := range d.wordPlaces(s, len(x.Words)) {
		id, err := data.LabelID(x.Labels[i], d.Labels)
		if err != nil {
			return err
		}
		if p.window >= 0 {
			t.tokens[from[p.window]+p.token] = int32(id)
		}
	}
	return nil
}

func (tokenClassification) empty(d *Spec) Report {
	s := metric.NewTagSet(d.Labels)
	return &EntityReport{Types: s.Types, EntityReport: metric.EntityReport{Types: make([]metric.Score, len(s.Types))}}
}

// wordLabels are the most probable label of each word, by number, and the logarithms of the probabilities of all. A word
// without a piece has no probabilities and is outside, or where there is no such label has the first.
func (d *Spec) wordLabels(s []sequence, n int, logits [][]float32) (labels []int, log [][]float64) {
	labels, log = make([]int, n), make([][]float64, n)
	none := max(0, slices.Index(d.Labels, metric.OutsideTag))
	width := len(d.Labels)
	for i, p := range d.wordPlaces(s, n) {
		if labels[i] = none; p.window >= 0 {
			log[i], labels[i] = logSoftmax(logits[p.window][p.token*width : (p.token+1)*width])
		}
	}
	return labels, log
}

func (tokenClassification) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	var (
		spec              = &d.spec
		names             = spec.Labels
		set               = metric.NewTagSet(names)
		tags, predictions = make([][]metric.Tag, d.Examples()), make([][]metric.Tag, d.Examples())
		r                 = &EntityReport{Types: set.Types, Predictions: make([][]int, d.Examples())}
		loss              float64
		words             int
	)
	for i, x := range d.examples {
		_, s := d.example(i)
		labels, log := spec.wordLabels(s, len(x.Words), d.logits(logits, i))
		r.Predictions[i] = labels
		for j, label := range labels {
			tags[i] = append(tags[i], set.Tag(x.Labels[j]))
			predictions[i] = append(predictions[i], set.Tag(names[label]))
			if log[j] != nil {
				loss -= log[j][slices.Index(names, x.Labels[j])]
				words++
			}
		}
	}
	var err error
	r.EntityReport, err = metric.EntityScores(tags, predictions, len(set.Types))
	return r, loss / float64(max(words, 1)), err
}

func (tokenClassification) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	_, s := d.example(i)
	x := &d.examples[i]
	labels, log := d.spec.wordLabels(s, len(x.Words), logits)
	o.Words, o.Predicted, o.Tags = x.Words, labels, make([]int, len(labels))
	n := 0
	for j, label := range x.Labels {
		o.Tags[j] = slices.Index(d.spec.Labels, label)
		if log[j] != nil {
			o.Loss -= log[j][o.Tags[j]]
			n++
		}
	}
	o.Loss /= float64(max(n, 1))
}

// aims are the labels of the words that are in entities, or of those that have the label that is asked about.
func (tokenClassification) aims(d *Spec, q *question, s []sequence, logits [][]float32) ([]aim, error) {
	asked, err := q.labelOf(d.Labels)
	if err != nil {
		return nil, err
	}
	words := 0
	for i := range s {
		for _, w := range s[i].words {
			words = max(words, int(w)+1)
		}
	}
	var (
		labels, _ = d.wordLabels(s, words, logits)
		outside   = slices.Index(d.Labels, metric.OutsideTag)
		width     = len(d.Labels)
		out       []aim
	)
	for word, p := range d.wordPlaces(s, words) {
		label := labels[word]
		if p.window < 0 || asked >= 0 && label != asked || asked < 0 && label == outside {
			continue
		}
		places := upTo(width)
		for i := range places {
			places[i] += p.token * width
		}
		at, rival, err := ofSoftmax(q.quantity, label, places, logits[p.window])
		if err != nil {
			return nil, err
		}
		t := Target{Quantity: q.quantity, Label: d.Labels[label], Word: &word, FirstPiece: &p.token}
		if rival >= 0 {
			t.Rival = d.Labels[rival]
		}
		out = append(out, aim{t, p.window, []int{p.token}, at})
	}
	return out, nil
}

// fold finds the entities of an input.
func (tokenClassification) fold(d *Spec, in *data.Input) fold {
	f := &entityFold{spec: d, in: in, none: max(0, slices.Index(d.Labels, metric.OutsideTag)), p: Prediction{Entities: []Entity{}}}
	set := metric.NewTagSet(d.Labels)
	f.types = set.Types
	for _, label := range d.Labels {
		f.tags = append(f.tags, set.Tag(label))
	}
	if in.Words != nil {
		f.text = strings.Join(in.Words, " ")
	} else {
		f.text = in.Text
	}
	return f
}

// entityFold finds the entities of a text whose windows come one by one, in memory that doesn't grow with the text but for its
// answer. It reads each word where wordPlaces does.
type entityFold struct {
	spec    *Spec
	in      *data.Input
	text    string // of which entities are parts
	types   []string
	tags    []metric.Tag // by label
	none    int          // the label of a word without a piece
	windows int
	step    int // tokens from one window to the next

	next    int // the number of the first word of pending
	pending []pendingWord
	at      int // bytes before it, of given words

	prev   metric.Tag
	open   *Entity   // the entity that the last words are in
	scores []float64 // of its words
	words  int
	p      Prediction
}

// pendingWord is a word of which a later window may say more.
type pendingWord struct {
	found      bool // it has a piece
	first      int  // piece, counted over the whole text
	context    int
	label      int
	score      float64
	start, end int // bytes of the text
}

func (f *entityFold) add(s *sequence, logits []float32) {
	const specials = 1 // before the text, and after it
	if f.windows == 0 {
		f.step = min(f.spec.step(), len(s.ids)-2*specials)
	}
	width := len(f.spec.Labels)
	first := true
	for t, word := range s.words {
		if word < 0 {
			continue
		}
		if first {
			f.end(int(word)) // of those before it no later window has a piece
			first = false
		}
		for len(f.pending) <= int(word)-f.next {
			f.pending = append(f.pending, pendingWord{start: math.MaxInt})
		}
		p := &f.pending[int(word)-f.next]
		p.start, p.end = min(p.start, int(s.offsets[t].Start)), max(p.end, int(s.offsets[t].End))
		at, context := f.windows*f.step+t, min(t, len(s.ids)-1-t)
		switch {
		case !p.found:
			p.found, p.first = true, at
		case p.first != at || context <= p.context:
			continue
		}
		p.context = context
		log, label := logSoftmax(logits[t*width : (t+1)*width])
		p.label, p.score = label, math.Exp(log[label])
	}
	f.windows++
}

// end ends the words before number n.
func (f *entityFold) end(n int) {
	for f.next < n {
		var w pendingWord
		if len(f.pending) > 0 {
			w, f.pending = f.pending[0], f.pending[1:]
		}
		if !w.found {
			w.label = f.none
		}
		if f.in.Words != nil {
			w.start = f.at
			w.end = f.at + len(f.in.Words[f.next])
			f.at = w.end + 1
			f.p.Labels = append(f.p.Labels, f.spec.Labels[w.label])
		}
		f.word(&w)
		f.next++
	}
}

// word adds a word to the entities.
func (f *entityFold) word(w *pendingWord) {
	tag := f.tags[w.label]
	if tag.Place == metric.Outside || tag.Begins(f.prev) {
		f.close()
	}
	if tag.Place != metric.Outside && f.open == nil {
		f.open = &Entity{Type: f.types[tag.Type], Start: min(w.start, w.end), FirstWord: f.next}
	}
	if f.prev = tag; f.open == nil {
		return
	}
	f.open.LastWord, f.open.End = f.next, w.end
	f.words++
	if w.found {
		f.scores = append(f.scores, w.score)
	}
}

// close ends an entity.
func (f *entityFold) close() {
	if f.open == nil {
		return
	}
	for _, s := range f.scores {
		f.open.Score += s / float64(f.words)
	}
	f.open.Text = f.text[f.open.Start:f.open.End]
	f.p.Entities = append(f.p.Entities, *f.open)
	f.open, f.scores, f.words = nil, f.scores[:0], 0
}

func (f *entityFold) answer() Prediction {
	n := f.next + len(f.pending)
	if f.in.Words != nil {
		n = len(f.in.Words)
	}
	f.end(n)
	f.close()
	return f.p
}

// EntityReport is what an evaluation finds of a task that labels words: the figures of conlleval.
//
// Legend: N examples, K types.
type EntityReport struct {
	Types []string // [K]
	metric.EntityReport

	Predictions [][]int // class ids of each example's words, [N]
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *EntityReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *EntityReport) figures() (first, further metric.Metrics) {
	return metric.Metrics{
		{Name: "f1", Value: r.Micro.F1}, {Name: "precision", Value: r.Micro.Precision}, {Name: "recall", Value: r.Micro.Recall}, {Name: "eval_accuracy", Value: r.Accuracy},
		{Name: "macro_f1", Value: r.Macro.F1}, {Name: "weighted_f1", Value: r.Weighted.F1},
	}, nil
}

func (r *EntityReport) details() []entry {
	return []entry{
		{"words", r.Words}, {"entities", r.Micro.Support}, {"found", r.Micro.Predicted}, {"correct", r.Correct},
		{"types", scoresJSON(r.Types, r.EntityReport.Types)},
	}
}

// writeText writes what conlleval does: the counts, and a line a type.
func (r *EntityReport) writeText(w *strings.Builder) {
	fmt.Fprintf(w, "%s words with %s entities; found: %s, correct: %s; accuracy of the words %.4f\n",
		message.Thousands(r.Words), message.Thousands(r.Micro.Support), message.Thousands(r.Micro.Predicted), message.Thousands(r.Correct), r.Accuracy)
	writeScores(w, r.Types, r.EntityReport.Types, []average{{"overall", r.Micro}, {"macro average", r.Macro}, {"weighted average", r.Weighted}})
}
