package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// job is a training run with all that belongs to it.
type job struct {
	model       *bert.Model
	tokenizer   *tokenizer.Tokenizer
	description task.Description
	train       *task.Dataset
	eval        *task.Dataset // nil: none
	options     train.Options
	// bestThreshold says that the model takes the threshold of no answer that is the best of the evaluation.
	bestThreshold bool
}

// train trains the model, writes the model directory into the options' Output and returns the evaluation of the model,
// nil without data for it.
func (a *app) train(ctx context.Context, j *job) (*task.Result, error) {
	progress := a.newProgress()
	_, progress.official = j.description.MetricNames()
	defer progress.close()
	ctx, cancel := a.untilInterruptedStep(ctx)
	defer cancel()
	return j.run(ctx, watcher{event: progress.event, evaluated: progress.evaluated})
}

// watcher is told how far a run is. Its functions may be nil.
type watcher struct {
	event     func(train.Event)
	evaluated func(done, all int)        // the examples of an evaluation
	stop      func(train.Evaluated) bool // ends the run with this evaluation
}

// run is train without a screen and signals.
func (j *job) run(ctx context.Context, w watcher) (*task.Result, error) {
	e := &evaluator{data: j.eval, watcher: w}
	j.options.Observer = func(event train.Event) {
		e.event(event)
		if w.event != nil {
			w.event(event)
		}
	}
	j.options.SaveModel = j.save
	var eval train.Evaluator
	if j.eval != nil {
		eval = e
	}
	result, err := train.Run(ctx, j.model, j.train, eval, j.options)
	if err != nil {
		return nil, j.sources(err)
	}
	if j.eval == nil {
		return nil, nil
	}
	// The evaluation was made before the run was resumed, if nobody here has seen it.
	measured := e.of(result.ModelStep)
	if measured == nil {
		if measured, err = task.Evaluate(ctx, j.model, j.eval, task.EvaluateOptions{Progress: w.evaluated}); err != nil {
			return nil, err
		}
		measured.GlobalStep = result.ModelStep
	}
	if r, ok := measured.Report.(*task.AnswerReport); ok && j.bestThreshold && j.description.Unanswerable {
		if err := r.SetThreshold(r.BestThreshold); err != nil {
			return nil, err
		}
		j.description.NullThreshold = r.BestThreshold
	}
	if err := measured.Save(j.options.Output); err != nil {
		return nil, err
	}
	j.description.Metrics = measured.Metrics()
	return measured, j.description.Save(j.options.Output)
}

// untilInterruptedStep gives the context of a run: the first signal ends the run after the step it is at.
func (a *app) untilInterruptedStep(ctx context.Context) (context.Context, context.CancelFunc) {
	return untilInterrupted(ctx, func(s os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending after this step, then saving; once more ends at once", s))
	})
}

// save writes the model directory.
func (j *job) save(dir string) error {
	if err := j.model.Save(dir, bert.SaveOptions{}); err != nil {
		return err
	}
	if err := j.tokenizer.Save(dir); err != nil {
		return err
	}
	return j.description.Save(dir)
}

// sources says where the examples of a batch are that has no finite loss.
func (j *job) sources(err error) error {
	var e *train.NonFiniteError
	if !errors.As(err, &e) {
		return err
	}
	const most = 5
	var places []string
	for _, i := range e.Examples[:min(len(e.Examples), most)] {
		places = append(places, j.train.Source(i).String())
	}
	more := ""
	if n := len(e.Examples) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%w (%s%s)", err, strings.Join(places, ", "), more)
}

// evaluator measures the model for train.Run and keeps what that does not need.
type evaluator struct {
	data       *task.Dataset
	watcher    watcher
	step       int // of the model
	epoch      float64
	last, best *task.Result
}

func (e *evaluator) Evaluate(ctx context.Context, m *bert.Model, _ train.Point) (train.Evaluation, error) {
	r, err := task.Evaluate(ctx, m, e.data, task.EvaluateOptions{GlobalStep: e.step, Progress: e.watcher.evaluated})
	if err != nil {
		return train.Evaluation{}, err
	}
	e.last = r
	out := train.Evaluation{Loss: r.Loss}
	for _, metric := range r.Metrics() {
		if metric.Name != train.LossMetric && metric.Name != "global_step" { // the run has both anyway
			out.Metrics = append(out.Metrics, train.Metric(metric))
		}
	}
	if e.watcher.stop != nil {
		out.Stop = e.watcher.stop(train.Evaluated{Step: e.step, Epoch: e.epoch, Evaluation: out})
	}
	return out, nil
}

func (e *evaluator) event(event train.Event) {
	switch event := event.(type) {
	case train.Started:
		e.step = event.Step
	case train.Stepped:
		e.step, e.epoch = event.Step, event.Epoch
	case train.Evaluated:
		if event.Best {
			e.best = e.last
		}
	}
}

// of is the evaluation after a step, nil if it was not made here.
func (e *evaluator) of(step int) *task.Result {
	for _, r := range []*task.Result{e.last, e.best} {
		if r != nil && r.GlobalStep == step {
			return r
		}
	}
	return nil
}

// fingerprint is what has to be the same when the run is resumed, beside the options: the model's configuration and the
// features of the data.
func (j *job) fingerprint() (map[string]string, error) {
	c := j.model.Config()
	config, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	f := map[string]string{
		"task":           j.description.Task,
		"labels":         strings.Join(j.description.Labels, ","),
		"kind":           j.description.Kind.String(),
		"max_seq_length": fmt.Sprint(j.description.MaxSeqLength),
		"config":         digest(config),
	}
	if f["train_data"], err = digestOf(j.train); err != nil {
		return nil, err
	}
	if j.eval != nil {
		if f["eval_data"], err = digestOf(j.eval); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// digestOf hashes the features, labels and weights of a data set.
func digestOf(d *task.Dataset) (string, error) {
	var (
		h = sha256.New()
		b bert.Batch
	)
	for i := range d.Len() {
		b.Reset()
		if err := d.Append(&b, i); err != nil {
			return "", err
		}
		for _, part := range []any{
			int64(len(b.IDs)), b.IDs, b.TypeIDs, b.Classes, b.Weights, b.Values, b.TokenClasses, b.From, b.To,
		} {
			if err := binary.Write(h, binary.LittleEndian, part); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
