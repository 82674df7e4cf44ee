// Package distill trains a small model, the student, to say what a large one says, the teacher: for a task, on its data, or on plain
// text.
//
// A [Recipe] says what a run does. Recipe.Prepare reads teacher, student and data and makes a [Job]; Job.Run trains, evaluates and
// writes the model directory of the student:
//
//	r := distill.Recipe{
//		Models:   distill.Models{Teacher: "sst2-model", Student: "2x128"},
//		Data:     finetune.Data{Task: "sst2", Path: "glue/SST-2"},
//		Training: distill.Training{LearningRate: 3e-4, Epochs: 10},
//	}
//	job, err := r.Prepare(ctx, distill.Options{Output: "small-model"})
//	…
//	defer job.Close()
//	result, err := job.Run(ctx, train.Lines(os.Stderr))
//
// The losses are a table (terms.go), each with its paper; they add up by weights. A run is a function of its recipe and the files that
// this names: it gives the same bits on any number of threads, with a cache or without, and when it was interrupted and resumed.
package distill

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/train"
)

// Recipe is everything that decides the result of a run. In JSON it is one flat object; the keys are those of the fields of its parts.
// A key that is not known or occurs twice is an error.
//
// With Data.Task the student learns the task of the teacher on its data, whose keys are those of a fine-tuning. With Text.Files or
// Text.Instances it learns to say what the teacher says of plain text.
type Recipe struct {
	Models
	Losses
	Text
	Augmentation
	Data
	Training
}

// Data is the part of a Recipe that says what task the student learns, and how texts become features. Of plain text, MaxSeqLength and
// ValidationShare alone are used.
type Data = finetune.Data

// Training is the part of a Recipe that says how to train. Its defaults differ: a learning rate of 3e-4, and 3 epochs.
type Training = train.Recipe

// Models are the part of a Recipe that says who learns from whom.
type Models struct {
	Teacher          string         `json:"teacher,omitzero"` // a model directory
	TeacherPrecision bert.Precision `json:"teacher_precision,omitzero"`

	// Student is the model to begin with: a model directory; or random weights for a configuration, which is a config.json or a size such
	// as 2x128: two layers of width 128, and all else as the teacher has it, with heads of 64 and an inner width of four times the other.
	Student string `json:"student,omitzero"`
	// StudentLayers, in place of Student, makes the student of layers of the teacher: every-other for the first and each second one after
	// it, or their numbers from 0 on between commas (Sanh et al. 2019, arXiv:1910.01108, §2). The embeddings and the head come along.
	StudentLayers string `json:"student_layers,omitzero"`
	// Vocab is the vocabulary of a student with random weights, one token a line; "": the teacher's tokenizer. It is lower-cased unless
	// Cased is set.
	Vocab string `json:"vocab,omitzero"`
	Cased bool   `json:"cased,omitzero"`
	// Embeddings says how the embeddings of a student with random weights begin.
	Embeddings Embeddings     `json:"student_embeddings,omitzero"`
	Precision  bert.Precision `json:"precision,omitzero"` // of the student
}

// EveryOther is the value of StudentLayers for each second layer.
const EveryOther = "every-other"

