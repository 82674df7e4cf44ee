package distill

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/sentence"
)

// lossCase is a loss at an input, with PyTorch's value and gradients: see testdata/losses/make.py.
type lossCase struct {
	Name         string
	Recipe       json.RawMessage
	Head         string
	Labels       int
	Problem      string
	Starts       []int
	Width        int     // of the teacher; 0: 6
	TokenClasses []int32 `json:"token_classes"`
	Choices      int
	Masked       []int32
	Normalized   bool

	Teacher, Student, Gradient map[string][]float64
	Weight, Bias               []float64
	WeightGradientJSON         []float64 `json:"weight_gradient"`
	BiasGradientJSON           []float64 `json:"bias_gradient"`
	Loss                       float64
}

const goldenStudent, goldenTeacher = 4, 6 // widths

// lossCases reads the goldens.
func lossCases(t *testing.T) []lossCase {
	t.Helper()
	text, err := os.ReadFile("testdata/losses/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []lossCase }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < len(terms) {
		t.Fatalf("%d cases for %d losses", len(file.Cases), len(terms))
	}
	return file.Cases
}

// floats rounds numbers to float32.
func floats(list []float64) []float32 {
	out := make([]float32, len(list))
	for i, x := range list {
		out[i] = float32(x)
	}
	return out
}

// saidOf is a model's part of a case.
func saidOf(values map[string][]float64) *said {
	s := &said{hidden: make(map[int][]float32), qkv: make(map[int][]float32)}
	for key, list := range values {
		switch {
		case key == "logits":
			s.logits = floats(list)
		case strings.HasPrefix(key, "hidden"):
			i, _ := strconv.Atoi(strings.TrimPrefix(key, "hidden"))
			s.hidden[i] = floats(list)
		default:
			i, _ := strconv.Atoi(strings.TrimPrefix(key, "qkv"))
			s.qkv[i] = floats(list)
		}
	}
	return s
}

// lossTest is the objective of a case, ready to be evaluated.
type lossTest struct {
	terms            []weighted
	computing        computing
	batch            *bert.Batch
	teacher, student *said
}

