package serve

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// rerankRequest is a body of the routes that order texts by how well they answer a query: text-embeddings-inference's with texts,
// and those of Jina, Cohere, llama.cpp and Infinity with documents.
type rerankRequest struct {
	model     string
	query     string
	texts     []string
	documents bool // the texts came as documents
	topN      int  // 0: all
	withText  bool
	raw       bool // logits in place of probabilities
	maxTokens int  // of a document, max_tokens_per_doc; 0: no limit of its own
	reading
}

func readRerank(body []byte) (q rerankRequest, err error) {
	query, texts := false, false
	rankFields := []string{"text"}
	var documents []byte
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if ok, err := q.reading.field(d, key); ok {
			return err
		}
		switch key {
		case "model":
			err = d.intoText(&q.model)
		case "query":
			query = true
			q.query, err = d.text()
		case "texts":
			texts = true
			err = d.intoTexts(&q.texts)
		case "documents":
			q.documents = true
			documents, err = d.raw()
		case "rank_fields":
			err = d.intoTexts(&rankFields)
		case "top_n":
			err = d.intoInt(&q.topN, 0, math.MaxInt32)
		case "return_documents", "return_text":
			err = d.intoBool(&q.withText)
		case "raw_scores":
			err = d.intoBool(&q.raw)
		case "max_tokens_per_doc":
			err = d.intoInt(&q.maxTokens, 1, math.MaxInt32)
		}
		return err
	})
	if err == nil && q.documents && !texts {
		err = inField("documents", q.readDocuments(documents, rankFields))
		texts = true
	} else {
		q.documents = false
	}
	field := "texts"
	if q.documents {
		field = "documents"
	}
	switch {
	case err != nil:
		return q, err
	case !query:
		return q, &fieldError{"query", errMissing}
	case !texts:
		return q, &fieldError{"texts", errors.New("is missing, and so is `documents`")}
	case len(q.texts) == 0:
		return q, &fieldError{field, errEmptyList}
	}
	return q, nil
}

// readDocuments reads documents: texts, or objects of which fields are the text, one after another.
func (q *rerankRequest) readDocuments(raw []byte, fields []string) error {
	d := &jsonReader{data: raw}
	q.texts = []string{}
	return d.array(func(int) error {
		if d.kind() == '"' {
			s, err := d.text()
			q.texts = append(q.texts, s)
			return err
		}
		if d.kind() != '{' {
			return d.want("a string, or an object with text")
		}
		found := make(map[string]string, len(fields))
		err := d.object(func(key string) error {
			if !slices.Contains(fields, key) {
				return nil
			}
			s, err := d.text()
			found[key] = s
			return err
		})
		if err != nil {
			return err
		}
		var text strings.Builder
		for i, field := range fields {
			s, ok := found[field]
			if !ok {
				return &fieldError{field, errMissing}
			}
			if i > 0 {
				text.WriteByte('\n')
			}
			text.WriteString(s)
		}
		q.texts = append(q.texts, text.String())
		return nil
	})
}