// Losses are the part of a Recipe that says what a student learns: the weights of the terms of the loss, 0 for none. Where all but
// LabelWeight are 0, LogitWeight is 1 for a task, SentenceWeight for text and a teacher of sentence-transformers, and RelationWeight for
// other text.
type Losses struct {
	// LabelWeight is that of the task's own labels; of text, that of masked words and, where Instances are pairs, of next sentences, as in
	// pre-training. Class weights are for it alone.
	LabelWeight float64 `json:"label_weight,omitzero"`
	// Unlabelled reads a task's training data without labels, which it then needn't have.
	Unlabelled bool `json:"unlabelled,omitzero"`
	// LogitWeight is that of the teacher's answers (Hinton et al. 2015), at Temperature; 0: 2. Of plain text, the answers are to masked words.
	LogitWeight float64 `json:"logit_weight,omitzero"`
	Temperature float64 `json:"temperature,omitzero" zero:"a number above 0"`
	// HiddenWeight and AttentionWeight are those of TinyBERT's hidden states and attention, layer by layer of LayerMap.
	HiddenWeight    float64     `json:"hidden_weight,omitzero"`
	AttentionWeight float64     `json:"attention_weight,omitzero"`
	AttentionOf     AttentionOf `json:"attention_of,omitzero"`
	// LayerMap says which layer of the teacher each of the student's learns from: uniform, layer i from i·L/l of the teacher's L and the
	// student's l; last, the student's layers from the teacher's last ones; or pairs as in 0:0,1:3,2:6, where 0 is the embeddings.
	LayerMap string `json:"layer_map,omitzero"`
	// RelationWeight is that of MiniLM's relations of the student's last layer with RelationLayer, counted from 1 (0: the last), by
	// RelationHeads (0: as many as the teacher has, as far as they divide both widths). Relations are pairs of q, k and v: qq, kk and vv are
	// MiniLMv2's, the default, qk and vv MiniLM's.
	RelationWeight float64  `json:"relation_weight,omitzero"`
	Relations      []string `json:"relations,omitempty"`
	RelationLayer  int      `json:"relation_layer,omitzero"`
	RelationHeads  int      `json:"relation_heads,omitzero"`
	// CosineWeight is that of the direction of the last hidden states (DistilBERT).
	CosineWeight float64 `json:"cosine_weight,omitzero"`
	// SentenceWeight and SentenceCosineWeight are those of the vectors of sentences, by mean squared error and by cosine.
	SentenceWeight       float64 `json:"sentence_weight,omitzero"`
	SentenceCosineWeight float64 `json:"sentence_cosine_weight,omitzero"`
}

// Text is the part of a Recipe that says which plain text a student learns from, in place of a task.
type Text struct {
	Files []string `json:"text,omitempty"` // of lines, each of which is a sequence
	// Instances is, in place of Files, a set that pretrain.Open takes.
	Instances string `json:"instances,omitzero"`
	// MaskedLMProb is the share of tokens of Files that are masked where answers to masked words are learnt; 0: 0.15.
	MaskedLMProb float64 `json:"masked_lm_prob,omitzero" zero:"a share above 0"`
}

// Augmentation is the part of a Recipe that makes more examples of a task's: in each copy of an example, words are replaced by what a
// masked language model gives in their place (Jiao et al. 2020, arXiv:1909.10351, §4 and algorithm 1). The label stays as it is.
type Augmentation struct {
	Copies int `json:"augment,omitzero"` // of each example; 0: none
	// AugmentModel is the masked language model; "": the teacher, which then has to be one.
	AugmentModel string `json:"augment_model,omitzero"`
	// AugmentShare is the probability that a word is replaced, 0: 0.4; AugmentTop the number of the model's most probable words that may
	// take its place, 0: 15.
	AugmentShare float64 `json:"augment_share,omitzero" zero:"a share above 0"`
	AugmentTop   int     `json:"augment_top,omitzero" zero:"at least 1"`
}

// AttentionOf says which numbers of attention are compared.
type AttentionOf uint8

const (
	Scores        AttentionOf = iota // before softmax, as the authors of TinyBERT do
	Probabilities                    // after it
)

var attentionNames = names[AttentionOf]{"scores", "probabilities"}

func (a AttentionOf) String() string               { return attentionNames.of(a) }
func (a AttentionOf) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
func (a *AttentionOf) UnmarshalText(text []byte) (err error) {
	*a, err = attentionNames.parse(string(text))
	return err
}

// Embeddings says how a new student's embeddings begin.
type Embeddings uint8

const (
	// RandomEmbeddings are those of a new model.
	RandomEmbeddings Embeddings = iota
	// TeacherEmbeddings are the teacher's, of words, positions and types, along the principal directions of its words.
	TeacherEmbeddings
)

var embeddingNames = names[Embeddings]{"random", "teacher"}

