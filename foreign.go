package bert

import (
	"cmp"
	"fmt"
	"maps"
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

// foreignKind is a kind of models that are recognised by a component of a tensor's name, between its points.
type foreignKind struct {
	components string // between blanks
	kind       string
	advice     string
}

var foreignKinds = []foreignKind{
	{"lora_A lora_B lora_embedding_A lora_embedding_B lora_magnitude_vector ia3_l vera_lambda_b vera_lambda_d oft_r hada_w1_a lokr_w1",
		"an adapter that is not merged, such as LoRA's", "merge it into its base model, or give the folder that has adapter_config.json"},
	{"prompt_encoder prompt_embeddings prefix_tuning adapters adapter_down adapter_up",
		"adapters or prompts beside the layers of a BERT", "these change what the layers compute, and are not supported"},
	{"SCB weight_format absmax nested_absmax quant_map nested_quant_map quant_state",
		"weights that bitsandbytes quantized", "save the model in float32, float16 or bfloat16"},
	{"qweight qzeros g_idx",
		"weights that GPTQ or AWQ quantized", "save the model in float32, float16 or bfloat16"},
	{"_packed_params weight_scale input_scale weight_packed weight_zero_point weight_g_idx",
		"quantized weights", "save the model in float32, float16 or bfloat16"},
	{"distance_embedding",
		"embeddings of relative positions", "position_embedding_type relative_key is not supported, only absolute"},
	{"in_proj_weight Wqkv qkv qkv_proj query_key_value",
		"query, key and value fused to one matrix", "save the model in the layout of Hugging Face's BertModel (of BetterTransformer: reverse_bettertransformer)"},
}

// foreignFamilies are the models of which a component of a name is a sign: what Hugging Face's classes put before the names of their
// encoders' tensors, "" where that is the name of the family, or a part that only this family has.
var foreignFamilies = map[string]string{
	"distilbert": "", "roberta": "", "xlm_roberta": "", "camembert": "", "electra": "", "albert": "", "mpnet": "", "deberta": "",
	"convbert": "", "mobilebert": "", "nezha": "", "ernie": "", "rembert": "", "layoutlm": "", "longformer": "", "big_bird": "",
	"megatron_bert": "", "roformer": "", "squeezebert": "", "funnel": "",
	"discriminator_predictions": "electra", "albert_layer_groups": "albert", "wte": "gpt2",
}

// foreign reports that the tensors are of a kind that can't be run.
func (k *catalogue) foreign() error {
	kinds := make(map[string]*foreignKind)
	for i := range foreignKinds {
		for c := range strings.FieldsSeq(foreignKinds[i].components) {
			kinds[c] = &foreignKinds[i]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.sources)) {
		stored := k.sources[name].Name
		other := ""
		for c := range strings.SplitSeq(stored, ".") {
			if kind := kinds[c]; kind != nil {
				return &ModelKindError{kind.kind, stored, kind.advice}
			}
			if family, ok := foreignFamilies[c]; ok && other == "" {
				other = cmp.Or(family, strings.ReplaceAll(c, "_", "-"))
			}
		}
		if strings.Contains(stored, "transformer.h.") {
			other = cmp.Or(other, "gpt2")
		}
		if other != "" {
			return &ForeignModelError{other}
		}
	}
	return nil
}
