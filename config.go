package bert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/files"
)

// Config describes a BERT: its sizes, its constants and what its head is for. The names are those of config.json
// (Hugging Face) and bert_config.json (google-research/bert modeling.py, BertConfig).
type Config struct {
	VocabSize             int // V, tokens in the vocabulary
	HiddenSize            int // H, width of a hidden state
	NumHiddenLayers       int // L
	NumAttentionHeads     int // A; H is a multiple of it
	IntermediateSize      int // width between the two products of a feed-forward block, 4H in the paper
	MaxPositionEmbeddings int // the longest sequence, in tokens
	TypeVocabSize         int // number of segments

	// PrunedHeads lists the heads that were taken out of a layer, by the numbers that they had; nil: none were. Every layer has a head.
	PrunedHeads map[int][]int

	// HiddenAct is the activation of the feed-forward blocks and of the masked-LM head: gelu (by erf), gelu_new,
	// gelu_pytorch_tanh, gelu_fast (all three the tanh form), relu, silu, swish or tanh.
	HiddenAct string

	HiddenDropoutProb         float64
	AttentionProbsDropoutProb float64
	// ClassifierDropout is the dropout before a classifier; nil: HiddenDropoutProb.
	ClassifierDropout *float64

	LayerNormEps     float64
	InitializerRange float64 // standard deviation of new weights
	PadTokenID       int

	// Labels are the names of a classifier's classes in the order of its logits (id2label). Their number is the
	// classifier's width.
	Labels []string
	// ProblemType is what a SequenceClassification head is for; the zero value leaves it to the labels: see Problem.
	ProblemType ProblemType
	// Architectures names the model's head as Hugging Face does: BertForSequenceClassification and so on.
	Architectures []string
	// UntiedDecoder says that the masked LM's decoder is a matrix of its own, and not the word embedding as in the paper: the
	// reverse of tie_word_embeddings.
	UntiedDecoder bool

	// Quantization says which of the file's weights are int8; nil: none are said to be.
	Quantization *Quantization

	// Extra holds the keys of the file that say nothing about the computation, or nothing this package knows. They are
	// written back by Save.
	Extra map[string]json.RawMessage
	// Unknown lists, in order, those keys of Extra that no BERT configuration has, such as a misspelt one. They are at most
	// 100: a file with more is refused.
	Unknown []string

	notes      []string       // sentences: what the file leaves open or contradicts, and what was taken
	labelNames map[int]string // id2label, where its ids are not 0 to n−1
}

// DefaultConfig is BERT-base uncased (Devlin et al. 2018, §3) with two labels.
func DefaultConfig() Config {
	return Config{
		VocabSize: 30522, HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12, IntermediateSize: 3072,
		MaxPositionEmbeddings: 512, TypeVocabSize: 2, HiddenAct: "gelu",
		HiddenDropoutProb: 0.1, AttentionProbsDropoutProb: 0.1,
		LayerNormEps: 1e-12, InitializerRange: 0.02, Labels: defaultLabels(2),
	}
}

func defaultLabels(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = "LABEL_" + strconv.Itoa(i)
	}
	return labels
}

// NumLabels is the width of a classifier.
func (c *Config) NumLabels() int { return len(c.Labels) }

