package bert

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/compute"
)

// Pass says how [Trainer.Backward] goes through batches. The zero value is good.
type Pass struct {
	// Key decides what dropout drops; it should differ from step to step.
	Key uint64
	// Denominators are the divisors of the loss; nil: those of the batches. Machines that share a step add up theirs (see
	// [Model.Denominators]) and each passes the sum: then their losses and gradients add up to those of the whole step.
	Denominators *Denominators
	// NoDropout computes as in inference, for gradients that explain a prediction.
	NoDropout bool
	// Unlabelled says that the batches have no labels: there is no loss, and the gradients are those that Between adds. It
	// is the way to train a model without a head.
	Unlabelled bool

	// Between, if not nil, is called between the forward and the backward pass of each batch. It may read the batch's
	// activations and add gradients of a loss of its own at them. Its error ends Backward; the gradients then include those
	// of earlier batches, and should be zeroed. It may use sessions, of this model too, but not the Trainer.
	Between func(batch int, a *Activations) error
	// Hidden lists the hidden states that Between reads or adds gradients at: 0 for the embeddings' output, i for that of
	// layer i. With the last layer in it, heads that use the pooler compute that layer for all tokens instead of the first.
	Hidden []int
	// QKV lists the layers, from 0 on, whose queries, keys and values Between reads or adds gradients at. With the last layer in
	// it, heads that use the pooler compute that layer for all tokens instead of the first.
	QKV []int
	// EmbeddingGradient, if not nil, is called with the gradient at the embeddings' output of each batch, [T,H]: of the
	// hidden states 0, after LayerNorm and dropout. The slice is good until it returns. Its error ends Backward.
	EmbeddingGradient func(batch int, gradient []float32) error
	// Settled, if not nil, is called during the backward pass of the last batch as gradients get their final values: the
	// gradients of all parameters from element from on, end to end in the order of the table, are final, until there is nothing before
	// them. Another goroutine may read and write what is settled, by Trainer.GradientRange, while Backward goes on.
	Settled func(from int)
}

// check reports the first thing in p that a model can't take.
func (p *Pass) check(m *Model) error {
	for _, layer := range p.Hidden {
		if layer < 0 || layer > m.config.NumHiddenLayers {
			return fmt.Errorf("hidden states %d of a model of %d layers: want 0 for the embeddings' output to %d", layer, m.config.NumHiddenLayers, m.config.NumHiddenLayers)
		}
	}
	for _, layer := range p.QKV {
		if layer < 0 || layer >= m.config.NumHiddenLayers {
			return fmt.Errorf("queries, keys and values of layer %d of a model of %d: want 0 to %d", layer, m.config.NumHiddenLayers, m.config.NumHiddenLayers-1)
		}
	}
	if p.Unlabelled && p.Denominators != nil {
		return errors.New("batches without labels have no denominators")
	}
	return nil
}

// Activations are the results of a batch's forward pass. The caller may add gradients of a loss of its own at them: these are
// added to the gradients of the loss of the batch's labels. Activations are valid until Between returns. Slices that are
// returned are copies, valid until the same method is called again.
//
// Legend: B sequences, T tokens, H hidden.
type Activations struct {
	w      *workspace
	layers []int // that Pass.Hidden lists
	qkv    []int // that Pass.QKV lists
	host   struct {
		logits, nextLogits, pooled, embeddings []float32
		hidden, qkv                            [][]float32 // by layer
	}
}

// Logits are those of Output.Logits: of PreTraining the masked LM's. NoHead has none.
func (a *Activations) Logits() ([]float32, error) { return a.read(&a.host.logits, a.logits()) }

// NextSentenceLogits are PreTraining's, [B,2].
func (a *Activations) NextSentenceLogits() ([]float32, error) {
	return a.read(&a.host.nextLogits, a.nextLogits())
}

