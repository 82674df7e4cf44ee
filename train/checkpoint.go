package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/atomicfile"
)

// state is what a checkpoint holds beside the parameters and moments: everything that the rest of the run depends on,
// and the sums that its result and its log have. The order of the examples and the dropout need only the step.
type state struct {
	Format int     `json:"format"`
	Step   int     `json:"step"` // steps made
	Epoch  float64 `json:"epoch"`
	// Examples and Tokens were trained on so far; LossSum is the sum of the losses of all steps.
	Examples int64   `json:"examples"`
	Tokens   int64   `json:"tokens"`
	LossSum  float64 `json:"loss_sum"`
	// The steps since the last that was logged, and the sum of their losses.
	UnloggedSteps   int     `json:"unlogged_steps"`
	UnloggedLossSum float64 `json:"unlogged_loss_sum"`

	Last *evaluated `json:"last_evaluation,omitempty"`
	Best *evaluated `json:"best_evaluation,omitempty"`
	// NotBetter counts the evaluations since Best.
	NotBetter int `json:"evaluations_since_best"`

	EventsBytes int64             `json:"events_bytes"` // size of the events file at this step
	Options     map[string]string `json:"options"`      // as in Started

	StateBytes  int64  `json:"state_bytes"`
	StateSHA256 string `json:"state_sha256"`
}

// evaluated is an evaluation and the number of steps before it.
type evaluated struct {
	Step       int        `json:"step"`
	Evaluation Evaluation `json:"evaluation"`
}

// stateFormat is raised when a state.json no longer means the same.
const stateFormat = 1

// The files of a checkpoint.
const (
	tensorsName = "state.safetensors"
	stateName   = "state.json"
)

// sealed is state.json: a state, and a hash by which damage is seen.
type sealed struct {
	SHA256 string          `json:"sha256"` // of State without white space
	State  json.RawMessage `json:"state"`
}

// checkpoints is the folder of a run's checkpoints. Each is a folder step-N in it, which is either whole or not there.
type checkpoints string

const stepPrefix = "step-"

func (c checkpoints) path(step int) string {
	return filepath.Join(string(c), stepPrefix+strconv.Itoa(step))
}

// list is the steps of all checkpoints, rising.
func (c checkpoints) list() ([]int, error) {
	entries, err := os.ReadDir(string(c))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, pathError(err)
	}
	var steps []int
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), stepPrefix)
		if step, err := strconv.Atoi(number); ok && err == nil && e.Name() == stepPrefix+strconv.Itoa(step) && e.IsDir() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// save writes a checkpoint. It is built under a temporary name, which is gone after an error.
func (c checkpoints) save(t trainer, s *state) (err error) {
	path := c.path(s.Step)
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint %s could not be written: %w", path, err)
		}
	}()
	if err := os.MkdirAll(string(c), 0o777); err != nil {
		return pathError(err)
	}
	temp := atomicfile.TempName(path)
	if err := os.Mkdir(temp, 0o777); err != nil {
		return pathError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	tensors := filepath.Join(temp, tensorsName)
	if err := t.WriteState(tensors, map[string]string{"step": strconv.Itoa(s.Step)}); err != nil {
		return err
	}
	s.Format = stateFormat
	if s.StateBytes, s.StateSHA256, err = hashFile(tensors); err != nil {
		return err
	}
	text, err := seal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(temp, stateName), 0o666, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}); err != nil {
		return pathError(err)
	}
	if err := os.Rename(temp, path); err != nil {
		return pathError(err)
	}
	return atomicfile.SyncDir(string(c))
}

// read gives the state of a checkpoint, after making sure that it is as it was written.
func (c checkpoints) read(step int) (*state, error) {
	text, err := os.ReadFile(filepath.Join(c.path(step), stateName))
	if err != nil {
		return nil, pathError(err)
	}
	s, err := unseal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.path(step), stateName), err)
	}
	if s.Step != step {
		return nil, fmt.Errorf("%s is that of step %d", filepath.Join(c.path(step), stateName), s.Step)
	}
	tensors := c.tensors(step)
	switch size, hash, err := hashFile(tensors); {
	case err != nil:
		return nil, err
	case size != s.StateBytes:
		return nil, fmt.Errorf("%s has %d bytes, %d were written", tensors, size, s.StateBytes)
	case hash != s.StateSHA256:
		return nil, fmt.Errorf("%s: its contents have changed since it was written", tensors)
	}
	return s, nil
}

func (c checkpoints) tensors(step int) string { return filepath.Join(c.path(step), tensorsName) }

// newest reads the newest checkpoint; it is nil where there is none.
func (c checkpoints) newest() (*state, error) {
	steps, err := c.list()
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	last := steps[len(steps)-1]
	s, err := c.read(last)
	if err != nil {
		before := "begin anew"
		if len(steps) > 1 {
			before = "go on from " + c.path(steps[len(steps)-2])
		}
		return nil, fmt.Errorf("checkpoint %s is damaged: %w; remove the folder to %s", c.path(last), err, before)
	}
	return s, nil
}

// prune removes all checkpoints but the newest and that of the best step. keep is the number of the newest, 0 for all.
func (c checkpoints) prune(keep, best int) error {
	steps, err := c.list()
	if err != nil || keep == 0 {
		return err
	}
	for i, step := range steps {
		if i >= len(steps)-keep || step == best {
			continue
		}
		// Under a temporary name first: what stands under the name of a checkpoint is whole.
		temp := atomicfile.TempName(c.path(step))
		if err := os.Rename(c.path(step), temp); err != nil {
			return pathError(err)
		}
		if err := os.RemoveAll(temp); err != nil {
			return pathError(err)
		}
	}
	return nil
}

// seal encodes a state with its hash.
func seal(s *state) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	out, err := json.MarshalIndent(sealed{hex.EncodeToString(sum[:]), text}, "", "  ")
	return append(out, '\n'), err
}

// unseal reads what seal wrote.
func unseal(text []byte) (*state, error) {
	var f sealed
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("not the JSON of a checkpoint: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, f.State); err != nil {
		return nil, errors.New("there is no state in it")
	}
	if sum := sha256.Sum256(compact.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, errors.New("its contents have changed since it was written")
	}
	var s state
	if err := json.Unmarshal(compact.Bytes(), &s); err != nil {
		return nil, err
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("it has format %d, this program reads %d", s.Format, stateFormat)
	}
	return &s, nil
}

// hashFile is the size and the SHA-256 of a file.
func hashFile(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", pathError(err)
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return 0, "", pathError(err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
