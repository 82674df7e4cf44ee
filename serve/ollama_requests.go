package serve

import "math"

// ollamaRequest is a body of Ollama's /api/embed and, with prompt, /api/embeddings (ollama/docs/api.md).
type ollamaRequest struct {
	model      string
	texts      []string
	truncate   bool
	dimensions int // 0: all
}

func readOllama(body []byte) (q ollamaRequest, err error) {
	q.truncate = true
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		switch key {
		case "model":
			err = d.intoText(&q.model)
		case "input", "prompt":
			if d.kind() != '[' {
				s := ""
				err = d.intoText(&s)
				q.texts = nil
				if s != "" {
					q.texts = []string{s}
				}
				return err
			}
			err = d.intoTexts(&q.texts)
		case "truncate":
			err = d.intoBool(&q.truncate)
		case "dimensions":
			err = d.intoInt(&q.dimensions, 0, math.MaxInt32)
		}
		return err
	})
	return q, err
}

// readModelName reads a body of /api/show.
func readModelName(body []byte) (name string, err error) {
	err = readObject(body, func(d *jsonReader, key string) error {
		if key == "model" || key == "name" {
			return d.intoText(&name)
		}
		return nil
	})
	return name, err
}
