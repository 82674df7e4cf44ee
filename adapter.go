package bert

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

// The names of an adapter's files in a folder, those of PEFT (peft/utils/constants.py).
const (
	adapterConfigName = "adapter_config.json"
	adapterWeights    = "adapter_model.safetensors"
	adapterTorch      = "adapter_model.bin"
)

// AdapterError is the error of an adapter that can't be run.
type AdapterError struct {
	Path string // of the adapter's folder
	Type string // such as LORA
	Base string // the name of its base model; "" if it has none
	// Reason says why.
	Reason string
}

func (e *AdapterError) Error() string {
	of := "a base model that it does not name"
	if e.Base != "" {
		of = quoteShort(e.Base)
	}
	return fmt.Sprintf("%s: this is a %s adapter of %s, not a model: %s", e.Path, abbreviate([]byte(e.Type)), of, e.Reason)
}

// adapter is a low-rank change of a model's matrices (Hu et al. 2021, LoRA, arXiv:2106.09685), as PEFT stores it.
type adapter struct {
	dir     string
	weights string // its file
	from    string // the base, once it is found

	Type        string             `json:"peft_type"`
	Task        string             `json:"task_type"`
	BaseModel   string             `json:"base_model_name_or_path"`
	Rank        int                `json:"r"`
	Alpha       float64            `json:"lora_alpha"`
	RankPattern map[string]int     `json:"rank_pattern"`
	Patterns    map[string]float64 `json:"alpha_pattern"`
	RSLoRA      bool               `json:"use_rslora"`
	DoRA        bool               `json:"use_dora"`
	FanInFanOut bool               `json:"fan_in_fan_out"`
}

// findAdapter is the adapter in a folder, or that whose file path is; nil where there is a model, or nothing of an adapter.
func findAdapter(path string) (*adapter, error) {
	dir := path
	switch base := filepath.Base(path); {
	case base == adapterWeights || base == adapterTorch:
		dir = filepath.Dir(path)
	default:
		for _, name := range []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return nil, nil // with an adapter merged into it, or beside it
			}
		}
	}
	data, err := files.ReadFile(filepath.Join(dir, adapterConfigName), maxConfigFile)
	if err != nil {
		return nil, nil // a file of weights, or none
	}
	a := &adapter{dir: dir, Rank: 8, Alpha: 8}
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("%s: not the configuration of an adapter", filepath.Join(dir, adapterConfigName))
	}
	for _, name := range []string{adapterWeights, adapterTorch} {
		if at := filepath.Join(dir, name); a.weights == "" {
			if _, err := os.Stat(at); err == nil {
				a.weights = at
			}
		}
	}
	switch {
	case !strings.EqualFold(a.Type, "LORA"):
		return nil, a.error("only LORA is supported; merge it into its base model")
	case a.DoRA:
		return nil, a.error("it is one of DoRA (use_dora), which is not supported; merge it into its base model")
	case a.weights == "":
		return nil, a.error("neither " + adapterWeights + " nor " + adapterTorch + " is there")
	}
	return a, nil
}

func (a *adapter) error(format string, args ...any) error {
	return &AdapterError{a.dir, a.Type, a.BaseModel, fmt.Sprintf(format, args...)}
}

// base is the path of the base model: the one that is given or, if it is a folder, the one that the adapter names.
func (a *adapter) base(given string) (string, error) {
	if a.from = given; given != "" {
		return given, nil
	}
	for _, path := range []string{a.BaseModel, filepath.Join(a.dir, a.BaseModel)} {
		if a.BaseModel == "" {
			break
		}
		if _, err := FindConfig(path); err == nil {
			a.from = path
			return path, nil
		}
	}
	return "", a.error("its base is not here: put it in a folder of that name, or merge the adapter into it")
}

func (a *adapter) note() string {
	return fmt.Sprintf("the LoRA adapter %s is merged into its base model %s", a.dir, a.from)
}

// loraName splits the name of an adapter's tensor: base_model.model.bert.…query.lora_A.weight, with the adapter's name before the last
// part in some files.
var loraName = lazyregexp.New(`^(.*)\.lora_([AB])(\.[^.]+)?\.weight$`)

