package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
)

// EventsFile is the name of a run's events in its folder: a line of JSON for each, in their order.
const EventsFile = eventsName

// Events is what EventsFile says of a run.
type Events struct {
	// Started is when the run began, and Options are what decides its result, by name. A file without its first line, as a run
	// that was killed at once leaves, has neither.
	Started  time.Time
	Options  map[string]string
	Steps    int // of the whole run
	Examples int // in the data

	Logged      []LoggedStep
	Evaluations []LoggedEvaluation
	Result      *Result       // nil: the run has not ended
	Elapsed     time.Duration // of the last start of the run; 0: the run has not ended
	// Cut says that the last line is not whole: the run was killed while it wrote, or is writing.
	Cut bool

	// Resumptions are those of ResumptionsFile, which ReadEvents reads too.
	Resumptions []Resumption
}

// LoggedStep is a line of EventsFile about the steps since the one before.
type LoggedStep struct {
	Time              time.Time      `json:"time"`
	Step              int            `json:"step"`
	Epoch             float64        `json:"epoch"`
	Loss              float64        `json:"loss"`  // the mean over these steps
	Terms             metric.Metrics `json:"terms"` // of the last of them, with an Objective
	LearningRate      float64        `json:"learning_rate"`
	GradNorm          float64        `json:"grad_norm"` // of the last of them, before clipping
	Examples          int64          `json:"examples"`  // trained on so far
	Tokens            int64          `json:"tokens"`
	ExamplesPerSecond float64        `json:"examples_per_second"`
	TokensPerSecond   float64        `json:"tokens_per_second"`
	ShareOfPeak       float64        `json:"share_of_peak"` // 0: unknown
}

// LoggedEvaluation is a line of EventsFile about an evaluation.
type LoggedEvaluation struct {
	Time time.Time
	Step int
	// Epoch is the number of passes over the data so far.
	Epoch      float64
	Evaluation Evaluation
	Best       bool // the best so far
	Elapsed    time.Duration
}

// maxEventLine bounds a line of the events. The longest is the first, with the options.
const maxEventLine = 1 << 20

// ReadEvents reads the events of a run from its folder, also of one that is under way or was killed. Where there are none the error
// is an fs.ErrNotExist; a line that is no event's is an error that names it.
func ReadEvents(dir string) (*Events, error) {
	path := filepath.Join(dir, EventsFile)
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := ParseEvents(f)
	if err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	if e.Resumptions, err = ReadResumptions(dir); err != nil {
		return nil, err
	}
	return e, nil
}

// eventError is what is wrong with a line. It follows the name of the file.
type eventError struct {
	line int
	text string
}

func (e *eventError) Error() string { return fmt.Sprintf(":%d: %s", e.line, e.text) }

// ParseEvents reads the content of EventsFile. An error begins with the number of the line.
func ParseEvents(r io.Reader) (*Events, error) {
	var (
		out = new(Events)
		b   = bufio.NewReaderSize(r, maxEventLine)
	)
	for n := 1; ; n++ {
		line, err := b.ReadSlice('\n')
		switch {
		case err == io.EOF:
			out.Cut = len(line) > 0
			return out, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, &eventError{n, "longer than any line of a run's events"}
		case err != nil:
			return nil, fmt.Errorf(": %w", files.PathError(err))
		}
		if text := out.add(line); text != "" {
			return nil, &eventError{n, text}
		}
	}
}

// add reads a line, and says what is wrong with it.
func (e *Events) add(line []byte) (wrong string) {
	var kind struct {
		Event string    `json:"event"`
		Time  time.Time `json:"time"`
	}
	if !json.Valid(line) {
		return "not JSON: want a line of a run's events"
	}
	if json.Unmarshal(line, &kind) != nil {
		return "not an event: want an object with event and time"
	}
	const bad = "a value of another type than this event has"
	switch kind.Event {
	case startLine:
		var start struct {
			Steps    int               `json:"steps"`
			Examples int               `json:"examples"`
			Options  map[string]string `json:"options"`
		}
		if json.Unmarshal(line, &start) != nil {
			return bad
		}
		e.Started, e.Steps, e.Examples, e.Options = kind.Time, start.Steps, start.Examples, start.Options
	case stepLine:
		var s LoggedStep
		if json.Unmarshal(line, &s) != nil {
			return bad
		}
		e.Logged = append(e.Logged, s)
	case evaluationLine:
		var v struct {
			Step    int     `json:"step"`
			Epoch   float64 `json:"epoch"`
			Best    bool    `json:"best"`
			Seconds float64 `json:"seconds"`
			evaluationJSON
		}
		if json.Unmarshal(line, &v) != nil {
			return bad
		}
		e.Evaluations = append(e.Evaluations, LoggedEvaluation{
			Time: kind.Time, Step: v.Step, Epoch: v.Epoch, Best: v.Best, Elapsed: duration(v.Seconds),
			Evaluation: v.evaluation(),
		})
	case endLine:
		var end struct {
			Result
			Seconds float64 `json:"seconds"`
		}
		if json.Unmarshal(line, &end) != nil {
			return bad
		}
		e.Result, e.Elapsed = &end.Result, duration(end.Seconds)
	case "":
		return "not an event: want an object with event and time"
	}
	return "" // also of an event that a newer version may write
}

// duration is a number of seconds, 0 for one that is none.
func duration(seconds float64) time.Duration {
	if !(seconds > 0 && seconds < 1e9) {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
