package serve

import (
	"errors"
	"strconv"
	"strings"
)

// bodyError is what is wrong with a body, as an Error; nil is nil.
func bodyError(err error) error {
	if err == nil {
		return nil
	}
	var (
		own    *Error
		field  *fieldError
		syntax *syntaxError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return &Error{Kind: BadRequest, Message: "the body is not JSON: " + syntax.Error(), Index: -1}
	case errors.As(err, &field):
		e := &Error{Kind: BadRequest, Message: field.Error(), Param: field.field, Index: indexIn(field.field)}
		if errors.Is(field.err, errEmptyList) {
			e.Kind = Empty
		}
		return e
	}
	return &Error{Kind: BadRequest, Message: err.Error(), Index: -1}
}

// indexIn is the number of the input in the name of a field such as inputs[3]; −1: there is none.
func indexIn(field string) int {
	_, after, ok := strings.Cut(field, "[")
	if !ok {
		return -1
	}
	number, _, _ := strings.Cut(after, "]")
	i, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return i
}

// read reads the body of a call with one of the functions that read bodies.
func read[T any](c *call, from func(body []byte) (T, error)) (q T, err error) {
	body, err := c.body()
	if err != nil {
		return q, err
	}
	q, err = from(body)
	return q, bodyError(err)
}
