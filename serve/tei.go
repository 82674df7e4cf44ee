package serve

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// tei is the dialect of text-embeddings-inference (github.com/huggingface/text-embeddings-inference, router/src/http at 0d124dc), with
// the routes that SageMaker and Vertex AI call. It differs where its doings are faults: scores follow problem_type, errors are JSON
// always, and token ids are taken as they are.
var tei = dialect{
	name: "tei",
	routes: []route{
		{method: "POST", pattern: "/embed", use: Embed, handle: teiRoute(teiEmbed)},
		{method: "POST", pattern: "/embed_all", use: EmbedTokens, handle: teiRoute(teiEmbedAll)},
		{method: "POST", pattern: "/embed_sparse", use: EmbedSparse, handle: teiRoute(teiEmbedSparse)},
		{method: "POST", pattern: "/predict", use: Classify, handle: teiRoute(teiPredict)},
		{method: "POST", pattern: "/rerank", use: Rerank, handle: rerankRoute},
		{method: "POST", pattern: "/similarity", use: Compare, handle: teiRoute(teiSimilarity)},
		{method: "POST", pattern: "/tokenize", use: Tokenize, handle: teiRoute(teiTokenize)},
		{method: "POST", pattern: "/decode", use: Tokenize, handle: teiRoute(teiDecode)},
		{method: "GET", pattern: "/info", handle: teiInfo},
		{method: "GET", pattern: "/ping", open: true, handle: ready},
		{method: "POST", pattern: "/invocations", handle: teiRoute(teiInvocation)},
		{method: "POST", pattern: "/vertex", handle: teiRoute(teiVertex)},
	},
	writeError: writeTEIError,
	truncate:   TruncateRight,
	offsets:    Bytes,
	normalize:  true,
}

// teiErrors are the error_type and the status of each kind of error that doesn't have Validation and its usual status.
var teiErrors = map[ErrorKind]struct {
	name   string
	status int
}{
	Empty:      {"Empty", http.StatusBadRequest},
	BadInput:   {"Tokenizer", http.StatusUnprocessableEntity},
	WrongTask:  {"Backend", http.StatusFailedDependency},
	NotFinite:  {"Backend", http.StatusFailedDependency},
	Failed:     {"Backend", http.StatusInternalServerError},
	Deadline:   {"Backend", http.StatusGatewayTimeout},
	Overloaded: {"Overloaded", http.StatusTooManyRequests},
	Loading:    {"Unhealthy", http.StatusServiceUnavailable},
	Draining:   {"Unhealthy", http.StatusServiceUnavailable},
}

func writeTEIError(c *call, e *Error) {
	name, status := "Validation", e.Kind.Status()
	if row, ok := teiErrors[e.Kind]; ok {
		name, status = row.name, row.status
	}
	o := openObject(c.buffer())
	o.text("error", e.Error())
	o.text("error_type", name)
	c.reply(status, contentJSON, o.close())
}

// operation answers a body by appending JSON to b.
type operation func(c *call, body, b []byte) ([]byte, error)

// teiRoute answers the body of a call.
func teiRoute(answer operation) func(c *call) error {
	return func(c *call) error {
		body, err := c.body()
		if err != nil {
			return err
		}
		b, err := answer(c, body, c.buffer())
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, contentJSON, b)
	}
}

