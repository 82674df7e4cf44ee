package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// ErrorKind is what went wrong, of a closed set. Each dialect has its own words and codes for it.
type ErrorKind uint8

const (
	// BadRequest: the body or a parameter can't be read, or is of no use.
	BadRequest ErrorKind = iota
	// Empty: there is no input.
	Empty
	// Unauthorized: the key is missing or wrong.
	Unauthorized
	// UnknownModel: no model of that name is served.
	UnknownModel
	// UnknownRoute: there is nothing at that path.
	UnknownRoute
	// WrongMethod: there is something at that path, but not for this method.
	WrongMethod
	// BodyTooLarge: the body has more bytes than are read.
	BodyTooLarge
	// SlowBody: the body did not come in time.
	SlowBody
	// TooManyInputs: there are more inputs, or more tokens, than a request may have.
	TooManyInputs
	// TooLong: an input is longer than the model takes, and was not to be truncated.
	TooLong
	// BadInput: an input can't be tokenized, or isn't what the model reads.
	BadInput
	// WrongTask: the model can't do what it was asked for.
	WrongTask
	// Overloaded: too much is waiting. RetryAfter says how long that will take.
	Overloaded
	// ClientGone: nobody waits for the answer any more.
	ClientGone
	// NotFinite: the model's output is no finite number.
	NotFinite
	// Failed: the computation failed, or the program did.
	Failed
	// Loading: the model isn't there yet, or could not be loaded.
	Loading
	// Draining: the server is about to end.
	Draining
	// Deadline: the time that the request was given is over.
	Deadline
)

// statusClientGone is what is logged where nobody is there to read a status.
const statusClientGone = 499

// errorKinds has a row for each ErrorKind: its name in metrics and logs, and the status of dialects that have no other.
var errorKinds = [...]struct {
	name   string
	status int
}{
	BadRequest:    {"bad_request", http.StatusBadRequest},
	Empty:         {"empty", http.StatusBadRequest},
	Unauthorized:  {"unauthorized", http.StatusUnauthorized},
	UnknownModel:  {"unknown_model", http.StatusNotFound},
	UnknownRoute:  {"unknown_route", http.StatusNotFound},
	WrongMethod:   {"wrong_method", http.StatusMethodNotAllowed},
	BodyTooLarge:  {"body_too_large", http.StatusRequestEntityTooLarge},
	SlowBody:      {"slow_body", http.StatusRequestTimeout},
	TooManyInputs: {"too_many_inputs", http.StatusUnprocessableEntity},
	TooLong:       {"too_long", http.StatusUnprocessableEntity},
	BadInput:      {"bad_input", http.StatusUnprocessableEntity},
	WrongTask:     {"wrong_task", http.StatusBadRequest},
	Overloaded:    {"overloaded", http.StatusTooManyRequests},
	ClientGone:    {"client_gone", statusClientGone},
	NotFinite:     {"not_finite", http.StatusInternalServerError},
	Failed:        {"failed", http.StatusInternalServerError},
	Loading:       {"loading", http.StatusServiceUnavailable},
	Draining:      {"draining", http.StatusServiceUnavailable},
	Deadline:      {"deadline", http.StatusGatewayTimeout},
}

func (k ErrorKind) String() string {
	if int(k) >= len(errorKinds) {
		return fmt.Sprintf("ErrorKind(%d)", k)
	}
	return errorKinds[k].name
}

// Status is the status of HTTP that goes with the kind where a dialect has no other.
func (k ErrorKind) Status() int { return errorKinds[k].status }

// Error is why a request has no answer.
type Error struct {
	Kind    ErrorKind
	Message string // for the client, one line
	// Param is the field of the body or the query that is wrong, in the dialect's own spelling; "" where it is none.
	Param string
	// Index is the number of the input that is wrong, from 0; −1 where it is none.
	Index int
	// RetryAfter is when to try again, of Overloaded, Loading and Draining; 0: unknown.
	RetryAfter time.Duration
	// Cause is for the log. A client doesn't see it.
	Cause error
}

func (e *Error) Error() string {
	if e.Index >= 0 {
		return fmt.Sprintf("input %d: %s", e.Index, e.Message)
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// errorf makes an Error that is about no input.
func errorf(k ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...), Index: -1}
}

// param says which field an Error is about.
func (e *Error) param(name string) *Error {
	e.Param = name
	return e
}

// atInput says which input an Error is about.
func (e *Error) atInput(i int) *Error {
	own := *e
	own.Index = i
	return &own
}

// The causes with which requests are canceled.
var (
	errDraining = errors.New("the server is ending")
	errDeadline = errors.New("the time of the request is over")
)

// asError is err as an Error. Whatever it doesn't know is Failed, whose cause a client doesn't see.
func asError(err error) *Error {
	var (
		own       *Error
		wrong     *task.WrongTaskError
		input     *task.InputError
		utf8      *tokenizer.UTF8Error
		notFinite *bert.NotFiniteError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &notFinite):
		return &Error{Kind: NotFinite, Message: notFinite.Error(), Index: -1, Cause: err}
	case errors.As(err, &wrong):
		return &Error{Kind: WrongTask, Message: wrong.Reason, Index: -1, Cause: err}
	case errors.As(err, &input):
		return &Error{Kind: BadInput, Message: input.Err.Error(), Index: input.Index, Cause: err}
	case errors.As(err, &utf8):
		return &Error{Kind: BadInput, Message: utf8.Error(), Index: -1, Cause: err}
	case errors.Is(err, errDraining):
		return &Error{Kind: Draining, Message: "the server is ending: try another one", Index: -1, Cause: err}
	case errors.Is(err, errDeadline), errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Deadline, Message: "the request was not answered in the time that it was given", Index: -1, Cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Kind: ClientGone, Message: "the client is gone", Index: -1, Cause: err}
	}
	return &Error{Kind: Failed, Message: "the request could not be answered: the server's log says why, under the id of the request", Index: -1, Cause: err}
}
