// Package finetune fine-tunes a model on labelled data (Devlin et al. 2018, §3.2 and §4), from files to a model directory.
//
// A [Recipe] says what a run does and can be written as JSON. Recipe.Prepare reads the data and the model and makes a [Job];
// Job.Run trains, evaluates and writes the model directory:
//
//	r := finetune.Recipe{
//		Data:     finetune.Data{Task: "text", Path: "train.tsv", EvalPath: "dev.tsv"},
//		Model:    finetune.Model{Dir: "bert-base-uncased"},
//		Training: finetune.Training{LearningRate: 3e-5, Epochs: 3},
//	}
//	job, err := r.Prepare(ctx, finetune.Options{Output: "my-model"})
//	…
//	defer job.Close()
//	result, err := job.Run(ctx, train.Lines(os.Stderr))
//
// [NewJob] makes a job from a model and data that are in memory already. Packages sweep and glue make many runs of a recipe.
//
// A run is a function of its recipe and the files that this names: it gives the same bits on any number of threads, and when
// it was interrupted and resumed.
package finetune

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// Recipe is everything that decides the result of a run. In JSON it is one flat object; the keys are those of the fields of
// Data, Model and Training.
type Recipe struct {
	Data
	Model
	Training
}

// Training is the part of a Recipe that says how to train.
type Training = train.Recipe

// Data is the part of a Recipe that says what the model learns, and how texts become features.
type Data struct {
	Task string `json:"task,omitzero"` // a name of task.Names
	Path string `json:"data,omitzero"` // of the training data: a file, or the folder or archive of the task

	// EvalPath is the data to evaluate on; ValidationShare is instead of it a share of the training data, taken out at
	// random. Without either it is the part of the task's own data set that is for that, if Path has one.
	EvalPath        string  `json:"eval_data,omitzero"`
	ValidationShare float64 `json:"validation_share,omitzero"`

	// The columns of a table: names, or numbers from 1 where NoHeader says that the first line is data. "" is the default:
	// text, text_pair where there is one, label.
	TextColumn     string      `json:"text_column,omitzero"`
	TextPairColumn string      `json:"text_pair_column,omitzero"`
	LabelColumn    string      `json:"label_column,omitzero"`
	NoHeader       bool        `json:"no_header,omitzero"`
	Format         data.Format `json:"data_format,omitzero"`
	Encoding       string      `json:"encoding,omitzero"` // of the data; "": UTF-8. See data.CheckEncoding.
	SkipBad        bool        `json:"skip_bad,omitzero"` // leave bad records out instead of ending at the first

	// MaxTrainExamples and MaxEvalExamples are the numbers of examples drawn at random; 0: all.
	MaxTrainExamples int `json:"max_train_examples,omitzero"`
	MaxEvalExamples  int `json:"max_eval_examples,omitzero"`

	// ProblemType is the kind of a task that leaves it open; nil: the task's own.
	ProblemType *task.Kind `json:"problem_type,omitzero"`
	// Labels are the labels in the order of their ids; nil: the task's, or those in the data, sorted.
	Labels []string `json:"labels,omitzero"`
	// ClassWeights weighs the loss by label: none (or ""), balanced, or a number for each label between commas.
	ClassWeights string `json:"class_weights,omitzero"`

	// MaxSeqLength is the most tokens of a sequence, [CLS] and [SEP] included; 0: as many as are usual for the kind of task,
	// at most the model's positions.
	MaxSeqLength int                  `json:"max_seq_length,omitzero" zero:"at least 3: [CLS], a token and [SEP]"`
	Truncation   tokenizer.Truncation `json:"truncation,omitzero"`
	Long         task.LongText        `json:"long,omitzero"`
	DocStride    int                  `json:"doc_stride,omitzero"` // tokens from one window to the next; 0: half a window
	// NullThreshold is task.Spec.NullThreshold; nil: the best on the evaluation data.
	NullThreshold *float64 `json:"null_score_diff_threshold,omitzero" nil:"best"`
}

// Model is the part of a Recipe that says which model the run begins with: the one in Dir, with a new head on top where it has
// none for the task, or one with random weights for the configuration in Config.
type Model struct {
	Dir    string `json:"model,omitzero"`
	Config string `json:"config,omitzero"` // a config.json

	// Vocab is a vocabulary, one token a line, in place of the tokenizer in Dir. It is lower-cased unless Cased is set, and
	// read as google-research/bert does where Google is.
	Vocab  string `json:"vocab,omitzero"`
	Cased  bool   `json:"cased,omitzero"`
	Google bool   `json:"google,omitzero"`

	// AllowMissing is bert.Options.AllowMissing: tensors that Dir lacks begin with random values.
	AllowMissing bool `json:"allow_missing,omitzero"`
	// GELU is bert.Options.GELU: what hidden_act "gelu" of Dir means.
	GELU      bert.GELU      `json:"gelu,omitzero"`
	Precision bert.Precision `json:"precision,omitzero"`
}

// RecipeFile is the name of a run's recipe in its folder.
const RecipeFile = "recipe.json"

// MainMetric as Training.BestMetric is the task's main official metric.
const MainMetric = "main"

// ReadRecipe reads a recipe from a JSON file. An error names the file and the line, and is a *recipe.Error or
// *recipe.UnknownKeyError where a key is to blame. The recipe is not validated.
func ReadRecipe(file string) (Recipe, error) {
	var r Recipe
	err := recipe.ReadFile(file, &r)
	return r, err
}

// UnmarshalJSON reads an object. See recipe.Unmarshal for what is an error.
func (r *Recipe) UnmarshalJSON(data []byte) error { return recipe.Unmarshal(data, r) }

// Set sets the field of a JSON key to a value written as text. See recipe.Set.
func (r *Recipe) Set(key, value string) error { return recipe.Set(r, key, value) }

