package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-bert/bert/internal/files"
)

// ResumptionsFile is the name of the record of a run's resumptions in its folder: a line of JSON for each, in their order. A run that
// was never resumed has none. It is a file of its own because EventsFile is to be the same whether or not a run was interrupted.
const ResumptionsFile = "resumptions.jsonl"

// Resumption is a place at which a run was resumed: the steps up to Step were made before, those after it by another process.
type Resumption struct {
	Time time.Time `json:"time"`
	Step int       `json:"step"` // of the checkpoint
	// Lost is how many steps had been logged beyond the checkpoint, which the run made again.
	Lost int `json:"lost_steps,omitempty"`
}

// maxResumptions bounds ResumptionsFile. A line has some 60 bytes.
const maxResumptions = 4 << 20

// ReadResumptions reads ResumptionsFile from the folder of a run; none where it isn't there.
func ReadResumptions(dir string) ([]Resumption, error) {
	path := filepath.Join(dir, ResumptionsFile)
	content, err := files.ReadFile(path, maxResumptions)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := parseResumptions(content)
	if err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	return list, nil
}

// parseResumptions reads the content of ResumptionsFile. An error begins with the number of the line.
func parseResumptions(content []byte) ([]Resumption, error) {
	var list []Resumption
	n := 0
	for line := range bytes.Lines(content) {
		n++
		var r Resumption
		if err := json.Unmarshal(line, &r); err != nil || r.Step < 0 || r.Lost < 0 || r.Time.IsZero() {
			return nil, &eventError{n, "no resumption: want an object with time, step and lost_steps"}
		}
		list = append(list, r)
	}
	return list, nil
}

// resumption records that the run goes on from its state, if it was resumed. Resumptions beyond that are forgotten, as the events
// beyond it are: those steps are made again.
func (r *run) resumption(resumed bool) error {
	path := filepath.Join(r.o.Output, ResumptionsFile)
	list, err := ReadResumptions(r.o.Output)
	if err != nil && !errors.As(err, new(*eventError)) {
		return err // a damaged file is written anew
	}
	if !resumed && list == nil && err == nil {
		return nil
	}
	var kept []Resumption
	for _, x := range list {
		if x.Step <= r.state.Step {
			kept = append(kept, x)
		}
	}
	if !resumed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files.PathError(err)
		}
		return nil
	}
	kept = append(kept, Resumption{Time: time.Now().UTC(), Step: r.state.Step, Lost: max(0, r.reached-r.state.Step)})
	return files.PathError(files.WriteFile(path, 0o666, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, x := range kept {
			if err := e.Encode(x); err != nil {
				return err
			}
		}
		return nil
	}))
}
