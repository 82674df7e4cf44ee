package jsonobject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-bert/bert/internal/message"
)

// Limits on a value that Field reads.
const (
	maxValue = 1 << 16 // bytes of a number or a text
	maxList  = 1 << 16 // elements of a list of texts
)

var errTooLong = errors.New("too long")

// Field reads the value of a key into field, a pointer. The error gives the key, the beginning of the value, and what it should be.
func Field(key string, value json.RawMessage, field any) error {
	var err error
	switch field.(type) {
	case *string, *int, *float64, *bool:
		if len(value) > maxValue {
			err = errTooLong
		}
	case *[]string:
		if bytes.Count(value, []byte(",")) > maxList {
			return fmt.Errorf("%s: more than %s", message.Cut(key), message.Thousands(maxList))
		}
	}
	if err == nil {
		err = json.Unmarshal(value, field)
	}
	if err == nil {
		return nil
	}
	want := ""
	switch field.(type) {
	case *string:
		want = "a string"
	case *int:
		want = "a whole number"
	case *float64:
		want = "a number"
	case *bool:
		want = "true or false"
	case *[]string:
		want = "a list of strings"
	default:
		// A type with an UnmarshalJSON, whose error says it, but for those of encoding/json, which quote the whole value.
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			return fmt.Errorf("%s is %s, which has a %s in a wrong place", key, message.Quote(string(value)), message.Cut(t.Value))
		}
		return fmt.Errorf("%s: %w", key, err)
	}
	return fmt.Errorf("%s is %s, want %s", message.Cut(key), message.Quote(string(value)), want)
}
