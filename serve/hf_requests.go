package serve

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// hfRequest is a body of Hugging Face's Inference API, {"inputs": …, "parameters": {…}}. Which inputs and parameters there may be
// depends on the task.
type hfRequest struct {
	inputs []byte // as they are written
	hfParameters
}

// hfParameters are the parameters of all tasks, of which each task reads its own.
type hfParameters struct {
	reading
	unit OffsetUnit

	topK    int // 0: the task's default
	squash  int // an index of squashes; −1: the model's
	targets []string

	aggregation  aggregation
	ignoreLabels []string
	stride       int // −1: a long text is cut

	candidateLabels []string
	template        string
	multiLabel      bool

	asking asking
}

func defaultHFParameters() hfParameters {
	return hfParameters{
		unit: CodePoints, squash: -1, aggregation: aggregateSimple, ignoreLabels: []string{"O"}, stride: -1,
		template: "This example is {}.", asking: defaultAsking(),
	}
}

// maxList bounds the answers of an input that a request may ask for.
const maxList = 10_000

func readHF(body []byte) (q hfRequest, err error) {
	q.hfParameters = defaultHFParameters()
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		switch key {
		case "inputs":
			q.inputs, err = d.raw()
		case "parameters":
			err = d.orNull(func(key string) error { return q.parameter(d, key) })
		case "offset_unit":
			err = d.intoOffsetUnit(&q.unit)
		}
		return err
	})
	if err == nil && q.inputs == nil {
		err = &fieldError{"inputs", errMissing}
	}
	return q, err
}

func (q *hfParameters) parameter(d *jsonReader, key string) (err error) {
	if ok, err := q.reading.field(d, key); ok {
		return err
	}
	switch key {
	case "offset_unit":
		err = d.intoOffsetUnit(&q.unit)
	case "top_k", "topk":
		err = d.intoInt(&q.topK, 1, maxList)
		q.asking.topK = max(q.topK, 1)
	case "function_to_apply":
		err = d.intoChoice(&q.squash, squashes[:]...)
	case "targets":
		err = d.intoTextOrTexts(&q.targets)
	case "aggregation_strategy":
		by := int(q.aggregation)
		err = d.intoChoice(&by, aggregations[:]...)
		q.aggregation = aggregation(by)
	case "ignore_labels":
		err = d.intoTexts(&q.ignoreLabels)
	case "stride":
		err = d.intoInt(&q.stride, 0, math.MaxInt32)
	case "candidate_labels":
		if d.kind() != '"' {
			return d.intoTexts(&q.candidateLabels)
		}
		var list string
		if list, err = d.text(); err == nil {
			q.candidateLabels = nil
			for label := range strings.SplitSeq(list, ",") {
				if label = strings.TrimSpace(label); label != "" {
					q.candidateLabels = append(q.candidateLabels, label)
				}
			}
		}
	case "hypothesis_template":
		err = d.intoText(&q.template)
	case "multi_label":
		err = d.intoBool(&q.multiLabel)
	case "max_seq_len":
		err = d.intoInt(&q.asking.maxLength, 1, math.MaxInt32)
	case "doc_stride":
		err = d.intoInt(&q.asking.stride, 0, math.MaxInt32)
	case "max_answer_len":
		err = d.intoInt(&q.asking.maxAnswer, 1, math.MaxInt32)
	case "handle_impossible_answer":
		err = d.intoBool(&q.asking.impossible)
	case "align_to_words":
		err = d.intoBool(&q.asking.byWords)
	}
	return err
}

// intoTextOrTexts reads a text or a list of them.
func (d *jsonReader) intoTextOrTexts(v *[]string) error {
	if d.kind() != '"' {
		return d.intoTexts(v)
	}
	s, err := d.text()
	*v = []string{s}
	return err
}

// texts are inputs that are a text or a list of them.
func (q *hfRequest) texts() (texts []string, single bool, err error) {
	d := &jsonReader{data: q.inputs}
	switch d.kind() {
	case '"', '[':
		single = d.kind() == '"'
		err = d.intoTextOrTexts(&texts)
	default:
		err = d.want("a string or a list of strings")
	}
	if err == nil && len(texts) == 0 {
		err = &fieldError{err: errEmptyList}
	}
	return texts, single, inField("inputs", err)
}

// pairs are inputs of text classification.
func (q *hfRequest) pairs() (l textInputs, err error) {
	d := &jsonReader{data: q.inputs}
	l, err = d.namedPairs()
	if err == nil && len(l.inputs) == 0 {
		err = &fieldError{err: errEmptyList}
	}
	return l, inField("inputs", err)
}

