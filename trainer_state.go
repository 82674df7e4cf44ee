package bert

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
)

// The prefixes of the tensors' names in the file of a Trainer's state.
const valuePrefix = "param/"

var momentPrefixes = [2]string{"adam_m/", "adam_v/"}

// Moments are the moments of parameters that a Trainer does not own, in pieces: what WriteStateFrom asks for, and ReadStateTo gives.
// moment is 0 for the first, 1 for the second; values is as long as the range.
type Moments func(moment int, r Range, values []float32) error

// momentPiece is the most elements of a piece of the moments.
const momentPiece = 1 << 20

// MomentPieces are the pieces in which WriteStateFrom asks for moments and ReadStateTo gives them, in their order, which is that of the
// file. None has parts of two parameters.
func (m *Model) MomentPieces() iter.Seq2[int, Range] {
	return func(yield func(int, Range) bool) {
		places := m.placesByName()
		for moment := range momentPrefixes {
			for _, place := range places {
				for r := range pieces(place.Range) {
					if !yield(moment, r) {
						return
					}
				}
			}
		}
	}
}

// pieces cuts a range into pieces of momentPiece elements.
func pieces(whole Range) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		for at := whole.From; at < whole.To; at += momentPiece {
			if !yield(Range{at, min(at+momentPiece, whole.To)}) {
				return
			}
		}
	}
}

// place is where a parameter is.
type place struct {
	*parameter
	Range
}

// places are those of all parameters, in the order of the table.
func (m *Model) places() []place {
	places := make([]place, len(m.params))
	at := 0
	for i := range m.params {
		p := &m.params[i]
		places[i] = place{p, Range{at, at + p.Len()}}
		at += p.Len()
	}
	return places
}

// placesByName are those of all parameters, in the order of their names.
func (m *Model) placesByName() []place {
	places := m.places()
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.Name, b.Name) })
	return places
}

// WriteState writes the parameters and the moments, of a Trainer that owns all, to one safetensors file, which takes its place when it
// is complete.
func (t *Trainer) WriteState(path string, metadata map[string]string) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	if !t.whole {
		return errors.New("the trainer has a part of the moments alone: use WriteStateFrom")
	}
	var tensors []checkpoint.Tensor
	for _, s := range []struct {
		prefix string
		values compute.Buffer
	}{{valuePrefix, t.m.values}, {momentPrefixes[0], t.m1}, {momentPrefixes[1], t.m2}} {
		for _, p := range t.m.places() {
			tensor, err := t.m.tensor(s.prefix+p.Name, p.Shape, s.values.Slice(p.From, p.To), checkpoint.F32)
			if err != nil {
				return err
			}
			tensors = append(tensors, tensor)
		}
	}
	return checkpoint.WriteSafetensors(path, tensors, metadata)
}

// WriteStateFrom is WriteState with all moments from another place, such as the machines that own them: the same bytes. The moments are
// asked for in the order of Model.MomentPieces, until one fails or can't be written.
func (t *Trainer) WriteStateFrom(path string, metadata map[string]string, moments Moments) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	var (
		tensors []checkpoint.Tensor
		write   []func(w io.Writer) error
		memory  []float32
	)
	add := func(prefix string, p place, values func(w io.Writer) error) {
		tensors = append(tensors, checkpoint.Tensor{Name: prefix + p.Name, DType: checkpoint.F32, Shape: p.Shape})
		write = append(write, values)
	}
	for _, p := range t.m.placesByName() {
		for moment, prefix := range momentPrefixes {
			add(prefix, p, func(w io.Writer) error {
				for r := range pieces(p.Range) {
					memory = slices.Grow(memory[:0], r.Len())[:r.Len()]
					if err := moments(moment, r, memory); err != nil {
						return err
					}
					data, err := checkpoint.FromFloat32(checkpoint.F32, memory)
					if err != nil {
						return err
					}
					if _, err := w.Write(data); err != nil {
						return err
					}
				}
				return nil
			})
		}
		add(valuePrefix, p, func(w io.Writer) error {
			tensor, err := t.m.tensor(p.Name, p.Shape, p.value, checkpoint.F32)
			if err != nil {
				return err
			}
			_, err = w.Write(tensor.Data)
			return err
		})
	}
	return checkpoint.WriteSafetensorsFrom(path, tensors, metadata, func(i int, w io.Writer) error { return write[i](w) })
}

