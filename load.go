package bert

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
)

// Load reads a model directory: config.json (or bert_config.json) and the weights. Parameters stored as float32 are read
// in place from the mapped file. The head is the one that the configuration's architectures name, or o.Head; if the file
// has nothing of it, it begins as in a new model, and Report says so. Any other tensor that is missing, left over or of
// the wrong shape is an error that names it, unless o.AllowMissing.
func Load(dir string, o Options) (*Model, error) {
	c, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	head, err := HeadOf(&c)
	if o.Head != nil {
		head, err = *o.Head, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	m, err := newModel(c, head, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), file.Close())
	}
	m.file = file
	if err := m.read(o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), m.Close())
	}
	return m, nil
}

// read connects the parameters with the tensors of m.file.
func (m *Model) read(o Options) error {
	all, err := canonicalTensors(m.file.Tensors())
	if err != nil {
		return err
	}
	var (
		tensors   = maps.Clone(all) // those that no parameter has taken
		missing   []string
		newWidth  = o.Labels != nil // a classifier for other labels may have another width
		headFound = slices.ContainsFunc(m.params, func(p parameter) bool {
			t := tensors[canonicalName(p.Name)]
			return p.Head && t != nil && (!newWidth || slices.Equal(t.Shape, p.Shape))
		})
		begin []*parameter // those that begin as in a new model
	)
	for i := range m.params {
		p := &m.params[i]
		name := canonicalName(p.Name)
		t := tensors[name]
		switch {
		case t != nil && slices.Equal(t.Shape, p.Shape):
			delete(tensors, name)
			if values, ok := t.Float32View(); ok {
				p.value = m.device.Wrap(values)
			} else if err := m.convert(p, t); err != nil {
				return err
			}
		case t != nil && !(p.Head && newWidth):
			return fmt.Errorf("tensor %s has shape %v, want %v", t.Name, t.Shape, p.Shape)
		case p.Head && !headFound:
			delete(tensors, name)
			m.report.NewHead = append(m.report.NewHead, p.Name)
			begin = append(begin, p)
		default:
			missing = append(missing, p.Name)
			begin = append(begin, p)
		}
	}
	leftOver, odd, err := leftOver(tensors, all)
	if err != nil {
		return err
	}
	m.report.LeftOver = leftOver
	if !o.AllowMissing {
		if len(missing) > 0 {
			return fmt.Errorf("%s %s missing for a %v; with --allow-missing they begin as in a new model", list("tensor", missing), isAre(missing), m.head)
		}
		if len(odd) > 0 {
			return fmt.Errorf("%s %s no part of a %v of this configuration; with --allow-missing they are left out", list("tensor", odd), isAre(odd), m.head)
		}
	}
	m.report.Missing = missing
	m.report.LeftOver = append(m.report.LeftOver, odd...)
	slices.Sort(m.report.LeftOver)

	for _, p := range begin {
		p.value = m.device.Alloc(p.Len())
		m.initialize(p, o.Seed)
	}
	return nil
}

// convert gives p the values of t in memory of its own.
func (m *Model) convert(p *parameter, t *checkpoint.Tensor) error {
	values := make([]float32, p.Len())
	if err := t.Float32(values); err != nil {
		return err
	}
	p.value = m.device.Alloc(p.Len())
	m.device.Write(p.value, values)
	return nil
}

// canonicalName is a tensor's name without the differences there are between files of the same model: the prefix of the
// encoder, and gamma and beta for a LayerNorm's weight and bias, as files made before 2019 have it.
func canonicalName(name string) string {
	name = strings.TrimPrefix(name, "bert.")
	if n, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return n + "LayerNorm.weight"
	}
	if n, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return n + "LayerNorm.bias"
	}
	return name
}

func canonicalTensors(tensors []checkpoint.Tensor) (map[string]*checkpoint.Tensor, error) {
	byName := make(map[string]*checkpoint.Tensor, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		name := canonicalName(t.Name)
		if other := byName[name]; other != nil {
			return nil, fmt.Errorf("tensors %s and %s are the same parameter", other.Name, t.Name)
		}
		byName[name] = t
	}
	return byName, nil
}

// leftOver sorts the tensors of all that no parameter took: those of other heads, and those that are no part of a BERT.
// Copies of what is there already, as some tools store them, are neither.
func leftOver(tensors, all map[string]*checkpoint.Tensor) (otherHead, odd []string, err error) {
	copies := map[string]string{
		"cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
		"cls.predictions.decoder.bias":   "cls.predictions.bias",
		"cls.predictions.weight":         "embeddings.word_embeddings.weight", // of an ONNX graph: named after its bias
	}
	for name, t := range tensors {
		if name == "embeddings.position_ids" { // 0, 1, 2, …: a buffer that older tools stored
			continue
		}
		if original := all[copies[name]]; original != nil {
			if !bytes.Equal(t.Data, original.Data) {
				return nil, nil, fmt.Errorf("tensor %s differs from %s: a decoder of its own is not supported, the paper ties the two", t.Name, original.Name)
			}
			continue
		}
		if slices.ContainsFunc([]string{"cls.", "classifier.", "qa_outputs.", "pooler."}, func(prefix string) bool {
			return strings.HasPrefix(name, prefix)
		}) {
			otherHead = append(otherHead, t.Name)
			continue
		}
		odd = append(odd, t.Name)
	}
	slices.Sort(odd)
	return otherHead, odd, nil
}

// list names a few things: "tensors a, b, c and 9 more".
func list(what string, names []string) string {
	const most = 5
	if len(names) == 1 {
		return what + " " + names[0]
	}
	if len(names) <= most {
		return what + "s " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return fmt.Sprintf("%ss %s and %d more", what, strings.Join(names[:most], ", "), len(names)-most)
}

func isAre(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}
