package serve

import (
	"net/http"

	"github.com/go-bert/bert/data"
)

// openAI is the dialect of OpenAI's embeddings (openai-openapi). Long texts are an error, as there.
var openAI = dialect{
	name: "openai",
	routes: []route{
		{method: "POST", pattern: "/v1/embeddings", use: Embed, handle: openAIEmbeddings},
		{method: "POST", pattern: "/embeddings", use: Embed, handle: openAIEmbeddings},
		{method: "GET", pattern: "/v1/models", handle: openAIModels},
		{method: "GET", pattern: "/models", handle: openAIModels},
		{method: "GET", pattern: "/v1/models/{m...}", handle: openAIModel},
	},
	writeError: writeOpenAIError,
	truncate:   TruncateNever,
	offsets:    CodePoints,
	normalize:  true,
}

// openAIErrors are the type and the code of kinds of errors; of the others they are invalid_request_error and none.
var openAIErrors = map[ErrorKind]struct{ kind, code string }{
	Unauthorized:  {"invalid_request_error", "invalid_api_key"},
	UnknownModel:  {"invalid_request_error", "model_not_found"},
	TooLong:       {"invalid_request_error", "context_length_exceeded"},
	TooManyInputs: {"invalid_request_error", "array_above_max_length"},
	Overloaded:    {"rate_limit_error", "rate_limit_exceeded"},
	NotFinite:     {"server_error", ""},
	Failed:        {"server_error", ""},
	Loading:       {"server_error", "model_loading"},
	Draining:      {"server_error", "shutting_down"},
	Deadline:      {"server_error", "timeout"},
}

func writeOpenAIError(c *call, e *Error) {
	row, ok := openAIErrors[e.Kind]
	if !ok {
		row.kind = "invalid_request_error"
	}
	orNull := func(o *jsonObject, key, value string) {
		if value == "" {
			o.raw(key, "null")
			return
		}
		o.text(key, value)
	}
	o := openObject(c.buffer())
	o.key("error")
	inner := openObject(o.b)
	inner.text("message", e.Error())
	inner.text("type", row.kind)
	orNull(&inner, "param", e.Param)
	orNull(&inner, "code", row.code)
	o.b = inner.close()
	c.reply(e.Kind.Status(), contentJSON, o.close())
}

func openAIEmbeddings(c *call) error {
	q, err := read(c, readOpenAI)
	if err != nil {
		return err
	}
	for i := range q.list.inputs {
		in := &q.list.inputs[i]
		switch {
		case in.ids != nil && !c.s.options.TokenIDs:
			return errorf(BadRequest, "`input`: these are token ids, which mean something else to this model than to OpenAI's: send texts, with "+
				"LangChain's OpenAIEmbeddings by check_embedding_ctx_length=False. If they are ids of this model's own tokenizer, "+
				"with [CLS] and [SEP], the server can be told to accept them").param("input")
		case in.ids != nil && len(in.ids) == 0, in.ids == nil && in.text == "":
			return (&Error{Kind: Empty, Message: "`input`: is empty", Param: "input", Index: -1}).atInput(i)
		}
	}
	m, err := c.model(q.model, Embed)
	if err != nil {
		return err
	}
	a, err := c.vectors(m, &q.list, &q.reading, nil, q.dimensions)
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.text("object", "list")
	o.key("data")
	o.b = appendEach(o.b, len(a.values), func(b []byte, i int) []byte {
		item := openObject(b)
		item.text("object", "embedding")
		item.integer("index", i)
		item.key("embedding")
		if q.base64 {
			item.b = appendBase64(item.b, a.values[i])
		} else {
			item.b = appendVector(item.b, a.values[i])
		}
		return item.close()
	})
	o.text("model", m.name)
	o.key("usage")
	o.b = appendUsage(o.b, a.tokens())
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// textData are inputs that are texts.
func textData(texts []string) []data.Input { return data.Texts(texts...) }

func openAIModels(c *call) error {
	o := openObject(c.buffer())
	o.text("object", "list")
	o.key("data")
	models := c.s.Models()
	o.b = appendEach(o.b, len(models), func(b []byte, i int) []byte { return c.appendModel(b, models[i].Name) })
	return c.reply(http.StatusOK, contentJSON, o.close())
}

func openAIModel(c *call) error {
	for _, m := range c.s.Models() {
		if m.Name == c.pathModel() {
			return c.reply(http.StatusOK, contentJSON, c.appendModel(c.buffer(), m.Name))
		}
	}
	m, err := c.model(c.pathModel(), Tokenize) // any name may do; else the error says which there are
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, contentJSON, c.appendModel(c.buffer(), m.name))
}

// appendModel appends what OpenAI says of a model.
func (c *call) appendModel(b []byte, name string) []byte {
	o := openObject(b)
	o.text("id", name)
	o.text("object", "model")
	o.integer("created", int(c.created(name)))
	o.text("owned_by", "bert")
	return o.close()
}

// created is when a model was loaded, in seconds since 1970; before that, the time of the call.
func (c *call) created(name string) int64 {
	if m := c.peek(name); m != nil {
		return m.loaded.Unix()
	}
	return c.start.Unix()
}
