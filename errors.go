package bert

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-bert/bert/checkpoint"
)

var (
	// ErrClosed is the error of using a model, one of its sessions or a trainer after Close.
	ErrClosed = errors.New("closed")
	// ErrTrainerExists is the error of making a second trainer for a model that has one.
	ErrTrainerExists = errors.New("the model has a trainer already: close it first")
	// ErrInferenceOnly is the error of gradients, and so of training, at a precision that is for inference alone: Int8.
	ErrInferenceOnly = errors.New("gradients are computed at float32 or bf16")
	// ErrNotFinite is the error of a NaN or an infinity where a number is wanted.
	ErrNotFinite = errors.New("not a finite number")
)

// NotFiniteError is the error of an output that is no finite number: its cause is ErrNotFinite.
type NotFiniteError struct {
	Sequence int // of the batch; −1: the error that wraps this one says which
	// Tensor is the parameter that holds a NaN or an infinity, and Count the number of those in it; "" where all parameters are
	// finite, so that the computation overflowed.
	Tensor string
	Count  int
}

func (e *NotFiniteError) Error() string {
	of := ""
	if e.Sequence >= 0 {
		of = fmt.Sprintf(" of sequence %d of the batch", e.Sequence)
	}
	if e.Tensor == "" {
		return fmt.Sprintf("the output%s is %v: the computation overflowed, though all weights are finite", of, ErrNotFinite)
	}
	return fmt.Sprintf("the output%s is %v: tensor %s has %d NaN or infinite values, so the model is broken", of, ErrNotFinite, e.Tensor, e.Count)
}

// Unwrap is ErrNotFinite.
func (e *NotFiniteError) Unwrap() error { return ErrNotFinite }

// TensorReason is the kind of a TensorError.
type TensorReason uint8

const (
	// TensorMissing: the model has a parameter that the file does not.
	TensorMissing TensorReason = iota + 1
	// TensorMisshapen: the tensor has another shape than the parameter.
	TensorMisshapen
	// TensorOfWrongType: the tensor does not hold floating-point numbers, or not of the type that is wanted.
	TensorOfWrongType
	// TensorTwice: two tensors are the same parameter.
	TensorTwice
	// TensorUntied: a decoder that is not the word embedding, though the configuration ties the two.
	TensorUntied
	// HeadMissing: the file has nothing of the head, or of the pooler below it, that the model would answer with.
	HeadMissing
)

// TensorError says which tensors keep a model from being read from a file.
type TensorError struct {
	Path   string // of the model or its file; "" in Compare
	Name   string // of the tensor, in the file or, of one that is missing, in the table of parameters
	Others []string
	Reason TensorReason
	// Got and Want are shapes, of TensorMisshapen.
	Got, Want []int
	// Type is the tensor's, of TensorOfWrongType.
	Type checkpoint.DType
	// Model is what was to be read: an architecture, or "state of a trainer".
	Model string
}

// Error is one line that names the file and at most five of the tensors.
func (e *TensorError) Error() string {
	text := ""
	switch e.Reason {
	case TensorMissing:
		text = fmt.Sprintf("%s %s missing for a %s", e.tensors(), e.isAre(), e.Model)
	case TensorMisshapen:
		text = fmt.Sprintf("tensor %s has shape %v, want %v", e.Name, e.Got, e.Want)
	case TensorOfWrongType:
		text = fmt.Sprintf("tensor %s has type %v, want a floating-point type", e.Name, e.Type)
	case TensorTwice:
		text = fmt.Sprintf("%s are the same parameter", e.tensors())
	case TensorUntied:
		text = fmt.Sprintf("tensor %s differs from %s, but the configuration ties the two: if the model was trained with both, its tie_word_embeddings should be false",
			e.Name, strings.Join(e.Others, ", "))
	case HeadMissing:
		text = fmt.Sprintf("%s %s missing for a %s: the model has no such head to answer with, and has to be fine-tuned first", e.tensors(), e.isAre(), e.Model)
	}
	if e.Path != "" {
		return e.Path + ": " + text
	}
	return text
}

// tensors lists a few names: "tensors a, b, c and 9 more".
func (e *TensorError) tensors() string {
	const most = 5
	names := append([]string{e.Name}, e.Others...)
	for i := range names[:min(len(names), most)] {
		names[i] = shortName(names[i])
	}
	switch n := len(names); {
	case n == 1:
		return "tensor " + names[0]
	case n <= most:
		return "tensors " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("tensors %s and %d more", strings.Join(names[:most], ", "), n-most)
	}
}

func (e *TensorError) isAre() string {
	if len(e.Others) == 0 {
		return "is"
	}
	return "are"
}

// atPath adds the path to an error of reading a model: to a TensorError as its Path.
func atPath(path string, err error) error {
	var e *TensorError
	if errors.As(err, &e) {
		e.Path = path
		return e
	}
	var scale *TensorScaleError
	if errors.As(err, &scale) {
		scale.Path = path
		return scale
	}
	return fmt.Errorf("%s: %w", path, err)
}

// BatchError is the error of a batch that a model can't take.
type BatchError struct {
	// Batch is the batch's index among those that Backward was given, 0 of Forward.
	Batch int
	// Sequence is the sequence's index in the batch, and Token the token's in its sequence; −1 where the error concerns
	// the batch or the sequence as a whole.
	Sequence, Token int

	text  string
	cause error
}

func (e *BatchError) Error() string { return e.text }

// Unwrap is ErrNotFinite, or nil.
func (e *BatchError) Unwrap() error { return e.cause }

// badBatch is the error of a batch as a whole.
func badBatch(format string, args ...any) error {
	return &BatchError{Sequence: -1, Token: -1, text: fmt.Sprintf(format, args...)}
}

// badSequence is the error of a sequence.
func badSequence(i int, format string, args ...any) error {
	return &BatchError{Sequence: i, Token: -1, text: fmt.Sprintf("sequence %d of the batch %s", i, fmt.Sprintf(format, args...))}
}

// badToken is the error of a token.
func badToken(i, j int, format string, args ...any) error {
	return &BatchError{Sequence: i, Token: j, text: fmt.Sprintf("sequence %d of the batch, token %d: %s", i, j, fmt.Sprintf(format, args...))}
}

// inBatch notes which of several batches an error is of.
func inBatch(i int, err error) error {
	var e *BatchError
	if errors.As(err, &e) {
		e.Batch = i
	}
	return err
}
