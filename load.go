package bert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
)

// Load reads a model: config.json (or bert_config.json) and the weights, in any format that package checkpoint reads and under
// Hugging Face's names or google-research/bert's. path is a model directory, or a file of weights or the prefix of a TensorFlow
// checkpoint with the configuration beside it. Parameters stored as float32 and [out, in] are read in place from the mapped
// file.
//
// The head is the one that the configuration's architectures name, or o.Head; without either it is the one whose tensors are
// there. If the file has nothing of the head, it begins as in a new model, and Report says so. Any other tensor that is missing,
// left over or of the wrong shape is an error that names it, unless o.AllowMissing.
func Load(path string, o Options) (*Model, error) {
	dir, err := ModelDir(path)
	if err != nil {
		return nil, err
	}
	c, keys, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	if len(c.Architectures) > 0 && o.Head == nil {
		if _, err := HeadOf(&c); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := fromFile(c, keys, file, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return m, nil
}

// ModelDir is the folder in which a model's configuration and tokenizer stand, for any path that Load takes.
func ModelDir(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return path, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, noIndex := os.Stat(path + ".index"); noIndex != nil { // no prefix of a TensorFlow checkpoint
			return "", pathError(err)
		}
	case err != nil:
		return "", pathError(err)
	}
	return filepath.Dir(path), nil
}

// kerasEps is the epsilon that Keras's LayerNormalization has unless it is told another.
const kerasEps = 1e-3

// fromFile makes a model of a configuration, whose file has the given keys, with the parameters of a file. The model owns the
// file if there is no error.
func fromFile(c Config, keys map[string]bool, file *checkpoint.File, o Options) (*Model, error) {
	k, err := newCatalogue(&c, file.Tensors())
	if err != nil {
		return nil, err
	}
	head, err := k.chooseHead(&c, o)
	if err != nil {
		return nil, err
	}
	var assumed []string
	if k.keras && !keys["layer_norm_eps"] {
		c.LayerNormEps = kerasEps
		assumed = append(assumed, fmt.Sprintf("layer_norm_eps is %g, as the configuration has none and the LayerNorms bear Keras's names", kerasEps))
	}
	m, err := newModel(c, head, o)
	if err != nil {
		return nil, err
	}
	if err := m.read(k, o); err != nil {
		m.device.Close()
		return nil, err
	}
	m.report.Assumed = assumed
	m.file = file
	return m, nil
}

// read connects the parameters with the tensors of a file.
func (m *Model) read(k *catalogue, o Options) error {
	found, err := k.match(m.Params(), o.Labels != nil)
	if err != nil {
		return err
	}
	if !o.AllowMissing {
		if len(found.missing) > 0 {
			return fmt.Errorf("%s %s missing for a %v; with --allow-missing they begin as in a new model", list("tensor", found.missing), isAre(found.missing), m.head)
		}
		if len(found.odd) > 0 {
			return fmt.Errorf("%s %s no part of a %v of this configuration; with --allow-missing they are left out", list("tensor", found.odd), isAre(found.odd), m.head)
		}
	}
	if err := m.plausible(found); err != nil {
		return err
	}
	m.report = k.report(found)
	for i := range m.params {
		p := &m.params[i]
		s := found.sources[i]
		if s.Tensor == nil {
			p.value = m.device.Alloc(p.Len())
			m.initialize(p, o.Seed)
			continue
		}
		if values, ok := s.Float32View(); ok && !s.transposed {
			p.value = m.device.Wrap(values)
		} else if err := m.convert(p, s); err != nil {
			return err
		}
	}
	return nil
}

// convert gives p the values of s in memory of its own.
func (m *Model) convert(p *parameter, s source) error {
	t := *s.Tensor
	if s.transposed {
		t.Data = checkpoint.Transpose(t.Data, p.Shape[1], p.Shape[0], t.DType.Size())
	}
	values := make([]float32, p.Len())
	if err := t.Float32(values); err != nil {
		return err
	}
	p.value = m.device.Alloc(p.Len())
	m.device.Write(p.value, values)
	return nil
}

// list names a few things: "tensors a, b, c and 9 more".
func list(what string, names []string) string {
	const most = 5
	names = slices.Clone(names)
	for i := range names[:min(len(names), most)] {
		names[i] = shortName(names[i])
	}
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
