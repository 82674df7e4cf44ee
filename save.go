package bert

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/files"
)

// SaveOptions says how a model is written. The zero value means the defaults.
type SaveOptions struct {
	// DType is the type of the stored weights: F32, F16 or BF16. The zero value is F32 or, as Safetensors and ONNX, of a model whose
	// weights are int8 (Config.Quantization), int8 as they are.
	DType checkpoint.DType
	// Quantize, if not nil, writes int8 weights, as Safetensors alone.
	Quantize *Quantize
	// Format is Safetensors, Torch, TensorFlow or ONNX. The zero value is Safetensors.
	Format checkpoint.Format
	// MaxShardBytes is the most bytes of weights in a file of Safetensors or Torch; more go into several files, with an
	// index. 0: one file, whatever its size.
	MaxShardBytes int64
}

// Save writes a model directory into dir, which is made if it does not exist: config.json and
//
//   - model.safetensors, as Hugging Face's tools read them;
//   - as Torch, pytorch_model.bin, with the decoder tied to the word embedding in it as a tensor of its own, as Hugging Face's
//     files have it;
//   - as TensorFlow, bert_model.ckpt.index and its data, with google-research/bert's names and layout, and bert_config.json in
//     place of config.json;
//   - as ONNX, model.onnx, a graph in float32: see [Model.ExportONNX].
//
// Each file takes its place when it is complete. Weights of other formats in dir are left there, and [Load] may
// prefer them: see [checkpoint.Open].
func (m *Model) Save(dir string, o SaveOptions) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.done()
	if o.Format == 0 {
		o.Format = checkpoint.Safetensors
	}
	asInt8 := o.DType == 0 && m.config.Quantization != nil
	inInt8 := o.Quantize != nil || asInt8 && o.Format == checkpoint.Safetensors
	if o.DType == 0 {
		o.DType = checkpoint.F32
	}
	if o.Quantize != nil && o.Format != checkpoint.Safetensors {
		return fmt.Errorf("int8 weights are written as %v, not as %v", checkpoint.Safetensors, o.Format)
	}
	if o.MaxShardBytes == 0 {
		o.MaxShardBytes = math.MaxInt64
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return files.PathError(err)
	}
	if o.Format == checkpoint.ONNX {
		if o.DType != checkpoint.F32 {
			return fmt.Errorf("an ONNX graph is written in float32, not as %v", o.DType)
		}
		if err := m.saveConfig(dir, o, nil); err != nil {
			return err
		}
		return m.exportONNX(filepath.Join(dir, "model.onnx"), asInt8)
	}
	if inInt8 {
		tensors, quantization, err := m.saveInt8(o.Quantize)
		if err != nil {
			return err
		}
		if err := m.saveConfig(dir, o, quantization); err != nil {
			return err
		}
		return checkpoint.WriteSharded(dir, "model", tensors, map[string]string{"format": "pt"}, o.MaxShardBytes)
	}
	tensors := make([]checkpoint.Tensor, len(m.params))
	for i := range m.params {
		t, err := m.stored(&m.params[i], o)
		if err != nil {
			return err
		}
		tensors[i] = t
	}
	if err := m.saveConfig(dir, o, nil); err != nil {
		return err
	}
	switch o.Format {
	case checkpoint.Safetensors:
		return checkpoint.WriteSharded(dir, "model", tensors, map[string]string{"format": "pt"}, o.MaxShardBytes)
	case checkpoint.Torch:
		return checkpoint.WriteTorchSharded(dir, "pytorch_model", m.withTied(tensors), o.MaxShardBytes)
	case checkpoint.TensorFlow:
		return checkpoint.WriteTensorFlow(filepath.Join(dir, "bert_model.ckpt"), tensors)
	default:
		return fmt.Errorf("models are not written as %v", o.Format)
	}
}

