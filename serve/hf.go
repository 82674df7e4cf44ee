package serve

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// hf is the dialect of Hugging Face's Inference API, as huggingface_hub's InferenceClient and @huggingface/inference speak it, with
// the results of transformers' pipelines. A path may name the model and the task; without a task, the body or the model shows it.
var hf = dialect{
	name: "hf",
	routes: []route{
		{method: "POST", pattern: "/{$}", handle: func(c *call) error { return hfRoute(c, "", "") }},
		{method: "POST", pattern: "/models/{m...}", handle: hfModelRoute},
		{method: "POST", pattern: "/pipeline/{task}/{m...}", handle: func(c *call) error { return hfRoute(c, c.pathModel(), c.r.PathValue("task")) }},
		{method: "POST", pattern: "/multiple_choice", use: Choose, handle: multipleChoice},
	},
	writeError: writeHFError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
	normalize:  true,
}

func writeHFError(c *call, e *Error) {
	o := openObject(c.buffer())
	o.text("error", e.Error())
	o.text("error_type", e.Kind.String())
	if e.Kind == Loading && e.RetryAfter > 0 { // for which huggingface_hub waits
		o.float("estimated_time", float32(e.RetryAfter.Seconds()))
	}
	c.reply(e.Kind.Status(), contentJSON, o.close())
}

// hfModelRoute is /models/ORG/NAME and /models/ORG/NAME/pipeline/TASK.
func hfModelRoute(c *call) error {
	name, task, _ := strings.Cut(c.pathModel(), "/pipeline/")
	return hfRoute(c, name, task)
}

func hfRoute(c *call, name, task string) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	var b []byte
	if task == "" {
		b, err = hfAnswer(c, name, body, c.buffer())
	} else {
		i := slices.Index(hfTasks[:], task)
		if i < 0 {
			return errorf(UnknownRoute, "there is no task %s: want %s", message.Quote(task), strings.Join(hfTasks[:], ", "))
		}
		b, err = hfPipelines[i](c, name, body, c.buffer())
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, contentJSON, b)
}

// hfPipeline answers a body with the model of a name by appending JSON to b.
type hfPipeline func(c *call, name string, body, b []byte) ([]byte, error)

var hfPipelines = [...]hfPipeline{
	featureExtraction: hfVectors, sentenceSimilarity: hfSimilarity, textClassification: hfClassify, tokenClassification: hfTag,
	questionAnswering: hfQuestions, fillMask: hfFill, zeroShotClassification: hfZeroShot,
}

// hfAnswer answers a body whose task is what it shows or, where it shows none, what the model was made for. A reranker
// answers as text-embeddings-inference does on this path.
func hfAnswer(c *call, name string, body, b []byte) ([]byte, error) {
	t, shown, model := shapeOf(body)
	if name == "" {
		name = model
	}
	if shown {
		return hfPipelines[t](c, name, body, b)
	}
	m, err := c.model(name, Tokenize)
	if err != nil {
		return nil, err
	}
	t = featureExtraction
	switch m.made() {
	case Classify:
		t = textClassification
	case Rerank:
		if q, err := readRerank(body); err == nil {
			return teiRanks(c, m.name, &q, b)
		}
		t = textClassification
	case Tag:
		t = tokenClassification
	case Answer:
		t = questionAnswering
	case FillMask:
		t = fillMask
	case Choose:
		return choose(c, m.name, body, b)
	}
	return hfPipelines[t](c, m.name, body, b)
}

// hfBody reads a body and finds the model for a use.
func hfBody(c *call, name string, body []byte, u Use) (q hfRequest, m *model, err error) {
	if q, err = readHF(body); err != nil {
		return q, nil, bodyError(err)
	}
	m, err = c.model(name, u)
	return q, m, err
}