// activations are the values of hidden_act.
var activations = map[string]compute.Activation{
	"gelu":              compute.GELU,
	"gelu_python":       compute.GELU,
	"gelu_new":          compute.GELUTanh,
	"gelu_pytorch_tanh": compute.GELUTanh,
	"gelu_fast":         compute.GELUTanh,
	"relu":              compute.ReLU,
	"silu":              compute.SiLU,
	"swish":             compute.SiLU,
	"tanh":              compute.Tanh,
	"linear":            compute.Identity,
}

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	for _, limit := range sizeLimits {
		switch n := limit.size(c); {
		case n < 1:
			return fmt.Errorf("%s is %d, want at least 1", limit.key, n)
		case n > limit.most:
			return fmt.Errorf("%s is %d, want at most %d: no published BERT comes near that", limit.key, n, limit.most)
		}
	}
	if n := c.parameters(); n > maxParameters {
		return fmt.Errorf("these sizes make a model of %d million parameters, want at most %d million", n/1e6, int64(maxParameters/1e6))
	}
	if c.HiddenSize%c.NumAttentionHeads != 0 {
		return fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d", c.HiddenSize, c.NumAttentionHeads)
	}
	if err := c.checkPrunedHeads(); err != nil {
		return err
	}
	if _, ok := activations[c.HiddenAct]; !ok {
		return fmt.Errorf("hidden_act is %s, want one of %s", quoteShort(c.HiddenAct), strings.Join(slices.Sorted(maps.Keys(activations)), ", "))
	}
	for _, p := range c.dropouts() {
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("%s is %v, want a share in [0, 1]", p.key, p.value)
		}
	}
	if !(c.LayerNormEps > 0 && c.LayerNormEps < 1) {
		return fmt.Errorf("layer_norm_eps is %v, want a small positive number", c.LayerNormEps)
	}
	if !(c.InitializerRange >= 0 && c.InitializerRange < 10) {
		return fmt.Errorf("initializer_range is %v, want a small number that is not negative", c.InitializerRange)
	}
	switch n := len(c.Labels); {
	case n == 0:
		return errors.New("id2label is empty, want at least one label")
	case n > maxLabels:
		return fmt.Errorf("%d labels, want at most %d", n, maxLabels)
	}
	seen := make(map[string]bool, len(c.Labels))
	for _, l := range c.Labels {
		if seen[l] {
			return fmt.Errorf("id2label names %s twice", quoteShort(l))
		}
		seen[l] = true
	}
	if int(c.ProblemType) >= len(problems) {
		return fmt.Errorf("problem_type is %v, want %s", c.ProblemType, problemNames())
	}
	return nil
}

// checkTraining reports what is fine for inference, but leaves nothing to be learnt.
func (c *Config) checkTraining() error {
	for _, p := range c.dropouts() {
		if p.value >= 1 {
			return fmt.Errorf("%s is %v, which drops everything: want a share below 1 for training", p.key, p.value)
		}
	}
	return nil
}

// dropout is a share of the configuration, with its key.
type dropout struct {
	key   string
	value float64
}

func (c *Config) dropouts() []dropout {
	return []dropout{
		{"hidden_dropout_prob", c.HiddenDropoutProb}, {"attention_probs_dropout_prob", c.AttentionProbsDropoutProb},
		{"classifier_dropout", c.classifierDropout()},
	}
}

// sizeLimits are the sizes of a model with their limits, so that one long number in a configuration can't ask for more memory
// than there is. They leave a margin over what is published: Megatron-BERT of 3.9 billion parameters has 48 layers of 2,560 with
// 40 heads (Shoeybi et al. 2019), LaBSE a vocabulary of 501,153, TAPAS segments of 256.
var sizeLimits = []struct {
	key  string
	size func(*Config) int
	most int
}{
	{"vocab_size", func(c *Config) int { return c.VocabSize }, maxVocabulary},
	{"hidden_size", func(c *Config) int { return c.HiddenSize }, 1 << 14},
	{"num_hidden_layers", func(c *Config) int { return c.NumHiddenLayers }, 256},
	{"num_attention_heads", func(c *Config) int { return c.NumAttentionHeads }, 1024},
	{"intermediate_size", func(c *Config) int { return c.IntermediateSize }, 1 << 16},
	{"max_position_embeddings", func(c *Config) int { return c.MaxPositionEmbeddings }, 1 << 16},
	{"type_vocab_size", func(c *Config) int { return c.TypeVocabSize }, 1 << 12},
}

const (
	maxVocabulary = 1 << 20 // tokens; the same limit as package tokenizer's
	maxLabels     = 1 << 16
	// maxParameters is twice what Megatron-BERT has.
	maxParameters = 8e9
)

// parameters is about the number of parameters without the head. No product overflows within sizeLimits.
func (c *Config) parameters() int64 {
	var (
		h     = int64(c.HiddenSize)
		layer = 4*h*(h+1) + 2*h*int64(c.IntermediateSize)
		rows  = int64(c.VocabSize) + int64(c.MaxPositionEmbeddings) + int64(c.TypeVocabSize)
	)
	return rows*h + int64(c.NumHiddenLayers)*layer
}