// WithDefaults is r with the defaults filled in that depend on nothing else.
func (r Recipe) WithDefaults() Recipe {
	r.Training = r.Training.WithDefaults()
	return r
}

// Validate reports the first value that is not valid, as a *recipe.Error. What only the files show is for Prepare to report.
func (r Recipe) Validate() error { return r.validate(true) }

// validate is Validate; without model it leaves out what the run begins with.
func (r Recipe) validate(model bool) error {
	_, err := r.lookup()
	if err != nil {
		return err
	}
	for _, c := range []struct {
		key   string
		valid bool
		want  string
	}{
		{"data", r.Path != "", "the training data"},
		{"eval_data", r.EvalPath == "" || r.ValidationShare == 0, "none beside `validation_share`"},
		{"validation_share", r.ValidationShare >= 0 && r.ValidationShare < 1, "a share in [0, 1)"},
		{"data_format", known(r.Format), "auto, csv, tsv or jsonl"},
		{"encoding", data.CheckEncoding(r.Encoding) == nil, "the name of an encoding, such as latin-1, windows-1251, utf-16 or shift_jis"},
		{"max_train_examples", r.MaxTrainExamples >= 0, "0 or more"},
		{"max_eval_examples", r.MaxEvalExamples >= 0, "0 or more"},
		{"max_seq_length", r.MaxSeqLength == 0 || r.MaxSeqLength >= minSeqLength, "at least 3: [CLS], a token and [SEP]"},
		{"truncation", known(r.Truncation), "longest_first, only_first, only_second or do_not_truncate"},
		{"long", known(r.Long), strings.Join(task.LongTexts(), ", ")},
		{"doc_stride", r.DocStride >= 0, "at least 1, or 0 for half of a window"},
		{"null_score_diff_threshold", r.NullThreshold == nil || !math.IsNaN(*r.NullThreshold) && !math.IsInf(*r.NullThreshold, 0), "a number"},
		{"model", !model || r.Dir != "" || r.Config != "", "the model to begin with, or a `config` for a new one"},
		{"model", r.Dir == "" || r.Config == "", "none beside `config`"},
		{"vocab", r.Config == "" || r.Vocab != "", "the vocabulary of the new model"},
		{"cased", !r.Cased || r.Vocab != "", "none without a `vocab`"},
		{"google", !r.Google || r.Vocab != "", "none without a `vocab`"},
		{"precision", r.Precision.Trains(), "float32 or bf16"},
	} {
		if !c.valid {
			return recipe.Wrong(&r, c.key, c.want)
		}
	}
	return r.Training.Validate()
}

// known says that a value of a closed set is one of the set: its name can be read back.
func known[T interface{ MarshalText() ([]byte, error) }](value T) bool {
	text, err := value.MarshalText()
	if err != nil {
		return false
	}
	_, unknown := strings.CutSuffix(string(text), ")") // as in Format(9)
	return !unknown
}

// minSeqLength has room for [CLS], a token and [SEP].
const minSeqLength = 3

// lookup is the task, of the kind that the recipe says.
func (r *Recipe) lookup() (*task.Task, error) {
	t, err := task.Lookup(r.Task)
	if err != nil {
		return nil, recipe.Wrong(r, "task", "one of "+strings.Join(task.Names(), ", "))
	}
	if r.ProblemType != nil {
		if err := t.SetKind(*r.ProblemType); err != nil {
			return nil, &recipe.Error{Key: "problem_type", Err: err}
		}
	}
	return t, nil
}

func (r *Recipe) columns() data.Columns {
	return data.Columns{Text: r.TextColumn, TextPair: r.TextPairColumn, Label: r.LabelColumn, NoHeader: r.NoHeader}
}

// dataKey is the same for two recipes that make the same data sets.
func (r Recipe) dataKey() (string, error) {
	seed := r.Training.WithDefaults().Seed
	r.Training = Training{}
	if r.ValidationShare > 0 || r.MaxTrainExamples > 0 || r.MaxEvalExamples > 0 {
		r.Seed = seed // of the draw
	}
	r.AllowMissing, r.GELU, r.Precision = false, bert.GELUByOrigin, bert.Float32
	text, err := recipe.Marshal(&r)
	return string(text), err
}

// sequenceLength is the most tokens of a sequence for a model.
func (r *Recipe) sequenceLength(t *task.Task, c *bert.Config) (int, error) {
	switch {
	case r.MaxSeqLength == 0:
		return min(t.Kind.MaxSeqLength(), c.MaxPositionEmbeddings), nil
	case r.MaxSeqLength > c.MaxPositionEmbeddings:
		return 0, &recipe.Error{
			Key: "max_seq_length", Value: fmt.Sprint(r.MaxSeqLength),
			Reason: fmt.Sprintf("the model has %d positions", c.MaxPositionEmbeddings), Want: "at most that",
		}
	}
	return r.MaxSeqLength, nil
}

// bestMetric is the name of the metric to choose the model by, "" for none.
func (r *Recipe) bestMetric(d *task.Spec, evaluated bool) (string, error) {
	names, official := d.MetricNames()
	metric := r.BestMetric
	if metric == MainMetric {
		metric = official[0]
	}
	if evaluated && (metric == "" || slices.Contains(names, metric)) || metric == "" && r.EvalSteps == 0 {
		return metric, nil
	}
	if evaluated {
		return "", recipe.Wrong(r, "metric_for_best_model", "one of "+strings.Join(names, ", "))
	}
	key := "metric_for_best_model"
	if metric == "" {
		key = "eval_steps"
	}
	err := recipe.Wrong(r, key, "`eval_data` or `validation_share`")
	err.Reason = "but evaluations need data to evaluate on"
	return "", err
}
