package train

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/simd"
)

// Bounds on training, from the goldens' README. The trained values of null_gradients are not compared: their gradient is zero in
// exact arithmetic but rounding noise in floating point, which Adam normalises to full size.
const (
	goldenLossBound = 5e-5 // relative
	goldenNormBound = 1e-4 // relative
	goldenRateBound = 1e-8 // relative: the goldens have 9 digits
	goldenMoveBound = 5e-4 // ‖final − reference‖₂ / ‖reference − start‖₂ of a tensor
)

type goldenSequence struct {
	InputIDs     []int32 `json:"input_ids"`
	TokenTypeIDs []int32 `json:"token_type_ids"`
	MLMPositions []int32 `json:"mlm_positions"`
	MLMLabels    []int32 `json:"mlm_labels"`
	NSPLabel     int32   `json:"nsp_label"`
	ClassLabel   int32   `json:"class_label"`
}

// goldenData supplies the goldens' batches in their order, one per step, whichever example is requested.
type goldenData struct {
	Steps []struct {
		Sequences []goldenSequence `json:"sequences"`
	} `json:"steps"`
	at int
}

func (d *goldenData) Len() int { return len(d.Steps) }

func (d *goldenData) Length(int) int {
	n := 0
	for _, s := range d.Steps[d.at].Sequences {
		n += len(s.InputIDs)
	}
	return n
}

func (d *goldenData) Append(b *bert.Batch, _ int) error {
	for _, s := range d.Steps[d.at].Sequences {
		from := int32(b.Tokens())
		b.Add(s.InputIDs, s.TokenTypeIDs)
		for _, p := range s.MLMPositions {
			b.MaskedPositions = append(b.MaskedPositions, from+p)
		}
		b.MaskedIDs = append(b.MaskedIDs, s.MLMLabels...)
		b.NextSentence = append(b.NextSentence, s.NSPLabel)
		b.Classes = append(b.Classes, s.ClassLabel)
	}
	d.at++
	return nil
}

type goldenRun struct {
	Model         string    `json:"model"`
	Optimizer     string    `json:"optimizer"`
	Peak          float64   `json:"peak_learning_rate"`
	WarmupSteps   int       `json:"warmup_steps"`
	TotalSteps    int       `json:"total_steps"`
	Loss          []float64 `json:"loss"`
	GradNorm      []float64 `json:"grad_norm_before_clipping"`
	LearningRate  []float64 `json:"learning_rate"`
	NullGradients []string  `json:"null_gradients"`
}

func TestGoldenTraining(t *testing.T) {
	var runs []string
	for _, root := range golden.Folders(t, "model") {
		found, err := filepath.Glob(filepath.Join(root, "*", "train", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, found...)
	}
	if len(runs) == 0 {
		t.Fatal("no training runs, not even those of testdata/golden")
	}
	for _, level := range simd.Available() {
		t.Run(level.String(), func(t *testing.T) {
			t.Setenv("BERT_SIMD", level.String())
			for _, path := range runs {
				config := filepath.Dir(filepath.Dir(path))
				t.Run(filepath.Base(config)+"/"+strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
					testGoldenTraining(t, config, path)
				})
			}
		})
	}
}

func testGoldenTraining(t *testing.T, config, path string) {
	var want goldenRun
	readJSON(t, path, &want)
	var data goldenData
	readJSON(t, filepath.Join(config, "training-inputs.json"), &data)
	dir := filepath.Join(config, want.Model)
	m, err := bert.Load(t.Context(), dir, bert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()

	o := defaults()
	if o.Optimizer, err = ParseOptimizer(want.Optimizer); err != nil {
		t.Fatal(err)
	}
	o.Output = t.TempDir()
	o.MaxSteps, o.BatchSize, o.LearningRate, o.WarmupSteps = want.TotalSteps, 1, want.Peak, new(want.WarmupSteps)
	o.SaveModel = func(dir string) error { return m.Save(dir, bert.SaveOptions{}) }
	step := 0
	o.Observer = func(e Event) {
		s, ok := e.(Stepped)
		if !ok {
			return
		}
		if got, want := s.Loss, want.Loss[step]; !within(got, want, goldenLossBound) {
			t.Errorf("step %d: loss is %v, want %v", step, got, want)
		}
		if got, want := s.GradNorm, want.GradNorm[step]; !within(got, want, goldenNormBound) {
			t.Errorf("step %d: norm of the gradient is %v, want %v", step, got, want)
		}
		if got, want := s.LearningRate, want.LearningRate[step]; !within(got, want, goldenRateBound) {
			t.Errorf("step %d: learning rate is %v, want %v", step, got, want)
		}
		step++
	}
	if _, err := Run(context.Background(), m, &data, nil, o); err != nil {
		t.Fatal(err)
	}
	if step != want.TotalSteps {
		t.Fatalf("%d steps were made, want %d", step, want.TotalSteps)
	}

	before := tensors(t, dir)
	after := tensors(t, o.Output)
	reference := tensors(t, strings.TrimSuffix(path, ".json")+".safetensors")
	if len(reference) != len(after) {
		t.Errorf("the model has %d tensors, want %d", len(after), len(reference))
	}
	for name, reference := range reference {
		got, ok := after[name]
		if !ok || len(got) != len(reference) {
			t.Errorf("%s has %d elements, want %d", name, len(got), len(reference))
			continue
		}
		if slices.Contains(want.NullGradients, name) {
			continue
		}
		var off, moved float64
		for i := range reference {
			off += square(float64(got[i]) - float64(reference[i]))
			moved += square(float64(reference[i]) - float64(before[name][i]))
		}
		if r := math.Sqrt(off / moved); !(r <= goldenMoveBound) {
			t.Errorf("%s differs from the reference by %.2g of its movement, want at most %.2g", name, r, goldenMoveBound)
		}
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// tensors returns the contents of a safetensors file or model directory, by name.
func tensors(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]float32{}
	for _, tensor := range f.Tensors() {
		n := 1
		for _, d := range tensor.Shape {
			n *= d
		}
		values := make([]float32, n)
		if err := tensor.Float32(values); err != nil {
			t.Fatal(err)
		}
		all[tensor.Name] = values
	}
	return all
}

// within reports whether the relative difference between got and want is within a bound.
func within(got, want, bound float64) bool { return math.Abs(got-want) <= bound*math.Abs(want) }

func square(v float64) float64 { return v * v }
