package task

import (
	"encoding/json"
	"fmt"

	"github.com/go-bert/bert/metric"
)

// Brief is what an evaluation during a training records beside its metrics, in its line of events.jsonl (train.Evaluation.Details):
// few numbers, so that a run may have many evaluations.
type Brief struct {
	// Labels and Confusion [label][prediction] are those of a task that gives each example one label of at most 20.
	Labels    []string               `json:"labels,omitempty"`
	Confusion metric.ConfusionMatrix `json:"confusion_matrix,omitempty"`
}

// briefLabels is the number of labels up to which a Brief has a confusion matrix.
const briefLabels = 20

// Brief is nil where there is nothing to record.
func (r *Result) Brief() *Brief {
	c, ok := r.Report.(*ClassReport)
	if !ok || len(c.Labels) > briefLabels {
		return nil
	}
	return &Brief{c.Labels, c.Confusion}
}

// ParseBrief reads a Brief from a line of events.jsonl. It is empty where the line has none.
func ParseBrief(text json.RawMessage) (*Brief, error) {
	b := new(Brief)
	if len(text) == 0 {
		return b, nil
	}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, fmt.Errorf("details: %w", err)
	}
	if len(b.Labels) > briefLabels || len(b.Confusion) != len(b.Labels) {
		return nil, fmt.Errorf("details: a confusion matrix of %d rows for %d labels, want as many, at most %d", len(b.Confusion), len(b.Labels), briefLabels)
	}
	for _, row := range b.Confusion {
		if len(row) != len(b.Labels) {
			return nil, fmt.Errorf("details: a row of %d in a confusion matrix of %d labels", len(row), len(b.Labels))
		}
		for _, n := range row {
			if n < 0 {
				return nil, fmt.Errorf("details: %d in a confusion matrix", n)
			}
		}
	}
	return b, nil
}
