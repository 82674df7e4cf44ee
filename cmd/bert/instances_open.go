package main

import (
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
)

// instanceSet is a folder of instances.
type instanceSet struct {
	dir          string
	source       pretrain.Source
	nextSentence bool   // all instances are pairs with a label
	digest       string // of what the instances are
	tokens       int64
	longest      int
	tokenizer    *tokenizer.Tokenizer
	close        func() error
}

// instanceSets are those of a run.
type instanceSets struct {
	training  []*instanceSet // a phase each
	eval      *instanceSet   // nil: none
	tokenizer *tokenizer.Tokenizer
}

// open opens the folders of instances, whose vocabularies have to be the same.
func (f *pretrainFlags) open(a *app) (_ *instanceSets, err error) {
	sets := new(instanceSets)
	defer func() {
		if err != nil {
			sets.close()
		}
	}()
	for _, dir := range f.instances {
		set, err := openInstances(dir)
		if err != nil {
			return nil, err
		}
		sets.training = append(sets.training, set)
	}
	if f.evalInstances != "" {
		if sets.eval, err = openInstances(f.evalInstances); err != nil {
			return nil, err
		}
	}
	sets.tokenizer = sets.training[0].tokenizer
	for _, set := range sets.all()[1:] {
		if err := sets.checkSame(set.dir, set.tokenizer); err != nil {
			return nil, err
		}
		if set == sets.eval && sets.head() == bert.PreTraining && !set.nextSentence {
			return nil, fmt.Errorf("%s: its instances are no pairs for next-sentence prediction, those of %s are: want the same of both", set.dir, sets.training[0].dir)
		}
	}
	return sets, nil
}

// all are the sets of the phases, and the one to evaluate on.
func (s *instanceSets) all() []*instanceSet {
	if s.eval == nil {
		return s.training
	}
	return append(slices.Clip(s.training), s.eval)
}

func (s *instanceSets) close() {
	for _, set := range s.all() {
		set.close() // read only: nothing is lost
	}
}

// head is what the instances can train: next-sentence prediction too, if all of them are pairs.
func (s *instanceSets) head() bert.Head {
	if slices.ContainsFunc(s.training, func(set *instanceSet) bool { return !set.nextSentence }) {
		return bert.MaskedLM
	}
	return bert.PreTraining
}

// checkTokenizer reports a model with another vocabulary than the instances'. A model without one is held to its embedding.
func (s *instanceSets) checkTokenizer(model string) error {
	tok, err := tokenizer.Load(model)
	if err != nil {
		return err
	}
	return s.checkSame(model, tok)
}

// checkSame reports the first token in which a vocabulary differs from that of the first instances.
func (s *instanceSets) checkSame(dir string, tok *tokenizer.Tokenizer) error {
	first := s.training[0].dir
	if a, b := tok.VocabSize(), s.tokenizer.VocabSize(); a != b {
		return fmt.Errorf("%s: its vocabulary has %s, that of the instances in %s %s: make the instances with the same vocabulary",
			dir, count(a, "token"), first, thousands(b))
	}
	for id := range int32(tok.VocabSize()) {
		a, _ := tok.Token(id)
		if b, _ := s.tokenizer.Token(id); a != b {
			return fmt.Errorf("%s: token %d of its vocabulary is %q, that of the instances in %s %q: make the instances with the same vocabulary",
				dir, id, a, first, b)
		}
	}
	return nil
}

// check reports instances that a model can't take.
func (s *instanceSet) check(c *bert.Config, configFile string) error {
	if s.longest > c.MaxPositionEmbeddings {
		return fmt.Errorf("%s: the longest instance has %d tokens, the model %d positions: make shorter instances (--max-seq-length), or a model with more positions",
			s.dir, s.longest, c.MaxPositionEmbeddings)
	}
	n := s.tokenizer.VocabSize()
	if configFile != "" && c.VocabSize < n {
		return fmt.Errorf("%s: vocab_size is %d, the vocabulary of the instances in %s has %d tokens: want at least that", configFile, c.VocabSize, s.dir, n)
	}
	return nil
}

// describeInstances says on stderr what a set is.
func (a *app) describeInstances(s *instanceSet) {
	n := s.source.Len()
	kind := "masked LM"
	if s.nextSentence {
		kind = "masked LM and next sentence"
	}
	a.log.Info(fmt.Sprintf("%s: %s for %s, %s (mean %.1f, longest %d)", s.dir, count(n, "instance"), kind,
		count(int(s.tokens), "token"), float64(s.tokens)/float64(n), s.longest))
}
