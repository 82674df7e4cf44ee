package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// Shared is a model that answers in several ways: [Share] makes a Runner for each, of which a batch is computed by whichever session is
// free. So they need the memory of one. It is safe for concurrent use.
type Shared struct {
	lender      *lender
	description *Description
	options     Options
	untold      error // what is wrong with the tokenizer, for the first text
}

// OpenShared loads the model directory dir, as [Open] does, for whatever it can be used for, with the head that its configuration names.
// Where the file lacks that head, the model has none. Close it when it is no longer needed.
func OpenShared(ctx context.Context, dir string, o Options) (*Shared, error) {
	notes := func(d *Description) []string {
		if d.Check(Predicting) == nil {
			return d.notes(Predicting)
		}
		return d.notes(Encoding)
	}
	d, m, untold, err := load(ctx, dir, o, true, notes)
	var missing *bert.TensorError
	if o.Model.Head == nil && errors.As(err, &missing) && missing.Reason == bert.HeadMissing {
		o.Model.Head = bert.NoHead
		d, m, untold, err = load(ctx, dir, o, true, notes)
	}
	if err != nil {
		return nil, err
	}
	l := newLender(m, o)
	l.owned = true
	return &Shared{l, d, o, untold}, nil
}

// Description describes the model.
func (s *Shared) Description() *Description { return s.description }

// Model is the model that answers.
func (s *Shared) Model() *bert.Model { return s.lender.model }

// Notes are those of [Runner.Notes].
func (s *Shared) Notes() []tokenizer.Note {
	if s.description.Tokenizer == nil {
		return nil
	}
	return s.description.Tokenizer.NotesFor(s.lender.model)
}

// Close waits for the batches that are being computed and closes the model. Later calls of the Runners return bert.ErrClosed.
func (s *Shared) Close() error { return s.lender.close() }

// Cut says which end a text loses that is longer than a sequence.
type Cut uint8

const (
	// CutAsModel leaves it to the model: see Description.
	CutAsModel Cut = iota
	// CutRight cuts the end.
	CutRight
	// CutLeft cuts the beginning.
	CutLeft
)

// ShareOptions change how a Runner treats texts. The zero value leaves it to the model.
type ShareOptions struct {
	// Cut is for the uses that truncate texts: FillMask doesn't.
	Cut Cut
	// Spec, if not nil, changes a copy of Description.Spec, of a model that has one: how long sequences are, how far windows overlap,
	// whether a question may have no answer. What doesn't fit the model is an error.
	Spec func(*Spec)
}

// Share makes a Runner of a shared model. It costs little: a service may make one for each set of options. A use that needs
// gradients can't be had of a model that was loaded at int8.
func Share[T any](s *Shared, use Use[T], o ShareOptions) (*Runner[T], error) {
	d := s.description
	if o.Spec != nil && d.Spec != nil {
		spec, changed := *d.Spec, *d
		o.Spec(&spec)
		err := spec.Validate()
		if err == nil && !tellsNext(d.Head) {
			err = spec.checkModel(d.Head, &d.Config)
		}
		if err != nil {
			return nil, err
		}
		changed.Spec = &spec
		d = &changed
	}
	if precision, _ := s.lender.model.Precision(); use.gradients && precision == bert.Int8 {
		return nil, fmt.Errorf("%v has %w", precision, bert.ErrInferenceOnly)
	}
	r, err := newRunner(s.lender, d, use, s.options)
	if err != nil {
		return nil, err
	}
	r.shared = true
	if o.Cut != CutAsModel && use.asked != FillingMasks {
		e := r.engine
		e.options.TruncateLeft = o.Cut == CutLeft
		if e.options.Truncation == tokenizer.DoNotTruncate {
			e.options.Truncation = tokenizer.LongestFirst
		}
	}
	if s.untold != nil {
		r.work.onlyIDs(s.untold)
	}
	return r, nil
}

// TokenizerError is what is wrong with the tokenizer of a model that takes ids alone; nil where it takes texts.
func (s *Shared) TokenizerError() error { return s.untold }