// ReadState reads back what WriteState wrote for the same model, and returns its metadata. After an error the trainer is
// as it was.
func (t *Trainer) ReadState(path string) (metadata map[string]string, err error) {
	if err := t.use(); err != nil {
		return nil, err
	}
	defer t.m.done()
	if !t.whole {
		return nil, errors.New("the trainer has a part of the moments alone: use ReadStateTo")
	}
	moments := []compute.Buffer{t.m1, t.m2}
	return t.readState(path, func(moment int, r Range, values []float32) error {
		t.m.device.Write(moments[moment].Slice(r.From, r.To), values)
		return nil
	})
}

// ReadStateTo is ReadState, but the moments go to another place, in the order of Model.MomentPieces. What is wrong with the file is found
// before there are any. The Trainer's own moments stay as they are.
func (t *Trainer) ReadStateTo(path string, moments Moments) (metadata map[string]string, err error) {
	if err := t.use(); err != nil {
		return nil, err
	}
	defer t.m.done()
	return t.readState(path, moments)
}

func (t *Trainer) readState(path string, moments Moments) (metadata map[string]string, err error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	if want, got := 3*len(t.m.params), len(file.Tensors()); got != want {
		return nil, fmt.Errorf("%s: %d tensors, want %d: it is another model's state", path, got, want)
	}
	find := func(prefix string, p *Param) (*checkpoint.Tensor, error) {
		tensor, ok := file.Lookup(prefix + p.Name)
		e := &TensorError{Path: path, Name: prefix + p.Name, Model: "trainer of a " + t.m.head.String()}
		switch {
		case !ok:
			e.Reason = TensorMissing
		case !slices.Equal(tensor.Shape, p.Shape):
			e.Reason, e.Got, e.Want = TensorMisshapen, tensor.Shape, p.Shape
		case tensor.DType != checkpoint.F32:
			e.Reason, e.Type = TensorOfWrongType, tensor.DType
		default:
			return tensor, nil
		}
		return nil, fmt.Errorf("%w: it is another model's state", e)
	}
	for _, prefix := range []string{valuePrefix, momentPrefixes[0], momentPrefixes[1]} {
		for i := range t.m.params {
			if _, err := find(prefix, &t.m.params[i].Param); err != nil {
				return nil, err
			}
		}
	}
	var memory []float32
	// each calls do with the pieces of a tensor.
	each := func(prefix string, p place, do func(r Range, values []float32) error) error {
		tensor, err := find(prefix, &p.Param)
		if err != nil {
			return err
		}
		for r := range pieces(p.Range) {
			memory = slices.Grow(memory[:0], r.Len())[:r.Len()]
			const size = 4
			part := checkpoint.Tensor{
				Name: tensor.Name, DType: tensor.DType, Shape: []int{r.Len()}, Data: tensor.Data[size*(r.From-p.From) : size*(r.To-p.From)],
			}
			if err := part.Float32(memory); err != nil {
				return err
			}
			if err := do(r, memory); err != nil {
				return err
			}
		}
		return nil
	}
	places := t.m.placesByName()
	for moment, prefix := range momentPrefixes {
		for _, p := range places {
			if err := each(prefix, p, func(r Range, values []float32) error { return moments(moment, r, values) }); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range places {
		if err := each(valuePrefix, p, func(r Range, values []float32) error {
			t.m.device.Write(t.m.values.Slice(r.From, r.To), values)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return file.Metadata(), nil
}
