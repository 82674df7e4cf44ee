package main

import (
	"fmt"
	"slices"
)

// A work is a kind of work to compare.
type work struct {
	name    string
	unit    string
	lower   bool // the less the better
	group   int  // works of one group share a short table
	ofTexts bool // it needs files of texts
	value   func(c *benchCase, a *answer) float64
}

// The works, in the order of the tables.
const (
	inferring  = "infer"
	encoding   = "texts"
	training   = "train"
	starting   = "start"
	tokenizing = "tokenize"
	learning   = "vocab"  // learning a vocabulary from a text
	running    = "encode" // bert encode beside the library
)

var works = []work{
	{name: inferring, unit: "sequences/s", value: func(c *benchCase, a *answer) float64 { return float64(c.Batch) / a.Seconds }},
	{name: encoding, unit: "texts/s", ofTexts: true, value: textsPerSecond},
	{name: training, unit: "s per step", lower: true, value: func(_ *benchCase, a *answer) float64 { return a.Seconds }},
	{name: starting, unit: "s", lower: true, value: func(_ *benchCase, a *answer) float64 { return a.Seconds }},
	{name: tokenizing, unit: "MB/s", group: 1, ofTexts: true, value: megabytesPerSecond},
	{name: learning, unit: "MB/s", group: 1, ofTexts: true, value: megabytesPerSecond},
	{name: running, unit: "texts/s", group: 2, ofTexts: true, value: textsPerSecond},
}

func textsPerSecond(c *benchCase, a *answer) float64 { return float64(c.Text.Lines) / a.Seconds }
func megabytesPerSecond(c *benchCase, a *answer) float64 {
	return float64(c.Text.Bytes) / 1e6 / a.Seconds
}

// workNamed returns the work of that name, or nil.
func workNamed(name string) *work {
	for i := range works {
		if works[i].name == name {
			return &works[i]
		}
	}
	return nil
}

// A textFile is a file with one text per line.
type textFile struct {
	Path  string `json:"path"`
	Lines int    `json:"lines"`
	Bytes int    `json:"bytes"`
}

// A benchCase is a line of a table.
type benchCase struct {
	Work      string   `json:"work"`
	Model     string   `json:"model,omitempty"`
	Precision string   `json:"precision,omitempty"` // "" of work without a model
	Batch     int      `json:"batch,omitempty"`
	Length    int      `json:"length,omitempty"` // tokens of a sequence
	Text      textFile `json:"text,omitzero"`
}

func (c *benchCase) String() string {
	s := c.Work
	for _, part := range []string{c.Model, c.Precision} {
		if part != "" {
			s += " " + part
		}
	}
	if c.Batch > 0 {
		s += fmt.Sprintf(", batch %d", c.Batch)
	}
	if c.Text.Path != "" {
		s += ", " + c.Text.name()
	}
	return s
}

// A modelShape is a model at random of a published shape.
type modelShape struct {
	name, title           string
	layers, hidden, heads int
	encoder               bool // without a classifier
}

// encoderName is the model that --model replaces.
const encoderName = "minilm"

var shapes = []modelShape{
	{name: "base", title: "BERT-base", layers: 12, hidden: 768, heads: 12},
	{name: "mini", title: "Mini (4 × 256)", layers: 4, hidden: 256, heads: 4},
	{name: "tiny", title: "Tiny (2 × 128)", layers: 2, hidden: 128, heads: 2},
	{name: encoderName, title: "MiniLM (6 × 384)", layers: 6, hidden: 384, heads: 12, encoder: true},
}

// title names a model in the tables.
func title(model string) string {
	for _, s := range shapes {
		if s.name == model {
			return s.title
		}
	}
	return model
}

// The precisions, by bert's names.
const (
	float32s = "float32"
	bfloat16 = "bf16"
	int8s    = "int8"
)

var allPrecisions = []string{float32s, bfloat16, int8s}

// A plan is a product of cases.
type plan struct {
	work       string
	models     []string
	batches    []int
	precisions []string
}

// sets are the plans that --set names: what the README shows, and all.
var sets = map[string][]plan{
	"readme": {
		{inferring, []string{"base"}, []int{1, 8, 32}, allPrecisions},
		{inferring, []string{encoderName}, []int{32}, allPrecisions},
		{encoding, []string{encoderName}, nil, allPrecisions},
		{training, []string{"base"}, []int{32}, []string{float32s, bfloat16}},
		{starting, []string{encoderName}, nil, []string{float32s}},
		{tokenizing, []string{encoderName}, nil, []string{""}},
		{running, []string{encoderName}, nil, []string{float32s, bfloat16}},
	},
	"all": {
		{inferring, []string{"base", "mini", "tiny", encoderName}, []int{1, 8, 32}, allPrecisions},
		{encoding, []string{"base", "mini", "tiny", encoderName}, nil, allPrecisions},
		{training, []string{"base", "mini"}, []int{32}, []string{float32s, bfloat16}},
		{starting, []string{"base", encoderName}, nil, []string{float32s}},
		{tokenizing, []string{encoderName}, nil, []string{""}},
		{learning, []string{""}, nil, []string{""}},
		{running, []string{encoderName}, nil, allPrecisions},
	},
}

// cases lists what the flags ask for, the cases of one group together.
func (o *options) cases(texts []textFile) (cases []benchCase) {
	keep := func(list []string, name string) bool {
		return len(list) == 0 || name == "" || slices.Contains(list, name)
	}
	for _, p := range sets[o.set] {
		if !keep(o.works, p.work) {
			continue
		}
		for _, model := range p.models {
			if !keep(o.sizes, model) {
				continue
			}
			if model == encoderName {
				model = o.encoder()
			}
			for _, precision := range p.precisions {
				if !keep(o.precisions, precision) {
					continue
				}
				c := benchCase{Work: p.work, Model: model, Precision: precision}
				switch {
				case workNamed(p.work).ofTexts:
					for _, text := range texts {
						c.Text = text
						cases = append(cases, c)
					}
				case p.batches != nil:
					for _, batch := range p.batches {
						if len(o.batches) == 0 || slices.Contains(o.batches, batch) {
							c.Batch, c.Length = batch, o.length
							cases = append(cases, c)
						}
					}
				default:
					cases = append(cases, c)
				}
			}
		}
	}
	return cases
}

// group is what the same processes measure.
type group struct{ work, model, precision string }

func (c *benchCase) group() group { return group{c.Work, c.Model, c.Precision} }
