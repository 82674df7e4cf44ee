package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// DescriptionFile is the name of a model's Description in its directory, beside config.json.
const DescriptionFile = "task.json"

// Description says what a model was made for: what its labels are and how its texts become features, so that they are
// treated alike in training, evaluation and prediction.
type Description struct {
	Task   string   // the name of a Task
	Kind   Kind     // of the task
	Labels []string // by class id; of a regression one, the name of the number; none where the answers are no labels
	// Positive is the label that precision, recall and AUC are about; "" where there is no such one.
	Positive string

	// MaxSeqLength is the most tokens of a sequence, [CLS] and [SEP] included.
	MaxSeqLength int
	// Truncation says which text of a longer sequence gives up tokens. DoNotTruncate makes it an error.
	Truncation tokenizer.Truncation
	// TruncateLeft cuts the beginning of a text instead of its end.
	TruncateLeft bool
	// Long says what becomes of a text that is longer, of a kind of task that has a choice.
	Long LongText
	// DocStride is the number of tokens from one window to the next, as in google-research/bert run_squad.py; 0: half of a
	// window.
	DocStride int

	// Unanswerable says that a question may have no answer in its context. It has none where the score of that is above the
	// best answer's by more than NullThreshold.
	Unanswerable  bool
	NullThreshold float64

	Columns data.Columns // of the table that it was trained on

	// Official are the names of the metrics to judge the task by, the main one first; nil: those of its Kind.
	Official []string
	// Metrics are those of the evaluation that the model was saved after.
	Metrics metric.Metrics
}

// minSeqLength has room for [CLS], a token and [SEP].
const minSeqLength = 3

// describe is the description of a model directory that has no task.json.
func describe(head bert.Head, c bert.Config, t *tokenizer.Tokenizer) (Description, error) {
	kind, err := KindOf(head, &c)
	if err != nil {
		return Description{}, err
	}
	d := Description{Task: "text", Kind: kind, MaxSeqLength: c.MaxPositionEmbeddings}
	if kinds[kind].labels > 0 {
		d.Labels = c.Labels
	}
	if n := t.Config().ModelMaxLength; n >= minSeqLength && n < d.MaxSeqLength {
		d.MaxSeqLength = n
	}
	d.SetPositive("")
	return d, nil
}

// SetPositive makes a label the one that precision, recall and AUC are about; "" is the second of two, if that is what
// there is.
func (d *Description) SetPositive(label string) {
	if label == "" && d.Kind == SingleLabel && len(d.Labels) == 2 {
		label = d.Labels[1]
	}
	d.Positive = label
}

// GlobalStep is the training step of the model, by its metrics; 0 where it was not trained here.
func (d *Description) GlobalStep() int {
	if v, ok := d.Metrics.Get("global_step"); ok && v > 0 { // false of NaN
		return int(v)
	}
	return 0
}

// official are the metrics to judge the task by.
func (d *Description) official() []string {
	if d.Official != nil {
		return d.Official
	}
	return kinds[d.Kind].metrics
}

// MetricNames are the metrics that an evaluation will have, and the official ones, the main one first.
func (d *Description) MetricNames() (all, official []string) {
	r := Result{Report: kinds[d.Kind].codec.empty(d)}
	for _, m := range r.Metrics() {
		if m.Name != "global_step" {
			all = append(all, m.Name)
		}
	}
	return all, d.official()
}

