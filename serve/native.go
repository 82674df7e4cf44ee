package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/task"
)

// native is our own dialect: what the library answers, for each use at a path of its own, with what became of each input.
//
//	POST /bert/v1/embed {"model": "m", "inputs": ["a text", {"text": "a", "text_pair": "b"}, {"ids": [101, 102]}]}
//	→ {"model": "m", "answers": [{"vector": [0.1], "tokens": 5}, …]}
//
// Inputs are texts, or objects as data.ParseInput reads them. Errors are {"error": {"kind", "message", "param", "input", "request_id"}}.
var native = dialect{
	name: "bert", writeError: writeJSONError, truncate: TruncateRight, offsets: Bytes,
	routes: append(nativeUses(),
		route{method: "GET", pattern: "/bert/v1/models", handle: nativeModels},
		route{method: "POST", pattern: "/bert/v1/stream/{use}", handle: nativeStream},
	),
}

// nativeUses has a route for each use.
func nativeUses() []route {
	var routes []route
	for u := Embed; int(u) < len(useTable); u++ {
		if u != Tokenize {
			routes = append(routes, route{method: "POST", pattern: "/bert/v1/" + u.String(), use: u, handle: func(c *call) error { return nativeUse(c, u) }})
		}
	}
	return append(routes, route{method: "POST", pattern: "/bert/v1/tokenize", use: Tokenize, handle: nativeTokenize})
}

// nativeRequest is a body, or the query of a stream. Which fields count depends on the use.
type nativeRequest struct {
	Model     string    `json:"model"`
	Inputs    inputList `json:"inputs"`
	Truncate  string    `json:"truncate"`   // right, left or error
	MaxTokens int       `json:"max_tokens"` // of a sequence
	Partial   bool      `json:"partial"`    // a bad input has an error in the place of its answer
	Priority  string    `json:"priority"`   // interactive or bulk
	Offsets   string    `json:"offset_unit"`
	Texts     []string  `json:"texts"`  // of rerank and similarity
	Query     string    `json:"query"`  // of rerank; of similarity the text that the others are compared with
	Labels    []string  `json:"labels"` // of zero_shot
	Template  string    `json:"template"`
	Multi     bool      `json:"multi_label"`
	TopK      int       `json:"top_k"` // of fill_mask; 0: 5
	Normalize *bool     `json:"normalize"`
	Dims      int       `json:"dimensions"`
	Prompt    *string   `json:"prompt"`
	PromptID  string    `json:"prompt_name"`
	Format    string    `json:"format"` // of vectors: see vectorFormats
	Stride    int       `json:"doc_stride"`
	Nullable  *bool     `json:"nullable"`
	Special   *bool     `json:"special_tokens"` // of tokenize; true unless said otherwise
}

// inputList reads a text, an object, or a list of these.
type inputList []data.Input

func (l *inputList) UnmarshalJSON(b []byte) error {
	one := bytes.TrimLeft(b, " \t\r\n")
	if len(one) == 0 || one[0] != '[' {
		in, err := parseInput(b)
		if err != nil {
			return err
		}
		*l = inputList{in}
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*l = make(inputList, len(raw))
	for i := range raw {
		var err error
		if (*l)[i], err = parseInput(raw[i]); err != nil {
			return asError(err).atInput(i)
		}
	}
	return nil
}

// parseInput reads a text in quotes, or an object.
func parseInput(b []byte) (data.Input, error) {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '"':
		var text string
		err := json.Unmarshal(b, &text)
		return data.Input{Text: text}, err
	case len(b) > 0 && b[0] == '{':
		in, err := data.ParseInput(b)
		if err != nil {
			return in, errorf(BadRequest, "%v", err).param("inputs")
		}
		return in, nil
	}
	return data.Input{}, errorf(BadRequest, "an input is %s, want a text or an object with text, words or ids", message.Quote(string(b[:min(len(b), 64)]))).param("inputs")
}

// inputOptions are what the request says of all inputs.
func (q *nativeRequest) inputOptions() (inputOptions, error) {
	o := inputOptions{maxTokens: q.MaxTokens, partial: q.Partial}
	var err error
	if q.Truncate != "" {
		if o.truncate, err = ParseTruncate(q.Truncate); err != nil {
			return o, asError(err).param("truncate")
		}
	}
	if q.MaxTokens < 0 || q.MaxTokens > 0 && q.MaxTokens < 3 {
		return o, errorf(BadRequest, "max_tokens is %d, want at least 3", q.MaxTokens).param("max_tokens")
	}
	switch strings.ToLower(q.Priority) {
	case "":
	case "interactive":
		o.priority = Interactive
	case "bulk":
		o.priority = Bulk
	default:
		return o, errorf(BadRequest, "priority %s: want interactive or bulk", message.Quote(q.Priority)).param("priority")
	}
	return o, nil
}

