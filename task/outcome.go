package task

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// OutcomesFile is the name of an evaluation's Outcomes in an output directory.
const OutcomesFile = "eval_logits.jsonl"

// Outcomes are what a model said of each example of an evaluation, beside what is right: what curves, calibration and the worst
// errors are drawn from.
type Outcomes struct {
	Kind       Kind
	Labels     []string // in the order of their ids; nil where the kind has none
	Positive   string   // of two labels, the one that precision and recall are about
	GlobalStep int      // of the model
	Loss       float64  // the mean, as Result.Loss
	Examples   []Outcome
}

// Outcome is what a model said of one example. Which fields it has depends on the Kind.
//
// Legend: C labels or choices, W words.
type Outcome struct {
	Source string `json:"source"`         // where the example came from, as data.Source writes it
	Text   string `json:"text,omitempty"` // what the model read, shortened: see AddTexts
	Tokens int    `json:"tokens"`         // of all its sequences
	// Dropped tokens were cut: the model did not read them.
	Dropped int     `json:"dropped_tokens,omitempty"`
	Loss    float64 `json:"loss"`

	// Of one label, and of choices: the number of the right one, and the logarithms of the probabilities, [C].
	Label            *int      `json:"label,omitempty"`
	LogProbabilities []float32 `json:"log_probabilities,omitempty"`
	// Scored are the words of the text with what each adds to the logit of the predicted label: see AddExplanations.
	Scored []ScoredWord `json:"scored_words,omitempty"`
	// Of several labels at once: the numbers of the right ones, and the probability of each, [C].
	Labels        []int     `json:"labels,omitempty"`
	Probabilities []float32 `json:"probabilities,omitempty"`
	// Of numbers: the right one and the model's.
	Target *float64 `json:"target,omitempty"`
	Value  *float64 `json:"value,omitempty"`
	// Of words: they, and the numbers of their right and predicted labels, [W].
	Words     []string `json:"words,omitempty"`
	Tags      []int    `json:"tags,omitempty"`
	Predicted []int    `json:"predicted,omitempty"`
	// Of questions: its id, the right answers (none: there is none), the model's, the best answer whether or not it is the model's,
	// and the odds of no answer, where there may be none.
	ID       string   `json:"id,omitempty"`
	Answers  []string `json:"answers,omitempty"`
	Answer   *string  `json:"answer,omitempty"`
	Best     string   `json:"best,omitempty"`
	NullOdds *float64 `json:"null_odds,omitempty"`
	Passage  *Passage `json:"passage,omitempty"`
}

// Passage is what a question is about.
type Passage struct {
	Question string `json:"question"`
	Windows  int    `json:"windows"` // in which the text was read
	// Context is the part of the text around the right answer and the best one, which AddTexts fills in. RightAt and BestAt are their
	// bytes in it, from the first to before the second; nil: not there.
	Context string  `json:"context,omitempty"`
	RightAt *[2]int `json:"right_at,omitempty"`
	BestAt  *[2]int `json:"best_at,omitempty"`

	right, best *[2]int // as RightAt and BestAt, in the whole text
}

// outcomes are those of a labelled data set.
func (d *Dataset) outcomes(logits [][]float32) *Outcomes {
	out := &Outcomes{Kind: d.spec.Kind, Labels: d.spec.Labels, Positive: d.spec.Positive, Examples: make([]Outcome, d.Examples())}
	for i := range out.Examples {
		o := &out.Examples[i]
		o.Source = d.sources[i].String()
		from, to := d.itemsOf(i)
		n := d.Sequences(0)
		o.Tokens = d.starts[to*n] - d.starts[from*n]
		if d.dropped != nil {
			o.Dropped = d.dropped[i]
		}
		d.kind().codec.outcome(d, i, d.logits(logits, i), o)
		o.Loss = min(o.Loss, mostLoss)
	}
	return out
}

// class fills in what the number of the right class and the logarithms of the probabilities say.
func (o *Outcome) class(label int, log []float64) {
	o.Label, o.LogProbabilities, o.Loss = &label, float32s(log), -log[label]
}

// mostLoss stands for the loss of a probability that is 0 in float64.
const mostLoss = 1e6

// float32s are values with as many digits as the model's have.
func float32s(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(max(v, -mostLoss))
	}
	return out
}

const (
	outcomeTexts  = 1000 // examples that AddTexts gives their texts
	outcomeTokens = 128  // tokens of such a text
)

