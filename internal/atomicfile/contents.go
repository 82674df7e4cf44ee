package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// WriteText writes a text to a file that is whole or not there. Errors have the form "path: reason".
func WriteText(path, text string) error {
	return PathFirst(WriteFile(path, 0o666, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}))
}

// WriteJSON is WriteText of v as indented JSON, in which <, > and & are as they are.
func WriteJSON(path string, v any) error {
	return PathFirst(WriteFile(path, 0o666, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}))
}

// PathFirst turns the os package's "open x: reason" into "x: reason".
func PathFirst(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
