package bert

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
)

// smallConfig has sizes that are no multiple of any vector's width.
func smallConfig() Config {
	c := DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads = 53, 20, 2, 5
	c.IntermediateSize, c.MaxPositionEmbeddings, c.TypeVocabSize = 37, 24, 3
	c.Labels = defaultLabels(3)
	return c
}

func newTestModel(t testing.TB, c Config, head Head, threads int) *Model {
	t.Helper()
	return newTestModelAt(t, Float32, c, head, threads)
}

func newTestModelAt(t testing.TB, p Precision, c Config, head Head, threads int) *Model {
	t.Helper()
	m, err := New(c, Options{Head: head, Threads: threads, Precision: p, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	// Weights of the size that initializer_range gives hardly tell one token from another; these do.
	r := rand.New(rand.NewPCG(3, 4))
	for i := range m.params {
		p := &m.params[i]
		values := slices.Clone(m.host(p.value))
		for j := range values {
			values[j] += float32(r.NormFloat64() * 0.2)
		}
		m.device.Write(p.value, values)
	}
	return m
}

// headBatch is testBatch with the classes that a head wants: for multiple choice the sequences are the choices of one
// example.
func headBatch(c Config, h Head, lengths ...int) *Batch {
	b := testBatch(c, lengths...)
	if h == MultipleChoice {
		b.Classes = b.Classes[:1]
	}
	return b
}

// testBatch has sequences of the given lengths with labels for every head but multiple choice.
func testBatch(c Config, lengths ...int) *Batch {
	r := rand.New(rand.NewPCG(5, uint64(len(lengths))))
	b := &Batch{Choices: len(lengths)}
	for i, n := range lengths {
		ids, types := make([]int32, n), make([]int32, n)
		for j := range ids {
			ids[j], types[j] = int32(r.IntN(c.VocabSize)), int32(r.IntN(c.TypeVocabSize))
			b.TokenClasses = append(b.TokenClasses, int32(r.IntN(len(c.Labels)+1)-1))
		}
		b.MaskedPositions = append(b.MaskedPositions, int32(len(b.IDs)+n/2))
		b.MaskedIDs = append(b.MaskedIDs, int32(r.IntN(c.VocabSize)))
		b.Add(ids, types)
		b.From, b.To = append(b.From, int32(r.IntN(n))), append(b.To, int32(r.IntN(n)))
		b.NextSentence = append(b.NextSentence, int32(i%2))
		b.Classes = append(b.Classes, int32(r.IntN(len(c.Labels))))
		b.Values = append(b.Values, float32(r.NormFloat64()))
	}
	return b
}

func TestBatchedEqualsSingle(t *testing.T) {
	c := smallConfig()
	lengths := []int{9, 1, 24, 13, 2}
	atEveryPrecision(t, func(t *testing.T, precision Precision) {
		m := newTestModelAt(t, precision, c, SequenceClassification, 2)
		b := testBatch(c, lengths...)
		want := Outputs{LastHidden: true, Pooled: true}
		all, err := m.NewSession().Forward(b, want)
		if err != nil {
			t.Fatal(err)
		}
		s := m.NewSession()
		for i := range b.Len() {
			from, to := b.Sequence(i)
			one := &Batch{}
			one.Add(b.IDs[from:to], b.TypeIDs[from:to])
			out, err := s.Forward(one, want)
			if err != nil {
				t.Fatal(err)
			}
			H, C := c.HiddenSize, len(c.Labels)
			if !slices.Equal(out.LastHidden, all.LastHidden[from*H:to*H]) {
				t.Errorf("sequence %d: hidden states differ from those in a batch", i)
			}
			if !slices.Equal(out.Pooled, all.Pooled[i*H:(i+1)*H]) {
				t.Errorf("sequence %d: pooled vector differs from the one in a batch", i)
			}
			if !slices.Equal(out.Logits, all.Logits[i*C:(i+1)*C]) {
				t.Errorf("sequence %d: logits differ from those in a batch", i)
			}
		}
	})
}

// TestFirstPass compares passes that take the weights where they are, packed in part and packed, of a mapped file.
func TestFirstPass(t *testing.T) {
	c := smallConfig()
	short := testBatch(c, 9, 1, 24)
	long := testBatch(c, slices.Repeat([]int{24}, shortPass/24+1)...)
	atEveryPrecision(t, func(t *testing.T, precision Precision) {
		for _, h := range []Head{SequenceClassification, PreTraining} {
			dir := filepath.Join(t.TempDir(), "model")
			if err := newTestModel(t, c, h, 1).Save(dir, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			var want []float32
			for name, before := range map[string]*Batch{"short": short, "long": long} {
				m := load(t, dir, Options{Threads: 2, Precision: precision})
				if err := m.Prepare(); err != nil {
					t.Fatal(err)
				}
				s := m.NewSession()
				for i, b := range []*Batch{before, short, short} {
					out, err := s.Forward(b, Outputs{LastHidden: true})
					if err != nil {
						t.Fatal(err)
					}
					if b != short {
						continue
					}
					got := slices.Concat(out.LastHidden, out.Logits, out.NextSentenceLogits)
					if want == nil {
						want = got
					}
					if !slices.Equal(got, want) {
						t.Errorf("%v: pass %d after a %s one gives other bits", h, i, name)
					}
				}
			}
		}
	})
}

// TestFirstTokensAlone compares the last block on the first tokens alone with the whole of it.
func TestFirstTokensAlone(t *testing.T) {
	c := smallConfig()
	b := testBatch(c, 9, 1, 24, 13)
	atEveryPrecision(t, func(t *testing.T, precision Precision) {
		for _, h := range []Head{NoHead, NextSentence, SequenceClassification} {
			s := newTestModelAt(t, precision, c, h, 2).NewSession()
			results := func(want Outputs) []float32 {
				want.Pooled = true
				out, err := s.Forward(b, want)
				if err != nil {
					t.Fatal(err)
				}
				return slices.Concat(out.Pooled, out.Logits)
			}
			if !slices.Equal(results(Outputs{}), results(Outputs{LastHidden: true})) {
				t.Errorf("%v: the first tokens alone give other bits", h)
			}
		}
	})
}

// trained makes two steps and returns all parameters.
func trained(t *testing.T, p Precision, head Head, threads int) []float32 {
	t.Helper()
	c := smallConfig()
	m := newTestModelAt(t, p, c, head, threads)
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	batches := []*Batch{headBatch(c, head, 9, 1, 24), headBatch(c, head, 13, 2, 5)}
	for key := range uint64(2) {
		if _, err := tr.Backward(batches, Pass{Key: key}); err != nil {
			t.Fatal(err)
		}
		update(t, tr, Update{GradScale: 1 / gradNorm(t, tr), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1, Decay: 1e-5})
	}
	return slices.Clone(m.host(m.values))
}

func TestThreadsGiveTheSameBits(t *testing.T) {
	atEachPrecision(t, func(t *testing.T, precision Precision) {
		for h := PreTraining; int(h) < len(heads); h++ {
			want := trained(t, precision, h, 1)
			for _, threads := range []int{2, 7} {
				if got := trained(t, precision, h, threads); !slices.Equal(got, want) {
					t.Errorf("%v: %d threads train other bits than one", h, threads)
				}
			}
		}
	})
}

// TestInt8 asserts that at int8 any number of threads, and a device that does everything late, give the same bits; that they are
// near those of float32; and that no trainer is to be had.
func TestInt8(t *testing.T) {
	c := smallConfig()
	b := testBatch(c, 9, 1, 24, 13, 2)
	forward := func(t *testing.T, m *Model) []float32 {
		t.Helper()
		out, err := m.NewSession().Forward(b, Outputs{LastHidden: true})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(out.LastHidden, out.Logits, out.NextSentenceLogits)
	}
	atEachLevel(t, func(t *testing.T) {
		m := newTestModelAt(t, Int8, c, PreTraining, 1)
		want := forward(t, m)
		for _, threads := range []int{2, 7} {
			if !slices.Equal(forward(t, newTestModelAt(t, Int8, c, PreTraining, threads)), want) {
				t.Errorf("%d threads give other bits than one", threads)
			}
		}
		if !slices.Equal(forward(t, onDevice(t, deferred(true, nil), c, PreTraining, Int8)), forward(t, onDevice(t, nil, c, PreTraining, Int8))) {
			t.Error("a deferred device gives other bits")
		}
		near(t, "outputs", want, forward(t, newTestModel(t, c, PreTraining, 1)), 0.06, 0)
		if p, _ := m.Precision(); p != Int8 {
			t.Errorf("the precision is %v", p)
		}
		if _, err := m.NewTrainer(); !errors.Is(err, ErrInferenceOnly) {
			t.Errorf("the error of a trainer is %v", err)
		}
	})
}

// TestLAMB compares two steps with You et al.'s Algorithm 2 in float64, tensor by tensor. Bounds: a step's rounding in
// float32, of a parameter and of how far it moves.
func TestLAMB(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, PreTraining, 3)
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	const rate, decay, eps = 0.01, 0.1, 1e-6
	beta1, beta2 := float64(float32(0.9)), float64(float32(0.999)) // in float32, 1−β2 is another number
	wide := func(b compute.Buffer) []float64 {
		var out []float64
		for _, x := range m.host(b) {
			out = append(out, float64(x))
		}
		return out
	}
	norm := func(x []float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += v * v
		}
		return math.Sqrt(sum)
	}
	moment1, moment2 := make([]float64, m.values.Len), make([]float64, m.values.Len)
	for step := 1; step <= 2; step++ {
		if _, err := tr.Backward([]*Batch{headBatch(c, PreTraining, 9, 24)}, Pass{Key: uint64(step)}); err != nil {
			t.Fatal(err)
		}
		grads, before := wide(tr.grads), wide(m.values)
		bias1, bias2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
		update(t, tr, Update{
			GradScale: 0.5, Beta1: beta1, Beta2: beta2, Eps: eps, StepSize: 1 / bias1, RootScale: 1 / math.Sqrt(bias2), Decay: decay,
			LAMB: true, LayerRate: rate,
		})
		after := wide(m.values)
		at := 0
		for i := range m.params {
			p := &m.params[i]
			u := make([]float64, p.Len())
			for j := range u {
				k := at + j
				g := grads[k] / 2
				moment1[k] = beta1*moment1[k] + (1-beta1)*g
				moment2[k] = beta2*moment2[k] + (1-beta2)*g*g
				u[j] = moment1[k] / bias1 / (math.Sqrt(moment2[k]/bias2) + eps)
				if p.Decay {
					u[j] += decay * before[k]
				}
			}
			ratio := 1.0
			if x := norm(before[at : at+p.Len()]); p.Decay && x > 0 && norm(u) > 0 {
				ratio = x / norm(u)
			}
			for j := range u {
				k := at + j
				want := before[k] - rate*ratio*u[j]
				if off := math.Abs(after[k] - want); off > 1e-6*(math.Abs(want)+math.Abs(rate*ratio*u[j])) {
					t.Fatalf("step %d, %s[%d]: %v, want %v", step, p.Name, j, after[k], want)
				}
			}
			at += p.Len()
		}
		if n := gradNorm(t, tr); n != 0 {
			t.Fatalf("after the update the gradient has norm %v", n)
		}
	}
}

// TestDropoutGradient compares the gradient along a random direction with the change of the loss, dropout included: the
// backward pass has to find the masks of the forward pass again. Bound: what float32 leaves of a difference quotient.
func TestDropoutGradient(t *testing.T) {
	const (
		step  = 2e-3
		bound = 2e-2
	)
	c := smallConfig()
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = 0.3, 0.2
	for h := PreTraining; int(h) < len(heads); h++ {
		t.Run(h.String(), func(t *testing.T) {
			m := newTestModel(t, c, h, 2)
			tr, err := m.NewTrainer()
			if err != nil {
				t.Fatal(err)
			}
			batches := []*Batch{headBatch(c, h, 9, 3, 24)}
			lossAt := func() float64 {
				tr.ZeroGrad()
				loss, err := tr.Backward(batches, Pass{Key: 42})
				if err != nil {
					t.Fatal(err)
				}
				return loss.Total
			}
			lossAt()
			grads, start := slices.Clone(m.host(tr.grads)), slices.Clone(m.host(m.values))
			// The direction is the gradient's own with noise, so that the change stands out from rounding.
			r := rand.New(rand.NewPCG(1, 2))
			direction, slope, norm := make([]float64, len(grads)), 0.0, gradNorm(t, tr)
			for i, g := range grads {
				direction[i] = float64(g)/norm + r.NormFloat64()/math.Sqrt(float64(len(grads)))
				slope += direction[i] * float64(g)
			}
			moved := func(by float64) float64 {
				v := slices.Clone(start)
				for i := range v {
					v[i] += float32(by * direction[i])
				}
				m.device.Write(m.values, v)
				return lossAt()
			}
			got := (moved(step) - moved(-step)) / (2 * step)
			if !(math.Abs(got-slope) <= bound*math.Abs(slope)) {
				t.Errorf("the loss changes by %g along the direction, the gradient says %g", got, slope)
			}
		})
	}
}

func TestSteadyStepAllocatesNothing(t *testing.T) {
	c := smallConfig()
	for h := PreTraining; int(h) < len(heads); h++ {
		m := newTestModel(t, c, h, 2)
		tr, err := m.NewTrainer()
		if err != nil {
			t.Fatal(err)
		}
		batches := []*Batch{headBatch(c, h, 9, 3, 24)}
		step := func() {
			if _, err := tr.Backward(batches, Pass{Key: 1}); err != nil {
				t.Fatal(err)
			}
			update(t, tr, Update{GradScale: 1 / gradNorm(t, tr), Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1})
		}
		if n := computetest.SteadyAllocations(step); n != 0 {
			t.Errorf("%v: a training step allocates %v times", h, n)
		}
		tr.Close()
		s := m.NewSession()
		pass := func() {
			if _, err := s.Forward(batches[0], Outputs{LastHidden: true}); err != nil {
				t.Fatal(err)
			}
		}
		if n := computetest.SteadyAllocations(pass); n != 0 {
			t.Errorf("%v: a forward pass allocates %v times", h, n)
		}
	}
}

// TestSaveAndLoad writes a model of each head, trained a little, and reads it back.
func TestSaveAndLoad(t *testing.T) {
	c := smallConfig()
	b := testBatch(c, 9, 1, 24)
	for h := NoHead; int(h) < len(heads); h++ {
		t.Run(h.String(), func(t *testing.T) {
			m := newTestModel(t, c, h, 1)
			want := Outputs{LastHidden: true}
			for _, d := range []struct {
				dtype checkpoint.DType
				bound float64 // relative to the largest hidden state
			}{{checkpoint.F32, 0}, {checkpoint.F16, 5e-3}, {checkpoint.BF16, 5e-2}} {
				dir := filepath.Join(t.TempDir(), "model")
				if err := m.Save(dir, SaveOptions{DType: d.dtype}); err != nil {
					t.Fatal(err)
				}
				back := load(t, dir, Options{Threads: 1})
				if back.Head() != h {
					t.Errorf("the head is %v, want %v", back.Head(), h)
				}
				if r := back.Report(); len(r.NewHead)+len(r.Missing)+len(r.LeftOver) > 0 {
					t.Errorf("report is %+v, want nothing", r)
				}
				x, err := m.NewSession().Forward(b, want)
				if err != nil {
					t.Fatal(err)
				}
				y, err := back.NewSession().Forward(b, want)
				if err != nil {
					t.Fatal(err)
				}
				near(t, d.dtype.String(), y.LastHidden, x.LastHidden, d.bound, 0)
			}
		})
	}
}

// saveTensors writes a model directory with the tensors of m as change makes them.
func saveTensors(t *testing.T, m *Model, change func(map[string]checkpoint.Tensor)) string {
	t.Helper()
	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tensors := make(map[string]checkpoint.Tensor)
	for _, x := range f.Tensors() {
		x.Data = slices.Clone(x.Data)
		tensors[x.Name] = x
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	change(tensors)
	var list []checkpoint.Tensor
	for name, x := range tensors {
		x.Name = name
		list = append(list, x)
	}
	if err := checkpoint.WriteSafetensors(path, list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	c := smallConfig()
	const (
		word   = "bert.embeddings.word_embeddings.weight"
		pooler = "bert.pooler.dense.weight"
	)
	m := newTestModel(t, c, SequenceClassification, 1)
	scalar := checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{1}, Data: make([]byte, 4)}
	for _, test := range []struct {
		name    string
		change  func(map[string]checkpoint.Tensor)
		options Options
		want    string // in the error; "" for none
		report  LoadReport
	}{
		{name: "missing", change: func(x map[string]checkpoint.Tensor) { delete(x, pooler) },
			want: "tensor " + pooler + " is missing for a BertForSequenceClassification"},
		{name: "missing allowed", change: func(x map[string]checkpoint.Tensor) { delete(x, pooler) },
			options: Options{AllowMissing: true}, report: LoadReport{Missing: []string{pooler}}},
		{name: "left over", change: func(x map[string]checkpoint.Tensor) { x["bert.encoder.layer.2.odd"] = scalar; x["odd"] = scalar },
			report: LoadReport{LeftOver: []string{"bert.encoder.layer.2.odd", "odd"}, Unknown: []string{"bert.encoder.layer.2.odd", "odd"}}},
		{name: "nothing of the head", change: func(x map[string]checkpoint.Tensor) { delete(x, "classifier.weight"); delete(x, "classifier.bias") },
			want: "tensors classifier.weight and classifier.bias are missing for a BertForSequenceClassification: the model has no such head to answer with"},
		{name: "no pooler", change: func(x map[string]checkpoint.Tensor) { delete(x, pooler); delete(x, "bert.pooler.dense.bias") },
			want: "tensors bert.pooler.dense.weight and bert.pooler.dense.bias are missing for a BertForSequenceClassification: the model has no such head"},
		{name: "a new pooler", change: func(x map[string]checkpoint.Tensor) { delete(x, pooler); delete(x, "bert.pooler.dense.bias") },
			options: Options{NewHead: true}, report: LoadReport{NewHead: []string{pooler, "bert.pooler.dense.bias"}}},
		{name: "no pooler needed", change: func(x map[string]checkpoint.Tensor) { delete(x, pooler); delete(x, "bert.pooler.dense.bias") },
			options: Options{Head: NoHead}, report: LoadReport{LeftOver: []string{"classifier.bias", "classifier.weight"}}},
		{name: "misshapen", change: func(x map[string]checkpoint.Tensor) { x[word] = scalar },
			want: "tensor " + word + " has shape [1], want [53 20]"},
		{name: "not numbers", change: func(x map[string]checkpoint.Tensor) {
			x["classifier.bias"] = checkpoint.Tensor{DType: checkpoint.I32, Shape: []int{3}, Data: make([]byte, 12)}
		}, want: "I32"},
		{name: "twice", change: func(x map[string]checkpoint.Tensor) { x["embeddings.word_embeddings.weight"] = x[word] },
			want: "are the same parameter"},
		{name: "another head", change: func(x map[string]checkpoint.Tensor) {},
			options: Options{Head: QuestionAnswering, NewHead: true},
			report: LoadReport{NewHead: []string{"qa_outputs.weight", "qa_outputs.bias"},
				LeftOver: []string{"bert.pooler.dense.bias", pooler, "classifier.bias", "classifier.weight"}}},
		{name: "other labels", change: func(x map[string]checkpoint.Tensor) {},
			options: Options{Labels: []string{"a", "b", "c", "d"}, NewHead: true},
			report:  LoadReport{NewHead: []string{"classifier.weight", "classifier.bias"}}},
		{name: "half a head", change: func(x map[string]checkpoint.Tensor) { delete(x, "classifier.bias") },
			want: "tensor classifier.bias is missing"},
		{name: "old names", change: func(x map[string]checkpoint.Tensor) {
			for name, tensor := range x {
				if n, ok := strings.CutSuffix(name, "LayerNorm.weight"); ok {
					delete(x, name)
					x[n+"LayerNorm.gamma"] = tensor
				} else if n, ok := strings.CutSuffix(name, "LayerNorm.bias"); ok {
					delete(x, name)
					x[n+"LayerNorm.beta"] = tensor
				}
			}
		}},
		{name: "no prefix", change: func(x map[string]checkpoint.Tensor) {
			for name, tensor := range x {
				if n, ok := strings.CutPrefix(name, "bert."); ok {
					delete(x, name)
					x[n] = tensor
				}
			}
		}},
		{name: "position ids", change: func(x map[string]checkpoint.Tensor) {
			x["bert.embeddings.position_ids"] = checkpoint.Tensor{DType: checkpoint.I64, Shape: []int{1, 1}, Data: make([]byte, 8)}
		}},
		{name: "tied decoder of a graph", change: func(x map[string]checkpoint.Tensor) { x["cls.predictions.weight"] = x[word] }},
		{name: "tied decoder", change: func(x map[string]checkpoint.Tensor) { x["cls.predictions.decoder.weight"] = x[word] }},
		{name: "decoder of its own", change: func(x map[string]checkpoint.Tensor) {
			other := x[word]
			other.Data = slices.Clone(other.Data)
			other.Data[0]++
			x["cls.predictions.decoder.weight"] = other
		}, report: LoadReport{LeftOver: []string{"cls.predictions.decoder.weight"}}},
		{name: "half a pooler", change: func(x map[string]checkpoint.Tensor) { delete(x, "bert.pooler.dense.bias") },
			options: Options{NewHead: true}, want: "tensor bert.pooler.dense.bias is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := saveTensors(t, m, test.change)
			test.options.Threads = 1
			got, err := Load(t.Context(), dir, test.options)
			if err == nil {
				defer got.Close()
			}
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error is %v, want one with %q", err, test.want)
				}
				if !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q is no single line that names %s", err, dir)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test.report.DType = checkpoint.F32
			if r := got.Report(); fmt.Sprint(r) != fmt.Sprint(test.report) {
				t.Errorf("report is %+v, want %+v", r, test.report)
			}
			if _, err := got.NewSession().Forward(testBatch(c, 3), Outputs{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestForwardChecksTheBatch(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, SequenceClassification, 1)
	ids := func(n ...int32) []int32 { return n }
	for _, test := range []struct {
		name  string
		batch func() *Batch
		want  Outputs
		err   string
	}{
		{"empty", func() *Batch { return &Batch{} }, Outputs{}, "batch is empty"},
		{"empty sequence", func() *Batch { b := &Batch{}; b.Add(nil, nil); return b }, Outputs{}, "0 tokens"},
		{"id", func() *Batch { b := &Batch{}; b.Add(ids(1, 53), nil); return b }, Outputs{}, "token 1: id 53 is outside the model's vocabulary of 53"},
		{"negative id", func() *Batch { b := &Batch{}; b.Add(ids(-1), nil); return b }, Outputs{}, "id -1"},
		{"type id", func() *Batch { b := &Batch{}; b.Add(ids(1), ids(3)); return b }, Outputs{}, "type id 3 is outside the model's 3 types"},
		{"too long", func() *Batch { b := &Batch{}; b.Add(make([]int32, 25), nil); return b }, Outputs{}, "25 tokens, the model has 24 positions"},
		{"no class", func() *Batch { b := &Batch{}; b.Add(ids(1), nil); return b }, Outputs{Loss: true}, "0 classes, want 1"},
		{"class", func() *Batch { b := &Batch{Classes: ids(3)}; b.Add(ids(1), nil); return b }, Outputs{Loss: true}, "class 0 of the batch is 3, the model has 3 classes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := m.NewSession().Forward(test.batch(), test.want)
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("error is %v, want one with %q", err, test.err)
			}
		})
	}
}

// TestTrainerState writes a trainer's state in the middle of a run: another model that reads it goes on with the same
// bits.
func TestTrainerState(t *testing.T) {
	c := smallConfig()
	path := filepath.Join(t.TempDir(), "state.safetensors")
	steps := func(t *testing.T, tr *Trainer, from, to uint64) {
		for key := from; key < to; key++ {
			if _, err := tr.Backward([]*Batch{testBatch(c, 9, 1, 24)}, Pass{Key: key}); err != nil {
				t.Fatal(err)
			}
			update(t, tr, Update{GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1, Decay: 1e-5})
		}
	}
	m := newTestModel(t, c, PreTraining, 1)
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	steps(t, tr, 0, 2)
	if err := tr.WriteState(path, map[string]string{"step": "2"}); err != nil {
		t.Fatal(err)
	}
	steps(t, tr, 2, 4)

	again, err := New(c, Options{Head: PreTraining, Threads: 1, Seed: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	resumed, err := again.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := resumed.ReadState(path)
	if err != nil {
		t.Fatal(err)
	}
	if metadata["step"] != "2" {
		t.Errorf("metadata is %v", metadata)
	}
	steps(t, resumed, 2, 4)
	if !slices.Equal(again.host(again.values), m.host(m.values)) {
		t.Error("the resumed run has other bits than the one that went on")
	}

	other := newTestModel(t, c, NextSentence, 1)
	wrong, err := other.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.ReadState(path); err == nil || !strings.Contains(err.Error(), "another model's state") {
		t.Errorf("error is %v, want one that says it is another model's state", err)
	}
}

func TestTrainerTakesOverAMappedModel(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, SequenceClassification, 1)
	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	mapped := load(t, dir, Options{Threads: 1})
	s := mapped.NewSession()
	b := testBatch(c, 9, 4)
	first, err := s.Forward(b, Outputs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	loss := first.Loss.Total
	tr, err := mapped.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mapped.NewTrainer(); err == nil {
		t.Error("a second trainer was made")
	}
	for key := range uint64(20) {
		if _, err := tr.Backward([]*Batch{b}, Pass{Key: key}); err != nil {
			t.Fatal(err)
		}
		update(t, tr, Update{GradScale: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-2, RootScale: 1})
	}
	during, err := s.Forward(b, Outputs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	if !(during.Loss.Total < loss) {
		t.Errorf("the loss is %g after training, %g before", during.Loss.Total, loss)
	}
	logits := slices.Clone(during.Logits)
	tr.Close()
	after, err := s.Forward(b, Outputs{Loss: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(after.Logits, logits) {
		t.Error("packed weights give other bits than unpacked ones")
	}
	now, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(now, before) {
		t.Error("training changed the file that the model was read from")
	}
}

func TestParamsTable(t *testing.T) {
	c := DefaultConfig()
	n, seen, google := 0, map[string]bool{}, map[string]bool{}
	for _, p := range Params(&c, PreTraining) {
		n += p.Len()
		if seen[p.Name] || google[p.Google] {
			t.Errorf("%s (%s) stands twice in the table", p.Name, p.Google)
		}
		seen[p.Name], google[p.Google] = true, true
		if undecayed := strings.Contains(p.Name, "LayerNorm") || strings.HasSuffix(p.Name, "bias"); p.Decay == undecayed {
			t.Errorf("%s: decay is %v", p.Name, p.Decay)
		}
	}
	// The paper says 110 million for the base model; this is the exact number with both pre-training heads.
	if want := 110106428; n != want {
		t.Errorf("BERT-base has %d parameters, want %d", n, want)
	}
}
