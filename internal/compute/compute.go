// Package compute states what a device does for the model: some twenty fused operations, forward and backward. Nothing above
// this package looks into a Buffer, so that another device can fulfil the same contract. Package cpu is the processor;
// package computetest is the suite that every device passes.
//
// Legend: B sequences of a batch, T tokens of all of them end to end, n tokens of one sequence, H hidden size, A heads,
// D = H/A head size, R rows, W width of a row, C classes.
//
// Gradients say whether they are written (=) or added to (+=). An operation's sums are taken in an order that depends on
// its dimensions alone: any number of workers gives the same bits. A row of the result of a forward operation depends on
// its own sequence alone, to the bit, whatever else is in the batch.
//
// What multiplies a weight from the left, or of which a weight's gradient is the product, may not be the values themselves: at BFloat16
// they are rounded. An operation can leave its result in that form as well, or instead, so that no product has to make it: as an
// operand, a buffer whose rows have [Device.OperandSize] elements that only the device can read. Where that is 0, the values are the
// operand, and such buffers are none.
//
// The contract of [Device] says what may be asynchronous, how long host memory is used, and how failures surface.
package compute

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Memory is an allocation on a device, opaque to everyone but the device.
type Memory interface {
	// Len is the number of float32 in the allocation.
	Len() int
}

// Buffer is a run of float32 in a device's memory. The zero Buffer is "none" where an operation allows it. The memory lives
// as long as a Buffer refers to it.
type Buffer struct {
	Memory Memory
	Offset int
	Len    int
}

// None reports whether b is the zero Buffer.
func (b Buffer) None() bool { return b.Memory == nil }

// Slice is the part [from, to) of b.
func (b Buffer) Slice(from, to int) Buffer {
	if from < 0 || to < from || to > b.Len {
		panic("compute: slice out of range")
	}
	return Buffer{b.Memory, b.Offset + from, to - from}
}

// Numbers is an allocation of float64 on a device, where losses are left: they are added up in the order of their rows, and
// small differences between them matter more than float32 can hold. It is opaque to everyone but the device.
type Numbers interface {
	// Len is the number of float64 in the allocation.
	Len() int
}

// Losses is where an operation writes the losses of its rows: from Offset on in Numbers. The zero value is "nowhere".
type Losses struct {
	Numbers Numbers
	Offset  int
}

// None reports whether l is the zero value.
func (l Losses) None() bool { return l.Numbers == nil }

// Matrix is a weight [Out, In] as products use it, stored as in the model files: a row for each output.
type Matrix struct {
	Weight  Buffer // [Out, In]
	Out, In int
	// Packed is what Device.Pack made of Weight, or nil: then each product packs for itself, as in training, where the
	// weights change with every step.
	Packed Packed
}

// Packed is a weight in the layout of a device's kernels, opaque to everyone but the device.
type Packed interface{}

// Integers are rows of a weight that is quantized as Int8 says, in host memory: element j of row r, of width In, is
// Values[r·In+j]·Scales[r].
type Integers struct {
	Values []int8    // [rows, In], from −127 to 127
	Scales []float32 // [rows], positive
}

// QuantizeRow rounds a row as Int8 says: dst[j] = src[j]·(127/top), to nearest, ties to even, where top is the row's largest
// magnitude. It returns the scale, top/127. A row without a number above 2^-100 becomes zeros with a scale of 0, and one that
// isn't finite zeros with a scale of NaN.
func QuantizeRow(dst []int8, src []float32) (scale float32) {
	const most, least = 127, 0x1p-100
	var top float32
	for _, x := range src {
		if x != x {
			top = x
			break
		}
		top = max(top, x, -x)
	}
	switch {
	case !(top <= math.MaxFloat32):
		clear(dst)
		return float32(math.NaN())
	case top < least:
		clear(dst)
		return 0
	}
	factor := most / top
	for j, x := range src {
		dst[j] = int8(math.RoundToEven(float64(float32(x * factor))))
	}
	return top / most
}

