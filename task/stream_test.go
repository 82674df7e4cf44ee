package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// The tests of this file run stream in bubbles of synctest, with work that no model does: each ends only when all goroutines of
// stream have ended, and time passes only while they wait.

// script is inputs, work and a reader of answers of which each step may do something first. Inputs are the numbers from 0, of one
// token each unless weights says otherwise. The answer to i is -i.
type script struct {
	inputs  int
	weights []int
	budget  int
	read    func(i int) error
	prepare func(i int) error
	skip    func(err error) error
	answer  func(ctx context.Context, first, n int) error
	emit    func(i int) error

	reads, prepared, answered atomic.Int64 // inputs so far
	skipped                   atomic.Int64
	emitted                   []int
	groups                    [][]int // as they were answered
}

func do[T any](f func(T) error, x T) error {
	if f == nil {
		return nil
	}
	return f(x)
}

func (s *script) Read(ctx context.Context) (data.Input, data.Source, error) {
	i := int(s.reads.Add(1)) - 1
	source := data.Source{File: "f", Line: i + 1}
	if err := do(s.read, i); err != nil {
		return data.Input{}, source, err
	}
	switch {
	case ctx.Err() != nil:
		return data.Input{}, source, context.Cause(ctx)
	case i >= s.inputs:
		return data.Input{}, source, io.EOF
	}
	return data.Input{Text: strconv.Itoa(i)}, source, nil
}

func (s *script) Skip(err error) error {
	s.skipped.Add(1)
	if s.skip == nil {
		return err
	}
	return s.skip(err)
}

func (s *script) work() *work[int] {
	number := func(in *data.Input) int {
		i, err := strconv.Atoi(in.Text)
		if err != nil {
			panic(err)
		}
		return i
	}
	return &work[int]{
		prepare: func(_ *tokenizer.Encoding, in *data.Input) (prepared, error) {
			i, weight := number(in), 1
			if i < len(s.weights) {
				weight = s.weights[i]
			}
			if err := do(s.prepare, i); err != nil {
				return prepared{}, err
			}
			s.prepared.Add(1)
			return prepared{input: *in, sequences: []sequence{{cost: weight}}}, nil
		},
		answer: func(ctx context.Context, inputs []prepared) ([]int, error) {
			var group, answers []int
			for i := range inputs {
				group = append(group, number(&inputs[i].input))
				answers = append(answers, -group[i])
			}
			s.groups = append(s.groups, group)
			if s.answer != nil {
				if err := s.answer(ctx, group[0], len(group)); err != nil {
					return nil, err
				}
			}
			s.answered.Add(int64(len(group)))
			return answers, nil
		},
		budget: s.budget,
	}
}

// run streams the script and checks that answers belong to their items.
func (s *script) run(ctx context.Context, t *testing.T) error {
	t.Helper()
	return stream(ctx, s.work(), s, func(item Item, answer int) error {
		if item.Text != strconv.Itoa(-answer) || item.Source.Line != 1-answer {
			t.Errorf("item %q of line %d has the answer %d", item.Text, item.Source.Line, answer)
		}
		if err := do(s.emit, -answer); err != nil {
			return err
		}
		s.emitted = append(s.emitted, -answer)
		return nil
	})
}

// wantEmitted checks that the inputs 0…n were emitted, in their order.
func (s *script) wantEmitted(t *testing.T, n int) {
	t.Helper()
	for i, got := range s.emitted {
		if got != i {
			t.Fatalf("answers in the order %v", s.emitted)
		}
	}
	if len(s.emitted) != n {
		t.Errorf("%d answers, want %d", len(s.emitted), n)
	}
}

// While a group is emitted, the next one is computed and the one after that is tokenized; and no more is held than that.
func TestStreamOverlapsInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 4
		resume := make(chan struct{})
		s := &script{inputs: 1000, budget: budget, emit: func(i int) error {
			if i%100 == 0 {
				<-resume
			}
			return nil
		}}
		ended := make(chan error)
		go func() { ended <- s.run(t.Context(), t) }()
		for i := 0; i < s.inputs; i += 100 { // a multiple of the budget: the first of a group
			synctest.Wait()
			if got, want := s.answered.Load(), min(int64(i+2*budget), 1000); got != want {
				t.Errorf("while input %d is emitted, %d are answered, want %d", i, got, want)
			}
			if got, want := s.prepared.Load(), min(int64(i+3*budget), 1000); got != want {
				t.Errorf("while input %d is emitted, %d are tokenized, want %d", i, got, want)
			}
			if got, want := s.reads.Load(), int64(i+3*budget+streamAhead+1); got != min(want, 1001) {
				t.Errorf("while input %d is emitted, %d are read, want %d", i, got, want)
			}
			resume <- struct{}{}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.wantEmitted(t, s.inputs)
	})
}

