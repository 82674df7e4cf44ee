package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// Run is what the folder of a run says, finished or not. Which fields it has depends on what was run.
type Run struct {
	Name    string        // what the page calls it
	Options []Option      // of recipe.json, in its order
	Events  *train.Events // nil: it was no training
	Spec    *task.Spec    // nil: no task
	Result  *task.SavedResult
	// Outcomes are those of Result; nil where the evaluation didn't keep them.
	Outcomes *task.Outcomes
	Pretrain *pretrain.Evaluation
	// TrainingSets are the instances that a pre-training trains on, by phase.
	TrainingSets []pretrain.TrainingSet
	GLUE         *glue.Summary
	// Tasks are those of GLUE whose folders are there, in the order of glue.Tasks.
	Tasks []GLUETask
	Sweep []sweep.Record // by the names of their folders
	// Notes are what a reader of the page should know of the files.
	Notes []string
}

// Option is a value of a recipe.
type Option struct{ Key, Value string }

// NoRunError says that a folder isn't that of a run.
type NoRunError struct{ Dir string }

func (e *NoRunError) Error() string {
	return fmt.Sprintf("%s: no run: want a folder with %s, %s, %s or the folders of a sweep", e.Dir, train.EventsFile, task.ResultsFile, glue.ResultsFile)
}

// maxRecipe bounds recipe.json.
const maxRecipe = 1 << 20

