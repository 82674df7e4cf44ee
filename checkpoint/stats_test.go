package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestStats(t *testing.T) {
	floats := func(d DType, values ...float32) Tensor {
		data, err := FromFloat32(d, values)
		if err != nil {
			t.Fatal(err)
		}
		return Tensor{DType: d, Shape: []int{len(values)}, Data: data}
	}
	many := make([]float32, 1000) // more than one block
	many[999] = -2
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		tensor Tensor
		want   Stats
	}{
		"float32":       {floats(F32, 3, -4, 0), Stats{Norm: 5, Min: -4, Max: 3}},
		"float16":       {floats(F16, 3, -4), Stats{Norm: 5, Min: -4, Max: 3}},
		"bfloat16":      {floats(BF16, 3, -4), Stats{Norm: 5, Min: -4, Max: 3}},
		"float64":       {floats(F64, 3, -4), Stats{Norm: 5, Min: -4, Max: 3}},
		"many":          {floats(F32, many...), Stats{Norm: 2, Min: -2}},
		"not numbers":   {floats(F32, nan, 2, inf, nan), Stats{Norm: 2, Min: 2, Max: 2, NaN: 2, Inf: 1}},
		"only infinity": {floats(F32, inf), Stats{Inf: 1}},
		"none":          {floats(F32), Stats{}},
		"int64":         {Tensor{DType: I64, Data: binary.LittleEndian.AppendUint64(nil, math.MaxUint64)}, Stats{Norm: 1, Min: -1, Max: -1}},
		"int32":         {Tensor{DType: I32, Data: []byte{0xfe, 0xff, 0xff, 0xff}}, Stats{Norm: 2, Min: -2, Max: -2}},
		"int16":         {Tensor{DType: I16, Data: []byte{0xfd, 0xff}}, Stats{Norm: 3, Min: -3, Max: -3}},
		"int8":          {Tensor{DType: I8, Data: []byte{0xfc}}, Stats{Norm: 4, Min: -4, Max: -4}},
		"uint8":         {Tensor{DType: U8, Data: []byte{0xfc}}, Stats{Norm: 252, Min: 252, Max: 252}},
		"bool":          {Tensor{DType: Bool, Shape: []int{2}, Data: []byte{1, 0}}, Stats{Norm: 1, Max: 1}},
	} {
		got, err := c.tensor.Stats()
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	for _, bad := range []Tensor{{Name: "x", DType: F32, Shape: []int{2}, Data: make([]byte, 4)}, {Name: "x", Data: []byte{1}}} {
		if _, err := bad.Stats(); err == nil {
			t.Errorf("%+v has statistics", bad)
		}
	}
}
