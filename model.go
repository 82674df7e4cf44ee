package bert

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Options says how a model is made or loaded. The zero value is good.
type Options struct {
	// Threads is the number of workers; 0: all of the machine's.
	Threads int
	// Head overrides the head that the configuration's architectures name.
	Head *Head
	// HeadOfTensors takes the head of pre-training whose tensors the file has, whichever of them the architectures name: so
	// that nothing is left over of a checkpoint of both whose configuration says that it is a masked LM, as published ones do.
	HeadOfTensors bool
	// Labels and ProblemType override the configuration's, for a new classifier.
	Labels      []string
	ProblemType string
	// AllowMissing accepts tensors that are missing (they begin as in a new model) or left over, beyond what a change of
	// head explains.
	AllowMissing bool
	// Seed decides the values of new parameters.
	Seed uint64
}

// LoadReport lists what a model's file and its parameter table did not share, by tensor name, and what Load decided.
type LoadReport struct {
	NewHead  []string // of a head that the file has not: initialised
	Missing  []string // accepted by AllowMissing: initialised
	LeftOver []string // in the file, but of another head, or accepted by AllowMissing: not used
	Training []string // in the file, but an optimiser's or a counter of steps: not used
	Assumed  []string // sentences: what the configuration leaves open, and what was taken

	DType checkpoint.DType // in which all weights are stored; 0: in several
}

// Model is a BERT: a configuration, a head, and parameters on a device. Any number of sessions read it at once; a
// Trainer, of which there is one at a time, changes it.
type Model struct {
	config Config
	head   Head
	device compute.Device
	report LoadReport

	params []parameter
	values compute.Buffer   // all parameters end to end; none while they are read in place from file
	file   *checkpoint.File // the mapped file that parameters are read from, or nil

	mu       sync.Mutex // guards what follows
	weights  weights
	prepared bool
	trainer  *Trainer
	closed   bool
}

// parameter is a row of the table with its values on the device.
type parameter struct {
	Param
	value compute.Buffer
	grad  compute.Buffer // while there is a Trainer
}

// New makes a model with the parameters a new model begins with: weights from a normal distribution of standard
// deviation initializer_range cut off at two deviations (google-research/bert modeling.py, create_initializer), biases 0,
// LayerNorm gains 1.
func New(c Config, head Head, o Options) (*Model, error) {
	if o.Head != nil {
		head = *o.Head
	}
	m, err := newModel(c, head, o)
	if err != nil {
		return nil, err
	}
	m.own()
	for i := range m.params {
		m.initialize(&m.params[i], o.Seed)
	}
	return m, nil
}

// newModel checks the configuration and opens the device; the parameters have no values yet.
func newModel(c Config, head Head, o Options) (*Model, error) {
	if o.Labels != nil {
		c.Labels = slices.Clone(o.Labels)
	}
	if o.ProblemType != "" {
		c.ProblemType = o.ProblemType
	}
	c.Architectures = []string{head.String()}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	device, err := cpu.New(o.Threads, compute.Float32)
	if err != nil {
		return nil, err
	}
	m := &Model{config: c, head: head, device: device}
	for _, p := range Params(&c, head) {
		m.params = append(m.params, parameter{Param: p})
	}
	return m, nil
}

// own gives the parameters memory of their own, end to end in the order of the table, and copies into it what they were
// read from.
func (m *Model) own() {
	if !m.values.None() {
		return
	}
	n := 0
	for i := range m.params {
		n += m.params[i].Len()
	}
	m.values = m.device.Alloc(n)
	at := 0
	for i := range m.params {
		p := &m.params[i]
		value := m.values.Slice(at, at+p.Len())
		if !p.value.None() {
			m.device.Copy(value, p.value)
		}
		p.value = value
		at += p.Len()
	}
}

// Config is the model's configuration.
func (m *Model) Config() Config { return m.config }

// Head is what stands on top of the encoder.
func (m *Model) Head() Head { return m.head }

// Report is what Load found missing and left over.
func (m *Model) Report() LoadReport { return m.report }

// Device says what the model computes on, for people: "avx512, 2 threads".
func (m *Model) Device() string { return m.device.Name() }

// Params is the table of the model's parameters.
func (m *Model) Params() []Param {
	table := make([]Param, len(m.params))
	for i := range m.params {
		table[i] = m.params[i].Param
	}
	return table
}

// CheckVocabulary reports whether a vocabulary of n tokens can be this model's. The embedding may have a few rows more
// than the vocabulary has tokens, as where it was padded to a round number.
func (m *Model) CheckVocabulary(n int) error {
	const padding = 128
	switch rows := m.config.VocabSize; {
	case n > rows:
		return fmt.Errorf("the vocabulary has %d tokens, the model's embedding only %d rows: it is another model's vocabulary", n, rows)
	case n <= rows-padding:
		return fmt.Errorf("the vocabulary has only %d tokens for the model's embedding of %d rows: it is another model's vocabulary, or cut short", n, rows)
	}
	return nil
}

// Close ends the device's workers and lets go of the model's file. Neither the model nor its sessions are used after it.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.device.Close()
	if m.file != nil {
		return m.file.Close()
	}
	return nil
}

// prepare packs the weights for inference, once. While a Trainer changes them they are packed anew for each product.
func (m *Model) prepare() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("the model is closed")
	}
	if !m.prepared {
		m.link(m.trainer == nil)
		m.prepared = true
	}
	return nil
}
