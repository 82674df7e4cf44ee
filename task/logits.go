package task

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/message"
)

// Logits are what a model gave for the sequences of a Dataset, before anything is made of them. Those of several Datasets that are the
// parts of one, end to end, are those of that one: Measure makes the same of them, to the bit, as Evaluate does.
//
// Legend: S sequences; R rows, one for each sequence, or for each token of those whose tokens have logits; C columns.
type Logits struct {
	values [][]float32 // [S][rows of it · C]
	width  int         // C; 0: not known, as there is no sequence
}

// Logits runs the model on all sequences of the data set. Of o it looks at Tokens, Progress and Share. When ctx ends, it ends after the batch it is
// at with the cause.
func (d *Dataset) Logits(ctx context.Context, m *bert.Model, o EvaluateOptions) (*Logits, error) {
	c := m.Config()
	if err := d.spec.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	values, err := sharedLogits(ctx, only(m.NewSession()), eachSequence{d}, m.Head(), o.Tokens, o.Progress, o.Share)
	if err != nil {
		return nil, err
	}
	l := &Logits{values: values}
	if len(values) > 0 {
		l.width = len(values[0]) / d.rows(0)
	}
	return l, nil
}

// rows is the number of rows of logits that sequence s has.
func (d *Dataset) rows(s int) int {
	if d.kind().places {
		return d.starts[s+1] - d.starts[s]
	}
	return 1
}

// Measure is Evaluate with logits that the model gave before.
func Measure(m *bert.Model, d *Dataset, l *Logits, o EvaluateOptions) (*Result, error) {
	if err := checkLabelled(d); err != nil {
		return nil, err
	}
	if n := len(d.starts) - 1; len(l.values) != n {
		return nil, fmt.Errorf("logits of %s sequences for data of %s", message.Thousands(len(l.values)), message.Thousands(n))
	}
	for s, v := range l.values {
		if len(v) != d.rows(s)*l.width {
			return nil, fmt.Errorf("logits of %d numbers for sequence %d, want %d rows of %d", len(v), s, d.rows(s), l.width)
		}
	}
	c := m.Config()
	if err := d.spec.checkModel(m.Head(), &c); err != nil {
		return nil, err
	}
	r := &Result{
		Kind: d.spec.Kind, Official: d.spec.official(),
		Examples: d.Examples(), Windows: d.stats.Windows, Truncated: d.stats.Truncated, Skipped: o.Skipped, GlobalStep: o.GlobalStep,
	}
	r.Precision, _ = m.Precision()
	var err error
	if r.Report, r.Loss, err = d.kind().codec.measure(d, l.values); err != nil {
		return nil, err
	}
	if o.Outcomes {
		r.Outcomes = d.outcomes(l.values)
		r.Outcomes.GlobalStep, r.Outcomes.Loss = r.GlobalStep, r.Loss
	}
	return r, nil
}

func checkLabelled(d *Dataset) error {
	if !d.Labelled() {
		return errors.New("the data has no labels to evaluate against")
	}
	return nil
}

// The tensors of a file of logits.
const (
	logitsTensor = "logits" // F32 [R, C]
	rowsTensor   = "rows"   // I64 [S], of each sequence
)

// LogitsExtension is that of a file of Logits.
const LogitsExtension = ".safetensors"

// Write writes a safetensors file with the tensors logits, [R, C] in float32, and rows, [S], the number of rows of each sequence.
func (l *Logits) Write(w io.Writer) error {
	var (
		rows = make([]byte, 0, 8*len(l.values))
		all  []byte
		n    int
	)
	for _, v := range l.values {
		r := len(v) / max(1, l.width)
		n += r
		rows = binary.LittleEndian.AppendUint64(rows, uint64(r))
		for _, x := range v {
			all = binary.LittleEndian.AppendUint32(all, math.Float32bits(x))
		}
	}
	return checkpoint.EncodeSafetensors(w, []checkpoint.Tensor{
		{Name: logitsTensor, DType: checkpoint.F32, Shape: []int{n, l.width}, Data: all},
		{Name: rowsTensor, DType: checkpoint.I64, Shape: []int{len(l.values)}, Data: rows},
	}, nil)
}

// Read adds the logits of a file that Write wrote to those that are there.
func (l *Logits) Read(path string) (err error) {
	f, err := checkpoint.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	logits, ok := f.Lookup(logitsTensor)
	rows, okRows := f.Lookup(rowsTensor)
	if !ok || !okRows || logits.DType != checkpoint.F32 || rows.DType != checkpoint.I64 || len(logits.Shape) != 2 || len(rows.Shape) != 1 {
		return fmt.Errorf("%s: no file of logits: want the tensors %s, in float32, and %s", path, logitsTensor, rowsTensor)
	}
	width := logits.Shape[1]
	switch {
	case rows.Shape[0] == 0:
		return nil
	case width == 0:
		return fmt.Errorf("%s: no logits of %d sequences", path, rows.Shape[0])
	case l.width != 0 && l.width != width:
		return fmt.Errorf("%s: %d logits a row, want %d as in the parts before", path, width, l.width)
	}
	l.width = width
	at, values := 0, logits.Data
	for i := range rows.Shape[0] {
		n := binary.LittleEndian.Uint64(rows.Data[8*i:])
		if n > uint64(logits.Shape[0]-at) {
			return fmt.Errorf("%s: sequence %d has more rows than there are", path, i)
		}
		v := make([]float32, int(n)*width)
		for j := range v {
			v[j] = math.Float32frombits(binary.LittleEndian.Uint32(values[4*(at*width+j):]))
		}
		l.values = append(l.values, v)
		at += int(n)
	}
	if at != logits.Shape[0] {
		return fmt.Errorf("%s: %d rows of logits, of which the sequences have %d", path, logits.Shape[0], at)
	}
	return nil
}
