package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Event is an event of a run: Started, Stepped, Evaluated, Saved, Note or Ended.
type Event interface{ isEvent() }

// Started is the first event.
type Started struct {
	Step     int // steps done before this run was resumed
	Steps    int // of the whole run
	Examples int // in the data
	// Checkpoint is the folder of the checkpoint from which the run is resumed, or "".
	Checkpoint string
	// Options are the options that affect the result, by name, including Options.Fingerprint.
	Options map[string]string
}

// Stepped follows every step.
type Stepped struct {
	Step, Steps  int
	Epoch        float64 // passes over the data so far
	Loss         float64 // of this step
	MeanLoss     float64 // over the steps since the last logged one
	LearningRate float64
	GradNorm     float64 // before clipping
	Examples     int64   // trained on so far
	Tokens       int64
	Logged       bool // true every Options.LogSteps steps and for the last

	// The speeds are smoothed over the last steps, without the time for evaluations and checkpoints.
	ExamplesPerSecond, TokensPerSecond float64
	// OperationsPerSecond counts operations by Options.Operations; 0 without it.
	OperationsPerSecond float64
	// ShareOfPeak is OperationsPerSecond divided by Options.Peak; 0 if that is unknown.
	ShareOfPeak float64
	Left        time.Duration // estimated
}

// Evaluated follows every evaluation.
type Evaluated struct {
	Step, Steps int
	Epoch       float64
	Evaluation  Evaluation
	Best        bool // the best so far, by Options.BestMetric
	Elapsed     time.Duration
}

// Saved follows every checkpoint.
type Saved struct {
	Step, Steps int
	Checkpoint  string // its folder
	Elapsed     time.Duration
}

// Note is a message for the user.
type Note struct{ Text string }

// Ended is the last event of a completed run.
type Ended struct {
	Result  Result
	Elapsed time.Duration // since the run was started or resumed
}

func (Started) isEvent()   {}
func (Stepped) isEvent()   {}
func (Evaluated) isEvent() {}
func (Saved) isEvent()     {}
func (Note) isEvent()      {}
func (Ended) isEvent()     {}

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

// MarshalJSON returns an object in the order of m.
func (m Metrics) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, metric := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(metric.Name)
		if err != nil {
			return nil, err
		}
		value, err := number(metric.Value).MarshalJSON()
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object and keeps its order.
func (m *Metrics) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil:
		return err
	case t != json.Delim('{'):
		return fmt.Errorf("metrics are %v, want an object", t)
	}
	*m = nil
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value number
		if err := dec.Decode(&value); err != nil {
			return err
		}
		*m = append(*m, Metric{name.(string), float64(value)}) // a key is a string
	}
	return nil
}

// evaluationJSON is the JSON form of an Evaluation.
type evaluationJSON struct {
	Loss    number  `json:"loss"`
	Metrics Metrics `json:"metrics"`
	Stop    bool    `json:"stop,omitempty"`
}

// MarshalJSON returns {"loss": …, "metrics": {…}}.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	return json.Marshal(evaluationJSON{number(e.Loss), e.Metrics, e.Stop})
}

// UnmarshalJSON reads the output of MarshalJSON.
func (e *Evaluation) UnmarshalJSON(data []byte) error {
	var j evaluationJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*e = Evaluation{Metrics: j.Metrics, Loss: float64(j.Loss), Stop: j.Stop}
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

// appendLine appends the line of eventsName for e, if there is one. Except for time, seconds, share_of_peak and the rates per
// second, a line depends only on the model, the data and the options. Events that depend on interruptions (Saved, Note) have no
// line, so a resumed run leaves the same file as an uninterrupted one.
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
			Event             string  `json:"event"`
			Time              string  `json:"time"`
			Step              int     `json:"step"`
			Epoch             float64 `json:"epoch"`
			Loss              float64 `json:"loss"`
			LearningRate      float64 `json:"learning_rate"`
			GradNorm          float64 `json:"grad_norm"`
			Examples          int64   `json:"examples"`
			Tokens            int64   `json:"tokens"`
			ExamplesPerSecond float64 `json:"examples_per_second"`
			TokensPerSecond   float64 `json:"tokens_per_second"`
			ShareOfPeak       float64 `json:"share_of_peak,omitempty"`
		}{stepLine, at, e.Step, e.Epoch, e.MeanLoss, e.LearningRate, e.GradNorm, e.Examples, e.Tokens, e.ExamplesPerSecond, e.TokensPerSecond, e.ShareOfPeak}
	case Evaluated:
		line = struct {
			Event   string  `json:"event"`
			Time    string  `json:"time"`
			Step    int     `json:"step"`
			Epoch   float64 `json:"epoch"`
			Loss    number  `json:"loss"`
			Metrics Metrics `json:"metrics"`
			Best    bool    `json:"best"`
			Seconds float64 `json:"seconds"`
		}{evaluationLine, at, e.Step, e.Epoch, number(e.Evaluation.Loss), e.Evaluation.Metrics, e.Best, e.Elapsed.Seconds()}
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
