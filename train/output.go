package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
)

// modelFile is the file of weights that bert.Model.Save writes.
const modelFile = "model.safetensors"

// OutputError says that the folder that a new run is to write to holds a model already.
type OutputError struct {
	Output string
	// Begun says that it is the model that the run was to begin with.
	Begun bool
}

func (e *OutputError) Error() string {
	if e.Begun {
		return fmt.Sprintf("%s: this is the folder of the model to begin with: want another one to write to", e.Output)
	}
	return fmt.Sprintf("%s: there is a model in this folder: choose another, or resume its run", e.Output)
}

// ErrNoOutput says that a run has no folder to write to.
var ErrNoOutput = errors.New("there is no output folder")

// CheckOutput reports a folder that a run, which is new unless it is resumed, can't write to. model is where the model is
// that it begins with, as bert.Load takes it; "" for a new one. The error is ErrNoOutput or an *OutputError.
func CheckOutput(output string, resume bool, model string) error {
	if output == "" {
		return ErrNoOutput
	}
	if resume {
		return nil
	}
	if dir, err := bert.ModelDir(model); err == nil {
		model = dir
	}
	if from, err := os.Stat(model); err == nil {
		if to, err := os.Stat(output); err == nil && os.SameFile(from, to) {
			return &OutputError{Output: output, Begun: true}
		}
	}
	if _, err := os.Stat(filepath.Join(output, modelFile)); err == nil {
		return &OutputError{Output: output}
	}
	return nil
}
