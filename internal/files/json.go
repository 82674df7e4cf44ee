package files

import (
	"encoding/json"
	"io"

	"github.com/go-bert/bert/internal/atomicfile"
)

// WriteJSON writes v, indented and without escapes for HTML, to a file that is whole or not there.
func WriteJSON(path string, v any) error {
	return PathError(atomicfile.WriteFile(path, 0o666, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}))
}
