package bert

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/lazyregexp"
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
	// The scales of one that is int8: see pairScales.
	scale, inputScale *checkpoint.Tensor
}

// shape is the shape that the parameter has if it comes from s.
func (s source) shape() []int {
	if s.transposed && len(s.Shape) == 2 {
		return []int{s.Shape[1], s.Shape[0]}
	}
	return s.Shape
}

// same reports whether two sources have the same values.
func (s source) same(other source) bool {
	if (s.scale == nil) != (other.scale == nil) || s.scale != nil && !bytes.Equal(s.scale.Data, other.scale.Data) {
		return false
	}
	return s.DType == other.DType && bytes.Equal(s.Data, other.Data)
}

// catalogue is the tensors of a file by their canonical names, and what else its names say.
type catalogue struct {
	sources map[string]source
	// training are the tensors that a training run left: an optimiser's moments, the step.
	training []string
	// keras says that LayerNorms bear the names that Keras gives them.
	keras bool
	// google says that there are google-research/bert's names.
	google bool
}

// canonicalName is a tensor's name without the differences there are between Hugging Face's files of the same model: the prefix
// of the encoder; gamma and beta for a LayerNorm's weight and bias, as files made before 2019 have it; dense_act for a dense
// layer with its activation, as NVIDIA's have it (DeepLearningExamples, LanguageModeling/BERT/modeling.py, LinearActivation).
func canonicalName(name string) string {
	name = strings.TrimPrefix(name, "bert.")
	if n, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return n + "LayerNorm.weight"
	}
	if n, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return n + "LayerNorm.bias"
	}
	return strings.Replace(name, ".dense_act.", ".dense.", 1)
}

var (
	kerasNorm  = lazyregexp.New(`/layer_normalization(_\d+)?/`)
	kerasDense = lazyregexp.New(`/dense_\d+/`)
	tfScope    = lazyregexp.New(`(^|/)[^/]*___([^/]*)/`)
)

// tfBERTName is the name in PyTorch of a variable of Hugging Face's models for TensorFlow, "" for other tensors. transposed says
// that it is a kernel, [in, out]. The rules are those of transformers, modeling_tf_pytorch_utils.py,
// convert_tf_weight_name_to_pt_weight_name.
func tfBERTName(name string) (_ string, transposed bool) {
	plain, ok := strings.CutSuffix(name, ":0")
	if !ok && !strings.Contains(name, "_._") || !strings.Contains(plain, "/") {
		return "", false
	}
	plain = strings.ReplaceAll(tfScope().ReplaceAllString(plain, "$1$2/"), "_._", "/")
	parts := strings.Split(plain, "/")
	for i, part := range parts { // before it is the name of the whole model
		if slices.Contains([]string{"bert", "cls", "classifier", "qa_outputs"}, part) {
			parts = parts[i:]
			break
		}
	}
	switch last := &parts[len(parts)-1]; *last {
	case "kernel":
		*last, transposed = "weight", true
	case "embeddings", "gamma":
		*last = "weight"
	case "beta":
		*last = "bias"
	}
	return strings.Join(parts, "."), transposed
}

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
		} else if ofTraining(name) {
			k.training = append(k.training, s.Name)
			continue
		}
		// A variable's slots in an optimiser bear its name and their own: …/kernel/adam_m.
		if at := strings.LastIndexByte(name, '/'); at >= 0 && names[name[:at]] {
			k.training = append(k.training, s.Name)
			continue
		}
		if n, transposed := tfBERTName(name); n != "" {
			name, s.transposed = n, transposed
		} else if strings.ContainsRune(name, '/') || strings.HasPrefix(name, "output_") {
			plain := kerasDense().ReplaceAllString(kerasNorm().ReplaceAllString(name, "/LayerNorm/"), "/dense/")
			k.keras = k.keras || kerasNorm().MatchString(name)
			if p, ok := google[plain]; ok {
				name, s.transposed, k.google = p.Name, p.GoogleTransposed, true
			}
		}
		name = canonicalName(name)
		if (!ofModel(name) || strings.Contains(name, "/")) && ofTraining(name) || !ofModel(name) && counter(s.Tensor) {
			k.training = append(k.training, s.Name)
			continue
		}
		if other, twice := k.sources[name]; twice {
			return nil, &TensorError{Name: other.Name, Others: []string{s.Name}, Reason: TensorTwice}
		}
		k.sources[name] = s
	}
	k.pairScales()
	return k, nil
}

