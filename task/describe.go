package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// Capability is what a model can do with texts.
type Capability uint8

const (
	// Predicting is giving the answers that a model was fine-tuned for: see Predict.
	Predicting Capability = iota
	// FillingMasks is finding tokens for masked places: see FillMask.
	FillingMasks
	// Encoding is giving hidden states, vectors and attention, which every model can: see Encode.
	Encoding
	// Comparing is telling how alike two texts are, which every model can: see Compare.
	Comparing
	// ZeroShotting is choosing from labels that the model was not trained on: see ZeroShot.
	ZeroShotting
)

var capabilityNames = [...]string{
	Predicting: "predict", FillingMasks: "fill-mask", Encoding: "encode", Comparing: "similarity", ZeroShotting: "zero-shot",
}

func (c Capability) String() string {
	if int(c) >= len(capabilityNames) {
		return fmt.Sprintf("Capability(%d)", c)
	}
	return capabilityNames[c]
}

// ParseCapability reads predict, fill-mask, encode, similarity or zero-shot.
func ParseCapability(name string) (Capability, error) {
	if i := slices.Index(capabilityNames[:], name); i >= 0 {
		return Capability(i), nil
	}
	return 0, fmt.Errorf("capability %s: want %s", message.Quote(name), strings.Join(capabilityNames[:], ", "))
}

// MarshalText writes String.
func (c Capability) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is ParseCapability.
func (c *Capability) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCapability(string(text))
	return err
}

// WrongTaskError says that a model can't do what it was asked for.
type WrongTaskError struct {
	Dir    string // of the model; "" where it was not opened from one
	Asked  Capability
	Head   bert.Head    // of the model
	Can    []Capability // of the model
	Reason string
}

func (e *WrongTaskError) Error() string {
	if e.Dir != "" {
		return e.Dir + ": " + e.Reason
	}
	return e.Reason
}

// Description is what a model directory says of itself.
type Description struct {
	Dir       string // "" of a model that was not opened from one
	Config    bert.Config
	Head      bert.Head
	Tokenizer *tokenizer.Tokenizer // nil where there is none: see Open
	// Spec says what the answers are and how texts become features; nil of a model whose head answers no task. It is that of
	// task.json or, where there is none, what the configuration and the tokenizer allow: the labels of the configuration, and
	// sequences of up to the tokenizer's model_max_length, no longer than the model's positions.
	Spec *Spec
	// Saved says that Spec was read from task.json.
	Saved bool
	// Pipeline is that of a sentence-transformers folder, which makes vectors of texts or says that the model is a cross-encoder;
	// nil of another folder. Where something in it is not supported, it has the settings for texts alone.
	Pipeline *sentence.Pipeline

	specErr     error // why there is no Spec
	pipelineErr error // why Pipeline gives no vectors
}

// Describe reads what a model directory, or that of any path that bert.Load takes, says of itself: config.json, the tokenizer's
// files and task.json. Of the weights it reads the names at most, where the configuration doesn't say which head the model has. A
// task.json that doesn't fit the model is no error here, but of the uses that need it.
func Describe(ctx context.Context, dir string) (*Description, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	encoder := sentence.EncoderDir(dir)
	folder, err := bert.ModelDir(encoder)
	if err != nil {
		return nil, err
	}
	c, err := bert.LoadConfig(folder)
	if err != nil {
		return nil, err
	}
	head, err := headOf(encoder, &c)
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Load(bert.TokenizerDir(encoder, ""))
	if err != nil {
		return nil, err
	}
	return newDescription(dir, head, c, t, nil), nil
}

// headOf is the head that the configuration names or, where it names none of Hugging Face's, that whose tensors are in the weights.
func headOf(dir string, c *bert.Config) (bert.Head, error) {
	if len(c.Architectures) > 0 {
		if head, err := bert.HeadOf(c); err == nil {
			return head, nil
		}
	}
	// Data that isn't there is missed when it is loaded.
	f, _, err := checkpoint.List(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head, _, err := bert.Compare(*c, f.Tensors())
	if err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
	}
	return head, err
}

