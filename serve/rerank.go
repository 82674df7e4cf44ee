package serve

import (
	"crypto/rand"
	"net/http"
	"slices"

	"github.com/go-bert/bert/tokenizer"
)

// rerank is the dialect of those that order documents by how well they answer a query. Jina (jina.ai/reranker), llama.cpp and Infinity
// share their requests with Cohere's first version, and their clients skip the fields of the answer that they don't know: so
// that /v1/rerank answers all of them alike. /rerank is text-embeddings-inference's too, whose requests have texts.
var rerank = dialect{
	name: "rerank",
	routes: []route{
		{method: "POST", pattern: "/v1/rerank", use: Rerank, handle: rerankDocuments},
		{method: "POST", pattern: "/reranking", use: Rerank, handle: rerankDocuments},
		{method: "POST", pattern: "/v1/reranking", use: Rerank, handle: rerankDocuments},
		{method: "POST", pattern: "/v2/rerank", use: Rerank, handle: cohereRerank},
		{method: "POST", pattern: "/classify", use: Classify, handle: infinityClassify},
	},
	writeError: writeRerankError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
	normalize:  true,
}

// writeRerankError has the message where each of the clients looks for it: Jina's in detail, Cohere's in message, llama.cpp's and
// Infinity's in error.
func writeRerankError(c *call, e *Error) {
	o := openObject(c.buffer())
	o.text("message", e.Error())
	o.text("detail", e.Error())
	o.key("error")
	inner := openObject(o.b)
	inner.integer("code", e.Kind.Status())
	inner.text("message", e.Error())
	inner.text("type", e.Kind.String())
	o.b = inner.close()
	c.reply(e.Kind.Status(), contentJSON, o.close())
}

// rerankRoute is POST /rerank: with documents Jina's, else text-embeddings-inference's.
func rerankRoute(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	q, err := readRerank(body)
	if q.documents {
		c.speak(&rerank)
	}
	if err != nil {
		return bodyError(err)
	}
	if q.documents {
		return rerankAnswer(c, &q)
	}
	b, err := teiRanks(c, "", &q, c.buffer())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, contentJSON, b)
}

func teiRerank(c *call, body, b []byte) ([]byte, error) {
	q, err := readRerank(body)
	if err != nil {
		return nil, bodyError(err)
	}
	return teiRanks(c, "", &q, b)
}

// teiRanks appends the ranks of all texts, as text-embeddings-inference has them.
func teiRanks(c *call, name string, q *rerankRequest, b []byte) ([]byte, error) {
	scores, _, err := c.ranks(name, q)
	if err != nil {
		return nil, err
	}
	order := descending(scores)
	return appendEach(b, len(order), func(b []byte, i int) []byte {
		o := openObject(b)
		o.integer("index", order[i])
		if q.withText {
			o.text("text", q.texts[order[i]])
		}
		o.float("score", scores[order[i]])
		return o.close()
	}), nil
}

// ranks are the scores of all texts: probabilities or, of raw_scores, logits.
func (c *call) ranks(name string, q *rerankRequest) ([]float32, *answers[relevance], error) {
	m, err := c.model(name, Rerank)
	if err != nil {
		return nil, nil, err
	}
	texts := q.texts
	if q.maxTokens > 0 {
		if texts, err = shortened(m.tokenizer(), texts, q.maxTokens); err != nil {
			return nil, nil, err
		}
	}
	a, err := c.rerank(m, q.query, texts, q.reading.options(c))
	if err != nil {
		return nil, nil, err
	}
	scores := make([]float32, len(a.values))
	for i, v := range a.values {
		if scores[i] = v.raw; !q.raw {
			scores[i] = sigmoid(v.raw)
		}
	}
	return scores, a, nil
}

