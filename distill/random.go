package distill

// The purposes of random numbers. Each has its own streams.
const (
	forProjections uint64 = iota + 0xd157 // by name: the first values
	forMasks                              // by epoch and line: what is masked
	forHolding                            // by line: whether it is held out
	forWords                              // by copy and example: which words of an augmented example are replaced, and by which
)
