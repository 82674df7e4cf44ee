package task

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// Kind is what a task asks of a model, and so what an answer is. Kinds are closed: a program can't add one.
type Kind uint8

const (
	// SingleLabel is one label of several.
	SingleLabel Kind = iota
	// MultiLabel is any number of several labels at once.
	MultiLabel
	// Regression is a number.
	Regression
	// TokenClassification is a label for each word.
	TokenClassification
	// QuestionAnswering is a piece of a context that answers a question, or no answer.
	QuestionAnswering
	// MultipleChoice is one of an example's own choices.
	MultipleChoice
)

// kindInfo is a row of the table of kinds: all that distinguishes one kind from the others.
type kindInfo struct {
	name    string           // in task.json and on the command line
	head    bert.Head        // that gives the logits
	problem bert.ProblemType // the bert.Config.ProblemType of a head that has several
	// labels is the least number of labels that its models have, of which a Spec has a list; 0: none at all.
	labels int
	// metrics judge a task that names none itself, the main one first.
	metrics []string
	// long says that a text may be treated in other ways than cutting it: see LongText.
	long bool
	// weights says that examples have one class each, by which their loss can be weighed.
	weights bool
	// places says that answers are parts of the text, so that a Dataset keeps its texts and the places of tokens in them.
	places bool
	// choices says that the sequences of an input are its choices, which are one item together.
	choices bool
	// maxSeqLength is how many tokens are usual; 0: 128.
	maxSeqLength int
	// input is an example of an input in JSON, of a kind for which a text alone is no input.
	input string
	codec codec
}

// kinds has a row for each Kind. A kind is its row and its codec; nothing else here asks which
// kind a task has.
var kinds = [...]kindInfo{
	SingleLabel: {
		name: bert.SingleLabelClassification.String(), head: bert.SequenceClassification, problem: bert.SingleLabelClassification,
		labels: 2, metrics: []string{"eval_accuracy"}, long: true, weights: true, codec: singleLabel{},
	},
	MultiLabel: {
		name: bert.MultiLabelClassification.String(), head: bert.SequenceClassification, problem: bert.MultiLabelClassification,
		labels: 1, metrics: []string{"micro_f1", "macro_f1"}, long: true, codec: multiLabel{},
	},
	Regression: {
		name: bert.RegressionProblem.String(), head: bert.SequenceClassification, problem: bert.RegressionProblem,
		labels: 1, metrics: []string{"pearson", "spearman"}, long: true, codec: regression{},
	},
	TokenClassification: {
		name: "token_classification", head: bert.TokenClassification,
		labels: 2, metrics: []string{"f1"}, places: true, codec: tokenClassification{},
	},
	QuestionAnswering: {
		name: "question_answering", head: bert.QuestionAnswering,
		metrics: []string{"f1", "exact"}, places: true, codec: questionAnswering{},
		maxSeqLength: squadLength, input: `{"question": "…", "context": "…"}`,
	},
	MultipleChoice: {
		name: "multiple_choice", head: bert.MultipleChoice,
		metrics: []string{"eval_accuracy"}, choices: true, codec: multipleChoice{},
		input: `{"text": "…", "choices": ["…", "…"]}`,
	},
}

// codec is how a kind goes both ways: from examples to the sequences that a model reads, and from the logits to answers.
// Each is in a file of its own. They have no state, and are used from many goroutines.
type codec interface {
	// encode calls add with the sequences of an input: one, or the windows of a long text in their order, or one for each
	// choice. e is scratch memory, and the argument of add is valid until add returns.
	encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error

	// checkLabel reports a label that no model of d can learn or be measured by. It is asked before the texts are encoded.
	checkLabel(d *Spec, x *data.Example) error

	// target adds to t an example's label as a batch takes it. s are the sequences that encode made of the example.
	target(d *Spec, x *data.Example, s []sequence, t *targets) error

	// measure compares the logits of a labelled data set with its labels, and computes the mean loss. d.logits has those
	// of an example.
	measure(d *Dataset, logits [][]float32) (r Report, loss float64, err error)

	// outcome fills in what example i of a labelled data set, with these logits, is and what the model says of it.
	outcome(d *Dataset, i int, logits [][]float32, o *Outcome)

	// empty is a report of no examples, which has the names of the metrics.
	empty(d *Spec) Report

	// aims are the numbers that an explanation of an input can be about. logits are those of its sequences.
	aims(d *Spec, q *question, s []sequence, logits [][]float32) ([]aim, error)

	// fold begins the answer to an input.
	fold(d *Spec, in *data.Input) fold
}

// info is the kind's row, an empty one of a number that is no Kind.
func (k Kind) info() *kindInfo {
	if int(k) >= len(kinds) {
		return new(kindInfo)
	}
	return &kinds[k]
}

// String is the kind's name in task.json.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return fmt.Sprintf("Kind(%d)", k)
	}
	return kinds[k].name
}

// ParseKind is the reverse of String.
func ParseKind(name string) (Kind, error) {
	var names []string
	for k, info := range kinds {
		if info.name == name && info.codec != nil {
			return Kind(k), nil
		}
		if info.codec != nil {
			names = append(names, info.name)
		}
	}
	return 0, fmt.Errorf("kind %s: want %s", message.Quote(name), strings.Join(names, ", "))
}

