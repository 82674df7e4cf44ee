// Package task takes BERT to its uses, both ways: from examples to the features that a model reads, and from a model's
// logits to the answer. It reads data sets, builds Datasets from them, evaluates, predicts, fills masks and encodes.
//
// For a service, Open gives a Predictor from a model directory:
//
//	p, err := task.Open("model", task.Options{})
//	…
//	predictions, err := p.Predict(ctx, task.Texts("A joy from start to finish."))
//
// For training, a Task reads examples, NewDataset turns them into features, and Evaluate measures a model on them.
package task

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Split names a part of a data set.
type Split string

// The parts that data sets have. Not each has all.
const (
	Train        Split = "train"
	Dev          Split = "dev"
	Test         Split = "test"
	Unsupervised Split = "unsup" // IMDB's 50,000 reviews without a label

	// MNLI's are of the genres of its training part, or of others.
	DevMatched     Split = "dev_matched"
	DevMismatched  Split = "dev_mismatched"
	TestMatched    Split = "test_matched"
	TestMismatched Split = "test_mismatched"
)

// Task is a row of the table of tasks: all that sets one task apart from the others of its Kind. A new one is one new row.
type Task struct {
	Name  string
	About string // one line, for a list of the tasks
	Kind  Kind
	// unanswerable says that a context may have no answer.
	unanswerable bool
	kinds        []Kind // that SetKind may choose instead

	// Labels are the names of the classes in the order of their ids; nil: whatever the training data has.
	Labels []string
	// Positive is the label that precision, recall and AUC of a two-class task are about; "": the second.
	Positive string
	// Metrics are the official figures by their names in Result.Metrics, the main one first; nil: those of the Kind.
	Metrics []string
	// EvalSplit is the part that an evaluation reads when none is asked for.
	EvalSplit Split

	// Tables are the tables that a folder of the data set holds. A task that has neither Tables nor read takes the path
	// of a single table.
	Tables map[Split]Table

	// read reads what is no table.
	read func(path string, split Split) ([]Example, error)
	// archive says that a single file holds all parts.
	archive bool

	glue *glueLayout // of a task of GLUE
}

// Table is a table of a data set and how it is read.
type Table struct {
	File string
	// Layouts are other ways in which the same part is found, tried in their order where File isn't there.
	Layouts []Table
	TableOptions

	// read reads the table where it takes more than ReadTable.
	read func(path string, o TableOptions) (*Data, error)
}

// tasks is the table of tasks: these, and those of the benchmarks that have files of their own.
var tasks = slices.Concat([]Task{
	{
		Name:   "imdb",
		About:  "film reviews, positive or negative (Maas et al. 2011): the folder aclImdb or its .tar.gz",
		Labels: []string{"neg", "pos"}, EvalSplit: Test,
		read: ReadIMDB, archive: true,
	},
	{
		Name:  "text",
		About: "texts or pairs of texts with a label, several labels or a number: a CSV, TSV or JSONL file",
		kinds: []Kind{MultiLabel, Regression},
	},
	{
		Name: "squad", Kind: QuestionAnswering, EvalSplit: Dev,
		About: "SQuAD 1.1, questions to a context (Rajpurkar et al. 2016): a JSON file, or the folder of train-v1.1.json and dev-v1.1.json",
		read:  squadReader(SQuAD1),
	},
	{
		Name: "squad2", Kind: QuestionAnswering, EvalSplit: Dev, unanswerable: true,
		About: "SQuAD 2.0, where some questions have no answer: a JSON file, or the folder of train-v2.0.json and dev-v2.0.json",
		read:  squadReader(SQuAD2),
	},
}, glueTasks, nerTasks, swagTasks)

// Lookup finds the task of a name.
func Lookup(name string) (*Task, error) {
	i := slices.IndexFunc(tasks, func(t Task) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("task %q is not known: want %s", name, strings.Join(Names(), ", "))
	}
	t := tasks[i] // a copy: the table is not the caller's to change
	t.Labels, t.Metrics = slices.Clone(t.Labels), slices.Clone(t.Metrics)
	return &t, nil
}

// Names lists the tasks that Lookup knows.
func Names() []string {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = t.Name
	}
	return names
}

// ReadOptions say which part of a data set Task.Read reads, and how.
type ReadOptions struct {
	Split Split // "": Train
	// Format, Columns, Unlabelled and SkipBad are for tables; zero values leave what the task's own row says.
	TableOptions
}

