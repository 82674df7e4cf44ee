package metric

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
)

// Metric is a named number.
type Metric struct {
	Name  string
	Value float64
}

// Metrics are named numbers in the order in which people want to read them. In JSON they are an object that keeps the order,
// with null for NaN, which is a metric that has no value, and for an infinity.
type Metrics []Metric

// Get is the number of a name.
func (m Metrics) Get(name string) (value float64, ok bool) {
	for _, x := range m {
		if x.Name == name {
			return x.Value, true
		}
	}
	return 0, false
}

// Names lists the names in their order.
func (m Metrics) Names() []string {
	names := make([]string, len(m))
	for i, x := range m {
		names[i] = x.Name
	}
	return names
}

// MarshalJSON writes an object with a key for each metric, in order.
func (m Metrics) MarshalJSON() ([]byte, error) {
	return jsonobject.Marshal(len(m), func(i int) (string, any) { return m[i].Name, jsonobject.Number(m[i].Value) })
}

// UnmarshalJSON reads an object of numbers and nulls, in order. A name that occurs twice is an error.
func (m *Metrics) UnmarshalJSON(data []byte) error {
	var out Metrics
	err := jsonobject.Parse(data, func(key string, value json.RawMessage) error {
		x := Metric{Name: key, Value: math.NaN()}
		if string(value) != "null" {
			const longest = 1 << 10 // of a number
			if len(value) > longest || json.Unmarshal(value, &x.Value) != nil {
				return fmt.Errorf("%s is %s, want a number", message.Cut(key), message.Quote(string(value)))
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

// definition describes the metric of a name.
type definition struct {
	name, label string // label is what people call it; "": the name without its underscores
	less        bool   // less is better
}

// definitions has a row for each metric that needs one: those that are errors, and those that people call by another name.
var definitions = []definition{
	{name: "loss", less: true},
	{name: "eval_accuracy", label: "accuracy"},
	{name: "f1", label: "F1"},
	{name: "f1_score", label: "F1"},
	{name: "micro_f1", label: "micro F1"},
	{name: "macro_f1", label: "macro F1"},
	{name: "auc", label: "AUC"},
	{name: "matthews", label: "Matthews"},
	{name: "pearson", label: "Pearson"},
	{name: "spearman", label: "Spearman"},
	{name: "mean_squared_error", less: true},
	{name: "mean_absolute_error", less: true},
	{name: "log_loss", less: true},
	{name: "calibration_error", less: true},
	{name: "false_positives", less: true},
	{name: "false_negatives", less: true},
	{name: "masked_lm_accuracy", label: "masked LM accuracy"},
	{name: "masked_lm_loss", label: "masked LM loss", less: true},
	{name: "next_sentence_loss", less: true},
}

func define(name string) definition {
	i := slices.IndexFunc(definitions, func(d definition) bool { return d.name == name })
	if i < 0 {
		return definition{name: name}
	}
	return definitions[i]
}

// LessIsBetter reports whether the metric of a name is an error, of which the least is the best. Of a name that this package
// doesn't know, more is better.
func LessIsBetter(name string) bool { return define(name).less }

// Label is what people call the metric of a name: F1 for f1_score.
func Label(name string) string {
	if d := define(name); d.label != "" {
		return d.label
	}
	return strings.ReplaceAll(name, "_", " ")
}
