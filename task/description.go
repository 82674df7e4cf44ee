package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/tokenizer"
)

// DescriptionFile is the name of a model's Description in its directory, beside config.json.
const DescriptionFile = "task.json"

// Description says what a model was made for: what its labels are and how its texts become features, so that they are
// treated alike in training, evaluation and prediction.
type Description struct {
	Task   string   // the name of a Task
	Labels []string // by class id
	// Positive is the label that precision, recall and AUC are about; "" where there is no such one.
	Positive string

	// MaxSeqLength is the most tokens of a sequence, [CLS] and [SEP] included.
	MaxSeqLength int
	// Truncation says which text of a longer sequence gives up tokens. DoNotTruncate makes it an error.
	Truncation tokenizer.Truncation
	// TruncateLeft cuts the beginning of a text instead of its end.
	TruncateLeft bool

	Columns Columns // of the table that it was trained on

	// Metrics are those of the evaluation that the model was saved after.
	Metrics Metrics
}

// minSeqLength has room for [CLS], a token and [SEP].
const minSeqLength = 3

// describe is the description of a model directory that has no task.json.
func describe(c bert.Config, t *tokenizer.Tokenizer) Description {
	d := Description{Task: "text", Labels: c.Labels, MaxSeqLength: c.MaxPositionEmbeddings}
	if n := t.Config().ModelMaxLength; n >= minSeqLength && n < d.MaxSeqLength {
		d.MaxSeqLength = n
	}
	if len(d.Labels) == 2 {
		d.Positive = d.Labels[1]
	}
	return d
}

// Validate reports the first thing wrong with d.
func (d *Description) Validate() error {
	if d.Task == "" {
		return errors.New("task is empty")
	}
	if len(d.Labels) == 0 {
		return errors.New("labels is empty")
	}
	for i, l := range d.Labels {
		if l == "" {
			return fmt.Errorf("labels: number %d is empty", i+1)
		}
		if slices.Contains(d.Labels[:i], l) {
			return fmt.Errorf("labels: %s twice", quote(l))
		}
	}
	if d.Positive != "" && !slices.Contains(d.Labels, d.Positive) {
		return fmt.Errorf("positive_label %s is not one of %s", quote(d.Positive), quoteAll(d.Labels))
	}
	if d.MaxSeqLength < minSeqLength {
		return fmt.Errorf("max_seq_length is %d, want at least %d", d.MaxSeqLength, minSeqLength)
	}
	return nil
}

// checkModel reports whether d is this model's description.
func (d *Description) checkModel(c *bert.Config) error {
	if d.MaxSeqLength > c.MaxPositionEmbeddings {
		return fmt.Errorf("max_seq_length is %d, the model has %d positions", d.MaxSeqLength, c.MaxPositionEmbeddings)
	}
	if !slices.Equal(d.Labels, c.Labels) {
		return fmt.Errorf("the task's labels are %s, the model's %s", quoteAll(d.Labels), quoteAll(c.Labels))
	}
	return nil
}

// options are the tokenizer's for texts of this task.
func (d *Description) options() tokenizer.Options {
	return tokenizer.Options{MaxLength: d.MaxSeqLength, Truncation: d.Truncation, TruncateLeft: d.TruncateLeft}
}

// descriptionJSON is task.json.
type descriptionJSON struct {
	Task           string   `json:"task"`
	Labels         []string `json:"labels"`
	Positive       string   `json:"positive_label,omitempty"`
	MaxSeqLength   int      `json:"max_seq_length"`
	Truncation     string   `json:"truncation"`
	TruncationSide string   `json:"truncation_side"`
	Columns        Columns  `json:"columns,omitzero"`
	Metrics        Metrics  `json:"metrics,omitempty"`
}

