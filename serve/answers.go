package serve

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// This file is what handlers ask for: answers, by use. Values are shared with other calls that ask the same, and so are not to be
// changed.

// inputOptions are what a request may say of its inputs, whatever it asks.
type inputOptions struct {
	truncate  Truncate
	maxTokens int      // of a sequence; 0: what the model takes. More than that is the same
	partial   bool     // a bad input has an error in its facts. Otherwise it fails the call
	priority  Priority // the zero value leaves it to the header and the number of tokens
	// stream says that the inputs are part of a longer stream, whose next ones are not read before these are answered: they wait for
	// room in the queue as long as it takes.
	stream bool
}

// facts say what became of an input.
type facts struct {
	tokens  int    // that the model read: of all sequences, [CLS] and [SEP] included
	dropped int    // tokens of the input that it didn't get to read
	cached  bool   // the answer was computed before, or for another call
	err     *Error // of a call with inputOptions.partial; else nil
}

// answers are those to the inputs of a call, in their order.
type answers[T any] struct {
	model  *model
	values []T // of an input with an error the zero value
	facts  []facts
}

// tokens is the number of tokens of all inputs.
func (a *answers[T]) tokens() int {
	n := 0
	for i := range a.facts {
		n += a.facts[i].tokens
	}
	return n
}

// model finds a model by its name, for a use: "" is the first that was made for it. The call holds it until it ends.
func (c *call) model(name string, u Use) (*model, error) {
	m, err := c.s.registry.find(name, u)
	if err != nil {
		return nil, err
	}
	c.models = append(c.models, m)
	if err := m.can(u); err != nil {
		return nil, err
	}
	c.facts.model = m.name
	c.use = u
	return m, nil
}

// peek is a model by its name, to say something about it; nil where it isn't loaded. The call holds it until it ends.
func (c *call) peek(name string) *model {
	m, err := c.s.registry.find(name, NoUse)
	if err != nil {
		return nil
	}
	c.models = append(c.models, m)
	return m
}

// embedOptions are those of vectors.
type embedOptions struct {
	inputOptions
	normalize *bool // nil: as the dialect does
	// dimensions is the number of elements that are kept of a vector; 0: all. A vector that is normalized is so afterwards.
	dimensions int
	prompt     *string // put before each text; nil: that of promptName or, without one, the model's own
	promptName string
}

func (o *embedOptions) key(u Use, m *model) laneKey {
	key := laneKey{use: u, pooling: m.pooling(), promptName: o.promptName}
	if o.prompt != nil {
		key.prompt, key.ownPrompt = *o.prompt, true
	}
	return key
}

// embed gives vectors [D].
func (c *call) embed(m *model, inputs []data.Input, o embedOptions) (*answers[[]float32], error) {
	encoded, err := ask[task.Encoded](c, m, o.key(Embed, m), inputs, &o.inputOptions)
	if err != nil {
		return nil, err
	}
	normalize := c.dialect.normalize
	if o.normalize != nil {
		normalize = *o.normalize
	}
	out := &answers[[]float32]{m, make([][]float32, len(inputs)), encoded.facts}
	for i := range encoded.values {
		v := encoded.values[i].Pooled
		if v == nil {
			continue
		}
		if n := o.dimensions; n < 0 || n > len(v) {
			return nil, errorf(BadRequest, "dimensions is %d, the vectors of %s have %d", n, m.name, len(v)).param("dimensions")
		} else if n > 0 {
			v = v[:n:n]
		}
		if normalize {
			v = append([]float32(nil), v...)
			sentence.Normalize(v)
		}
		out.values[i] = v
	}
	return out, nil
}

// embedTokens gives the hidden states of each token, in Layers[0].Values [n,H], beside Tokens.
func (c *call) embedTokens(m *model, inputs []data.Input, o embedOptions) (*answers[task.Encoded], error) {
	return ask[task.Encoded](c, m, o.key(EmbedTokens, m), inputs, &o.inputOptions)
}

// predictOptions are those of the answers that a model was fine-tuned for.
type predictOptions struct {
	inputOptions
	docStride int // tokens from one window of a long text to the next; 0: as the model says
	// nullable says whether a question may have no answer; nil: as the model says.
	nullable *bool
}

// minStride bounds how many windows a long text may have.
const minStride = 16

// predict gives the answers that a model was fine-tuned for. u is Classify, Tag, Answer or Choose, by what inputs have to be: texts or
// pairs; texts or words; a question with its context; a text with choices.
func (c *call) predict(u Use, m *model, inputs []data.Input, o predictOptions) (*answers[task.Prediction], error) {
	if n := o.docStride; n < 0 || n > 0 && n < minStride {
		return nil, errorf(BadRequest, "windows are %d tokens apart, want at least %d", n, minStride).param("doc_stride")
	}
	for i := range inputs {
		if n := len(inputs[i].Choices); n > c.s.options.MaxInputs {
			return nil, errorf(TooManyInputs, "%d choices, want at most %d", n, c.s.options.MaxInputs).atInput(i)
		}
	}
	key := laneKey{use: u, docStride: o.docStride}
	if o.nullable != nil {
		if key.nullable = -1; *o.nullable {
			key.nullable = 1
		}
	}
	return ask[task.Prediction](c, m, key, inputs, &o.inputOptions)
}