// nativeAnswers are the answers to inputs, to be written as JSON.
type nativeAnswers struct {
	model *model
	facts []facts
	first int                                   // of facts, that of the first answer
	write func(b []byte, i int) ([]byte, error) // appends fields of answer i, with a comma after each
	// vectors are those of embed, which may be written in other formats.
	vectors [][]float32
}

// nativeAsk has the inputs of a request answered.
func nativeAsk(c *call, u Use, m *model, q *nativeRequest, o inputOptions) (*nativeAnswers, error) {
	unit := c.dialect.offsets
	if q.Offsets != "" {
		var err error
		if unit, err = ParseOffsetUnit(q.Offsets); err != nil {
			return nil, asError(err).param("offset_unit")
		}
	}
	embed := embedOptions{inputOptions: o, normalize: q.Normalize, dimensions: q.Dims, prompt: q.Prompt, promptName: q.PromptID}
	out := &nativeAnswers{model: m}
	field := func(b []byte, name string, v any) ([]byte, error) {
		b = append(appendString(b, name), ':')
		b, err := appendJSON(b, v)
		return append(b, ','), err
	}
	var err error
	switch u {
	case Embed:
		a, e := c.embed(m, q.Inputs, embed)
		if err = e; err == nil {
			out.facts, out.vectors = a.facts, a.values
			out.write = func(b []byte, i int) ([]byte, error) {
				return append(appendVector(append(b, `"vector":`...), a.values[i]), ','), nil
			}
		}
	case EmbedTokens:
		a, e := c.embedTokens(m, q.Inputs, embed)
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) {
				b, err := field(b, "token_texts", a.values[i].Tokens)
				b = append(b, `"vectors":[`...)
				for k, row := range a.values[i].Layers[0].Values {
					if k > 0 {
						b = append(b, ',')
					}
					b = appendVector(b, row)
				}
				return append(b, "],"...), err
			}
		}
	case Classify, Tag, Answer, Choose:
		a, e := c.predict(u, m, q.Inputs, predictOptions{inputOptions: o, docStride: q.Stride, nullable: q.Nullable})
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) {
				return field(b, "answer", inUnit(a.values[i], &q.Inputs[i], unit))
			}
		}
	case ZeroShot:
		a, e := c.zeroShot(m, q.Inputs, task.ZeroShotOptions{Labels: q.Labels, Template: q.Template, MultiLabel: q.Multi}, o)
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) { return field(b, "answer", a.values[i]) }
		}
	case FillMask:
		topK := q.TopK
		if topK == 0 {
			topK = 5
		}
		a, e := c.fillMask(m, q.Inputs, topK, o)
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) { return field(b, "masks", a.values[i]) }
		}
	case EmbedSparse:
		a, e := ask[[]task.SparseWeight](c, m, laneKey{use: EmbedSparse}, q.Inputs, &o)
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) { return field(b, "weights", a.values[i]) }
		}
	case Compare:
		a, e := c.compare(m, q.Query, q.Texts, embed)
		if err = e; err == nil {
			out.facts, out.first = a.facts, 1
			out.write = func(b []byte, i int) ([]byte, error) { return field(b, "similarity", a.values[i]) }
		}
	case Rerank:
		a, e := c.rerank(m, q.Query, q.Texts, o)
		if err = e; err == nil {
			out.facts = a.facts
			out.write = func(b []byte, i int) ([]byte, error) {
				b, err := field(b, "score", a.values[i].score)
				if err != nil {
					return b, err
				}
				return field(b, "raw", a.values[i].raw)
			}
		}
	default:
		return nil, errorf(UnknownRoute, "there is no use %v", u)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// append appends answer i.
func (a *nativeAnswers) append(b []byte, i int) ([]byte, error) {
	b = append(b, '{')
	f := &a.facts[a.first+i]
	if f.err != nil {
		b = append(b, `"error":{"kind":`...)
		b = appendString(b, f.err.Kind.String())
		b = append(b, `,"message":`...)
		b = appendString(b, f.err.Message)
		return append(b, "}}"...), nil
	}
	b, err := a.write(b, i)
	b = append(b, `"tokens":`...)
	b = appendInt(b, f.tokens)
	if f.dropped > 0 {
		b = append(b, `,"truncated":true,"dropped_tokens":`...)
		b = appendInt(b, f.dropped)
	}
	if f.cached {
		b = append(b, `,"cached":true`...)
	}
	return append(b, '}'), err
}

func nativeUse(c *call, u Use) error {
	var q nativeRequest
	if err := c.decode(&q); err != nil {
		return err
	}
	m, err := c.model(q.Model, u)
	if err != nil {
		return err
	}
	o, err := q.inputOptions()
	if err != nil {
		return err
	}
	format, err := parseVectorFormat(q.Format)
	if err != nil {
		return err
	}
	a, err := nativeAsk(c, u, m, &q, o)
	if err != nil {
		return err
	}
	if format != nil && a.vectors != nil {
		return c.replyVectors(a.vectors, format)
	}
	b := append(c.buffer(), `{"model":`...)
	b = appendString(b, m.name)
	b = append(b, `,"answers":[`...)
	for i := range len(a.facts) - a.first {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = a.append(b, i); err != nil {
			return err
		}
	}
	return c.reply(http.StatusOK, contentJSON, append(b, "]}"...))
}

