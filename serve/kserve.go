package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// kserve is the Open Inference Protocol over HTTP, version 2, of KServe and Triton (open-inference-protocol, inference_rest.yaml),
// with Triton's binary tensors and repository index. A model has the input text, of shape [n], and what reads pairs text_pair too; a
// question is the text and its context the text_pair. What comes out is a row of kserveOutputs.
var kserve = dialect{
	name: "kserve",
	routes: []route{
		{method: "GET", pattern: "/v2", handle: kserveServer},
		{method: "GET", pattern: "/v2/health/live", open: true, handle: kserveLive},
		{method: "GET", pattern: "/v2/health/ready", open: true, handle: kserveReady},
		{method: "GET", pattern: "/v2/models/{m...}", handle: kserveModel},
		{method: "POST", pattern: "/v2/models/{m...}", handle: kserveInfer},
		{method: "POST", pattern: "/v2/repository/index", handle: kserveIndex},
	},
	writeError: writeTextError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
	normalize:  true,
}

const kserveVersion = "1" // of all models

func kserveServer(c *call) error {
	o := openObject(c.buffer())
	o.text("name", "bert")
	o.text("version", c.s.options.Version)
	o.raw("extensions", `["binary_tensor_data","model_repository"]`)
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// kserveLive and kserveReady have both of the keys that texts of the specification give.
func kserveLive(c *call) error {
	return c.reply(http.StatusOK, contentJSON, append(c.buffer(), `{"live":true}`...))
}

func kserveReady(c *call) error {
	if !c.s.Status().Ready {
		return c.reply(http.StatusServiceUnavailable, contentJSON, append(c.buffer(), `{"live":true,"ready":false}`...))
	}
	return c.reply(http.StatusOK, contentJSON, append(c.buffer(), `{"live":true,"ready":true}`...))
}

// kservePath takes the name of a model and what follows it from a path. A name may have slashes, and clients don't escape them.
func kservePath(path string, verbs ...string) (name, verb string, err error) {
	for _, v := range verbs {
		if before, ok := strings.CutSuffix(path, "/"+v); ok {
			path, verb = before, v
			break
		}
	}
	if at := strings.LastIndex(path, "/versions/"); at >= 0 {
		if version := path[at+len("/versions/"):]; version != kserveVersion {
			return "", "", errorf(UnknownModel, "%s has no version %s: its version is %s", message.Cut(path[:at]), message.Quote(version), kserveVersion)
		}
		path = path[:at]
	}
	return path, verb, nil
}

// kserveModel answers GET /v2/models/M, /v2/models/M/ready and /v2/models/M/config.
func kserveModel(c *call) error {
	name, verb, err := kservePath(c.pathModel(), "ready", "config")
	if err != nil {
		return err
	}
	m, err := c.model(name, Tokenize)
	if err != nil {
		return err
	}
	c.use = NoUse
	inputs, outputs := m.tensors()
	o := openObject(c.buffer())
	o.text("name", m.name)
	switch verb {
	case "ready":
		o.boolean("ready", true)
	case "config":
		o.text("platform", "bert")
		o.text("backend", "bert")
		o.integer("max_batch_size", 0)
		list := func(tensors []tensor, prefix string) func(b []byte, i int) []byte {
			return func(b []byte, i int) []byte {
				t := openObject(b)
				t.text("name", tensors[i].name)
				t.text("data_type", prefix+strings.Replace(tensors[i].datatype, "BYTES", "STRING", 1))
				t.key("dims")
				t.b = appendShape(t.b, tensors[i].shape)
				return t.close()
			}
		}
		o.key("input")
		o.b = appendEach(o.b, len(inputs), list(inputs, "TYPE_"))
		o.key("output")
		o.b = appendEach(o.b, len(outputs), list(outputs, "TYPE_"))
	default:
		o.raw("versions", `["`+kserveVersion+`"]`)
		o.text("platform", "bert")
		list := func(tensors []tensor) func(b []byte, i int) []byte {
			return func(b []byte, i int) []byte {
				t := openObject(b)
				t.text("name", tensors[i].name)
				t.text("datatype", tensors[i].datatype)
				t.key("shape")
				t.b = appendShape(t.b, tensors[i].shape)
				return t.close()
			}
		}
		o.key("inputs")
		o.b = appendEach(o.b, len(inputs), list(inputs))
		o.key("outputs")
		o.b = appendEach(o.b, len(outputs), list(outputs))
	}
	return c.reply(http.StatusOK, contentJSON, o.close())
}

func appendShape(b []byte, shape []int) []byte {
	return appendEach(b, len(shape), func(b []byte, i int) []byte { return appendInt(b, shape[i]) })
}

// tensors are the inputs and outputs of a model, without elements. −1 is any number.
func (m *model) tensors() (inputs, outputs []tensor) {
	inputs = []tensor{textTensor("text", nil, -1)}
	u := m.made()
	if kserveInfers[u].pairs {
		inputs = append(inputs, textTensor("text_pair", nil, -1))
	}
	classes := len(m.description().Config.Labels)
	switch u {
	case Embed:
		width := m.vectorSize()
		if width == 0 {
			width = -1
		}
		outputs = []tensor{floatTensor("embedding", nil, -1, width), integerTensor("tokens", nil, -1)}
	case Classify, Rerank:
		outputs = []tensor{
			textTensor("label", nil, -1), floatTensor("scores", nil, -1, classes), floatTensor("logits", nil, -1, classes),
			integerTensor("tokens", nil, -1),
		}
	case Tag:
		outputs = []tensor{textTensor("entities", nil, -1)}
	case Answer:
		outputs = []tensor{textTensor("answer", nil, -1), floatTensor("score", nil, -1), integerTensor("start", nil, -1), integerTensor("end", nil, -1)}
	case FillMask:
		outputs = []tensor{textTensor("candidates", nil, -1)}
	}
	return inputs, outputs
}

// kserveInfers says how each use answers inference, of models that were made for it; infer is nil where it can't.
var kserveInfers = map[Use]struct {
	pairs bool // there may be, or has to be, a text_pair
	infer func(c *call, m *model, q *kserveRequest, texts, pairs []string) ([]tensor, error)
}{
	Embed:    {infer: kserveEmbed},
	Classify: {pairs: true, infer: kserveClassify},
	Rerank:   {pairs: true, infer: kserveClassify},
	Tag:      {infer: kserveTag},
	Answer:   {pairs: true, infer: kserveAnswer},
	FillMask: {infer: kserveFill},
}

// kserveInfer answers POST /v2/models/M/infer.
func kserveInfer(c *call) error {
	name, verb, err := kservePath(c.pathModel(), "infer")
	if err != nil {
		return err
	}
	if verb == "" {
		return errorf(UnknownRoute, "there is nothing at this path: want /v2/models/MODEL/infer")
	}
	m, err := c.model(name, Tokenize)
	if err != nil {
		return err
	}
	u := m.made()
	how := kserveInfers[u]
	if how.infer == nil {
		return errorf(WrongTask, "this protocol has no way to ask for %s, for which %s was made", u.info().about, m.name)
	}
	header := -1
	if h := c.r.Header.Get("Inference-Header-Content-Length"); h != "" {
		if header, err = strconv.Atoi(h); err != nil || header < 0 {
			return errorf(BadRequest, "Inference-Header-Content-Length is %s, want a number of bytes", message.Quote(h))
		}
	}
	q, err := read(c, func(body []byte) (kserveRequest, error) { return readKServe(body, header) })
	if err != nil {
		return err
	}
	texts, pairs, err := q.columns(how.pairs)
	if err != nil {
		return bodyError(err)
	}
	outputs, err := how.infer(c, m, &q, texts, pairs)
	if err != nil {
		return err
	}
	chosen, err := q.chosen(outputs)
	if err != nil {
		return bodyError(err)
	}
	b, length := appendKServe(c.buffer(), m.name, kserveVersion, q.id, chosen)
	kind := contentJSON
	if length >= 0 {
		c.w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(length))
		kind = contentBytes
	}
	return c.reply(http.StatusOK, kind, b)
}

