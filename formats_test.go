package bert

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
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
					back := load(t, dir, Options{Threads: 1})
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
			want: "tensor bert/pooler/extra is no part of a BertForPreTraining",
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
			want: `several models in one file: embeddings.word_embeddings.weight stands under "" and under "other."`,
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

			got, err := Load(dir, Options{Threads: 1})
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
	m = load(t, dir, Options{Threads: 1, HeadOfTensors: true})
	if r := m.Report(); m.Head() != PreTraining || len(r.LeftOver) != 0 {
		t.Errorf("as the tensors say: a %v, %+v", m.Head(), r)
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
			near(t, what+"hidden at the mask", out.LastHidden[c.MaskPosition*H:][:H], c.OutputAtMask, forwardBound, 0)
			near(t, what+"hidden at 0", out.LastHidden[:H], c.OutputAtNought, forwardBound, 0)
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
			nearFloat(t, what+"log probability of the label", float64(logits[c.Label])-math.Log(sum), c.LabelLogprob, forwardBound)
			for j, id := range c.Top10 {
				nearFloat(t, what+"log probability of one of the best", float64(logits[id])-math.Log(sum), c.Top10Logprob[j], forwardBound)
			}
		}
	})
}
