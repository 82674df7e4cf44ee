package train

import (
	"encoding/json"
	"math"
	"time"

	"github.com/go-bert/bert/metric"
)

// Event is something that happened in a run: Started, Stepped, Evaluating, Evaluated, Saved, Note or Ended.
type Event interface{ isEvent() }

// Observer hears of what happens in a run, on the goroutine of Run.
type Observer func(Event)

// Started is the first event.
type Started struct {
	Step     int     // steps done before this run was resumed
	Steps    int     // of the whole run
	Epoch    float64 // passes over the data before this run was resumed
	Examples int     // in the data
	// Evaluations are those made before this run was resumed, as its events record them, without how long they took.
	Evaluations []Evaluated
	// Checkpoint is the folder of the checkpoint from which the run is resumed, or "".
	Checkpoint string
	// Options are what decides the result, by name, with Options.Fingerprint among them.
	Options map[string]string
}

// Stepped follows every step.
type Stepped struct {
	Step, Steps int
	Epoch       float64 // passes over the data so far
	Loss        float64 // of this step
	// Terms are the parts of Loss that an Objective adds to the loss of the labels; nil without one.
	Terms        metric.Metrics
	MeanLoss     float64 // over the steps since the last logged one
	LearningRate float64
	GradNorm     float64 // before clipping
	Examples     int64   // trained on so far
	Tokens       int64
	Logged       bool // every Recipe.LogSteps, and the last

	// The speeds are smoothed over the last steps, without the time for evaluations and checkpoints.
	ExamplesPerSecond, TokensPerSecond float64
	// OperationsPerSecond counts operations by Options.Operations; 0 without it.
	OperationsPerSecond float64
	// ShareOfPeak is OperationsPerSecond divided by Options.Peak; 0 if that is unknown.
	ShareOfPeak float64
	Left        time.Duration // estimated
}

// Evaluating says how far an evaluation is, as often as the Evaluator does.
type Evaluating struct {
	Step, Steps int // of the run
	Done, All   int // examples
}

// Evaluated follows every evaluation.
type Evaluated struct {
	Step, Steps int
	Epoch       float64
	Evaluation  Evaluation
	Best        bool // the best so far, by Recipe.BestMetric
	Elapsed     time.Duration
}

// Saved follows every checkpoint.
type Saved struct {
	Step, Steps int
	Checkpoint  string // its folder
	Elapsed     time.Duration
}

// Note is a message for the user.
type Note struct {
	Text string
	// Warning says that something is not as it should be.
	Warning bool
}

// Ended is the last event of a completed run.
type Ended struct {
	Result  Result
	Elapsed time.Duration // since the run was started or resumed
}

func (Started) isEvent()    {}
func (Stepped) isEvent()    {}
func (Evaluating) isEvent() {}
func (Evaluated) isEvent()  {}
func (Saved) isEvent()      {}
func (Note) isEvent()       {}
func (Ended) isEvent()      {}

// number is a float64 that is null in JSON if it is not finite.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func (n *number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(n))
}

// evaluationJSON is an Evaluation as JSON has it.
type evaluationJSON struct {
	Loss    number         `json:"loss"`
	Metrics metric.Metrics `json:"metrics"`
	Stop    bool           `json:"stop,omitempty"`
	// Details are in the lines of events alone: what else holds an Evaluation is to be small.
	Details json.RawMessage `json:"details,omitempty"`
}

func (e *evaluationJSON) evaluation() Evaluation {
	return Evaluation{Metrics: e.Metrics, Loss: float64(e.Loss), Stop: e.Stop, Details: e.Details}
}

// MarshalJSON returns {"loss": …, "metrics": {…}}, without Details.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	return json.Marshal(evaluationJSON{Loss: number(e.Loss), Metrics: e.Metrics, Stop: e.Stop})
}

// UnmarshalJSON reads the output of MarshalJSON.
func (e *Evaluation) UnmarshalJSON(data []byte) error {
	var j evaluationJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*e = j.evaluation()
	return nil
}

// eventsName is the file of the events in the folder of a run.
const eventsName = "events.jsonl"

// The names of the lines of eventsName.
const (
	startLine      = "start"
	stepLine       = "step"
	evaluationLine = "evaluation"
	endLine        = "end"
)

// appendLine appends the line of eventsName that records e, if one does. But for the fields time, seconds, share_of_peak
// and those of rates a second, a line depends on the model, the data and the options alone. What has to do
// with interruptions and the screen (Saved, Note, Evaluating) has no line, so a resumed run leaves the same file as one that was not interrupted:
// where it was resumed is in ResumptionsFile.
func appendLine(b []byte, e Event, now time.Time) ([]byte, error) {
	var line any
	at := now.UTC().Format(time.RFC3339Nano)
	switch e := e.(type) {
	case Started:
		line = struct {
			Event    string            `json:"event"`
			Time     string            `json:"time"`
			Steps    int               `json:"steps"`
			Examples int               `json:"examples"`
			Options  map[string]string `json:"options"`
		}{startLine, at, e.Steps, e.Examples, e.Options}
	case Stepped:
		if !e.Logged {
			return b, nil
		}
		line = struct {
			Event             string         `json:"event"`
			Time              string         `json:"time"`
			Step              int            `json:"step"`
			Epoch             float64        `json:"epoch"`
			Loss              float64        `json:"loss"`
			Terms             metric.Metrics `json:"terms,omitempty"` // of this step alone
			LearningRate      float64        `json:"learning_rate"`
			GradNorm          float64        `json:"grad_norm"`
			Examples          int64          `json:"examples"`
			Tokens            int64          `json:"tokens"`
			ExamplesPerSecond float64        `json:"examples_per_second"`
			TokensPerSecond   float64        `json:"tokens_per_second"`
			ShareOfPeak       float64        `json:"share_of_peak,omitempty"`
		}{stepLine, at, e.Step, e.Epoch, e.MeanLoss, e.Terms, e.LearningRate, e.GradNorm, e.Examples, e.Tokens, e.ExamplesPerSecond, e.TokensPerSecond, e.ShareOfPeak}
	case Evaluated:
		line = struct {
			Event   string          `json:"event"`
			Time    string          `json:"time"`
			Step    int             `json:"step"`
			Epoch   float64         `json:"epoch"`
			Loss    number          `json:"loss"`
			Metrics metric.Metrics  `json:"metrics"`
			Best    bool            `json:"best"`
			Stop    bool            `json:"stop,omitempty"`
			Seconds float64         `json:"seconds"`
			Details json.RawMessage `json:"details,omitempty"`
		}{
			evaluationLine, at, e.Step, e.Epoch, number(e.Evaluation.Loss), e.Evaluation.Metrics, e.Best, e.Evaluation.Stop, e.Elapsed.Seconds(),
			e.Evaluation.Details,
		}
	case Ended:
		line = struct {
			Event string `json:"event"`
			Time  string `json:"time"`
			Result
			Seconds float64 `json:"seconds"`
		}{endLine, at, e.Result, e.Elapsed.Seconds()}
	default:
		return b, nil
	}
	text, err := json.Marshal(line)
	if err != nil {
		return b, err
	}
	return append(append(b, text...), '\n'), nil
}