// fillMask gives the topK most probable tokens for each masked place. Such texts are not truncated.
func (c *call) fillMask(m *model, inputs []data.Input, topK int, o inputOptions) (*answers[[]task.Mask], error) {
	if topK < 1 || topK > maxTopK {
		return nil, errorf(BadRequest, "top_k is %d, want 1 to %d", topK, maxTopK).param("top_k")
	}
	return ask[[]task.Mask](c, m, laneKey{use: FillMask, topK: topK}, inputs, &o)
}

// maxTopK bounds the candidates of a masked place.
const maxTopK = 1000

// zeroShot gives texts some of the labels.
func (c *call) zeroShot(m *model, inputs []data.Input, z task.ZeroShotOptions, o inputOptions) (*answers[task.Prediction], error) {
	if n := len(z.Labels); n > c.s.options.MaxInputs {
		return nil, errorf(TooManyInputs, "%d labels, want at most %d", n, c.s.options.MaxInputs).param("labels")
	}
	key := laneKey{use: ZeroShot, labels: encodeLabels(z.Labels), template: z.Template, multiLabel: z.MultiLabel}
	return ask[task.Prediction](c, m, key, inputs, &o)
}

// compare tells how alike a text and each of others are, by their vectors. Facts are of all texts, the first that of text.
func (c *call) compare(m *model, text string, others []string, o embedOptions) (*answers[float64], error) {
	vectors, err := ask[task.Encoded](c, m, o.key(Embed, m), data.Texts(append([]string{text}, others...)...), &o.inputOptions)
	if err != nil {
		return nil, err
	}
	out := &answers[float64]{m, make([]float64, len(others)), vectors.facts}
	for i := range others {
		if a, b := vectors.values[0].Pooled, vectors.values[i+1].Pooled; a != nil && b != nil {
			out.values[i] = m.similarity(a, b)
		}
	}
	return out, nil
}

// relevance is how well a text answers a query.
type relevance struct {
	score float64 // as the model's head means it: a probability, or what its activation gives
	raw   float32 // the logit, of a model with two labels the difference of theirs
}

// rerank tells how well each text answers a query.
func (c *call) rerank(m *model, query string, texts []string, o inputOptions) (*answers[relevance], error) {
	inputs := make([]data.Input, len(texts))
	for i, text := range texts {
		inputs[i] = data.Input{Text: query, TextPair: text, Pair: true}
	}
	p, err := ask[task.Prediction](c, m, laneKey{use: Rerank}, inputs, &o)
	if err != nil {
		return nil, err
	}
	out := &answers[relevance]{m, make([]relevance, len(texts)), p.facts}
	spec := m.description().Spec
	for i := range p.values {
		v := &p.values[i]
		switch {
		case v.Value != nil:
			out.values[i] = relevance{*v.Value, v.Logits[0]}
		case len(v.Logits) == 2:
			yes := 1
			if spec.Positive == spec.Labels[0] {
				yes = 0
			}
			out.values[i] = relevance{v.Probabilities[yes].Value, v.Logits[yes] - v.Logits[1-yes]}
		}
	}
	return out, nil
}

// token is a token of a text.
type token struct {
	id         int32
	text       string
	special    bool
	start, end int // in the unit that was asked for; −1 of tokens that the template adds
}

// tokenize gives the tokens of a text, all of them.
func (c *call) tokenize(m *model, text string, special bool, unit OffsetUnit) ([]token, error) {
	t := m.tokenizer()
	if t == nil {
		return nil, asError(&Error{Kind: WrongTask, Message: m.shared.TokenizerError().Error(), Index: -1})
	}
	if c.ctx.Err() != nil {
		return nil, c.ctx.Err()
	}
	start := time.Now()
	var e tokenizer.Encoding
	if err := t.Encode(&e, text, tokenizer.Options{OmitSpecialTokens: !special}); err != nil {
		return nil, &Error{Kind: BadInput, Message: err.Error(), Index: -1, Cause: err}
	}
	out := make([]token, e.Len())
	places := newOffsets(text, unit)
	for i, id := range e.IDs {
		out[i] = token{id: id, special: t.IsSpecial(id), start: -1, end: -1}
		out[i].text, _ = t.Token(id)
		if e.SpecialTokensMask[i] == 0 {
			out[i].start, out[i].end = places.at(int(e.Offsets[i].Start)), places.at(int(e.Offsets[i].End))
		}
	}
	c.facts.inputs++
	c.facts.characters += utf8.RuneCountInString(text)
	c.facts.tokens += len(out)
	c.facts.tokenize += time.Since(start)
	return out, nil
}

// decodeIDs gives the text of ids. An id that no token has is an error.
func (c *call) decodeIDs(m *model, ids []int32, skipSpecial bool) (string, error) {
	t := m.tokenizer()
	if t == nil {
		return "", errorf(WrongTask, "%v", m.shared.TokenizerError())
	}
	for i, id := range ids {
		if _, ok := t.Token(id); !ok {
			return "", errorf(BadInput, "id %d, the number %d, is not in the vocabulary of %d", id, i+1, t.VocabSize())
		}
	}
	c.facts.inputs++
	c.facts.tokens += len(ids)
	return t.Decode(ids, skipSpecial), nil
}

// encodeLabels makes one string of labels, so that they can be part of a key.
func encodeLabels(labels []string) string {
	var b []byte
	for _, l := range labels {
		b = binary.AppendUvarint(b, uint64(len(l)))
		b = append(b, l...)
	}
	return string(b)
}

func decodeLabels(s string) []string {
	var labels []string
	for b := []byte(s); len(b) > 0; {
		n, size := binary.Uvarint(b)
		labels = append(labels, string(b[size:size+int(n)]))
		b = b[size+int(n):]
	}
	return labels
}
