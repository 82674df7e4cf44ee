package serve

import (
	"net/http"
	"strings"
)

// bertService is the HTTP dialect of bert-as-service (github.com/jina-ai/clip-as-service at v1.10.0, server/bert_serving).
var bertService = dialect{
	name:       "bert-as-service",
	routes:     []route{{method: "POST", pattern: "/encode", use: Embed, handle: bertServiceEncode}},
	writeError: writeTextError,
	truncate:   TruncateRight,
	offsets:    CodePoints,
}

// writeTextError has the message in the key error alone.
func writeTextError(c *call, e *Error) {
	o := openObject(c.buffer())
	o.text("error", e.Error())
	c.reply(e.Kind.Status(), contentJSON, o.close())
}

// encodeRequest is a body of /encode.
type encodeRequest struct {
	id    []byte // as it is written
	texts []string
}

func readEncode(body []byte) (q encodeRequest, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		switch key {
		case "id":
			q.id, err = d.raw()
		case "texts":
			there = true
			q.texts = []string{}
			return d.array(func(int) error {
				if d.kind() != '[' { // is_tokenized: words
					s, err := d.text()
					q.texts = append(q.texts, s)
					return err
				}
				var words []string
				err := d.intoTexts(&words)
				q.texts = append(q.texts, strings.Join(words, " "))
				return err
			})
		}
		return err
	})
	return q, checkList("texts", there, len(q.texts), err)
}

func bertServiceEncode(c *call) error {
	q, err := read(c, readEncode)
	if err != nil {
		return err
	}
	m, err := c.model("", Embed)
	if err != nil {
		return err
	}
	a, err := c.embed(m, textData(q.texts), embedOptions{})
	if err != nil {
		return err
	}
	o := openObject(c.buffer())
	if q.id != nil {
		o.raw("id", string(q.id))
	}
	// The tutorials call it results, the clients result.
	o.key("results")
	from := len(o.b)
	o.b = appendVectors(o.b, a.values)
	to := len(o.b)
	o.key("result")
	o.b = append(o.b, o.b[from:to]...)
	o.integer("status", http.StatusOK)
	return c.reply(http.StatusOK, contentJSON, o.close())
}
