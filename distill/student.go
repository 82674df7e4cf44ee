package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// student is the model that learns, before it is made.
type student struct {
	recipe    *Recipe
	config    bert.Config
	tokenizer *tokenizer.Tokenizer
	dir       string // of the model to begin with; "": random weights, or layers of the teacher
	layers    []int  // of the teacher; nil: none
}

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,3})x([1-9][0-9]{0,5})$`)

// parseSize reads LAYERSxWIDTH.
func parseSize(text string) (layers, width int, ok bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, false
	}
	layers, _ = strconv.Atoi(m[1]) // digits, and few
	width, _ = strconv.Atoi(m[2])
	return layers, width, true
}

// parseLayers reads every-other, or numbers of layers of a model of so many.
func parseLayers(text string, of int) ([]int, error) {
	var list []int
	if text == EveryOther {
		for i := 0; i < min(of, 1<<10); i += 2 {
			list = append(list, i)
		}
		return list, nil
	}
	wrong := &recipe.Error{Key: "student_layers", Value: strconv.Quote(text), Want: EveryOther + ", or rising numbers from 0 on between commas"}
	for _, field := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		switch {
		case err != nil || n < 0 || len(list) > 0 && n <= list[len(list)-1]:
			return nil, wrong
		case n >= of:
			wrong.Reason = fmt.Sprintf("but the teacher has layers 0 to %d", of-1)
			return nil, wrong
		}
		list = append(list, n)
	}
	return list, nil
}

// The names of layer maps.
const (
	Uniform = "uniform"
	Last    = "last"
)

// parseLayerMap reads which layers of a teacher of L layers a student of l learns from, the embeddings, 0, among them.
func parseLayerMap(text string, l, L int) ([]layerPair, error) {
	var list []layerPair
	switch text {
	case Uniform, Last:
		const sane = 1 << 10
		for i := range min(l, sane) + 1 {
			p := layerPair{i, int(math.Round(float64(i) * float64(L) / float64(l)))}
			if text == Last {
				p.teacher = L - l + i
			}
			if p.teacher >= 0 {
				list = append(list, p)
			}
		}
		return list, nil
	}
	wrong := &recipe.Error{Key: "layer_map", Value: strconv.Quote(text), Want: Uniform + ", " + Last + ", or pairs of layers, the student's first, as in 0:0,1:3,2:6"}
	for _, field := range strings.Split(text, ",") {
		s, t, ok := strings.Cut(strings.TrimSpace(field), ":")
		a, errA := strconv.Atoi(s)
		b, errB := strconv.Atoi(t)
		switch {
		case !ok || errA != nil || errB != nil || a < 0 || b < 0:
		case a > l:
			wrong.Reason = fmt.Sprintf("but the student has layers 1 to %d, and the embeddings, 0", l)
		case b > L:
			wrong.Reason = fmt.Sprintf("but the teacher has layers 1 to %d, and the embeddings, 0", L)
		case slices.ContainsFunc(list, func(p layerPair) bool { return p.student == a }):
			wrong.Reason = fmt.Sprintf("in which the student's layer %d occurs twice", a)
		default:
			list = append(list, layerPair{a, b})
			continue
		}
		return nil, wrong
	}
	return list, nil
}

// newStudent reads the configuration and the tokenizer of the student. dir is where Recipe.Student is, if that is a model.
func newStudent(r *Recipe, dir string, teacher *bert.Config, tok *tokenizer.Tokenizer) (*student, error) {
	s := &student{recipe: r, tokenizer: tok}
	// What the teacher's configuration says beside the computation is about the teacher.
	base := *teacher
	base.Extra, base.Unknown, base.Architectures, base.Quantization = nil, nil, nil, nil
	if layers, width, ok := parseSize(r.Student); ok {
		s.config = base
		s.config.NumHiddenLayers, s.config.HiddenSize, s.config.IntermediateSize = layers, width, 4*width
		s.config.NumAttentionHeads = headsFor(width)
		return s, s.takeVocabulary(r)
	}
	if r.StudentLayers != "" {
		layers, err := parseLayers(r.StudentLayers, teacher.NumHiddenLayers)
		if err != nil {
			return nil, err
		}
		if r.Vocab != "" {
			return nil, recipe.Wrong(r, "vocab", "none beside `student_layers`, whose vocabulary is the teacher's")
		}
		s.config, s.layers = base, layers
		s.config.NumHiddenLayers = len(layers)
		return s, nil
	}
	if info, err := os.Stat(r.Student); err == nil && info.Mode().IsRegular() && filepath.Ext(r.Student) == ".json" {
		config, err := bert.LoadConfig(r.Student)
		if err != nil {
			return nil, err
		}
		if len(config.Unknown) > 0 {
			return nil, fmt.Errorf("%s: unknown key %q: take it out, or correct its spelling", r.Student, config.Unknown[0])
		}
		s.config = config
		return s, s.takeVocabulary(r)
	}
	dir, err := bert.ModelDir(sentence.EncoderDir(dir))
	if err != nil {
		return nil, err
	}
	switch {
	case r.Vocab != "":
		return nil, recipe.Wrong(r, "vocab", "none for a `student` that has its own")
	case r.Embeddings != RandomEmbeddings:
		return nil, recipe.Wrong(r, "student_embeddings", "random for a `student` that has its own")
	}
	if s.config, err = bert.LoadConfig(dir); err != nil {
		return nil, err
	}
	s.dir = dir
	s.tokenizer, err = tokenizer.Load(bert.TokenizerDir(dir, ""))
	return s, err
}

// headsFor is the number of heads of a width: as many as have 64 elements each, as in BERT; the largest number below that divides it.
func headsFor(width int) int {
	heads := max(1, width/64)
	for width%heads != 0 {
		heads--
	}
	return heads
}

// takeVocabulary reads the vocabulary of a new model, if it has one of its own.
func (s *student) takeVocabulary(r *Recipe) (err error) {
	if r.Vocab != "" {
		c := tokenizer.DefaultConfig()
		c.LowerCase = !r.Cased
		if s.tokenizer, err = tokenizer.LoadVocab(r.Vocab, c); err != nil {
			return err
		}
		if _, _, sized := parseSize(r.Student); sized {
			s.config.VocabSize = s.tokenizer.VocabSize()
		}
	}
	if err := s.config.Validate(); err != nil {
		return fmt.Errorf("%s: %w", r.Student, err)
	}
	if err := s.config.CheckVocabulary(s.tokenizer.VocabSize()); err != nil {
		return fmt.Errorf("%s: %w", r.Student, err)
	}
	return nil
}

// make makes the model, with a head and, of a classifier, labels.
func (s *student) make(ctx context.Context, o bert.Options, teacher *bert.Model, p *pieces) (*bert.Model, error) {
	o.Dequantize = true
	if s.dir != "" {
		return bert.Load(ctx, s.dir, o)
	}
	m, err := bert.New(s.config, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.recipe.Student, err)
	}
	switch {
	case s.layers != nil:
		err = copyLayers(m, teacher, s.layers)
	case s.recipe.Embeddings == TeacherEmbeddings:
		err = projectEmbeddings(m, teacher, p)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

var layerPattern = regexp.MustCompile(`^((?:bert\.)?encoder\.layer\.)(\d+)(\..*)$`)

// copyLayers gives a student the parameters of layers of its teacher, and all others that both have in the same shape.
func copyLayers(m, teacher *bert.Model, layers []int) error {
	return setParameters(m, func(p bert.Param) ([]float32, error) {
		name := p.Name
		if parts := layerPattern.FindStringSubmatch(name); parts != nil {
			i, _ := strconv.Atoi(parts[2]) // digits
			name = parts[1] + strconv.Itoa(layers[i]) + parts[3]
		}
		return valuesOf(teacher, name, p.Shape)
	})
}

// setParameters gives a model other values of some parameters; nil stands for those that it has.
func setParameters(m *bert.Model, values func(bert.Param) ([]float32, error)) error {
	t, err := m.NewTrainer()
	if err != nil {
		return err
	}
	defer t.Close()
	for p, to := range t.Parameters() {
		v, err := values(p)
		if err != nil {
			return err
		}
		if v != nil {
			if err := to.Write(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// valuesOf is a parameter of a model, under its name or that without or with the prefix of the encoder; nil where it has none of that
// shape.
func valuesOf(m *bert.Model, name string, shape []int) ([]float32, error) {
	const prefix = "bert."
	bare := strings.TrimPrefix(name, prefix)
	for _, p := range m.Params() {
		if (p.Name == name || strings.TrimPrefix(p.Name, prefix) == bare) && slices.Equal(p.Shape, shape) {
			return m.Values(p.Name)
		}
	}
	return nil, nil
}
