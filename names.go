package bert

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
)

// This file finds the parameters of a model among the tensors of a file, which bear the names of whoever wrote it:
//
//	Hugging Face's        bert.encoder.layer.0.attention.self.query.weight    [out, in]; files before 2019 say gamma and beta
//	google-research/bert  bert/encoder/layer_0/attention/self/query/kernel    [in, out]; gamma and beta
//	Keras's               …/layer_normalization_3/gamma, …/dense_2/kernel     google-research/bert's code with Keras's layers
//	a training loop's     model.bert.…, state_dict.bert.…, module.bert.…      Hugging Face's, of a model inside another

// source is a tensor of a file in the place of a parameter.
type source struct {
	*checkpoint.Tensor
	transposed bool // it is stored [in, out] where the parameter is [out, in]
}

// shape is the shape that the parameter has if it comes from s.
func (s source) shape() []int {
	if s.transposed && len(s.Shape) == 2 {
		return []int{s.Shape[1], s.Shape[0]}
	}
	return s.Shape
}

// catalogue is the tensors of a file by their canonical names, and what else its names say.
type catalogue struct {
	sources map[string]source
	// training are the tensors that a training run left: an optimiser's moments, the step.
	training []string
	// keras says that LayerNorms bear the names that Keras gives them.
	keras bool
	// dtype is the type of all weights, 0 where they differ.
	dtype checkpoint.DType
}

// canonicalName is a tensor's name without the differences there are between Hugging Face's files of the same model: the prefix
// of the encoder, and gamma and beta for a LayerNorm's weight and bias, as files made before 2019 have it.
func canonicalName(name string) string {
	name = strings.TrimPrefix(name, "bert.")
	if n, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return n + "LayerNorm.weight"
	}
	if n, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return n + "LayerNorm.bias"
	}
	return name
}

var (
	kerasNorm  = regexp.MustCompile(`/layer_normalization(_\d+)?/`)
	kerasDense = regexp.MustCompile(`/dense_\d+/`)
)

// trainingState are what google-research/bert's checkpoints hold beside variables and their slots.
var trainingState = []string{"global_step", "beta1_power", "beta2_power"}

// newCatalogue names the tensors of a file.
func newCatalogue(c *Config, tensors []checkpoint.Tensor) (*catalogue, error) {
	names := make(map[string]bool, len(tensors))
	for i := range tensors {
		names[tensors[i].Name] = true
	}
	wrapper, err := wrapperOf(tensors)
	if err != nil {
		return nil, err
	}
	google := googleParams(c)
	k := &catalogue{sources: make(map[string]source, len(tensors))}
	for i := range tensors {
		s := source{Tensor: &tensors[i]}
		name := s.Name
		if n, ok := strings.CutPrefix(name, wrapper); ok {
			name = n
		} else if strings.HasPrefix(name, "optimizer") {
			k.training = append(k.training, s.Name)
			continue
		}
		// A variable's slots in an optimiser bear its name and their own: …/kernel/adam_m.
		if at := strings.LastIndexByte(name, '/'); at >= 0 && names[name[:at]] || slices.Contains(trainingState, name) {
			k.training = append(k.training, s.Name)
			continue
		}
		if strings.ContainsRune(name, '/') || strings.HasPrefix(name, "output_") {
			plain := kerasDense.ReplaceAllString(kerasNorm.ReplaceAllString(name, "/LayerNorm/"), "/dense/")
			k.keras = k.keras || kerasNorm.MatchString(name)
			if p, ok := google[plain]; ok {
				name, s.transposed = p.Name, p.GoogleTransposed
			}
		}
		name = canonicalName(name)
		if other, twice := k.sources[name]; twice {
			return nil, &TensorError{Name: other.Name, Others: []string{s.Name}, Reason: TensorTwice}
		}
		k.sources[name] = s
	}
	k.dtype = commonType(k.sources)
	return k, nil
}

