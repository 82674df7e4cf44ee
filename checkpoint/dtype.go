package checkpoint

import "fmt"

// DType is the type of a tensor's elements.
type DType uint8

// The element types, with safetensors' names and sizes. The zero DType is none of them.
//
// They are in the order of the reference implementation of safetensors, so that both write tensors in the same order: see
// [WriteSafetensors].
const (
	Bool DType = iota + 1 // one byte, 0 or 1
	U8
	I8
	I16
	F16  // IEEE 754 binary16
	BF16 // the upper half of an F32
	I32
	F32 // IEEE 754 binary32
	F64 // IEEE 754 binary64
	I64
)

var dtypes = [...]struct {
	name string
	size int
}{
	Bool: {"BOOL", 1},
	U8:   {"U8", 1},
	I8:   {"I8", 1},
	I16:  {"I16", 2},
	F16:  {"F16", 2},
	BF16: {"BF16", 2},
	I32:  {"I32", 4},
	F32:  {"F32", 4},
	F64:  {"F64", 8},
	I64:  {"I64", 8},
}

// String returns the name of the type in safetensors: "F32", "BF16", "BOOL".
func (d DType) String() string {
	if !d.valid() {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypes[d].name
}

// Size returns the size of an element in bytes; 0 for an invalid DType.
func (d DType) Size() int {
	if !d.valid() {
		return 0
	}
	return dtypes[d].size
}

func (d DType) valid() bool { return d >= Bool && int(d) < len(dtypes) }

// parseDType finds a type by its name in safetensors.
func parseDType(name string) (DType, bool) {
	for d := Bool; d.valid(); d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	return 0, false
}
