package train

import "fmt"

// Group is the processes, called ranks, that share a run. Each has the model, the data and the recipe. They compute parts of
// each step, exchange gradients, and have the same parameters after it.
//
// Calls are collective: all ranks make the same calls in the same order. A rank makes one call at a time, but not always from the same
// goroutine. A rank whose call fails has to leave the run, since the others may wait for it: an error is the end of the group, and who
// gets one calls Abort.
//
// Memory that is passed may be part of larger memory, of parameters and gradients for instance, and is the caller's again when the
// call returns. All ranks run on machines of the same byte order.
type Group interface {
	// Rank is the number of this process, from 0 to Size()-1.
	Rank() int
	// Size is the number of processes.
	Size() int
	// Broadcast copies b of the rank root to b of all ranks. It has the same length everywhere.
	Broadcast(b []byte, root int) error
	// Exchange sends send[i] to each rank i, and fills receive[i] with what rank i sends here, this rank included. Both have Size elements;
	// what one rank sends to another has the length that the other expects, which may be 0. Elements of send may share memory with one
	// another, not with those of receive.
	Exchange(send, receive [][]byte) error
	// Sum replaces values, of the same length everywhere, by their sums over the ranks, in an order that is the group's
	// choice. All ranks get the same bits; another number of ranks may give others.
	Sum(values []float32) error
	// Barrier returns when all ranks have called it.
	Barrier() error
	// Abort ends the processes of the group, this one too where it can, and lets them say which rank failed and why. Where processes go on,
	// their calls return an error that says it. Further calls of Abort do nothing.
	Abort(reason error)
}

// RankError says that another process of the group ended the run, and why.
type RankError struct {
	Rank   int
	Reason string
}

func (e *RankError) Error() string { return fmt.Sprintf("rank %d: %s", e.Rank, e.Reason) }

// GroupError says that the processes of a run have lost one another: a call of the group has failed.
type GroupError struct {
	Rank, Size int // of this process, and of all
	Err        error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("rank %d of %d: the group of processes has failed: %v; resume the run from its last checkpoint", e.Rank, e.Size, e.Err)
}

func (e *GroupError) Unwrap() error { return e.Err }

// Agree returns nil if err is nil on all ranks. Otherwise each rank returns its own error, or a *RankError that names the first rank
// that has one. It is for what ranks do before a run that one of them may fail in. A nil group is a process alone.
func Agree(g Group, err error) error {
	return newPeers(g).agree(false, err)
}
