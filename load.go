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
// Int8 weights with their scales, as bert quantize and other programs write them, are read as [Options.Precision] says.
//
// o.Head chooses the head. A tensor that is missing, of the wrong shape or type is a [TensorError], unless o.NewHead or
// o.AllowMissing accepts it. A model without a head needs no pooler: without one it gives no pooled vectors. Tensors of the
// file that the model doesn't have are left out, and Report names them. The error is ctx's if that ends first.
func Load(ctx context.Context, path string, o Options) (*Model, error) {
	dir, err := ModelDir(path)
	if err != nil {
		return nil, err
	}
	a, err := findAdapter(path)
	if err != nil {
		return nil, err
	}
	weights := path
	if a != nil {
		if weights, err = a.base(o.Base); err != nil {
			return nil, err
		}
		if _, err := FindConfig(dir); errors.Is(err, fs.ErrNotExist) {
			if dir, err = ModelDir(weights); err != nil {
				return nil, err
			}
		}
	}
	c, from, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	// A head that can't be is found before the weights are opened.
	if head, ok := o.Head.(Head); ok {
		if err := head.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := checkpoint.Open(weights)
	if err != nil {
		return nil, err
	}
	m, err := fromFile(ctx, c, from, file, a, o)
	if err != nil {
		return nil, errors.Join(atPath(path, err), file.Close())
	}
	return m, nil
}

// ModelDir is the folder of a model's configuration and tokenizer, for any path that Load takes. Of a file in a folder onnx without
// a configuration it is the folder above.
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
	dir := filepath.Dir(path)
	if above := filepath.Dir(dir); filepath.Base(dir) == checkpoint.ONNXFolder {
		if _, err := FindConfig(dir); errors.Is(err, fs.ErrNotExist) {
			if _, err := FindConfig(above); err == nil {
				return above, nil
			}
		}
	}
	return dir, nil
}

// kerasEps is the default epsilon of Keras's LayerNormalization.
const kerasEps = 1e-3

// fromFile makes a model of a configuration with the parameters of a file and of an adapter, which may be nil. The model owns
// the file if there is no error.
func fromFile(ctx context.Context, c Config, from configFile, file *checkpoint.File, a *adapter, o Options) (*Model, error) {
	k, err := newCatalogue(&c, file.Tensors())
	if err != nil {
		return nil, err
	}
	if err := k.foreign(); err != nil {
		return nil, err
	}
	assumed := file.Notes()
	if a != nil {
		if err := a.merge(k); err != nil {
			return nil, err
		}
		assumed = append(assumed, a.note())
		// The base's configuration names the base's head, not that of the task.
		if head, ok := a.head(); ok && o.Head == nil {
			c.Architectures = []string{head.String()}
		}
	}
	head, err := k.chooseHead(&c, from.keys, o.headChoice())
	if err != nil {
		return nil, err
	}
	if heads[head].labels() {
		assumed = append(assumed, c.notes...)
	}
	if file.Format() == checkpoint.ONNX {
		if note := k.fit(&c, head); note != "" {
			assumed = append(assumed, note)
		}
	}
	for _, note := range []string{k.tie(&c, head), c.resolveGELU(o.GELU, origin{from.name, k.google && !k.keras, file.Format()})} {
		if note != "" {
			assumed = append(assumed, note)
		}
	}
	if k.keras && !from.keys["layer_norm_eps"] {
		c.LayerNormEps = kerasEps
		assumed = append(assumed, fmt.Sprintf("layer_norm_eps is %g, as the configuration has none and the LayerNorms bear Keras's names", kerasEps))
	}
	quantized := c.Quantization != nil
	if o.Precision == Float32 && !o.Dequantize {
		o.Precision = c.DefaultPrecision()
	}
	if quantized && o.Precision != Int8 {
		c.Quantization = nil
		assumed = append(assumed, fmt.Sprintf("the file's weights are int8: at %v they are the numbers that these mean", o.Precision))
	}
	m, err := newModel(c, head, o)
	if err != nil {
		return nil, err
	}
	m.int8File = quantized
	if err = m.read(ctx, k, o); err == nil && o.Precision == Int8 && o.Quantize != nil {
		if quantized {
			err = errors.New("its weights are int8 already: they can't be quantized again")
		} else {
			err = m.quantize(o.Quantize)
		}
	}
	if err != nil {
		m.device.Close()
		return nil, err
	}
	if n := len(m.requantized); n > 0 {
		assumed = append(assumed, fmt.Sprintf("%d int8 weights, such as %s, have values of -128, for which there is no place: their rows are rounded to -127 to 127", n, m.requantized[0]))
	}
	m.report.Assumed = assumed
	m.file = file
	return m, nil
}