// prepare makes the objective of a case, with its projection in a trainer.
func (c *lossCase) prepare(t *testing.T, threads int) *lossTest {
	t.Helper()
	var r Recipe
	if err := json.Unmarshal(c.Recipe, &r); err != nil {
		t.Fatal(err)
	}
	r = r.WithDefaults()
	config := bert.DefaultConfig()
	config.VocabSize, config.NumHiddenLayers, config.NumAttentionHeads, config.IntermediateSize, config.MaxPositionEmbeddings = 7, 2, 2, 8, 8
	config.HiddenSize = goldenStudent
	config.Labels = nil
	for i := range c.Labels {
		config.Labels = append(config.Labels, fmt.Sprint("L", i))
	}
	if c.Problem != "" {
		if err := config.ProblemType.UnmarshalText([]byte(c.Problem)); err != nil {
			t.Fatal(err)
		}
	}
	head, err := bert.ParseHead("BertFor" + c.Head)
	if err != nil {
		t.Fatal(err)
	}
	m := &models{student: config, teacher: config, head: head, layers: []layerPair{{0, 0}, {1, 2}, {2, 4}}}
	m.teacher.HiddenSize, m.teacher.NumHiddenLayers = goldenTeacher, 4
	if c.Width != 0 {
		m.teacher.HiddenSize = c.Width
	}
	if m.vectors, err = newVectors(t.TempDir(), &m.teacher, &m.student); err != nil {
		t.Fatal(err)
	}
	if c.Normalized {
		m.vectors.normalized = true
		if m.vectors.teacher, err = sentence.New(sentence.Options{Normalize: true, Hidden: goldenTeacher}); err != nil {
			t.Fatal(err)
		}
	}
	l := &lossTest{teacher: saidOf(c.Teacher), student: saidOf(c.Student), batch: new(bert.Batch)}
	if l.terms, _, _, err = newTerms(&r, m); err != nil {
		t.Fatal(err)
	}
	for i, from := range c.Starts[:len(c.Starts)-1] {
		l.batch.Add(make([]int32, c.Starts[i+1]-from), nil)
	}
	l.batch.TokenClasses, l.batch.Choices, l.batch.MaskedPositions = c.TokenClasses, c.Choices, c.Masked
	if l.computing.matrices, err = newMatrices("", threads); err != nil {
		t.Fatal(err)
	}
	if l.computing.crew, err = newCrew("", threads); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.computing.matrices.close(); l.computing.crew.close() })

	student, err := bert.New(config, bert.Options{Head: head, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { student.Close() })
	var rows []bert.Param
	for _, p := range l.terms[0].params() {
		rows = append(rows, p.params()...)
	}
	trainer, err := student.NewTrainer(rows...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.terms[0].params() {
		if err := p.begin(trainer, 1); err != nil {
			t.Fatal(err)
		}
		if err := p.weight.values.Write(floats(c.Weight)); err != nil {
			t.Fatal(err)
		}
		if err := p.bias.values.Write(floats(c.Bias)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// at is the loss, and unless it is nil the gradient of weight times it.
func (l *lossTest) at(t *testing.T, student, gradient *said, weight float64) float64 {
	t.Helper()
	term := l.terms[0]
	rows := term.rows(l.batch)
	loss, err := term.add(&l.computing, l.batch, l.teacher, student, gradient, weight/rows)
	if err != nil {
		t.Fatal(err)
	}
	return loss / rows
}

// zeros is a gradient for what a model said.
func zeros(s *said) *said {
	g := &said{logits: make([]float32, len(s.logits)), hidden: make(map[int][]float32), qkv: make(map[int][]float32)}
	for i, x := range s.hidden {
		g.hidden[i] = make([]float32, len(x))
	}
	for i, x := range s.qkv {
		g.qkv[i] = make([]float32, len(x))
	}
	return g
}

// slicesOf lists the parts of what a model said by the names of the goldens.
func slicesOf(s *said) map[string][]float32 {
	list := make(map[string][]float32)
	if len(s.logits) > 0 {
		list["logits"] = s.logits
	}
	for i, x := range s.hidden {
		list[fmt.Sprint("hidden", i)] = x
	}
	for i, x := range s.qkv {
		list[fmt.Sprint("qkv", i)] = x
	}
	return list
}

// near reports the largest difference of two lists, relative to the largest number wanted.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	// What sums of a few tens of products in float32 leave.
	const bound = 2e-6
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	top, worst, at := 1e-6, 0.0, 0
	for i, x := range want {
		top = math.Max(top, math.Abs(x))
		if d := math.Abs(float64(got[i]) - x); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= bound*top) {
		t.Errorf("%s: number %d is %v, want %v", what, at, got[at], want[at])
	}
}

// TestLosses holds each loss and its gradients, at what the student says and at the projections, to PyTorch's. The gradient is that of
// the loss times a weight.
func TestLosses(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range lossCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			l := c.prepare(t, 2)
			seen[l.terms[0].name] = true
			const weight = 1.5
			g := zeros(l.student)
			if got := l.at(t, l.student, g, weight); !(math.Abs(got-c.Loss) <= 2e-6*math.Abs(c.Loss)) {
				t.Errorf("the loss is %v, want %v", got, c.Loss)
			}
			scaled := func(list []float64) []float64 {
				out := slices.Clone(list)
				for i := range out {
					out[i] *= weight
				}
				return out
			}
			got := slicesOf(g)
			for name, want := range c.Gradient {
				near(t, "the gradient at "+name, got[name], scaled(want))
			}
			params := l.terms[0].params()
			if (len(params) > 0) != (len(c.Weight) > 0) {
				t.Fatalf("%d projections", len(params))
			}
			for _, p := range params {
				w, b := make([]float32, p.in*p.out), make([]float32, p.out)
				if err := p.weight.gradient.Read(w); err != nil {
					t.Fatal(err)
				}
				if err := p.bias.gradient.Read(b); err != nil {
					t.Fatal(err)
				}
				near(t, "the gradient at the projection", w, scaled(c.WeightGradientJSON))
				near(t, "the gradient at its bias", b, scaled(c.BiasGradientJSON))
			}
			if again := l.at(t, l.student, nil, 0); math.Abs(again-c.Loss) > 2e-6*math.Abs(c.Loss) {
				t.Errorf("without a gradient the loss is %v, want %v", again, c.Loss)
			}
		})
	}
	for _, info := range terms {
		if !seen[info.name] {
			t.Errorf("there is no case of the loss %s", info.name)
		}
	}
}

// TestLossSlopes compares the gradient of each loss with how the loss changes along it.
func TestLossSlopes(t *testing.T) {
	// What float32 leaves of a difference quotient.
	const step, bound = 1e-2, 1e-3
	for _, c := range lossCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			l := c.prepare(t, 1)
			g := zeros(l.student)
			l.at(t, l.student, g, 1)
			norm := 0.0
			for _, list := range slicesOf(g) {
				for _, x := range list {
					norm += float64(x) * float64(x)
				}
			}
			norm = math.Sqrt(norm)
			moved := func(by float64) float64 {
				other := zeros(l.student)
				at, from, to := slicesOf(g), slicesOf(l.student), slicesOf(other)
				for name := range to {
					for i := range to[name] {
						to[name][i] = float32(float64(from[name][i]) + by*float64(at[name][i])/norm)
					}
				}
				return l.at(t, other, nil, 0)
			}
			slope := (moved(step) - moved(-step)) / (2 * step)
			if !(math.Abs(slope-norm) <= bound*norm) || norm == 0 {
				t.Errorf("the loss changes by %v along its gradient, whose norm is %v", slope, norm)
			}
		})
	}
}

// TestLossThreads: the number of threads changes no bit.
func TestLossThreads(t *testing.T) {
	for _, c := range lossCases(t) {
		one, many := c.prepare(t, 1), c.prepare(t, 3)
		a, b := zeros(one.student), zeros(many.student)
		if x, y := one.at(t, one.student, a, 1), many.at(t, many.student, b, 1); x != y {
			t.Errorf("%s: the loss is %v on one thread and %v on three", c.Name, x, y)
		}
		for name, list := range slicesOf(a) {
			if !slices.Equal(list, slicesOf(b)[name]) {
				t.Errorf("%s: the gradient at %s has other bits on three threads", c.Name, name)
			}
		}
	}
}