// Whatever takes how long, answers come in the inputs' order, and groups keep to the budget.
func TestStreamOrder(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			s := &script{inputs: r.IntN(200), budget: 1 + r.IntN(12)}
			var times [4][]time.Duration
			for range s.inputs + 1 {
				s.weights = append(s.weights, 1+r.IntN(8))
				for stage := range times {
					d := time.Duration(0)
					if r.IntN(3) == 0 {
						d = time.Duration(r.IntN(int(2 * streamWait)))
					}
					times[stage] = append(times[stage], d)
				}
			}
			sleep := func(stage int) func(i int) error {
				return func(i int) error {
					time.Sleep(times[stage][min(i, s.inputs)])
					return nil
				}
			}
			s.read, s.prepare, s.emit = sleep(0), sleep(1), sleep(2)
			s.answer = func(_ context.Context, first, _ int) error { return sleep(3)(first) }
			if err := s.run(t.Context(), t); err != nil {
				t.Error(err)
			}
			s.wantEmitted(t, s.inputs)
			for _, group := range s.groups {
				tokens := 0
				for _, i := range group {
					tokens += s.weights[i]
				}
				if tokens > s.budget && len(group) > 1 {
					t.Errorf("seed %d: a group of %d inputs and %d tokens, more than %d", seed, len(group), tokens, s.budget)
				}
			}
		})
	}
}

// An error is returned after all that comes before it is emitted, and nothing after it is, at whatever stage it happens.
func TestStreamErrors(t *testing.T) {
	bad := errors.New("bad")
	at := func(n int) func(i int) error {
		return func(i int) error {
			if i == n {
				return bad
			}
			return nil
		}
	}
	atGroup := func(n int, err error) func(context.Context, int, int) error {
		return func(_ context.Context, first, _ int) error {
			if first == n {
				return err
			}
			return nil
		}
	}
	slow := func(then func(int) error) func(int) error { // later stages are far ahead
		return func(i int) error {
			time.Sleep(time.Second)
			return do(then, i)
		}
	}
	for _, c := range []struct {
		what    string
		script  *script
		emitted int
		err     string
		line    int // of a *data.SourceError
	}{
		{"Read", &script{read: at(13)}, 13, "bad", 0},
		{"the first Read", &script{read: at(0)}, 0, "bad", 0},
		{"tokenizer", &script{prepare: at(13)}, 13, "f:14: bad", 14},
		{"tokenizer, the first of a group", &script{prepare: at(12)}, 12, "f:13: bad", 13},
		{"model", &script{answer: atGroup(12, bad)}, 12, "bad", 0},
		{"a sequence", &script{answer: atGroup(12, &sequenceError{2, bad})}, 12, "f:15: bad", 15},
		{"emit", &script{emit: at(13)}, 13, "bad", 0},
		{"model before tokenizer", &script{prepare: at(17), answer: atGroup(12, &sequenceError{0, bad})}, 12, "f:13: bad", 13},
		{"tokenizer before model", &script{prepare: at(11), answer: atGroup(12, errors.New("another"))}, 11, "f:12: bad", 12},
		{"emit before model", &script{emit: at(7), answer: atGroup(8, errors.New("another"))}, 7, "bad", 0},
		{"model before emit", &script{emit: at(8), answer: atGroup(8, errors.New("another"))}, 8, "another", 0},
		{"no tokenizer", &script{prepare: func(i int) error {
			if i == 5 {
				return &noTextError{bad}
			}
			return nil
		}, skip: func(error) error { return nil }}, 5, "bad", 0},
		{"Skip", &script{prepare: at(13), skip: func(error) error { return errors.New("enough") }}, 13, "enough", 0},
	} {
		for _, pace := range []string{"", "slow emit", "slow read"} {
			t.Run(c.what+" "+pace, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{
						inputs: 100, budget: 4, read: c.script.read, prepare: c.script.prepare, skip: c.script.skip, answer: c.script.answer,
						emit: c.script.emit,
					}
					switch pace {
					case "slow emit":
						s.emit = slow(s.emit)
					case "slow read":
						s.read = slow(s.read)
						if c.script.answer != nil {
							t.Skip("groups are of one input")
						}
					}
					err := s.run(t.Context(), t)
					wantError(t, err, c.err)
					var source *data.SourceError
					if errors.As(err, &source) != (c.line > 0) || c.line > 0 && source.Source.Line != c.line {
						t.Errorf("the error is of %+v, want line %d", source, c.line)
					}
					s.wantEmitted(t, c.emitted)
					time.Sleep(time.Hour) // Read isn't waited for
				})
			})
		}
	}
}