// Precision is how a device takes the operands of matrix products, attention's among them where it doesn't say otherwise. All
// else, and what buffers hold, is float32.
type Precision uint8

const (
	Float32  Precision = iota
	BFloat16           // rounded to nearest, ties to even; products are added up in float32
	// Int8 takes the operands of Linear with a weight that Pack has laid out as integers from −127 to 127, to nearest, ties to
	// even, times a scale: for the weight, one for each of its rows; for X, one for each row, at each product. The scale is the
	// row's largest magnitude over 127. Sums are exact in int32. All other products are those of Float32, or with a weight of
	// PackRounded, and in an Attention without LSE and Drop, perhaps those of BFloat16.
	Int8
)

// precisionNames are what String returns.
var precisionNames = [...]string{Float32: "float32", BFloat16: "bf16", Int8: "int8"}

func (p Precision) String() string {
	if int(p) < len(precisionNames) {
		return precisionNames[p]
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}

// Trains reports whether models are trained at p.
func (p Precision) Trains() bool { return p == Float32 || p == BFloat16 }

// ParsePrecision is the precision of a name that String returns.
func ParsePrecision(name string) (Precision, error) {
	if p := slices.Index(precisionNames[:], name); p >= 0 {
		return Precision(p), nil
	}
	return 0, fmt.Errorf("unknown precision %q: want one of %s", name, strings.Join(precisionNames[:], ", "))
}

// MarshalText is String; an unknown precision is an error.
func (p Precision) MarshalText() ([]byte, error) {
	if int(p) >= len(precisionNames) {
		return nil, fmt.Errorf("unknown precision %d", uint8(p))
	}
	return []byte(p.String()), nil
}

// UnmarshalText is ParsePrecision.
func (p *Precision) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrecision(string(text))
	return err
}

// Activation names the function between two products.
type Activation uint8

const (
	Identity Activation = iota
	GELU                // x·Φ(x), by erf
	GELUTanh            // 0.5·x·(1+tanh(√(2/π)·(x+0.044715·x³)))
	ReLU
	Tanh
	SiLU // x·sigmoid(x)
)

// Drop is one application of dropout. Which elements it drops is a pure function of Key, the row and the column, so that
// the backward pass finds the same mask again. The zero value drops nothing.
type Drop struct {
	Rate float32 // share of elements dropped, in [0, 1), perhaps in steps of 1/65,536; the others are divided by 1−Rate
	Key  uint64  // differs for each step and place of use
}

// Linear is y = f(x·Wᵀ + bias).
//
// The rows of operands of products may begin Stride elements apart instead of following one another directly; their buffers then have
// Rows·Stride elements. What lies between two rows is neither read nor written. A stride of 0 is the width.
type Linear struct {
	Rows    int
	X       Buffer // [Rows, In]
	XStride int
	Operand Buffer // X as an operand, which is then used instead; or none
	W       Matrix
	Bias    Buffer // [Out], or none
	F       Activation
	Pre     Buffer // [Rows, Out]: where to leave the input of F for the backward pass, or none
	Y       Buffer // [Rows, Out]; or none if a Norm follows
	YStride int    // of Pre too
	// Norm, if not nil, follows, to the bit as an operation of its own whose X is Y: the device may do it for some rows at a time.
	// Its S may be Y, or none if Y is none; its Operand may be that of X. Y has no stride.
	Norm *Norm
}

// FeedForward is y = f(x·W1ᵀ + bias1)·W2ᵀ + bias2, at Float32 to the bit what two Linears give. Where the second product rounds its
// operand, f may have a relative error of 2^-12 before. The device may do some rows at a time, so that what is between the products,
// the hidden layer, need not be in memory as a whole.
type FeedForward struct {
	Rows         int
	X            Buffer // [Rows, W1.In]
	Operand      Buffer // X as an operand, which is then used instead; or none
	W1, W2       Matrix // W2.In is W1.Out
	Bias1, Bias2 Buffer // [W1.Out], [W2.Out]
	F            Activation
	Pre          Buffer // [Rows, W1.Out]: where to leave the input of F for the backward pass, or none
	PreStride    int
	Y            Buffer // [Rows, W2.Out]; or none if a Norm follows
	Norm         *Norm  // as that of Linear
}

