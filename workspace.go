package bert

import (
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// workspace is the memory of a pass over a batch: what the encoder computes, and with train what the backward pass needs
// of it and computes itself. It is laid out in one allocation, which grows to the largest batch seen and is used again, so
// that a steady step allocates nothing.
//
// Legend: B sequences, T tokens, M masked tokens, H hidden, I intermediate, S its stride, A heads of a layer, W their width together, C labels,
// V vocabulary.
type workspace struct {
	m      *Model
	train  bool
	key    uint64 // decides the dropout of a training pass
	device compute.Device
	w      *weights
	act    compute.Activation

	// firstOnly says that of the last hidden states only each sequence's first is asked for: the last block then takes
	// those B rows alone beyond its keys and values.
	firstOnly bool

	b         *Batch
	positions []int32 // [T]: the place of each token in its sequence
	firsts    []int32 // [B]: the first token of each sequence

	capacity struct{ sequences, tokens, masked int }

	embeddingSum, embeddingOut   compute.Buffer // [T,H]
	embeddingMean, embeddingRstd compute.Buffer // [T]
	layers                       []layerSpace
	operand, firstOperand        compute.Buffer // [T] and [B] rows: what the next product takes, or none
	narrowOperand                compute.Buffer // [T] rows: the context of a layer with pruned heads as an operand, or none
	inner                        compute.Buffer // [T,I], S apart
	// Gradients as operands, and inner, all of [T] rows; or none.
	branchOperand, innerOperand, dInnerOperand, dQKVOperand compute.Buffer

	first, pooledPre, pooled compute.Buffer // [B,H]: the first tokens' hidden states, before and after the pooler's tanh
	residual                 compute.Buffer // [B,H]: with firstOnly, the first tokens' rows of what goes into the last block
	headInput                compute.Buffer // [B,H] or [T,H]: what goes into the output layer, after dropout
	logits                   compute.Buffer // [B,C] or [T,C]
	nextLogits               compute.Buffer // [B,2]

	masked                         compute.Buffer // [M,H]: the masked tokens' hidden states
	transformPre, transformSum     compute.Buffer // [M,H]
	transformMean, transformRstd   compute.Buffer // [M]
	transformed                    compute.Buffer // [M,H]
	maskedLogits                   compute.Buffer // [M,V]
	dTransformed                   compute.Buffer // [M,H]
	dHidden, dSum, dBranch, dInner compute.Buffer // [T,H], [T,H], [T,H], [T,I] S apart
	dContext, dQKV                 compute.Buffer // [T,W], [T,3W] of the widest layer
	dPooled                        compute.Buffer // [B,H]
	probs                          compute.Buffer // Σ [A,n,n] of most heads, where attention is asked for
	qkv                            compute.Buffer // [T,3W] of the widest layer, where queries, keys and values are asked for without a backward pass

	losses     compute.Numbers // of the rows of all batches of a step
	lossesUsed int
	lossesRead []float64
	loss       Loss      // their sum
	rowWeights []float32 // of tokens

	noDropout bool // as in inference
	// inputOnly says that the backward pass is for the gradient at the input: parameters get none.
	inputOnly  bool
	unused     compute.Buffer // [2H]: where the gradients of LayerNorms go with inputOnly
	wordRows   compute.Buffer // [T,H]: Batch.Embeddings, or those that were looked up
	lookedUp   []float32      // [T,H]
	rowNumbers []int32        // [T]: 0, 1, 2, …
	added      added          // gradients that the caller adds

	// neuronGrads, if not nil, is called on the way back while inner holds what the neurons of a layer give and dInner the gradient there.
	neuronGrads func(layer int)
	// observe, if not nil, is called with the input of a block's layer before its product: [rows, in], rows stride apart.
	observe func(block int, layer string, x compute.Buffer, rows, in, stride int)

	op ops
}

// layerSpace is what a block of the encoder computes. Without a backward pass all blocks share one, in which what only that needs is
// none: qkv, lse, sum1, pre, sum2, and the context where its operand is enough.
type layerSpace struct {
	qkv          compute.Buffer // [T,3W]
	context      compute.Buffer // [T,W]
	lse          compute.Buffer // [T,A]
	sum1, out1   compute.Buffer // [T,H]: before and after the LayerNorm that follows attention
	pre          compute.Buffer // [T,I], S apart: before the activation
	sum2, out2   compute.Buffer // [T,H]: before and after the last LayerNorm
	mean1, rstd1 compute.Buffer // [T]
	mean2, rstd2 compute.Buffer // [T]
}

// ops holds an operation of each kind: handed to the device by pointer, they would be allocated for each call otherwise.
type ops struct {
	embedding        compute.Embedding
	embeddingGrad    compute.EmbeddingGrad
	linear           compute.Linear
	feedForward      compute.FeedForward
	linearInputGrad  compute.LinearInputGrad
	linearWeightGrad compute.LinearWeightGrad
	norm             compute.Norm
	normGrad         compute.NormGrad
	attention        compute.Attention
	attentionGrad    compute.AttentionGrad
	crossEntropy     compute.CrossEntropy
	spanLoss         compute.SpanLoss
	binary           compute.BinaryCrossEntropy
	squared          compute.SquaredError
	adam             compute.Adam
	lamb             compute.LAMB
}

func newWorkspace(m *Model, train bool) *workspace {
	// The weights are set for each pass: see prepare.
	return &workspace{m: m, train: train, device: m.device, act: activations[m.config.HiddenAct]}
}

// begin takes a batch, which has been checked, and makes room for it.
func (w *workspace) begin(b *Batch) error {
	w.b = b
	w.positions, w.firsts = w.positions[:0], w.firsts[:0]
	for i := range b.Len() {
		from, to := b.Sequence(i)
		w.firsts = append(w.firsts, int32(from))
		for j := range to - from {
			w.positions = append(w.positions, int32(j))
		}
	}
	if w.ownRows() {
		given := b.Embeddings
		if len(given) == 0 {
			given = w.lookUp(b.IDs)
		}
		if err := w.growTo(&w.wordRows, len(given)); err != nil {
			return fmt.Errorf("memory for the embeddings of %d tokens: %w", b.Tokens(), err)
		}
		w.device.Write(w.wordRows.Slice(0, len(given)), given)
		for i := len(w.rowNumbers); i < b.Tokens(); i++ {
			w.rowNumbers = append(w.rowNumbers, int32(i))
		}
		w.rowNumbers = w.rowNumbers[:b.Tokens()]
	}
	masked := 0
	if heads[w.m.head].maskedLM {
		masked = len(b.MaskedPositions)
	}
	if c := &w.capacity; b.Len() > c.sequences || b.Tokens() > c.tokens || masked > c.masked {
		// An eighth more than needed, so that not every batch that is a little larger needs new memory.
		grow := func(has, need int) int {
			if need <= has {
				return has
			}
			return need + need/8
		}
		c.sequences, c.tokens, c.masked = grow(c.sequences, b.Len()), grow(c.tokens, b.Tokens()), grow(c.masked, masked)
		counter := carver{}
		w.layOut(&counter)
		arena, err := w.device.Alloc(counter.at)
		if err != nil {
			w.capacity.sequences, w.capacity.tokens, w.capacity.masked = 0, 0, 0 // the buffers have no memory
			return fmt.Errorf("memory for a pass over %d tokens: %w", b.Tokens(), err)
		}
		w.layOut(&carver{arena: arena})
	}
	return nil
}

// ownRows says that the word embeddings of the tokens are in wordRows: the batch brings them, or they are looked up in a table of
// int8, of which the device has no copy.
func (w *workspace) ownRows() bool {
	return len(w.b.Embeddings) > 0 || w.w != nil && w.w.word.ints != nil && w.b.Tokens() > 0
}

// lookUp is the rows of ids in the table of int8, [T,H].
func (w *workspace) lookUp(ids []int32) []float32 {
	h := w.m.config.HiddenSize
	w.lookedUp = slices.Grow(w.lookedUp[:0], len(ids)*h)[:len(ids)*h]
	for i, id := range ids {
		w.w.word.ints.floats(w.lookedUp[i*h:], int(id), int(id)+1)
	}
	return w.lookedUp
}

// carver cuts an arena into buffers; without an arena it counts the elements.
type carver struct {
	arena compute.Buffer
	at    int
}

func (c *carver) take(n int) compute.Buffer {
	const align = 16 // a cache line
	from := c.at
	c.at += (n + align - 1) / align * align
	if c.arena.None() {
		return compute.Buffer{}
	}
	return c.arena.Slice(from, from+n)
}

// layOut cuts the arena.
func (w *workspace) layOut(c *carver) {
	var (
		cfg     = &w.m.config
		head    = w.m.head
		info    = heads[head]
		B, T, M = w.capacity.sequences, w.capacity.tokens, w.capacity.masked
		H, W    = cfg.HiddenSize, cfg.maxAttentionWidth()
		S       = w.m.innerStride()
	)
	w.embeddingOut = c.take(T * H)
	w.embeddingMean, w.embeddingRstd = c.take(T), c.take(T)
	w.operand, w.firstOperand = compute.Buffer{}, compute.Buffer{}
	if size := w.device.OperandSize(H); size > 0 {
		w.operand, w.firstOperand = c.take(T*size), c.take(B*size)
	}
	if w.narrowOperand = (compute.Buffer{}); cfg.PrunedHeads != nil {
		size := 0
		for i := range cfg.NumHiddenLayers {
			if n := cfg.AttentionWidth(i); n < H {
				size = max(size, w.device.OperandSize(n))
			}
		}
		if size > 0 {
			w.narrowOperand = c.take(T * size)
		}
	}
	w.layers = w.layers[:0]
	if w.train {
		w.embeddingSum, w.inner = c.take(T*H), c.take(T*S)
		for i := range cfg.NumHiddenLayers {
			width := cfg.AttentionWidth(i)
			w.layers = append(w.layers, layerSpace{
				qkv: c.take(T * 3 * width), context: c.take(T * width), lse: c.take(T * cfg.Heads(i)),
				sum1: c.take(T * H), out1: c.take(T * H), pre: c.take(T * S), sum2: c.take(T * H), out2: c.take(T * H),
				mean1: c.take(T), rstd1: c.take(T), mean2: c.take(T), rstd2: c.take(T),
			})
		}
	} else {
		// All layers share one space.
		l := layerSpace{
			out1: c.take(T * H), out2: w.embeddingOut,
			mean1: w.embeddingMean, rstd1: w.embeddingRstd, mean2: w.embeddingMean, rstd2: w.embeddingRstd,
		}
		if w.device.OperandSize(H) == 0 {
			l.context = c.take(T * W)
		} // else the operand is all that is needed
		w.embeddingSum = w.embeddingOut
		for range cfg.NumHiddenLayers {
			w.layers = append(w.layers, l)
		}
	}
	if w.m.pooler {
		w.first, w.pooledPre, w.pooled, w.residual = c.take(B*H), c.take(B*H), c.take(B*H), c.take(B*H)
	}
	if info.output != "" {
		rows := w.headRows(B, T)
		w.headInput, w.logits = c.take(rows*H), c.take(rows*head.outputs(cfg))
	}
	if info.nextSentence {
		w.nextLogits = c.take(B * 2)
	}
	if info.maskedLM {
		w.masked, w.transformPre, w.transformSum, w.transformed = c.take(M*H), c.take(M*H), c.take(M*H), c.take(M*H)
		w.transformMean, w.transformRstd = c.take(M), c.take(M)
		w.maskedLogits = c.take(M * cfg.VocabSize)
	}
	if w.train {
		w.dHidden, w.dSum, w.dBranch = c.take(T*H), c.take(T*H), c.take(T*H)
		w.dInner, w.dContext, w.dQKV = c.take(T*S), c.take(T*W), c.take(T*3*W)
		operand := func(width int) (b compute.Buffer) {
			if size := w.device.OperandSize(width); size > 0 {
				b = c.take(T * size)
			}
			return b
		}
		w.branchOperand, w.dQKVOperand = operand(H), operand(3*W)
		w.innerOperand, w.dInnerOperand = operand(cfg.IntermediateSize), operand(cfg.IntermediateSize)
		w.dPooled = c.take(max(B, w.headRows(B, T)) * H)
		w.dTransformed = c.take(M * H)
	}
}

// headRows is the number of rows that go into the output layer: the tokens or the sequences.
func (w *workspace) headRows(sequences, tokens int) int {
	if heads[w.m.head].perToken {
		return tokens
	}
	return sequences
}

// operandRows is the first n rows of w.operand, or none. Each operation that computes the input of a product leaves it there, and the
// product follows before the next does.
func (w *workspace) operandRows(n int) compute.Buffer {
	return optionalRows(w.operand, n, w.device.OperandSize(w.m.config.HiddenSize))
}

// layerProbs is where the attention probabilities of a layer of so many heads go, or none.
func (w *workspace) layerProbs(heads int) compute.Buffer {
	if w.probs.None() {
		return w.probs
	}
	return w.probs.Slice(0, attentionSize(w.b, heads))
}

// optionalRows is rows of a buffer, or none of none.
func optionalRows(b compute.Buffer, n, width int) compute.Buffer {
	if b.None() {
		return b
	}
	return rows(b, n, width)
}

// rows is the first n rows of a buffer.
func rows(b compute.Buffer, n, width int) compute.Buffer { return b.Slice(0, n*width) }

// The places where dropout is applied, as numbers that differ: three in each block, one before and one after them.
func (w *workspace) embeddingDrop() compute.Drop { return w.drop(w.m.config.HiddenDropoutProb, 0) }
func (w *workspace) probsDrop(layer int) compute.Drop {
	return w.drop(w.m.config.AttentionProbsDropoutProb, 3*layer+1)
}
func (w *workspace) attentionDrop(layer int) compute.Drop {
	return w.drop(w.m.config.HiddenDropoutProb, 3*layer+2)
}
func (w *workspace) outputDrop(layer int) compute.Drop {
	return w.drop(w.m.config.HiddenDropoutProb, 3*layer+3)
}
func (w *workspace) headDrop() compute.Drop {
	if heads[w.m.head].noDropout {
		return compute.Drop{}
	}
	return w.drop(w.m.config.classifierDropout(), 3*w.m.config.NumHiddenLayers+1)
}

func (w *workspace) drop(rate float64, place int) compute.Drop {
	if !w.train || w.noDropout || rate == 0 {
		return compute.Drop{}
	}
	return compute.Drop{Rate: float32(rate), Key: mix(w.key, uint64(place))}
}

// mix joins two numbers to a third that looks random: the finalizer of splitmix64 (Steele et al., 2014) over their sum.
func mix(key, n uint64) uint64 {
	z := key + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// linear computes a dense layer of n rows of x, which operand may be as one.
func (w *workspace) linear(n int, x, operand compute.Buffer, d *dense, f compute.Activation, pre, y compute.Buffer) {
	w.op.linear = compute.Linear{
		Rows: n, X: rows(x, n, d.inStride), XStride: d.inStride, Operand: operand, W: d.matrix, Bias: d.bias, F: f,
		Pre: optionalRows(pre, n, d.outStride), Y: rows(y, n, d.outStride), YStride: d.outStride,
	}
	w.device.Linear(&w.op.linear)
}

// operands are what a layer takes or the gradient at what it gives: as numbers or as an operand. What has made a gradient an operand has
// added it to that of the layer's bias.
type operands struct{ values, operand compute.Buffer }

// weightGrad adds the gradients of a dense layer's weight and bias, from the gradient at its output and its input.
func (w *workspace) weightGrad(n int, dy compute.Buffer, d *dense, x compute.Buffer) {
	w.weightGradOf(n, operands{values: dy}, d, operands{values: x})
}

// weightGradOf is weightGrad of what may be there as operands.
func (w *workspace) weightGradOf(n int, dy operands, d *dense, x operands) {
	if w.inputOnly {
		return
	}
	bias := d.biasGrad
	if dy.values.None() {
		bias = compute.Buffer{}
	}
	w.op.linearWeightGrad = compute.LinearWeightGrad{
		Rows: n, Out: d.matrix.Out, In: d.matrix.In,
		DY: optionalRows(dy.values, n, d.outStride), DYStride: d.outStride, DYOperand: w.rowsOfOperand(dy.operand, n, d.matrix.Out),
		X: optionalRows(x.values, n, d.inStride), XStride: d.inStride, XOperand: w.rowsOfOperand(x.operand, n, d.matrix.In),
		DW: d.weightGrad, DBias: bias,
	}
	w.device.LinearWeightGrad(&w.op.linearWeightGrad)
}

// inputGrad writes the gradient at the input of a dense layer, or with add adds it.
func (w *workspace) inputGrad(n int, dy compute.Buffer, d *dense, dx compute.Buffer, add bool) {
	w.inputGradOf(n, operands{values: dy}, d, dx, add)
}

// inputGradOf is inputGrad of what may be there as an operand.
func (w *workspace) inputGradOf(n int, dy operands, d *dense, dx compute.Buffer, add bool) {
	w.op.linearInputGrad = compute.LinearInputGrad{
		Rows: n, DY: optionalRows(dy.values, n, d.outStride), DYStride: d.outStride, Operand: w.rowsOfOperand(dy.operand, n, d.matrix.Out),
		W: d.matrix, DX: rows(dx, n, d.inStride), DXStride: d.inStride, Add: add,
	}
	w.device.LinearInputGrad(&w.op.linearInputGrad)
}

// rowsOfOperand is the first n rows of an operand, or none of none.
func (w *workspace) rowsOfOperand(b compute.Buffer, n, width int) compute.Buffer {
	if b.None() {
		return b
	}
	return rows(b, n, w.device.OperandSize(width))
}
