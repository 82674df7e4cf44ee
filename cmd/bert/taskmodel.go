package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// load opens the model. labels, if not nil, are names for its own.
func (m *modelFlags) load(tok *tokenizer.Tokenizer, labels []string) (*bert.Model, error) {
	model, err := bert.Load(context.Background(), m.dir, bert.Options{
		Threads: m.threads, Precision: m.precision, Dequantize: true, Labels: labels, GELU: m.loading.gelu, Base: m.loading.base,
	})
	if err != nil {
		return nil, err
	}
	if err := model.CheckVocabulary(tok.VocabSize()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", m.dir, err), model.Close())
	}
	return model, nil
}

// describe says how the model treats data of task t, which becomes the kind of task that the model is for. labels, if not nil, are
// names for the model's own.
func (m *modelFlags) describe(ctx context.Context, t *task.Task, labels []string) (task.Spec, *tokenizer.Tokenizer, error) {
	d, err := task.Describe(ctx, m.dir)
	if err != nil {
		return task.Spec{}, nil, err
	}
	if n := len(d.Config.Labels); labels != nil && len(labels) != n {
		return task.Spec{}, nil, usagef("--labels names %s, the model has %d", count(len(labels), "label"), n)
	}
	s, err := d.For(t, labels)
	var missing *task.LabelsError
	if errors.As(err, &missing) {
		err = fmt.Errorf("%w: --labels names the model's, if they mean the same", err)
	}
	return s, d.Tokenizer, err
}