func (c *Config) classifierDropout() float64 {
	if c.ClassifierDropout != nil {
		return *c.ClassifierDropout
	}
	return c.HiddenDropoutProb
}

// configKey is a row of the table that ParseConfig and MarshalJSON share: a key and the field it fills.
type configKey struct {
	name     string
	field    func(*Config) any // pointer to the field
	required bool
	optional bool // left out when the field is its zero value
}

var configKeys = []configKey{
	{name: "architectures", field: func(c *Config) any { return &c.Architectures }, optional: true},
	{name: "vocab_size", field: func(c *Config) any { return &c.VocabSize }, required: true},
	{name: "hidden_size", field: func(c *Config) any { return &c.HiddenSize }, required: true},
	{name: "num_hidden_layers", field: func(c *Config) any { return &c.NumHiddenLayers }, required: true},
	{name: "num_attention_heads", field: func(c *Config) any { return &c.NumAttentionHeads }, required: true},
	{name: "pruned_heads", field: func(c *Config) any { return &c.PrunedHeads }, optional: true},
	{name: "intermediate_size", field: func(c *Config) any { return &c.IntermediateSize }, required: true},
	{name: "hidden_act", field: func(c *Config) any { return &c.HiddenAct }},
	{name: "hidden_dropout_prob", field: func(c *Config) any { return &c.HiddenDropoutProb }},
	{name: "attention_probs_dropout_prob", field: func(c *Config) any { return &c.AttentionProbsDropoutProb }},
	{name: "classifier_dropout", field: func(c *Config) any { return &c.ClassifierDropout }, optional: true},
	{name: "max_position_embeddings", field: func(c *Config) any { return &c.MaxPositionEmbeddings }},
	{name: "type_vocab_size", field: func(c *Config) any { return &c.TypeVocabSize }},
	{name: "initializer_range", field: func(c *Config) any { return &c.InitializerRange }},
	{name: "layer_norm_eps", field: func(c *Config) any { return &c.LayerNormEps }},
	{name: "pad_token_id", field: func(c *Config) any { return &c.PadTokenID }},
	{name: "problem_type", field: func(c *Config) any { return &c.ProblemType }, optional: true},
}

// fixedKeys change the computation in ways this package does not know; any value but the one here is refused.
var fixedKeys = map[string]any{
	"position_embedding_type": "absolute",
	"is_decoder":              false,
	"add_cross_attention":     false,
	"is_encoder_decoder":      false,
}

// carriedKeys occur in published BERT configurations and change nothing here: they are kept and written back.
var carriedKeys = strings.Fields(`
	_name_or_path _num_labels attn_implementation _attn_implementation_autoset bad_words_ids begin_suppress_tokens
	bos_token_id chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id directionality
	diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id
	exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing
	gelu_form language length_penalty max_length min_length name no_repeat_ngram_size num_beam_groups num_beams
	num_return_sequences output_attentions output_hidden_states output_past output_scores pooler_fc_size
	pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type prefix
	remove_invalid_values repetition_penalty return_dict return_dict_in_generate sbert_ce_default_activation_function
	sentence_transformers sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss tokenizer_class top_k
	top_p torch_dtype torchscript transformers_version typical_p use_bfloat16 use_cache`)

// LoadConfig reads config.json or bert_config.json: a file, or the one in a folder.
func LoadConfig(path string) (Config, error) {
	c, _, err := loadConfig(path)
	return c, err
}

// configFile is what is known of the file of a configuration beside its contents.
type configFile struct {
	name string          // without the folder
	keys map[string]bool // that it has
}

