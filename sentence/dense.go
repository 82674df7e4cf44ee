package sentence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
)

// dense is the module Dense: activation(W·x + b), and what use_residual adds to it.
type dense struct {
	place
	in, out    int
	weight     []float32 // W, [out,in]
	bias       []float32 // b, [out]; nil: none
	activation Activation
	residual   bool
	projection []float32 // of the residual, [out,in]; nil: as it is
}

func (d *dense) apply(f *features) error {
	d.each(f, func(x []float32) []float32 {
		y := make([]float32, d.out)
		for i := range y {
			v := product(d.weight[i*d.in:(i+1)*d.in], x)
			if d.bias != nil {
				v += float64(d.bias[i])
			}
			v = d.activation.Of(float64(float32(v)))
			switch {
			case d.projection != nil:
				v += product(d.projection[i*d.in:(i+1)*d.in], x)
			case d.residual:
				v += float64(x[i])
			}
			y[i] = float32(v)
		}
		return y
	})
	return nil
}

// product is the sum of the products of two vectors of one length. Four sums at a time keep the processor busy, in an order that
// is always the same.
func product(a, b []float32) float64 {
	var s [4]float64
	for len(a) >= 4 && len(b) >= 4 {
		s[0] += float64(a[0]) * float64(b[0])
		s[1] += float64(a[1]) * float64(b[1])
		s[2] += float64(a[2]) * float64(b[2])
		s[3] += float64(a[3]) * float64(b[3])
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s[i] += float64(a[i]) * float64(b[i])
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func (d *dense) String() string {
	s := fmt.Sprintf("Dense %d → %d (%v)", d.in, d.out, d.activation)
	if d.residual {
		s += " with a residual"
	}
	return s + d.place.String()
}

func readDense(r *reader, m *Module, dir string) (step, error) {
	var (
		d             = &dense{}
		bias          = true
		activation    = "torch.nn.modules.activation.Tanh"
		input, output = sentenceEmbedding, ""
	)
	path, err := r.config(m, dir, map[string]any{
		"in_features": &d.in, "out_features": &d.out, "bias": &bias, "activation_function": &activation,
		"module_input_name": &input, "module_output_name": &output, "use_residual": &d.residual,
	})
	if err != nil {
		return nil, err
	}
	if d.activation, err = ParseActivation(activation); err != nil {
		return nil, &UnsupportedError{path, "activation_function: " + err.Error()}
	}
	if d.place, err = r.place(path, input, output); err != nil {
		return nil, err
	}
	if err := r.fit(path, "in_features", d.in, d.place); err != nil {
		return nil, err
	}
	if err := checkWidth(path, "out_features", d.out); err != nil {
		return nil, err
	}
	*r.widths.at(d.place) = d.out
	wanted := []tensor{{"linear.weight", []int{d.out, d.in}, &d.weight}}
	if bias {
		wanted = append(wanted, tensor{"linear.bias", []int{d.out}, &d.bias})
	}
	if d.residual && d.in != d.out {
		wanted = append(wanted, tensor{"residual.weight", []int{d.out, d.in}, &d.projection})
	}
	return d, r.weights(m, dir, wanted)
}

// tensor is one that a module needs.
type tensor struct {
	name   string
	shape  []int
	values *[]float32
}

// weights reads the weights of a module: all of these tensors and no others, from model.safetensors or pytorch_model.bin.
func (r *reader) weights(m *Module, dir string, wanted []tensor) error {
	path, err := weightsFile(dir)
	if err != nil {
		return err
	}
	f, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	left := make(map[string]bool)
	for _, t := range f.Tensors() {
		left[t.Name] = true
	}
	for _, want := range wanted {
		t, ok := f.Lookup(want.name)
		if !ok {
			return fmt.Errorf("%s: there is no tensor %s", path, want.name)
		}
		delete(left, want.name)
		if !slices.Equal(t.Shape, want.shape) {
			return fmt.Errorf("%s: tensor %s has the shape %v, want %v", path, want.name, t.Shape, want.shape)
		}
		*want.values = make([]float32, t.Len())
		if err := t.Float32(*want.values); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, t := range f.Tensors() {
		if left[t.Name] {
			return fmt.Errorf("%s: tensor %s is none of the module's", path, quote(t.Name))
		}
	}
	r.pipeline.files = append(r.pipeline.files, file{name: m.Path + "/" + filepath.Base(path), source: path})
	return nil
}

// weightsFile is the file of weights in the folder of a module, as the library looks for it.
func weightsFile(dir string) (string, error) {
	names := []string{"model.safetensors", "pytorch_model.bin"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", files.PathError(err)
		}
	}
	return "", fmt.Errorf("%s: there is neither %s nor %s in this folder of a module", dir, names[0], names[1])
}