// LinearInputGrad is dx = (dy·W)∘f'(pre): the gradient at the input of a product, taken on through the activation
// before it.
type LinearInputGrad struct {
	Rows      int
	DY        Buffer // [Rows, Out]; or none if there is an Operand
	DYStride  int
	Operand   Buffer // DY as an operand, which is then used instead; or none
	W         Matrix
	F         Activation
	Pre       Buffer // [Rows, In]: the input of F; none with Identity
	DX        Buffer // [Rows, In]; or none if there is a DXOperand
	DXStride  int    // of Pre too
	DXOperand Buffer // DX as an operand, =; or none
	Y         Buffer // f(Pre) as an operand, =, as it is between the products of a FeedForward; or none
	DBias     Buffer // [In], += the column sums of DX; or none. It asks for a DXOperand
	Add       bool   // += instead of =; only with Identity, and of DX alone
}

// LinearWeightGrad is dW += dyᵀ·x and dbias += the column sums of dy.
type LinearWeightGrad struct {
	Rows, Out, In int
	DY            Buffer // [Rows, Out]; or none if there are a DYOperand and no DBias
	DYStride      int
	DYOperand     Buffer // DY as an operand, which then multiplies instead; or none
	X             Buffer // [Rows, In]; or none if there is an XOperand
	XStride       int
	XOperand      Buffer // X as an operand, which is then used instead; or none
	DW            Buffer // [Out, In], +=
	DBias         Buffer // [Out], +=, or none
}

// Norm is the step that ends every block: s = residual + dropout(x), y = LayerNorm(s).
type Norm struct {
	Rows, Width int
	Eps         float32
	X           Buffer // [Rows, Width]; none where it follows a product
	Residual    Buffer // [Rows, Width], or none
	Drop        Drop   // of X
	Gamma, Beta Buffer // [Width]
	S           Buffer // [Rows, Width]; may be X; where it follows a product, see Linear.Norm
	Mean, Rstd  Buffer // [Rows]
	Y           Buffer // [Rows, Width]; may be X or S if no backward pass follows
	Operand     Buffer // Y as an operand, =; or none
}

// NormGrad goes back through Norm.
type NormGrad struct {
	Rows, Width   int
	DY            Buffer // [Rows, Width]
	S             Buffer // [Rows, Width]
	Mean, Rstd    Buffer // [Rows]
	Gamma         Buffer // [Width]
	Drop          Drop
	DS            Buffer // [Rows, Width], =: the gradient of the residual; may be DY
	DX            Buffer // [Rows, Width], =: dropout of DS; none where there was nothing to drop out, or where there is an Operand
	Operand       Buffer // dropout of DS as an operand, =; or none
	DBias         Buffer // [Width], += the column sums of dropout of DS; or none
	DGamma, DBeta Buffer // [Width], +=
}

// Embedding is the input of the encoder: s = word + position + type, y = dropout(LayerNorm(s)). Ids are in range.
type Embedding struct {
	Width                     int
	IDs, PositionIDs, TypeIDs []int32 // [T]
	Word, Position, Type      Buffer  // [V, Width], [P, Width], [types, Width]
	Gamma, Beta               Buffer  // [Width]
	Eps                       float32
	Drop                      Drop
	S                         Buffer // [T, Width]; may be Y if no backward pass follows
	Mean, Rstd                Buffer // [T]
	Y                         Buffer // [T, Width]
	Operand                   Buffer // Y as an operand, =; or none
}

// EmbeddingGrad goes back through Embedding.
type EmbeddingGrad struct {
	Width                     int
	IDs, PositionIDs, TypeIDs []int32
	DY                        Buffer // [T, Width]; overwritten with the gradient at S
	S                         Buffer // [T, Width]
	Mean, Rstd                Buffer // [T]
	Gamma                     Buffer // [Width]
	Drop                      Drop
	DWord, DPosition, DType   Buffer // +=
	DGamma, DBeta             Buffer // [Width], +=
}