// loadConfig is LoadConfig that also describes the file.
func loadConfig(path string) (c Config, from configFile, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, from, files.PathError(err)
	}
	if info.IsDir() {
		dir := path
		if path, err = FindConfig(dir); errors.Is(err, fs.ErrNotExist) {
			if a, failed := findAdapter(dir); failed != nil {
				return Config{}, from, failed
			} else if a != nil { // its base has the configuration
				base, err := a.base("")
				if err != nil {
					return Config{}, from, err
				}
				if base, err = ModelDir(base); err != nil {
					return Config{}, from, err
				}
				path, err = FindConfig(base)
				if err != nil {
					return Config{}, from, err
				}
			}
		}
		if path == "" {
			return Config{}, from, err
		}
	}
	data, err := files.ReadFile(path, maxConfigFile)
	if err != nil {
		return Config{}, from, err
	}
	from.name = filepath.Base(path)
	c, from.keys, err = parseConfig(data)
	if err != nil {
		return Config{}, from, fmt.Errorf("%s: %w", path, err)
	}
	return c, from, nil
}

// FindConfig is the path of the configuration in a folder: config.json, or bert_config.json without it. The error is
// fs.ErrNotExist if there is neither.
func FindConfig(dir string) (string, error) {
	for _, name := range ConfigFiles() {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", noConfigError(dir)
}

// ConfigFiles are the names that a configuration may have in a folder. A folder without one is no model directory.
func ConfigFiles() []string { return []string{configName, googleConfigName} }

// noConfigError is for a folder without a configuration.
type noConfigError string

func (dir noConfigError) Error() string {
	return string(dir) + ": no config.json or bert_config.json in it: this is no model directory"
}

func (noConfigError) Is(target error) bool { return target == fs.ErrNotExist }

// Limits on the file of a configuration. That of BERT-base has 600 bytes and 20 keys; 65,536 labels take 4 MB.
const (
	maxConfigFile = 8 << 20 // bytes
	maxConfigKeys = 1000
	maxUnknown    = 100
	maxKeyBytes   = 200
	maxValueBytes = 4096 // of a key that is no list of labels and is not just carried along
)

// The names of a configuration in a folder: Hugging Face's and google-research/bert's.
const (
	configName       = "config.json"
	googleConfigName = "bert_config.json"
)

// ParseConfig reads the JSON of config.json or bert_config.json and validates it. A key with a value of the wrong type,
// or one that asks for a computation that is not BERT's, is an error; keys that no BERT configuration has are listed
// in Unknown.
func ParseConfig(data []byte) (Config, error) {
	c, _, err := parseConfig(data)
	return c, err
}

// parseConfig is ParseConfig that also returns the keys that the JSON has.
func parseConfig(data []byte) (c Config, has map[string]bool, err error) {
	keys, err := jsonObject(data)
	if err != nil {
		return Config{}, nil, err
	}
	has = make(map[string]bool, len(keys))
	for name := range keys {
		has[name] = true
	}
	if c, err = fromKeys(keys); err != nil {
		return Config{}, nil, err
	}
	return c, has, nil
}

// fromKeys makes a configuration of the keys of a file, which it takes out of the map.
func fromKeys(keys map[string]json.RawMessage) (Config, error) {
	c := DefaultConfig()
	if err := checkModelType(keys); err != nil {
		return Config{}, err
	}
	for _, k := range configKeys {
		raw, ok := keys[k.name]
		delete(keys, k.name)
		if !ok || string(raw) == "null" {
			if k.required {
				return Config{}, fmt.Errorf("no key %q", k.name)
			}
			continue
		}
		if len(raw) > maxValueBytes {
			return Config{}, fmt.Errorf("%s is %s, want %s of at most %d bytes", k.name, abbreviate(raw), jsonKind(k.field(&c)), maxValueBytes)
		}
		if err := decodeField(raw, k.field(&c)); err != nil {
			return Config{}, fmt.Errorf("%s is %s, want %s", k.name, abbreviate(raw), jsonKind(k.field(&c)))
		}
	}
	c.tidyPrunedHeads()
	if raw, ok := keys["tie_word_embeddings"]; ok {
		tied := true
		if err := decodeField(raw, &tied); err != nil {
			return Config{}, fmt.Errorf("tie_word_embeddings is %s, want true or false", abbreviate(raw))
		}
		c.UntiedDecoder = !tied
		delete(keys, "tie_word_embeddings")
	}
	for _, name := range slices.Sorted(maps.Keys(fixedKeys)) {
		raw, ok := keys[name]
		if !ok {
			continue
		}
		want, err := json.Marshal(fixedKeys[name])
		if err != nil {
			return Config{}, err
		}
		if text := strings.ToLower(string(raw)); text != string(want) && text != `"`+string(want)+`"` && text != "null" {
			return Config{}, fmt.Errorf("%s is %s, only %s is supported", name, abbreviate(raw), want)
		}
		delete(keys, name)
	}
	if raw, ok := keys[quantizationKey]; ok {
		q, err := parseQuantization(raw)
		if err != nil {
			return Config{}, err
		}
		if c.Quantization = q; q != nil {
			delete(keys, quantizationKey)
		}
	}
	if err := c.parseLabels(keys); err != nil {
		return Config{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if c.Extra == nil {
			c.Extra = make(map[string]json.RawMessage)
		}
		c.Extra[name] = keys[name]
		if !slices.Contains(carriedKeys, name) {
			c.Unknown = append(c.Unknown, name)
		}
	}
	if len(c.Unknown) > maxUnknown {
		return Config{}, fmt.Errorf("%d keys that no BERT configuration has, such as %q: it is of another model", len(c.Unknown), c.Unknown[0])
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// jsonObject splits an object into its keys; a key given twice is an error.
func jsonObject(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	t, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	keys := make(map[string]json.RawMessage)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		name, _ := t.(string)
		switch {
		case len(name) > maxKeyBytes:
			return nil, fmt.Errorf("a key of %d bytes, %s: want at most %d", len(name), quoteShort(name), maxKeyBytes)
		case len(keys) == maxConfigKeys:
			return nil, fmt.Errorf("more than %d keys, which no BERT configuration has", maxConfigKeys)
		}
		if _, twice := keys[name]; twice {
			return nil, fmt.Errorf("key %q twice", name)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("key %q: not JSON: %w", name, err)
		}
		keys[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if dec.More() {
		return nil, errors.New("something follows the JSON object")
	}
	return keys, nil
}

// MarshalJSON writes config.json as Hugging Face's tools do.
func (c Config) MarshalJSON() ([]byte, error) {
	keys := maps.Clone(c.Extra)
	if keys == nil {
		keys = make(map[string]json.RawMessage)
	}
	put := func(name string, v any) error {
		raw, err := json.Marshal(v)
		keys[name] = raw
		return err
	}
	for _, k := range configKeys {
		if v := reflect.ValueOf(k.field(&c)).Elem(); k.optional && v.IsZero() {
			continue
		}
		if err := put(k.name, k.field(&c)); err != nil {
			return nil, err
		}
	}
	id2label := make(map[string]string, len(c.Labels))
	label2id := make(map[string]int, len(c.Labels))
	for i, l := range c.Labels {
		id2label[strconv.Itoa(i)], label2id[l] = l, i
	}
	for name, v := range map[string]any{
		"id2label": id2label, "label2id": label2id, "model_type": modelType, "position_embedding_type": "absolute",
	} {
		if err := put(name, v); err != nil {
			return nil, err
		}
	}
	if c.UntiedDecoder {
		if err := put("tie_word_embeddings", false); err != nil {
			return nil, err
		}
	}
	if c.Quantization != nil {
		if err := put(quantizationKey, c.Quantization); err != nil {
			return nil, err
		}
	}
	return json.Marshal(keys)
}

// UnmarshalJSON is ParseConfig.
func (c *Config) UnmarshalJSON(data []byte) error {
	parsed, err := ParseConfig(data)
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// jsonKind says in words what JSON a field takes.
func jsonKind(field any) string {
	if _, ok := field.(*ProblemType); ok {
		return "one of " + problemNames()
	}
	t := reflect.TypeOf(field).Elem()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list of strings"
	default:
		return "an object"
	}
}

// abbreviate shortens a piece of a user's JSON for an error message.
func abbreviate(raw []byte) string {
	const most = 40
	s := strings.ToValidUTF8(string(raw[:min(len(raw), 4*most)]), "�")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// quoteShort quotes the beginning of a user's string for an error message.
func quoteShort(s string) string { return strconv.Quote(abbreviate([]byte(s[:min(len(s), 200)]))) }