// columns are the texts of a request, and their pairs; nil: there are none.
func (q *kserveRequest) columns(pairs bool) (texts, others []string, err error) {
	for i := range q.inputs {
		t := &q.inputs[i]
		field := fmt.Sprintf("inputs[%d]", i)
		switch {
		case t.name == "text":
			texts, err = t.column()
		case t.name == "text_pair" && pairs:
			others, err = t.column()
		case pairs:
			err = fmt.Errorf("%s: want text or text_pair", message.Quote(t.name))
		default:
			err = fmt.Errorf("%s: want text", message.Quote(t.name))
		}
		if err != nil {
			return nil, nil, inField(field, err)
		}
	}
	switch {
	case len(texts) == 0:
		return nil, nil, &fieldError{"inputs", fmt.Errorf("the input text: %w", errEmptyList)}
	case others != nil && len(others) != len(texts):
		return nil, nil, &fieldError{"inputs", fmt.Errorf("text has %d elements, but text_pair %d", len(texts), len(others))}
	}
	return texts, others, nil
}

// tokenTensor is how many tokens of each input the model read.
func tokenTensor(f []facts) tensor {
	n := make([]int64, len(f))
	for i := range f {
		n[i] = int64(f[i].tokens)
	}
	return integerTensor("tokens", n, len(f))
}

