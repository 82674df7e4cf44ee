package bert

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Quantization is what config.json says of int8 weights (quantization_config). The format is that of the library compressed-tensors,
// "int-quantized": an int8 weight has scales beside it, and the configuration says which layers' inputs are quantized too, token by
// token. Other formats are not read.
//
// Layers are named by their own names, by regular expressions after "re:", which match from the beginning, or by the classes
// "Linear" and "Embedding"; a name counts more than an expression, and that more than a class.
type Quantization struct {
	// Inputs names the layers whose inputs are quantized, and WeightsOnly those whose weights alone are.
	Inputs, WeightsOnly []string
	// Ignore names the layers that are not quantized.
	Ignore []string

	patterns map[string]*regexp.Regexp // of the names that are expressions
}

const (
	quantizationKey = "quantization_config"
	linearClass     = "Linear"
	embeddingClass  = "Embedding"
	patternPrefix   = "re:"
)

// Limits on a quantization_config.
const (
	maxQuantizationBytes = 1 << 20
	maxPatterns          = 100
	maxPatternBytes      = 1000
)

// ofInputs reports whether products of int8 are among what q says.
func (q *Quantization) ofInputs() bool { return q != nil && len(q.Inputs) > 0 }

// DefaultPrecision is the precision at which Load reads a model of this configuration where Options don't say: Int8 where its
// products are said to be int8, else Float32.
func (c *Config) DefaultPrecision() Precision {
	if c.Quantization.ofInputs() {
		return Int8
	}
	return Float32
}

// use is how a layer whose weight is int8 uses it. products says that it is a dense layer.
func (q *Quantization) use(layer string, products bool) int8Use {
	class := embeddingClass
	if products {
		class = linearClass
	}
	matches := []func(target string) bool{
		func(target string) bool { return strings.TrimPrefix(target, "bert.") == layer },
		func(target string) bool {
			e := q.patterns[target]
			return e != nil && (e.MatchString(layer) || e.MatchString("bert."+layer))
		},
		func(target string) bool { return target == class },
	}
	for _, match := range matches {
		switch {
		case slices.ContainsFunc(q.Ignore, match):
			return useFloat
		case slices.ContainsFunc(q.Inputs, match):
			return useInputs
		case slices.ContainsFunc(q.WeightsOnly, match):
			return useWeights
		}
	}
	return useWeights
}

// The JSON of a quantization_config, as far as it decides the computation.
type (
	quantizationJSON struct {
		QuantMethod string               `json:"quant_method"`
		Format      string               `json:"format"`
		Status      string               `json:"quantization_status"`
		Groups      map[string]groupJSON `json:"config_groups"`
		Ignore      []string             `json:"ignore"`
	}
	groupJSON struct {
		Targets []string     `json:"targets"`
		Weights *numbersJSON `json:"weights"`
		Inputs  *numbersJSON `json:"input_activations"`
		Outputs *numbersJSON `json:"output_activations"`
	}
	numbersJSON struct {
		Bits      int    `json:"num_bits"`
		Type      string `json:"type"`
		Symmetric bool   `json:"symmetric"`
		Strategy  string `json:"strategy"`
		Dynamic   bool   `json:"dynamic"`
	}
)

const (
	compressedTensors = "compressed-tensors"
	intQuantized      = "int-quantized"
	compressed        = "compressed"
)

var (
	int8Weights = numbersJSON{Bits: 8, Type: "int", Symmetric: true, Strategy: "channel"}
	int8Inputs  = numbersJSON{Bits: 8, Type: "int", Symmetric: true, Strategy: "token", Dynamic: true}
)

// parseQuantization reads a quantization_config. It is nil for one of another format, whose tensors say what is wrong.
func parseQuantization(raw json.RawMessage) (*Quantization, error) {
	if len(raw) > maxQuantizationBytes {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", quantizationKey, len(raw), maxQuantizationBytes)
	}
	var j quantizationJSON
	if json.Unmarshal(raw, &j) != nil || j.QuantMethod != compressedTensors || j.Format != intQuantized {
		return nil, nil
	}
	q := &Quantization{Ignore: j.Ignore}
	for _, name := range slices.Sorted(maps.Keys(j.Groups)) {
		g := j.Groups[name]
		perTensor := int8Weights
		perTensor.Strategy = "tensor"
		if g.Weights == nil || *g.Weights != int8Weights && *g.Weights != perTensor || g.Outputs != nil {
			return nil, nil
		}
		switch {
		case g.Inputs == nil:
			q.WeightsOnly = append(q.WeightsOnly, g.Targets...)
		case *g.Inputs == int8Inputs:
			q.Inputs = append(q.Inputs, g.Targets...)
		default:
			return nil, nil
		}
	}
	return q, q.compile()
}