// Attention is multi-head self-attention inside each sequence (Devlin et al. 2018, §3; Vaswani et al. 2017, §3.2.1):
// P = dropout(softmax(Q·Kᵀ/√D)), context = P·V. There is no mask: a batch has no padding. Where products round their operands, nothing is
// dropped and LSE is not asked for, the softmax may be as coarse as they are, but not Probs, which change no bit of the context.
type Attention struct {
	Heads, HeadSize int
	Starts          []int  // [B+1]: sequence b is the tokens Starts[b]…Starts[b+1]
	QKV             Buffer // [T, 3H]: a row is the query, the key and the value of a token
	// Product, if not nil, comes first, to the bit as an operation of its own whose Y is QKV: the device may do it for some sequences
	// at a time. QKV may then be none, and so are Product's Y and Norm. Operand may be Product's, but not with FirstOnly.
	Product *Linear
	Drop    Drop // of the probabilities
	// FirstOnly takes the query of each sequence's first token alone, as where only its hidden state is asked for: then
	// Context is [B, H], LSE [B, A], and there is no Probs.
	FirstOnly bool
	Context   Buffer // [T, H]; or none if there is an Operand
	Operand   Buffer // Context as an operand, =; or none
	LSE       Buffer // [T, A]: log-sum-exp of each row of scores, for the backward pass; or none
	Probs     Buffer // for each sequence [A, n, n], end to end, before dropout; or none
}

// AttentionGrad goes back through Attention; the probabilities are computed again from LSE, a tile at a time.
type AttentionGrad struct {
	Heads, HeadSize int
	Starts          []int
	QKV             Buffer // [T, 3H]
	Context         Buffer // [T, H]
	LSE             Buffer // [T, A]
	Drop            Drop
	FirstOnly       bool   // Context and DContext are [B, H], LSE is [B, A]
	DContext        Buffer // [T, H]
	DQKV            Buffer // [T, 3H], =; or none if there is an Operand
	Operand         Buffer // DQKV as an operand, =; or none
	DBias           Buffer // [3H], += the column sums of DQKV; or none
}

// The losses below are sums over rows: Scale·Σ loss[r] of losses that may have a weight each. An operation writes the loss of
// each row to Losses, weighted but without Scale, and the gradient of the whole, with Scale, to DLogits. Adding up the rows
// is left to the caller, who may have more of them, so that a batch that is split gives the bits of the whole.

// CrossEntropy is the loss of a softmax over C classes in each of R rows, Weights[r]·Σ t[c]·(−log p[r, c]), against a label
// or a distribution t of targets. A row has one target: its label if that isn't negative, else its row of Targets. A row
// that has neither, or whose targets are all zero, takes no part: its loss and gradient are 0.
type CrossEntropy struct {
	Rows, Classes int
	Logits        Buffer    // [R, C]
	Labels        []int32   // [R], or nil if all rows have Targets
	Targets       []float32 // [R, C], not negative, or nil
	Weights       []float32 // [R], or nil for ones
	Scale         float32
	DLogits       Buffer // [R, C], =; may be Logits; or none
	Losses        Losses // [R], =; or nowhere
}

// SpanLoss is a softmax over the tokens of each sequence, on one of two columns of logits: the first or the last token of an
// answer (google-research/bert run_squad.py, compute_loss). Weights[b]·(−log p[b, Labels[b]]) is the loss of a sequence. A
// label outside its sequence takes no part.
type SpanLoss struct {
	Starts  []int     // [B+1]
	Logits  Buffer    // [T, 2]
	Column  int       // 0 or 1; the other column of Logits and DLogits is left alone
	Labels  []int32   // [B]: tokens counted within the sequence
	Weights []float32 // [B], or nil for ones
	Scale   float64
	DLogits Buffer // [T, 2], = in the column; may be Logits; or none
	Losses  Losses // [B], =; or nowhere
}