func (e Embeddings) String() string               { return embeddingNames.of(e) }
func (e Embeddings) MarshalText() ([]byte, error) { return []byte(e.String()), nil }
func (e *Embeddings) UnmarshalText(text []byte) (err error) {
	*e, err = embeddingNames.parse(string(text))
	return err
}

// names are those of a closed set, in the order of its constants.
type names[T ~uint8] []string

func (n names[T]) of(v T) string {
	if int(v) < len(n) {
		return n[v]
	}
	return fmt.Sprintf("%T(%d)", v, uint8(v))
}

func (n names[T]) parse(name string) (T, error) {
	if i := slices.Index(n, name); i >= 0 {
		return T(i), nil
	}
	return 0, fmt.Errorf("%q is not known, want %s", name, strings.Join(n, " or "))
}

// AttentionNames and EmbeddingNames are the names of the sets.
func AttentionNames() []string { return slices.Clone(attentionNames) }
func EmbeddingNames() []string { return slices.Clone(embeddingNames) }

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

// The defaults of a run's training.
const (
	defaultLearningRate = 3e-4
	defaultEpochs       = 3
)

// WithDefaults is r with the defaults filled in that depend on nothing else.
func (r Recipe) WithDefaults() Recipe {
	if r.LearningRate == 0 {
		r.LearningRate = defaultLearningRate
	}
	if r.Epochs == 0 && r.MaxSteps == 0 {
		r.Epochs = defaultEpochs
	}
	if r.Temperature == 0 {
		r.Temperature = 2
	}
	if r.LayerMap == "" {
		r.LayerMap = Uniform
	}
	if len(r.Relations) == 0 {
		r.Relations = []string{"qq", "kk", "vv"}
	}
	if r.onText() && r.MaskedLMProb == 0 {
		r.MaskedLMProb = 0.15
	}
	if r.Copies > 0 && r.AugmentShare == 0 {
		r.AugmentShare = 0.4
	}
	if r.Copies > 0 && r.AugmentTop == 0 {
		r.AugmentTop = 15
	}
	r.Training = r.Training.WithDefaults()
	return r
}

// onText says that the student learns from plain text.
func (r *Recipe) onText() bool { return len(r.Files) > 0 || r.Instances != "" }

// weighted says that a loss between teacher and student has a weight.
func (l *Losses) weighted() bool {
	return slices.ContainsFunc(terms, func(t termInfo) bool { return *t.weight(l) != 0 })
}