func hfVectors(c *call, name string, body, b []byte) ([]byte, error) {
	q, err := readEmbed(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model(name, Embed)
	if err != nil {
		return nil, err
	}
	a, err := c.vectors(m, &q.textInputs, &q.reading, &q.normalize, q.dimensions)
	switch {
	case err != nil:
		return nil, err
	case q.base64:
		return appendEach(b, len(a.values), func(b []byte, i int) []byte { return appendBase64(b, a.values[i]) }), nil
	}
	return appendVectors(b, a.values), nil
}

func hfSimilarity(c *call, name string, body, b []byte) ([]byte, error) {
	q, err := readSimilarity(body)
	if err != nil {
		return nil, bodyError(err)
	}
	m, err := c.model(name, Embed)
	if err != nil {
		return nil, err
	}
	s, err := c.similarities(m, &q)
	if err != nil {
		return nil, err
	}
	return appendVector(b, s), nil
}

func hfClassify(c *call, name string, body, b []byte) ([]byte, error) {
	q, m, err := hfBody(c, name, body, Classify)
	if err != nil {
		return nil, err
	}
	l, err := q.pairs()
	if err != nil {
		return nil, bodyError(err)
	}
	config := &m.description().Config
	how := squashOf(config)
	if q.squash >= 0 {
		how = squash(q.squash)
	}
	scores, err := c.scores(m, l.data(), q.reading.options(c), how)
	if err != nil {
		return nil, err
	}
	n := len(config.Labels)
	if q.topK > 0 {
		n = min(n, q.topK)
	}
	return appendEach(b, len(scores), func(b []byte, i int) []byte { return appendScores(b, config.Labels, scores[i], n) }), nil
}

// cutTo is how a text is read that is no longer than a model takes: never says that a longer one is an error.
func (c *call) cutTo(m *model, u Use, r *reading) (o tokenizer.Options, never bool) {
	options := r.options(c)
	how, _ := c.truncation(&options)
	return tokenizer.Options{MaxLength: m.maxTokens(u), TruncateLeft: how == TruncateLeft}, how == TruncateNever
}

// checkCut reports an encoding that is without some of its text's tokens.
func checkCut(e *tokenizer.Encoding, never bool, i int) error {
	if e.Truncated > 0 && never {
		return &Error{Kind: TooLong, Index: i, Message: "the input has " + message.Thousands(e.Len()+e.Truncated) + " tokens, want at most " +
			message.Thousands(e.Len()) + ": shorten it, or have it truncated"}
	}
	return nil
}

// headLogits are those that a model's head gives for each of some sequences.
func (c *call) headLogits(m *model, u Use, windows []*tokenizer.Encoding) ([][]float32, error) {
	inputs := make([]data.Input, len(windows))
	for i, e := range windows {
		inputs[i] = data.Input{IDs: e.IDs, TypeIDs: e.TypeIDs}
	}
	var o inputOptions
	a, err := ask[[]float32](c, m, laneKey{use: u, raw: true}, inputs, &o)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Index >= 0 { // it is that of a window
			own := *e
			own.Index = -1
			return nil, &own
		}
		return nil, err
	}
	return a.values, nil
}

// tell counts texts whose sequences were counted as inputs.
func (c *call) tell(texts []string, windows []int, truncated int) {
	n := 0
	for i, text := range texts {
		n += windows[i]
		c.facts.characters += utf8.RuneCountInString(text)
	}
	c.facts.inputs += len(texts) - n
	c.facts.truncated += truncated
}

func hfTag(c *call, name string, body, b []byte) ([]byte, error) {
	q, m, err := hfBody(c, name, body, Tag)
	if err != nil {
		return nil, err
	}
	texts, single, err := q.texts()
	if err != nil {
		return nil, bodyError(err)
	}
	if err := c.checkCount(len(texts), "inputs"); err != nil {
		return nil, err
	}
	found, err := c.entities(m, texts, &q.hfParameters)
	if err != nil {
		return nil, err
	}
	one := func(b []byte, i int) []byte { return appendEntities(b, texts[i], found[i], &q.hfParameters) }
	if single {
		return one(b, 0), nil
	}
	return appendEach(b, len(texts), one), nil
}

// appendEntities appends the entities of a text.
func appendEntities(b []byte, text string, found []labelled, q *hfParameters) []byte {
	places := newOffsets(text, q.unit)
	return appendEach(b, len(found), func(b []byte, i int) []byte {
		e := &found[i]
		o := openObject(b)
		if q.aggregation == aggregateNone {
			o.text("entity", e.label)
			o.integer("index", e.index)
		} else {
			o.text("entity_group", e.label)
		}
		o.float("score", e.score)
		o.text("word", e.word)
		o.integer("start", places.at(e.start))
		o.integer("end", places.at(e.end))
		return o.close()
	})
}

