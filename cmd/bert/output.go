package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/task"
)

// outputFlags are the flags for printing results. docs/output.md has the convention and the keys of every object.
type outputFlags struct {
	format *choice
	json   bool
}

func (o *outputFlags) add(cmd *cobra.Command) {
	o.format = newChoice("auto", "auto", "json", "table")
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, o.format, "format", "how to print results; auto: as a table on a terminal, otherwise as JSON")
		flags.BoolVar(&o.json, "json", false, jsonUsage)
	})
	cmd.MarkFlagsMutuallyExclusive("format", "json")
}

const jsonUsage = "print results as JSON, one object per line"

// addJSON defines --json for a command whose result is a line of text, on a terminal or not.
func addJSON(cmd *cobra.Command, json *bool) {
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(json, "json", false, jsonUsage)
	})
}

// table reports whether to print results as tables.
func (o *outputFlags) table(a *app) bool {
	switch {
	case o.json:
		return false
	case o.format.value == "auto":
		return isTerminal(a.stdout)
	}
	return o.format.value == "table"
}

// jsonLine writes v as one line of JSON. A float32 has as few digits as give the same float32 back.
func jsonLine(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return writeOut(w, b.Bytes())
}

// line is jsonLine for a struct whose lists may be long: they are written a few elements at a time, so that the line needn't be in
// memory. It may be called for one struct after another.
func (j *jsonWriter) line(v any) error {
	if err := j.value(reflect.ValueOf(v)); err != nil {
		return err
	}
	j.b = append(j.b, '\n')
	return j.flush(0)
}

// shortList is the length of a list that is marshalled at once.
const shortList = 512

// value writes a struct field by field, and a list or task.Scores of more than shortList elements in parts.
func (j *jsonWriter) value(v reflect.Value) error {
	switch list := v.Interface().(type) {
	case task.Scores:
		return j.parts(len(list), '{', '}', func(from, to int) any { return list[from:to] })
	case []float32:
		if list != nil {
			return writeList(j, list, appendFloat32)
		}
	case []string:
		if list != nil {
			return writeList(j, list, func(b []byte, s string) ([]byte, error) { return appendJSON(b, s), nil })
		}
	}
	_, marshals := v.Interface().(json.Marshaler)
	switch {
	case v.Kind() == reflect.Struct && !marshals:
		return j.fields(v)
	case v.Kind() == reflect.Slice && !v.IsNil() && (v.Type().Elem().Kind() == reflect.Slice || v.Type().Elem() == reflect.TypeFor[task.LayerStates]()):
		j.b = append(j.b, '[')
		for i := range v.Len() {
			if i > 0 {
				j.b = append(j.b, ',')
			}
			if err := j.value(v.Index(i)); err != nil {
				return err
			}
		}
		j.b = append(j.b, ']')
		return j.flush(flushBytes)
	case v.Kind() == reflect.Slice && v.Len() > shortList && v.Type().Elem().Kind() != reflect.Uint8:
		return j.parts(v.Len(), '[', ']', func(from, to int) any { return v.Slice(from, to).Interface() })
	}
	return j.marshal(v.Interface(), 0)
}

// parts writes n elements in parts, of which the JSON is that of at within brackets.
func (j *jsonWriter) parts(n int, begin, end byte, at func(from, to int) any) error {
	j.b = append(j.b, begin)
	for from := 0; from < n; from += shortList {
		if from > 0 {
			j.b = append(j.b, ',')
		}
		if err := j.marshal(at(from, min(n, from+shortList)), 1); err != nil {
			return err
		}
	}
	j.b = append(j.b, end)
	return nil
}

// writeList writes a list element by element. For a vector that takes half the time of encoding/json, which is part of the time of a
// short text.
func writeList[T any](j *jsonWriter, list []T, appendElement func([]byte, T) ([]byte, error)) error {
	j.b = append(j.b, '[')
	for i, v := range list {
		if i > 0 {
			j.b = append(j.b, ',')
		}
		var err error
		if j.b, err = appendElement(j.b, v); err != nil {
			return err
		}
		if err := j.flush(flushBytes); err != nil {
			return err
		}
	}
	j.b = append(j.b, ']')
	return nil
}

// appendFloat32 appends a number as encoding/json writes it, which is as ECMAScript does.
func appendFloat32(b []byte, f float32) ([]byte, error) {
	size := math.Abs(float64(f))
	if math.IsNaN(size) || math.IsInf(size, 0) {
		return b, &json.UnsupportedValueError{Value: reflect.ValueOf(f), Str: strconv.FormatFloat(float64(f), 'g', -1, 32)}
	}
	if size == 0 || float32(size) >= 1e-6 && float32(size) < 1e21 {
		return strconv.AppendFloat(b, float64(f), 'f', -1, 32), nil
	}
	b = strconv.AppendFloat(b, float64(f), 'e', -1, 32)
	if n := len(b); bytes.HasSuffix(b[:n-1], []byte("e-0")) { // the exponent without its zero
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b, nil
}

// marshal writes v without so many bytes at the beginning and at the end.
func (j *jsonWriter) marshal(v any, without int) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	j.b = append(j.b, text[without:len(text)-without]...)
	return j.flush(flushBytes)
}

// fields writes a struct as encoding/json does. Its fields are not embedded, and have tags.
func (j *jsonWriter) fields(v reflect.Value) error {
	j.b = append(j.b, '{')
	n := 0
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := v.Field(i)
		empty := f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0
		if name == "" || options == "omitempty" && empty || options == "omitzero" && f.IsZero() {
			continue
		}
		if n++; n > 1 {
			j.b = append(j.b, ',')
		}
		j.b = append(appendJSON(j.b, name), ':')
		if err := j.value(f); err != nil {
			return err
		}
	}
	j.b = append(j.b, '}')
	return nil
}

// quoted quotes a piece of a file for a message, cut to 60 characters.
func quoted(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*(most+1))]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

func writeOut(w io.Writer, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("stdout: %w", files.PathError(err))
	}
	return nil
}
