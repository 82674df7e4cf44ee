package distill

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

func TestParseLayers(t *testing.T) {
	for _, c := range []struct {
		text string
		of   int
		want []int
	}{
		{EveryOther, 12, []int{0, 2, 4, 6, 8, 10}}, {EveryOther, 5, []int{0, 2, 4}}, {"1", 2, []int{1}}, {"0, 2,11", 12, []int{0, 2, 11}},
		{"2", 2, nil}, {"", 2, nil}, {"1,1", 2, nil}, {"1,0", 2, nil}, {"-1", 2, nil}, {"all", 2, nil},
	} {
		if got, err := parseLayers(c.text, c.of); !slices.Equal(got, c.want) && err == nil || (err != nil) != (c.want == nil) {
			t.Errorf("%q of %d: %v, %v, want %v", c.text, c.of, got, err, c.want)
		}
	}
}

func TestParseLayerMap(t *testing.T) {
	for _, c := range []struct {
		text string
		l, L int
		want []layerPair
	}{
		{Uniform, 2, 6, []layerPair{{0, 0}, {1, 3}, {2, 6}}}, {Uniform, 4, 12, []layerPair{{0, 0}, {1, 3}, {2, 6}, {3, 9}, {4, 12}}},
		{Last, 2, 6, []layerPair{{0, 4}, {1, 5}, {2, 6}}}, {"0:0,2:5", 2, 6, []layerPair{{0, 0}, {2, 5}}},
		{"3:1", 2, 6, nil}, {"1:7", 2, 6, nil}, {"1:2,1:3", 2, 6, nil}, {"1", 2, 6, nil}, {"a:b", 2, 6, nil}, {"-1:0", 2, 6, nil},
	} {
		if got, err := parseLayerMap(c.text, c.l, c.L); !slices.Equal(got, c.want) && err == nil || (err != nil) != (c.want == nil) {
			t.Errorf("%q: %v, %v, want %v", c.text, got, err, c.want)
		}
	}
}

