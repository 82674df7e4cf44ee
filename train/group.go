package train

// Group is the processes, called ranks, that share a run. Each has the model, the data and the recipe. They compute parts of
// each step, exchange gradients, and have the same parameters after it.
//
// Calls are collective: all ranks make the same calls in the same order, and one of them makes one call at a time. A rank
// whose call fails has to leave the run, since the others may wait for it: an error is the end of the group.
type Group interface {
	// Rank is the number of this process, from 0 to Size()-1.
	Rank() int
	// Size is the number of processes.
	Size() int
	// Broadcast copies b of the rank root to b of all ranks. It has the same length everywhere.
	Broadcast(b []byte, root int) error
	// Exchange sends send[i] to each rank i, and fills receive[i] with what rank i sends here. Both have Size elements; what
	// one rank sends to another has the length that the other expects, which may be 0.
	Exchange(send, receive [][]byte) error
	// Sum replaces values, of the same length everywhere, by their sums over the ranks, in an order that is the group's
	// choice. All ranks get the same bits; another number of ranks may give others.
	Sum(values []float32) error
	// Barrier returns when all ranks have called it.
	Barrier() error
	// Abort ends the processes of the group, this one too where it can, and lets them say which rank failed and why.
	Abort(reason error)
}
