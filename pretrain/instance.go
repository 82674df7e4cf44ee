package pretrain

// Instance is a training example (paper §3.1; google-research/bert create_pretraining_data.py, TrainingInstance): a sequence of
// one or two segments, some of whose tokens are masked.
//
// Legend: n is the number of tokens, m that of masked tokens.
type Instance struct {
	IDs     []int32 // [n]: [CLS] a [SEP] b [SEP], as the model sees them
	TypeIDs []int32 // [n]: 0 for [CLS] a [SEP], 1 for b [SEP]
	// Positions are the positions of the masked tokens, in increasing order, and MaskedIDs their original ids, both [m].
	Positions, MaskedIDs []int32
	// Next says whether b follows a in the text.
	Next Next
}

// Next is the label of next-sentence prediction. Its numbers are Google's.
type Next int8

const (
	NotPaired  Next = -1 // there is no second segment, or the set was made without next-sentence prediction
	ActualNext Next = 0  // b follows a in the document
	RandomNext Next = 1  // b is from another document
)

// Source is a collection of instances to read. Set is one that is safe for concurrent use.
type Source interface {
	// Len returns the number of instances.
	Len() int
	// Length returns the number of tokens of instance i.
	Length(i int) int
	// Instance fills to with instance i, masked for an epoch, counted from 0. If masks are stored (a static set), the epoch makes
	// no difference; in a dynamic set the masks are a function of (the set's seed, epoch, i).
	Instance(i, epoch int, to *Instance) error
}
