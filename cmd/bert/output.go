package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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

// jsonStream is jsonLine for a struct whose lists may be long: they are written a few elements at a time, so that the line needn't
// be in memory.
func jsonStream(w io.Writer, v any) error {
	out := &jsonWriter{w: w}
	if err := out.value(reflect.ValueOf(v)); err != nil {
		return err
	}
	out.b = append(out.b, '\n')
	return out.flush(0)
}

// shortList is the length of a list that is marshalled at once.
const shortList = 512

// value writes a struct field by field, and a list or task.Scores of more than shortList elements in parts.
func (j *jsonWriter) value(v reflect.Value) error {
	if scores, ok := v.Interface().(task.Scores); ok {
		return j.parts(len(scores), '{', '}', func(from, to int) any { return scores[from:to] })
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
