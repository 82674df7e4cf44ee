package task

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-bert/bert/data"
)

// Task is a row of the table of tasks: all that distinguishes one task from the others of its Kind. A new task is one new row, or
// a Task that a program fills in.
type Task struct {
	Name  string
	About string // one line, for a list of the tasks
	Kind  Kind
	// Kinds are others that SetKind may choose instead.
	Kinds []Kind
	// Unanswerable says that a question may have no answer in its context.
	Unanswerable bool

	// Labels are the names of the classes in the order of their ids; nil: whatever the training data has.
	Labels []string
	// Positive is the label that precision, recall and AUC of a two-class task are about; "": the second.
	Positive string
	// Metrics are the official figures by their names in Result.Metrics, the main one first; nil: those of the Kind.
	Metrics []string
	// EvalSplit is the part of the data that is evaluated on by default.
	EvalSplit data.Split

	// Layout says where the parts of the data set are and how they are read.
	data.Layout
}

// EvalSplits lists the parts of the task's data to evaluate on: two of mnli, for others EvalSplit alone.
func (t *Task) EvalSplits() []data.Split {
	if _, ok := t.Tables[data.DevMismatched]; ok {
		return []data.Split{data.DevMatched, data.DevMismatched}
	}
	return []data.Split{t.EvalSplit}
}

// Read reads a part of the task's data set from path: a folder or an archive as the task has it, or a table. An error
// names the file and the line. Data without an example is an error, and so is a label that is not one of the task's, unless
// o.SkipBad leaves such records out.
func (t *Task) Read(ctx context.Context, path string, o data.ReadOptions) (*data.Set, error) {
	if o.Split == "" {
		o.Split = data.Train
	}
	o.MultiLabel = t.Kind == MultiLabel
	set, err := t.Layout.Read(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if t.Labels != nil && t.ReadPart == nil && t.Kind.info().labels > 0 && !o.Unlabelled && !t.Unlabelled(o.Split) {
		if err := set.CheckLabels(t.Labels, o.SkipBad); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// SetKind chooses the kind of a task that has several.
func (t *Task) SetKind(k Kind) error {
	if k != t.Kind && !slices.Contains(t.Kinds, k) {
		return fmt.Errorf("task %s is a %v, not a %v", t.Name, t.Kind, k)
	}
	t.Kind = k
	return nil
}

// Spec is the Spec of a model for this task, for texts of at most maxSeqLength tokens. labels are those of
// the training data, for a task that has none of its own.
func (t *Task) Spec(labels []string, maxSeqLength int) Spec {
	d := Spec{Task: t.Name, Kind: t.Kind, Labels: t.Labels, MaxSeqLength: maxSeqLength, Official: t.Metrics, Unanswerable: t.Unanswerable}
	switch {
	case t.Kind.info().labels == 0:
		d.Labels = nil
	case d.Labels == nil && t.Kind == Regression:
		d.Labels = []string{regressionLabel}
	case d.Labels == nil && t.Kind == TokenClassification:
		d.Labels = tagLabels(labels)
	case d.Labels == nil:
		d.Labels = labels
	}
	d.SetPositive(t.Positive)
	return d
}

// HasLabels reports whether the labels of a model for this task are those of its training data.
func (t *Task) HasLabels() bool {
	return t.Labels == nil && t.Kind != Regression && t.Kind.info().labels > 0
}