// trainingParts are what a component of a name says that belongs to a training run, whatever the framework.
var trainingParts = lazyregexp.New(`(?i)^(optimizers?|optim|opt_state|optimizer_state_dict|(lr_)?schedulers?|scaler|grad_scaler|amp|apex|ema|ema_model|model_ema|shadow_params|exponentialmovingaverage|` +
	`adam_[mv]|adam(_\d+)?|lamb_[mv]|lamb|momentum|exp_avg(_sq)?|max_exp_avg_sq|beta_?[12]_power|global_step|good_steps|bad_steps|loss_scale|loss_scaler|current_loss_scale|` +
	`iterations|learning_rate|lr|decay|step|steps|epoch|num_updates|save_counter|loss|best_\w+|rng_state|cuda_rng_state|callbacks|loops|hyper_parameters)$`)

// ofTraining reports whether a name says that its tensor is what a training run left.
func ofTraining(name string) bool {
	parts := strings.FieldsFunc(strings.TrimSuffix(name, ":0"), func(r rune) bool { return r == '.' || r == '/' })
	return len(parts) > 0 && (trainingParts().MatchString(parts[0]) || trainingParts().MatchString(parts[len(parts)-1]))
}

// ofModel reports whether a canonical name is one that a BERT's tensors have.
func ofModel(name string) bool {
	return isHead(name) || slices.ContainsFunc([]string{"embeddings.", "encoder.", "bert/"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// counter reports whether a tensor is a single number, as steps and scales of a loss are, which no part of a BERT is.
func counter(t *checkpoint.Tensor) bool { return len(t.Shape) == 0 }

// isHead reports whether a canonical name is that of a tensor of a head or of a pooler.
func isHead(name string) bool {
	return slices.ContainsFunc([]string{"cls.", "classifier.", "qa_outputs.", poolerPrefix}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// wrapperOf is the prefix of the names of a model that is part of another: "model.", "" for most files. Averages of the weights
// that a training run keeps beside them are no model. Two models in one file are an error.
func wrapperOf(tensors []checkpoint.Tensor) (string, error) {
	for _, known := range []string{"embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"} {
		var found []string
		for i := range tensors {
			if prefix, ok := strings.CutSuffix(tensors[i].Name, known); ok && !ofTraining(tensors[i].Name) {
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
			if _, ok := params[p.Google]; !ok && p.Google != "" {
				params[p.Google] = p
			}
		}
	}
	return params
}

// commonType is the type of all the tensors that became parameters, 0 if there are several.
func (m *matching) commonType() checkpoint.DType {
	var common checkpoint.DType
	for _, s := range m.sources {
		switch {
		case s.Tensor == nil:
		case common != 0 && s.DType != common:
			return 0
		default:
			common = s.DType
		}
	}
	return common
}

func (k *catalogue) has(name string) bool {
	_, ok := k.sources[name]
	return ok
}

// head is the head whose tensors are there: of several the one with most, as checkpoints of pre-training have both of its heads.
// A classifier with a pooler is taken as one of texts, without as one of tokens.
func (k *catalogue) head() Head {
	masked := k.has("cls.predictions.transform.dense.weight")
	switch next := k.has("cls.seq_relationship.weight"); {
	case masked && next && k.has(poolerPrefix+"weight"):
		return PreTraining
	case masked:
		return MaskedLM
	case next:
		return NextSentence
	case k.has("qa_outputs.weight"):
		return QuestionAnswering
	case k.has("classifier.weight") && k.has(poolerPrefix+"weight"):
		return SequenceClassification
	case k.has("classifier.weight"):
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

// The canonical names of what the masked LM ties.
const (
	wordWeight  = "embeddings.word_embeddings.weight"
	outputBias  = "cls.predictions.bias"
	decoderBias = "cls.predictions.decoder.bias"
	// onnxDecoder is the decoder in an ONNX graph, named after its bias.
	onnxDecoder = "cls.predictions.weight"

	poolerPrefix = "pooler.dense."
)

// tie makes one of two tied tensors serve as both, whichever the file has, and settles whether the decoder of a masked LM is tied.
// A note says where that is not as the configuration has it.
func (k *catalogue) tie(c *Config, head Head) (note string) {
	instead := func(name, other string) {
		if s, ok := k.sources[other]; ok && !k.has(name) {
			delete(k.sources, other)
			k.sources[name] = s
		}
	}
	instead(outputBias, decoderBias)
	instead(decoderWeight, onnxDecoder)
	if !c.UntiedDecoder {
		instead(wordWeight, decoderWeight)
	} else if heads[head].maskedLM && !k.has(decoderWeight) {
		c.UntiedDecoder = false
		return "tie_word_embeddings is false, but the file has no decoder of its own: the decoder is the word embedding"
	}
	return ""
}

// fit makes the configuration that of a graph, which may have been exported for a fixed length or for one segment, and whose
// decoder may have been quantized in another way than the word embedding.
func (k *catalogue) fit(c *Config, head Head) (note string) {
	for name, size := range map[string]*int{
		"embeddings.position_embeddings.weight": &c.MaxPositionEmbeddings, "embeddings.token_type_embeddings.weight": &c.TypeVocabSize,
	} {
		if s, ok := k.sources[name]; ok && len(s.Shape) == 2 && s.Shape[0] >= 1 && s.Shape[0] < *size {
			*size = s.Shape[0]
		}
	}
	decoder, word := k.sources[decoderWeight], k.sources[wordWeight]
	if heads[head].maskedLM && decoder.Tensor != nil && word.Tensor != nil && !c.UntiedDecoder && !decoder.same(word) {
		c.UntiedDecoder = true
		return "the graph's decoder is not its word embedding: it is used as a matrix of its own"
	}
	return ""
}

// notParameters are buffers that some versions of Hugging Face's tools store: 0, 1, 2, … and zeros.
var notParameters = []string{"embeddings.position_ids", "embeddings.token_type_ids"}

// matching pairs a table of parameters with the tensors of a file.
type matching struct {
	sources  []source // of the table's rows; without a tensor where a row has none
	newHead  []string // rows of a head or a pooler that the file does not have
	missing  []string // other rows without a tensor
	leftOver []string // tensors that are no part of the model
	unknown  []string // those of them that are of no head
}

// none reports whether nothing of the model is in the file.
func (m *matching) none() bool {
	return !slices.ContainsFunc(m.sources, func(s source) bool { return s.Tensor != nil })
}

// groupOf is the part of a model that a file has or does not have as a whole: a prefix of canonical names, "" for the encoder.
func groupOf(p *Param) string {
	name := canonicalName(p.Name)
	switch {
	case strings.HasPrefix(name, poolerPrefix):
		return poolerPrefix
	case !p.Head:
		return ""
	case strings.HasPrefix(name, "cls.predictions."):
		return "cls.predictions."
	}
	return name[:strings.LastIndexByte(name, '.')+1]
}

// match pairs params with the catalogue. With newHead, a head's layer may have another width than the file's, and then begins
// anew.
func (k *catalogue) match(params []Param, head Head, newHead bool) (*matching, error) {
	// Of each head and of the pooler: whether something of it is there, and whether all that is there fits.
	there, misfit := make(map[string]bool), make(map[string]bool)
	for i := range params {
		p := &params[i]
		if s, ok := k.sources[canonicalName(p.Name)]; ok {
			there[groupOf(p)] = true
			misfit[groupOf(p)] = misfit[groupOf(p)] || !slices.Equal(s.shape(), p.Shape)
		}
	}
	m := &matching{sources: make([]source, len(params))}
	taken := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		group := groupOf(p)
		s, ok := k.sources[canonicalName(p.Name)]
		switch {
		case group != "" && (!there[group] || p.Head && newHead && misfit[group]):
			taken[canonicalName(p.Name)] = true
			m.newHead = append(m.newHead, p.Name)
		case !ok:
			m.missing = append(m.missing, p.Name)
		case slices.Equal(s.shape(), p.Shape):
			m.sources[i] = s
			taken[canonicalName(p.Name)] = true
		default:
			want := source{Tensor: &checkpoint.Tensor{Shape: p.Shape}, transposed: s.transposed}.shape()
			return nil, &TensorError{Name: s.Name, Reason: TensorMisshapen, Got: s.Shape, Want: want}
		}
	}
	if err := k.leftOver(m, head, taken); err != nil {
		return nil, err
	}
	return m, nil
}

// leftOver lists the tensors that no parameter took. Copies of what is there already, as some tools store them, are no
// left-overs; but a masked LM can't be without the decoder that it was trained with.
func (k *catalogue) leftOver(m *matching, head Head, taken map[string]bool) error {
	copies := map[string]string{decoderWeight: wordWeight, decoderBias: outputBias, onnxDecoder: wordWeight}
	for name, s := range k.sources {
		if taken[name] || slices.Contains(notParameters, name) {
			continue
		}
		if original, ok := k.sources[copies[name]]; ok {
			switch {
			case s.same(original):
				continue
			case heads[head].maskedLM:
				return &TensorError{Name: s.Name, Others: []string{original.Name}, Reason: TensorUntied}
			}
		}
		m.leftOver = append(m.leftOver, s.Name)
		if !isHead(name) {
			m.unknown = append(m.unknown, s.Name)
		}
	}
	slices.Sort(m.leftOver)
	slices.Sort(m.unknown)
	return nil
}

// errNoBERT is the error of a file without any parameter of the model.
var errNoBERT = errors.New("none of its tensors has the name of a BERT's parameter")

// Compare says what loading tensors as a model of the configuration would report, without loading them: what is missing and
// what is left over. Where the configuration names no class of Hugging Face's, the head is the one whose tensors are there.
// Tensors need no Data. A shape that does not fit is an error.
func Compare(c Config, tensors []checkpoint.Tensor) (Head, LoadReport, error) {
	k, err := newCatalogue(&c, tensors)
	if err != nil {
		return 0, LoadReport{}, err
	}
	if err := k.foreign(); err != nil {
		return 0, LoadReport{}, err
	}
	head, err := k.chooseHead(&c, nil, headOfConfig{})
	if err != nil {
		return 0, LoadReport{}, err
	}
	k.tie(&c, head)
	params := Params(&c, head)
	if head == NoHead && !k.has(poolerPrefix+"weight") && !k.has(poolerPrefix+"bias") {
		params = slices.DeleteFunc(params, func(p Param) bool { return groupOf(&p) == poolerPrefix })
	}
	m, err := k.match(params, head, false)
	if err != nil {
		return head, LoadReport{}, err
	}
	report := k.report(m)
	if len(k.sources) > 0 && m.none() {
		return head, report, errNoBERT
	}
	return head, report, nil
}

// CheckTensors reports that tensors are of a kind that can't be run: a *ModelKindError or a *ForeignModelError. It looks at names
// alone.
func CheckTensors(tensors []checkpoint.Tensor) error {
	k := &catalogue{sources: make(map[string]source, len(tensors))}
	for i := range tensors {
		k.sources[tensors[i].Name] = source{Tensor: &tensors[i]}
	}
	return k.foreign()
}

// report is a matching as Load reports it.
func (k *catalogue) report(m *matching) LoadReport {
	r := LoadReport{NewHead: m.newHead, Missing: m.missing, LeftOver: m.leftOver, Unknown: m.unknown, Training: k.training, DType: m.commonType()}
	for _, s := range m.sources {
		if s.Tensor != nil && s.scale != nil {
			r.Int8 = append(r.Int8, s.Name)
		}
	}
	return r
}

// chooseHead is the head of the file by a choice. keys are those that the configuration's file has. Labels that it leaves open
// become as many as the classifier has.
func (k *catalogue) chooseHead(c *Config, keys map[string]bool, choice HeadChoice) (Head, error) {
	found := k.head()
	head, err := choice.choose(c, &found)
	if err != nil {
		return head, err
	}
	n := k.labels()
	if !heads[head].labels() || n < 1 || n > maxLabels || n == len(c.Labels) {
		return head, nil
	}
	switch _, given := choice.(Head); {
	case len(c.labelNames) > 0:
		c.Labels, c.notes = labelsOf(c.labelNames, n)
	case !given && !keys["id2label"] && !keys["label2id"] && !keys["num_labels"] && slices.Equal(c.Labels, DefaultConfig().Labels):
		c.Labels = defaultLabels(n)
	}
	return head, nil
}
