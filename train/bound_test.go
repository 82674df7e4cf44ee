package train

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-bert/bert/internal/testbound"
)

// Events of the shortest lines take no more memory and time than the default bound.
func TestBound(t *testing.T) {
	for what, line := range map[string]string{
		"steps":       `{"event":"step","time":"2026-03-01T12:00:00Z"}` + "\n",
		"evaluations": `{"event":"evaluation","time":"2026-03-01T12:00:00Z","metrics":{"a":1}}` + "\n",
		"one line":    `{"event":"step"`,
	} {
		t.Run(what, func(t *testing.T) {
			bound := testbound.Default
			bound.PerByte = 8 // a list grows by copies
			bound.PerHundred = 20e9
			testbound.Read(t, bound, func(dir string) (string, error) {
				return dir, os.WriteFile(filepath.Join(dir, EventsFile), bytes.Repeat([]byte(line), 6_000_000/len(line)), 0o666)
			}, func(path string) error {
				_, err := ReadEvents(path)
				return err
			})
		})
	}
}
