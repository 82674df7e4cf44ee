package serve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// Use is what a request wants of a model.
type Use uint8

const (
	// NoUse is of routes that run no model.
	NoUse Use = iota
	// Embed is the vector of each text.
	Embed
	// EmbedTokens is the hidden states of each token.
	EmbedTokens
	// Classify is labels or numbers of each text or pair of texts.
	Classify
	// Tag is a label for each word, and the entities that they spell.
	Tag
	// Answer is the part of a context that answers a question.
	Answer
	// Choose is one of an input's own choices.
	Choose
	// FillMask is tokens for masked places.
	FillMask
	// ZeroShot is labels that the model was not trained on.
	ZeroShot
	// Compare is how alike texts are, by their vectors.
	Compare
	// Rerank is how well texts answer a query, by a cross-encoder.
	Rerank
	// Tokenize is tokens, or the text of ids.
	Tokenize
	// EmbedSparse is weights of the vocabulary's tokens, by a masked language model.
	EmbedSparse
)

// useInfo is a row of the table of uses.
type useInfo struct {
	name  string // in metrics and our own routes
	about string // of a model that can do it, for errors
	// asked is what the library calls it.
	asked task.Capability
	// kinds are those of models that can do it; nil: any.
	kinds []task.Kind
	// made says that a model was made for this use, so that it is taken where a request names none.
	made func(d *task.Description) bool
}

var useTable = [...]useInfo{
	NoUse:       {name: "none"},
	Embed:       {name: "embed", about: "vectors of texts", asked: task.Encoding, made: madeForVectors},
	EmbedTokens: {name: "embed_tokens", about: "vectors of tokens", asked: task.Encoding, made: madeForVectors},
	Classify: {name: "classify", about: "classification", asked: task.Predicting, made: always,
		kinds: []task.Kind{task.SingleLabel, task.MultiLabel, task.Regression}},
	Tag:      {name: "tag", about: "token classification", asked: task.Predicting, kinds: []task.Kind{task.TokenClassification}, made: always},
	Answer:   {name: "answer", about: "question answering", asked: task.Predicting, kinds: []task.Kind{task.QuestionAnswering}, made: always},
	Choose:   {name: "choose", about: "multiple choice", asked: task.Predicting, kinds: []task.Kind{task.MultipleChoice}, made: always},
	FillMask: {name: "fill_mask", about: "filling masks", asked: task.FillingMasks, made: always},
	ZeroShot: {name: "zero_shot", about: "zero-shot classification", asked: task.ZeroShotting, made: always},
	Compare:  {name: "similarity", about: "comparing texts", asked: task.Comparing, made: madeForVectors},
	Rerank: {name: "rerank", about: "reranking", asked: task.Predicting, kinds: []task.Kind{task.Regression, task.SingleLabel},
		made: func(d *task.Description) bool { return d.Spec != nil && d.Spec.Kind == task.Regression }},
	Tokenize:    {name: "tokenize", about: "tokenizing", asked: task.Encoding, made: always},
	EmbedSparse: {name: "embed_sparse", about: "sparse vectors", asked: task.FillingMasks, made: always},
}

func always(*task.Description) bool { return true }

// madeForVectors is true of a sentence-transformers folder, and of a model that answers nothing else.
func madeForVectors(d *task.Description) bool {
	return d.Pipeline != nil && !d.Pipeline.CrossEncoder || d.Head == bert.NoHead
}

func (u Use) info() *useInfo { return &useTable[u] }

func (u Use) String() string {
	if int(u) >= len(useTable) {
		return fmt.Sprintf("Use(%d)", u)
	}
	return useTable[u].name
}

// ParseUse reads the name of a use, such as embed or classify.
func ParseUse(name string) (Use, error) {
	var names []string
	for u := Embed; int(u) < len(useTable); u++ {
		if useTable[u].name == name {
			return u, nil
		}
		names = append(names, useTable[u].name)
	}
	return 0, errorf(BadRequest, "use %q: want %s", name, strings.Join(names, ", "))
}

// check returns an error if a model can't be used so.
func (u Use) check(d *task.Description) *Error {
	if u == NoUse {
		return nil
	}
	e := u.objection(d)
	if e != nil {
		e.Message += usesOf(d)
	}
	return e
}

// objection is why a model can't be used so; nil: it can.
func (u Use) objection(d *task.Description) *Error {
	info := u.info()
	if err := d.Check(info.asked); err != nil {
		e := asError(err)
		if e.Kind == Failed { // something is wrong with its task.json
			e = &Error{Kind: WrongTask, Message: err.Error(), Index: -1, Cause: err}
		}
		return e
	}
	if info.kinds == nil {
		return nil
	}
	s := d.Spec
	fits := s != nil && slices.Contains(info.kinds, s.Kind)
	if fits && u == Rerank { // there has to be one number
		fits = s.Kind == task.Regression && len(s.Labels) <= 1 || s.Kind == task.SingleLabel && len(s.Labels) == 2
	}
	switch {
	case fits:
		return nil
	case s == nil:
		return errorf(WrongTask, "the model is not for %s", info.about)
	}
	return errorf(WrongTask, "the model is for %v, not for %s", s.Kind, info.about)
}

// usesOf lists what a model can do, as the end of an error.
func usesOf(d *task.Description) string {
	var names []string
	for _, u := range uses(d) {
		names = append(names, u.String())
	}
	return "; it can " + strings.Join(names, ", ")
}

// uses are what a model can do.
func uses(d *task.Description) []Use {
	var list []Use
	for u := Embed; int(u) < len(useTable); u++ {
		if u.objection(d) == nil {
			list = append(list, u)
		}
	}
	return list
}

// made is what a model was made for.
func (m *model) made() Use {
	d := m.description()
	switch {
	case madeForVectors(d):
		return Embed
	case d.Spec == nil:
		return FillMask
	}
	switch d.Spec.Kind {
	case task.Regression:
		if len(d.Config.Labels) == 1 {
			return Rerank
		}
		return Classify
	case task.TokenClassification:
		return Tag
	case task.QuestionAnswering:
		return Answer
	case task.MultipleChoice:
		return Choose
	}
	return Classify
}
