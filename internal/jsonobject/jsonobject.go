// Package jsonobject reads and writes JSON objects key by key, in their order. A map would lose the order, and
// encoding/json accepts a key that occurs twice.
package jsonobject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/message"
)

// maxKeys bounds the keys of an object that Parse reads: all are remembered, and no object that has names for keys has nearly so many.
const maxKeys = 1 << 16

// Parse calls visit with each key of a JSON object and its value, which is good until visit returns. A key that occurs twice, more than 65,536 keys, and anything after
// the object are errors. The error of visit ends the parse and is returned as it is.
func Parse(data []byte, visit func(key string, value json.RawMessage) error) error {
	seen := make(map[string]bool, 8)
	return Each(data, func(key string, value json.RawMessage) error {
		if seen[key] {
			return Twice(key)
		}
		if len(seen) == maxKeys {
			return fmt.Errorf("an object of more than %s keys", message.Thousands(maxKeys))
		}
		seen[key] = true
		return visit(key, value)
	})
}

// Twice is the error of a key that occurs twice in an object.
func Twice(key string) error { return fmt.Errorf("key %s twice", message.Quote(key)) }

// Each is Parse for objects of any number of keys, which the caller checks for keys that occur twice.
func Each(data []byte, visit func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	t, err := d.Token()
	if err != nil {
		return Error(err)
	}
	if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return Error(err)
		}
		key, _ := t.(string)
		var v value
		if err := d.Decode(&v); err != nil {
			return Error(err)
		}
		if err := visit(key, v.raw); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return Error(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// value is a json.RawMessage without a copy: a part of the decoder's memory.
type value struct{ raw json.RawMessage }

func (v *value) UnmarshalJSON(raw []byte) error {
	v.raw = raw
	return nil
}

// Error describes why data is not JSON, by an error of encoding/json.
func Error(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends too early")
	}
	// Such an error quotes a whole number, and speaks of Go.
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		kind, _, _ := strings.Cut(t.Value, " ")
		return fmt.Errorf("a JSON %s in a wrong place", kind)
	}
	return fmt.Errorf("not JSON: %w", err)
}

// Marshal writes an object of n keys and values in their order.
func Marshal(n int, at func(i int) (key string, value any)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		key, value := at(i)
		k, err := Value(key)
		if err != nil {
			return nil, err
		}
		v, err := Value(value)
		if err != nil {
			return nil, err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Value is json.Marshal without \u003c for <: the caller that marshals the whole decides about that.
func Value(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Number is v for Marshal: nil, which becomes null, for NaN and the infinities, which JSON doesn't have.
func Number[T float32 | float64](v T) any {
	if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return v
}

// Save writes v, indented, to a file that is whole or not there.
func Save(path string, v any) error {
	data, err := Value(v)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	return files.PathError(files.WriteFile(path, 0o666, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	}))
}
