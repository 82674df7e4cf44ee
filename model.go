package bert

import (
	"fmt"
	"slices"
	"sync"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
)

// Options says how a model is made or loaded. The zero value means the defaults.
type Options struct {
	// Device is what the model computes on; nil: the processor.
	Device *Device
	// Threads is the number of workers; 0: all of the machine's.
	Threads int
	// Precision is how the operands of matrix products are taken. The zero value is Float32 or, of a file whose weights are int8
	// by its configuration, Int8: see Config.DefaultPrecision.
	Precision Precision
	// Dequantize takes the zero value of Precision as Float32 of such a file too, as training needs it.
	Dequantize bool
	// Quantize says which weights become int8 at Int8, of a file whose weights aren't yet; nil: attention's output and the two
	// products of the feed-forward network, and nothing else.
	Quantize *Quantize
	// Head chooses the head: a Head; HeadOfTensors; or nil for the one that the configuration's architectures name and,
	// without architectures, NoHead of a new model and the head whose tensors are there of a file. A file's tensors of
	// other heads are not used.
	Head HeadChoice
	// NewHead lets a head or a pooler that the file does not have, or has for other labels, begin as in a new model, as
	// fine-tuning does; LoadReport.NewHead names its tensors. Without it that is a TensorError: a model never answers from
	// random weights.
	NewHead bool
	// Labels and ProblemType override the configuration's, for a new classifier.
	Labels      []string
	ProblemType ProblemType
	// AllowMissing accepts whatever NewHead does and that tensors of the encoder, or single ones of the head, are missing:
	// they begin as in a new model, and LoadReport.Missing names them. It is for conversions and for training.
	AllowMissing bool
	// Base is the model that an adapter changes: any path that Load takes. "": the one that the adapter names.
	Base string
	// GELU says what the configuration's "gelu" means. The zero value leaves it to the origin of the file.
	GELU GELU
	// Seed decides the values of new parameters.
	Seed uint64
}

// LoadReport lists how a model's file and its parameter table differ, by tensor name, and what Load decided.
type LoadReport struct {
	NewHead  []string // of a head or a pooler that the file does not have: initialised
	Missing  []string // accepted by AllowMissing: initialised
	LeftOver []string // in the file, but of another head or of no BERT: not used
	Unknown  []string // those of LeftOver that are of no head
	Training []string // in the file, but an optimiser's, a counter of steps or the like: not used
	Assumed  []string // sentences: what the files leave open or contradict, and what was assumed
	Int8     []string // parameters whose values in the file are int8

	DType checkpoint.DType // in which all weights are stored; 0: in several
}

// Model is a BERT: a configuration, a head, and parameters on a device. Any number of sessions read it at once; a
// Trainer, of which there is one at a time, changes it.
type Model struct {
	config Config
	head   Head
	pooler bool // the model has one: its head's class has, and so has the file
	device compute.Device
	report LoadReport

	params      []parameter
	int8File    bool             // the configuration says that weights are int8
	requantized []string         // parameters whose integers were rounded again
	values      compute.Buffer   // all parameters end to end; none while they are read in place from file
	file        *checkpoint.File // the mapped file that parameters are read from, or nil

	mu      sync.Mutex // guards what follows
	weights *weights   // nil until they are asked for; what it points to does not change
	packed  packing    // of weights
	// unpacked is weights for sessions that go back, where there is no trainer; nil until they are asked for.
	unpacked *weights
	passed   bool // they were asked for by a pass
	trainer  *Trainer
	closed   bool

	// users counts the calls under way that need the device or the file; Close waits for them.
	users sync.WaitGroup
}

// parameter is a row of the table with its values on the device.
type parameter struct {
	Param
	value compute.Buffer // none at Int8 where there are ints
	ints  *integers      // at Int8, of one that is quantized before it is packed
	grad  compute.Buffer // while there is a Trainer

	tensor *checkpoint.Tensor // of which value is the memory, or nil
}

// New makes a model with the parameters a new model begins with: weights from a normal distribution of standard
// deviation initializer_range cut off at two deviations (google-research/bert modeling.py, create_initializer), biases 0,
// LayerNorm gains 1.
func New(c Config, o Options) (*Model, error) {
	head, err := o.headChoice().choose(&c, nil)
	if err != nil {
		return nil, err
	}
	c.Quantization = nil // new weights are float32
	m, err := newModel(c, head, o)
	if err != nil {
		return nil, err
	}
	if err := m.own(); err != nil {
		m.device.Close()
		return nil, err
	}
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
	if o.ProblemType != ProblemByLabels {
		c.ProblemType = o.ProblemType
	}
	c.Architectures = []string{head.String()}
	c.notes, c.labelNames = nil, nil
	if err := c.Validate(); err != nil {
		return nil, err
	}
	device, err := o.openDevice()
	if err != nil {
		return nil, err
	}
	m := &Model{config: c, head: head, pooler: heads[head].pooler, device: device}
	for _, p := range Params(&c, head) {
		m.params = append(m.params, parameter{Param: p})
	}
	return m, nil
}