func teiEmbed(c *call, body, b []byte) ([]byte, error) {
	q, err := readEmbed(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", Embed)
	if err != nil {
		return nil, err
	}
	a, err := c.vectors(m, &q.textInputs, &q.reading, &q.normalize, q.dimensions)
	if err != nil {
		return nil, err
	}
	return appendVectors(b, a.values), nil
}

// maxNumbers bounds the numbers of an answer that has many for each token or text.
const maxNumbers = 1 << 24

func teiEmbedAll(c *call, body, b []byte) ([]byte, error) {
	q, err := readEmbed(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", EmbedTokens)
	if err != nil {
		return nil, err
	}
	// A token has a byte at least, and there are [CLS] and [SEP].
	tokens, longest := 0, m.maxTokens(EmbedTokens)
	for i := range q.inputs {
		tokens += min(max(len(q.inputs[i].text), len(q.inputs[i].ids))+2, longest)
	}
	if width := m.description().Config.HiddenSize; tokens > maxNumbers/width {
		return nil, errorf(TooManyInputs, "`inputs`: up to %d tokens of %d numbers are too many for an answer: send fewer texts at once", tokens, width).param("inputs")
	}
	a, err := c.embedTokens(m, q.data(), embedOptions{inputOptions: q.reading.options(c), promptName: q.promptName})
	if err != nil {
		return nil, err
	}
	return appendEach(b, len(a.values), func(b []byte, i int) []byte { return appendVectors(b, a.values[i].Layers[0].Values) }), nil
}

func teiEmbedSparse(c *call, body, b []byte) ([]byte, error) {
	q, err := readEmbed(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", EmbedSparse)
	if err != nil {
		return nil, err
	}
	if q.promptName != "" {
		return nil, errorf(BadRequest, "`prompt_name`: %s has no prompts", m.name).param("prompt_name")
	}
	if size := m.description().Config.VocabSize; len(q.inputs) > maxNumbers/size {
		return nil, errorf(TooManyInputs, "`inputs`: %d are too many for a vocabulary of %d: send fewer texts at once", len(q.inputs), size).param("inputs")
	}
	o := q.reading.options(c)
	a, err := ask[[]task.SparseWeight](c, m, laneKey{use: EmbedSparse}, q.data(), &o)
	if err != nil {
		return nil, err
	}
	return appendEach(b, len(a.values), func(b []byte, i int) []byte {
		weights := a.values[i]
		return appendEach(b, len(weights), func(b []byte, j int) []byte {
			o := openObject(b)
			o.integer("index", int(weights[j].ID))
			o.float("value", weights[j].Weight)
			return o.close()
		})
	}), nil
}

func teiPredict(c *call, body, b []byte) ([]byte, error) {
	q, err := readPredict(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", Classify)
	if err != nil {
		return nil, err
	}
	how := squashOf(&m.description().Config)
	if q.raw {
		how = asTheyAre
	}
	scores, err := c.scores(m, q.data(), q.reading.options(c), how)
	if err != nil {
		return nil, err
	}
	labels := m.description().Config.Labels
	if q.single {
		return appendScores(b, labels, scores[0], len(labels)), nil
	}
	return appendEach(b, len(scores), func(b []byte, i int) []byte { return appendScores(b, labels, scores[i], len(labels)) }), nil
}

// scores are those of the classes of each input.
func (c *call) scores(m *model, inputs []data.Input, o inputOptions, how squash) ([][]float32, error) {
	a, err := c.predict(Classify, m, inputs, predictOptions{inputOptions: o})
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(a.values))
	for i := range a.values {
		out[i] = how.of(a.values[i].Logits)
	}
	return out, nil
}

func teiSimilarity(c *call, body, b []byte) ([]byte, error) {
	q, err := readSimilarity(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", Embed)
	if err != nil {
		return nil, err
	}
	s, err := c.similarities(m, &q)
	if err != nil {
		return nil, err
	}
	return appendVector(b, s), nil
}

// charsPerToken is how many characters a text may have for each token of the longest sequence, to be tokenized as a whole: as by
// text-embeddings-inference.
const charsPerToken = 250

func teiTokenize(c *call, body, b []byte) ([]byte, error) {
	q, err := readTokenize(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", Tokenize)
	if err != nil {
		return nil, err
	}
	prompt := ""
	if p := m.description().Pipeline; p != nil && !p.CrossEncoder {
		if prompt, err = p.Prompt(q.promptName); err != nil {
			return nil, errorf(BadRequest, "`prompt_name`: %v", err).param("prompt_name")
		}
	} else if q.promptName != "" {
		return nil, errorf(BadRequest, "`prompt_name`: %s has no prompts", m.name).param("prompt_name")
	}
	if err := c.checkCount(len(q.inputs), "inputs"); err != nil {
		return nil, err
	}
	b = append(b, '[')
	longest := charsPerToken * m.maxTokens(Tokenize)
	for i, text := range q.inputs {
		text = prompt + text
		if len(text) > longest && utf8.RuneCountInString(text) > longest {
			return nil, &Error{Kind: TooLong, Message: fmt.Sprintf("the text has more than %d characters", longest), Index: i}
		}
		if c.facts.tokens > c.s.options.MaxQueueTokens {
			return nil, errorf(TooManyInputs, "more than %d tokens: send fewer texts at once", c.s.options.MaxQueueTokens).param("inputs")
		}
		tokens, err := c.tokenize(m, text, q.special, Bytes)
		if err != nil {
			return nil, asError(err).atInput(i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		places := newOffsets(text, q.unit)
		b = appendEach(b, len(tokens), func(b []byte, j int) []byte {
			t := &tokens[j]
			o := openObject(b)
			o.integer("id", int(t.id))
			if t.start < 0 { // the template added it
				o.text("text", t.text)
				o.raw("special", `true,"start":null,"stop":null`)
				return o.close()
			}
			o.text("text", text[t.start:t.end])
			o.boolean("special", false)
			o.integer("start", places.at(t.start))
			o.integer("stop", places.at(t.end))
			return o.close()
		})
	}
	return append(b, ']'), nil
}

// checkCount reports more inputs than a request may have.
func (c *call) checkCount(n int, field string) error {
	if most := c.s.options.MaxInputs; n > most {
		return errorf(TooManyInputs, "`%s`: %d are too many, want at most %d", field, n, most).param(field)
	}
	return nil
}

func teiDecode(c *call, body, b []byte) ([]byte, error) {
	q, err := readDecode(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model("", Tokenize)
	if err != nil {
		return nil, err
	}
	if err := c.checkCount(len(q.ids), "ids"); err != nil {
		return nil, err
	}
	b = append(b, '[')
	for i, ids := range q.ids {
		text, err := c.decodeIDs(m, ids, q.skip)
		if err != nil {
			return nil, asError(err).atInput(i)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, text)
	}
	return append(b, ']'), nil
}

// teiInvocation answers what the first model was made for: the route of SageMaker.
func teiInvocation(c *call, body, b []byte) ([]byte, error) {
	m, err := c.model("", Tokenize)
	if err != nil {
		return nil, err
	}
	if _, shown, _ := shapeOf(body); shown {
		return hfAnswer(c, "", body, b)
	}
	switch m.made() {
	case Embed:
		return teiEmbed(c, body, b)
	case Classify:
		return teiPredict(c, body, b)
	case Rerank:
		return teiRerank(c, body, b)
	}
	return hfAnswer(c, "", body, b)
}

// teiVertex answers instances, each of which is the body of another route: the route of Vertex AI.
func teiVertex(c *call, body, b []byte) ([]byte, error) {
	instances, err := readVertex(body)
	if err != nil {
		return nil, bodyError(err)
	}
	if err := c.checkCount(len(instances), "instances"); err != nil {
		return nil, err
	}
	b = append(b, `{"predictions":[`...)
	for i, instance := range instances {
		if i > 0 {
			b = append(b, ',')
		}
		answer := teiInvocation
		if q, err := readRerank(instance); err == nil && !q.documents {
			answer = teiRerank
		}
		if b, err = answer(c, instance, b); err != nil {
			e := *asError(err)
			e.Index = i
			return nil, &e
		}
	}
	return append(b, "]}"...), nil
}

// teiInfo says what the first model is, or the one that the query names.
func teiInfo(c *call) error {
	m, err := c.model(c.query("model"), Tokenize)
	if err != nil {
		return err
	}
	c.use = NoUse
	var (
		d      = m.description()
		s      = &c.s.options
		labels = d.Config.Labels
		o      = openObject(c.buffer())
	)
	o.text("model_id", m.name)
	if m.digest == "" {
		o.raw("model_sha", "null")
	} else {
		o.text("model_sha", m.digest)
	}
	precision, _ := m.shared.Model().Precision()
	o.text("model_dtype", precision.String())
	o.text("served_model_name", m.name)
	o.key("model_type")
	kind := openObject(o.b)
	made := m.made()
	switch made {
	case Classify, Rerank, Tag:
		name := "classifier"
		if made == Rerank {
			name = "reranker"
		}
		kind.key(name)
		maps := openObject(kind.b)
		maps.key("id2label")
		forward := openObject(maps.b)
		for i, label := range labels {
			forward.key(string(appendInt(nil, i)))
			forward.b = appendString(forward.b, label)
		}
		maps.b = forward.close()
		maps.key("label2id")
		backward := openObject(maps.b)
		for i, label := range labels {
			backward.separate()
			backward.b = append(appendString(backward.b, label), ':')
			backward.b = appendInt(backward.b, i)
		}
		maps.b = backward.close()
		maps.text("scores", squashes[squashOf(&d.Config)])
		kind.b = maps.close()
	case Embed:
		kind.key("embedding")
		how := openObject(kind.b)
		how.text("pooling", m.poolingName())
		kind.b = how.close()
	default:
		kind.key(made.String())
		empty := openObject(kind.b)
		kind.b = empty.close()
	}
	o.b = kind.close()
	o.key("uses")
	uses := m.uses()
	o.b = appendEach(o.b, len(uses), func(b []byte, i int) []byte { return appendString(b, uses[i].String()) })
	o.integer("max_concurrent_requests", s.MaxRequests)
	o.integer("max_input_length", m.maxTokens(made))
	o.integer("max_batch_tokens", s.BatchTokens)
	o.raw("max_batch_requests", "null")
	o.integer("max_client_batch_size", s.MaxInputs)
	how, _ := c.truncation(&inputOptions{})
	o.boolean("auto_truncate", how != TruncateNever)
	o.integer("tokenization_workers", s.Threads)
	o.text("version", s.Version)
	o.raw("sha", `null,"docker_label":null`)
	o.key("models")
	models := c.s.Models()
	o.b = appendEach(o.b, len(models), func(b []byte, i int) []byte { return appendString(b, models[i].Name) })
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// poolingName is the name of the pooling, as text-embeddings-inference has it where it has one.
func (m *model) poolingName() string {
	if p := m.description().Pipeline; p != nil && m.pooling() == task.ModelPooling {
		return p.String()
	}
	return m.pooling().String()
}
