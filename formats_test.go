package bert

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/golden"
)

// sameParameters compares the parameters of two models bit by bit.
func sameParameters(t *testing.T, what string, a, b *Model) {
	t.Helper()
	if len(a.params) != len(b.params) {
		t.Errorf("%s: %d parameters against %d", what, len(a.params), len(b.params))
		return
	}
	for i := range a.params {
		x, y := a.host(a.params[i].value), b.host(b.params[i].value)
		if a.params[i].Name != b.params[i].Name || !slices.EqualFunc(x, y, func(x, y float32) bool {
			return math.Float32bits(x) == math.Float32bits(y)
		}) {
			t.Errorf("%s: %s and %s differ", what, a.params[i].Name, b.params[i].Name)
		}
	}
}

// TestConversionsAreExact takes a model of each head through all formats and back to the first: the bits stay.
func TestConversionsAreExact(t *testing.T) {
	c := smallConfig()
	c.Labels = []string{"x", "y", "z"}
	formats := []checkpoint.Format{checkpoint.Safetensors, checkpoint.TensorFlow, checkpoint.Torch, checkpoint.Safetensors}
	for h := range heads {
		head := Head(h)
		for _, dtype := range []checkpoint.DType{checkpoint.F32, checkpoint.F16, checkpoint.BF16} {
			t.Run(fmt.Sprint(head, dtype), func(t *testing.T) {
				m := newTestModel(t, c, head, 1)
				var first []byte
				for i, format := range formats {
					dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
					if err := m.Save(dir, SaveOptions{DType: dtype, Format: format}); err != nil {
						t.Fatal(err)
					}
					back := load(t, dir, Options{Threads: 1, Head: HeadOfTensors})
					if r := back.Report(); len(r.NewHead)+len(r.Missing)+len(r.LeftOver)+len(r.Training)+len(r.Assumed) > 0 || r.DType != dtype {
						t.Errorf("%v: report is %+v, want %v and nothing else", format, r, dtype)
					}
					if back.Head() != head || !slices.Equal(back.Config().Labels, c.Labels) {
						t.Errorf("%v: a %v with the labels %q", format, back.Head(), back.Config().Labels)
					}
					if format == checkpoint.Safetensors {
						file, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
						if err != nil {
							t.Fatal(err)
						}
						if i > 0 && string(file) != string(first) {
							t.Error("the file at the end is not that at the beginning")
						}
						first = file
					}
					if dtype == checkpoint.F32 || i > 0 {
						sameParameters(t, format.String(), m, back)
					}
					m = back
				}
			})
		}
	}
}

// TestSaveSharded writes a model into several files, with an index, and reads it.
func TestSaveSharded(t *testing.T) {
	m := newTestModel(t, smallConfig(), PreTraining, 1)
	for format, index := range map[checkpoint.Format]string{
		checkpoint.Safetensors: "model.safetensors.index.json", checkpoint.Torch: "pytorch_model.bin.index.json",
	} {
		dir := t.TempDir()
		if err := m.Save(dir, SaveOptions{Format: format, MaxShardBytes: 2000}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, index)); err != nil {
			t.Error(err)
		}
		sameParameters(t, format.String(), m, load(t, dir, Options{Threads: 1}))
	}
}

