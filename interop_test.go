package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// forwardLogits are the logits of a batch of m.
func forwardLogits(t *testing.T, m *Model) []float32 {
	t.Helper()
	b := testBatch(m.Config(), 5, 3)
	out, err := m.NewSession().Forward(b, Outputs{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out.Logits)
}

// TestUntiedDecoder writes, reads and runs a masked LM whose decoder is a matrix of its own, and trains it as one.
func TestUntiedDecoder(t *testing.T) {
	c := smallConfig()
	c.UntiedDecoder = true
	m := newTestModel(t, c, MaskedLM, 1)
	tied := smallConfig()
	if n, want := len(Params(&c, MaskedLM)), len(Params(&tied, MaskedLM))+1; n != want {
		t.Fatalf("%d parameters, want %d", n, want)
	}
	want := forwardLogits(t, m)
	for _, format := range []checkpoint.Format{checkpoint.Safetensors, checkpoint.Torch, checkpoint.ONNX} {
		dir := t.TempDir()
		if err := m.Save(dir, SaveOptions{Format: format}); err != nil {
			t.Fatal(err)
		}
		back := load(t, dir, Options{Threads: 1})
		if !back.Config().UntiedDecoder {
			t.Errorf("%v: tied", format)
		}
		sameParameters(t, format.String(), m, back)
		if got := forwardLogits(t, back); !slices.Equal(got, want) {
			t.Errorf("%v: other logits", format)
		}
	}
	if err := m.Save(t.TempDir(), SaveOptions{Format: checkpoint.TensorFlow}); err == nil || !strings.Contains(err.Error(), "cls.predictions.decoder.weight") {
		t.Errorf("as a TensorFlow checkpoint: %v", err)
	}
	tr := newTrainer(t, m)
	defer tr.Close()
	backward(t, tr, Pass{}, testBatch(c, 5, 3))
	for name, v := range tr.Gradients() {
		if name.Name != decoderWeight {
			continue
		}
		values := make([]float32, v.Len())
		if err := v.Read(values); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(values, func(x float32) bool { return x != 0 }) {
			t.Error("the decoder has no gradient")
		}
	}
}

// TestTiedTensors reads masked LMs of which one of two tied tensors is there, and those whose configuration says that they are
// not tied.
func TestTiedTensors(t *testing.T) {
	const word = "bert.embeddings.word_embeddings.weight"
	m := newTestModel(t, smallConfig(), MaskedLM, 1)
	for _, test := range []struct {
		name   string
		change func(map[string]checkpoint.Tensor)
		untied bool   // in the configuration
		want   string // of the error
		note   string
	}{
		{name: "the decoder alone", change: func(x map[string]checkpoint.Tensor) { x[decoderWeight] = x[word]; delete(x, word) }},
		{name: "the decoder's bias alone", change: func(x map[string]checkpoint.Tensor) { x[decoderBias] = x[outputBias]; delete(x, outputBias) }},
		{name: "no decoder of its own", untied: true, change: func(map[string]checkpoint.Tensor) {}, note: "the decoder is the word embedding"},
		{name: "an equal decoder", untied: true, change: func(x map[string]checkpoint.Tensor) { x[decoderWeight] = x[word] }},
		{name: "another decoder", change: func(x map[string]checkpoint.Tensor) {
			other := x[word]
			other.Data = slices.Clone(other.Data)
			other.Data[0]++
			x[decoderWeight] = other
		}, want: "its tie_word_embeddings should be false"},
		{name: "no word embedding", untied: true, change: func(x map[string]checkpoint.Tensor) { x[decoderWeight] = x[word]; delete(x, word) }, want: word + " is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := saveTensors(t, m, test.change)
			if test.untied {
				setConfig(t, dir, "tie_word_embeddings", false)
			}
			back, err := Load(t.Context(), dir, Options{Threads: 1})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if notes := strings.Join(back.Report().Assumed, ""); !strings.Contains(notes, test.note) || (notes == "") != (test.note == "") {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			if got, want := forwardLogits(t, back), forwardLogits(t, m); !slices.Equal(got, want) {
				t.Error("other logits")
			}
		})
	}
}

// setConfig sets a key of the config.json in a folder, or takes it out.
func setConfig(t *testing.T, dir, key string, value any) {
	t.Helper()
	path, err := FindConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	keys[key] = value
	if value == nil {
		delete(keys, key)
	}
	if data, err = json.Marshal(keys); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestClassNames takes the head from the tensors where the configuration names no class of Hugging Face's for PyTorch.
func TestClassNames(t *testing.T) {
	for _, test := range []struct {
		class string
		head  Head // of the file
		want  Head
	}{
		{"HF_ColBERT", NoHead, NoHead}, {"MyClassifier", SequenceClassification, SequenceClassification},
		{"TFBertForTokenClassification", TokenClassification, TokenClassification}, {"FlaxBertForMaskedLM", MaskedLM, MaskedLM},
		{"BertLMHeadModel", MaskedLM, MaskedLM}, {"TFBertModel", NoHead, NoHead}, {"SentenceModel", QuestionAnswering, QuestionAnswering},
	} {
		m := newTestModel(t, smallConfig(), test.head, 1)
		dir := saveTensors(t, m, func(map[string]checkpoint.Tensor) {})
		setConfig(t, dir, "architectures", []string{test.class})
		back := load(t, dir, Options{Threads: 1})
		if back.Head() != test.want {
			t.Errorf("%s of a %v is a %v, want %v", test.class, test.head, back.Head(), test.want)
		}
	}
}

// TestLabelsOfTheFile gives a classifier as many labels as its layer has rows, where the configuration leaves that open.
func TestLabelsOfTheFile(t *testing.T) {
	m := newTestModel(t, smallConfig(), SequenceClassification, 1) // of three labels
	for _, test := range []struct {
		id2label any
		want     []string
	}{
		{nil, []string{"LABEL_0", "LABEL_1", "LABEL_2"}},
		{map[string]string{"1": "bad", "2": "good"}, []string{"LABEL_0", "bad", "good"}},
	} {
		dir := saveTensors(t, m, func(map[string]checkpoint.Tensor) {})
		setConfig(t, dir, "id2label", test.id2label)
		setConfig(t, dir, "label2id", nil)
		if got := load(t, dir, Options{Threads: 1}).Config().Labels; !slices.Equal(got, test.want) {
			t.Errorf("%v: labels %q, want %q", test.id2label, got, test.want)
		}
	}
}

// TestTFBERTNames reads the names that Hugging Face's models for TensorFlow have.
func TestTFBERTNames(t *testing.T) {
	for _, head := range []Head{NoHead, SequenceClassification, TokenClassification, QuestionAnswering, PreTraining} {
		m := newTestModel(t, smallConfig(), head, 1)
		dir := saveTensors(t, m, func(x map[string]checkpoint.Tensor) {
			for name, tensor := range maps.Clone(x) {
				delete(x, name)
				parts := strings.Split(name, ".")
				last := &parts[len(parts)-1]
				switch {
				case strings.Contains(name, "LayerNorm"):
					*last = map[string]string{"weight": "gamma", "bias": "beta"}[*last]
				case strings.Contains(name, "position_embeddings") || strings.Contains(name, "token_type_embeddings"):
					*last = "embeddings"
				case *last == "weight" && !strings.Contains(name, "word_embeddings"):
					*last = "kernel"
					tensor.Data = checkpoint.Transpose(tensor.Data, tensor.Shape[0], tensor.Shape[1], 4)
					tensor.Shape = []int{tensor.Shape[1], tensor.Shape[0]}
				}
				tf := strings.Replace(strings.Join(parts, "/"), "layer/", "layer_._", 1)
				tf = strings.Replace(strings.Replace(tf, "cls/seq", "nsp___cls/seq", 1), "cls/predictions", "mlm___cls/predictions", 1)
				if head == NoHead {
					tf = "bert/" + tf
				}
				x["tf_bert_for_something/"+tf+":0"] = tensor
			}
		})
		back := load(t, dir, Options{Threads: 1})
		sameParameters(t, fmt.Sprint(head), m, back)
	}
}

// TestLeftoversOfTraining are no news, whatever the framework.
func TestLeftoversOfTraining(t *testing.T) {
	m := newTestModel(t, smallConfig(), SequenceClassification, 1)
	scalar := checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{}, Data: make([]byte, 4)}
	one := checkpoint.Tensor{DType: checkpoint.I64, Shape: []int{1}, Data: make([]byte, 8)}
	names := []string{
		"good_steps", "bad_steps", "loss_scale", "current_loss_scale", "global_step", "epoch", "loss", "lr_scheduler.last_epoch", "a_number",
		"optimizer.state.0.exp_avg", "optimizer_state_dict.state.1.exp_avg_sq", "ema.bert.pooler.dense.weight", "scaler.scale", "beta_1_power",
		"bert/pooler/dense/kernel/adam_m", "bert/pooler/dense/kernel/ExponentialMovingAverage", "bert/pooler/dense/kernel/Adam_1",
	}
	dir := saveTensors(t, m, func(x map[string]checkpoint.Tensor) {
		for _, name := range names {
			x[name] = one
			if name == "a_number" {
				x[name] = scalar
			}
		}
	})
	r := load(t, dir, Options{Threads: 1}).Report()
	if len(r.Training) != len(names) || len(r.LeftOver) > 0 {
		t.Errorf("of the training %q, left over %q", r.Training, r.LeftOver)
	}
}

// TestForeignTensors refuses files of another kind by what their tensors are called.
func TestForeignTensors(t *testing.T) {
	m := newTestModel(t, smallConfig(), SequenceClassification, 1)
	for name, want := range map[string]string{
		"bert.encoder.layer.0.attention.self.query.lora_A.weight":           "an adapter that is not merged",
		"bert.encoder.layer.0.attention.self.query.weight.absmax":           "bitsandbytes",
		"bert.encoder.layer.0.attention.self.query.SCB":                     "bitsandbytes",
		"bert.encoder.layer.0.attention.self.query.qweight":                 "GPTQ or AWQ",
		"bert.encoder.layer.0.attention.self.distance_embedding.weight":     "relative positions",
		"bert.encoder.layer.0.attention.self.query._packed_params.dtype":    "quantized weights",
		"bert.encoder.layers.0.mixer.Wqkv.weight":                           "query, key and value fused",
		"roberta.encoder.layer.0.attention.self.query.weight":               "a model of type roberta",
		"distilbert.transformer.layer.0.attention.q_lin.weight":             "a model of type distilbert",
		"discriminator_predictions.dense.weight":                            "a model of type electra",
		"bert.encoder.layer.0.output.adapters.task.adapter_down.0.weight":   "adapters or prompts",
		"transformer.h.0.attn.c_attn.weight":                                "a model of type gpt2",
		"bert.encoder.layer.0.attention.output.dense.weight.quant_map":      "bitsandbytes",
		"bert.encoder.layer.0.attention.output.dense.weight.quant_state.x4": "bitsandbytes",
	} {
		dir := saveTensors(t, m, func(x map[string]checkpoint.Tensor) {
			x[name] = checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{1, 1}, Data: make([]byte, 4)}
		})
		_, err := Load(t.Context(), dir, Options{Threads: 1, AllowMissing: true})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestGELU takes gelu of google-research/bert's checkpoints as tanh's approximation, and of all others as the error function; there
// and back both stay.
func TestGELU(t *testing.T) {
	for _, act := range []string{"gelu", "gelu_new"} {
		c := smallConfig()
		c.HiddenAct = act
		m := newTestModel(t, c, SequenceClassification, 1)
		want := forwardLogits(t, m)
		dir := t.TempDir()
		if err := m.Save(dir, SaveOptions{Format: checkpoint.TensorFlow}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, googleConfigName))
		if err != nil || !strings.Contains(string(text), `"hidden_act": "gelu"`) {
			t.Errorf("%s: the configuration is %s, %v", act, text, err)
		}
		back := load(t, dir, Options{Threads: 1})
		if got := forwardLogits(t, back); !slices.Equal(got, want) || back.Config().HiddenAct != act {
			t.Errorf("%s became %s", act, back.Config().HiddenAct)
		}
		// As google-research/bert writes it.
		setConfig(t, dir, geluKey, nil)
		for form, want := range map[GELU]string{GELUByOrigin: "gelu_new", GELUTanh: "gelu_new", GELUErf: "gelu"} {
			again := load(t, dir, Options{Threads: 1, GELU: form})
			if got := again.Config().HiddenAct; got != want || (len(again.Report().Assumed) > 0) != (form == GELUByOrigin) {
				t.Errorf("%v: %s, %q", form, got, again.Report().Assumed)
			}
		}
		hf := t.TempDir()
		if err := m.Save(hf, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		for form, want := range map[GELU]string{GELUByOrigin: act, GELUTanh: "gelu_new", GELUErf: "gelu"} {
			if got := load(t, hf, Options{Threads: 1, GELU: form}).Config().HiddenAct; got != want {
				t.Errorf("%v of %s: %s, want %s", form, act, got, want)
			}
		}
	}
}

// TestInferenceOnly runs models whose configuration leaves nothing to be learnt, and refuses to train them.
func TestInferenceOnly(t *testing.T) {
	m := newTestModel(t, smallConfig(), MaskedLM, 1)
	dir := saveTensors(t, m, func(map[string]checkpoint.Tensor) {})
	setConfig(t, dir, "initializer_range", 0)
	setConfig(t, dir, "hidden_dropout_prob", 1.0)
	back := load(t, dir, Options{Threads: 1})
	if got := forwardLogits(t, back); !slices.Equal(got, forwardLogits(t, m)) {
		t.Error("other logits")
	}
	if _, err := back.NewTrainer(); err == nil || !strings.Contains(err.Error(), "hidden_dropout_prob is 1") {
		t.Errorf("a trainer: %v", err)
	}
	if _, err := Load(t.Context(), dir, Options{Threads: 1, Head: SequenceClassification, NewHead: true}); err == nil || !strings.Contains(err.Error(), "initializer_range is 0") {
		t.Errorf("a new head: %v", err)
	}
}

// writeAdapter writes a LoRA adapter of rank 2 for a model: of the queries of all layers, and of the classifier as a whole.
func writeAdapter(t *testing.T, m *Model, config map[string]any, base string) (dir string, A, B []float32) {
	t.Helper()
	dir = t.TempDir()
	config["peft_type"], config["base_model_name_or_path"], config["task_type"] = "LORA", base, "SEQ_CLS"
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	h := m.config.HiddenSize
	A, B = make([]float32, 2*h), make([]float32, h*2)
	for i := range A {
		A[i], B[i] = float32(i%5)-2, float32(i%3)/4
	}
	tensor := func(name string, values []float32, shape ...int) checkpoint.Tensor {
		data, err := checkpoint.FromFloat32(checkpoint.F32, values)
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint.Tensor{Name: "base_model.model." + name, DType: checkpoint.F32, Shape: shape, Data: data}
	}
	tensors := []checkpoint.Tensor{
		tensor("classifier.weight", make([]float32, 3*h), 3, h), tensor("classifier.bias", []float32{1, 2, 3}, 3),
	}
	for i := range m.config.NumHiddenLayers {
		name := fmt.Sprintf("bert.encoder.layer.%d.attention.self.query.", i)
		tensors = append(tensors, tensor(name+"lora_A.weight", A, 2, h), tensor(name+"lora_B.weight", B, h, 2))
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, "adapter_model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	return dir, A, B
}

// TestAdapter merges a LoRA adapter into its base model: W + (alpha/r)·B·A, or alpha/√r.
func TestAdapter(t *testing.T) {
	m := newTestModel(t, smallConfig(), PreTraining, 1)
	base := saveTensors(t, m, func(map[string]checkpoint.Tensor) {})
	for name, test := range map[string]struct {
		config map[string]any
		scale  float64
	}{
		"plain": {map[string]any{"r": 2, "lora_alpha": 16}, 8}, "rslora": {map[string]any{"r": 2, "lora_alpha": 16, "use_rslora": true}, 16 / math.Sqrt2},
		"by pattern": {map[string]any{"r": 2, "lora_alpha": 16, "alpha_pattern": map[string]any{"query": 4}}, 2},
	} {
		for _, given := range []bool{false, true} {
			named := base
			if given {
				named = "somebody/else"
			}
			dir, A, B := writeAdapter(t, m, test.config, named)
			o := Options{Threads: 1}
			if given {
				if _, err := Load(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), `a LORA adapter of "somebody/else"`) {
					t.Errorf("without a base: %v", err)
				}
				o.Base = base
			}
			merged := load(t, dir, o)
			if merged.Head() != SequenceClassification || !merged.pooler {
				t.Fatalf("%s: a %v", name, merged.Head())
			}
			h := m.config.HiddenSize
			for i := range merged.params {
				p := &merged.params[i]
				got := merged.host(p.value)
				if p.Name == "classifier.bias" && !slices.Equal(got, []float32{1, 2, 3}) {
					t.Errorf("%s: the classifier's bias is %v", name, got)
				}
				if !strings.HasSuffix(p.Name, "query.weight") {
					continue
				}
				w := m.host(m.params[slices.IndexFunc(m.params, func(q parameter) bool { return q.Name == p.Name })].value)
				for j := range got {
					want := float64(w[j])
					for r := range 2 {
						want += test.scale * float64(B[j/h*2+r]) * float64(A[r*h+j%h])
					}
					if math.Abs(float64(got[j])-want) > 1e-6*max(1, math.Abs(want)) {
						t.Fatalf("%s: element %d of %s is %v, want %v", name, j, p.Name, got[j], want)
					}
				}
			}
		}
	}
}

// TestAdapterRefused names what of an adapter is not supported.
func TestAdapterRefused(t *testing.T) {
	m := newTestModel(t, smallConfig(), MaskedLM, 1)
	base := saveTensors(t, m, func(map[string]checkpoint.Tensor) {})
	dir, _, _ := writeAdapter(t, m, map[string]any{"use_dora": true}, base)
	var e *AdapterError
	if _, err := Load(t.Context(), dir, Options{}); !errors.As(err, &e) || !strings.Contains(err.Error(), "DoRA") {
		t.Errorf("DoRA: %v", err)
	}
	dir, _, _ = writeAdapter(t, m, map[string]any{}, base)
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(`{"peft_type": "IA3", "base_model_name_or_path": "x"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), dir, Options{}); !errors.As(err, &e) || e.Type != "IA3" || e.Base != "x" {
		t.Errorf("IA3: %v", err)
	}
}

// TestNotFinite names the tensor that makes an output no number, and the sequence.
func TestNotFinite(t *testing.T) {
	for h := range heads {
		m := newTestModel(t, smallConfig(), Head(h), 1)
		b := testBatch(m.Config(), 4, 3, 5)
		if Head(h) == MultipleChoice {
			b.Choices = 3
		}
		id := b.IDs[b.Starts[1]+1] // of a token that only the second sequence has
		for i := range b.IDs {
			if b.IDs[i] == id && (i < b.Starts[1] || i >= b.Starts[2]) {
				b.IDs[i] = (id + 1) % int32(m.config.VocabSize)
			}
		}
		m.host(m.params[0].value)[int(id)*m.config.HiddenSize] = float32(math.NaN())
		_, err := m.NewSession().Forward(b, Outputs{LastHidden: true})
		var e *NotFiniteError
		masked := heads[h].maskedLM // whose decoder is broken for all
		if !errors.As(err, &e) || e.Tensor != m.params[0].Name || e.Count != 1 || !masked && e.Sequence != 1 || !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: %v", Head(h), err)
		}
	}
}
