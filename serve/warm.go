package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/task"
)

// ProbesFile is the name of a file in a model directory that says what the model has to answer before it is served:
//
//	{"probes": [{"use": "embed", "input": {"text": "…"}, "vector": [0.1], "tolerance": 0.001},
//	            {"use": "classify", "input": {"text": "…"}, "label": "positive"}]}
//
// A vector may differ from the model's by tolerance times its length, 0.001 without one; it is the model's own, as our dialect gives it
// without normalizing. An input is as data.ParseInput reads it.
const ProbesFile = "serve_probes.json"

type probe struct {
	Use       string     `json:"use"`
	Input     probeInput `json:"input"`
	Vector    []float32  `json:"vector"`
	Label     string     `json:"label"`
	Value     *float64   `json:"value"`
	Tolerance float64    `json:"tolerance"`
}

type probeInput struct{ data.Input }

// UnmarshalJSON is data.ParseInput.
func (p *probeInput) UnmarshalJSON(b []byte) (err error) {
	p.Input, err = data.ParseInput(b)
	return err
}

// warm has a model compute once what it will be asked for, so that the first request doesn't wait for memory, and compares its answers
// with those that ProbesFile wants.
func (m *model) warm(ctx context.Context) error {
	// As many tokens as make a batch of full speed, in sequences of a usual length.
	length := min(64, m.description().Config.MaxPositionEmbeddings)
	ids := make([]int32, length)
	inputs := make([]data.Input, 8)
	for i := range inputs {
		inputs[i].IDs = ids
	}
	l, err := m.lanes.get(m, m.vectors())
	if err != nil {
		return err
	}
	for i := range 2 {
		start := time.Now()
		if _, err := l.direct(ctx, inputs); err != nil {
			return fmt.Errorf("a batch of %d sequences: %w", len(inputs), err)
		}
		if i > 0 { // as later batches are
			m.meter.add(len(inputs)*length, time.Since(start))
		}
	}
	path := filepath.Join(m.dir(), ProbesFile)
	content, err := files.ReadFile(path, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list struct {
		Probes []probe `json:"probes"`
	}
	if err == nil {
		err = strictJSON(content, &list)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i := range list.Probes {
		if err := m.try(ctx, &list.Probes[i]); err != nil {
			return fmt.Errorf("%s: probe %d: %w", path, i+1, err)
		}
	}
	return nil
}

// try compares the answer to a probe with what it wants.
func (m *model) try(ctx context.Context, p *probe) error {
	u, err := ParseUse(p.Use)
	if err != nil {
		return err
	}
	if err := m.can(u); err != nil {
		return err
	}
	l, err := m.lanes.get(m, laneKey{use: u, pooling: m.pooling(), maxTokens: m.spec.MaxTokens})
	if err != nil {
		return err
	}
	values, err := l.direct(ctx, []data.Input{p.Input.Input})
	if err != nil {
		return err
	}
	tolerance := p.Tolerance
	if tolerance == 0 {
		tolerance = 1e-3
	}
	switch v := values[0].(type) {
	case task.Encoded:
		return sameVector(v.Pooled, p.Vector, tolerance)
	case task.Prediction:
		switch {
		case p.Value != nil && v.Value != nil:
			if d := math.Abs(*v.Value - *p.Value); !(d <= tolerance*max(1, math.Abs(*p.Value))) {
				return fmt.Errorf("the value is %g, want %g", *v.Value, *p.Value)
			}
		case v.Label != p.Label:
			return fmt.Errorf("the label is %q, want %q", v.Label, p.Label)
		}
		return nil
	}
	return fmt.Errorf("use %v has no probes: want embed, classify or rerank", u)
}

// sameVector reports a vector that is further from another than a share of that one's length.
func sameVector(got, want []float32, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("the vector has %d elements, want %d", len(got), len(want))
	}
	var off, length float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		off += d * d
		length += float64(want[i]) * float64(want[i])
	}
	if off, length = math.Sqrt(off), math.Sqrt(length); !(off <= tolerance*length) {
		return fmt.Errorf("the vector is off by %.2g of its length, want at most %.2g", off/length, tolerance)
	}
	return nil
}

// direct answers inputs without the queue, a batch of which takes its turn among the others.
func (l *lane) direct(ctx context.Context, inputs []data.Input) ([]any, error) {
	prepared := make([]any, len(inputs))
	for i := range inputs {
		p, err := l.prepare(&inputs[i])
		if err != nil {
			return nil, err
		}
		prepared[i] = &p
	}
	return l.answer(ctx, prepared)
}

// notes are what a user should know about the model, for the log.
func (m *model) notes() []string {
	var list []string
	for _, n := range m.shared.Notes() {
		list = append(list, n.Text)
	}
	if err := m.shared.TokenizerError(); err != nil {
		list = append(list, "inputs have to be ids: "+err.Error())
	}
	for i, s := range list {
		list[i] = strings.TrimSpace(s)
	}
	return list
}

// shortest is an input of one token.
func shortest() data.Input { return data.Input{IDs: []int32{0}} }

// dir is the model directory.
func (m *model) dir() string {
	if dir, err := bert.ModelDir(m.spec.Path); err == nil {
		return dir
	}
	return m.spec.Path
}
