package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
)

// instanceSet is an open folder of instances.
type instanceSet struct {
	dir string
	*pretrain.Set
}

// instanceSets are those of a run, and their vocabulary.
type instanceSets struct {
	training  []instanceSet // a phase each
	held      []instanceSet // to evaluate on: one or none
	tokenizer *tokenizer.Tokenizer
	from      string // the folder that tokenizer is from
}

// openInstances opens the folders to train on and, if it is not "", the one to evaluate on. Their vocabularies have to be the
// same, and that of a model to begin with too; Google's files, which have none, are taken to be of the others'.
func openInstances(training []string, held, model string) (_ *instanceSets, err error) {
	s := new(instanceSets)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, dir := range training {
		set, err := pretrain.Open(dir)
		if err != nil {
			return nil, withInstancesFlags(err)
		}
		s.training = append(s.training, instanceSet{dir, set})
	}
	if held != "" {
		set, err := pretrain.Open(held)
		if err != nil {
			return nil, withInstancesFlags(err)
		}
		s.held = append(s.held, instanceSet{held, set})
	}
	for _, set := range s.all() {
		if err := s.take(set.Tokenizer(), set.dir); err != nil {
			return nil, err
		}
	}
	if model != "" {
		t, err := tokenizer.Load(model)
		if err != nil {
			return nil, err
		}
		if err := s.take(t, model); err != nil {
			return nil, err
		}
	}
	if s.tokenizer == nil {
		return nil, fmt.Errorf("%s: there is no vocabulary with these instances: put their vocab.txt or tokenizer.json into the folder", s.all()[0].dir)
	}
	return s, nil
}

// all are the sets to train on and the one to evaluate on.
func (s *instanceSets) all() []instanceSet { return slices.Concat(s.training, s.held) }

func (s *instanceSets) close() error {
	var err error
	for _, set := range s.all() {
		err = errors.Join(err, set.Close())
	}
	return err
}

// paired says whether the instances are pairs, with a label for next-sentence prediction.
func (s *instanceSet) paired() bool { return s.Info().Options.NextSentence }

// head is what the instances can train: next-sentence prediction too, if all of them are pairs.
func (s *instanceSets) head() bert.Head {
	for _, set := range s.training {
		if !set.paired() {
			return bert.MaskedLM
		}
	}
	return bert.PreTraining
}

// take takes over a vocabulary, which may be nil, or reports the first token in which it differs from the one there is.
func (s *instanceSets) take(t *tokenizer.Tokenizer, dir string) error {
	switch {
	case t == nil:
		return nil
	case s.tokenizer == nil:
		s.tokenizer, s.from = t, dir
		return nil
	case t.VocabSize() != s.tokenizer.VocabSize():
		return fmt.Errorf("%s: the vocabulary has %s, that in %s %s: want instances of the same vocabulary",
			dir, count(t.VocabSize(), "token"), s.from, thousands(s.tokenizer.VocabSize()))
	}
	for id := range int32(t.VocabSize()) {
		a, _ := t.Token(id)
		if b, _ := s.tokenizer.Token(id); a != b {
			return fmt.Errorf("%s: token %d of the vocabulary is %q, in %s it is %q: want instances of the same vocabulary", dir, id, a, s.from, b)
		}
	}
	return nil
}

// check reports instances that are too long for a model, or can't be evaluated on as the others are trained on.
func (s *instanceSets) check(c *bert.Config) error {
	for _, set := range s.held {
		if len(s.training) > 0 && s.head() == bert.PreTraining && !set.paired() {
			return fmt.Errorf("%s: these instances are no pairs, as those in %s are: want both with or both without next-sentence prediction", set.dir, s.training[0].dir)
		}
	}
	for _, set := range s.all() {
		if n := set.Info().Longest; n > c.MaxPositionEmbeddings {
			return fmt.Errorf("%s: the longest instance has %d tokens, the model %d positions: want shorter instances (bert instances --max-seq-length), or a model with more positions",
				set.dir, n, c.MaxPositionEmbeddings)
		}
	}
	return nil
}

// describe says on stderr what the sets are.
func (s *instanceSets) describe(a *app) {
	for i, set := range s.all() {
		what := "training on"
		if i >= len(s.training) {
			what = "evaluating on"
		}
		info := set.Info()
		line := fmt.Sprintf("%s %s: %s, %s (mean %.1f, longest %d)", what, set.dir, count(info.Instances, "instance"),
			count(int(info.Tokens), "token"), float64(info.Tokens)/float64(info.Instances), info.Longest)
		if info.Options.Dynamic && i < len(s.training) {
			line += ", masked afresh each epoch"
		}
		if !set.paired() {
			line += ", no pairs: no next-sentence prediction"
		}
		a.log.Info(line)
	}
}
