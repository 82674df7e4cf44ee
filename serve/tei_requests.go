package serve

import "math"

// The bodies of text-embeddings-inference's routes (router/src/http/types.rs at 0d124dc).

// embedRequest is a body of /embed, /embed_all and /embed_sparse.
type embedRequest struct {
	textInputs
	reading
	normalize  bool
	dimensions int  // 0: all
	base64     bool // of feature extraction: encoding_format
}

func readEmbed(body []byte) (q embedRequest, err error) {
	q.normalize = true
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if ok, err := q.reading.field(d, key); ok {
			return err
		}
		switch key {
		case "inputs":
			there = true
			q.textInputs, err = d.textsOrIDs()
		case "normalize":
			err = d.intoBool(&q.normalize)
		case "dimensions":
			err = d.intoInt(&q.dimensions, 1, math.MaxInt32)
		case "encoding_format":
			err = d.intoBase64(&q.base64)
		}
		return err
	})
	return q, q.check(there, err)
}

// check is err or, without one, what is wrong with inputs that were, or were not, there.
func (l *textInputs) check(there bool, err error) error {
	if err := checkList("inputs", there, len(l.inputs), err); err != nil {
		return err
	}
	for i := range l.inputs {
		if ids := l.inputs[i].ids; ids != nil && len(ids) == 0 {
			return &fieldError{"inputs", errEmptyList}
		}
	}
	return nil
}

// predictRequest is a body of /predict.
type predictRequest struct {
	textInputs
	reading
	raw bool
}

func readPredict(body []byte) (q predictRequest, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if ok, err := q.reading.field(d, key); ok {
			return err
		}
		switch key {
		case "inputs":
			there = true
			q.textInputs, err = d.textsOrPairs()
		case "raw_scores":
			err = d.intoBool(&q.raw)
		}
		return err
	})
	return q, q.check(there, err)
}

// similarityRequest is a body of /similarity, and of the pipeline sentence-similarity.
type similarityRequest struct {
	source    string
	sentences []string
	reading
}

func readSimilarity(body []byte) (q similarityRequest, err error) {
	source, sentences := false, false
	err = readObject(body, func(d *jsonReader, key string) error {
		switch key {
		case "inputs":
			return d.object(func(key string) (err error) {
				switch key {
				case "source_sentence":
					source = true
					q.source, err = d.text()
				case "sentences":
					sentences = true
					err = d.intoTexts(&q.sentences)
				}
				return err
			})
		case "parameters":
			return d.orNull(func(key string) error {
				_, err := q.reading.field(d, key)
				return err
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return q, err
	case !source:
		return q, &fieldError{"inputs.source_sentence", errMissing}
	case !sentences:
		return q, &fieldError{"inputs.sentences", errMissing}
	case len(q.sentences) == 0:
		return q, &fieldError{"inputs.sentences", errEmptyList}
	}
	return q, nil
}

// tokenizeRequest is a body of /tokenize.
type tokenizeRequest struct {
	inputs     []string
	promptName string
	special    bool
	unit       OffsetUnit
}

func readTokenize(body []byte) (q tokenizeRequest, err error) {
	q.special = true
	there := false
	err = readObject(body, func(d *jsonReader, key string) error {
		switch key {
		case "inputs":
			there = true
			if d.kind() == '"' {
				s, err := d.text()
				q.inputs = []string{s}
				return err
			}
			return d.intoTexts(&q.inputs)
		case "add_special_tokens":
			return d.intoBool(&q.special)
		case "prompt_name":
			return d.intoText(&q.promptName)
		case "offset_unit":
			return d.intoOffsetUnit(&q.unit)
		}
		return nil
	})
	return q, checkList("inputs", there, len(q.inputs), err)
}

// decodeRequest is a body of /decode.
type decodeRequest struct {
	ids  [][]int32
	skip bool
}

func readDecode(body []byte) (q decodeRequest, err error) {
	q.skip = true
	there := false
	err = readObject(body, func(d *jsonReader, key string) error {
		switch key {
		case "ids":
			there = true
			l, err := d.textsOrIDs()
			q.ids = q.ids[:0]
			for _, in := range l.inputs {
				if in.ids == nil {
					return &fieldError{err: errWantIDs}
				}
				q.ids = append(q.ids, in.ids)
			}
			return err
		case "skip_special_tokens":
			return d.intoBool(&q.skip)
		}
		return nil
	})
	if err := checkList("ids", there, len(q.ids), err); err != nil {
		return q, err
	}
	for _, ids := range q.ids {
		if len(ids) == 0 {
			return q, &fieldError{"ids", errEmptyList}
		}
	}
	return q, nil
}

// readVertex reads a body of /vertex: instances, each the body of another route.
func readVertex(body []byte) (instances [][]byte, err error) {
	there := false
	err = readObject(body, func(d *jsonReader, key string) error {
		if key != "instances" {
			return nil
		}
		there = true
		instances = nil
		return d.array(func(int) error {
			if d.kind() != '{' {
				return d.want("an object")
			}
			raw, err := d.raw()
			instances = append(instances, raw)
			return err
		})
	})
	return instances, checkList("instances", there, len(instances), err)
}
