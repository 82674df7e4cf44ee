package task

import (
	"errors"
	"fmt"

	"github.com/go-bert/bert"
)

// sequenceError is the error of a sequence whose output is no finite number.
type sequenceError struct {
	sequence int // among those of all inputs, or the number of the example
	err      error
}

func (e *sequenceError) Error() string { return fmt.Sprintf("sequence %d: %v", e.sequence, e.err) }
func (e *sequenceError) Unwrap() error { return e.err }

// brokenOutput names the sequence that the error of a pass over a batch is about. indices are those of the batch's sequences.
func brokenOutput(err error, indices []int) error {
	var broken *bert.NotFiniteError
	if !errors.As(err, &broken) || broken.Sequence < 0 || broken.Sequence >= len(indices) {
		return err
	}
	plain := *broken
	plain.Sequence = -1 // of a batch that the caller knows nothing of
	return &sequenceError{indices[broken.Sequence], &plain}
}

// atInput names the input that such an error is about.
func atInput(err error, inputs []prepared) error {
	var e *sequenceError
	if !errors.As(err, &e) {
		return err
	}
	at := e.sequence
	for i := range inputs {
		if at < len(inputs[i].sequences) {
			return &InputError{i, e.err}
		}
		at -= len(inputs[i].sequences)
	}
	return err
}
