package pretrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// ResultsFile is the file name of an Evaluation in an output directory.
const ResultsFile = "eval_results.json"

// Evaluation holds the metrics of google-research/bert run_pretraining.py (model_fn, metric_fn): means over all masked tokens and
// over all instances. Google's loss is the mean over batches of their total loss; Loss is the sum of the two means, which does
// not depend on the batches.
type Evaluation struct {
	MaskedLMAccuracy float64 `json:"masked_lm_accuracy"`
	MaskedLMLoss     float64 `json:"masked_lm_loss"` // in nats
	// NextSentence is nil for a MaskedLM.
	*NextSentence
	Loss       float64 `json:"loss"`
	GlobalStep int     `json:"global_step"`

	Instances    int `json:"instances"`
	MaskedTokens int `json:"masked_tokens"`
	// Precision is that of the matrix products.
	Precision bert.Precision `json:"compute_precision"`
	// Breakdown says which masked tokens are predicted well. Evaluations by earlier releases lack it.
	Breakdown *Breakdown `json:"breakdown,omitempty"`
}

// NextSentence holds the metrics of next-sentence prediction.
type NextSentence struct {
	NextSentenceAccuracy float64 `json:"next_sentence_accuracy"`
	NextSentenceLoss     float64 `json:"next_sentence_loss"`
}

// Metrics are the metrics by Google's names, without the loss and the step.
func (r *Evaluation) Metrics() metric.Metrics {
	m := metric.Metrics{{Name: "masked_lm_accuracy", Value: r.MaskedLMAccuracy}, {Name: "masked_lm_loss", Value: r.MaskedLMLoss}}
	if n := r.NextSentence; n != nil {
		m = append(m, metric.Metric{Name: "next_sentence_accuracy", Value: n.NextSentenceAccuracy},
			metric.Metric{Name: "next_sentence_loss", Value: n.NextSentenceLoss})
	}
	return m
}

// String returns the result in one line.
func (r *Evaluation) String() string {
	precision := ""
	if r.Precision != bert.Float32 {
		precision = " in " + r.Precision.String()
	}
	text := fmt.Sprintf("%d instances at step %d%s: masked LM accuracy %.4f, loss %.4f", r.Instances, r.GlobalStep, precision, r.MaskedLMAccuracy, r.MaskedLMLoss)
	if n := r.NextSentence; n != nil {
		text += fmt.Sprintf("; next sentence accuracy %.4f, loss %.4f", n.NextSentenceAccuracy, n.NextSentenceLoss)
	}
	return text
}

// Save atomically writes eval_results.json to dir.
func (r *Evaluation) Save(dir string) error {
	return jsonobject.Save(filepath.Join(dir, ResultsFile), r)
}

