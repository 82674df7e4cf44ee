package sweep

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
)

// Record is run.json: what is known of a run, written anew at each evaluation and at its end.
type Record struct {
	Settings map[string]string `json:"settings"`
	Seed     uint64            `json:"seed"`
	// Flags is all that may change the result, by the names that bert's command line has for the keys.
	Flags  map[string]string `json:"flags,omitempty"`
	Metric string            `json:"metric,omitempty"`

	Evaluations []Evaluation `json:"evaluations"`

	Finished bool           `json:"finished"`
	Failed   string         `json:"failed,omitempty"`  // why the run ended without a result
	Stopped  bool           `json:"stopped,omitempty"` // by the median rule
	Value    *float64       `json:"value"`             // of Metric, of the run's model; null where there is none
	Metrics  metric.Metrics `json:"metrics,omitempty"`
}

// Evaluation is an evaluation during a run.
type Evaluation struct {
	Step  int      `json:"step"`
	Epoch float64  `json:"epoch"`
	Value *float64 `json:"value"`
}

// settingName is how files and folders write a key.
func settingName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// These keys change nothing in what a run finds.
var without = []string{"save_steps", "keep_checkpoints", "log_steps"}

// later are keys that run.json has only where they have a value other than the default: the records of older sweeps do not
// know them.
var later = []string{"micro_batch_size", "micro_batch_tokens", "warmup_steps", "adam_beta1", "adam_beta2", "adam_epsilon", "gelu", "encoding", "no_shuffle", "parts", "fast_reduce", "reduce_precision"}

// unset is how run.json writes the values of keys that are not set and whose default depends on the task, or is a word.
var unset = map[string]string{
	"train_batch_size": "32", "max_seq_length": "128", "class_weights": "none", "problem_type": task.SingleLabel.String(), "data_format": "auto",
}

// decisive is what of a recipe may change the result, as run.json has it.
func decisive(r finetune.Recipe) map[string]string {
	full, defaults := r.WithDefaults(), finetune.Recipe{}.WithDefaults()
	values := make(map[string]string)
	for _, key := range recipe.Keys(&full) {
		value, _ := recipe.Text(&full, key)
		if usual, _ := recipe.Text(&defaults, key); slices.Contains(without, key) || slices.Contains(later, key) && value == usual {
			continue
		}
		if text, ok := unset[key]; ok && isUnset(&full, key) {
			value = text
		}
		if kind, _ := recipe.KindOf(&full, key); kind == recipe.ListKind {
			value = "[" + value + "]"
		}
		values[settingName(key)] = value
	}
	return values
}

func isUnset(r *finetune.Recipe, key string) bool {
	value, _ := recipe.Text(r, key)
	return value == "" || value == "0"
}

// differs is the first name, by the alphabet, of what two records have different values of.
func (r *Record) differs(now *Record) (name, was, is string, differ bool) {
	names := maps.Clone(r.Flags)
	if names == nil {
		names = make(map[string]string)
	}
	maps.Copy(names, now.Flags)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was, is := r.Flags[name], now.Flags[name]; was != is {
			return name, was, is, true
		}
	}
	return "", "", "", false
}

// medianRuns is the number of ended runs that the median rule needs.
const medianRuns = 3

// worseThanMedian is the median stopping rule: the best of a run so far is worse than the median of the running means of
// the runs that went to their end, by a metric. How far a run is, is counted in epochs, since the steps of an epoch may differ.
func worseThanMedian(r *Run, runs []*Run, by string) bool {
	sign := 1.0
	if metric.LessIsBetter(by) {
		sign = -1
	}
	best, at := math.Inf(-1), 0.0
	for _, e := range r.record.Evaluations {
		if e.Value != nil {
			best = max(best, sign**e.Value)
		}
		at = e.Epoch
	}
	var means []float64
	for _, other := range runs {
		if !other.record.Finished || other.record.Stopped || other.record.Failed != "" {
			continue
		}
		sum, n := 0.0, 0
		for _, e := range other.record.Evaluations {
			if e.Value != nil && e.Epoch <= at+1e-9 {
				sum += sign * *e.Value
				n++
			}
		}
		if n > 0 {
			means = append(means, sum/float64(n))
		}
	}
	return len(means) >= medianRuns && best < median(means)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// existing is nil for a number that JSON has not.
func existing(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