// inUnit is a prediction with its places in another unit than bytes.
func inUnit(p task.Prediction, in *data.Input, unit OffsetUnit) task.Prediction {
	if unit == Bytes {
		return p
	}
	if p.Entities != nil {
		text := in.Text
		if in.Words != nil {
			text = strings.Join(in.Words, " ")
		}
		places := newOffsets(text, unit)
		own := make([]task.Entity, len(p.Entities))
		for i, e := range p.Entities {
			e.Start, e.End = places.at(e.Start), places.at(e.End)
			own[i] = e
		}
		p.Entities = own
	}
	if p.Answer != nil {
		places := newOffsets(in.TextPair, unit)
		convert := func(a task.Answer) task.Answer {
			a.Start, a.End = places.at(a.Start), places.at(a.End)
			return a
		}
		answer := convert(*p.Answer)
		p.Answer = &answer
		best := make([]task.Answer, len(p.NBest))
		for i, a := range p.NBest {
			best[i] = convert(a)
		}
		p.NBest = best
	}
	return p
}

func nativeTokenize(c *call) error {
	var q nativeRequest
	if err := c.decode(&q); err != nil {
		return err
	}
	m, err := c.model(q.Model, Tokenize)
	if err != nil {
		return err
	}
	unit := c.dialect.offsets
	if q.Offsets != "" {
		if unit, err = ParseOffsetUnit(q.Offsets); err != nil {
			return asError(err).param("offset_unit")
		}
	}
	if most := c.s.options.MaxInputs; len(q.Inputs) > most {
		return errorf(TooManyInputs, "%d inputs, want at most %d", len(q.Inputs), most)
	}
	b := append(c.buffer(), `{"model":`...)
	b = appendString(b, m.name)
	b = append(b, `,"answers":[`...)
	for i := range q.Inputs {
		tokens, err := c.tokenize(m, q.Inputs[i].Text, q.Special == nil || *q.Special, unit)
		if err != nil {
			return asError(err).atInput(i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for k, t := range tokens {
			if k > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"id":`...)
			b = appendInt(b, int(t.id))
			b = append(b, `,"text":`...)
			b = appendString(b, t.text)
			if t.start >= 0 {
				b = append(b, `,"start":`...)
				b = appendInt(b, t.start)
				b = append(b, `,"end":`...)
				b = appendInt(b, t.end)
			}
			if t.special {
				b = append(b, `,"special":true`...)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return c.reply(http.StatusOK, contentJSON, append(b, "]}"...))
}

// nativeModels says what is served, and the limits that hold.
func nativeModels(c *call) error {
	b := append(c.buffer(), `{"models":[`...)
	for i, status := range c.s.Models() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendString(b, status.Name)
		b = append(b, `,"state":`...)
		b = appendString(b, status.State.String())
		if m := c.peek(status.Name); m != nil {
			d := m.description()
			b = append(b, `,"head":`...)
			b = appendString(b, d.Head.String())
			b = append(b, `,"hidden_size":`...)
			b = appendInt(b, d.Config.HiddenSize)
			b = append(b, `,"vocabulary":`...)
			b = appendInt(b, d.Config.VocabSize)
			precision, _ := m.shared.Model().Precision()
			b = append(b, `,"precision":`...)
			b = appendString(b, precision.String())
			b = append(b, `,"device":`...)
			b = appendString(b, m.shared.Model().Device())
			b = append(b, `,"pooling":`...)
			b = appendString(b, m.pooling().String())
			if d.Spec != nil && d.Spec.Labels != nil {
				labels, err := appendJSON(append(b, `,"labels":`...), d.Spec.Labels)
				if err != nil {
					return err
				}
				b = labels
			}
			b = append(b, `,"loaded":`...)
			b = appendString(b, m.loaded.UTC().Format("2006-01-02T15:04:05Z"))
			b = append(b, `,"tokens_per_second":`...)
			b = appendInt(b, int(m.meter.rate()))
			b = append(b, `,"max_tokens":{`...)
			for k, u := range m.uses() {
				if k > 0 {
					b = append(b, ',')
				}
				b = append(appendString(b, u.String()), ':')
				b = appendInt(b, m.maxTokens(u))
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	o := &c.s.options
	b = append(b, `],"limits":{"max_inputs":`...)
	b = appendInt(b, o.MaxInputs)
	b = append(b, `,"max_body_bytes":`...)
	b = appendInt(b, int(o.MaxBody))
	b = append(b, `,"max_queue_tokens":`...)
	b = appendInt(b, o.MaxQueueTokens)
	b = append(b, `,"max_batch_tokens":`...)
	b = appendInt(b, o.BatchTokens)
	b = append(b, `},"version":`...)
	b = appendString(b, o.Version)
	return c.reply(http.StatusOK, contentJSON, append(b, '}'))
}