// wrapperOf is the prefix of the names of a model that is part of another: "model.", "" for most files. Two models in one
// file are an error.
func wrapperOf(tensors []checkpoint.Tensor) (string, error) {
	for _, known := range []string{"embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"} {
		var found []string
		for i := range tensors {
			if prefix, ok := strings.CutSuffix(tensors[i].Name, known); ok && !strings.HasPrefix(prefix, "optimizer") {
				if prefix = strings.TrimSuffix(prefix, "bert."); len(found) < 2 && !slices.Contains(found, prefix) {
					found = append(found, prefix)
				}
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return "", fmt.Errorf("several models in one file: %s is under %s and under %s", known, quoteShort(found[0]), quoteShort(found[1]))
		}
	}
	return "", nil
}

// googleParams are the parameters of all heads by the names that google-research/bert gives them.
func googleParams(c *Config) map[string]Param {
	params := make(map[string]Param)
	for h := range heads {
		for _, p := range Params(c, Head(h)) {
			if _, ok := params[p.Google]; !ok {
				params[p.Google] = p
			}
		}
	}
	return params
}

// commonType is the type of all the numbers that are weights, 0 if there are several.
func commonType(sources map[string]source) checkpoint.DType {
	var common checkpoint.DType
	for name, s := range sources {
		if name == positionIDs {
			continue
		}
		if common != 0 && s.DType != common {
			return 0
		}
		common = s.DType
	}
	return common
}

// head is the head whose tensors are there: of several the one with most, as checkpoints of pre-training have both of its heads.
// A classifier with a pooler is taken as one of texts, without as one of tokens.
func (k *catalogue) head() Head {
	has := func(name string) bool {
		_, ok := k.sources[name]
		return ok
	}
	switch masked, next := has("cls.predictions.bias"), has("cls.seq_relationship.weight"); {
	case masked && next && has("pooler.dense.weight"):
		return PreTraining
	case masked:
		return MaskedLM
	case next:
		return NextSentence
	case has("qa_outputs.weight"):
		return QuestionAnswering
	case has("classifier.weight") && has("pooler.dense.weight"):
		return SequenceClassification
	case has("classifier.weight"):
		return TokenClassification
	}
	return NoHead
}

// labels is the number of classes that the file's classifier has, 0 if there is none.
func (k *catalogue) labels() int {
	if s, ok := k.sources["classifier.weight"]; ok && len(s.Shape) == 2 {
		return s.shape()[0]
	}
	return 0
}

// positionIDs is a buffer that older tools stored: 0, 1, 2, …
const positionIDs = "embeddings.position_ids"

// matching pairs a table of parameters with the tensors of a file.
type matching struct {
	sources []source // of the table's rows; without a tensor where a row has none
	newHead []string // rows of a head that the file does not have
	missing []string // other rows without a tensor
	other   []string // tensors of other heads
	odd     []string // tensors that are no part of a BERT of this configuration
}

// match pairs params with the catalogue. With newWidth, a classifier may have another width than the file's, and then begins
// anew.
func (k *catalogue) match(params []Param, newWidth bool) (*matching, error) {
	fits := func(p *Param) (source, bool) {
		s, ok := k.sources[canonicalName(p.Name)]
		return s, ok && slices.Equal(s.shape(), p.Shape)
	}
	headFound := slices.ContainsFunc(params, func(p Param) bool {
		s, ok := fits(&p)
		return p.Head && s.Tensor != nil && (!newWidth || ok)
	})
	m := &matching{sources: make([]source, len(params))}
	taken := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		s, ok := fits(p)
		switch {
		case ok:
			m.sources[i] = s
			taken[canonicalName(p.Name)] = true
		case s.Tensor != nil && !(p.Head && newWidth):
			want := source{&checkpoint.Tensor{Shape: p.Shape}, s.transposed}.shape()
			return nil, &TensorError{Name: s.Name, Reason: TensorMisshapen, Got: s.Shape, Want: want}
		case p.Head && !headFound:
			taken[canonicalName(p.Name)] = true
			m.newHead = append(m.newHead, p.Name)
		default:
			m.missing = append(m.missing, p.Name)
		}
	}
	if err := k.leftOver(m, taken); err != nil {
		return nil, err
	}
	return m, nil
}

// leftOver sorts the tensors that no parameter took. Copies of what is there already, as some tools store them, are no
// left-overs.
func (k *catalogue) leftOver(m *matching, taken map[string]bool) error {
	copies := map[string]string{
		"cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
		"cls.predictions.decoder.bias":   "cls.predictions.bias",
		"cls.predictions.weight":         "embeddings.word_embeddings.weight", // of an ONNX graph: named after its bias
	}
	for name, s := range k.sources {
		if taken[name] || name == positionIDs {
			continue
		}
		if original, ok := k.sources[copies[name]]; ok {
			if !bytes.Equal(s.Data, original.Data) {
				return &TensorError{Name: s.Name, Others: []string{original.Name}, Reason: TensorUntied}
			}
			continue
		}
		if slices.ContainsFunc([]string{"cls.", "classifier.", "qa_outputs.", "pooler."}, func(prefix string) bool {
			return strings.HasPrefix(name, prefix)
		}) {
			m.other = append(m.other, s.Name)
			continue
		}
		m.odd = append(m.odd, s.Name)
	}
	slices.Sort(m.other)
	slices.Sort(m.odd)
	return nil
}

// Compare says what loading tensors as a model of the configuration would report, without loading them: what is missing and
// what is left over. Without architectures in the configuration, the head is the one whose tensors are there. Tensors need no
// Data. A shape that does not fit is an error.
func Compare(c Config, tensors []checkpoint.Tensor) (Head, LoadReport, error) {
	k, err := newCatalogue(&c, tensors)
	if err != nil {
		return 0, LoadReport{}, err
	}
	head, err := k.chooseHead(&c, headOfConfig{})
	if err != nil {
		return 0, LoadReport{}, err
	}
	m, err := k.match(Params(&c, head), false)
	if err != nil {
		return head, LoadReport{}, err
	}
	report := k.report(m)
	if len(k.sources) > 0 && len(report.Missing) == len(m.sources) {
		return head, report, errors.New("none of its tensors has the name of a BERT's parameter")
	}
	return head, report, nil
}

// report is a matching as Load reports it.
func (k *catalogue) report(m *matching) LoadReport {
	leftOver := slices.Concat(m.other, m.odd)
	slices.Sort(leftOver)
	return LoadReport{NewHead: m.newHead, Missing: m.missing, LeftOver: leftOver, Training: k.training, DType: k.dtype}
}

// chooseHead is the head of the file by a choice. If it is that of its tensors, for want of another, default labels become as
// many as the classifier has.
func (k *catalogue) chooseHead(c *Config, choice HeadChoice) (Head, error) {
	found := k.head()
	head, err := choice.choose(c, &found)
	if _, given := choice.(Head); err != nil || given || len(c.Architectures) > 0 {
		return head, err
	}
	if n := k.labels(); head.outputs(c) > 0 && n > 0 && n != len(c.Labels) && slices.Equal(c.Labels, DefaultConfig().Labels) {
		c.Labels = defaultLabels(n)
	}
	return head, nil
}
