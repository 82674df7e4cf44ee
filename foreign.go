package bert

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ModelKindError is the error of a file of tensors that belong to a kind of model that can't be run from them alone.
type ModelKindError struct {
	// Kind says what the file holds, as in "weights that bitsandbytes quantized".
	Kind string
	// Tensor is one by which it was recognised.
	Tensor string
	// Advice says what to do instead.
	Advice string
}

func (e *ModelKindError) Error() string {
	return fmt.Sprintf("the file holds %s (tensor %s): %s", e.Kind, e.Tensor, e.Advice)
}

// foreignKind is a kind of models that are recognised by the names of their tensors.
type foreignKind struct {
	names  *regexp.Regexp
	kind   string
	advice string
}

var foreignKinds = []foreignKind{
	{regexp.MustCompile(`(^|\.)(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|ia3_l|vera_lambda_[bd]|oft_r|hada_w1_a|lokr_w1)(\.|$)`),
		"an adapter that is not merged, such as LoRA's", "merge it into its base model, or give the folder that has adapter_config.json"},
	{regexp.MustCompile(`(^|\.)(prompt_encoder|prompt_embeddings|prefix_tuning|adapters|adapter_down|adapter_up)(\.|$)`),
		"adapters or prompts beside the layers of a BERT", "these change what the layers compute, and are not supported"},
	{regexp.MustCompile(`\.(SCB|weight_format|absmax|nested_absmax|quant_map|nested_quant_map|quant_state\.\w+)$`),
		"weights that bitsandbytes quantized", "save the model in float32, float16 or bfloat16"},
	{regexp.MustCompile(`\.(qweight|qzeros|g_idx)$`),
		"weights that GPTQ or AWQ quantized", "save the model in float32, float16 or bfloat16"},
	{regexp.MustCompile(`\.(_packed_params(\._packed_params)?|_packed_params\.dtype|weight_scale|input_scale|weight_packed)$`),
		"quantized weights", "save the model in float32, float16 or bfloat16"},
	{regexp.MustCompile(`\.(distance_embedding\.weight)$`),
		"embeddings of relative positions", "position_embedding_type relative_key is not supported, only absolute"},
	{regexp.MustCompile(`(^|\.)(in_proj_weight|Wqkv\.weight|qkv\.weight|qkv_proj\.weight|query_key_value\.weight)$`),
		"query, key and value fused to one matrix", "save the model in the layout of Hugging Face's BertModel (of BetterTransformer: reverse_bettertransformer)"},
}

// foreignPrefixes are what Hugging Face's classes of other models put before the names of their encoders' tensors.
var foreignPrefixes = regexp.MustCompile(`(^|\.)(distilbert|roberta|xlm_roberta|camembert|electra|albert|mpnet|deberta|convbert|mobilebert|nezha|ernie|rembert|layoutlm|longformer|big_bird|megatron_bert|roformer|squeezebert|funnel)\.|` +
	`(^|\.)discriminator_predictions\.|(^|\.)transformer\.h\.\d+\.|(^|\.)wte\.weight$|(^|\.)encoder\.albert_layer_groups\.`)

// anyForeign matches what one of foreignKinds or foreignPrefixes matches. One search instead of many bounds the time that a file
// with very many names takes.
var anyForeign = func() *regexp.Regexp {
	patterns := []string{foreignPrefixes.String()}
	for _, kind := range foreignKinds {
		patterns = append(patterns, kind.names.String())
	}
	return regexp.MustCompile(strings.Join(patterns, "|"))
}()

// longestForeign is the length of a name beyond which it isn't searched: no program that writes such tensors writes it.
const longestForeign = 128

// foreign reports that the tensors are of a kind that can't be run.
func (k *catalogue) foreign() error {
	names := slices.Sorted(maps.Keys(k.sources))
	for _, name := range names {
		stored := k.sources[name].Name
		if len(stored) > longestForeign || !anyForeign.MatchString(stored) {
			continue
		}
		for _, kind := range foreignKinds {
			if kind.names.MatchString(stored) {
				return &ModelKindError{kind.kind, stored, kind.advice}
			}
		}
		if found := foreignPrefixes.FindStringSubmatch(stored); found != nil {
			family := strings.ReplaceAll(found[2], "_", "-")
			switch {
			case family != "":
			case strings.Contains(stored, "discriminator_predictions."):
				family = "electra"
			case strings.Contains(stored, "albert_layer_groups."):
				family = "albert"
			default:
				family = "gpt2"
			}
			return &ForeignModelError{family}
		}
	}
	return nil
}