// shortened are texts without what follows their first most tokens.
func shortened(t *tokenizer.Tokenizer, texts []string, most int) ([]string, error) {
	out := slices.Clone(texts)
	var e tokenizer.Encoding
	for i, text := range texts {
		if t == nil || len(text) <= most { // a token has a byte at least
			continue
		}
		if err := t.Encode(&e, text, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
			return nil, &Error{Kind: BadInput, Message: err.Error(), Index: i}
		}
		if e.Len() > most {
			out[i] = text[:e.Offsets[most-1].End]
		}
	}
	return out, nil
}

func rerankDocuments(c *call) error {
	q, err := read(c, readRerank)
	if err != nil {
		return err
	}
	return rerankAnswer(c, &q)
}

// results appends the best documents.
func (q *rerankRequest) results(b []byte, scores []float32) []byte {
	order := descending(scores)
	if q.topN > 0 {
		order = order[:min(q.topN, len(order))]
	}
	return appendEach(b, len(order), func(b []byte, i int) []byte {
		o := openObject(b)
		o.integer("index", order[i])
		o.float("relevance_score", scores[order[i]])
		if q.withText {
			o.key("document")
			document := openObject(o.b)
			document.text("text", q.texts[order[i]])
			o.b = document.close()
		}
		return o.close()
	})
}

func rerankAnswer(c *call, q *rerankRequest) error {
	scores, a, err := c.ranks(q.model, q)
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.text("id", newID())
	o.text("object", "list")
	o.text("model", a.model.name)
	o.key("usage")
	o.b = appendUsage(o.b, a.tokens())
	o.key("results")
	o.b = q.results(o.b, scores)
	o.key("meta")
	o.b = appendMeta(o.b, "1", len(q.texts))
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// cohereRerank is POST /v2/rerank of Cohere.
func cohereRerank(c *call) error {
	q, err := read(c, readRerank)
	if err != nil {
		return err
	}
	scores, _, err := c.ranks(q.model, &q)
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	o.text("id", newID())
	o.key("results")
	o.b = q.results(o.b, scores)
	o.key("meta")
	o.b = appendMeta(o.b, "2", len(q.texts))
	return c.reply(http.StatusOK, contentJSON, o.close())
}

// appendMeta appends Cohere's meta. A search unit is up to 100 documents.
func appendMeta(b []byte, version string, documents int) []byte {
	o := openObject(b)
	o.key("api_version")
	inner := openObject(o.b)
	inner.text("version", version)
	o.b = inner.close()
	o.key("billed_units")
	units := openObject(o.b)
	units.integer("search_units", (documents+99)/100)
	o.b = units.close()
	return o.close()
}

// appendUsage appends usage as OpenAI has it.
func appendUsage(b []byte, tokens int) []byte {
	o := openObject(b)
	o.integer("prompt_tokens", tokens)
	o.integer("total_tokens", tokens)
	return o.close()
}

// newID is a random UUID (version 4).
func newID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // it never fails
	u[6], u[8] = u[6]&15|64, u[8]&63|128
	const digits = "0123456789abcdef"
	var b []byte
	for i, x := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return string(b)
}

// infinityClassify is POST /classify of Infinity.
func infinityClassify(c *call) error {
	q, err := read(c, readClassify)
	if err != nil {
		return err
	}
	m, err := c.model(q.model, Classify)
	if err != nil {
		return err
	}
	how := squashOf(&m.description().Config)
	if q.raw {
		how = asTheyAre
	}
	a, err := c.predict(Classify, m, textData(q.texts), predictOptions{})
	if err != nil {
		return err
	}
	labels := m.description().Config.Labels
	o := openObject(c.buffer())
	o.text("object", "classify")
	o.key("data")
	o.b = appendEach(o.b, len(a.values), func(b []byte, i int) []byte {
		return appendScores(b, labels, how.of(a.values[i].Logits), len(labels))
	})
	o.text("model", m.name)
	o.key("usage")
	o.b = appendUsage(o.b, a.tokens())
	o.text("id", newID())
	o.integer("created", int(c.start.Unix()))
	return c.reply(http.StatusOK, contentJSON, o.close())
}