// MarshalText writes String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseKind.
func (k *Kind) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKind(string(text))
	return err
}

// Head is the head of the kind's models.
func (k Kind) Head() bert.Head { return k.info().head }

// MaxSeqLength is the most tokens of a sequence that is usual for the kind.
func (k Kind) MaxSeqLength() int { return cmp.Or(k.info().maxSeqLength, 128) }

// InputJSON is an input in JSON, as data.InputReader takes it, of a kind for which a text alone is no input; "" for the others.
func (k Kind) InputJSON() string { return k.info().input }

// ProblemType is the bert.Config.ProblemType of the kind's models, the zero value where the head knows only one.
func (k Kind) ProblemType() bert.ProblemType { return k.info().problem }

// KindOf is the kind of task that a model is for. A model for none is an error.
func KindOf(head bert.Head, c *bert.Config) (Kind, error) {
	problem := bert.ProblemByLabels
	if head == bert.SequenceClassification {
		problem = c.Problem()
	}
	i := slices.IndexFunc(kinds[:], func(k kindInfo) bool { return k.head == head && k.problem == problem && k.codec != nil })
	if i < 0 {
		return 0, fmt.Errorf("a %v has no answers to texts: fine-tune it first", head)
	}
	return Kind(i), nil
}

// official are the metrics to judge the task by.
func (d *Spec) official() []string {
	if d.Official != nil {
		return d.Official
	}
	return d.Kind.info().metrics
}

// MetricNames are the metrics that an evaluation will have, and the official ones, the main one first.
func (d *Spec) MetricNames() (all, official []string) {
	if d.Kind.info().codec == nil {
		return nil, nil
	}
	r := Result{Report: d.Kind.info().codec.empty(d)}
	for _, m := range r.Metrics() {
		if m.Name != "global_step" {
			all = append(all, m.Name)
		}
	}
	return all, d.official()
}

// Validate reports the first thing wrong with d.
func (d *Spec) Validate() error {
	if d.Task == "" {
		return errors.New("task is empty")
	}
	if int(d.Kind) >= len(kinds) || d.Kind.info().codec == nil {
		return fmt.Errorf("there is no %v", d.Kind)
	}
	switch k := d.Kind.info(); {
	case k.labels > 0 && len(d.Labels) == 0:
		return errors.New("labels is empty")
	case k.labels == 0 && len(d.Labels) > 0:
		return fmt.Errorf("labels is %s, a model of %v has none", message.QuoteAll(d.Labels), d.Kind)
	case d.Kind == Regression && len(d.Labels) != 1:
		return fmt.Errorf("labels is %s, a %v has one", message.QuoteAll(d.Labels), d.Kind)
	case d.Long != TruncateLong && !k.long:
		return fmt.Errorf("long_text %v is not for %v", d.Long, d.Kind)
	case int(d.Long) >= len(longNames):
		return fmt.Errorf("there is no %v", d.Long)
	case d.DocStride < 0:
		return fmt.Errorf("doc_stride is %d, want at least 1, or 0 for half of a window", d.DocStride)
	}
	if len(d.Labels) > maxLabels {
		return fmt.Errorf("labels: more than %s", message.Thousands(maxLabels))
	}
	seen := make(map[string]bool, len(d.Labels))
	for i, l := range d.Labels {
		if l == "" {
			return fmt.Errorf("labels: number %d is empty", i+1)
		}
		if seen[l] {
			return fmt.Errorf("labels: %s twice", message.Quote(l))
		}
		seen[l] = true
	}
	if d.Positive != "" && !slices.Contains(d.Labels, d.Positive) {
		return fmt.Errorf("positive_label %s is not one of %s", message.Quote(d.Positive), message.QuoteAll(d.Labels))
	}
	if d.Official != nil && len(d.Official) == 0 {
		return errors.New("official_metrics is empty, want the names of metrics, or no such key")
	}
	all, _ := d.MetricNames()
	for _, name := range d.Official {
		if !slices.Contains(all, name) {
			return fmt.Errorf("official_metrics: %s is no metric of %v, want some of %s", message.Quote(name), d.Kind, strings.Join(all, ", "))
		}
	}
	if d.MaxSeqLength < minSeqLength {
		return fmt.Errorf("max_seq_length is %d, want at least %d", d.MaxSeqLength, minSeqLength)
	}
	return nil
}

// checkModel reports whether d is this model's spec.
func (d *Spec) checkModel(head bert.Head, c *bert.Config) error {
	switch kind, err := KindOf(head, c); {
	case err != nil:
		return err
	case kind != d.Kind:
		return fmt.Errorf("the model is for %v, the task is a %v", kind, d.Kind)
	}
	if d.MaxSeqLength > c.MaxPositionEmbeddings {
		return fmt.Errorf("max_seq_length is %d, the model has %d positions", d.MaxSeqLength, c.MaxPositionEmbeddings)
	}
	if d.Kind.info().labels > 0 && !slices.Equal(d.Labels, c.Labels) {
		return fmt.Errorf("the task's labels are %s, the model's %s", message.QuoteAll(d.Labels), message.QuoteAll(c.Labels))
	}
	return nil
}
