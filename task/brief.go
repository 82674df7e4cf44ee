package task

import (
	"encoding/json"
	"fmt"

	"github.com/go-bert/bert/metric"
)

// Brief is what an evaluation during a training records beside its metrics, in its line of events.jsonl (train.Evaluation.Details):
// few numbers, so that a run may have many evaluations.
type Brief struct {
	// Labels are those of the task, or the types of its entities: at most 20.
	Labels []string `json:"labels,omitempty"`
	// Confusion [label][prediction] is that of a task that gives each example one label. Else F1 has the score of each label.
	Confusion metric.ConfusionMatrix `json:"confusion_matrix,omitempty"`
	F1        []float64              `json:"f1,omitempty"`
}

// LabelF1 is the F1 of each label.
func (b *Brief) LabelF1() []float64 {
	if b.Confusion == nil {
		return b.F1
	}
	f1 := make([]float64, len(b.Labels))
	for k := range f1 {
		f1[k] = b.Confusion.Binary(k).F1()
	}
	return f1
}

// briefLabels is the number of labels up to which there is a Brief.
const briefLabels = 20

// Brief is nil where there is nothing to record.
func (r *Result) Brief() *Brief {
	var (
		b      Brief
		scores []metric.Score
	)
	switch c := r.Report.(type) {
	case *ClassReport:
		b.Labels, b.Confusion = c.Labels, c.Confusion
	case *MultiLabelReport:
		b.Labels, scores = c.Labels, c.Scores.Classes
	case *EntityReport:
		b.Labels, scores = c.Types, c.EntityReport.Types
	}
	if len(b.Labels) == 0 || len(b.Labels) > briefLabels {
		return nil
	}
	for _, s := range scores {
		b.F1 = append(b.F1, s.F1)
	}
	return &b
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
	if n := len(b.Labels); n > briefLabels || len(b.Confusion) != n && len(b.F1) != n || len(b.Confusion) > 0 && len(b.F1) > 0 {
		return nil, fmt.Errorf("details: %d rows and %d scores for %d labels, want as many of one of them, at most %d", len(b.Confusion), len(b.F1), n, briefLabels)
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
