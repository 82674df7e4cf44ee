package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/golden/reference"
)

// A model is a configuration with one set of parameters for each head, and what to write of it.
type model struct {
	name     string
	seed     uint64
	config   reference.Config
	contents contents
}

// contents says which files there are of a model.
type contents struct {
	tasks     []string // logits and losses
	gradients []string // of every parameter, for these tasks
	hidden    []string // the gradients of the hidden states too, for these tasks
	runs      []run    // of training
}

type run struct{ head, optimizer string }

// committed are the models of testdata/golden. The first has every head; the second is as different from it as a BERT may
// be. Their sizes are such that no kernel's width divides them.
func committed() []model {
	return []model{
		{
			"tiny", 1,
			reference.Config{
				Vocab: 31, Hidden: 12, Layers: 2, Heads: 3, Inner: 20, Activation: "gelu", Positions: 18, Types: 2, Eps: 1e-12,
			},
			contents{
				tasks: []string{
					"pretraining", "masked-lm", "next-sentence", "sequence-classification", "regression", "token-classification",
					"question-answering", "multiple-choice",
				},
				gradients: []string{"pretraining", "sequence-classification", "regression", "token-classification", "question-answering", "multiple-choice"},
				hidden:    []string{"pretraining", "token-classification"},
				runs:      []run{{"pretraining", "google"}, {"sequence-classification", "adamw"}},
			},
		},
		{
			"tiny-tanh", 2,
			reference.Config{
				Vocab: 23, Hidden: 10, Layers: 1, Heads: 1, Inner: 17, Activation: "gelu_new", Positions: 21, Types: 3, Eps: 1e-5,
			},
			contents{
				tasks:     []string{"pretraining", "masked-lm", "sequence-classification"},
				gradients: []string{"masked-lm", "sequence-classification"},
				runs:      []run{{"pretraining", "adamw"}, {"sequence-classification", "google"}},
			},
		},
	}
}

// headLabels are the model directories and the number of their labels.
var headLabels = map[string]int{
	"pretraining": 2, "sequence-classification": 3, "regression": 1, "token-classification": 5, "question-answering": 2, "multiple-choice": 1,
}

var architectures = map[string]string{
	"pretraining": "BertForPreTraining", "sequence-classification": "BertForSequenceClassification",
	"regression": "BertForSequenceClassification", "token-classification": "BertForTokenClassification",
	"question-answering": "BertForQuestionAnswering", "multiple-choice": "BertForMultipleChoice",
}

// heads are the directories that the tasks and runs of a model need.
func (m model) heads() []string {
	need := make(map[string]bool)
	for _, t := range reference.Tasks() {
		if slices.Contains(m.contents.tasks, t.Name) {
			need[t.Model] = true
		}
	}
	for _, r := range m.contents.runs {
		need[r.head] = true
	}
	return slices.Sorted(maps.Keys(need))
}

// draw makes the parameters of every head, each exact in float32. The encoder and the pooler are the same in all.
func (m model) draw(r *rand.Rand) map[string]reference.Params {
	all := make(map[string]reference.Params)
	encoder := make(reference.Params)
	for _, head := range m.heads() {
		all[head] = make(reference.Params)
		shapes := m.config.Shapes(head, headLabels[head])
		for _, name := range slices.Sorted(maps.Keys(shapes)) {
			t, ok := encoder[name]
			if !ok {
				t = drawTensor(r, name, shapes[name])
			}
			if strings.HasPrefix(name, "bert.") {
				encoder[name] = t
			}
			all[head][name] = t
		}
	}
	return all
}

// drawTensor draws uniform numbers whose deviation is about 0.2, larger than in a trained model, so that no part of the
// computation is too small to be seen.
func drawTensor(r *rand.Rand, name string, shape []int) reference.Tensor {
	center, width := 0.0, 0.35
	switch {
	case strings.HasSuffix(name, "LayerNorm.weight"):
		center = 1
	case strings.Contains(name, "_embeddings."):
		width = 0.5
	}
	t := reference.Tensor{Shape: shape}
	n := 1
	for _, d := range shape {
		n *= d
	}
	for range n {
		x := float64(r.IntN(1<<16)-1<<15) / (1 << 15) // exact on every machine
		t.Values = append(t.Values, float64(float32(center+float64(width*x))))
	}
	return t
}

// configFile is config.json as Hugging Face's libraries write it.
type configFile struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	reference.Config
	HiddenDropout    float64           `json:"hidden_dropout_prob"`
	AttentionDropout float64           `json:"attention_probs_dropout_prob"`
	ID2Label         map[string]string `json:"id2label,omitempty"`
	Label2ID         map[string]int    `json:"label2id,omitempty"`
	ProblemType      string            `json:"problem_type,omitempty"`
}

func writeModel(dir, head string, c reference.Config, params reference.Params) error {
	f := configFile{Architectures: []string{architectures[head]}, ModelType: "bert", Config: c}
	if n := headLabels[head]; n != 2 {
		f.ID2Label, f.Label2ID = make(map[string]string), make(map[string]int)
		for i := range n {
			label := fmt.Sprint("LABEL_", i)
			f.ID2Label[fmt.Sprint(i)], f.Label2ID[label] = label, i
		}
	}
	switch head {
	case "regression":
		f.ProblemType = "regression"
	case "sequence-classification":
		f.ProblemType = "single_label_classification"
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "config.json"), append(text, '\n')); err != nil {
		return err
	}
	return writeTensors(filepath.Join(dir, "model.safetensors"), params)
}