// Validate reports the first thing wrong with d.
func (d *Description) Validate() error {
	if d.Task == "" {
		return errors.New("task is empty")
	}
	if int(d.Kind) >= len(kinds) || kinds[d.Kind].codec == nil {
		return fmt.Errorf("there is no %v", d.Kind)
	}
	switch k := &kinds[d.Kind]; {
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
	for i, l := range d.Labels {
		if l == "" {
			return fmt.Errorf("labels: number %d is empty", i+1)
		}
		if slices.Contains(d.Labels[:i], l) {
			return fmt.Errorf("labels: %s twice", message.Quote(l))
		}
	}
	if d.Positive != "" && !slices.Contains(d.Labels, d.Positive) {
		return fmt.Errorf("positive_label %s is not one of %s", message.Quote(d.Positive), message.QuoteAll(d.Labels))
	}
	if d.MaxSeqLength < minSeqLength {
		return fmt.Errorf("max_seq_length is %d, want at least %d", d.MaxSeqLength, minSeqLength)
	}
	return nil
}

// checkModel reports whether d is this model's description.
func (d *Description) checkModel(head bert.Head, c *bert.Config) error {
	switch kind, err := KindOf(head, c); {
	case err != nil:
		return err
	case kind != d.Kind:
		return fmt.Errorf("the model is for %v, the task is a %v", kind, d.Kind)
	}
	if d.MaxSeqLength > c.MaxPositionEmbeddings {
		return fmt.Errorf("max_seq_length is %d, the model has %d positions", d.MaxSeqLength, c.MaxPositionEmbeddings)
	}
	if kinds[d.Kind].labels > 0 && !slices.Equal(d.Labels, c.Labels) {
		return fmt.Errorf("the task's labels are %s, the model's %s", message.QuoteAll(d.Labels), message.QuoteAll(c.Labels))
	}
	return nil
}

// options are the tokenizer's for texts of this task.
func (d *Description) options() tokenizer.Options {
	return tokenizer.Options{MaxLength: d.MaxSeqLength, Truncation: d.Truncation, TruncateLeft: d.TruncateLeft}
}

// descriptionJSON is task.json.
type descriptionJSON struct {
	Task           string         `json:"task"`
	Kind           string         `json:"kind"`
	Labels         []string       `json:"labels,omitempty"`
	Positive       string         `json:"positive_label,omitempty"`
	MaxSeqLength   int            `json:"max_seq_length"`
	Truncation     string         `json:"truncation"`
	TruncationSide string         `json:"truncation_side"`
	Long           string         `json:"long_text,omitempty"`
	DocStride      int            `json:"doc_stride,omitempty"`
	Unanswerable   bool           `json:"version_2_with_negative,omitempty"`
	NullThreshold  float64        `json:"null_score_diff_threshold,omitempty"`
	Columns        data.Columns   `json:"columns,omitzero"`
	Official       []string       `json:"official_metrics,omitempty"`
	Metrics        metric.Metrics `json:"metrics,omitempty"`
}

// MarshalJSON writes the content of task.json.
func (d Description) MarshalJSON() ([]byte, error) {
	side := "right"
	if d.TruncateLeft {
		side = "left"
	}
	long := ""
	if d.Long != TruncateLong {
		long = d.Long.String()
	}
	return jsonobject.Value(descriptionJSON{
		Task: d.Task, Kind: d.Kind.String(), Labels: d.Labels, Positive: d.Positive, MaxSeqLength: d.MaxSeqLength,
		Truncation: d.Truncation.String(), TruncationSide: side, Long: long, DocStride: d.DocStride,
		Unanswerable: d.Unanswerable, NullThreshold: d.NullThreshold,
		Columns: d.Columns, Official: d.Official, Metrics: d.Metrics,
	})
}

// UnmarshalJSON reads the content of task.json. A key it doesn't know, one that stands there twice and a value that
// Validate refuses are errors.
func (d *Description) UnmarshalJSON(data []byte) error {
	j := descriptionJSON{
		Kind: SingleLabel.String(), Truncation: tokenizer.LongestFirst.String(), TruncationSide: "right", Long: TruncateLong.String(),
	}
	fields := map[string]any{
		"task": &j.Task, "kind": &j.Kind, "labels": &j.Labels, "positive_label": &j.Positive, "max_seq_length": &j.MaxSeqLength,
		"truncation": &j.Truncation, "truncation_side": &j.TruncationSide, "long_text": &j.Long, "doc_stride": &j.DocStride,
		"version_2_with_negative": &j.Unanswerable, "null_score_diff_threshold": &j.NullThreshold,
		"columns": &j.Columns, "official_metrics": &j.Official, "metrics": &j.Metrics,
	}
	err := jsonobject.Parse(data, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("key %s is not known", message.Quote(key))
		}
		if key == "columns" {
			return parseColumns(value, &j.Columns)
		}
		return parseField(key, value, field)
	})
	if err != nil {
		return err
	}
	out := Description{
		Task: j.Task, Labels: j.Labels, Positive: j.Positive, MaxSeqLength: j.MaxSeqLength,
		TruncateLeft: j.TruncationSide == "left", DocStride: j.DocStride, Unanswerable: j.Unanswerable, NullThreshold: j.NullThreshold,
		Columns: j.Columns, Official: j.Official, Metrics: j.Metrics,
	}
	if out.Kind, err = ParseKind(j.Kind); err != nil {
		return err
	}
	if out.Long, err = ParseLongText(j.Long); err != nil {
		return err
	}
	if out.Truncation, err = tokenizer.ParseTruncation(j.Truncation); err != nil {
		return err
	}
	if j.TruncationSide != "left" && j.TruncationSide != "right" {
		return fmt.Errorf("truncation_side is %s, want left or right", message.Quote(j.TruncationSide))
	}
	if err := out.Validate(); err != nil {
		return err
	}
	*d = out
	return nil
}

func parseColumns(content []byte, c *data.Columns) error {
	fields := map[string]any{"text": &c.Text, "text_pair": &c.TextPair, "label": &c.Label, "no_header": &c.NoHeader}
	err := jsonobject.Parse(content, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("key %s is not known", message.Quote(key))
		}
		return parseField(key, value, field)
	})
	if err != nil {
		return fmt.Errorf("columns: %w", err)
	}
	return nil
}

// parseField reads a value into field, a pointer.
func parseField(key string, value json.RawMessage, field any) error {
	err := json.Unmarshal(value, field)
	if err == nil {
		return nil
	}
	want := ""
	switch field.(type) {
	case *string:
		want = "a string"
	case *int:
		want = "a whole number"
	case *bool:
		want = "true or false"
	case *[]string:
		want = "a list of strings"
	default:
		return fmt.Errorf("%s: %w", key, err) // a type with an UnmarshalJSON, which says it
	}
	return fmt.Errorf("%s is %s, want %s", key, message.Quote(string(value)), want)
}

// Save writes task.json into a model directory; the file is whole or not there.
func (d *Description) Save(dir string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, DescriptionFile), d)
}

// LoadDescription reads task.json from a model directory. Where there is none the error is an fs.ErrNotExist.
func LoadDescription(dir string) (Description, error) {
	var d Description
	name := filepath.Join(dir, DescriptionFile)
	data, err := os.ReadFile(name)
	if err != nil {
		return d, textfile.PathError(err)
	}
	if err := d.UnmarshalJSON(textfile.TrimMark(data)); err != nil {
		return d, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// writeJSON writes v, indented, to a file that is whole or not there.
func writeJSON(name string, v any) error {
	data, err := jsonobject.Value(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	return saveFile(name, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}

// saveFile writes a file that is whole or not there.
func saveFile(name string, write func(io.Writer) error) error {
	return textfile.PathError(atomicfile.WriteFile(name, 0o666, write))
}

// finite32 is finite with as many digits as float32 has.
func finite32(v float64) any {
	return jsonobject.Number(float32(v))
}
