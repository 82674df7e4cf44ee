package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/internal/files"
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

func writeOut(w io.Writer, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("stdout: %w", files.PathError(err))
	}
	return nil
}