// TestStudentOfLayers: a student of all the teacher's layers says what the teacher says, and one of some has theirs.
func TestStudentOfLayers(t *testing.T) {
	teacher := tinyModel(t, tinyConfig(4, 8), bert.SequenceClassification, 3)
	b := tinyBatch(5, 9)
	want, err := teacher.NewSession().Forward(b, bert.Outputs{Hidden: true})
	if err != nil {
		t.Fatal(err)
	}
	make := func(layers string) *bert.Model {
		t.Helper()
		c := teacher.Config()
		s, err := newStudent(&Recipe{Models: Models{StudentLayers: layers}}, "", &c, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.make(context.Background(), bert.Options{Head: bert.SequenceClassification, Labels: c.Labels, Seed: 7}, teacher, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	got, err := make("0,1,2,3").NewSession().Forward(b, bert.Outputs{Hidden: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Logits, want.Logits) || !reflect.DeepEqual(got.Hidden, want.Hidden) {
		t.Error("a student of all layers says something else than the teacher")
	}
	half := make(EveryOther)
	for own, from := range []string{"0", "2"} {
		for _, name := range []string{".attention.self.query.weight", ".output.LayerNorm.bias"} {
			a, errA := half.Values("bert.encoder.layer." + []string{"0", "1"}[own] + name)
			b, errB := teacher.Values("bert.encoder.layer." + from + name)
			if errA != nil || errB != nil || !slices.Equal(a, b) {
				t.Errorf("layer %d of the student is not layer %s of the teacher (%v, %v)", own, from, errA, errB)
			}
		}
	}
}

// TestTeacherEmbeddings: a student's embeddings keep the differences of the teacher's words, as far as fewer dimensions can: all of
// them where the teacher's words differ in no more.
func TestTeacherEmbeddings(t *testing.T) {
	const flat = 3 // dimensions in which the words differ
	c := tinyConfig(1, 8)
	teacher := tinyModel(t, c, bert.NoHead, 3)
	name := "embeddings.word_embeddings.weight"
	words, err := teacher.Values(name)
	if err != nil {
		t.Fatal(err)
	}
	low := make([]float32, len(words))
	for i := range low {
		for k := range flat {
			low[i] += words[i/8*8+k] * float32(math.Sin(float64(1+i%8*(k+2)))) // each row is a combination of three vectors
		}
	}
	if err := setParameters(teacher, func(p bert.Param) ([]float32, error) {
		if p.Name == name {
			return low, nil
		}
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	student := tinyModel(t, tinyConfig(1, 4), bert.NoHead, 5)
	if err := projectEmbeddings(student, teacher, nil); err != nil {
		t.Fatal(err)
	}
	got, err := student.Values(name)
	if err != nil {
		t.Fatal(err)
	}
	distance := func(table []float32, width, i, j int) (d float64) {
		for k := range width {
			e := float64(table[i*width+k]) - float64(table[j*width+k])
			d += e * e
		}
		return math.Sqrt(d)
	}
	scale := distance(got, 4, 0, 1) / distance(low, 8, 0, 1)
	squares := 0.0
	for _, x := range got {
		squares += float64(x) * float64(x) / float64(len(got))
	}
	if spread := math.Sqrt(squares); math.Abs(spread-c.InitializerRange) > 1e-5 {
		t.Errorf("the spread is %v, want %v", spread, c.InitializerRange)
	}
	for i := range c.VocabSize {
		for j := range i {
			if a, b := distance(got, 4, i, j), scale*distance(low, 8, i, j); math.Abs(a-b) > 1e-4*(b+1e-6) {
				t.Fatalf("words %d and %d are %v apart, want %v", i, j, a, b)
			}
		}
	}
	wide := tinyModel(t, tinyConfig(1, 12), bert.NoHead, 5)
	if err := projectEmbeddings(wide, teacher, nil); err == nil {
		t.Error("a student wider than the teacher is accepted")
	}
}

// TestPieces: tokens of another vocabulary are the same pieces of text, or it is an error that says which word they cut otherwise.
func TestPieces(t *testing.T) {
	vocabulary := func(words string) *tokenizer.Tokenizer {
		t.Helper()
		tok, err := tokenizer.New(append([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, strings.Fields(words)...), tokenizer.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	teacher := vocabulary("the film ##s f ##i ##l ##m good joy")
	if newPieces(vocabulary("the film ##s f ##i ##l ##m good joy"), teacher) != nil {
		t.Error("the same vocabulary has other ids")
	}
	for _, c := range []struct {
		words, text string
		want        *PiecesError
	}{
		{"joy ##s good film the", "the films good", nil},
		{"joy film the", "the good film", nil}, // good is unknown to the student, and so to the teacher
		{"f ##i ##l ##m the", "the film", &PiecesError{Word: "film", Student: []string{"f", "##i", "##l", "##m"}, Teacher: []string{"film"}}},
		{"the bad", "the bad", &PiecesError{Student: []string{"bad"}}},
	} {
		student := vocabulary(c.words)
		p := newPieces(student, teacher)
		err := p.check(oneText{t, student, c.text})
		var got *PiecesError
		if errors.As(err, &got); !reflect.DeepEqual(got, c.want) || err != nil && got == nil {
			t.Errorf("%q with %q: %v, want %v", c.text, c.words, err, c.want)
		}
		if err != nil {
			continue
		}
		var b bert.Batch
		if err := (oneText{t, student, c.text}).Append(&b, 0); err != nil {
			t.Fatal(err)
		}
		names := student.Tokens(b.IDs)
		if err := p.translate(b.IDs); err != nil {
			t.Fatal(err)
		}
		if got := teacher.Tokens(b.IDs); !slices.Equal(got, names) {
			t.Errorf("%q becomes %q to the teacher", names, got)
		}
	}
}

// oneText is a data set of one text.
type oneText struct {
	t    *testing.T
	tok  *tokenizer.Tokenizer
	text string
}

func (oneText) Len() int { return 1 }
func (o oneText) Append(b *bert.Batch, _ int) error {
	var e tokenizer.Encoding
	err := o.tok.Encode(&e, o.text, tokenizer.Options{})
	b.Add(e.IDs, nil)
	return err
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		teacher, student string
		want             []int
		ok               bool
	}{
		{"a b c", "a b c", nil, true}, {"c a b", "a b c", []int{1, 2, 0}, true}, {"LABEL_0 LABEL_1", "neg pos", nil, true},
		{"a b", "a b c", nil, false}, {"a b", "a c", nil, false},
	} {
		got, err := columns(strings.Fields(c.teacher), strings.Fields(c.student))
		if !slices.Equal(got, c.want) || (err == nil) != c.ok {
			t.Errorf("%s to %s: %v, %v", c.teacher, c.student, got, err)
		}
	}
}

// TestRecipe reads back what it writes, and finds each mistake.
func TestRecipe(t *testing.T) {
	good := Recipe{Models: Models{Teacher: "t", Student: "2x128"}, Data: Data{Task: "text", Path: "d"}}
	full := good.WithDefaults()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "recipe.json")
	text := `{"teacher": "t", "student": "2x128", "task": "text", "data": "d", "relations": ["qk", "vv"], "attention_of": "probabilities", "student_embeddings": "teacher"}`
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecipe(file)
	if err != nil {
		t.Fatal(err)
	}
	want := good
	want.Relations, want.AttentionOf, want.Embeddings = []string{"qk", "vv"}, Probabilities, TeacherEmbeddings
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if full.Temperature != 2 || full.LearningRate != 3e-4 || full.Epochs != 3 || full.LayerMap != Uniform {
		t.Errorf("the defaults are %+v", full)
	}
	for key, change := range map[string]func(*Recipe){
		"teacher":               func(r *Recipe) { r.Teacher = "" },
		"student":               func(r *Recipe) { r.StudentLayers = "0" },
		"student_layers":        func(r *Recipe) { r.Student, r.StudentLayers = "", "2,1" },
		"cased":                 func(r *Recipe) { r.Cased = true },
		"task":                  func(r *Recipe) { r.Files = []string{"f"} },
		"text":                  func(r *Recipe) { r.Task, r.Files, r.Instances = "", []string{"f"}, "d" },
		"augment":               func(r *Recipe) { r.Copies = -1 },
		"augment_share":         func(r *Recipe) { r.Copies, r.AugmentShare = 1, 2 },
		"temperature":           func(r *Recipe) { r.Temperature = -1 },
		"layer_map":             func(r *Recipe) { r.LayerMap = "first" },
		"relations":             func(r *Recipe) { r.Relations = []string{"qx"} },
		"hidden_weight":         func(r *Recipe) { r.HiddenWeight = -1 },
		"label_weight":          func(r *Recipe) { r.LabelWeight = math.NaN() },
		"learning_rate":         func(r *Recipe) { r.LearningRate = -1 },
		"metric_for_best_model": func(r *Recipe) { r.Task, r.Files, r.BestMetric = "", []string{"f"}, "loss" },
	} {
		r := good
		change(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("a bad %s: %v", key, err)
		}
	}
}
