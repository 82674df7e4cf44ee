package serve

import "math"

// openAIRequest is a body of /v1/embeddings (openai-openapi, CreateEmbeddingRequest).
type openAIRequest struct {
	model      string
	list       textInputs
	base64     bool
	dimensions int // 0: all
	reading        // of our own: truncate, truncation_direction, prompt_name
}

func readOpenAI(body []byte) (q openAIRequest, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if ok, err := q.reading.field(d, key); ok {
			return err
		}
		switch key {
		case "model":
			err = d.intoText(&q.model)
		case "input":
			there = true
			q.list, err = d.textsOrIDs()
		case "encoding_format":
			err = d.intoBase64(&q.base64)
		case "dimensions":
			err = d.intoInt(&q.dimensions, 1, math.MaxInt32)
		}
		return err
	})
	return q, checkList("input", there, len(q.list.inputs), err)
}

// classifyRequest is a body of Infinity's /classify.
type classifyRequest struct {
	model string
	texts []string
	raw   bool
}

func readClassify(body []byte) (q classifyRequest, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		switch key {
		case "model":
			err = d.intoText(&q.model)
		case "input":
			there = true
			if d.kind() == '"' {
				q.texts = make([]string, 1)
				q.texts[0], err = d.text()
				return err
			}
			err = d.intoTexts(&q.texts)
		case "raw_scores":
			err = d.intoBool(&q.raw)
		}
		return err
	})
	return q, checkList("input", there, len(q.texts), err)
}
