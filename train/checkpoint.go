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
	"github.com/go-bert/bert/internal/files"
)

// state is the content of a checkpoint besides the parameters and moments: everything on which the rest of the run depends, and
// the sums for its result and log. The order of the examples and the dropout depend only on the step.
type state struct {
	Format int     `json:"format"`
	Step   int     `json:"step"` // steps done
	Epoch  float64 `json:"epoch"`
	// Examples and Tokens are those trained on so far; LossSum is the sum of the losses of all steps.
	Examples int64   `json:"examples"`
	Tokens   int64   `json:"tokens"`
	LossSum  float64 `json:"loss_sum"`
	// The number of steps since the last logged one, and the sum of their losses.
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

// stateFormat is incremented when the meaning of state.json changes.
const stateFormat = 1

// The files of a checkpoint.
const (
	tensorsName = "state.safetensors"
	stateName   = "state.json"
)

// sealed is the content of state.json: a state and its hash, which reveals damage.
type sealed struct {
	SHA256 string          `json:"sha256"` // of State without white space
	State  json.RawMessage `json:"state"`
}

// checkpoints is the folder of a run's checkpoints. Each is a subfolder step-N, which is either complete or absent.
type checkpoints string

const stepPrefix = "step-"

func (c checkpoints) path(step int) string {
	return filepath.Join(string(c), stepPrefix+strconv.Itoa(step))
}

// list returns the steps of all checkpoints in increasing order.
func (c checkpoints) list() ([]int, error) {
	entries, err := os.ReadDir(string(c))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, files.PathError(err)
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

// save writes a checkpoint. It builds the checkpoint under a temporary name, which it removes after an error.
func (c checkpoints) save(t trainer, s *state) (err error) {
	path := c.path(s.Step)
	defer func() {
		if err != nil {
			err = fmt.Errorf("can't write checkpoint %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(string(c), 0o777); err != nil {
		return files.PathError(err)
	}
	temp := atomicfile.TempName(path)
	if err := os.Mkdir(temp, 0o777); err != nil {
		return files.PathError(err)
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
		return files.PathError(err)
	}
	if err := os.Rename(temp, path); err != nil {
		return files.PathError(err)
	}
	return atomicfile.SyncDir(string(c))
}

// read returns the state of a checkpoint, after verifying its size and hashes.
func (c checkpoints) read(step int) (*state, error) {
	text, err := os.ReadFile(filepath.Join(c.path(step), stateName))
	if err != nil {
		return nil, files.PathError(err)
	}
	s, err := unseal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.path(step), stateName), err)
	}
	if s.Step != step {
		return nil, fmt.Errorf("%s belongs to step %d", filepath.Join(c.path(step), stateName), s.Step)
	}
	tensors := c.tensors(step)
	switch size, hash, err := hashFile(tensors); {
	case err != nil:
		return nil, err
	case size != s.StateBytes:
		return nil, fmt.Errorf("%s has %d bytes, want %d", tensors, size, s.StateBytes)
	case hash != s.StateSHA256:
		return nil, fmt.Errorf("%s: its contents have changed since it was written", tensors)
	}
	return s, nil
}

func (c checkpoints) tensors(step int) string { return filepath.Join(c.path(step), tensorsName) }

// newest reads the newest checkpoint. It returns nil if there is none.
func (c checkpoints) newest() (*state, error) {
	steps, err := c.list()
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	last := steps[len(steps)-1]
	s, err := c.read(last)
	if err != nil {
		before := "start over"
		if len(steps) > 1 {
			before = "resume from " + c.path(steps[len(steps)-2])
		}
		return nil, fmt.Errorf("checkpoint %s is damaged: %w; remove the folder to %s", c.path(last), err, before)
	}
	return s, nil
}

// prune removes all checkpoints except the keep newest and that of step best. keep = 0 keeps all.
func (c checkpoints) prune(keep, best int) error {
	steps, err := c.list()
	if err != nil || keep == 0 {
		return err
	}
	for i, step := range steps {
		if i >= len(steps)-keep || step == best {
			continue
		}
		// Renamed first, so that a folder with the name of a checkpoint is always complete.
		temp := atomicfile.TempName(c.path(step))
		if err := os.Rename(c.path(step), temp); err != nil {
			return files.PathError(err)
		}
		if err := os.RemoveAll(temp); err != nil {
			return files.PathError(err)
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

// unseal decodes the output of seal.
func unseal(text []byte) (*state, error) {
	var f sealed
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("not the JSON of a checkpoint: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, f.State); err != nil {
		return nil, errors.New("it contains no state")
	}
	if sum := sha256.Sum256(compact.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, errors.New("its contents have changed since it was written")
	}
	var s state
	if err := json.Unmarshal(compact.Bytes(), &s); err != nil {
		return nil, err
	}
	if s.Format != stateFormat {
		return nil, fmt.Errorf("it has format %d, want %d", s.Format, stateFormat)
	}
	return &s, nil
}

// hashFile returns the size and the SHA-256 of a file.
func hashFile(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", files.PathError(err)
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return 0, "", files.PathError(err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