// Open reads the folder of a run: of a fine-tuning, an evaluation, a pre-training, a sweep or a run of GLUE. Files that aren't
// there are left out, as a run that is under way or was killed lacks some.
func Open(dir string) (*Run, error) {
	r := &Run{Name: filepath.Base(filepath.Clean(dir))}
	if r.Name == "." || r.Name == string(filepath.Separator) {
		if abs, err := filepath.Abs(dir); err == nil {
			r.Name = filepath.Base(abs)
		}
	}
	for _, read := range []func(string) error{r.readRecipe, r.readEvents, r.readSpec, r.readResult, r.readOutcomes, r.readTrainingSets, r.readGLUE, r.readSweep} {
		if err := read(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if r.Events == nil && r.Result == nil && r.Pretrain == nil && r.GLUE == nil && r.Sweep == nil {
		return nil, &NoRunError{dir}
	}
	return r, nil
}

func (r *Run) readRecipe(dir string) error {
	path := filepath.Join(dir, "recipe.json")
	content, err := files.ReadFile(path, maxRecipe)
	if err != nil {
		return err
	}
	err = jsonobject.Parse(content, func(key string, value json.RawMessage) error {
		text := string(value)
		var s string
		if json.Unmarshal(value, &s) == nil {
			text = s
		}
		r.Options = append(r.Options, Option{key, text})
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (r *Run) readEvents(dir string) (err error) {
	r.Events, err = train.ReadEvents(dir)
	return err
}

func (r *Run) readSpec(dir string) error {
	spec, err := task.LoadSpec(dir)
	if err == nil {
		r.Spec = &spec
	}
	return err
}

// readResult reads eval_results.json, which a fine-tuning and a pre-training have.
func (r *Run) readResult(dir string) error {
	if r.Spec == nil {
		p, err := pretrain.ReadEvaluation(dir)
		if err != nil {
			return err
		}
		if p.MaskedTokens > 0 {
			r.Pretrain = p
			return nil
		}
	}
	result, err := task.ReadResult(dir)
	if err == nil {
		r.Result = result
	}
	return err
}

// readOutcomes reads the outcomes, if they belong to the result beside them.
func (r *Run) readOutcomes(dir string) error {
	o, err := task.ReadOutcomes(dir)
	if err != nil {
		return err
	}
	if r.Result != nil {
		step, _ := r.Result.Metrics.Get("global_step")
		if loss, _ := r.Result.Metrics.Get("loss"); o.Loss != loss && finite(loss) || o.GlobalStep != int(step) || len(o.Examples) != r.Result.Examples {
			r.Notes = append(r.Notes, fmt.Sprintf("%s is of another evaluation than %s and was left out.", task.OutcomesFile, task.ResultsFile))
			return nil
		}
	}
	r.Outcomes = o
	return nil
}

func (r *Run) readTrainingSets(dir string) (err error) {
	r.TrainingSets, err = pretrain.ReadTrainingSets(dir)
	return err
}

func (r *Run) readGLUE(dir string) (err error) {
	if r.GLUE, err = glue.ReadSummary(dir); err != nil {
		return err
	}
	for _, name := range glue.Tasks() {
		t, err := readGLUETask(filepath.Join(dir, name), name)
		if err != nil {
			return err
		}
		if t != nil {
			r.Tasks = append(r.Tasks, *t)
		}
	}
	return nil
}

func (r *Run) readSweep(dir string) (err error) {
	r.Sweep, err = sweep.ReadRecords(dir)
	return err
}

// Against is what the axis along a training counts.
type Against uint8

// The axes.
const (
	Steps Against = iota
	Epochs
	Tokens
	Hours
)

var againstNames = [...]string{Steps: "step", Epochs: "epoch", Tokens: "tokens", Hours: "hours"}

// String is the title of the axis.
func (a Against) String() string {
	if int(a) < len(againstNames) {
		return againstNames[a]
	}
	return fmt.Sprintf("Against(%d)", a)
}

// ParseAgainst is the reverse of String.
func ParseAgainst(name string) (Against, error) {
	for i, n := range againstNames {
		if n == name {
			return Against(i), nil
		}
	}
	return 0, fmt.Errorf("axis %q: want %s", name, strings.Join(againstNames[:], ", "))
}

// Options say what a page of runs looks like. The zero value is good.
type Options struct {
	Title     string // "": of the names of the runs
	Generator string // names the program at the bottom
	Against   Against
	// Smoothing is the weight of the past in smoothed curves, up to MaxSmoothing; nil: 0.9.
	Smoothing     *float64
	Normalization Normalization
	Bins          metric.Binning // of calibration
	// Beside says that the page will be in the folder of the run, so that it can link to the pages of its parts.
	Beside bool
}

// MaxSmoothing is the largest Options.Smoothing.
const MaxSmoothing = 0.99

func (o *Options) smoothing() float64 {
	if o.Smoothing == nil {
		return 0.9
	}
	return max(0, min(MaxSmoothing, *o.Smoothing))
}

// drawings is what is drawn of runs, in the order of the page. Each gives nothing where the runs don't have its numbers.
var drawings = []struct {
	section string
	of      func(runs []*Run, o *Options) []*Figure
}{
	{"Benchmark", glueFigures},
	{"Benchmark", glueMultiples},
	{"Diagnostic set by category", diagnosticFigures},
	{"Settings", sweepFigures},
	{"Training", lossCurves},
	{"Training", metricCurves},
	{"Training", labelsOnTheWay},
	{"Training", rateCurves},
	{"Training", normCurves},
	{"Training", speedCurves},
	{"Training", timeFigures},
	{"Results", confusions},
	{"Results", classScores},
	{"Results", outcomeFigures},
	{"Masked words", breakdownFigures},
	{"Masked words", probeFigures},
	{"Instances", lengthFigures},
}

// New makes the page of one or several runs, whose curves are drawn over one another.
func New(runs []*Run, o Options) *Page {
	distinct(runs)
	p := &Page{Title: o.Title, Generator: o.Generator}
	if p.Title == "" {
		var names []string
		for _, r := range runs[:min(len(runs), 4)] {
			names = append(names, r.Name)
		}
		p.Title = strings.Join(names, ", ")
		if n := len(runs) - len(names); n > 0 {
			p.Title += fmt.Sprintf(" and %d more", n)
		}
	}
	p.Lead = lead(runs)
	side := Table{Columns: words("result")}
	for k, r := range runs {
		prefix := ""
		if len(runs) > 1 {
			prefix = r.Name + ": "
		}
		side.Columns = append(side.Columns, Column{Name: r.Name, Text: true})
		for _, f := range r.facts() {
			side.addFact(k, len(runs), f)
			f.Name = prefix + f.Name
			p.Facts = append(p.Facts, f)
		}
		for _, w := range r.warnings() {
			p.Warnings = append(p.Warnings, prefix+w)
		}
	}
	if len(runs) > 1 && len(p.Facts) > 0 {
		p.compared = []NamedTable{{"Results", side}}
	}
	for _, d := range drawings {
		figures := d.of(runs, &o)
		if len(figures) == 0 {
			continue
		}
		if n := len(p.Sections); n == 0 || p.Sections[n-1].Title != d.section {
			p.Sections = append(p.Sections, Section{Title: d.section})
		}
		s := &p.Sections[len(p.Sections)-1]
		s.Figures = append(s.Figures, figures...)
	}
	if s, ok := taskPages(runs, &o); ok {
		p.Sections = append(p.Sections, s)
	}
	p.Sections = append(p.Sections, worst(runs)...)
	if s, ok := settings(runs); ok {
		p.Sections = append(p.Sections, s)
	}
	uniqueNames(p.Figures())
	return p
}

// addFact adds a fact of run k of so many to a table with a row for each name.
func (t *Table) addFact(k, runs int, f Fact) {
	i := slices.IndexFunc(t.Rows, func(row []string) bool { return row[0] == f.Name })
	if i < 0 {
		i = len(t.Rows)
		t.Rows = append(t.Rows, append([]string{f.Name}, make([]string, runs)...))
	}
	value := f.Value
	if f.Interval != "" {
		value += " (" + f.Interval + ")"
	}
	t.Rows[i][1+k] = value
}

// distinct gives runs of one name numbers.
func distinct(runs []*Run) {
	seen := make(map[string]int)
	for _, r := range runs {
		seen[r.Name]++
		if n := seen[r.Name]; n > 1 {
			r.Name = fmt.Sprintf("%s (%d)", r.Name, n)
		}
	}
}

// uniqueNames gives figures of one name, which become files, numbers.
func uniqueNames(figures []*Figure) {
	seen := make(map[string]int)
	for _, f := range figures {
		seen[f.Name]++
		if n := seen[f.Name]; n > 1 {
			f.Name = fmt.Sprintf("%s-%d", f.Name, n)
		}
	}
}

// settings is the table of the runs' options.
func settings(runs []*Run) (Section, bool) {
	t := Table{Columns: words("option")}
	values := make(map[string][]string)
	for i, r := range runs {
		t.Columns = append(t.Columns, Column{Name: r.Name, Text: true})
		list := r.Options
		if r.Events != nil {
			seen := make(map[string]bool)
			for _, x := range list {
				seen[x.Key] = true
			}
			for _, key := range sortedKeys(r.Events.Options) {
				if !seen[key] {
					list = append(list, Option{key, r.Events.Options[key]})
				}
			}
		}
		for _, x := range list {
			if values[x.Key] == nil {
				values[x.Key] = make([]string, len(runs))
				t.Rows = append(t.Rows, []string{x.Key})
			}
			values[x.Key][i] = x.Value
		}
	}
	if len(t.Rows) == 0 {
		return Section{}, false
	}
	for i, row := range t.Rows {
		t.Rows[i] = append(row, values[row[0]]...)
	}
	return Section{Title: "Options", Tables: []NamedTable{{Title: "What the run did", Table: t}}}, true
}
