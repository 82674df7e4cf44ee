package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/simd"
)

// goldenBounds are how far from the goldens a precision may be. The goldens under model/ hold what small random models give,
// computed in float64. Bounds are relative to the largest value of the reference unless said otherwise.
type goldenBounds struct {
	forward    float64 // hidden states, attention probabilities, logits
	loss       float64 // relative
	oneLoss    float64 // of a single position, where the errors of several do not cancel out
	grad       float64 // of a tensor, relative to its own largest
	modelGrad  float64 // relative to the largest gradient of the whole model
	angle      float64 // between the whole gradients, in radians
	norm       float64 // of the whole gradient, relative
	hiddenGrad float64
	nullGrad   float64 // absolute, over the global norm: gradients that are zero but for rounding
}

// boundsAt holds the bounds of float32 that the goldens' README states: a little over what float32 itself costs. Those of
// bfloat16, whose operands are off by up to 2⁻⁹ = 0.2 %, are about twice the worst that was measured.
//
// At bfloat16 a single parameter has no bound of its own, since a gradient that is small beside its neighbours' is mostly
// their error: a query's bias with a thousandth of the norm of the tensors around it was off by 0.65 of its largest element.
// What an optimizer needs is that the step goes where it should. So the angle and the norm of the whole gradient are held (at
// worst 0.043 rad and 1.7 %, over these goldens and 24 more random models of 1 to 3 layers), and each element against the
// largest of the whole (5 %).
var boundsAt = map[Precision]goldenBounds{
	Float32: {forward: 5e-6, loss: 2e-6, oneLoss: 2e-6, grad: 5e-5, modelGrad: 1e-5, angle: 1e-5, norm: 5e-6, hiddenGrad: 2e-5, nullGrad: 1e-6},
	BFloat16: {
		forward: 0.04, loss: 5e-3, oneLoss: 1e-2, grad: math.Inf(1), modelGrad: 0.12, angle: 0.09, norm: 0.035, hiddenGrad: 0.07, nullGrad: 1e-3,
	},
}

// boundsFor is boundsAt, but for a model with ReLU at bfloat16. There the gradient jumps where rounding moves a value across
// 0, by all that comes through that element: 0.22 rad and 3.7 % at worst, and no bound holds for a single element.
func boundsFor(p Precision, c *Config) goldenBounds {
	b := boundsAt[p]
	if p == BFloat16 && c.HiddenAct == "relu" {
		b.modelGrad, b.hiddenGrad = math.Inf(1), math.Inf(1)
		b.angle, b.norm = 0.45, 0.075
	}
	return b
}

// knownDifferent lists the goldens that are not to be met, and why.
var knownDifferent = map[string]string{
	"question-answering-padded": "padding takes part in the softmax there, so the loss depends on how far a batch is padded; a ragged batch has no padding",
}

type goldenSequence struct {
	InputIDs        []int32 `json:"input_ids"`
	TokenTypeIDs    []int32 `json:"token_type_ids"`
	MLMPositions    []int32 `json:"mlm_positions"`
	MLMLabels       []int32 `json:"mlm_labels"`
	NSPLabel        int32   `json:"nsp_label"`
	ClassLabel      int32   `json:"class_label"`
	RegressionLabel float32 `json:"regression_label"`
	TokenLabels     []int32 `json:"token_labels"`
	QAStart         int32   `json:"qa_start"`
	QAEnd           int32   `json:"qa_end"`
}

type goldenInputs struct {
	Batch struct {
		Sequences []goldenSequence `json:"sequences"`
	} `json:"batch"`
	MultipleChoice struct {
		Examples []struct {
			Choices []goldenSequence `json:"choices"`
			Label   int32            `json:"label"`
		} `json:"examples"`
	} `json:"multiple_choice"`
}