// entities are those of each text.
func (c *call) entities(m *model, texts []string, q *hfParameters) ([][]labelled, error) {
	t := m.tokenizer()
	if t == nil {
		return nil, errorf(WrongTask, "%v", m.shared.TokenizerError())
	}
	o, never := c.cutTo(m, Tag, &q.reading)
	if q.stride >= 0 {
		if q.aggregation == aggregateNone {
			return nil, errorf(BadRequest, "`parameters.stride`: windows can't be joined where `aggregation_strategy` is none").param("parameters.stride")
		}
		o.Stride, o.Overflow = q.stride, true
	}
	var (
		start     = time.Now()
		windows   []*tokenizer.Encoding
		counts    = make([]int, len(texts))
		tokens    int
		truncated int
	)
	for i, text := range texts {
		var e tokenizer.Encoding
		add := func(e *tokenizer.Encoding) error {
			if tokens += e.Len(); tokens > c.s.options.MaxQueueTokens {
				return errTooManyWindows
			}
			windows = append(windows, cloneEncoding(e))
			counts[i]++
			return nil
		}
		var err error
		if o.Overflow {
			err = t.Windows(text, o, add)
		} else if err = t.Encode(&e, text, o); err == nil {
			if e.Truncated > 0 {
				truncated++
			}
			if err = checkCut(&e, never, i); err == nil {
				err = add(&e)
			}
		}
		if err != nil {
			return nil, textError(err, i)
		}
	}
	c.facts.tokenize += time.Since(start)
	logits, err := c.headLogits(m, Tag, windows)
	if err != nil {
		return nil, err
	}
	c.tell(texts, counts, truncated)
	l := labelling{t, m.description().Config.Labels, q.ignoreLabels, q.aggregation}
	out := make([][]labelled, len(texts))
	for i, text := range texts {
		for j := range counts[i] {
			out[i] = append(out[i], l.entities(text, windows[j], logits[j])...)
		}
		if counts[i] > 1 {
			out[i] = joinWindows(out[i])
		}
		windows, logits = windows[counts[i]:], logits[counts[i]:]
	}
	return out, nil
}

// textError is the error of a text that can't be tokenized.
func textError(err error, i int) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return err
	case errors.Is(err, errTooManyWindows):
		return &Error{Kind: TooManyInputs, Message: err.Error(), Index: i}
	}
	return &Error{Kind: BadInput, Message: err.Error(), Index: i, Cause: err}
}

func hfQuestions(c *call, name string, body, b []byte) ([]byte, error) {
	q, m, err := hfBody(c, name, body, Answer)
	if err != nil {
		return nil, err
	}
	list, single, err := q.questions()
	if err != nil {
		return nil, bodyError(err)
	}
	if err := c.checkCount(len(list), "inputs"); err != nil {
		return nil, err
	}
	found, err := c.spans(m, list, &q.hfParameters)
	if err != nil {
		return nil, err
	}
	one := func(b []byte, i int) []byte {
		places := newOffsets(list[i].context, q.unit)
		span := func(b []byte, j int) []byte {
			s := &found[i][j]
			o := openObject(b)
			o.float("score", float32(s.score))
			o.integer("start", places.at(s.start))
			o.integer("end", places.at(s.end))
			o.text("answer", s.text)
			return o.close()
		}
		if q.asking.topK == 1 && len(found[i]) == 1 {
			return span(b, 0)
		}
		return appendEach(b, len(found[i]), span)
	}
	if single {
		return one(b, 0), nil
	}
	return appendEach(b, len(list), one), nil
}

// spans are the answers to each question.
func (c *call) spans(m *model, list []question, q *hfParameters) ([][]span, error) {
	t := m.tokenizer()
	if t == nil {
		return nil, errorf(WrongTask, "%v", m.shared.TokenizerError())
	}
	// Hugging Face's own limit, and not that of the model's windows.
	longest := m.description().Config.MaxPositionEmbeddings
	if n := t.Config().ModelMaxLength; n > 0 {
		longest = min(longest, n)
	}
	if n := m.spec.MaxTokens; n > 0 {
		longest = min(longest, n)
	}
	if err := q.asking.resolve(longest); err != nil {
		return nil, bodyError(err)
	}
	var (
		start   = time.Now()
		room    = c.s.options.MaxQueueTokens
		windows []*tokenizer.Encoding
		counts  = make([]int, len(list))
		texts   = make([]string, len(list))
	)
	for i, in := range list {
		own, err := q.asking.windows(t, in.question, in.context, room)
		if err != nil {
			return nil, textError(err, i)
		}
		for _, e := range own {
			room -= e.Len()
		}
		windows = append(windows, own...)
		counts[i], texts[i] = len(own), in.question+in.context
	}
	c.facts.tokenize += time.Since(start)
	logits, err := c.headLogits(m, Answer, windows)
	if err != nil {
		return nil, err
	}
	c.tell(texts, counts, 0)
	out := make([][]span, len(list))
	for i, in := range list {
		n := counts[i]
		out[i] = q.asking.answers(t, in.context, windows[:n], logits[:n])
		windows, logits = windows[n:], logits[n:]
	}
	return out, nil
}

func hfFill(c *call, name string, body, b []byte) ([]byte, error) {
	q, m, err := hfBody(c, name, body, FillMask)
	if err != nil {
		return nil, err
	}
	texts, single, err := q.texts()
	if err != nil {
		return nil, bodyError(err)
	}
	found, err := c.fillings(m, texts, q.candidates(), q.targets)
	if err != nil {
		return nil, err
	}
	one := func(b []byte, i int) []byte { return appendFillings(b, found[i]) }
	if single {
		return one(b, 0), nil
	}
	return appendEach(b, len(texts), one), nil
}