// MarshalJSON writes the content of task.json.
func (d Description) MarshalJSON() ([]byte, error) {
	side := "right"
	if d.TruncateLeft {
		side = "left"
	}
	return encodeJSON(descriptionJSON{
		d.Task, d.Labels, d.Positive, d.MaxSeqLength, d.Truncation.String(), side, d.Columns, d.Metrics,
	})
}

// UnmarshalJSON reads the content of task.json. A key it doesn't know, one that stands there twice and a value that
// Validate refuses are errors.
func (d *Description) UnmarshalJSON(data []byte) error {
	j := descriptionJSON{Truncation: tokenizer.LongestFirst.String(), TruncationSide: "right"}
	fields := map[string]any{
		"task": &j.Task, "labels": &j.Labels, "positive_label": &j.Positive, "max_seq_length": &j.MaxSeqLength,
		"truncation": &j.Truncation, "truncation_side": &j.TruncationSide, "columns": &j.Columns, "metrics": &j.Metrics,
	}
	err := parseObject(data, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("key %s is not known", quote(key))
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
		TruncateLeft: j.TruncationSide == "left", Columns: j.Columns, Metrics: j.Metrics,
	}
	if out.Truncation, err = tokenizer.ParseTruncation(j.Truncation); err != nil {
		return err
	}
	if j.TruncationSide != "left" && j.TruncationSide != "right" {
		return fmt.Errorf("truncation_side is %s, want left or right", quote(j.TruncationSide))
	}
	if err := out.Validate(); err != nil {
		return err
	}
	*d = out
	return nil
}

func parseColumns(data []byte, c *Columns) error {
	fields := map[string]any{"text": &c.Text, "text_pair": &c.TextPair, "label": &c.Label, "no_header": &c.NoHeader}
	err := parseObject(data, func(key string, value json.RawMessage) error {
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("key %s is not known", quote(key))
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
	return fmt.Errorf("%s is %s, want %s", key, quote(string(value)), want)
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
		return d, pathError(err)
	}
	if err := d.UnmarshalJSON(bytes.TrimPrefix(data, utf8Mark)); err != nil {
		return d, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// writeJSON writes v, indented, to a file that is whole or not there.
func writeJSON(name string, v any) error {
	data, err := encodeJSON(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	err = atomicfile.WriteFile(name, 0o666, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
	return pathError(err)
}

// encodeJSON is json.Marshal without \u003c for <: whoever marshals what holds the value decides about that.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Metric is a named number.
type Metric struct {
	Name  string
	Value float64
}

// Metrics are numbers in the order in which people want to read them. In JSON they are an object that keeps the order,
// with null for a number that does not exist (NaN) or is infinite.
type Metrics []Metric

// Value is the number of a name, NaN if there is none.
func (m Metrics) Value(name string) float64 {
	for _, x := range m {
		if x.Name == name {
			return x.Value
		}
	}
	return math.NaN()
}

// MarshalJSON writes an object with a key for each metric, in order.
func (m Metrics) MarshalJSON() ([]byte, error) {
	return orderedObject(len(m), func(i int) (string, any) { return m[i].Name, finite(m[i].Value) })
}

// UnmarshalJSON reads an object of numbers and nulls, in order.
func (m *Metrics) UnmarshalJSON(data []byte) error {
	var out Metrics
	err := parseObject(data, func(key string, value json.RawMessage) error {
		x := Metric{Name: key, Value: math.NaN()}
		if string(value) != "null" {
			if err := json.Unmarshal(value, &x.Value); err != nil {
				return fmt.Errorf("%s is %s, want a number", key, quote(string(value)))
			}
		}
		out = append(out, x)
		return nil
	})
	if err == nil {
		*m = out
	}
	return err
}

// finite is v for JSON, which has no NaN and no infinity.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// orderedObject is a JSON object of n keys and values in their order.
func orderedObject(n int, at func(i int) (key string, value any)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		key, value := at(i)
		k, err := encodeJSON(key)
		if err != nil {
			return nil, err
		}
		v, err := encodeJSON(value)
		if err != nil {
			return nil, err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