// compile compiles the names that are expressions.
func (q *Quantization) compile() error {
	q.patterns = make(map[string]*regexp.Regexp)
	for _, target := range slices.Concat(q.Inputs, q.WeightsOnly, q.Ignore) {
		pattern, ok := strings.CutPrefix(target, patternPrefix)
		if !ok || q.patterns[target] != nil {
			continue
		}
		if len(pattern) > maxPatternBytes || len(q.patterns) == maxPatterns {
			return fmt.Errorf("%s has more than %d expressions, or one of more than %d bytes", quantizationKey, maxPatterns, maxPatternBytes)
		}
		e, err := regexp.Compile("^(?:" + pattern + ")")
		if err != nil {
			return fmt.Errorf("%s: target %s: %w", quantizationKey, quoteShort(target), err)
		}
		q.patterns[target] = e
	}
	return nil
}

// MarshalJSON writes the quantization_config.
func (q *Quantization) MarshalJSON() ([]byte, error) {
	j := quantizationJSON{
		QuantMethod: compressedTensors, Format: intQuantized, Status: compressed,
		Groups: make(map[string]groupJSON), Ignore: append([]string{}, q.Ignore...),
	}
	for _, g := range []groupJSON{{Targets: q.Inputs, Weights: &int8Weights, Inputs: &int8Inputs}, {Targets: q.WeightsOnly, Weights: &int8Weights}} {
		if len(g.Targets) > 0 {
			j.Groups[fmt.Sprintf("group_%d", len(j.Groups))] = g
		}
	}
	return json.Marshal(j)
}

// newQuantization describes how layers use int8, by Int8Layer.Name. What most of a class do is said of the class.
func newQuantization(c *Config, head Head, uses map[string]int8Use) *Quantization {
	var (
		q = new(Quantization)
		// full is a layer's name in the file.
		full  = func(l *Int8Layer) string { return strings.TrimSuffix(l.Param, ".weight") }
		count = make(map[int8Use]int)
	)
	layers := Int8Layers(c, head)
	for i := range layers {
		if l := &layers[i]; l.Kind != "embeddings" {
			count[uses[l.Name]]++
		}
	}
	most := useWeights
	if count[useInputs] > 0 {
		most = useInputs
	}
	classed := map[string]int8Use{linearClass: most, embeddingClass: useWeights}
	used := make(map[string]bool)
	for i := range layers {
		l := &layers[i]
		class := linearClass
		if l.Kind == "embeddings" {
			class = embeddingClass
		}
		switch use := uses[l.Name]; {
		case use == useFloat:
			q.Ignore = append(q.Ignore, full(l))
		case use == classed[class]:
			used[class] = true
		case use == useInputs:
			q.Inputs = append(q.Inputs, full(l))
		default:
			q.WeightsOnly = append(q.WeightsOnly, full(l))
		}
	}
	for _, class := range []string{embeddingClass, linearClass} {
		switch {
		case !used[class]:
		case classed[class] == useInputs:
			q.Inputs = slices.Insert(q.Inputs, 0, class)
		default:
			q.WeightsOnly = slices.Insert(q.WeightsOnly, 0, class)
		}
	}
	if used[linearClass] { // the dense layers that are never quantized
		for _, p := range Params(c, head) {
			name, ok := strings.CutSuffix(p.Name, ".weight")
			if ok && len(p.Shape) == 2 && kindOf(canonicalLayer(p.Name)) == nil {
				q.Ignore = append(q.Ignore, name)
			}
		}
		if heads[head].maskedLM && !c.UntiedDecoder { // the word embedding once more
			q.Ignore = append(q.Ignore, strings.TrimSuffix(decoderWeight, ".weight"))
		}
	}
	return q
}