// newDescription describes a model. s, if not nil, takes the place of task.json.
func newDescription(dir string, head bert.Head, c bert.Config, t *tokenizer.Tokenizer, s *Spec) *Description {
	d := &Description{Dir: dir, Config: c, Head: head, Tokenizer: t}
	folder := dir
	if dir != "" {
		if parent, err := bert.ModelDir(dir); err == nil { // dir may be a file of weights
			folder = parent
		}
		d.Pipeline, d.pipelineErr = sentence.Load(folder, c.HiddenSize)
		if errors.Is(d.pipelineErr, fs.ErrNotExist) {
			d.pipelineErr = nil
		}
	}
	if tellsNext(head) && s == nil {
		d.Spec, d.specErr = nextSentenceSpec(&c, t)
		return d
	}
	kind, err := KindOf(head, &c)
	if err != nil {
		return d // a task.json says nothing of this head
	}
	if s == nil && dir != "" {
		var saved Spec
		if saved, d.specErr = LoadSpec(sentence.EncoderDir(folder)); errors.Is(d.specErr, fs.ErrNotExist) {
			d.specErr = nil
		} else {
			s, d.Saved = &saved, true
		}
	}
	switch {
	case d.specErr != nil: // which names the file
	case s == nil && d.pipelineErr != nil && !d.vectors(): // scores may come from more than the head
		d.specErr = d.pipelineErr
	case s == nil:
		d.Spec, d.specErr = bareSpec(kind, &c, t, d.Pipeline)
		d.specErr = d.named(d.specErr)
	default:
		if d.specErr = s.Validate(); d.specErr == nil {
			d.specErr = s.checkModel(head, &c)
		}
		if d.specErr == nil {
			d.Spec = s
		}
		d.specErr = d.named(d.specErr)
	}
	return d
}

// named puts the model's directory before an error that does not name a file.
func (d *Description) named(err error) error {
	if err == nil || d.Dir == "" || err == d.pipelineErr {
		return err
	}
	return fmt.Errorf("%s: %w", d.Dir, err)
}

// bareSpec is the Spec of a model that has no task.json. p may be nil.
func bareSpec(kind Kind, c *bert.Config, t *tokenizer.Tokenizer, p *sentence.Pipeline) (*Spec, error) {
	s := &Spec{Task: "text", Kind: kind, MaxSeqLength: c.MaxPositionEmbeddings}
	if kind.info().labels > 0 {
		s.Labels = c.Labels
	}
	// Some tokenizers give a number that leaves no room for a token.
	if t != nil {
		if n := t.Config().ModelMaxLength; n >= minSeqLength && n < s.MaxSeqLength {
			s.MaxSeqLength = n
		}
	}
	s.SetPositive("")
	activation, crosses, err := sentence.CrossEncoder(c.Extra, p)
	if !crosses {
		return s, nil
	}
	if p != nil && p.CrossEncoder && p.MaxSeqLength > 0 {
		s.MaxSeqLength = min(p.MaxSeqLength, s.MaxSeqLength)
	}
	if kind == Regression && len(s.Labels) == 1 {
		if err != nil {
			return nil, err
		}
		s.Activation = activation
	}
	return s, nil
}

// notes are sentences about what a use of the model does not take from the files of sentence-transformers.
func (d *Description) notes(asked Capability) []string {
	p := d.Pipeline
	switch {
	case p == nil:
		return nil
	case asked == Encoding || asked == Comparing:
		return p.Notes
	case asked == Predicting && p.CrossEncoder && p.DefaultPrompt != "":
		return []string{fmt.Sprintf("the prompt %s of the cross-encoder is not put before texts", message.Quote(p.DefaultPrompt))}
	}
	return nil
}

// vectors says that the model has a pipeline of its own to make vectors of texts.
func (d *Description) vectors() bool { return d.Pipeline != nil && !d.Pipeline.CrossEncoder }

// Can lists what the model can do.
func (d *Description) Can() []Capability {
	var can []Capability
	for c := range Capability(len(capabilityNames)) {
		if d.specErr != nil && c.needsSpec() || d.reason(c) != "" {
			continue
		}
		can = append(can, c)
	}
	return can
}

// load is how a model is loaded for the use: what needs no head needs none in the file either.
func (c Capability) load(o bert.Options) bert.Options {
	if o.Head == nil && (c == Encoding || c == Comparing) {
		o.Head = bert.NoHead
	}
	return o
}