// Validate reports the first value that is not valid, as a *recipe.Error. What only the files show is for Prepare to report.
func (r Recipe) Validate() error {
	r = r.WithDefaults()
	_, listed := parseLayers(r.StudentLayers, math.MaxInt32)
	_, mapped := parseLayerMap(r.LayerMap, math.MaxInt32, math.MaxInt32)
	badRelation := slices.ContainsFunc(r.Relations, func(name string) bool { _, err := parseRelation(name); return err != nil })
	for _, c := range []struct {
		key   string
		valid bool
		want  string
	}{
		{"teacher", r.Teacher != "", "the model to learn from"},
		{"teacher_precision", known(r.TeacherPrecision), "float32, bf16 or int8"},
		{"student", r.Student != "" || r.StudentLayers != "", "a model, a config.json, or a size such as 2x128"},
		{"student", r.Student == "" || r.StudentLayers == "", "none beside `student_layers`"},
		{"student_layers", r.StudentLayers == "" || listed == nil, "every-other, or rising numbers from 0 on between commas"},
		{"cased", !r.Cased || r.Vocab != "", "none without a `vocab`"},
		{"student_embeddings", r.Embeddings == RandomEmbeddings || r.StudentLayers == "", "random beside `student_layers`, which brings the teacher's"},
		{"precision", r.Precision.Trains(), "float32 or bf16"},
		{"task", r.Task != "" || r.onText(), "a task, or `text` or `instances` to learn from"},
		{"task", r.Task == "" || !r.onText(), "none beside `text` and `instances`"},
		{"text", len(r.Files) == 0 || r.Instances == "", "none beside `instances`"},
		{"text", !slices.Contains(r.Files, ""), "names of files"},
		{"masked_lm_prob", r.onText() || r.MaskedLMProb == 0, "none without `text`"},
		{"augment_model", r.Copies > 0 || r.AugmentModel == "", "none without `augment`"},
		{"augment_share", r.Copies > 0 || r.AugmentShare == 0, "none without `augment`"},
		{"augment_top", r.Copies > 0 || r.AugmentTop == 0, "none without `augment`"},
		{"masked_lm_prob", !r.onText() || r.MaskedLMProb > 0 && r.MaskedLMProb < 1, "a share in (0, 1)"},
		{"augment", r.Copies >= 0 && r.Copies <= 1000, "0 to 1000"},
		{"augment", r.Copies == 0 || !r.onText(), "0 beside `text` and `instances`"},
		{"augment_share", r.Copies == 0 || r.AugmentShare > 0 && r.AugmentShare <= 1, "a share in (0, 1]"},
		{"augment_top", r.Copies == 0 || r.AugmentTop >= 1 && r.AugmentTop <= 1000, "1 to 1000"},
		{"temperature", r.Temperature > 0 && r.Temperature <= 1000, "a number above 0"},
		{"layer_map", mapped == nil, "uniform, last, or pairs of layers, the student's first, as in 0:0,1:3,2:6"},
		{"relations", !badRelation, "pairs of q, k and v, as in qq,kk,vv"},
		{"relation_layer", r.RelationLayer >= 0, "at least 1, or 0 for the last"},
		{"relation_heads", r.RelationHeads >= 0, "at least 1, or 0 for as many as the teacher has"},
		{"label_weight", weight(r.LabelWeight), "0 or a positive number"},
		{"label_weight", r.LabelWeight == 0 || !r.Unlabelled, "0 beside `unlabelled`"},
		{"unlabelled", !r.Unlabelled || !r.onText(), "none beside `text` and `instances`, which have no labels"},
		{"validation_share", !r.Unlabelled || r.ValidationShare == 0, "none beside `unlabelled`: `eval_data` with labels"},
		{"metric_for_best_model", !r.onText() || r.BestMetric == "" || r.ValidationShare > 0, "none without a `validation_share` of the text"},
		{"eval_steps", !r.onText() || r.EvalSteps == 0 || r.ValidationShare > 0, "0 without a `validation_share` of the text"},
		{"max_seq_length", r.MaxSeqLength == 0 || r.MaxSeqLength >= 3, "at least 3: [CLS], a token and [SEP]"},
		{"validation_share", r.ValidationShare >= 0 && r.ValidationShare < 1, "a share in [0, 1)"},
	} {
		if !c.valid {
			return recipe.Wrong(&r, c.key, c.want)
		}
	}
	if r.onText() {
		if err := r.unused(); err != nil {
			return err
		}
	}
	for _, t := range terms {
		if !weight(*t.weight(&r.Losses)) {
			return recipe.Wrong(&r, t.name+"_weight", "0 or a positive number")
		}
	}
	return r.Training.Validate()
}

// weight says that x can be the weight of a loss.
func weight(x float64) bool { return x >= 0 && x <= 1e6 }

// known says that a precision is one of the set.
func known(p bert.Precision) bool {
	_, err := p.MarshalText()
	return err == nil
}

// textKeys are the keys of Data that plain text has a use for.
var textKeys = []string{"encoding", "max_seq_length", "validation_share", "max_train_examples", "max_eval_examples"}

// unused reports a key of a task's data that is given beside plain text.
func (r *Recipe) unused() error {
	for _, key := range recipe.Keys(&r.Data) {
		given, _ := recipe.Text(&r.Data, key)
		none, _ := recipe.Text(new(Data), key)
		if given != none && !slices.Contains(textKeys, key) {
			return recipe.Wrong(r, key, "none beside `text` and `instances`")
		}
	}
	return nil
}
