package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// Method is how an Explanation is found. Package explain has the algorithms.
type Method uint8

const (
	// IntegratedGradients adds up to the difference between the text and a baseline without it.
	IntegratedGradients Method = iota
	// GradientInput is the gradient times the embeddings.
	GradientInput
	// GradientNorm is the length of the gradient, without a sign.
	GradientNorm
	// Occlusion is by how much the number falls where [MASK] takes the place of a word.
	Occlusion
	// AttentionGradient is the attention that raises the number, followed through the layers: see explain.GradientRollout.
	AttentionGradient
	// LastAttention is the attention of the last layer's heads, on average, of the token at which the number is read. It knows
	// nothing of the number.
	LastAttention
	// LastNorms is LastAttention by the length of what is moved: see NormWeights.
	LastNorms
)

var methodNames = [...]string{
	IntegratedGradients: "ig", GradientInput: "grad-input", GradientNorm: "grad-norm", Occlusion: "occlusion",
	AttentionGradient: "attention-gradient", LastAttention: "attention", LastNorms: "attention-norm",
}

func (m Method) String() string {
	if int(m) >= len(methodNames) {
		return fmt.Sprintf("Method(%d)", m)
	}
	return methodNames[m]
}

// Methods lists what ParseMethod reads.
func Methods() []string { return slices.Clone(methodNames[:]) }

// ParseMethod reads a name that Methods lists.
func ParseMethod(name string) (Method, error) {
	if i := slices.Index(methodNames[:], name); i >= 0 {
		return Method(i), nil
	}
	return 0, fmt.Errorf("method %s: want %s", message.Quote(name), strings.Join(methodNames[:], ", "))
}

// MarshalText writes String.
func (m Method) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMethod.
func (m *Method) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMethod(string(text))
	return err
}

// Baseline is what an explanation puts in the place of a text's words.
type Baseline uint8

const (
	// DefaultBaseline is PadBaseline of IntegratedGradients and MaskBaseline of Occlusion. The others have none.
	DefaultBaseline Baseline = iota
	PadBaseline              // the embedding of [PAD]
	MaskBaseline             // that of [MASK]
	UnknownBaseline          // that of [UNK]
	ZeroBaseline             // zeros, which are no token's embedding
)

var baselineNames = [...]string{DefaultBaseline: "auto", PadBaseline: "pad", MaskBaseline: "mask", UnknownBaseline: "unk", ZeroBaseline: "zero"}

func (b Baseline) String() string {
	if int(b) >= len(baselineNames) {
		return fmt.Sprintf("Baseline(%d)", b)
	}
	return baselineNames[b]
}

// Baselines lists what ParseBaseline reads.
func Baselines() []string { return slices.Clone(baselineNames[:]) }

// ParseBaseline reads auto, pad, mask, unk or zero.
func ParseBaseline(name string) (Baseline, error) {
	if i := slices.Index(baselineNames[:], name); i >= 0 {
		return Baseline(i), nil
	}
	return 0, fmt.Errorf("baseline %s: want %s", message.Quote(name), strings.Join(baselineNames[:], ", "))
}

// MarshalText writes String.
func (b Baseline) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText is ParseBaseline.
func (b *Baseline) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBaseline(string(text))
	return err
}

// ExplainOptions say what Explain explains, and how. The zero value is good.
type ExplainOptions struct {
	Method   Method
	Baseline Baseline
	Quantity Quantity
	// Label is the label, or of multiple choice the choice, that is asked about where an input has no Target; "": the answer's.
	Label string
	// Path says how exactly IntegratedGradients integrates.
	Path explain.IntegratedOptions
}

