package main

import (
	"context"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// stream is inputs and the model that answers them. It has to be closed.
type stream[T any] struct {
	*task.Runner[T]
	in *source
}

// openStream opens the inputs that flags and arguments name, and the model for a use, after modelFlags.check.
func openStream[T any](ctx context.Context, a *app, model *modelFlags, in *inputFlags, args []string, use task.Use[T]) (*stream[T], error) {
	source, err := in.open(a, args)
	if err != nil {
		return nil, err
	}
	r, err := task.Open(ctx, model.dir, use, model.options())
	if err != nil {
		source.close()
		return nil, err
	}
	a.warnNotes(r.Notes())
	a.warnPrecision(r.Model())
	if a.part != nil {
		a.part.Kernels = r.Model().Kernels()
	}
	return &stream[T]{r, source}, nil
}

func (s *stream[T]) Close() error {
	defer s.in.close()
	return s.Runner.Close()
}

// print prints the answers, and warns of texts that were cut and lines that were skipped.
func (s *stream[T]) print(ctx context.Context, a *app, p printing[T]) error {
	if err := printAnswers(ctx, a, s.Runner, s.in, p); err != nil {
		return err
	}
	s.in.reportSkipped(a)
	return nil
}

// printing says how answers are printed.
type printing[T any] struct {
	table     bool // else as JSON
	show      func(s screen, in *task.Item, answer *T, below bool) string
	dropped   func(*T) int               // tokens of an input that were cut
	longest   int                        // to which texts are truncated; 0: Runner.MaxSeqLength
	each      func(*task.Item, *T) error // before an answer is printed; nil: nothing
	end       func()                     // after the last answer; nil: nothing
	unprinted bool                       // each does all
}

// printAnswers answers inputs and prints the answers. At the end it warns of texts that were cut.
func printAnswers[T any](ctx context.Context, a *app, r *task.Runner[T], in data.Inputs, p printing[T]) error {
	var (
		cut     truncations
		screen  = screenOf(a.stdout)
		lines   = jsonWriter{w: a.stdout}
		results = 0
	)
	err := r.Stream(ctx, in, func(item task.Item, answer T) error {
		cut.add(p.dropped(&answer))
		if p.each != nil {
			if err := p.each(&item, &answer); err != nil {
				return err
			}
		}
		switch {
		case p.unprinted:
			return nil
		case !p.table:
			return lines.line(answer)
		}
		results++
		return writeOut(a.stdout, []byte(p.show(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	if p.end != nil {
		p.end()
	}
	longest := p.longest
	if longest == 0 {
		longest = r.MaxSeqLength()
	}
	cut.report(a, longest)
	return nil
}
