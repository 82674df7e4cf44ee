package bert

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/internal/compute"
)

// SaveOptions says how a model is written.
type SaveOptions struct {
	// DType is the type of the stored weights: F32, F16 or BF16. The zero value is F32.
	DType checkpoint.DType
}

// Save writes config.json and model.safetensors into dir, which is made if it isn't there, as Hugging Face's tools read
// them. Each file takes its place when it is complete.
func (m *Model) Save(dir string, o SaveOptions) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return pathError(err)
	}
	dtype := o.DType
	if dtype == 0 {
		dtype = checkpoint.F32
	}
	tensors := make([]checkpoint.Tensor, len(m.params))
	for i := range m.params {
		p := &m.params[i]
		t, err := m.tensor(p.Name, p.Shape, p.value, dtype)
		if err != nil {
			return err
		}
		tensors[i] = t
	}
	c := m.config
	names := map[checkpoint.DType]string{checkpoint.F32: "float32", checkpoint.F16: "float16", checkpoint.BF16: "bfloat16"}
	if err := c.setExtra("torch_dtype", names[dtype]); err != nil {
		return err
	}
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "config.json"), 0o666, func(w io.Writer) error {
		_, err := w.Write(append(config, '\n'))
		return err
	}); err != nil {
		return err
	}
	return checkpoint.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"})
}

// tensor is a buffer as a tensor to be written. As float32, its data is the buffer's own memory where that can be read in
// place.
func (m *Model) tensor(name string, shape []int, b compute.Buffer, dtype checkpoint.DType) (checkpoint.Tensor, error) {
	data, err := checkpoint.FromFloat32(dtype, m.host(b))
	if err != nil {
		return checkpoint.Tensor{}, fmt.Errorf("tensor %s: %w", name, err)
	}
	return checkpoint.Tensor{Name: name, DType: dtype, Shape: shape, Data: data}, nil
}

// host is the values of a buffer: its own memory if the device has it where the host can read it, else a copy.
func (m *Model) host(b compute.Buffer) []float32 {
	if v, ok := m.device.(compute.Viewer); ok {
		return v.View(b)
	}
	values := make([]float32, b.Len)
	m.device.Read(values, b)
	return values
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