// What in leaves out is neither answered nor missed.
func TestStreamSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{inputs: 100, budget: 4, prepare: func(i int) error {
			if i%3 == 0 || i > 90 {
				return errors.New("bad")
			}
			return nil
		}, skip: func(error) error { return nil }}
		if err := s.run(t.Context(), t); err != nil {
			t.Error(err)
		}
		var want []int
		for i := range 91 {
			if i%3 != 0 {
				want = append(want, i)
			}
		}
		if !slices.Equal(s.emitted, want) || s.skipped.Load() != 40 {
			t.Errorf("answers to %v and %d left out, want %v and 40", s.emitted, s.skipped.Load(), want)
		}
	})
}

// A panic at any stage is one of the goroutine that called Stream, in the order of errors.
func TestStreamPanics(t *testing.T) {
	at := func(i int) error {
		if i == 12 {
			panic("broken")
		}
		return nil
	}
	for what, s := range map[string]*script{
		"Read": {read: at}, "tokenizer": {prepare: at}, "model": {answer: func(_ context.Context, first, _ int) error { return at(first) }},
		"Skip": {prepare: func(i int) error {
			if i == 12 {
				return errors.New("bad")
			}
			return nil
		}, skip: func(error) error { panic("broken") }},
		"emit": {emit: at},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					p := recover()
					if carried, ok := p.(*panicError); ok {
						value, stack := carried.Panic()
						if p = value; !strings.Contains(string(stack), "stream_test.go") || !strings.Contains(carried.Error(), "stream_test.go") {
							t.Errorf("the stack doesn't show where:\n%s", carried)
						}
					}
					if p != "broken" {
						t.Errorf("panic %v, want that of the stage", p)
					}
					s.wantEmitted(t, 12)
				}()
				s.inputs, s.budget = 100, 4
				t.Errorf("no panic, error %v", s.run(t.Context(), t))
			})
		})
	}
}

// The end of the context ends a stream that waits at any stage, with the cause. What was answered by then is emitted.
func TestStreamCancelled(t *testing.T) {
	cause := errors.New("interrupted")
	wait := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for _, c := range []struct {
		what    string
		script  func(ctx context.Context) *script
		emitted int
	}{
		{"in Read", func(ctx context.Context) *script {
			return &script{read: func(i int) error {
				if i == 10 {
					return wait(ctx)
				}
				return nil
			}}
		}, 10},
		{"in the model", func(context.Context) *script {
			return &script{answer: func(ctx context.Context, first, _ int) error {
				if first == 8 {
					return wait(ctx)
				}
				return nil
			}}
		}, 8},
		{"in the model, which is done all the same", func(context.Context) *script {
			return &script{answer: func(ctx context.Context, first, _ int) error {
				if first == 8 {
					_ = wait(ctx)
				}
				if first > 8 {
					return context.Cause(ctx)
				}
				return nil
			}}
		}, 12},
		{"in emit", func(ctx context.Context) *script {
			return &script{emit: func(i int) error {
				if i == 9 {
					_ = wait(ctx)
				}
				return nil
			}, answer: func(ctx context.Context, _, _ int) error { return context.Cause(ctx) }}
		}, 16}, // the group that is being emitted and the one that is answered
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				s := c.script(ctx)
				s.inputs, s.budget = 1000, 4
				ended := make(chan error)
				go func() { ended <- s.run(ctx, t) }()
				time.Sleep(time.Hour)
				cancel(cause)
				if err := <-ended; !errors.Is(err, cause) {
					t.Errorf("error %v, want the cause", err)
				}
				s.wantEmitted(t, c.emitted)
			})
		})
	}
}

// A Read that doesn't end with the context keeps nobody waiting but its own goroutine.
func TestStreamLeavesBlockedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed := make(chan struct{})
		s := &script{inputs: 100, budget: 4, read: func(i int) error {
			if i == 2 {
				<-typed
			}
			return nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.run(ctx, t); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.wantEmitted(t, 2)
		close(typed)
	})
}

// An input is answered within a moment, without waiting for more input.
func TestStreamAnswersWithinAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var typed [10]time.Time
		s := &script{inputs: len(typed), budget: 1000, read: func(i int) error {
			if i < len(typed) {
				time.Sleep(time.Duration(i%2) * time.Hour) // lines come in twos
				typed[i] = time.Now()
			}
			return nil
		}, emit: func(i int) error {
			if waited := time.Since(typed[i]); waited > streamWait {
				return fmt.Errorf("input %d waited %v", i, waited)
			}
			return nil
		}}
		if err := s.run(t.Context(), t); err != nil {
			t.Error(err)
		}
		s.wantEmitted(t, len(typed))
	})
}