// BinaryCrossEntropy is the loss of independent sigmoids: Weights[r]·(−t·log σ(x) − (1−t)·log(1−σ(x))) of each element.
type BinaryCrossEntropy struct {
	Rows, Classes int
	Logits        Buffer    // [R, C]
	Targets       []float32 // [R, C]
	Weights       []float32 // [R], or nil for ones
	Scale         float64
	DLogits       Buffer // [R, C], =; may be Logits; or none
	Losses        Losses // [R, C], =; or nowhere
}

// SquaredError is Weights[r]·(logit − target)².
type SquaredError struct {
	Rows    int
	Logits  Buffer    // [R]
	Targets []float32 // [R]
	Weights []float32 // [R], or nil for ones
	Scale   float64
	DLogits Buffer // [R], =; may be Logits; or none
	Losses  Losses // [R], =; or nowhere
}

// Adam updates parameters in one pass: with g' = g·GradScale,
//
//	m = Beta1·m + (1−Beta1)·g',  v = Beta2·v + (1−Beta2)·g'²,  p = p − (Decay·p + StepSize·m/(√v·RootScale + Eps)).
//
// The constants make it Google's AdamWeightDecayOptimizer or AdamW.
type Adam struct {
	P, G, M, V Buffer
	GradScale  float32
	// A device forms 1−Beta in float64 and rounds that. From a Beta2 of 0.999 in float32 it would be 1.3e-5 off.
	Beta1, Beta2 float64
	Decay        float32 // rate·decay
	StepSize     float32 // rate, over 1−Beta1^t with bias correction
	RootScale    float32 // 1, or 1/√(1−Beta2^t) with bias correction
	Eps          float32
	// Clear sets G to zeros afterwards, for the next step's gradients to be added to; not in LAMB and Direction.
	Clear bool
}

// LAMB updates one tensor by as much as its own size allows (You et al. 2020, arXiv:1904.00962, Algorithm 2): with m and v as
// in Adam and u what Adam would take off p,
//
//	u = Decay·p + StepSize·m/(√v·RootScale + Eps),  p = p − Rate·‖p‖/‖u‖·u.
//
// Where one of the norms is 0, their ratio counts as 1. G is overwritten. The squares of norms are added up by runs.
type LAMB struct {
	Adam
	Rate float32
}

// Run is the number of elements that make a run: the squares of each run of a buffer are added up, and then the sums of the runs, in
// their order. So buffers that are cut between runs give the same sums.
const Run = 1 << 14

// Runs is the number of runs in n elements, of which the last may be shorter.
func Runs(n int) int { return (n + Run - 1) / Run }

// Viewer is a device whose buffers are in host memory.
type Viewer interface {
	// View is a buffer's memory, in place. Like Read it waits. The slice may be used until the next operation on the buffer;
	// that of a wrapped buffer is not written.
	View(b Buffer) ([]float32, error)
}

