package beam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

func init() {
	register.DoFn3x1[context.Context, Text, func(Answer), error](&answerFn{})
	register.Emitter1[Answer]()
}

// Text is an input of a model with a key, since a PCollection has no order.
type Text struct {
	Key string
	// Line is a text or, where it begins with a brace, a JSON object: a line of what bert predict reads (data.ParseInput).
	Line string
}

// Answer is what a model says of a Text.
type Answer struct {
	Key string
	// Line is the answer in JSON: the line that bert predict or bert encode prints for the text.
	Line string
	// Error says what is wrong with the text, with Model.SkipBad; "": nothing.
	Error string
}

// Model is a model that answers texts, and how it is run.
type Model struct {
	Dir string
	// Precision is the name of the number format of matrix products; "": float32, or what a quantized model has.
	Precision string
	// Threads is the number of threads of a process; 0: as many as the machine has.
	Threads int
	// SkipBad gives a bad text an Answer with an Error. Without it a bad text fails the pipeline.
	SkipBad bool
}

// Predict answers texts, a PCollection<Text>, with a fine-tuned model: a PCollection<Answer>. A process of a worker has one model, whatever the
// number of its bundles at a time; the texts of a bundle are answered many at a time. The texts have to be in the global window.
func Predict(s beam.Scope, m Model, texts beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("bert.Predict"), &answerFn{Model: m}, texts)
}

// Encode is Predict for the vectors or hidden states of texts.
func Encode(s beam.Scope, m Model, o task.EncodeOptions, texts beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("bert.Encode"), &answerFn{Model: m, Encode: &o}, texts)
}

// Bounds of what is answered at once.
const (
	batchTexts = 512
	batchBytes = 4 << 20
)

// answerFn answers the texts of a bundle, some at a time.
type answerFn struct {
	Model  Model
	Encode *task.EncodeOptions // nil: Predict

	opened  *opened
	waiting []Text
	bytes   int
}

// Setup opens the model, unless another worker of this process has.
func (f *answerFn) Setup(ctx context.Context) (err error) {
	f.opened, err = open(ctx, f.Model, f.Encode)
	return err
}

// StartBundle forgets what a bundle that failed left.
func (f *answerFn) StartBundle(context.Context, func(Answer)) { f.waiting, f.bytes = f.waiting[:0], 0 }

func (f *answerFn) ProcessElement(ctx context.Context, t Text, emit func(Answer)) error {
	f.waiting = append(f.waiting, t)
	f.bytes += len(t.Line)
	if len(f.waiting) < batchTexts && f.bytes < batchBytes {
		return nil
	}
	return f.flush(ctx, emit)
}

// FinishBundle answers what is left.
func (f *answerFn) FinishBundle(ctx context.Context, emit func(Answer)) error {
	return f.flush(ctx, emit)
}

// Teardown closes the model if no other worker has it.
func (f *answerFn) Teardown() error {
	if f.opened == nil {
		return nil
	}
	return f.opened.release()
}

// flush answers the texts that wait.
func (f *answerFn) flush(ctx context.Context, emit func(Answer)) error {
	defer func() { f.waiting, f.bytes = f.waiting[:0], 0 }()
	var (
		inputs []data.Input
		of     []Text
		bad    = func(t Text, err error) error {
			if !f.Model.SkipBad {
				return fmt.Errorf("%s: %w", t.Key, err)
			}
			emit(Answer{Key: t.Key, Error: err.Error()})
			return nil
		}
	)
	for _, t := range f.waiting {
		in, err := data.ParseInput([]byte(t.Line))
		if err != nil {
			if err := bad(t, err); err != nil {
				return err
			}
			continue
		}
		inputs, of = append(inputs, in), append(of, t)
	}
	for len(inputs) > 0 {
		lines, err := f.opened.answer(ctx, inputs)
		var wrong *task.InputError
		if errors.As(err, &wrong) {
			at := wrong.Index
			if err := bad(of[at], wrong.Err); err != nil {
				return err
			}
			inputs, of = append(inputs[:at], inputs[at+1:]...), append(of[:at], of[at+1:]...)
			continue
		}
		if err != nil {
			return err
		}
		for i, line := range lines {
			emit(Answer{Key: of[i].Key, Line: line})
		}
		return nil
	}
	return nil
}

// opened is a model that the workers of a process share.
type opened struct {
	key    string
	users  int
	answer func(ctx context.Context, inputs []data.Input) ([]string, error)
	close  func() error
}

// models are those that are open in this process, by what was asked for. They are few, and closed with their last user.
var models = struct {
	sync.Mutex
	open map[string]*opened
}{open: make(map[string]*opened)}

func open(ctx context.Context, m Model, encode *task.EncodeOptions) (*opened, error) {
	key, err := json.Marshal(answerFn{Model: m, Encode: encode})
	if err != nil {
		return nil, err
	}
	models.Lock()
	defer models.Unlock()
	o := models.open[string(key)]
	if o == nil {
		if o, err = load(ctx, m, encode); err != nil {
			return nil, err
		}
		o.key = string(key)
		models.open[o.key] = o
	}
	o.users++
	return o, nil
}

// release gives a model back.
func (o *opened) release() error {
	models.Lock()
	defer models.Unlock()
	if o.users--; o.users > 0 {
		return nil
	}
	delete(models.open, o.key)
	return o.close()
}

// load opens a model.
func load(ctx context.Context, m Model, encode *task.EncodeOptions) (*opened, error) {
	c, err := bert.LoadConfig(m.Dir)
	if err != nil {
		return nil, err
	}
	precision := c.DefaultPrecision()
	if m.Precision != "" {
		if precision, err = bert.ParsePrecision(m.Precision); err != nil {
			return nil, err
		}
	}
	options := task.Options{Model: bert.Options{Threads: m.Threads, Precision: precision, Dequantize: true}}
	if encode != nil {
		return run(ctx, m.Dir, task.Encode(*encode), options)
	}
	return run(ctx, m.Dir, task.Predict(), options)
}

// run opens a model for a use, and makes lines of its answers as bert prints them.
func run[T any](ctx context.Context, dir string, use task.Use[T], o task.Options) (*opened, error) {
	r, err := task.Open(ctx, dir, use, o)
	if err != nil {
		return nil, err
	}
	return &opened{close: r.Close, answer: func(ctx context.Context, inputs []data.Input) ([]string, error) {
		answers, err := r.Do(ctx, inputs)
		if err != nil {
			return nil, err
		}
		lines := make([]string, len(answers))
		for i := range answers {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(&answers[i]); err != nil {
				return nil, err
			}
			lines[i] = string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		}
		return lines, nil
	}}, nil
}
