package pretrain

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// sets are the sets of instances of a run or an evaluation, with their common vocabulary.
type sets struct {
	training  []*Set // one for each phase
	held      *Set   // to evaluate on; nil: none
	tokenizer *tokenizer.Tokenizer
	from      string // the path that tokenizer is from
}

// openSets opens the sets to train on and, if held is not "", the one to evaluate on. Their vocabularies have to be the same,
// and that of the model in the folder modelDir too, if that is not "". Google's files, which have none, are taken to be of the
// others'.
func openSets(ctx context.Context, training []string, held, modelDir string) (_ *sets, err error) {
	s := new(sets)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, path := range training {
		set, err := Open(ctx, path)
		if err != nil {
			return nil, err
		}
		s.training = append(s.training, set)
	}
	if held != "" {
		if s.held, err = Open(ctx, held); err != nil {
			return nil, err
		}
	}
	for _, set := range s.all() {
		if err := s.take(set.Tokenizer(), set.Path()); err != nil {
			return nil, err
		}
	}
	if modelDir != "" {
		t, err := tokenizer.Load(modelDir)
		if err != nil {
			return nil, err
		}
		if err := s.take(t, modelDir); err != nil {
			return nil, err
		}
	}
	if s.tokenizer == nil {
		return nil, fmt.Errorf("%s: there is no vocabulary with these instances: put their vocab.txt or tokenizer.json into the folder", s.all()[0].Path())
	}
	return s, nil
}

// all are the sets to train on, then the one to evaluate on.
func (s *sets) all() []*Set {
	all := append([]*Set(nil), s.training...)
	if s.held != nil {
		all = append(all, s.held)
	}
	return all
}

func (s *sets) close() error {
	var err error
	for _, set := range s.all() {
		err = errors.Join(err, set.Close())
	}
	return err
}

// take adopts a vocabulary, which may be nil, or reports the first token in which it differs from the one there is.
func (s *sets) take(t *tokenizer.Tokenizer, path string) error {
	switch {
	case t == nil:
		return nil
	case s.tokenizer == nil:
		s.tokenizer, s.from = t, path
		return nil
	case t.VocabSize() != s.tokenizer.VocabSize():
		return fmt.Errorf("%s: the vocabulary has %d tokens, that in %s %d: want instances of the same vocabulary",
			path, t.VocabSize(), s.from, s.tokenizer.VocabSize())
	}
	for id := range int32(t.VocabSize()) {
		a, _ := t.Token(id)
		if b, _ := s.tokenizer.Token(id); a != b {
			return fmt.Errorf("%s: token %d of the vocabulary is %q, in %s it is %q: want instances of the same vocabulary", path, id, a, s.from, b)
		}
	}
	return nil
}

// head is what the training sets can train: next-sentence prediction too, if the instances of all of them are pairs.
func (s *sets) head() bert.Head {
	for _, set := range s.training {
		if !set.Paired() {
			return bert.MaskedLM
		}
	}
	return bert.PreTraining
}

// check reports instances that are too long for a model, or can't be evaluated on as the others are trained on.
func (s *sets) check(c *bert.Config) error {
	if s.held != nil && len(s.training) > 0 && s.head() == bert.PreTraining && !s.held.Paired() {
		return fmt.Errorf("%s: these instances are no pairs, as those in %s are: want both with or both without next-sentence prediction", s.held.Path(), s.training[0].Path())
	}
	for _, set := range s.all() {
		if n := set.Info().Longest; n > c.MaxPositionEmbeddings {
			return &LengthError{Path: set.Path(), Longest: n, Positions: c.MaxPositionEmbeddings}
		}
	}
	return nil
}

// LengthError says that a set has instances that are longer than a model's positions.
type LengthError struct {
	Path      string // of the set
	Longest   int    // tokens of the longest instance
	Positions int    // of the model
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("%s: the longest instance has %d tokens, the model %d positions: want shorter instances, or a model with more positions",
		e.Path, e.Longest, e.Positions)
}