// Device performs the operations.
//
// Order. Operations take effect in the order in which they are issued; of several goroutines, in some order, one whole
// operation after another. A call may return before its operation is done. The calls that wait for everything issued
// before are Read, ReadNumbers, SumSquares, RunSquares and View.
//
// Host memory. What an operation is given in host memory (the struct itself, its slices, the source of Write) has been
// read when the call returns, and may then be changed. Only what Wrap is given has to stay as it is while its buffer is
// used. A device writes to host memory only in the calls that wait.
//
// Failures. Alloc, AllocNumbers, Wrap and the three of Pack may fail, for want of memory: that call alone has failed, and the device goes
// on. If an operation fails after it was issued, as when a device is lost, the device has failed for good: it does nothing
// more, and every call that returns an error returns that one.
//
// Mistakes of the caller, such as sizes that do not fit, panic, in the call or in the next one that waits, and leave the
// device in order. What comes from a user has been checked before.
//
// Operations do not allocate Go memory once they have run at a size.
type Device interface {
	// Name describes the device, for people: "avx512, 2 threads", "avx512 bf16, 2 threads".
	Name() string
	// Threads is the number of workers.
	Threads() int
	// Precision is that of its products. native says that the device has instructions for it: without them it is emulated,
	// as exactly but slower than Float32.
	Precision() (p Precision, native bool)
	// Close ends the workers. The device is not used afterwards.
	Close()

	// Alloc is n zeros.
	Alloc(n int) (Buffer, error)
	// AllocNumbers is n zeros.
	AllocNumbers(n int) (Numbers, error)
	// Wrap lets operations read host memory that stays as it is while the buffer is used, without copying it where the
	// device can do so: weights in a mapped file. It is never written.
	Wrap(data []float32) (Buffer, error)
	Write(dst Buffer, src []float32)
	Read(dst []float32, src Buffer) error
	// ReadNumbers reads the first len(dst) numbers.
	ReadNumbers(dst []float64, src Numbers) error
	Zero(b Buffer)
	Copy(dst, src Buffer)

	// Stride is the best distance, in elements, between the beginnings of rows of the given width, as operands of products.
	Stride(width int) int
	// OperandSize is how many elements of a buffer a row of the given width takes as an operand, or 0 if the values are it.
	OperandSize(width int) int
	// Pack lays out a weight for many products, from its values at this point in the order of operations. It may consist of
	// the rows of several weights, in the order given.
	Pack(out, in int, weights ...Buffer) (Packed, error)
	// PackFloat is Pack, but at Int8 for products that are those of Float32.
	PackFloat(out, in int, weights ...Buffer) (Packed, error)
	// PackIntegers is Pack at Int8 of rows that are quantized already. Before X is quantized, its columns are multiplied by
	// inputScales [in], unless that is nil.
	PackIntegers(out, in int, inputScales []float32, weights ...Integers) (Packed, error)
	// PackRounded is PackFloat, but at Int8 for products that are those of BFloat16, if these are faster on the device.
	PackRounded(out, in int, weights ...Buffer) (Packed, error)

	Linear(op *Linear)
	FeedForward(op *FeedForward)
	LinearInputGrad(op *LinearInputGrad)
	LinearWeightGrad(op *LinearWeightGrad)

	Embedding(op *Embedding)
	EmbeddingGrad(op *EmbeddingGrad)
	Norm(op *Norm)
	NormGrad(op *NormGrad)
	Attention(op *Attention)
	AttentionGrad(op *AttentionGrad)

	// Activate is dst = f(x), ActivateGrad dx = dy∘f'(x) with x the input of f. dx may be dy.
	Activate(f Activation, dst, x Buffer)
	ActivateGrad(f Activation, dx, dy, x Buffer)
	// Dropout is dst = dropout(x) for x [rows, width]; dst may be x. Its own gradient is itself.
	Dropout(dst, x Buffer, rows, width int, d Drop)
	// Gather is dst[i] = src[rows[i]], ScatterAdd dst[rows[i]] += src[i], of rows of the given width.
	Gather(dst, src Buffer, rows []int32, width int)
	ScatterAdd(dst, src Buffer, rows []int32, width int)
	// Add is dst += x.
	Add(dst, x Buffer)

	CrossEntropy(op *CrossEntropy)
	SpanLoss(op *SpanLoss)
	BinaryCrossEntropy(op *BinaryCrossEntropy)
	SquaredError(op *SquaredError)

	// SumSquares is Σ x² in float64, the sum of RunSquares.
	SumSquares(x Buffer) (float64, error)
	// RunSquares is Σ x² of each run of x: dst has Runs(x.Len) elements. It waits.
	RunSquares(dst []float64, x Buffer) error
	Adam(op *Adam)
	LAMB(op *LAMB)
	// Direction is the first half of LAMB: it changes M and V and replaces G by u. Axpy is the second, dst += c·x, with p, the u of G and
	// −Rate·‖p‖/‖u‖ in float32. So a tensor of which others have parts gets the bits of LAMB, if it is cut between runs.
	Direction(op *Adam)
	Axpy(dst Buffer, c float32, x Buffer)
}
