package bert

import "github.com/go-bert/bert/internal/compute"

// Precision is that of the operands of matrix products, forward and backward. Its text is "float32", "bf16" or "int8": see
// ParsePrecision.
//
// At BFloat16 each operand, attention's among them, is rounded to bfloat16 (8 bits of significand, to nearest, ties to even), and
// products are added up in float32. All else stays float32 at any precision: the parameters and Adam's moments, residuals,
// softmax, LayerNorm, activations, losses, gradients and their sums. So a model trained at BFloat16 has float32 parameters, and no
// scaling of the loss is needed, since bfloat16 has the range of float32.
//
// Results depend on the precision, but at a precision all promises hold: a sequence gives the same bits alone or in a
// batch, and a seed the same bits on any number of threads. At BFloat16 processors with instructions for it (AMX, AVX512-BF16)
// are twice as fast in the products or more, and others slower than at Float32: see Model.Precision. The former also take
// subnormal numbers for zero, and AMX adds up in another order, so that their bits differ from those of others.
//
// Int8 is for inference alone. The weights of attention's output and of the feed-forward network are integers from −127 to 127
// with a scale for each output, a quarter of the memory; their inputs are quantized likewise at each product, with a scale for
// each token. Sums of products are exact in int32, on any processor. The products of query, key and value are those of BFloat16
// where these are fast, else those of Float32; attention's own products, the pooler, the heads and all else are float32.
type Precision = compute.Precision

const (
	Float32  = compute.Float32  // "float32"
	BFloat16 = compute.BFloat16 // "bf16"
	Int8     = compute.Int8     // "int8"
)

// ParsePrecision is the precision of a name, float32, bf16 or int8, as Precision.String gives it.
func ParsePrecision(name string) (Precision, error) { return compute.ParsePrecision(name) }
