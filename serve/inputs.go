package serve

import (
	"errors"
	"math"
)

// textInput is an input of a request: a text, a pair of texts, or the ids of tokens.
type textInput struct {
	text, pair string
	isPair     bool
	ids        []int32 // not nil: there is no text
}

// textInputs is the inputs of a request. single says that the request had one that was not in a list, whose answer is not in one either.
type textInputs struct {
	inputs []textInput
	single bool
}

// errEmptyList is the error of a list without inputs, errWantIDs that of texts in the place of ids.
var (
	errEmptyList = errors.New("cannot be empty")
	errWantIDs   = errors.New("want token ids, or a list of lists of them")
)

func (d *jsonReader) ids() ([]int32, error) {
	ids := []int32{}
	err := d.longArray(func(int) error {
		n, err := d.integer(0, math.MaxInt32)
		ids = append(ids, int32(n))
		return err
	})
	return ids, err
}

// textsOrIDs reads a text, ids, or a list of both: inputs of /embed, input of /v1/embeddings.
func (d *jsonReader) textsOrIDs() (l textInputs, err error) {
	switch d.kind() {
	case '"':
		s, err := d.text()
		return textInputs{[]textInput{{text: s}}, true}, err
	case '[':
	default:
		return l, d.want("a string, a list of strings, or token ids")
	}
	var ids []int32
	err = d.longArray(func(i int) error {
		switch kind := d.kind(); {
		case ids == nil && i == maxElements:
			return d.tooMany()
		case kind == '0' && (i == 0 || ids != nil):
			n, err := d.integer(0, math.MaxInt32)
			ids = append(ids, int32(n))
			return err
		case kind == '"' && ids == nil:
			s, err := d.text()
			l.inputs = append(l.inputs, textInput{text: s})
			return err
		case kind == '[' && ids == nil:
			own, err := d.ids()
			l.inputs = append(l.inputs, textInput{ids: own})
			return err
		case ids != nil:
			return d.want("a token id, as before it")
		}
		return d.want("a string or a list of token ids")
	})
	if ids != nil {
		l = textInputs{[]textInput{{ids: ids}}, true}
	}
	return l, err
}

// textsOrPairs reads a text, a pair of texts [a, b], or a list of lists of one or two: inputs of /predict.
func (d *jsonReader) textsOrPairs() (l textInputs, err error) {
	const what = "a string, a pair of strings, or a list of lists of one or two strings"
	switch d.kind() {
	case '"':
		s, err := d.text()
		return textInputs{[]textInput{{text: s}}, true}, err
	case '[':
	default:
		return l, d.want(what)
	}
	var flat []string
	err = d.array(func(i int) error {
		switch kind := d.kind(); {
		case kind == '"' && (i == 0 || flat != nil):
			s, err := d.text()
			flat = append(flat, s)
			return err
		case kind == '[' && flat == nil:
			var texts []string
			if err := d.intoTexts(&texts); err != nil {
				return err
			}
			in, err := textOrPair(texts)
			l.inputs = append(l.inputs, in)
			return err
		case flat != nil:
			return d.want("a string, the second of a pair")
		}
		return d.want("a list of one or two strings")
	})
	if err == nil && flat != nil {
		var in textInput
		in, err = textOrPair(flat)
		l = textInputs{[]textInput{in}, true}
	}
	return l, err
}

func textOrPair(texts []string) (textInput, error) {
	switch len(texts) {
	case 1:
		return textInput{text: texts[0]}, nil
	case 2:
		return textInput{text: texts[0], pair: texts[1], isPair: true}, nil
	}
	return textInput{}, &fieldError{err: errors.New("want one string, or two that are a pair")}
}

// namedPair reads a text, or an object of text and perhaps text_pair, as transformers' pipelines take them.
func (d *jsonReader) namedPair() (in textInput, err error) {
	switch d.kind() {
	case '"':
		in.text, err = d.text()
		return in, err
	case '{':
	default:
		return in, d.want("a string, or an object with text and text_pair")
	}
	there := false
	err = d.object(func(key string) error {
		switch key {
		case "text":
			there = true
			in.text, err = d.text()
		case "text_pair":
			if null, err := d.null(); err != nil || null {
				return err
			}
			in.isPair = true
			in.pair, err = d.text()
		default:
			return nil
		}
		return err
	})
	if err == nil && !there {
		err = &fieldError{"text", errMissing}
	}
	return in, err
}

// namedPairs reads what namedPair does, or a list of them.
func (d *jsonReader) namedPairs() (l textInputs, err error) {
	if d.kind() != '[' {
		in, err := d.namedPair()
		return textInputs{[]textInput{in}, true}, err
	}
	err = d.array(func(int) error {
		in, err := d.namedPair()
		l.inputs = append(l.inputs, in)
		return err
	})
	return l, err
}

// errMissing is the error of a field that a body has to have.
var errMissing = errors.New("is missing")

// checkList is err or, without one, what is wrong with a field that has to be a list of something: it was, or was not, there, and has n
// elements.
func checkList(field string, there bool, n int, err error) error {
	switch {
	case err != nil:
		return err
	case !there:
		return &fieldError{field, errMissing}
	case n == 0:
		return &fieldError{field, errEmptyList}
	}
	return nil
}

// intoBase64 reads encoding_format: whether vectors are wanted as base64.
func (d *jsonReader) intoBase64(v *bool) error {
	format := 0
	err := d.intoChoice(&format, "float", "base64")
	*v = format == 1
	return err
}

// reading is how a request wants its texts read.
type reading struct {
	truncate   *bool // nil: as the server is set
	left       bool  // the beginning is cut
	promptName string
}

// field reads a field of the body that says how texts are read; ok says whether it is one.
func (r *reading) field(d *jsonReader, key string) (ok bool, err error) {
	switch key {
	case "truncate":
		null, err := d.null()
		if err == nil && !null {
			r.truncate = new(bool)
			*r.truncate, err = d.boolean()
		}
		return true, err
	case "truncation_direction":
		side := 0
		err := d.intoChoice(&side, "right", "left", "Right", "Left")
		r.left = side%2 == 1
		return true, err
	case "prompt_name":
		return true, d.intoText(&r.promptName)
	}
	return false, nil
}