// Explanation says what in an input an answer comes from.
type Explanation struct {
	Method   Method   `json:"method"`
	Baseline Baseline `json:"baseline,omitzero"`
	// Targets are what is explained: the answer's label; each label of several; each word in an entity; the ends of an answer.
	// There are none where a text has no entities.
	Targets []Attributed `json:"targets"`
	// Windows is the number of windows that a long input was read in; 0: in one piece. Truncated says that DroppedTokens were cut.
	Windows       int  `json:"windows,omitempty"`
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// Attributed is the explanation of one number.
//
// Legend: n tokens.
type Attributed struct {
	Target Target `json:"target"`
	Window int    `json:"window,omitempty"` // that is explained: the one with the largest logit; from 0
	// Value is the number, and BaselineValue what it is at the baseline, of IntegratedGradients.
	Value         float32  `json:"value"`
	BaselineValue *float32 `json:"baseline_value,omitempty"`
	// Delta is by how much the scores add up to more than Value − BaselineValue, Complete says that it is within the tolerance,
	// and Points is how many points the path has, of IntegratedGradients.
	Delta    *float32 `json:"delta,omitempty"`
	Complete *bool    `json:"complete,omitempty"`
	Points   int      `json:"points,omitempty"`

	Words  []WordScore `json:"words"`  // in the order of the sequence
	Tokens []string    `json:"tokens"` // [n]
	// Scores are those of the tokens; 0 for [CLS] and [SEP], which stay as they are. Of Occlusion, which takes words as a whole,
	// a word's score is that of its first token.
	Scores []float32 `json:"scores"` // [n]
}

// WordScore is the share of a word: the sum of its pieces.
type WordScore struct {
	Text string `json:"text"`
	// Start and End are its place in bytes, in the text or with Pair in its second part: a text_pair, a context, a choice. Of
	// given words they count in the words with a blank between each two.
	Start int     `json:"start"`
	End   int     `json:"end"`
	Pair  bool    `json:"pair,omitempty"`
	Score float32 `json:"score"`
}

// Name says to people what is explained: the label, an entity's word with its label, the end of an answer.
func (a *Attributed) Name() string {
	if t := &a.Target; t.Side == "" && t.FirstPiece != nil {
		return t.named(a.Tokens[*t.FirstPiece] + ": " + t.Label)
	}
	return a.Target.Name()
}

// wrongShare is the share of the difference above which a delta is an alarm.
const wrongShare = 0.05

// Wrong says that the scores don't add up to what they explain: that Delta is beyond the tolerance, or beyond 5 % of the difference
// and 0.001. It is false of methods without a Delta.
func (a *Attributed) Wrong() bool {
	if a.Delta == nil {
		return false
	}
	delta := math.Abs(float64(*a.Delta))
	return !*a.Complete || delta > wrongShare*math.Abs(float64(a.Value-*a.BaselineValue)) && delta > 1e-3
}

// GoldTarget is the data.Input.Target for the example's own label, of a kind whose examples have one label or right choice.
func GoldTarget(k Kind, x *data.Example) (string, error) {
	switch {
	case k != SingleLabel && k != MultipleChoice:
		return "", fmt.Errorf("examples of %v have no single label to explain: want those of %v or %v", k, SingleLabel, MultipleChoice)
	case x.Label == "":
		return "", data.ErrNoLabel
	case k == SingleLabel:
		return x.Label, nil
	}
	right, err := strconv.Atoi(x.Label)
	if err != nil || right < 0 || right >= len(x.Choices) {
		return "", fmt.Errorf("label %s is not one of the choices 0 to %d", message.Quote(x.Label), len(x.Choices)-1)
	}
	return x.Choices[right], nil
}

// explainTokens is the most tokens of a batch that goes back: each layer's activations are kept.
const explainTokens = 2048

// Explain says what in an input its answer comes from. What varies is the word embeddings, before those of position and type are
// added; [CLS] and [SEP] stay. An input needs a text: ids have no words to show.
func Explain(o ExplainOptions) Use[Explanation] {
	return Use[Explanation]{asked: Predicting, gradients: true, start: func(e *engine, d *Description) (*work[Explanation], error) {
		x, err := newExplainer(e, d, o)
		if err != nil {
			return nil, err
		}
		// An explanation takes many passes, so a stream waits for few of them.
		return &work[Explanation]{prepare: x.prepare, answer: answering(x, x.explain), budget: 1}, nil
	}}
}

type explainer struct {
	*engine
	kind    *kindInfo
	options ExplainOptions
	base    []float32                             // [H]: the row of the baseline; nil where the method has none
	weights func() ([]explain.HeadWeights, error) // of all layers
}

func newExplainer(e *engine, d *Description, o ExplainOptions) (*explainer, error) {
	x := &explainer{engine: e, kind: d.Spec.Kind.info(), options: o, weights: sync.OnceValues(e.headWeights)}
	if err := x.setBaseline(); err != nil {
		return nil, err
	}
	if q := o.Quantity; int(q) >= len(quantityNames) {
		return nil, fmt.Errorf("there is no %v", q)
	}
	if o.Label != "" && !x.kind.choices {
		if _, err := (&question{label: o.Label}).labelOf(d.Spec.Labels); err != nil {
			return nil, err
		}
	}
	e.spec, e.options = d.Spec, d.Spec.options()
	e.tokens = min(e.tokens, explainTokens)
	return x, nil
}

// setBaseline finds the row that takes the place of words.
func (x *explainer) setBaseline() error {
	b := &x.options.Baseline
	switch m := x.options.Method; m {
	case IntegratedGradients:
		if *b == DefaultBaseline {
			*b = PadBaseline
		}
	case Occlusion:
		if *b == DefaultBaseline {
			*b = MaskBaseline
		}
	case GradientInput, GradientNorm, AttentionGradient, LastAttention, LastNorms:
		if *b != DefaultBaseline {
			return fmt.Errorf("%v has no baseline: want %v or %v", m, IntegratedGradients, Occlusion)
		}
		return nil
	default:
		return fmt.Errorf("there is no %v", m)
	}
	t := x.tokenizer
	id := int32(-1)
	switch *b {
	case PadBaseline:
		id = t.PadID()
	case MaskBaseline:
		id = t.MaskID()
	case UnknownBaseline:
		id = t.UnknownID()
	case ZeroBaseline:
		x.base = make([]float32, x.model.Config().HiddenSize)
		return nil
	default:
		return fmt.Errorf("there is no %v", *b)
	}
	if id < 0 {
		return fmt.Errorf("the vocabulary has no token for the baseline %v: want %v", *b, ZeroBaseline)
	}
	var err error
	x.base, err = x.model.WordEmbeddings([]int32{id})
	return err
}

func (x *explainer) prepare(scratch *tokenizer.Encoding, in *data.Input) (prepared, error) {
	if in.IDs != nil {
		return prepared{}, errors.New("ids, but an explanation is of words: want a text")
	}
	p, err := x.prepareMany(in, true, func(add func(*tokenizer.Encoding)) error {
		return x.kind.codec.encode(&x.featurizer, in, scratch, add)
	})
	if err == nil && p.long {
		err = fmt.Errorf("%s sequences of %s tokens in all, too many to explain: want a shorter text", message.Thousands(p.count), message.Thousands(p.tokens))
	}
	return p, err
}

// answering answers inputs one by one, with the logits of their sequences.
func answering[T any](x *explainer, one func(ctx context.Context, in *prepared, logits [][]float32) (T, error)) func(context.Context, []prepared) ([]T, error) {
	return func(ctx context.Context, inputs []prepared) ([]T, error) {
		logits, err := allLogits(ctx, x.withSession, sequences(flatten(inputs)), x.model.Head(), x.tokens, nil)
		if err != nil {
			return nil, err
		}
		out := make([]T, len(inputs))
		for i := range inputs {
			in := &inputs[i]
			n := len(in.sequences)
			if out[i], err = one(ctx, in, logits[:n]); err != nil {
				if ctx.Err() != nil {
					return nil, err
				}
				return nil, &InputError{i, err}
			}
			logits = logits[n:]
		}
		return out, nil
	}
}

// explain explains an input, of whose sequences logits are.
func (x *explainer) explain(ctx context.Context, in *prepared, logits [][]float32) (Explanation, error) {
	out := Explanation{
		Method: x.options.Method, Baseline: x.options.Baseline, Targets: []Attributed{},
		Truncated: in.dropped > 0, DroppedTokens: in.dropped,
	}
	if !x.kind.choices && in.count > 1 {
		out.Windows = in.count
	}
	aims, err := x.aims(in, logits)
	if err != nil {
		return out, err
	}
	for _, a := range aims {
		t, err := x.attribute(ctx, &in.input, &in.sequences[a.sequence], &a)
		if err != nil {
			return out, err
		}
		if out.Windows > 0 {
			t.Window = a.sequence
		}
		out.Targets = append(out.Targets, *t)
	}
	return out, nil
}

// aims are what is explained of an input.
func (x *explainer) aims(in *prepared, logits [][]float32) ([]aim, error) {
	q := &question{x.options.Quantity, cmp.Or(in.input.Target, x.options.Label), &in.input}
	return x.kind.codec.aims(x.spec, q, in.sequences, logits)
}

// attribute explains an aim at a sequence.
func (x *explainer) attribute(ctx context.Context, in *data.Input, s *sequence, a *aim) (*Attributed, error) {
	point, base, err := x.points(s)
	if err != nil {
		return nil, err
	}
	var (
		h      = len(point) / len(s.ids)
		f      = &modelFunction{x.engine, s, a}
		words  = sequenceWords(s)
		out    = &Attributed{Target: a.target, Tokens: x.tokenizer.Tokens(s.ids), Scores: make([]float32, len(s.ids)), Words: []WordScore{}}
		result *explain.Attribution
	)
	tokens := make([]float64, len(s.ids))
	switch x.options.Method {
	case IntegratedGradients, GradientInput:
		if x.options.Method == GradientInput {
			result, err = explain.GradientTimesInput(ctx, f, point)
		} else {
			result, err = explain.IntegratedGradients(ctx, f, point, base, x.options.Path)
		}
		if err == nil {
			for i, v := range result.Values {
				tokens[i/h] += v
			}
		}
	case GradientNorm:
		if result, err = explain.GradientNorms(ctx, f, point, coordinates(h, upTo(len(s.ids)))); err == nil {
			copy(tokens, result.Values)
		}
	case AttentionGradient:
		if result, err = f.relevance(ctx); err == nil {
			copy(tokens, result.Values)
		}
	case LastAttention, LastNorms:
		if result, err = x.lastAttention(ctx, f); err == nil {
			copy(tokens, result.Values)
		}
	case Occlusion:
		if result, err = explain.Occlusion(ctx, f, point, base, wordCoordinates(words, h)); err == nil {
			for w, v := range result.Values {
				tokens[words[w].tokens[0]] = v
			}
		}
	}
	if err != nil {
		return nil, err
	}
	out.Value = float32(result.At)
	if x.options.Method == IntegratedGradients {
		baseline, delta := float32(result.AtBaseline), float32(result.Delta)
		out.BaselineValue, out.Delta, out.Complete, out.Points = &baseline, &delta, &result.Complete, result.Points
	}
	for i, v := range tokens {
		if s.words[i] >= 0 {
			out.Scores[i] = float32(v)
		}
	}
	for _, w := range words {
		score := 0.0
		for _, t := range w.tokens {
			score += tokens[t]
		}
		shown := w.show(in, a, x.longBytes, out.Tokens)
		shown.Score = float32(score)
		out.Words = append(out.Words, shown)
	}
	return out, nil
}

// lastAttention is the attention of the tokens at which an aim is read, in the last layer: the mean of its heads, or of the lengths
// of what they move.
func (x *explainer) lastAttention(ctx context.Context, f *modelFunction) (*explain.Attribution, error) {
	var (
		c   = f.model.Config()
		n   = len(f.s.ids)
		out = &explain.Attribution{Values: make([]float64, n)}
	)
	err := f.alone(ctx, func(s *bert.Session, b *bert.Batch) error {
		pass, err := s.Forward(b, bert.Outputs{Attentions: true, Hidden: x.options.Method == LastNorms})
		if err != nil {
			return err
		}
		logits := pass.Logits
		if f.besides() {
			logits = pass.NextSentenceLogits
		}
		out.At = f.aim.at(logits, nil)
		last := c.NumHiddenLayers - 1
		heads := make([][][]float32, c.Heads(last))
		for h := range heads {
			heads[h] = rows(pass.Attentions[last][h*n*n:(h+1)*n*n], n, n)
		}
		if x.options.Method == LastNorms {
			weights, err := x.weights()
			if err != nil {
				return err
			}
			if heads, err = weights[last].ValueNorms(heads, rows(pass.Hidden[last], n, c.HiddenSize), 0); err != nil {
				return err
			}
		}
		for _, head := range heads {
			for _, from := range f.aim.tokens {
				for to, w := range head[from] {
					out.Values[to] += float64(w) / float64(len(heads)*len(f.aim.tokens))
				}
			}
		}
		return nil
	})
	return out, err
}

// points are the embeddings of a sequence and those with the baseline in the place of its words.
func (x *explainer) points(s *sequence) (point, base []float64, err error) {
	rows, err := x.model.WordEmbeddings(s.ids)
	if err != nil {
		return nil, nil, err
	}
	h := len(rows) / len(s.ids)
	point, base = make([]float64, len(rows)), make([]float64, len(rows))
	for i, v := range rows {
		point[i], base[i] = float64(v), float64(v)
		if x.base != nil && s.words[i/h] >= 0 {
			base[i] = float64(x.base[i%h])
		}
	}
	return point, base, nil
}

// wordCoordinates are the places of words among embeddings of width h.
func wordCoordinates(words []wordTokens, h int) [][]int {
	groups := make([][]int, len(words))
	for w := range words {
		groups[w] = slices.Concat(coordinates(h, words[w].tokens)...)
	}
	return groups
}

// coordinates are the places of the rows of tokens among embeddings of width h.
func coordinates(h int, tokens []int) [][]int {
	out := make([][]int, len(tokens))
	for i, t := range tokens {
		out[i] = make([]int, h)
		for j := range out[i] {
			out[i][j] = t*h + j
		}
	}
	return out
}

// wordTokens are the tokens of a word.
type wordTokens struct {
	word       int  // its number in its text
	pair       bool // it is in the second text
	tokens     []int
	start, end int // bytes of its text; of given words, of the word
}

// sequenceWords are the words of a sequence.
func sequenceWords(s *sequence) []wordTokens {
	var words []wordTokens
	for t, word := range s.words {
		if word < 0 {
			continue
		}
		pair, o := s.typeIDs[t] == 1, s.offsets[t]
		if n := len(words); n == 0 || words[n-1].word != int(word) || words[n-1].pair != pair {
			words = append(words, wordTokens{word: int(word), pair: pair, start: int(o.Start)})
		}
		w := &words[len(words)-1]
		w.tokens, w.end = append(w.tokens, t), int(o.End)
	}
	return words
}

// show is a word as it is in the input. Of a text that was shortened before it was encoded, places are unknown, and a word is its
// pieces.
func (w *wordTokens) show(in *data.Input, a *aim, longBytes int, pieces []string) WordScore {
	out := WordScore{Start: w.start, End: w.end, Pair: w.pair}
	text := in.Text
	switch {
	case in.Words != nil:
		for _, before := range in.Words[:w.word] {
			out.Start, out.End = out.Start+len(before)+1, out.End+len(before)+1
		}
		text = strings.Join(in.Words, " ")
	case w.pair && in.Choices != nil:
		text = in.Choices[a.sequence]
		if in.TextPair != "" {
			text = in.TextPair + " " + text
		}
	case w.pair:
		text = in.TextPair
	}
	if len(text) > longBytes || out.Start > out.End || out.End > len(text) {
		for _, t := range w.tokens {
			out.Text += strings.TrimPrefix(pieces[t], "##")
		}
		out.Start, out.End = 0, 0
		return out
	}
	out.Text = text[out.Start:out.End]
	return out
}
