package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/metric"
)

// tinyData are 60 generated sentences of 3 to 15 tokens, with a class that depends on the tokens.
type tinyData struct{}

func (tinyData) Len() int         { return 60 }
func (tinyData) Length(i int) int { return 3 + i*7%13 }

func (d tinyData) Append(b *bert.Batch, i int) error {
	s := random.New(1, 100, uint64(i))
	ids := make([]int32, d.Length(i))
	for j := range ids {
		ids[j] = 3 + int32(s.Below(40))
	}
	ids[0] = 1
	b.Add(ids, nil)
	b.Classes = append(b.Classes, ids[1]%2)
	return nil
}

// tinyModel returns a model of 2 layers whose sizes are not multiples of 8.
func tinyModel(threads int, dropout float64) (*bert.Model, error) {
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = 43, 18, 2, 3, 30, 16
	c.HiddenDropoutProb, c.AttentionProbsDropoutProb = dropout, dropout
	return bert.New(c, bert.Options{Head: bert.SequenceClassification, Threads: threads, Seed: 3})
}

// A tinyEvaluator measures the loss and the accuracy on the training data.
type tinyEvaluator struct{}

func (tinyEvaluator) Evaluate(_ context.Context, m *bert.Model, _ Point) (Evaluation, error) {
	var d tinyData
	b := new(bert.Batch)
	for i := range d.Len() {
		if err := d.Append(b, i); err != nil {
			return Evaluation{}, err
		}
	}
	out, err := m.NewSession().Forward(b, bert.Outputs{Loss: true})
	if err != nil {
		return Evaluation{}, err
	}
	right := 0.0
	for i, class := range b.Classes {
		if logits := out.Logits[2*i:]; (logits[1] > logits[0]) == (class == 1) {
			right++
		}
	}
	return Evaluation{Metrics: metric.Metrics{{Name: "accuracy", Value: right / float64(b.Len())}}, Loss: out.Loss.Total}, nil
}

// tinyOptions returns options for a run of 30 steps.
func tinyOptions(dir string, m *bert.Model) Options {
	o := defaults()
	o.Output, o.Epochs, o.BatchSize, o.LearningRate, o.SaveSteps, o.EvalSteps = dir, 4, 8, 1e-2, new(4), 10
	o.SaveModel = func(dir string) error { return m.Save(dir, bert.SaveOptions{}) }
	return o
}

// runTiny trains a tiny model and returns the folder and the result.
func runTiny(t *testing.T, threads int, dropout float64, change func(*Options)) (dir string, r Result) {
	t.Helper()
	m, err := tinyModel(threads, dropout)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := tinyOptions(t.TempDir(), m)
	change(&o)
	r, err = Run(context.Background(), m, tinyData{}, tinyEvaluator{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return o.Output, r
}

func sameFile(t *testing.T, name, a, b string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(a, name))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(b, name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs between %s and %s", name, a, b)
	}
}

// The loop learns, with each optimiser.
func TestLearns(t *testing.T) {
	for optimizer, rate := range map[Optimizer]float64{GoogleAdam: 1e-3, AdamW: 1e-3, LAMB: 2e-2} {
		_, r := runTiny(t, 1, 0, func(o *Options) { o.Optimizer, o.Epochs, o.LearningRate, o.SaveSteps = optimizer, 60, rate, new(0) })
		accuracy, _ := r.Evaluation.Metrics.Get("accuracy")
		if accuracy < 0.9 || r.Evaluation.Loss > 0.3 {
			t.Errorf("%v: after %d steps %v, want nearly all right", optimizer, r.Steps, r.Evaluation)
		}
	}
}

func TestThreadsGiveTheSameBits(t *testing.T) {
	for _, optimizer := range []Optimizer{GoogleAdam, LAMB} {
		change := func(o *Options) { o.Optimizer, o.MicroBatchTokens, o.GroupByLength = optimizer, 40, true }
		one, _ := runTiny(t, 1, 0.1, change)
		for _, threads := range []int{2, 7} {
			other, _ := runTiny(t, threads, 0.1, change)
			sameFile(t, filepath.Join("checkpoints", "step-30", tensorsName), other, one)
			sameFile(t, "model.safetensors", other, one)
			if got, want := fmt.Sprint(logged(t, other)), fmt.Sprint(logged(t, one)); got != want {
				t.Errorf("%v, %d threads: events are %s, want %s", optimizer, threads, got, want)
			}
		}
	}
}

// A batch that is processed in parts gives the gradient of the whole, up to the rounding of float32. The loss and the norm of the
// first step show it, before Adam divides noise by noise.
func TestGradientAccumulation(t *testing.T) {
	var first *Stepped
	step := func(change func(*Options)) Stepped {
		var got Stepped
		runTiny(t, 1, 0, func(o *Options) {
			change(o)
			o.MaxSteps = 1
			o.Observer = func(e Event) {
				if s, ok := e.(Stepped); ok {
					got = s
				}
			}
		})
		return got
	}
	for _, change := range []func(*Options){
		func(o *Options) {},
		func(o *Options) { o.MicroBatchSize = 1 },
		func(o *Options) { o.MicroBatchSize = 3 },
		func(o *Options) { o.MicroBatchTokens = 20 },
	} {
		got := step(change)
		if first == nil {
			first = &got
			continue
		}
		if !within(got.Loss, first.Loss, 1e-6) || !within(got.GradNorm, first.GradNorm, 2e-6) {
			t.Errorf("loss %v, norm of the gradient %v; of the whole batch %v, %v", got.Loss, got.GradNorm, first.Loss, first.GradNorm)
		}
	}

	// And the parameters after ten steps, by the distance they have gone, as the goldens are compared.
	start, _ := runTiny(t, 1, 0, func(o *Options) { o.MaxSteps, o.WarmupSteps = 1, new(1) }) // one step at rate 0
	ten := func(change func(*Options)) map[string][]float32 {
		dir, _ := runTiny(t, 1, 0, func(o *Options) { o.MaxSteps = 10; change(o) })
		return tensors(t, dir)
	}
	before, whole := tensors(t, start), ten(func(*Options) {})
	parts := ten(func(o *Options) { o.MicroBatchSize = 3 })
	var off, moved float64
	for name := range whole {
		for i := range whole[name] {
			off += square(float64(parts[name][i] - whole[name][i]))
			moved += square(float64(whole[name][i] - before[name][i]))
		}
	}
	if r := math.Sqrt(off / moved); !(r <= goldenMoveBound) || moved == 0 {
		t.Errorf("in parts, the parameters differ from those of whole batches by %v of their movement, want at most %v", r, goldenMoveBound)
	}
}

func TestRunErrors(t *testing.T) {
	m, err := tinyModel(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := tinyOptions(t.TempDir(), m)
	m.Close()
	_, err = Run(context.Background(), m, tinyData{}, tinyEvaluator{}, o)
	wantError(t, err, "the model is closed")
}