// own gives the parameters memory of their own, end to end in the order of the table, and copies their values into it.
func (m *Model) own() error {
	if !m.values.None() {
		return nil
	}
	n := 0
	for i := range m.params {
		n += m.params[i].Len()
	}
	values, err := m.device.Alloc(n)
	if err != nil {
		return fmt.Errorf("memory for %d parameters: %w", n, err)
	}
	m.values = values
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
	return nil
}

// Config is the model's configuration.
func (m *Model) Config() Config { return m.config }

// Head is the model's head.
func (m *Model) Head() Head { return m.head }

// Report is what Load found missing and left over.
func (m *Model) Report() LoadReport { return m.report }

// Device describes what the model computes on, for people: "avx512, 2 threads", "avx512 bf16, 2 threads".
func (m *Model) Device() string { return m.device.Name() }

// Kernels names the primitives that the device computes with, as far as their bits differ: with the same kernels, a
// computation has the same bits on any machine. OnKernels is the reverse. It is "" of a device that doesn't say.
func (m *Model) Kernels() string {
	if d, ok := m.device.(interface{ Kernels() string }); ok {
		return d.Kernels()
	}
	return ""
}

// Precision is that of the model's products. native says that the processor has instructions for it; without them it is
// emulated, as exactly but slower than Float32.
func (m *Model) Precision() (p Precision, native bool) { return m.device.Precision() }

// Params is the table of the model's parameters.
func (m *Model) Params() []Param {
	table := make([]Param, len(m.params))
	for i := range m.params {
		table[i] = m.params[i].Param
	}
	return table
}

// CheckVocabulary reports whether a vocabulary of n tokens can be this model's. The embedding may have more rows than the
// vocabulary has tokens, as where room was left for more.
func (m *Model) CheckVocabulary(n int) error {
	if rows := m.config.VocabSize; n > rows {
		return fmt.Errorf("the vocabulary has %d tokens, the model's embedding only %d rows: it is another model's vocabulary", n, rows)
	}
	return nil
}

// CheckVocabulary reports a vocab_size that a new model for a vocabulary of n tokens can't have, or would waste its memory on.
// It may be larger than the vocabulary, as where room is left for more tokens or the rows are a round number.
func (c *Config) CheckVocabulary(n int) error {
	const spare = 1 << 15 // rows, or as many as the vocabulary has tokens
	switch {
	case n > c.VocabSize:
		return fmt.Errorf("vocab_size is %d, the vocabulary has %d tokens: want that", c.VocabSize, n)
	case c.VocabSize-n > max(n, spare):
		return fmt.Errorf("vocab_size is %d, the vocabulary has only %d tokens: want that, or a little more", c.VocabSize, n)
	}
	return nil
}

// VocabularyNote says where a vocabulary of n tokens is so much smaller than the model's embedding that it may be another
// model's, or cut short; "" where it isn't.
func (m *Model) VocabularyNote(n int) string {
	const padding = 128 // to a round number
	if rows := m.config.VocabSize; n <= rows-padding {
		return fmt.Sprintf("the vocabulary has %d tokens, the model's embedding %d rows: if it is not cut short or another model's, the rest is spare", n, rows)
	}
	return ""
}

// Close waits for the passes under way, ends the device's workers and lets go of the model's file. Afterwards all that needs
// these, of the model, its sessions and its trainer, gives ErrClosed. It is not to be called from a function that a pass calls.
func (m *Model) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	m.users.Wait()
	m.device.Close()
	if m.file != nil {
		return m.file.Close()
	}
	return nil
}

// use begins a call that needs the device or the file, which done ends.
func (m *Model) use() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("the model is %w", ErrClosed)
	}
	m.users.Add(1)
	return nil
}

func (m *Model) done() { m.users.Done() }

// Prepare does the work with which a first short pass would begin, so that it can be done while waiting for something else.
func (m *Model) Prepare() error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.done()
	_, err := m.prepare(0)
	return err
}

// shortPass is the number of tokens below which packing all weights takes longer than a pass.
const shortPass = 256

// prepare gives the weights for a pass over the given number of tokens. For inference they are packed once; but a short first pass,
// which may be the only one, takes them where they are and leaves the packing to the next. While a Trainer changes them
// they are packed anew for each product. All ways give the same bits. At Int8 all are packed at once: nothing else quantizes them.
func (m *Model) prepare(tokens int) (*weights, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, pack := m.weights, m.packed
	precision, _ := m.device.Precision()
	var err error
	switch {
	case m.trainer != nil || m.packed == packAll:
	case m.weights == nil && tokens < shortPass && precision != Int8:
		pack = packJoined
		w, err = m.link(pack)
	case m.weights == nil:
		pack = packAll
		w, err = m.link(pack)
	case m.passed || tokens >= shortPass:
		pack = packAll
		w, err = m.weights.packed(m.device, m.forget)
	}
	if err != nil {
		return nil, fmt.Errorf("memory for the packed weights: %w", err)
	}
	m.weights, m.packed = w, pack
	m.passed = m.passed || tokens > 0
	return m.weights, nil
}

// forget lets go of the pages of the file that a packed weight was read from. Inference reads them no more; who does, such as Save,
// has them loaded again.
func (m *Model) forget(weight compute.Buffer) {
	for i := range m.params {
		if p := &m.params[i]; p.tensor != nil && p.value.Memory == weight.Memory {
			p.tensor.Forget()
		}
	}
}