// merge changes the sources of a base model: W + s·B·A for each pair of matrices A [r,in] and B [out,r], and what the adapter
// holds whole, such as a classifier, in the place of the base's.
func (a *adapter) merge(k *catalogue) error {
	file, err := checkpoint.Open(a.weights)
	if err != nil {
		return err
	}
	defer file.Close()
	type pair struct{ A, B *checkpoint.Tensor }
	pairs := make(map[string]*pair)
	tensors := file.Tensors()
	for i := range tensors {
		t := &tensors[i]
		name := strings.TrimPrefix(strings.TrimPrefix(t.Name, "base_model.model."), "base_model.")
		if m := loraName().FindStringSubmatch(name); m != nil {
			p := pairs[m[1]]
			if p == nil {
				p = new(pair)
				pairs[m[1]] = p
			}
			if m[2] == "A" {
				p.A = t
			} else {
				p.B = t
			}
			continue
		}
		if strings.Contains(name, "lora_") {
			return a.error("its tensor %s is of a kind that is not supported; merge it into its base model", t.Name)
		}
		name = strings.NewReplacer(".modules_to_save.default", "", ".modules_to_save", "", ".base_layer", "").Replace(name)
		own := *t
		own.Data = slices.Clone(t.Data)
		k.sources[canonicalName(name)] = source{Tensor: &own}
	}
	if len(tensors) == 0 {
		return a.error("its file has no tensors")
	}
	for module, p := range pairs {
		name := canonicalName(module + ".weight")
		s, ok := k.sources[name]
		switch {
		case p.A == nil || p.B == nil:
			return a.error("one of the two matrices of %s is missing", module)
		case !ok:
			return a.error("the base model has no %s, which it changes", name)
		}
		merged, err := a.merged(module, s, p.A, p.B)
		if err != nil {
			return err
		}
		k.sources[name] = source{Tensor: merged}
	}
	return nil
}

// merged is W + s·B·A in float32, [out,in].
func (a *adapter) merged(module string, s source, A, B *checkpoint.Tensor) (*checkpoint.Tensor, error) {
	shape := s.shape()
	if len(A.Shape) != 2 || len(B.Shape) != 2 || len(shape) != 2 || A.Shape[0] != B.Shape[1] || A.Shape[0] < 1 || B.Shape[0] != shape[0] || A.Shape[1] != shape[1] {
		return nil, a.error("the shapes %v and %v of %s's matrices do not fit its weight of shape %v", A.Shape, B.Shape, module, shape)
	}
	weight, err := s.values()
	if err != nil {
		return nil, err
	}
	down, err := source{Tensor: A}.values()
	if err != nil {
		return nil, err
	}
	up, err := source{Tensor: B}.values()
	if err != nil {
		return nil, err
	}
	rank, alpha := A.Shape[0], a.Alpha
	for pattern, value := range a.Patterns {
		// As in PEFT (get_pattern_key), a pattern is the end of a module's name, or a regular expression for it.
		re, err := regexp.Compile(`^(.*\.)?(` + pattern + `)$`)
		if err != nil {
			return nil, a.error("its alpha_pattern %s can't be read", quoteShort(pattern))
		}
		if re.MatchString(module) {
			alpha = value
		}
	}
	scale := alpha / float64(rank)
	if a.RSLoRA {
		scale = alpha / math.Sqrt(float64(rank))
	}
	out, in := shape[0], shape[1]
	for o := range out {
		row := weight[o*in : (o+1)*in]
		for i := range row {
			sum := 0.0
			for r := range rank {
				sum += float64(up[o*rank+r]) * float64(down[r*in+i])
			}
			row[i] = float32(float64(row[i]) + scale*sum)
		}
	}
	data, err := checkpoint.FromFloat32(checkpoint.F32, weight)
	if err != nil {
		return nil, err
	}
	return &checkpoint.Tensor{Name: s.Name, DType: checkpoint.F32, Shape: shape, Data: data}, nil
}

// head is the head of the adapter's task, and false where it names none of BERT's.
func (a *adapter) head() (Head, bool) {
	heads := map[string]Head{
		"SEQ_CLS": SequenceClassification, "TOKEN_CLS": TokenClassification, "QUESTION_ANS": QuestionAnswering, "FEATURE_EXTRACTION": NoHead,
	}
	h, ok := heads[a.Task]
	return h, ok
}

// TokenizerDir is the folder of the tokenizer of a model, for any path that Load takes: ModelDir or, of an adapter that has no
// tokenizer's files, that of its base model, which is given as Options.Base is.
func TokenizerDir(path, base string) string {
	dir, err := ModelDir(path)
	if err != nil {
		return path
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "vocab.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir
		}
	}
	a, err := findAdapter(dir)
	if a == nil || err != nil {
		return dir
	}
	from, err := a.base(base)
	if err != nil {
		return dir
	}
	if from, err = ModelDir(from); err != nil {
		return dir
	}
	return from
}