func kserveEmbed(c *call, m *model, q *kserveRequest, texts, _ []string) ([]tensor, error) {
	l := textInputs{inputs: make([]textInput, len(texts))}
	for i, text := range texts {
		l.inputs[i].text = text
	}
	a, err := c.vectors(m, &l, &q.reading, nil, 0)
	if err != nil {
		return nil, err
	}
	var all []float32
	for _, v := range a.values {
		all = append(all, v...)
	}
	return []tensor{floatTensor("embedding", all, len(texts), len(all)/len(texts)), tokenTensor(a.facts)}, nil
}

func kserveClassify(c *call, m *model, q *kserveRequest, texts, pairs []string) ([]tensor, error) {
	inputs := textData(texts)
	for i, pair := range pairs {
		inputs[i].TextPair, inputs[i].Pair = pair, true
	}
	a, err := c.predict(Classify, m, inputs, predictOptions{inputOptions: q.reading.options(c)})
	if err != nil {
		return nil, err
	}
	config := &m.description().Config
	how := squashOf(config)
	if q.squash >= 0 {
		how = squash(q.squash)
	}
	var (
		names          = make([]string, len(texts))
		scores, logits []float32
	)
	for i := range a.values {
		own := a.values[i].Logits
		names[i] = config.Labels[largest(own)]
		logits, scores = append(logits, own...), append(scores, how.of(own)...)
	}
	n, classes := len(texts), len(config.Labels)
	return []tensor{textTensor("label", names, n), floatTensor("scores", scores, n, classes), floatTensor("logits", logits, n, classes), tokenTensor(a.facts)}, nil
}

func kserveTag(c *call, m *model, q *kserveRequest, texts, _ []string) ([]tensor, error) {
	if err := c.checkCount(len(texts), "inputs"); err != nil {
		return nil, err
	}
	found, err := c.entities(m, texts, &q.hfParameters)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(texts))
	for i := range texts {
		out[i] = string(appendEntities(nil, texts[i], found[i], &q.hfParameters))
	}
	return []tensor{textTensor("entities", out, len(texts))}, nil
}

func kserveAnswer(c *call, m *model, q *kserveRequest, texts, pairs []string) ([]tensor, error) {
	if pairs == nil {
		return nil, errorf(BadRequest, "`inputs`: the input text_pair is missing, the contexts of the questions").param("inputs")
	}
	if err := c.checkCount(len(texts), "inputs"); err != nil {
		return nil, err
	}
	n := len(texts)
	list := make([]question, n)
	for i := range list {
		list[i] = question{texts[i], pairs[i]}
	}
	q.asking.topK = 1
	found, err := c.spans(m, list, &q.hfParameters)
	if err != nil {
		return nil, err
	}
	answers, scores, starts, ends := make([]string, n), make([]float32, n), make([]int64, n), make([]int64, n)
	for i := range found {
		if len(found[i]) == 0 {
			continue
		}
		s, places := &found[i][0], newOffsets(pairs[i], q.unit)
		answers[i], scores[i] = s.text, float32(s.score)
		starts[i], ends[i] = int64(places.at(s.start)), int64(places.at(s.end))
	}
	return []tensor{textTensor("answer", answers, n), floatTensor("score", scores, n), integerTensor("start", starts, n), integerTensor("end", ends, n)}, nil
}

func kserveFill(c *call, m *model, q *kserveRequest, texts, _ []string) ([]tensor, error) {
	found, err := c.fillings(m, texts, q.candidates(), q.targets)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(texts))
	for i := range found {
		out[i] = string(appendFillings(nil, found[i]))
	}
	return []tensor{textTensor("candidates", out, len(texts))}, nil
}

// kserveIndex answers POST /v2/repository/index.
func kserveIndex(c *call) error {
	models := c.s.Models()
	b := appendEach(c.buffer(), len(models), func(b []byte, i int) []byte {
		o := openObject(b)
		o.text("name", models[i].Name)
		o.text("version", kserveVersion)
		state, reason := "READY", ""
		if models[i].State != ModelReady {
			state, reason = "UNAVAILABLE", models[i].State.String()
		}
		o.text("state", state)
		o.text("reason", reason)
		return o.close()
	})
	return c.reply(http.StatusOK, contentJSON, b)
}