// Data is what Task.Read found.
type Data struct {
	Examples []Example
	// Skipped counts the bad records that TableOptions.SkipBad left out; FirstSkipped says what was wrong with the first.
	Skipped      int
	FirstSkipped error
}

// Read reads a part of the task's data set from path: a folder or an archive as the task has it, or a table. An error
// names the file and the line. Data without an example is an error, and so is a label that is not one of the task's.
func (t *Task) Read(path string, o ReadOptions) (*Data, error) {
	if o.Split == "" {
		o.Split = Train
	}
	if t.read != nil {
		if o.Columns != (Columns{}) || o.Format != ByExtension {
			return nil, fmt.Errorf("task %s is no table: it has neither columns nor a format to choose", t.Name)
		}
		examples, err := t.read(path, o.Split)
		if err != nil {
			return nil, err
		}
		return &Data{Examples: examples}, nil
	}
	table, err := t.table(path, o)
	if err != nil {
		return nil, err
	}
	read := ReadTable
	if table.read != nil {
		read = table.read
	}
	data, err := read(table.File, table.TableOptions)
	if err != nil {
		return nil, err
	}
	if t.Labels != nil && kinds[t.Kind].labels > 0 && !table.Unlabelled {
		if err := CheckLabels(data.Examples, t.Labels); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// OnePart says that path is a file that holds one part of the data alone, whichever is asked for: what is trained on is then
// not to be evaluated on.
func (t *Task) OnePart(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && !t.archive
}

// table is the table that holds a split, one of the folder path or path itself, and how to read it.
func (t *Task) table(path string, o ReadOptions) (Table, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Table{}, pathError(err)
	}
	table, ok := t.Tables[o.Split]
	switch {
	case t.Tables == nil && info.IsDir():
		return Table{}, fmt.Errorf("%s: a folder, want a CSV, TSV or JSONL file", path)
	case t.Tables != nil && !ok:
		return Table{}, fmt.Errorf("%s: task %s has no split %q, want one of %s", path, t.Name, o.Split, joined(t.Splits()))
	case info.IsDir():
		table = table.in(path)
	default:
		table.File = path
	}
	if o.Format != ByExtension {
		table.Format = o.Format
	}
	if o.Columns != (Columns{}) {
		table.Columns = o.Columns
	}
	table.MultiLabel = t.Kind == MultiLabel
	table.Unlabelled = table.Unlabelled || o.Unlabelled
	table.SkipBad = table.SkipBad || o.SkipBad
	return table, nil
}

// Splits lists the parts that the task has tables of.
func (t *Task) Splits() []Split { return sortedSplits(t.Tables) }

func sortedSplits[T any](parts map[Split]T) []Split { return slices.Sorted(maps.Keys(parts)) }

func joined(splits []Split) string {
	var names []string
	for _, split := range splits {
		names = append(names, string(split))
	}
	return strings.Join(names, ", ")
}

// in is the table in a folder: the first of its layouts that is there, or else the table itself.
func (t Table) in(dir string) Table {
	for _, layout := range append([]Table{t}, t.Layouts...) {
		layout.File = filepath.Join(dir, layout.File)
		if _, err := os.Stat(layout.File); err == nil {
			return layout
		}
	}
	t.File = filepath.Join(dir, t.File)
	return t
}

// SetKind says what the answers are, of a task that leaves it open.
func (t *Task) SetKind(k Kind) error {
	if k != t.Kind && !slices.Contains(t.kinds, k) {
		return fmt.Errorf("task %s is a %v, not a %v", t.Name, t.Kind, k)
	}
	t.Kind = k
	return nil
}

// Describe is the description of a model for this task, for texts of at most maxSeqLength tokens. labels are those of
// the training data, for a task that has none of its own.
func (t *Task) Describe(labels []string, maxSeqLength int) Description {
	d := Description{Task: t.Name, Kind: t.Kind, Labels: t.Labels, MaxSeqLength: maxSeqLength, Official: t.Metrics, Unanswerable: t.unanswerable}
	switch {
	case kinds[t.Kind].labels == 0:
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

// HasLabels says that the labels of a model for this task are those of its training data.
func (t *Task) HasLabels() bool {
	return t.Labels == nil && t.Kind != Regression && kinds[t.Kind].labels > 0
}
