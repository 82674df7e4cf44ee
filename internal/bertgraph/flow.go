package bertgraph

// kind is what a value of the graph holds, as far as its weights are concerned.
type kind uint8

const (
	embedded    kind = iota + 1 // rows of the embedding tables, or sums of them
	hidden                      // after a LayerNorm
	first                       // the first tokens' hidden states
	product                     // of a dense layer, also after its activation
	pooled                      // the pooler's vectors
	sum                         // of a dense layer and what it was added to
	scores                      // of queries and keys
	context                     // of scores and values
	norming                     // in a LayerNorm of several operators, after its gain
	transformed                 // after the masked LM's LayerNorm
)

// A flow is what is known of a value that the graph computes. Values that come from one another by operators that have no
// weights share their flow.
type flow struct {
	kind   kind
	layer  int // the block that it goes into, or that it is in
	middle bool
	lin    *linear // of product and sum
	tables []*table
	q, k   *flow // of scores
	base   *flow // of norming: what is normalized
	gain   *array
	after  *flow // of norming: the result, once it is known
	// Hidden states whose columns are multiplied by a constant, before they are rounded to integers: what they were, and the constant.
	unscaled *flow
	columns  *array
}

// A linear is a dense layer.
type linear struct {
	input  *flow
	weight *array // [out, in]
	bias   *array // [out], or nil
	name   string // once it is known
	// quantized: the product of integers, which wait for their scale. axis is that of the outputs in stored.
	stored *array
	zero   *array
	axis   int
	turned bool // stored is [in, out]
	// columns are what the columns of its input were multiplied by, or nil.
	columns *array
}

// A table is a matrix of which rows are taken.
type table struct {
	rows   *array
	of     source // of the numbers of the rows
	folded bool   // the rows are a constant of the graph, without numbers
}

// source is the input of the graph that a value comes from.
type source uint8

const (
	nowhere  source = iota // constants and shapes
	tokenIDs               // input_ids
	typeIDs                // token_type_ids
	others                 // the mask, or several
)

// value is a value of the graph.
type value struct {
	constant *array
	flow     *flow
	source   source
	raw      bool   // the product of a dense layer, to which its bias may be added yet
	scale    *array // the scale of a weight, times one that depends on the input
	// rowScales are the scales of a table of embeddings, of which those of the rows were taken.
	rowScales *array
}