// saveConfig writes config.json, or bert_config.json for TensorFlow. q describes int8 weights.
func (m *Model) saveConfig(dir string, o SaveOptions, q *Quantization) error {
	c := m.config
	c.Quantization = q
	names := map[checkpoint.DType]string{checkpoint.F32: "float32", checkpoint.F16: "float16", checkpoint.BF16: "bfloat16"}
	if err := c.setExtra("torch_dtype", names[o.DType]); err != nil {
		return err
	}
	if o.Format == checkpoint.TensorFlow {
		if err := c.forGoogle(); err != nil {
			return err
		}
	}
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	name := configName
	if o.Format == checkpoint.TensorFlow {
		name = googleConfigName
	}
	return files.WriteFile(filepath.Join(dir, name), 0o666, func(w io.Writer) error {
		_, err := w.Write(append(config, '\n'))
		return err
	})
}

// withTied adds the decoder of the masked LM, which is the word embedding and the output bias over again. They share memory, so
// that a file that knows shared storages holds them once.
func (m *Model) withTied(tensors []checkpoint.Tensor) []checkpoint.Tensor {
	if !heads[m.head].maskedLM {
		return tensors
	}
	for _, tied := range [...][2]string{
		{decoderWeight, "bert.embeddings.word_embeddings.weight"},
		{"cls.predictions.decoder.bias", "cls.predictions.bias"},
	} {
		if tied[0] == decoderWeight && m.config.UntiedDecoder {
			continue
		}
		i := slices.IndexFunc(tensors, func(t checkpoint.Tensor) bool { return t.Name == tied[1] })
		t := tensors[i]
		t.Name = tied[0]
		tensors = append(tensors, t)
	}
	return tensors
}

// stored is a parameter as a tensor to be written.
func (m *Model) stored(p *parameter, o SaveOptions) (checkpoint.Tensor, error) {
	value, err := m.valueOf(p)
	if err != nil {
		return checkpoint.Tensor{}, err
	}
	if o.Format != checkpoint.TensorFlow {
		return m.tensor(p.Name, p.Shape, value, o.DType)
	}
	if p.Google == "" {
		return checkpoint.Tensor{}, fmt.Errorf("google-research/bert has no place for %s: there the decoder is the word embedding, and this model's is not", p.Name)
	}
	if !p.GoogleTransposed {
		return m.tensor(p.Google, p.Shape, value, o.DType)
	}
	return m.transposed(p, p.Google, o.DType)
}

// transposed is a matrix [out, in] as a tensor [in, out] of another name.
func (m *Model) transposed(p *parameter, name string, dtype checkpoint.DType) (checkpoint.Tensor, error) {
	value, err := m.valueOf(p)
	if err != nil {
		return checkpoint.Tensor{}, err
	}
	t, err := m.tensor(name, p.Shape, value, dtype)
	if err != nil {
		return checkpoint.Tensor{}, err
	}
	out, in := p.Shape[0], p.Shape[1]
	t.Data, t.Shape = checkpoint.Transpose(t.Data, out, in, dtype.Size()), []int{in, out}
	return t, nil
}

// tensor is a buffer as a tensor to be written. As float32, its data is the buffer's own memory where that can be read in
// place.
func (m *Model) tensor(name string, shape []int, b compute.Buffer, dtype checkpoint.DType) (checkpoint.Tensor, error) {
	values, err := m.hostValues(b)
	if err != nil {
		return checkpoint.Tensor{}, fmt.Errorf("tensor %s: %w", name, err)
	}
	data, err := checkpoint.FromFloat32(dtype, values)
	if err != nil {
		return checkpoint.Tensor{}, fmt.Errorf("tensor %s: %w", name, err)
	}
	return checkpoint.Tensor{Name: name, DType: dtype, Shape: shape, Data: data}, nil
}

// hostValues is the values of a buffer, to be read: its own memory if the device has it where the host can read it, else a
// copy.
func (m *Model) hostValues(b compute.Buffer) ([]float32, error) {
	if v, ok := m.device.(compute.Viewer); ok {
		return v.View(b)
	}
	values := make([]float32, b.Len)
	return values, m.device.Read(values, b)
}

// setExtra sets a key of the configuration that says nothing about the computation.
func (c *Config) setExtra(key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	extra := maps.Clone(c.Extra)
	if extra == nil {
		extra = make(map[string]json.RawMessage)
	}
	extra[key] = raw
	c.Extra = extra
	return nil
}

// dropExtra takes such a key out.
func (c *Config) dropExtra(key string) {
	if _, ok := c.Extra[key]; ok {
		c.Extra = maps.Clone(c.Extra)
		delete(c.Extra, key)
	}
}