// Pooled are the pooled vectors, [B,H], of a head that has a pooler.
func (a *Activations) Pooled() ([]float32, error) { return a.read(&a.host.pooled, a.pooled()) }

// Hidden are hidden states that Pass.Hidden lists, [T,H].
func (a *Activations) Hidden(layer int) ([]float32, error) {
	if err := a.checkLayer(layer); err != nil {
		return nil, err
	}
	return a.read(ofLayer(&a.host.hidden, layer), a.hidden(layer))
}

// QKV are the queries, keys and values of a layer that Pass.QKV lists, [T,3AD]: as Output.QKV has them.
func (a *Activations) QKV(layer int) ([]float32, error) {
	if err := a.checkQKV(layer); err != nil {
		return nil, err
	}
	return a.read(ofLayer(&a.host.qkv, layer), a.queriesKeysValues(layer))
}

// ofLayer is the element of a layer in a list that grows to it.
func ofLayer[T any](list *[]T, layer int) *T {
	for len(*list) <= layer {
		var none T
		*list = append(*list, none)
	}
	return &(*list)[layer]
}

// AddLogits adds a gradient at Logits.
func (a *Activations) AddLogits(gradient []float32) error {
	return a.add(&a.w.added.logits, "the logits", a.logits(), gradient)
}

// AddNextSentenceLogits adds a gradient at NextSentenceLogits.
func (a *Activations) AddNextSentenceLogits(gradient []float32) error {
	return a.add(&a.w.added.nextLogits, "the next-sentence logits", a.nextLogits(), gradient)
}

// AddPooled adds a gradient at Pooled.
func (a *Activations) AddPooled(gradient []float32) error {
	return a.add(&a.w.added.pooled, "the pooled vectors", a.pooled(), gradient)
}

// AddHidden adds a gradient at hidden states that Pass.Hidden lists. It is added to the gradient there that comes from the layers
// above.
func (a *Activations) AddHidden(layer int, gradient []float32) error {
	if err := a.checkLayer(layer); err != nil {
		return err
	}
	return a.add(ofLayer(&a.w.added.hidden, layer), "the hidden states", a.hidden(layer), gradient)
}

// AddQKV adds a gradient at the queries, keys and values of a layer that Pass.QKV lists. It is added to the gradient there that
// comes from the layer's attention.
func (a *Activations) AddQKV(layer int, gradient []float32) error {
	if err := a.checkQKV(layer); err != nil {
		return err
	}
	return a.add(ofLayer(&a.w.added.qkv, layer), "the queries, keys and values", a.queriesKeysValues(layer), gradient)
}

func (a *Activations) checkLayer(layer int) error {
	if !slices.Contains(a.layers, layer) {
		return fmt.Errorf("hidden states %d are not listed in Pass.Hidden, which has %v", layer, a.layers)
	}
	return nil
}

func (a *Activations) checkQKV(layer int) error {
	if !slices.Contains(a.qkv, layer) {
		return fmt.Errorf("queries, keys and values of layer %d are not listed in Pass.QKV, which has %v", layer, a.qkv)
	}
	return nil
}

// The buffers of the activations, none where the head does not have them.

func (a *Activations) logits() compute.Buffer {
	w := a.w
	switch info := heads[w.m.head]; {
	case info.output != "":
		return w.outputLogits()
	case info.maskedLM:
		return w.maskedLMLogits()
	case info.nextSentence:
		return w.nextSentenceLogits()
	}
	return compute.Buffer{}
}

func (a *Activations) nextLogits() compute.Buffer {
	if info := heads[a.w.m.head]; info.nextSentence && info.maskedLM {
		return a.w.nextSentenceLogits()
	}
	return compute.Buffer{}
}

func (a *Activations) pooled() compute.Buffer {
	w := a.w
	if !w.m.pooler {
		return compute.Buffer{}
	}
	return rows(w.pooled, w.b.Len(), w.m.config.HiddenSize)
}