func goldenBatch(sequences []goldenSequence) *Batch {
	b := &Batch{}
	for _, s := range sequences {
		from := int32(len(b.IDs))
		b.Add(s.InputIDs, s.TokenTypeIDs)
		for _, p := range s.MLMPositions {
			b.MaskedPositions = append(b.MaskedPositions, from+p)
		}
		b.MaskedIDs = append(b.MaskedIDs, s.MLMLabels...)
		b.NextSentence = append(b.NextSentence, s.NSPLabel)
		b.Classes = append(b.Classes, s.ClassLabel)
		b.Values = append(b.Values, s.RegressionLabel)
		b.TokenClasses = append(b.TokenClasses, s.TokenLabels...)
		b.From = append(b.From, s.QAStart)
		b.To = append(b.To, s.QAEnd)
	}
	return b
}

type goldenTask struct {
	Model          string      `json:"model"`
	Inputs         string      `json:"inputs"`
	Loss           float64     `json:"loss"`
	MLMLoss        float64     `json:"mlm_loss"`
	NSPLoss        float64     `json:"nsp_loss"`
	FirstAlone     *float64    `json:"mlm_loss_first_alone"`
	GradGlobalNorm *float64    `json:"grad_global_norm"`
	NullGradients  []string    `json:"null_gradients"`
	Logits         [][]float64 `json:"-"`
	raw            map[string]json.RawMessage
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readTensors(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensors := make(map[string][]float32)
	for _, x := range f.Tensors() {
		v := make([]float32, x.Len())
		if err := x.Float32(v); err != nil {
			t.Fatal(err)
		}
		tensors[x.Name] = v
	}
	return tensors
}

// atEachLevel runs f at every level of instructions that this machine has.
func atEachLevel(t *testing.T, f func(t *testing.T)) {
	for _, level := range simd.Available() {
		name := level.String()
		t.Run(name, func(t *testing.T) {
			t.Setenv("BERT_SIMD", name)
			f(t)
		})
	}
}

// atEveryPrecision is atEachPrecision, and Int8, at which nothing is trained.
func atEveryPrecision(t *testing.T, f func(t *testing.T, p Precision)) {
	atEachPrecision(t, f)
	atEachLevel(t, func(t *testing.T) {
		t.Run(Int8.String(), func(t *testing.T) { f(t, Int8) })
	})
}

// atEachPrecision runs f at every level and precision that models are trained at.
func atEachPrecision(t *testing.T, f func(t *testing.T, p Precision)) {
	atEachLevel(t, func(t *testing.T) {
		for p := range boundsAt {
			t.Run(p.String(), func(t *testing.T) { f(t, p) })
		}
	})
}

// near reports an error if got is further from want than bound, relative to the largest value of want or to scale, if
// that is larger.
func near(t *testing.T, what string, got, want []float32, bound, scale float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	worst, at := 0.0, 0
	for i := range want {
		scale = max(scale, math.Abs(float64(want[i])))
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= bound*scale) {
		t.Errorf("%s: element %d is %g, want %g: off by %.2g of the largest, bound %.2g", what, at, got[at], want[at], worst/scale, bound)
	}
}

func nearFloat(t *testing.T, what string, got, want, bound float64) {
	t.Helper()
	if !(math.Abs(got-want) <= bound*math.Abs(want)) {
		t.Errorf("%s is %.9g, want %.9g: off by %.2g, bound %.2g", what, got, want, math.Abs(got-want)/math.Abs(want), bound)
	}
}

// goldenConfigs lists the configurations of all goldens.
func goldenConfigs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, root := range golden.Folders(t, "model") {
		inputs, err := filepath.Glob(filepath.Join(root, "*", "inputs.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range inputs {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if len(dirs) == 0 {
		t.Fatal("no model goldens, not even those of testdata/golden")
	}
	return dirs
}

func load(t *testing.T, dir string, o Options) *Model {
	t.Helper()
	m, err := Load(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// TestGoldenForward compares every layer's hidden states, the attention of the first layer and the pooled vectors.
func TestGoldenForward(t *testing.T) {
	for _, dir := range goldenConfigs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var in goldenInputs
			readJSON(t, filepath.Join(dir, "inputs.json"), &in)
			want := readTensors(t, filepath.Join(dir, "forward.safetensors"))
			atEachPrecision(t, func(t *testing.T, p Precision) {
				b := goldenBatch(in.Batch.Sequences)
				m := load(t, filepath.Join(dir, "pretraining"), Options{Threads: 2, Precision: p})
				out, err := m.NewSession().Forward(b, Outputs{Hidden: true, Attentions: true, Pooled: true, LastHidden: true})
				if err != nil {
					t.Fatal(err)
				}
				near(t, "embedding_output", out.Hidden[0], want["embedding_output"], boundsAt[p].forward, 0)
				for i, h := range out.Hidden[1:] {
					name := fmt.Sprintf("layer.%d.output", i)
					near(t, name, h, want[name], boundsAt[p].forward, 0)
				}
				near(t, "last hidden", out.LastHidden, out.Hidden[len(out.Hidden)-1], 0, 0)
				near(t, "pooled", out.Pooled, want["pooled"], boundsAt[p].forward, 0)
				at := 0
				for i := range b.Len() {
					name := fmt.Sprintf("layer.0.attention_probs.%d", i)
					near(t, name, out.Attentions[0][at:at+len(want[name])], want[name], boundsAt[p].forward, 0)
					at += len(want[name])
				}
				if at != len(out.Attentions[0]) {
					t.Errorf("%d attention probabilities, want %d", len(out.Attentions[0]), at)
				}
			})
		})
	}
}

// TestGoldenTasks compares logits, losses, every gradient and the gradients of the hidden states of every head.
func TestGoldenTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute where kernels are emulated; the other goldens of a model hold them")
	}
	for _, dir := range goldenConfigs(t) {
		tasks, err := filepath.Glob(filepath.Join(dir, "task", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range tasks {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			if reason, ok := knownDifferent[name]; ok {
				t.Logf("%s of %s is left out: %s", name, filepath.Base(dir), reason)
				continue
			}
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				atEachPrecision(t, func(t *testing.T, p Precision) { goldenTaskTest(t, p, dir, name) })
			})
		}
	}
}