// AddTexts gives the 1,000 examples of the greatest loss the beginning of their text, as the model reads it: what d's ids spell.
// Questions get the part of the context around their answers too, as it was written. d is the data of the evaluation.
func (o *Outcomes) AddTexts(d *Dataset, t *tokenizer.Tokenizer) {
	for _, i := range o.worst(outcomeTexts) {
		if o.Examples[i].Words == nil {
			o.Examples[i].Text = d.text(t, i)
		}
		if p := o.Examples[i].Passage; p != nil && (p.right != nil || p.best != nil) {
			p.addContext(d.examples[i].TextPair)
		}
	}
}

// worst are the n examples of the greatest loss.
func (o *Outcomes) worst(n int) []int {
	order := make([]int, len(o.Examples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(o.Examples[b].Loss, o.Examples[a].Loss) })
	return order[:min(len(order), n)]
}

// text is what the first sequence of example i spells, shortened; of choices, all of them.
func (d *Dataset) text(t *tokenizer.Tokenizer, i int) string {
	from, _ := d.itemsOf(i)
	n := d.Sequences(0)
	ids := d.ids[d.starts[from*n]:d.starts[(from+1)*n]]
	if len(ids) <= outcomeTokens {
		return t.Decode(ids, false)
	}
	return t.Decode(ids[:outcomeTokens], false) + " …"
}

const (
	contextAround = 300  // bytes on both sides of answers in a Context
	contextMost   = 4000 // bytes between answers
)

// addContext sets Context, RightAt and BestAt. Where the answers are far apart only the right one is there.
func (p *Passage) addContext(text string) {
	from, to := len(text), 0
	for _, at := range []*[2]int{p.right, p.best} {
		if at == nil || to > 0 && max(to, at[1])-min(from, at[0]) > contextMost {
			continue
		}
		from, to = min(from, at[0]), max(to, at[1])
	}
	from, to = max(0, from-contextAround), min(len(text), to+contextAround)
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to++
	}
	before, after := "", ""
	if from > 0 {
		before = "… "
	}
	if to < len(text) {
		after = " …"
	}
	p.Context = before + text[from:to] + after
	place := func(at *[2]int) *[2]int {
		if at == nil || at[0] < from || at[1] > to {
			return nil
		}
		return &[2]int{at[0] - from + len(before), at[1] - from + len(before)}
	}
	p.RightAt, p.BestAt = place(p.right), place(p.best)
}

// outcomesHead is the first line of OutcomesFile.
type outcomesHead struct {
	Kind       Kind     `json:"kind"`
	Labels     []string `json:"labels,omitempty"`
	Positive   string   `json:"positive_label,omitempty"`
	GlobalStep int      `json:"global_step"`
	Loss       any      `json:"loss"`
	Examples   int      `json:"examples"`
}

// Save writes OutcomesFile into dir: a line of JSON about all, and one for each example. The file is whole or not there.
func (o *Outcomes) Save(dir string) error {
	return files.PathError(files.WriteFile(filepath.Join(dir, OutcomesFile), 0o666, o.write))
}

