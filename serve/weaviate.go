package serve

import "net/http"

// weaviate is what Weaviate asks of its module text2vec-transformers (github.com/weaviate/t2v-transformers-models, app.py).
var weaviate = dialect{
	name: "weaviate",
	routes: []route{
		{method: "POST", pattern: "/vectors", use: Embed, handle: weaviateVectors},
		{method: "POST", pattern: "/vectors/{$}", use: Embed, handle: weaviateVectors},
		{method: "GET", pattern: "/meta", handle: weaviateMeta},
		{method: "GET", pattern: "/.well-known/live", open: true, handle: func(c *call) error { return c.reply(http.StatusNoContent, "", nil) }},
		{method: "GET", pattern: "/.well-known/ready", open: true, handle: weaviateReady},
	},
	writeError: writeTextError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
}

type weaviateRequest struct{ text string }

func readWeaviate(body []byte) (q weaviateRequest, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if key == "text" {
			there = true
			q.text, err = d.text()
		}
		return err
	})
	if err == nil && !there {
		err = &fieldError{"text", errMissing}
	}
	return q, err
}

func weaviateVectors(c *call) error {
	q, err := read(c, readWeaviate)
	if err != nil {
		return err
	}
	m, err := c.model("", Embed)
	if err != nil {
		return err
	}
	a, err := c.embed(m, textData([]string{q.text}), embedOptions{})
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.text("text", q.text)
	o.key("vector")
	o.b = appendVector(o.b, a.values[0])
	o.integer("dim", len(a.values[0]))
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// weaviateMeta says what the model is.
func weaviateMeta(c *call) error {
	m, err := c.model("", Embed)
	if err != nil {
		return err
	}
	c.use = NoUse
	config := &m.description().Config
	o := openObject(c.buffer())
	o.text("model_name", m.name)
	o.raw("model_type", `"bert"`)
	o.integer("hidden_size", config.HiddenSize)
	o.integer("num_hidden_layers", config.NumHiddenLayers)
	o.integer("num_attention_heads", config.NumAttentionHeads)
	o.integer("max_position_embeddings", config.MaxPositionEmbeddings)
	o.integer("vocab_size", config.VocabSize)
	return c.reply(http.StatusOK, contentJSON, o.close())
}

func weaviateReady(c *call) error {
	if !c.s.Status().Ready {
		return ready(c)
	}
	return c.reply(http.StatusNoContent, "", nil)
}
