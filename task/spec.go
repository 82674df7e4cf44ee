package task

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// SpecFile is the name of a model's Spec in its directory, beside config.json.
const SpecFile = "task.json"

// Spec says what a model was made for: what its labels are and how its texts become features, so that they are
// treated alike in training, evaluation and prediction.
type Spec struct {
	Task   string   // the name of a Task
	Kind   Kind     // of the task
	Labels []string // by class id; of a regression one, the name of the number; none where the answers are no labels
	// Positive is the label that precision, recall and AUC are about; "" where there is none.
	Positive string

	// MaxSeqLength is the most tokens of a sequence, [CLS] and [SEP] included.
	MaxSeqLength int
	// Truncation says which text of a longer sequence gives up tokens. DoNotTruncate makes it an error.
	Truncation tokenizer.Truncation
	// TruncateLeft cuts the beginning of a text instead of its end.
	TruncateLeft bool
	// Long says how longer texts are treated, by the kinds that have a choice.
	Long LongText
	// DocStride is the number of tokens from one window to the next, as in google-research/bert run_squad.py; 0: half of a
	// window.
	DocStride int

	// Unanswerable says that a question may have no answer in its context. It has none where the score of that is above the
	// best answer's by more than NullThreshold.
	Unanswerable  bool
	NullThreshold float64

	// Activation is what a regression with one value passes it through: that of a cross-encoder of sentence-transformers. It comes
	// from the model's configuration; a model that has a task.json is none.
	Activation sentence.Activation

	Columns data.Columns // of the table that it was trained on

	// Official are the names of the metrics to judge the task by, the main one first; nil: those of its Kind.
	Official []string
	// Metrics are those of the evaluation that the model was saved after.
	Metrics metric.Metrics
}

// maxSpecFile bounds task.json, maxLabels the labels in it.
const (
	maxSpecFile = 4 << 20
	maxLabels   = 1 << 16
)

// minSeqLength has room for [CLS], a token and [SEP].
const minSeqLength = 3

// SetPositive makes a label the one that precision, recall and AUC are about; "" is the second label of
// two, and none of more.
func (d *Spec) SetPositive(label string) {
	if label == "" && d.Kind == SingleLabel && len(d.Labels) == 2 {
		label = d.Labels[1]
	}
	d.Positive = label
}

// GlobalStep is the training step that Metrics give; 0 where they give none.
func (d *Spec) GlobalStep() int {
	if v, ok := d.Metrics.Get("global_step"); ok && v > 0 { // false of NaN
		return int(v)
	}
	return 0
}

// options are the tokenizer's for texts of this task.
func (d *Spec) options() tokenizer.Options {
	return tokenizer.Options{MaxLength: d.MaxSeqLength, Truncation: d.Truncation, TruncateLeft: d.TruncateLeft}
}

// step is the number of tokens from one window to the next: DocStride, or half of a window.
func (d *Spec) step() int {
	if d.DocStride > 0 {
		return d.DocStride
	}
	return max(1, (d.MaxSeqLength-2)/2)
}

// specJSON is task.json.
type specJSON struct {
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
func (d Spec) MarshalJSON() ([]byte, error) {
	side := "right"
	if d.TruncateLeft {
		side = "left"
	}
	long := ""
	if d.Long != TruncateLong {
		long = d.Long.String()
	}
	return jsonobject.Value(specJSON{
		Task: d.Task, Kind: d.Kind.String(), Labels: d.Labels, Positive: d.Positive, MaxSeqLength: d.MaxSeqLength,
		Truncation: d.Truncation.String(), TruncationSide: side, Long: long, DocStride: d.DocStride,
		Unanswerable: d.Unanswerable, NullThreshold: d.NullThreshold,
		Columns: d.Columns, Official: d.Official, Metrics: d.Metrics,
	})
}

// UnmarshalJSON reads the content of task.json. An unknown key, a key that occurs twice and a value that Validate refuses are
// errors.
func (d *Spec) UnmarshalJSON(data []byte) error {
	j := specJSON{
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
		return jsonobject.Field(key, value, field)
	})
	if err != nil {
		return err
	}
	out := Spec{
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
		return jsonobject.Field(key, value, field)
	})
	if err != nil {
		return fmt.Errorf("columns: %w", err)
	}
	return nil
}

// Save writes task.json into a model directory; the file is whole or not there.
func (d *Spec) Save(dir string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return jsonobject.Save(filepath.Join(dir, SpecFile), d)
}

// LoadSpec reads task.json from a model directory. Where there is none the error is an fs.ErrNotExist.
func LoadSpec(dir string) (Spec, error) {
	var d Spec
	name := filepath.Join(dir, SpecFile)
	data, err := files.ReadFile(name, maxSpecFile)
	if err != nil {
		return d, err
	}
	if err := d.UnmarshalJSON(textfile.TrimMark(data)); err != nil {
		return d, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}
