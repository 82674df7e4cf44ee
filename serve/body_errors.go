package serve

import "errors"

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
		e := &Error{Kind: BadRequest, Message: field.Error(), Param: field.field, Index: -1} // the field has the number of the input
		if errors.Is(field.err, errEmptyList) {
			e.Kind = Empty
		}
		return e
	}
	return &Error{Kind: BadRequest, Message: err.Error(), Index: -1}
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