// readModel reads the parameters of a model directory.
func readModel(dir string) (reference.Config, reference.Params, error) {
	var c reference.Config
	if err := readJSON(filepath.Join(dir, "config.json"), &c); err != nil {
		return c, nil, err
	}
	params, err := readTensors(filepath.Join(dir, "model.safetensors"))
	return c, params, err
}

// Special tokens, as in the models of the goldens that PyTorch made.
const (
	firstToken = 1
	separator  = 2
	mask       = 3
	ordinary   = 4 // the first id of an ordinary token
	ignored    = -100
)

// inputsFile is inputs.json.
type inputsFile struct {
	Batch          batchFile `json:"batch"`
	MultipleChoice struct {
		Examples []choiceExample `json:"examples"`
	} `json:"multiple_choice"`
}

type batchFile struct {
	Sequences []reference.Sequence `json:"sequences"`
}

type choiceExample struct {
	Choices []tokens `json:"choices"`
	Label   int      `json:"label"`
}

type tokens struct {
	IDs   []int `json:"input_ids"`
	Types []int `json:"token_type_ids"`
}

// trainingFile is training-inputs.json: a batch for each step.
type trainingFile struct {
	Steps []batchFile `json:"steps"`
}

// drawInputs makes five sequences with labels for every task, one of two tokens and one of all positions among them; two
// examples of multiple choice; and ten batches to train on.
func (m model) drawInputs(r *rand.Rand) (inputsFile, trainingFile) {
	var in inputsFile
	c := m.config
	for i, n := range []int{7, 2, c.Positions, 10, 5} {
		in.Batch.Sequences = append(in.Batch.Sequences, drawSequence(r, c, n, i))
	}
	for range 2 {
		e := choiceExample{Label: r.IntN(4)}
		for range 4 {
			e.Choices = append(e.Choices, drawTokens(r, c, 4+r.IntN(6)))
		}
		in.MultipleChoice.Examples = append(in.MultipleChoice.Examples, e)
	}
	var training trainingFile
	for range 10 {
		var b batchFile
		for i := range 4 {
			b.Sequences = append(b.Sequences, drawSequence(r, c, 5+r.IntN(6), i))
		}
		training.Steps = append(training.Steps, b)
	}
	return in, training
}

// drawTokens makes a sequence of n tokens with a segment for each type.
func drawTokens(r *rand.Rand, c reference.Config, n int) tokens {
	t := tokens{make([]int, n), make([]int, n)}
	for i := range t.IDs {
		t.IDs[i] = ordinary + r.IntN(c.Vocab-ordinary)
		t.Types[i] = i * c.Types / n
		if i > 0 && t.Types[i] > t.Types[i-1] {
			t.IDs[i-1] = separator
		}
	}
	t.IDs[0], t.IDs[n-1] = firstToken, separator
	return t
}

// drawSequence makes a sequence of n tokens and labels for every task. The fourth of a batch has types in no order, and no
// answer.
func drawSequence(r *rand.Rand, c reference.Config, n, i int) reference.Sequence {
	t := drawTokens(r, c, n)
	s := reference.Sequence{
		IDs: t.IDs, Types: t.Types, MLMPositions: []int{}, MLMLabels: []int{},
		NextSentence: r.IntN(2), Class: (i + r.IntN(2)) % 3, Value: float64(r.IntN(5000)) / 1000,
	}
	for at, id := range s.IDs {
		if i == 3 {
			s.Types[at] = r.IntN(c.Types)
		}
		class := r.IntN(5)
		if id < ordinary || r.IntN(5) == 0 {
			class = ignored
		}
		s.TokenClasses = append(s.TokenClasses, class)
		if id >= ordinary && (at == 1 || r.IntN(5) == 0) {
			s.MLMPositions, s.MLMLabels = append(s.MLMPositions, at), append(s.MLMLabels, id)
			switch r.IntN(10) {
			case 0: // kept
			case 1:
				s.IDs[at] = ordinary + r.IntN(c.Vocab-ordinary)
			default:
				s.IDs[at] = mask
			}
		}
	}
	if i != 3 {
		s.Start = 1 + r.IntN(n-1)
		s.End = s.Start + r.IntN(n-s.Start)
	}
	return s
}

// generate writes all under dir.
func generate(dir string) error {
	for _, m := range committed() {
		r := rand.New(rand.NewPCG(20, m.seed))
		params := m.draw(r)
		in, training := m.drawInputs(r)
		path := filepath.Join(dir, "model", m.name)
		for head, p := range params {
			if err := writeModel(filepath.Join(path, head), head, m.config, p); err != nil {
				return err
			}
		}
		err := cmp.Or(
			writeJSON(filepath.Join(path, "inputs.json"), in),
			writeJSON(filepath.Join(path, "training-inputs.json"), training),
			writeResults(path, m.contents, m.config, params, in, training),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readTensors(path string) (reference.Params, error) {
	f, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	params := make(reference.Params)
	for _, x := range f.Tensors() {
		values := make([]float32, x.Len())
		if err := x.Float32(values); err != nil {
			return nil, err
		}
		t := reference.Tensor{Shape: x.Shape}
		for _, v := range values {
			t.Values = append(t.Values, float64(v))
		}
		params[x.Name] = t
	}
	return params, nil
}