func (o *Outcomes) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(outcomesHead{o.Kind, o.Labels, o.Positive, o.GlobalStep, jsonobject.Number(o.Loss), len(o.Examples)}); err != nil {
		return err
	}
	for i := range o.Examples {
		if err := e.Encode(&o.Examples[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

// maxOutcomeLine bounds a line of OutcomesFile: an example of words with its text, or the labels of all.
const maxOutcomeLine = 64 << 20

// ReadOutcomes reads OutcomesFile from dir. Where there is none the error is an fs.ErrNotExist.
func ReadOutcomes(dir string) (*Outcomes, error) {
	path := filepath.Join(dir, OutcomesFile)
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o, line, err := parseOutcomes(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	return o, nil
}

// parseOutcomes reads the content of OutcomesFile. An error is about a line.
func parseOutcomes(r io.Reader) (o *Outcomes, line int, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxOutcomeLine)
	var (
		out  Outcomes
		want int
	)
	for line = 1; s.Scan(); line++ {
		if line == 1 {
			if want, err = out.head(s.Bytes()); err != nil {
				return nil, line, err
			}
			continue
		}
		var x Outcome
		if err := parseLine(s.Bytes(), x.fields()); err != nil {
			return nil, line, err
		}
		if err := out.check(&x); err != nil {
			return nil, line, err
		}
		out.Examples = append(out.Examples, x)
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, line, fmt.Errorf("longer than %d MB, which no such line is", maxOutcomeLine>>20)
	case err != nil:
		return nil, line, err
	case line == 1:
		return nil, line, errors.New("the file is empty")
	case len(out.Examples) != want:
		return nil, line, fmt.Errorf("the file has %s examples, want %s as its first line says: evaluate again", message.Thousands(len(out.Examples)), message.Thousands(want))
	}
	return &out, 0, nil
}

func (o *Outcomes) head(line []byte) (examples int, err error) {
	kind, loss := "", math.NaN()
	err = parseLine(line, map[string]any{
		"kind": &kind, "labels": &o.Labels, "positive_label": &o.Positive, "global_step": &o.GlobalStep, "loss": &loss, "examples": &examples,
	})
	if err != nil {
		return 0, err
	}
	o.Loss = loss
	if o.Kind, err = ParseKind(kind); err != nil {
		return 0, err
	}
	if len(o.Labels) < o.Kind.info().labels {
		return 0, fmt.Errorf("%d labels, want at least %d", len(o.Labels), o.Kind.info().labels)
	}
	return examples, nil
}

// fields are the fields by their keys.
func (x *Outcome) fields() map[string]any {
	return map[string]any{
		"source": &x.Source, "text": &x.Text, "tokens": &x.Tokens, "dropped_tokens": &x.Dropped, "loss": &x.Loss,
		"label": &x.Label, "log_probabilities": &x.LogProbabilities, "scored_words": &x.Scored,
		"labels": &x.Labels, "probabilities": &x.Probabilities,
		"target": &x.Target, "value": &x.Value,
		"words": &x.Words, "tags": &x.Tags, "predicted": &x.Predicted,
		"id": &x.ID, "answers": &x.Answers, "answer": &x.Answer, "best": &x.Best, "null_odds": &x.NullOdds,
		"passage": &x.Passage,
	}
}

// parseLine reads an object into fields by key. It leaves out keys that it doesn't know, and fields that are null.
func parseLine(line []byte, fields map[string]any) error {
	return jsonobject.Parse(line, func(key string, value json.RawMessage) error {
		if field, ok := fields[key]; ok && !bytes.Equal(value, []byte("null")) {
			return jsonobject.Field(key, value, field)
		}
		return nil
	})
}

// check reports an example that can't be one of these.
func (o *Outcomes) check(x *Outcome) error {
	c := len(o.Labels)
	class := func(key string, ids []int, n int) error {
		for _, id := range ids {
			if id < 0 || id >= n {
				return fmt.Errorf("%s: %d is not one of %d labels from 0", key, id, n)
			}
		}
		return nil
	}
	missing := func(key string) error { return fmt.Errorf("no %s", key) }
	switch o.Kind {
	case SingleLabel, MultipleChoice:
		if x.Label == nil || x.LogProbabilities == nil {
			return missing("label, or no log_probabilities")
		}
		if n := len(x.LogProbabilities); o.Kind == SingleLabel && n != c {
			return fmt.Errorf("%d log_probabilities, want %d as there are labels", n, c)
		}
		return class("label", []int{*x.Label}, len(x.LogProbabilities))
	case MultiLabel:
		if n := len(x.Probabilities); n != c {
			return fmt.Errorf("%d probabilities, want %d as there are labels", n, c)
		}
		return class("labels", x.Labels, c)
	case Regression:
		if x.Target == nil || x.Value == nil {
			return missing("target, or no value")
		}
	case TokenClassification:
		if len(x.Tags) != len(x.Words) || len(x.Predicted) != len(x.Words) {
			return fmt.Errorf("%d tags and %d predicted for %d words", len(x.Tags), len(x.Predicted), len(x.Words))
		}
		return cmp.Or(class("tags", x.Tags, c), class("predicted", x.Predicted, c))
	case QuestionAnswering:
		if x.Answer == nil {
			return missing("answer")
		}
		if p := x.Passage; p != nil {
			return cmp.Or(p.check("right_at", p.RightAt), p.check("best_at", p.BestAt))
		}
	}
	return nil
}

// check reports a place that isn't in the context.
func (p *Passage) check(key string, at *[2]int) error {
	if at != nil && !(0 <= at[0] && at[0] <= at[1] && at[1] <= len(p.Context)) {
		return fmt.Errorf("passage: %s: %d to %d is not in a context of %d bytes", key, at[0], at[1], len(p.Context))
	}
	return nil
}
