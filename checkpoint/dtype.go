package checkpoint

import "fmt"

// DType is the type of a tensor's elements.
type DType uint8

// The element types, with the names and the sizes that safetensors gives them. The zero DType is none of them.
//
// They stand in the order in which the reference implementation of safetensors ranks them, so that files written here and
// there hold their tensors in the same order: see [WriteSafetensors].
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

// String is the name of the type in safetensors: "F32", "BF16", "BOOL".
func (d DType) String() string {
	if !d.valid() {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypes[d].name
}

// Size is the number of bytes of an element; 0 for a value that is no DType.
func (d DType) Size() int {
	if !d.valid() {
		return 0
	}
	return dtypes[d].size
}

func (d DType) valid() bool { return d >= Bool && int(d) < len(dtypes) }

// parseDType finds the type that safetensors calls name.
func parseDType(name string) (DType, bool) {
	for d := Bool; d.valid(); d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	return 0, false
}
