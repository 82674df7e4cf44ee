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

// brokenOutput names the sequence, of a batch of features, that the error of a pass is about. lengths has the number of sequences
// of each of the features.
func brokenOutput(err error, f features, indices, lengths []int) error {
	var broken *bert.NotFiniteError
	if !errors.As(err, &broken) {
		return err
	}
	at := broken.Sequence
	for i, index := range indices {
		if at >= lengths[i] {
			at -= lengths[i]
			continue
		}
		if t, ok := f.(*itemised); ok {
			index = t.starts[index] + at
		}
		plain := *broken
		plain.Sequence = -1 // of a batch that the caller knows nothing of
		return &sequenceError{index, &plain}
	}
	return err
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
