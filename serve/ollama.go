package serve

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-bert/bert"
)

// ollama is the dialect of Ollama (ollama/docs/api.md), of which a model that makes vectors can answer /api/embed and what its
// clients ask about models. A name may have a tag, which counts only where a model has it in its name.
var ollama = dialect{
	name: "ollama",
	routes: []route{
		{method: "POST", pattern: "/api/embed", use: Embed, handle: ollamaEmbed},
		{method: "POST", pattern: "/api/embeddings", use: Embed, handle: ollamaEmbeddings},
		{method: "POST", pattern: "/api/show", handle: ollamaShow},
		{method: "GET", pattern: "/api/tags", handle: ollamaTags},
		{method: "GET", pattern: "/api/ps", handle: ollamaProcesses},
		{method: "GET", pattern: "/api/version", handle: ollamaVersion},
	},
	writeError: writeTextError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
	normalize:  true,
}

// tagged finds a model by a name that may have the tag latest, as Ollama writes all names.
func (c *call) tagged(name string, u Use) (*model, error) {
	if bare, ok := strings.CutSuffix(name, ":latest"); ok {
		for _, m := range c.s.Models() {
			if m.Name == name {
				bare = name
			}
		}
		name = bare
	}
	return c.model(name, u)
}

// ollamaVectors are those of a request, as long as texts are short enough or may be truncated.
func (c *call) ollamaVectors(q *ollamaRequest, normalize bool) (*answers[[]float32], error) {
	m, err := c.tagged(q.model, Embed)
	if err != nil || len(q.texts) == 0 {
		return nil, err
	}
	l := textInputs{inputs: make([]textInput, len(q.texts))}
	for i, text := range q.texts {
		l.inputs[i].text = text
	}
	var r reading
	if !q.truncate {
		r.truncate = &q.truncate
	}
	return c.vectors(m, &l, &r, &normalize, q.dimensions)
}

func ollamaEmbed(c *call) error {
	q, err := read(c, readOllama)
	if err != nil {
		return err
	}
	a, err := c.ollamaVectors(&q, true)
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.text("model", q.model)
	o.key("embeddings")
	if a == nil { // there was no input
		o.b = append(o.b, "[]"...)
	} else {
		o.b = appendVectors(o.b, a.values)
		o.integer("total_duration", int(time.Since(c.start)))
		o.integer("load_duration", 0)
		o.integer("prompt_eval_count", a.tokens())
	}
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// ollamaEmbeddings is the older route: one text, whose vector is as the model gives it.
func ollamaEmbeddings(c *call) error {
	q, err := read(c, readOllama)
	if err != nil {
		return err
	}
	if len(q.texts) > 1 {
		return errorf(BadRequest, "`prompt`: want a string").param("prompt")
	}
	a, err := c.ollamaVectors(&q, false)
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.key("embedding")
	if a == nil {
		o.b = append(o.b, "[]"...)
	} else {
		o.b = appendVector(o.b, a.values[0])
	}
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// details appends what Ollama says of every model.
func (m *model) details(o *jsonObject) {
	precision, _ := m.shared.Model().Precision()
	o.key("details")
	d := openObject(o.b)
	d.raw("parent_model", `"","format":"safetensors","family":"bert","families":["bert"]`)
	d.text("parameter_size", parameterSize(m.parameters()))
	d.text("quantization_level", strings.ToUpper(precision.String()))
	o.b = d.close()
}

// parameters is the number of the model's parameters.
func (m *model) parameters() int {
	d := m.description()
	n := 0
	for _, p := range bert.Params(&d.Config, d.Head) {
		n += p.Len()
	}
	return n
}

// parameterSize is a number of parameters as Ollama writes it: 22.6M.
func parameterSize(n int) string {
	switch {
	case n >= 1e9:
		return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + "B"
	case n >= 1e6:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + "M"
	}
	return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + "K"
}

// eachModel appends an array with an object for each model that is loaded.
func (c *call) eachModel(b []byte, add func(o *jsonObject, m *model)) []byte {
	b = append(b, '[')
	first := true
	for _, status := range c.s.Models() {
		m := c.peek(status.Name)
		if m == nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		o := openObject(b)
		o.text("name", m.name)
		o.text("model", m.name)
		add(&o, m)
		o.text("digest", m.digest)
		o.integer("size", 4*m.parameters())
		m.details(&o)
		b = o.close()
	}
	return append(b, ']')
}

func ollamaTags(c *call) error {
	o := openObject(c.buffer())
	o.key("models")
	o.b = c.eachModel(o.b, func(o *jsonObject, m *model) { o.text("modified_at", m.loaded.UTC().Format(time.RFC3339)) })
	return c.reply(http.StatusOK, contentJSON, o.close())
}

func ollamaProcesses(c *call) error {
	o := openObject(c.buffer())
	o.key("models")
	o.b = c.eachModel(o.b, func(o *jsonObject, m *model) {
		o.text("expires_at", "2318-01-01T00:00:00Z") // never, as Ollama writes it
		o.integer("size_vram", 0)
		o.integer("context_length", m.maxTokens(Embed))
	})
	return c.reply(http.StatusOK, contentJSON, o.close())
}

func ollamaShow(c *call) error {
	name, err := read(c, readModelName)
	if err != nil {
		return err
	}
	m, err := c.tagged(name, Tokenize)
	if err != nil {
		return err
	}
	c.use = NoUse
	config := &m.description().Config
	o := openObject(c.buffer())
	o.raw("license", `"","modelfile":"","parameters":"","template":""`)
	m.details(&o)
	o.key("model_info")
	info := openObject(o.b)
	info.text("general.architecture", "bert")
	info.integer("general.parameter_count", m.parameters())
	info.integer("bert.block_count", config.NumHiddenLayers)
	info.integer("bert.context_length", m.maxTokens(Embed))
	info.integer("bert.embedding_length", config.HiddenSize)
	info.integer("bert.attention.head_count", config.NumAttentionHeads)
	o.b = info.close()
	o.raw("capabilities", `["embedding"]`)
	o.text("modified_at", m.loaded.UTC().Format(time.RFC3339))
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// ollamaVersion is that of the program. Clients look whether there is one.
func ollamaVersion(c *call) error {
	o := openObject(c.buffer())
	o.text("version", c.s.options.Version)
	return c.reply(http.StatusOK, contentJSON, o.close())
}