// goldenHeads are the heads of the tasks; where the model directory is another head's, its tensors are left over.
var goldenHeads = map[string]Head{
	"pretraining": PreTraining, "masked-lm": MaskedLM, "next-sentence": NextSentence,
	"sequence-classification": SequenceClassification, "regression": SequenceClassification,
	"token-classification": TokenClassification, "question-answering": QuestionAnswering,
	"multiple-choice": MultipleChoice,
}

func goldenTaskTest(t *testing.T, precision Precision, dir, name string) {
	var (
		in   goldenInputs
		task goldenTask
	)
	readJSON(t, filepath.Join(dir, "inputs.json"), &in)
	readJSON(t, filepath.Join(dir, "task", name+".json"), &task)
	readJSON(t, filepath.Join(dir, "task", name+".json"), &task.raw)
	base := strings.TrimSuffix(strings.TrimSuffix(name, "-fp16"), "-bf16")
	head, ok := goldenHeads[base]
	if !ok {
		t.Fatalf("no head for the task %s: add it to goldenHeads, or to knownDifferent", name)
	}
	model := golden.Match(t, dir, task.Model)[0]
	b := goldenBatch(in.Batch.Sequences)
	if task.Inputs == "multiple_choice" {
		b = &Batch{}
		for _, e := range in.MultipleChoice.Examples {
			for _, s := range e.Choices {
				b.Add(s.InputIDs, s.TokenTypeIDs)
			}
			b.Choices = len(e.Choices)
			b.Classes = append(b.Classes, e.Label)
		}
	}
	m := load(t, model, Options{Threads: 2, Precision: precision, Head: head})
	bounds := boundsFor(precision, &m.config)

	out, err := m.NewSession().Forward(b, Outputs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	goldenLogits(t, bounds.forward, out, task.raw)
	nearFloat(t, "loss", out.Loss.Total, task.Loss, bounds.loss)
	if head == PreTraining {
		nearFloat(t, "mlm_loss", out.Loss.MaskedLM, task.MLMLoss, bounds.loss)
		nearFloat(t, "nsp_loss", out.Loss.NextSentence, task.NSPLoss, bounds.loss)
	}
	if task.FirstAlone != nil {
		first := *b
		first.MaskedPositions, first.MaskedIDs = b.MaskedPositions[:1], b.MaskedIDs[:1]
		out, err := m.NewSession().Forward(&first, Outputs{Loss: true})
		if err != nil {
			t.Fatal(err)
		}
		nearFloat(t, "mlm_loss_first_alone", out.Loss.MaskedLM, *task.FirstAlone, bounds.oneLoss)
	}

	path := filepath.Join(dir, "task", name+".grad.safetensors")
	if _, err := os.Stat(path); err != nil {
		return // only losses and logits are given
	}
	want := readTensors(t, path)
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	loss, err := tr.Backward([]*Batch{b}, Pass{Key: 1})
	if err != nil {
		t.Fatal(err)
	}
	nearFloat(t, "training loss", loss.Total, task.Loss, bounds.loss)
	if task.GradGlobalNorm != nil {
		nearFloat(t, "global norm", gradNorm(t, tr), *task.GradGlobalNorm, bounds.norm)
	}
	var whole wholeGradient
	largest := 0.0
	for _, g := range want {
		for _, x := range g {
			largest = max(largest, math.Abs(float64(x)))
		}
	}
	for i := range m.params {
		p := &m.params[i]
		g, ok := want[p.Name]
		if !ok {
			t.Errorf("no golden gradient of %s", p.Name)
			continue
		}
		delete(want, p.Name)
		got := m.host(p.grad)
		// A gradient that is exactly zero in float64 is a null gradient too, whether or not the list has it.
		null := !slices.ContainsFunc(g, func(x float32) bool { return x != 0 })
		if null || slices.Contains(task.NullGradients, p.Name) {
			for _, x := range got {
				if !(math.Abs(float64(x)) <= bounds.nullGrad**task.GradGlobalNorm) {
					t.Errorf("%s has the gradient %g, want 0 but for rounding", p.Name, x)
					break
				}
			}
			continue
		}
		whole.add(got, g)
		near(t, "gradient of "+p.Name, got, g, bounds.grad, 0)
		near(t, "gradient of "+p.Name, got, g, bounds.modelGrad, largest)
	}
	whole.check(t, "all parameters", bounds.angle)
	for name, g := range want {
		if slices.ContainsFunc(g, func(x float32) bool { return x != 0 }) {
			t.Errorf("the golden gradient of %s belongs to no parameter", name)
		}
	}
	goldenHiddenGrads(t, bounds, m, b, filepath.Join(dir, "task", name+".hidden-grad.safetensors"))
}

// wholeGradient compares gradients as if they were one vector.
type wholeGradient struct{ product, got, want float64 }

func (w *wholeGradient) add(got, want []float32) {
	for i := range want {
		g, x := float64(got[i]), float64(want[i])
		w.product += g * x
		w.got += g * g
		w.want += x * x
	}
}

// check reports an error if the angle between the gradients is larger than bound.
func (w *wholeGradient) check(t *testing.T, what string, bound float64) {
	t.Helper()
	if angle := math.Acos(min(1, w.product/math.Sqrt(w.got*w.want))); !(angle <= bound) {
		t.Errorf("the gradient of %s is %.2g rad off its direction, bound %.2g", what, angle, bound)
	}
}

// goldenHiddenGrads takes the backward pass a block at a time.
func goldenHiddenGrads(t *testing.T, bounds goldenBounds, m *Model, b *Batch, path string) {
	if _, err := os.Stat(path); err != nil {
		return
	}
	want := readTensors(t, path)
	w := m.trainer.space
	w.firstOnly = false
	if err := errors.Join(w.begin(b), w.expectLosses([]*Batch{b})); err != nil {
		t.Fatal(err)
	}
	w.headForward(w.encode(nil))
	var d Denominators
	m.denominators(&d, []*Batch{b})
	w.headLoss(&d, true)
	w.headBackward()
	check := func(name string) {
		got := m.host(rows(w.dHidden, b.Tokens(), m.config.HiddenSize))
		near(t, "gradient at "+name, got, want[name], bounds.hiddenGrad, 0)
		var whole wholeGradient
		whole.add(got, want[name])
		whole.check(t, name, bounds.angle)
	}
	for i := len(w.layers) - 1; i >= 0; i-- {
		check(fmt.Sprintf("layer.%d.output", i))
		w.blockBackward(i)
	}
	check("embedding_output")
}

func goldenLogits(t *testing.T, bound float64, out *Output, raw map[string]json.RawMessage) {
	flat := func(key string) ([]float32, bool) {
		data, ok := raw[key]
		if !ok {
			return nil, false
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		return flatten(nil, v), true
	}
	column := func(i int) []float32 {
		var c []float32
		for j := i; j < len(out.Logits); j += 2 {
			c = append(c, out.Logits[j])
		}
		return c
	}
	compared := 0
	for key, got := range map[string]func() []float32{
		"mlm_logits":   func() []float32 { return out.Logits },
		"nsp_logits":   func() []float32 { return out.NextSentenceLogits },
		"logits":       func() []float32 { return out.Logits },
		"start_logits": func() []float32 { return column(0) },
		"end_logits":   func() []float32 { return column(1) },
	} {
		if want, ok := flat(key); ok {
			compared++
			near(t, key, got(), want, bound, 0)
		}
	}
	if compared == 0 {
		t.Error("no logits compared")
	}
}

func flatten(dst []float32, v any) []float32 {
	switch v := v.(type) {
	case float64:
		return append(dst, float32(v))
	case []any:
		for _, x := range v {
			dst = flatten(dst, x)
		}
	}
	return dst
}

// TestGoldenFineTuned runs the encoder of a real fine-tuned model from given embeddings.
func TestGoldenFineTuned(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Path(t, "bert-tiny-sst2-encoder"), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := golden.Shared(t, "models", "bert-tiny-sst2-encoder")
	for _, path := range files {
		var g struct {
			EmbeddingOutput any            `json:"embedding_output"`
			Exact           map[string]any `json:"exact"`
		}
		readJSON(t, path, &g)
		atEachPrecision(t, func(t *testing.T, p Precision) {
			m := load(t, dir, Options{Threads: 1, Precision: p, AllowMissing: true})
			embedded := flatten(nil, g.EmbeddingOutput)
			H := m.config.HiddenSize
			b := &Batch{}
			b.Add(make([]int32, len(embedded)/H), nil)
			var err error
			w := newWorkspace(m, false)
			if w.w, err = m.prepare(b.Tokens()); err != nil {
				t.Fatal(err)
			}
			if err := w.begin(b); err != nil {
				t.Fatal(err)
			}
			if w.probs, err = m.device.Alloc(m.config.NumAttentionHeads * b.Tokens() * b.Tokens()); err != nil {
				t.Fatal(err)
			}
			x := rows(w.embeddingOut, b.Tokens(), H)
			m.device.Write(x, embedded)
			check := func(name string, got compute.Buffer) {
				near(t, name, m.host(got), flatten(nil, g.Exact[name]), boundsAt[p].forward, 0)
			}
			for i := range w.layers {
				x = w.block(i, x, compute.Buffer{})
				check(fmt.Sprintf("layer%d.attention_probs", i), w.probs)
				check(fmt.Sprintf("layer%d.attention_output", i), rows(w.layers[i].out1, b.Tokens(), H))
				check(fmt.Sprintf("layer%d.output", i), x)
			}
			w.headForward(x)
			check("pooled", rows(w.pooled, 1, H))
			check("logits", rows(w.logits, 1, len(m.config.Labels)))
		})
	}
}