// question is a question with the context that may have its answer.
type question struct{ question, context string }

func (d *jsonReader) question() (in question, err error) {
	question, context := false, false
	err = d.object(func(key string) (err error) {
		switch key {
		case "question":
			question = true
			in.question, err = d.text()
		case "context":
			context = true
			in.context, err = d.text()
		}
		return err
	})
	switch {
	case err != nil:
	case !question:
		err = &fieldError{"question", errMissing}
	case !context:
		err = &fieldError{"context", errMissing}
	case in.question == "":
		err = &fieldError{"question", errEmptyList}
	case in.context == "":
		err = &fieldError{"context", errEmptyList}
	}
	return in, err
}

// questions are inputs of question answering: one, or a list of them.
func (q *hfRequest) questions() (list []question, single bool, err error) {
	d := &jsonReader{data: q.inputs}
	read := func() error {
		in, err := d.question()
		list = append(list, in)
		return err
	}
	switch d.kind() {
	case '[':
		err = d.array(func(int) error { return read() })
	case '{':
		single = true
		err = read()
	default:
		err = d.want("an object with question and context, or a list of them")
	}
	if err == nil && len(list) == 0 {
		err = &fieldError{err: errEmptyList}
	}
	return list, single, inField("inputs", err)
}

// checkLabels reports labels and a template that no model can be asked about.
func (q *hfParameters) checkLabels() error {
	if len(q.candidateLabels) == 0 {
		return &fieldError{"parameters.candidate_labels", errors.New("want at least one label")}
	}
	seen := make(map[string]bool, len(q.candidateLabels))
	for i, label := range q.candidateLabels {
		if label == "" || seen[label] {
			return &fieldError{fmt.Sprintf("parameters.candidate_labels[%d]", i), errors.New("want different labels, none of them empty")}
		}
		seen[label] = true
	}
	if strings.Count(q.template, "{}") != 1 {
		return &fieldError{"parameters.hypothesis_template", fmt.Errorf("%s: want {} in it, once, in the place of the label", message.Quote(q.template))}
	}
	return nil
}

// hfTask is a task of Hugging Face's pipelines. Its text is the name in a path.
type hfTask uint8

const (
	featureExtraction hfTask = iota
	sentenceSimilarity
	textClassification
	tokenClassification
	questionAnswering
	fillMask
	zeroShotClassification
)

var hfTasks = [...]string{
	featureExtraction: "feature-extraction", sentenceSimilarity: "sentence-similarity", textClassification: "text-classification",
	tokenClassification: "token-classification", questionAnswering: "question-answering", fillMask: "fill-mask",
	zeroShotClassification: "zero-shot-classification",
}

// shapeOf is the task of a body that shows it: those of some tasks can't be of another. ok is false of the others, and of a body
// that is none. model is the name of a model that the body has, a field of our own.
func shapeOf(body []byte) (task hfTask, ok bool, model string) {
	_ = readObject(body, func(d *jsonReader, key string) error {
		switch {
		case key == "model" && d.kind() == '"':
			return d.intoText(&model)
		case key == "inputs" && d.kind() == '{':
			return d.object(func(key string) error {
				switch key {
				case "source_sentence":
					task, ok = sentenceSimilarity, true
				case "question":
					task, ok = questionAnswering, true
				}
				return nil
			})
		case key == "parameters" && d.kind() == '{':
			return d.object(func(key string) error {
				if key == "candidate_labels" {
					task, ok = zeroShotClassification, true
				}
				return nil
			})
		}
		return nil
	})
	return task, ok, model
}

// choiceRequest is a body of /multiple_choice, a route of our own.
type choiceRequest struct {
	model, prompt string
	choices       []string
	reading
}

func readChoice(body []byte) (q choiceRequest, err error) {
	prompt := false
	err = readObject(body, func(d *jsonReader, key string) (err error) {
		if ok, err := q.reading.field(d, key); ok {
			return err
		}
		switch key {
		case "model":
			err = d.intoText(&q.model)
		case "prompt":
			prompt = true
			q.prompt, err = d.text()
		case "choices":
			err = d.intoTexts(&q.choices)
		}
		return err
	})
	switch {
	case err != nil:
		return q, err
	case !prompt:
		return q, &fieldError{"prompt", errMissing}
	case len(q.choices) < 2:
		return q, &fieldError{"choices", errors.New("want at least two")}
	}
	return q, nil
}
