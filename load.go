package bert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
)

// Load reads a model: config.json (or bert_config.json) and the weights, in any format that package checkpoint reads and under
// Hugging Face's names or google-research/bert's. path is a model directory, or a file of weights or the prefix of a TensorFlow
// checkpoint with the configuration beside it. Parameters stored as float32 and [out, in] are read in place from the mapped
// file.
//
// o.Head chooses the head. If the file has nothing of it, it begins as in a new model, and Report says so. Any other tensor
// that is missing, left over, of the wrong shape or type is a [TensorError], unless o.AllowMissing accepts it. The error is
// ctx's if that ends first.
func Load(ctx context.Context, path string, o Options) (*Model, error) {
	dir, err := ModelDir(path)
	if err != nil {
		return nil, err
	}
	c, keys, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	// A head that can't be is found before the weights are opened.
	if _, err := o.headChoice().choose(&c, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := fromFile(ctx, c, keys, file, o)
	if err != nil {
		return nil, errors.Join(atPath(path, err), file.Close())
	}
	return m, nil
}

// ModelDir is the folder of a model's configuration and tokenizer, for any path that Load takes.
func ModelDir(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return path, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, noIndex := os.Stat(path + ".index"); noIndex != nil { // no prefix of a TensorFlow checkpoint
			return "", files.PathError(err)
		}
	case err != nil:
		return "", files.PathError(err)
	}
	return filepath.Dir(path), nil
}

// kerasEps is the default epsilon of Keras's LayerNormalization.
const kerasEps = 1e-3

// fromFile makes a model of a configuration, whose file has the given keys, with the parameters of a file. The model owns the
// file if there is no error.
func fromFile(ctx context.Context, c Config, keys map[string]bool, file *checkpoint.File, o Options) (*Model, error) {
	k, err := newCatalogue(&c, file.Tensors())
	if err != nil {
		return nil, err
	}
	head, err := k.chooseHead(&c, o.headChoice())
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
	if err := m.read(ctx, k, o); err != nil {
		m.device.Close()
		return nil, err
	}
	m.report.Assumed = assumed
	m.file = file
	return m, nil
}

// read connects the parameters with the tensors of a file.
func (m *Model) read(ctx context.Context, k *catalogue, o Options) error {
	found, err := k.match(m.Params(), o.Labels != nil)
	if err != nil {
		return err
	}
	if !o.AllowMissing {
		for _, wrong := range []struct {
			reason  TensorReason
			tensors []string
		}{{TensorMissing, found.missing}, {TensorLeftOver, found.odd}} {
			if len(wrong.tensors) > 0 {
				return &TensorError{Name: wrong.tensors[0], Others: wrong.tensors[1:], Reason: wrong.reason, Model: m.head.String()}
			}
		}
	}
	if err := m.plausible(found); err != nil {
		return err
	}
	m.report = k.report(found)
	for i := range m.params {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &m.params[i]
		if err := m.readParameter(p, found.sources[i], o.Seed); err != nil {
			return err
		}
	}
	return nil
}

// readParameter gives p the values of s, or those of a new model if s has no tensor.
func (m *Model) readParameter(p *parameter, s source, seed uint64) (err error) {
	if s.Tensor == nil {
		if p.value, err = m.device.Alloc(p.Len()); err == nil {
			m.initialize(p, seed)
		}
		return err
	}
	if values, ok := s.Float32View(); ok && !s.transposed {
		p.value, err = m.device.Wrap(values)
		return err
	}
	return m.convert(p, s)
}

// convert gives p the values of s in memory of its own.
func (m *Model) convert(p *parameter, s source) (err error) {
	t := *s.Tensor
	if !slices.Contains([]checkpoint.DType{checkpoint.F16, checkpoint.BF16, checkpoint.F32, checkpoint.F64}, t.DType) {
		return &TensorError{Name: t.Name, Reason: TensorOfWrongType, Type: t.DType}
	}
	if s.transposed {
		t.Data = checkpoint.Transpose(t.Data, p.Shape[1], p.Shape[0], t.DType.Size())
	}
	values := make([]float32, p.Len())
	if err := t.Float32(values); err != nil {
		return err
	}
	if p.value, err = m.device.Alloc(p.Len()); err != nil {
		return err
	}
	m.device.Write(p.value, values)
	return nil
}