func (a *Activations) hidden(layer int) compute.Buffer {
	w := a.w
	return rows(w.input(layer), w.b.Tokens(), w.m.config.HiddenSize)
}

func (a *Activations) queriesKeysValues(layer int) compute.Buffer {
	w := a.w
	return rows(w.layers[layer].qkv, w.b.Tokens(), 3*w.m.config.AttentionWidth(layer))
}

// read is the values of a buffer in memory that is used again.
func (a *Activations) read(memory *[]float32, b compute.Buffer) ([]float32, error) {
	*memory = slices.Grow((*memory)[:0], b.Len)[:b.Len]
	if b.Len == 0 {
		return *memory, nil
	}
	return *memory, a.w.device.Read(*memory, b)
}

// add adds a gradient at what.
func (a *Activations) add(to *addend, what string, at compute.Buffer, gradient []float32) error {
	if len(gradient) != at.Len {
		return fmt.Errorf("a gradient of %d values at %s, which are %d", len(gradient), what, at.Len)
	}
	if len(gradient) == 0 {
		return nil
	}
	return to.add(a.w, gradient)
}

// added are the caller's gradients, until they are added to those of the labels.
type added struct {
	logits, nextLogits, pooled addend
	hidden, qkv                []addend // by layer
	scratch                    compute.Buffer
}

// forget drops the gradients that a pass which ended early has left.
func (a *added) forget() {
	a.logits.n, a.nextLogits.n, a.pooled.n = 0, 0, 0
	for _, layers := range [][]addend{a.hidden, a.qkv} {
		for i := range layers {
			layers[i].n = 0
		}
	}
}

// addend is a gradient on the device, in memory that is used again.
type addend struct {
	buffer compute.Buffer
	n      int // elements; 0: there is no gradient
}

// add adds a gradient to g.
func (g *addend) add(w *workspace, gradient []float32) error {
	n := len(gradient)
	if g.n == 0 {
		if err := w.growTo(&g.buffer, n); err != nil {
			return err
		}
		g.n = n
		w.device.Write(g.buffer.Slice(0, n), gradient)
		return nil
	}
	if err := w.growTo(&w.added.scratch, n); err != nil {
		return err
	}
	w.device.Write(w.added.scratch.Slice(0, n), gradient)
	w.device.Add(g.buffer.Slice(0, n), w.added.scratch.Slice(0, n))
	return nil
}

// into adds the gradient, if there is one, to that in dst and forgets it.
func (g *addend) into(w *workspace, dst compute.Buffer) {
	if g.n > 0 {
		w.device.Add(dst, g.buffer.Slice(0, g.n))
		g.n = 0
	}
}

// growTo makes a buffer hold n elements.
func (w *workspace) growTo(b *compute.Buffer, n int) error {
	if n <= b.Len {
		return nil
	}
	buffer, err := w.device.Alloc(n + n/8)
	if err != nil {
		return err
	}
	*b = buffer
	return nil
}

// hiddenInto adds what was added at the hidden states of a layer to w.dHidden, which holds the gradient there.
func (w *workspace) hiddenInto(layer int) {
	if layer < len(w.added.hidden) && w.added.hidden[layer].n > 0 {
		w.added.hidden[layer].into(w, rows(w.dHidden, w.b.Tokens(), w.m.config.HiddenSize))
	}
}

// addsQKV reports whether a gradient was added at the queries, keys and values of a layer.
func (w *workspace) addsQKV(layer int) bool {
	return layer < len(w.added.qkv) && w.added.qkv[layer].n > 0
}

// qkvInto adds what was added at the queries, keys and values of a layer to w.dQKV, which holds the gradient there.
func (w *workspace) qkvInto(layer int) {
	if w.addsQKV(layer) {
		w.added.qkv[layer].into(w, rows(w.dQKV, w.b.Tokens(), 3*w.m.config.AttentionWidth(layer)))
	}
}
