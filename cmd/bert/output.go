package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// outputFlags say how results are printed.
type outputFlags struct {
	format *choice
	json   bool
}

func (o *outputFlags) add(cmd *cobra.Command) {
	o.format = newChoice("auto", "auto", "json", "table")
	addChoice(cmd, o.format, "format", "how results are printed; auto: tables on a terminal, else JSON, a line each")
	cmd.Flags().BoolVar(&o.json, "json", false, "the same as --format json")
	cmd.MarkFlagsMutuallyExclusive("format", "json")
}

// table says whether results are printed as tables.
func (o *outputFlags) table(a *app) bool {
	switch {
	case o.json:
		return false
	case o.format.value == "auto":
		return isTerminal(a.stdout)
	}
	return o.format.value == "table"
}

// jsonLine writes v as one line of JSON. float32 values get the fewest digits that give the same float32 back.
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
		return fmt.Errorf("stdout: %w", pathError(err))
	}
	return nil
}