// TestLoadNames loads a model whose tensors bear other names, or come with what a training run leaves.
func TestLoadNames(t *testing.T) {
	m := newTestModel(t, smallConfig(), PreTraining, 1)
	const eps = `"layer_norm_eps": 1e-12,`
	for _, test := range []struct {
		name   string
		format checkpoint.Format
		rename func(name string) string
		add    []string // names of tensors
		config string   // taken out
		want   string   // of the error
		report LoadReport
	}{
		{name: "as it is", format: checkpoint.TensorFlow},
		{
			name: "slots and steps", format: checkpoint.TensorFlow,
			add:    []string{"bert/pooler/dense/bias/adam_m", "bert/pooler/dense/bias/adam_v", "global_step"},
			report: LoadReport{Training: []string{"bert/pooler/dense/bias/adam_m", "bert/pooler/dense/bias/adam_v", "global_step"}},
		},
		{
			name: "an unknown variable", format: checkpoint.TensorFlow, add: []string{"bert/pooler/extra"},
			report: LoadReport{LeftOver: []string{"bert/pooler/extra"}, Unknown: []string{"bert/pooler/extra"}},
		},
		{
			name: "Keras's names", format: checkpoint.TensorFlow, config: eps,
			rename: func(name string) string { return strings.Replace(name, "/LayerNorm/", "/layer_normalization_7/", 1) },
			report: LoadReport{Assumed: []string{"layer_norm_eps is 0.001, as the configuration has none and the LayerNorms bear Keras's names"}},
		},
		{
			name: "Keras's names with an epsilon", format: checkpoint.TensorFlow,
			rename: func(name string) string { return strings.Replace(name, "/LayerNorm/", "/layer_normalization/", 1) },
		},
		{name: "in a model", format: checkpoint.Torch, rename: func(name string) string { return "state_dict.model." + name }},
		{
			name: "with an optimizer", format: checkpoint.Torch, rename: func(name string) string { return "model." + name },
			add:    []string{"optimizer.state.0.exp_avg"},
			report: LoadReport{Training: []string{"optimizer.state.0.exp_avg"}},
		},
		{
			name: "two models", format: checkpoint.Torch, add: []string{"other.bert.embeddings.word_embeddings.weight"},
			want: `several models in one file: embeddings.word_embeddings.weight is under "" and under "other."`,
		},
		{name: "no architectures", format: checkpoint.TensorFlow, config: `"architectures": [
    "BertForPreTraining"
  ],`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := m.Save(dir, SaveOptions{Format: test.format}); err != nil {
				t.Fatal(err)
			}
			f, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			tensors := f.Tensors()
			for i := range tensors {
				tensors[i].Data = slices.Clone(tensors[i].Data)
				if test.rename != nil {
					tensors[i].Name = test.rename(tensors[i].Name)
				}
			}
			for _, name := range test.add {
				tensors = append(tensors, checkpoint.Tensor{Name: name, DType: checkpoint.I64, Data: make([]byte, 8)})
			}
			config := filepath.Join(dir, "config.json")
			if test.format == checkpoint.TensorFlow {
				config = filepath.Join(dir, "bert_config.json")
				err = checkpoint.WriteTensorFlow(filepath.Join(dir, "bert_model.ckpt"), tensors)
			} else {
				err = checkpoint.WriteTorch(filepath.Join(dir, "pytorch_model.bin"), tensors)
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), test.config) {
				t.Fatalf("%s has no %s", config, test.config)
			}
			if err := os.WriteFile(config, []byte(strings.Replace(string(text), test.config, "", 1)), 0o666); err != nil {
				t.Fatal(err)
			}

			got, err := Load(t.Context(), dir, Options{Threads: 1})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error is %v, want one line with %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			test.report.DType = checkpoint.F32
			if r := got.Report(); fmt.Sprint(r) != fmt.Sprint(test.report) {
				t.Errorf("report is %+v, want %+v", r, test.report)
			}
			sameParameters(t, test.name, m, got)
			if want := m.config.LayerNormEps; len(test.report.Assumed) == 0 && got.config.LayerNormEps != want {
				t.Errorf("the epsilon is %g, want %g", got.config.LayerNormEps, want)
			}
		})
	}
}

