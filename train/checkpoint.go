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

	// Interrupted says that the checkpoint was written because the run was interrupted, at a step at which an undisturbed run
	// writes none. It is removed once there is another.
	Interrupted bool `json:"interrupted,omitempty"`

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

// mostStateBytes is more than any state.json has.
const mostStateBytes = 16 << 20

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

const (
	checkpointsName = "checkpoints" // in the folder of the run
	stepPrefix      = "step-"
)

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

// save writes a checkpoint, in the place of another of the same step if there is one. It builds the checkpoint under a
// temporary name, which it removes after an error.
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
	temp := files.TempName(path)
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
	if err := files.WriteFile(filepath.Join(temp, stateName), 0o666, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}); err != nil {
		return files.PathError(err)
	}
	if err := c.remove(s.Step); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return files.PathError(err)
	}
	return files.SyncDir(string(c))
}

// remove removes a checkpoint, if it is there. It is renamed first, so that a folder with the name of a checkpoint is always
// complete.
func (c checkpoints) remove(step int) error {
	temp := files.TempName(c.path(step))
	switch err := os.Rename(c.path(step), temp); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", c.path(step), errors.Unwrap(err))
	}
	return files.PathError(os.RemoveAll(temp))
}

// A damageError says that a checkpoint is not as it was written, unlike an error of a system that can't read it now.
type damageError struct{ error }

func (e damageError) Unwrap() error { return e.error }

// readState returns the state of a checkpoint.
func (c checkpoints) readState(step int) (*state, error) {
	path := filepath.Join(c.path(step), stateName)
	text, err := files.ReadFile(path, mostStateBytes)
	var (
		size *files.SizeError
		kind *files.KindError
	)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &size), errors.As(err, &kind):
		return nil, damageError{err}
	case err != nil:
		return nil, err
	}
	s, err := unseal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Step != step {
		return nil, damageError{fmt.Errorf("%s belongs to step %d", path, s.Step)}
	}
	return s, nil
}

// read returns the state of a checkpoint, after verifying its size and hashes. What is damaged is a damageError.
func (c checkpoints) read(step int) (*state, error) {
	s, err := c.readState(step)
	if err != nil {
		return nil, err
	}
	tensors := c.tensors(step)
	switch size, hash, err := hashFile(tensors); {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, new(*files.KindError)):
		return nil, damageError{err}
	case err != nil:
		return nil, err
	case size != s.StateBytes:
		return nil, damageError{fmt.Errorf("%s has %d bytes, want %d", tensors, size, s.StateBytes)}
	case hash != s.StateSHA256:
		return nil, damageError{fmt.Errorf("%s: its contents have changed since it was written", tensors)}
	}
	return s, nil
}

func (c checkpoints) tensors(step int) string { return filepath.Join(c.path(step), tensorsName) }

// usable reads the newest checkpoint from which a run can be resumed: it is whole, and so is that of the best model that it
// refers to, unless that is of step model, which needs no other. It returns nil if there is none. damaged lists what is
// wrong with newer checkpoints.
func (c checkpoints) usable(model int) (found *state, damaged []string, err error) {
	steps, err := c.list()
	if err != nil {
		return nil, nil, err
	}
	for _, step := range slices.Backward(steps) {
		s, err := c.read(step)
		what := ""
		if err == nil && s.Best != nil && s.Best.Step != step && step != model {
			what = fmt.Sprintf("its best model's, %s: ", c.path(s.Best.Step))
			_, err = c.read(s.Best.Step)
		}
		switch {
		case err == nil:
			return s, damaged, nil
		case !errors.As(err, new(damageError)):
			return nil, nil, fmt.Errorf("checkpoint %s can't be read: %s%w", c.path(step), what, err)
		}
		damaged = append(damaged, fmt.Sprintf("%s (%s%v)", c.path(step), what, err))
	}
	return nil, damaged, nil
}

// superfluous lists the checkpoints that a run does not need: all except the keep newest (0: all) and those of the best
// models that step best and the kept ones refer to, and of interrupted runs all but the newest checkpoint. Once a run has
// ended, the model of step best alone is needed beside the newest.
func (c checkpoints) superfluous(keep, best int, ended bool) ([]int, error) {
	steps, err := c.list()
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	var (
		needed  = map[int]bool{best: true}
		kept    = 0
		newest  = steps[len(steps)-1]
		regular = keep
	)
	if regular == 0 {
		regular = len(steps)
	}
	for _, step := range slices.Backward(steps) {
		s, err := c.readState(step)
		if err != nil {
			s = new(state) // a damaged one counts like the others: when the run is resumed it is found out
		}
		switch {
		case s.Interrupted && (step != newest || ended):
			continue
		case !s.Interrupted && kept == regular:
			continue
		case !s.Interrupted:
			kept++
		}
		needed[step] = true
		if s.Best != nil && !ended {
			needed[s.Best.Step] = true
		}
	}
	return slices.DeleteFunc(steps, func(step int) bool { return needed[step] }), nil
}

// removeEmpty removes the folder if there is nothing in it, as where the only checkpoint was one of an interruption.
func (c checkpoints) removeEmpty() error {
	entries, err := os.ReadDir(string(c))
	if err == nil && len(entries) == 0 {
		err = os.Remove(string(c))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return files.PathError(err)
}

// removeAll removes checkpoints.
func (c checkpoints) removeAll(steps []int) error {
	for _, step := range steps {
		if err := c.remove(step); err != nil {
			return err
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
		return nil, damageError{fmt.Errorf("not the JSON of a checkpoint: %w", err)}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, f.State); err != nil {
		return nil, damageError{errors.New("it contains no state")}
	}
	if sum := sha256.Sum256(compact.Bytes()); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, damageError{errors.New("its contents have changed since it was written")}
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
	f, err := files.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err != nil {
		return 0, "", files.PathError(err)
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
