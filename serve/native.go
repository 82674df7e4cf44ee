package serve

import (
	"net/http"

	"github.com/go-bert/bert/data"
)

// native is our own dialect: what the library answers, as it is.
var native = dialect{
	name: "bert",
	routes: []route{
		{method: "POST", pattern: "/bert/v1/embed", use: Embed, handle: nativeEmbed},
	},
}

func nativeEmbed(c *call) error {
	var q struct {
		Model string   `json:"model"`
		Texts []string `json:"texts"`
	}
	if err := c.decode(&q); err != nil {
		return err
	}
	m, err := c.model(q.Model, Embed)
	if err != nil {
		return err
	}
	v, err := c.embed(m, data.Texts(q.Texts...), embedOptions{})
	if err != nil {
		return err
	}
	b := append(c.buffer(), `{"vectors":[`...)
	for i, x := range v.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendVector(b, x)
	}
	return c.reply(http.StatusOK, contentJSON, append(b, "]}"...))
}