// TestHeadOfTensors loads checkpoints without architectures, and one whose architectures name less than there is.
func TestHeadOfTensors(t *testing.T) {
	c := smallConfig()
	c.Labels = []string{"x", "y", "z"}
	for h := range heads {
		head := Head(h)
		m := newTestModel(t, c, head, 1)
		c, table := m.Config(), Params(&c, head)
		tensors := make([]checkpoint.Tensor, len(table))
		for i, p := range table {
			tensors[i] = checkpoint.Tensor{Name: p.Name, DType: checkpoint.F32, Shape: p.Shape}
		}
		want := head
		if head == MultipleChoice { // whose classifier looks like one of texts with one class
			want = SequenceClassification
		}
		c.Architectures, c.Labels = nil, DefaultConfig().Labels
		got, report, err := Compare(c, tensors)
		if err != nil || got != want || len(report.NewHead)+len(report.Missing)+len(report.LeftOver) > 0 {
			t.Errorf("%v: taken as a %v: %+v, %v", head, got, report, err)
		}
	}
	_, _, err := Compare(c, []checkpoint.Tensor{{Name: "conv1.weight", DType: checkpoint.F32, Shape: []int{3}}})
	if err == nil || err.Error() != "none of its tensors has the name of a BERT's parameter" {
		t.Errorf("tensors of no BERT: %v", err)
	}
	dir := t.TempDir()
	if err := newTestModel(t, c, PreTraining, 1).Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "BertForPreTraining", "BertForMaskedLM", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	m := load(t, dir, Options{Threads: 1})
	if r := m.Report(); m.Head() != MaskedLM || len(r.LeftOver) != 4 {
		t.Errorf("as the architectures say: a %v, %+v", m.Head(), r)
	}
	m = load(t, dir, Options{Threads: 1, Head: HeadOfTensors})
	if r := m.Report(); m.Head() != PreTraining || len(r.LeftOver) != 0 {
		t.Errorf("as the tensors say: a %v, %+v", m.Head(), r)
	}
}

// layout are the tensors of Hugging Face's classes (transformers, modeling_bert.py) with their shapes, of a model of one layer, and
// beside them google-research/bert's variables (modeling.py, run_pretraining.py, run_classifier.py, run_squad.py) with theirs.
//
// Legend: V vocabulary, P positions, S segments, H hidden, I intermediate, C labels.
const layout = `
encoder  embeddings.word_embeddings.weight                V,H  bert/embeddings/word_embeddings                              V,H
encoder  embeddings.position_embeddings.weight            P,H  bert/embeddings/position_embeddings                          P,H
encoder  embeddings.token_type_embeddings.weight          S,H  bert/embeddings/token_type_embeddings                        S,H
encoder  embeddings.LayerNorm.weight                      H    bert/embeddings/LayerNorm/gamma                              H
encoder  embeddings.LayerNorm.bias                        H    bert/embeddings/LayerNorm/beta                               H
encoder  encoder.layer.0.attention.self.query.weight      H,H  bert/encoder/layer_0/attention/self/query/kernel             H,H
encoder  encoder.layer.0.attention.self.query.bias        H    bert/encoder/layer_0/attention/self/query/bias               H
encoder  encoder.layer.0.attention.self.key.weight        H,H  bert/encoder/layer_0/attention/self/key/kernel               H,H
encoder  encoder.layer.0.attention.self.key.bias          H    bert/encoder/layer_0/attention/self/key/bias                 H
encoder  encoder.layer.0.attention.self.value.weight      H,H  bert/encoder/layer_0/attention/self/value/kernel             H,H
encoder  encoder.layer.0.attention.self.value.bias        H    bert/encoder/layer_0/attention/self/value/bias               H
encoder  encoder.layer.0.attention.output.dense.weight    H,H  bert/encoder/layer_0/attention/output/dense/kernel           H,H
encoder  encoder.layer.0.attention.output.dense.bias      H    bert/encoder/layer_0/attention/output/dense/bias             H
encoder  encoder.layer.0.attention.output.LayerNorm.weight H   bert/encoder/layer_0/attention/output/LayerNorm/gamma        H
encoder  encoder.layer.0.attention.output.LayerNorm.bias  H    bert/encoder/layer_0/attention/output/LayerNorm/beta         H
encoder  encoder.layer.0.intermediate.dense.weight        I,H  bert/encoder/layer_0/intermediate/dense/kernel               H,I
encoder  encoder.layer.0.intermediate.dense.bias          I    bert/encoder/layer_0/intermediate/dense/bias                 I
encoder  encoder.layer.0.output.dense.weight              H,I  bert/encoder/layer_0/output/dense/kernel                     I,H
encoder  encoder.layer.0.output.dense.bias                H    bert/encoder/layer_0/output/dense/bias                       H
encoder  encoder.layer.0.output.LayerNorm.weight          H    bert/encoder/layer_0/output/LayerNorm/gamma                  H
encoder  encoder.layer.0.output.LayerNorm.bias            H    bert/encoder/layer_0/output/LayerNorm/beta                   H
pooler   pooler.dense.weight                              H,H  bert/pooler/dense/kernel                                     H,H
pooler   pooler.dense.bias                                H    bert/pooler/dense/bias                                       H
masked   cls.predictions.transform.dense.weight           H,H  cls/predictions/transform/dense/kernel                       H,H
masked   cls.predictions.transform.dense.bias             H    cls/predictions/transform/dense/bias                         H
masked   cls.predictions.transform.LayerNorm.weight       H    cls/predictions/transform/LayerNorm/gamma                    H
masked   cls.predictions.transform.LayerNorm.bias         H    cls/predictions/transform/LayerNorm/beta                     H
masked   cls.predictions.bias                             V    cls/predictions/output_bias                                  V
next     cls.seq_relationship.weight                      2,H  cls/seq_relationship/output_weights                          2,H
next     cls.seq_relationship.bias                        2    cls/seq_relationship/output_bias                             2
classes  classifier.weight                                C,H  output_weights                                               C,H
classes  classifier.bias                                  C    output_bias                                                  C
choice   classifier.weight                                1,H  output_weights                                               1,H
choice   classifier.bias                                  1    output_bias                                                  1
span     qa_outputs.weight                                2,H  cls/squad/output_weights                                     2,H
span     qa_outputs.bias                                  2    cls/squad/output_bias                                        2
tied     cls.predictions.decoder.weight                   V,H  -                                                            -
tied     cls.predictions.decoder.bias                     V    -                                                            -
`