// GlobalStep returns the training step of the model in a folder, from its eval_results.json, or 0 if there is none.
func GlobalStep(dir string) (int, error) {
	path := filepath.Join(dir, ResultsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, files.PathError(err)
	}
	var e struct {
		GlobalStep int `json:"global_step"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return e.GlobalStep, nil
}

// EvaluateOptions are the options of Evaluate. The zero value is the default.
type EvaluateOptions struct {
	Tokens     int // the maximal number of tokens of a batch; 0 means 4,096
	GlobalStep int // the training step of the model, for the result
	// Tokenizer is that of the instances, for Breakdown.Pieces; nil: there are none.
	Tokenizer *tokenizer.Tokenizer
	// Progress, if not nil, is called after each batch with the numbers of instances done and of all instances.
	Progress func(done, all int)
	// Share, if not nil, is who shares the work: each process runs the model on some of the batches, and all find the same Evaluation, that of
	// one process, to the bit.
	Share *train.Share
}

// Evaluate measures a model's masked language model, and its next-sentence classifier if it has one. The instances of a dynamic
// set are masked for epoch 0, so that evaluations are comparable. If ctx is cancelled, Evaluate returns the cause after the
// current batch.
func Evaluate(ctx context.Context, m *bert.Model, s Source, o EvaluateOptions) (*Evaluation, error) {
	if s.Len() == 0 {
		return nil, errors.New("there are no instances to evaluate on")
	}
	d, err := NewData(s, m.Head())
	if err != nil {
		return nil, err
	}
	if o.Tokens <= 0 {
		o.Tokens = 4096
	}
	c := m.Config()
	e := measuring{session: m.NewSession(), nextSentence: m.Head() == bert.PreTraining, parts: newBreakdown(s, c.VocabSize)}
	if o.Share == nil {
		err = e.alone(ctx, d, &o)
	} else {
		err = e.shared(ctx, d, &o)
	}
	if err != nil {
		return nil, err
	}
	r, err := e.result(o.GlobalStep)
	if err != nil {
		return nil, err
	}
	r.Precision, _ = m.Precision()
	r.Breakdown = e.parts.result(o.Tokenizer)
	return r, nil
}

// measuring accumulates the sums for an Evaluation.
type measuring struct {
	session      *bert.Session
	nextSentence bool

	masked, maskedRight int
	maskedLoss          float64 // Σ −log p
	instances           int
	nextRight           int
	nextLoss            float64
	parts               *breakdown
}

// outcome is what the model says of a batch.
type outcome struct {
	loss      bert.Loss
	hits      []bool // by masked token: predicted right
	nextRight int
}

// forward runs the model on a batch. The outcome is good until the next.
func (e *measuring) forward(b *bert.Batch) (outcome, error) {
	out, err := e.session.Forward(b, bert.Outputs{Loss: true})
	if err != nil {
		return outcome{}, err
	}
	if l := out.Loss.Total; math.IsNaN(l) || math.IsInf(l, 0) {
		return outcome{}, fmt.Errorf("the loss is %v: the model's weights are damaged", l)
	}
	o := outcome{loss: out.Loss, hits: e.parts.rows(len(b.MaskedIDs))}
	right(out.Logits, b.MaskedIDs, o.hits)
	if e.nextSentence {
		o.nextRight = right(out.NextSentenceLogits, b.NextSentence, nil)
	}
	return o, nil
}

// add adds the outcome of a batch to the sums.
func (e *measuring) add(b *bert.Batch, o outcome) {
	e.masked += len(b.MaskedIDs)
	for _, hit := range o.hits {
		if hit {
			e.maskedRight++
		}
	}
	e.parts.add(b, o.hits)
	// The loss of a batch is a mean; for PreTraining the divisor is slightly larger (run_pretraining.py, get_masked_lm_output).
	divisor := float64(len(b.MaskedIDs))
	if e.nextSentence {
		divisor += bert.MaskedLMEpsilon
	}
	e.maskedLoss += o.loss.MaskedLM * divisor
	e.instances += b.Len()
	if e.nextSentence {
		e.nextRight += o.nextRight
		e.nextLoss += o.loss.NextSentence * float64(b.Len())
	}
}

// right returns the number of rows of logits [N,C] whose maximum, or the first of several, is at the label [N]. rows [N], if not nil, is
// set to which they are.
func right(logits []float32, labels []int32, rows []bool) int {
	if len(labels) == 0 {
		return 0
	}
	n, classes := 0, len(logits)/len(labels)
	for i, label := range labels {
		row := logits[i*classes:][:classes]
		best, most := 0, row[0]
		for j, x := range row {
			if x > most {
				best, most = j, x
			}
		}
		if best == int(label) {
			n++
		}
		if rows != nil {
			rows[i] = best == int(label)
		}
	}
	return n
}

func (e *measuring) result(step int) (*Evaluation, error) {
	if e.masked == 0 {
		return nil, errors.New("the instances have no masked tokens: there is nothing to predict")
	}
	r := &Evaluation{
		MaskedLMAccuracy: float64(e.maskedRight) / float64(e.masked),
		MaskedLMLoss:     e.maskedLoss / float64(e.masked),
		GlobalStep:       step,
		Instances:        e.instances,
		MaskedTokens:     e.masked,
	}
	r.Loss = r.MaskedLMLoss
	if e.nextSentence {
		r.NextSentence = &NextSentence{
			NextSentenceAccuracy: float64(e.nextRight) / float64(e.instances),
			NextSentenceLoss:     e.nextLoss / float64(e.instances),
		}
		r.Loss += r.NextSentenceLoss
	}
	return r, nil
}