// takesIDs says that inputs may be ids alone, for which no tokenizer is needed.
func (c Capability) takesIDs() bool { return c == Predicting || c == Encoding }

// needsSpec says that a model can't do it without a Spec.
func (c Capability) needsSpec() bool { return c == Predicting || c == ZeroShotting }

// Check returns an error if the model can't do what it is asked for: a *WrongTaskError, or what is wrong with its task.json.
func (d *Description) Check(asked Capability) error {
	if d.specErr != nil && asked.needsSpec() {
		return d.specErr
	}
	if reason := d.reason(asked); reason != "" {
		return &WrongTaskError{Dir: d.Dir, Asked: asked, Head: d.Head, Can: d.Can(), Reason: reason}
	}
	return nil
}

// reason says why the model can't do what it is asked for; "": it can.
func (d *Description) reason(asked Capability) string {
	switch {
	case int(asked) >= len(capabilityNames):
		return fmt.Sprintf("there is no %v", asked)
	case asked.needsSpec() && d.Spec == nil:
		if _, err := KindOf(d.Head, &d.Config); err != nil {
			return err.Error()
		}
	case asked == ZeroShotting && (d.Spec.Kind != SingleLabel || d.Spec.class(entailment) < 0):
		return fmt.Sprintf("its labels are %s, want a model of natural language inference, with the label entailment", message.QuoteAll(d.Spec.Labels))
	case asked == FillingMasks && d.Head != bert.MaskedLM && d.Head != bert.PreTraining:
		return fmt.Sprintf("a %v has no masked-LM head", d.Head)
	case asked == FillingMasks && d.Tokenizer == nil:
		return "there is no tokenizer"
	case asked == FillingMasks && d.Tokenizer.MaskID() < 0:
		return "the vocabulary has no mask token"
	}
	return ""
}

// The labels of natural language inference, in upper or lower case.
const (
	entailment    = "entailment"
	contradiction = "contradiction"
)

// class is the id of a label in upper or lower case, −1 where there is none.
func (s *Spec) class(label string) int {
	return slices.IndexFunc(s.Labels, func(l string) bool { return strings.EqualFold(l, label) })
}

// LabelsError says that a model lacks labels of a task.
type LabelsError struct {
	Dir   string // of the model
	Model []string
	Task  string
	Want  []string // the task's
}

func (e *LabelsError) Error() string {
	return fmt.Sprintf("%s: the model's labels are %s, those of task %s %s",
		e.Dir, strings.Join(e.Model, ", "), e.Task, strings.Join(e.Want, ", "))
}

// For is how the model treats the data of task t: as its task.json says or, without one, as the task does, with the model's
// labels and sequences of the length that Spec has. t becomes the kind of task that the model is for, if it can be. labels, if not nil,
// are other names for the model's own. A model without one of the task's labels is a *LabelsError.
func (d *Description) For(t *Task, labels []string) (Spec, error) {
	if err := d.Check(Predicting); err != nil {
		return Spec{}, err
	}
	if tellsNext(d.Head) {
		return Spec{}, d.named(fmt.Errorf("a %v answers no task's data: fine-tune it first, or evaluate it on instances", d.Head))
	}
	s := *d.Spec
	if err := t.SetKind(s.Kind); err != nil {
		return Spec{}, d.named(fmt.Errorf("the model is for %v: %w", s.Kind, err))
	}
	if !d.Saved {
		s = t.Spec(d.Config.Labels, s.MaxSeqLength)
		if s.Labels != nil {
			s.Labels = d.Config.Labels // not the task's: the model says what its classes are
		}
		s.Activation = d.Spec.Activation
	}
	if s.Task != t.Name {
		s.Official, s.Columns = t.Metrics, data.Columns{}
	}
	if labels != nil {
		if len(labels) != len(d.Config.Labels) {
			return Spec{}, d.named(fmt.Errorf("%d names for labels, the model has %d", len(labels), len(d.Config.Labels)))
		}
		s.Labels = labels
	}
	if !slices.Contains(s.Labels, s.Positive) {
		s.SetPositive("")
	}
	for _, label := range t.Labels {
		if !slices.Contains(s.Labels, label) {
			return Spec{}, &LabelsError{d.Dir, s.Labels, t.Name, t.Labels}
		}
	}
	return s, nil
}