// parts are the parts of the layout that each class has. The tied ones stand in PyTorch's files, not in safetensors.
var parts = map[string]string{
	"BertModel":                     "encoder pooler",
	"BertForPreTraining":            "encoder pooler masked next tied",
	"BertForMaskedLM":               "encoder masked tied",
	"BertForNextSentencePrediction": "encoder pooler next",
	"BertForSequenceClassification": "encoder pooler classes",
	"BertForTokenClassification":    "encoder classes",
	"BertForQuestionAnswering":      "encoder span",
	"BertForMultipleChoice":         "encoder pooler choice",
}

// TestPublishedLayout compares what is written with the layouts that other programs read, name by name, shape by shape, and the
// configuration key by key.
func TestPublishedLayout(t *testing.T) {
	c := smallConfig()
	c.NumHiddenLayers = 1
	sizes := map[string]int{
		"V": c.VocabSize, "P": c.MaxPositionEmbeddings, "S": c.TypeVocabSize, "H": c.HiddenSize, "I": c.IntermediateSize,
		"C": len(c.Labels), "1": 1, "2": 2,
	}
	shape := func(text string) string {
		var dims []int
		for _, d := range strings.Split(text, ",") {
			dims = append(dims, sizes[d])
		}
		return fmt.Sprint(dims)
	}
	for h := range heads {
		head := Head(h)
		m := newTestModel(t, c, head, 1)
		for _, format := range []checkpoint.Format{checkpoint.Safetensors, checkpoint.Torch, checkpoint.TensorFlow} {
			want := make(map[string]string)
			for line := range strings.Lines(layout) {
				row := strings.Fields(line)
				if len(row) == 0 || !slices.Contains(strings.Fields(parts[head.String()]), row[0]) || row[0] == "tied" && format != checkpoint.Torch {
					continue
				}
				name, dims := row[1], row[2]
				switch {
				case format == checkpoint.TensorFlow:
					name, dims = row[3], row[4]
				case head != NoHead && (row[0] == "encoder" || row[0] == "pooler"):
					name = "bert." + name
				}
				want[name] = shape(dims)
			}
			dir := t.TempDir()
			if err := m.Save(dir, SaveOptions{Format: format}); err != nil {
				t.Fatal(err)
			}
			f, err := checkpoint.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, x := range f.Tensors() {
				if got := fmt.Sprint(x.Shape); got != want[x.Name] {
					t.Errorf("%v as %v: tensor %s has shape %s, want %q", head, format, x.Name, got, want[x.Name])
				}
				delete(want, x.Name)
			}
			if len(want) > 0 {
				t.Errorf("%v as %v: without %v", head, format, want)
			}
			if format == checkpoint.Safetensors && f.Metadata()["format"] != "pt" { // transformers refuses a file without it
				t.Errorf("metadata %v, want the format pt", f.Metadata())
			}
		}
	}
	dir := t.TempDir()
	if err := newTestModel(t, c, SequenceClassification, 1).Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	readJSON(t, filepath.Join(dir, "config.json"), &got)
	// BertConfig's keys (transformers, configuration_bert.py) and those that every configuration has.
	want := map[string]any{
		"model_type": "bert", "architectures": []any{"BertForSequenceClassification"}, "torch_dtype": "float32",
		"vocab_size": 53.0, "hidden_size": 20.0, "num_hidden_layers": 1.0, "num_attention_heads": 5.0, "intermediate_size": 37.0,
		"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 24.0,
		"type_vocab_size": 3.0, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0.0,
		"position_embedding_type": "absolute",
		"id2label":                map[string]any{"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
		"label2id":                map[string]any{"LABEL_0": 0.0, "LABEL_1": 1.0, "LABEL_2": 2.0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("config.json is %v, want %v", got, want)
	}
}

// TestGoldenLayout loads model directories as Hugging Face writes them, and saves them: the same tensors come out.
func TestGoldenLayout(t *testing.T) {
	for _, dir := range goldenConfigs(t) {
		found, err := filepath.Glob(filepath.Join(dir, "*", "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			m := load(t, filepath.Dir(path), Options{Threads: 1})
			to := t.TempDir()
			if err := m.Save(to, SaveOptions{DType: m.Report().DType}); err != nil {
				t.Fatal(err)
			}
			want, err := checkpoint.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			got, err := checkpoint.Open(to)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if !reflect.DeepEqual(got.Tensors(), want.Tensors()) {
				t.Errorf("%s: other tensors when saved again", path)
			}
			var gotConfig, wantConfig map[string]any
			readJSON(t, filepath.Join(to, "config.json"), &gotConfig)
			readJSON(t, filepath.Join(filepath.Dir(path), "config.json"), &wantConfig)
			for key, value := range wantConfig {
				if key != "num_labels" && !reflect.DeepEqual(gotConfig[key], value) { // HF says it by id2label
					t.Errorf("%s: %s is %v when saved again, was %v", path, key, gotConfig[key], value)
				}
			}
		}
	}
}

// TestGoldenFormats loads what other programs wrote, and compares it with the safetensors file beside it bit by bit.
func TestGoldenFormats(t *testing.T) {
	for _, dir := range goldenConfigs(t) {
		for _, name := range []string{"pretraining", "pretraining-old-names"} {
			for _, file := range []string{"pytorch_model.bin", "pytorch_model.legacy.bin"} {
				path := filepath.Join(dir, name, file)
				if _, err := os.Stat(path); err != nil {
					continue
				}
				t.Run(filepath.Join(filepath.Base(dir), name, file), func(t *testing.T) {
					want := load(t, filepath.Join(dir, "pretraining"), Options{Threads: 1})
					sameParameters(t, path, want, load(t, path, Options{Threads: 1}))
				})
			}
		}
		for suffix, dtype := range map[string]checkpoint.DType{"fp16": checkpoint.F16, "bf16": checkpoint.BF16} {
			path := filepath.Join(dir, "sequence-classification-"+suffix)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			t.Run(filepath.Join(filepath.Base(dir), suffix), func(t *testing.T) {
				m := load(t, path, Options{Threads: 1})
				if got := m.Report().DType; got != dtype {
					t.Errorf("stored as %v, want %v", got, dtype)
				}
				for _, format := range []checkpoint.Format{checkpoint.TensorFlow, checkpoint.Torch} {
					to := t.TempDir()
					if err := m.Save(to, SaveOptions{DType: dtype, Format: format}); err != nil {
						t.Fatal(err)
					}
					sameParameters(t, format.String(), m, load(t, to, Options{Threads: 1}))
				}
			})
		}
	}
}

// TestGoldenBERT4Rec runs a real TensorFlow checkpoint: google-research/bert's code with Keras's layers, Adam's slots, a masked
// LM without a pooler.
func TestGoldenBERT4Rec(t *testing.T) {
	var want struct {
		Cases []struct {
			InputIDs       []int32   `json:"input_ids"`
			MaskPosition   int       `json:"mask_position"`
			Label          int       `json:"label"`
			LabelLogprob   float64   `json:"label_logprob"`
			Top10          []int     `json:"top10"`
			Top10Logprob   []float64 `json:"top10_logprob"`
			OutputAtMask   []float32 `json:"sequence_output_at_mask"`
			OutputAtNought []float32 `json:"sequence_output_at_0"`
		} `json:"cases"`
	}
	readJSON(t, golden.Path(t, "bert4rec-ml1m", "mlm.json"), &want)
	dir := golden.Shared(t, "models", "bert4rec-tf")
	if len(want.Cases) == 0 {
		t.Fatal("no cases")
	}
	atEachLevel(t, func(t *testing.T) {
		m := load(t, dir, Options{Threads: 2})
		r := m.Report()
		if m.Head() != MaskedLM || m.Config().LayerNormEps != 1e-3 || len(r.Assumed) != 1 || len(r.Training) != 85 || len(r.LeftOver)+len(r.Missing) > 0 {
			t.Errorf("a %v with epsilon %g: %+v", m.Head(), m.Config().LayerNormEps, r)
		}
		s := m.NewSession()
		for i, c := range want.Cases {
			var b Batch
			b.Add(c.InputIDs, nil)
			b.MaskedPositions = []int32{int32(c.MaskPosition)}
			out, err := s.Forward(&b, Outputs{LastHidden: true})
			if err != nil {
				t.Fatal(err)
			}
			H := m.Config().HiddenSize
			what := fmt.Sprintf("case %d: ", i)
			near(t, what+"hidden at the mask", out.LastHidden[c.MaskPosition*H:][:H], c.OutputAtMask, boundsAt[Float32].forward, 0)
			near(t, what+"hidden at 0", out.LastHidden[:H], c.OutputAtNought, boundsAt[Float32].forward, 0)
			logits := out.Logits
			order := make([]int, len(logits))
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(logits[b], logits[a]) })
			if !slices.Equal(order[:10], c.Top10) {
				t.Errorf("%sthe ten best are %v, want %v", what, order[:10], c.Top10)
			}
			sum := 0.0
			for _, l := range logits {
				sum += math.Exp(float64(l))
			}
			nearFloat(t, what+"log probability of the label", float64(logits[c.Label])-math.Log(sum), c.LabelLogprob, boundsAt[Float32].forward)
			for j, id := range c.Top10 {
				nearFloat(t, what+"log probability of one of the best", float64(logits[id])-math.Log(sum), c.Top10Logprob[j], boundsAt[Float32].forward)
			}
		}
	})
}
