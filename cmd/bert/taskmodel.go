package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// load opens the model. labels, if not nil, are names for its own.
func (m *modelFlags) load(tok *tokenizer.Tokenizer, labels []string) (*bert.Model, error) {
	model, err := bert.Load(m.dir, bert.Options{Threads: m.threads, Precision: m.precision, Labels: labels})
	if err != nil {
		return nil, err
	}
	if err := model.CheckVocabulary(tok.VocabSize()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", m.dir, err), model.Close())
	}
	return model, nil
}

// describe says how the model of configuration c treats data of task t: as its task.json says or, without one, as its
// configuration allows. t becomes the kind of task that the model is for. labels, if not nil, are names for the model's
// own.
func (m *modelFlags) describe(t *task.Task, c bert.Config, tok *tokenizer.Tokenizer, labels []string) (task.Description, error) {
	d, err := task.LoadDescription(m.dir)
	bare := errors.Is(err, fs.ErrNotExist)
	if err != nil && !bare {
		return d, err
	}
	if bare {
		head, err := bert.HeadOf(&c)
		if err != nil {
			return d, fmt.Errorf("%s: %w", m.dir, err)
		}
		if d.Kind, err = task.KindOf(head, &c); err != nil {
			return d, fmt.Errorf("%s: %w", m.dir, err)
		}
	}
	if err := t.SetKind(d.Kind); err != nil {
		return d, fmt.Errorf("%s: the model is for %v: %w", m.dir, d.Kind, err)
	}
	if bare {
		length := c.MaxPositionEmbeddings
		if n := tok.Config().ModelMaxLength; n > 0 {
			length = min(length, n)
		}
		d = t.Describe(c.Labels, length)
		if d.Labels != nil {
			d.Labels = c.Labels // not the task's: the model says what its classes are
		}
	}
	if d.Task != t.Name {
		d.Official, d.Columns = t.Metrics, data.Columns{}
	}
	if labels != nil {
		if len(labels) != len(c.Labels) {
			return d, usagef("--labels names %s, the model has %d", count(len(labels), "label"), len(c.Labels))
		}
		d.Labels = labels
	}
	if !slices.Contains(d.Labels, d.Positive) {
		d.SetPositive("")
	}
	for _, label := range t.Labels {
		if !slices.Contains(d.Labels, label) {
			return d, fmt.Errorf("%s: the model's labels are %s, those of task %s %s: --labels names the model's, if they mean the same",
				m.dir, strings.Join(d.Labels, ", "), t.Name, strings.Join(t.Labels, ", "))
		}
	}
	return d, nil
}
