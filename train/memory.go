package train

import (
	"errors"
	"slices"
	"unsafe"

	"github.com/go-bert/bert"
)

// bytesOf is the memory of numbers as bytes.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// load is values in place where the device has them in the host's memory, else a copy in memory that is used again.
func load(v bert.Values, memory *[]float32) ([]float32, error) {
	view, err := v.View()
	if !errors.Is(err, errors.ErrUnsupported) {
		return view, err
	}
	*memory = slices.Grow((*memory)[:0], v.Len())[:v.Len()]
	return *memory, v.Read(*memory)
}

// store makes values those of a slice, which may be what load gave.
func store(v bert.Values, values []float32) error {
	if v.Len() == 0 {
		return nil
	}
	view, err := v.View()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return v.Write(values)
	case err == nil && &view[0] != &values[0]:
		copy(view, values)
	}
	return err
}

// addTo is dst += x.
func addTo(dst, x []float32) {
	x = x[:len(dst)]
	for len(dst) >= 4 {
		d, s := dst[:4], x[:4]
		d[0] += s[0]
		d[1] += s[1]
		d[2] += s[2]
		d[3] += s[3]
		dst, x = dst[4:], x[4:]
	}
	for i := range dst {
		dst[i] += x[i]
	}
}