// read connects the parameters with the tensors of a file.
func (m *Model) read(ctx context.Context, k *catalogue, o Options) error {
	newHead := o.NewHead || o.AllowMissing
	if m.head == NoHead && !o.NewHead && !k.has(poolerPrefix+"weight") && !k.has(poolerPrefix+"bias") {
		m.dropPooler()
	}
	found, err := k.match(m.Params(), m.head, newHead)
	if err != nil {
		return err
	}
	for _, wrong := range []struct {
		reason  TensorReason
		tensors []string
		allowed bool
	}{{TensorMissing, found.missing, o.AllowMissing}, {HeadMissing, found.newHead, newHead}} {
		if len(wrong.tensors) > 0 && !wrong.allowed {
			return &TensorError{Name: wrong.tensors[0], Others: wrong.tensors[1:], Reason: wrong.reason, Model: m.head.String()}
		}
	}
	if found.none() {
		return errNoBERT
	}
	if err := m.plausible(found); err != nil {
		return err
	}
	if m.config.InitializerRange == 0 && slices.ContainsFunc(m.Params(), func(p Param) bool {
		return p.Init == InitNormal && slices.Contains(found.newHead, p.Name)
	}) {
		return errors.New("initializer_range is 0: a new head would be all zeros and would learn nothing; want a small positive number")
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
	return m.checkIntegers()
}

// dropPooler makes the model one without a pooler.
func (m *Model) dropPooler() {
	m.pooler = false
	m.params = slices.DeleteFunc(m.params, func(p parameter) bool { return groupOf(&p.Param) == poolerPrefix })
}

// readParameter gives p the values of s, or those of a new model if s has no tensor.
func (m *Model) readParameter(p *parameter, s source, seed uint64) (err error) {
	if s.Tensor == nil {
		if p.value, err = m.device.Alloc(p.Len()); err == nil {
			m.initialize(p, seed)
		}
		return err
	}
	if s.DType == checkpoint.I8 && (s.scale != nil || m.int8File) {
		return m.readIntegers(p, s)
	}
	if values, ok := s.Float32View(); ok && !s.transposed {
		p.value, err = m.device.Wrap(values)
		p.tensor = s.Tensor
		return err
	}
	return m.convert(p, s)
}

// convert gives p the values of s in memory of its own.
func (m *Model) convert(p *parameter, s source) error {
	values, err := s.values()
	if err != nil {
		return err
	}
	if p.value, err = m.device.Alloc(p.Len()); err != nil {
		return err
	}
	m.device.Write(p.value, values)
	return nil
}

// values are the numbers of s in the order of the parameter, in memory of their own.
func (s source) values() ([]float32, error) {
	t := *s.Tensor
	if t.DType == checkpoint.I8 && s.scale != nil {
		q, _, err := s.integers()
		if err != nil {
			return nil, err
		}
		values := make([]float32, t.Len())
		q.floats(values, 0, len(q.Scales))
		return values, nil
	}
	if !slices.Contains([]checkpoint.DType{checkpoint.F16, checkpoint.BF16, checkpoint.F32, checkpoint.F64}, t.DType) {
		return nil, &TensorError{Name: t.Name, Reason: TensorOfWrongType, Type: t.DType}
	}
	if s.transposed {
		t.Data = checkpoint.Transpose(t.Data, t.Shape[0], t.Shape[1], t.DType.Size())
	}
	values := make([]float32, t.Len())
	return values, t.Float32(values)
}