// candidates is how many candidates there are for a mask.
func (q *hfParameters) candidates() int {
	if q.topK == 0 {
		return 5
	}
	return q.topK
}

// appendFillings appends the candidates for the masks of a text: those of one mask alone, or a list for each.
func appendFillings(b []byte, masks [][]filling) []byte {
	mask := func(b []byte, i int) []byte {
		return appendEach(b, len(masks[i]), func(b []byte, j int) []byte {
			f := &masks[i][j]
			o := openObject(b)
			o.float("score", f.score)
			o.integer("token", int(f.token))
			o.text("token_str", f.text)
			o.text("sequence", f.sequence)
			return o.close()
		})
	}
	if len(masks) == 1 {
		return mask(b, 0)
	}
	return appendEach(b, len(masks), mask)
}

// fillings are the candidates for each mask of each text.
func (c *call) fillings(m *model, texts []string, topK int, targets []string) ([][][]filling, error) {
	if err := c.checkCount(len(texts), "inputs"); err != nil {
		return nil, err
	}
	t := m.tokenizer()
	among, err := targetIDs(t, targets)
	if err != nil {
		return nil, bodyError(err)
	}
	if among != nil {
		topK = min(topK, len(among))
	}
	if topK > maxTopK {
		return nil, errorf(BadRequest, "`parameters.top_k` is %d, want at most %d", topK, maxTopK).param("parameters.top_k")
	}
	// Each candidate has the whole text once more.
	encodings := make([]tokenizer.Encoding, len(texts))
	masks := 0
	for i, text := range texts {
		if err := t.Encode(&encodings[i], text, tokenizer.Options{}); err != nil {
			return nil, textError(err, i)
		}
		for _, id := range encodings[i].IDs {
			if id == t.MaskID() {
				masks++
			}
		}
		if masks*topK > maxList {
			return nil, errorf(TooManyInputs, "%d candidates for each of %d masks or more: want at most %d in all", topK, masks, maxList)
		}
	}
	var o inputOptions
	a, err := ask[[]task.Mask](c, m, laneKey{use: FillMask, topK: topK, labels: encodeIDs(among)}, data.Texts(texts...), &o)
	if err != nil {
		return nil, err
	}
	out := make([][][]filling, len(texts))
	for i, found := range a.values {
		for j := range found {
			out[i] = append(out[i], fillings(t, encodings[i].IDs, &found[j], len(found)))
		}
	}
	return out, nil
}

func hfZeroShot(c *call, name string, body, b []byte) ([]byte, error) {
	q, m, err := hfBody(c, name, body, ZeroShot)
	if err != nil {
		return nil, err
	}
	texts, single, err := q.texts()
	if err != nil {
		return nil, bodyError(err)
	}
	if err := q.checkLabels(); err != nil {
		return nil, bodyError(err)
	}
	// A single label is asked for alone, as by transformers: there is nothing that it could be weighed against.
	z := task.ZeroShotOptions{Labels: q.candidateLabels, Template: q.template, MultiLabel: q.multiLabel || len(q.candidateLabels) == 1}
	a, err := c.zeroShot(m, data.Texts(texts...), z, q.reading.options(c))
	if err != nil {
		return nil, err
	}
	one := func(b []byte, i int) []byte {
		scores := make([]float32, len(q.candidateLabels))
		for j := range scores {
			scores[j] = float32(a.values[i].Probabilities[j].Value)
		}
		return appendScores(b, q.candidateLabels, scores, len(scores))
	}
	if single {
		return one(b, 0), nil
	}
	return appendEach(b, len(texts), one), nil
}

// multipleChoice is POST /multiple_choice, for which there is no convention.
func multipleChoice(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	b, err := choose(c, "", body, c.buffer())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, contentJSON, b)
}

func choose(c *call, name string, body, b []byte) ([]byte, error) {
	q, err := readChoice(body)
	if err != nil {
		return nil, bodyError(err)
	}
	if name == "" {
		name = q.model
	}
	m, err := c.model(name, Choose)
	if err != nil {
		return nil, err
	}
	a, err := c.predict(Choose, m, []data.Input{{Text: q.prompt, Choices: q.choices}}, predictOptions{inputOptions: q.reading.options(c)})
	if err != nil {
		return nil, err
	}
	scores := softmaxed.of(a.values[0].Logits)
	order := descending(scores)
	return appendEach(b, len(order), func(b []byte, i int) []byte {
		o := openObject(b)
		o.integer("index", order[i])
		o.float("score", scores[order[i]])
		return o.close()
	}), nil
}
