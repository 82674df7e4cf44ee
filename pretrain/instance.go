package pretrain

// Instance is an example of pre-training (paper §3.1; google-research/bert create_pretraining_data.py, TrainingInstance): one
// or two segments as one sequence, some of whose tokens are masked.
//
// Legend: n tokens of the sequence, m of them masked.
type Instance struct {
	IDs     []int32 // [n]: [CLS] a [SEP] b [SEP], as the model sees them
	TypeIDs []int32 // [n]: 0 for [CLS] a [SEP], 1 for b [SEP]
	// Positions are the masked tokens, rising, and MaskedIDs the ids that stood there, both [m].
	Positions, MaskedIDs []int32
	// Next says how b came to stand behind a.
	Next Next
}

// Next is the label of next-sentence prediction. Its numbers are Google's.
type Next int8

const (
	NotPaired  Next = -1 // there is no second segment, or the set was made without next-sentence prediction
	ActualNext Next = 0  // b follows a in the document
	RandomNext Next = 1  // b is from another document
)

// Source is a set of instances that training reads. Set, which Open gives, is one; it is safe for many goroutines.
type Source interface {
	// Len is the number of instances.
	Len() int
	// Length is the number of tokens of instance i.
	Length(i int) int
	// Instance fills to with instance i, as it is masked in an epoch (from 0). Where masks are stored (a static set) the
	// epoch makes no difference; in a dynamic set the masks are a function of (the set's seed, epoch, i).
	Instance(i, epoch int, to *Instance) error
}
