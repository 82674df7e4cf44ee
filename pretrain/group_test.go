package pretrain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/train"
)

// Ranks pre-train and evaluate as one process does that computes the same parts, through phases, by LAMB, with dynamic masks, and resumed on
// another number of ranks.
func TestRanks(t *testing.T) {
	f := makeRunFiles(t)
	r := Recipe{
		Instances: []string{f.short, f.long}, PhaseSteps: []int{8, 6}, Config: f.config, BatchSize: PerPhase{8, 6},
		EvalShare: 0.3, MaxEvalInstances: 60,
		Training: Training{LearningRate: 5e-3, Optimizer: train.LAMB, EvalSteps: 5, SaveSteps: new(4), BestMetric: "masked_lm_loss", Parts: 4, MicroBatchTokens: 40},
	}
	dir := t.TempDir()
	whole, shared := filepath.Join(dir, "whole"), filepath.Join(dir, "shared")
	if _, err := pretrainOnce(t.Context(), r, Options{Output: whole, Threads: 1}, nil); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	for i, n := range []int{2, 4} {
		var (
			wait sync.WaitGroup
			errs = make([]error, n)
		)
		for rank, g := range train.NewLocalGroup(n) {
			o := Options{Output: shared, Threads: 1, Group: g, Resume: i > 0}
			if rank > 0 {
				o.Output = filepath.Join(dir, "none")
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			observe := func(e train.Event) {
				if e, ok := e.(train.Stepped); ok && i == 0 && rank == 1 && e.Step == 10 {
					cancel(stop)
				}
			}
			wait.Go(func() { _, errs[rank] = pretrainOnce(ctx, r, o, observe) })
		}
		wait.Wait()
		for rank, err := range errs {
			interrupted := (*train.InterruptedError)(nil)
			if i == 0 && (!errors.As(err, &interrupted) || interrupted.Step != 10) || i > 0 && err != nil {
				t.Fatalf("rank %d of %d: %v", rank, n, err)
			}
		}
	}
	for _, name := range []string{"model.safetensors", ResultsFile, RecipeFile, TrainingSetsFile} {
		if !bytes.Equal(mustRead(t, shared, name), mustRead(t, whole, name)) {
			t.Errorf("%s is another: %s", name, fmt.Sprintf("%.200s", mustRead(t, shared, name)))
		}
	}
}

// An evaluation of many batches is the same on all ranks as on one process, also on more ranks than there are batches; and one that a rank
// can't make is an error everywhere.
func TestSharedEvaluation(t *testing.T) {
	source := madeInstances(50)
	for _, head := range []bert.Head{bert.PreTraining, bert.MaskedLM} {
		m := testModel(t, head)
		want, err := Evaluate(t.Context(), m, source, EvaluateOptions{Tokens: 64, GlobalStep: 3})
		if err != nil {
			t.Fatal(err)
		}
		evaluate := func(n int, source func(rank int) Source) ([]*Evaluation, []error) {
			var (
				wait    sync.WaitGroup
				results = make([]*Evaluation, n)
				errs    = make([]error, n)
			)
			for rank, g := range train.NewLocalGroup(n) {
				wait.Go(func() {
					results[rank], errs[rank] = Evaluate(t.Context(), m, source(rank), EvaluateOptions{Tokens: 64, GlobalStep: 3, Share: train.NewShare(g)})
				})
			}
			wait.Wait()
			return results, errs
		}
		for _, n := range []int{1, 2, 3, 20} {
			results, errs := evaluate(n, func(int) Source { return source })
			for rank, r := range results {
				if errs[rank] != nil || !reflect.DeepEqual(r, want) {
					t.Errorf("%v: rank %d of %d finds %+v, %v, want %+v", head, rank, n, r, errs[rank], want)
				}
			}
		}
		_, errs := evaluate(3, func(rank int) Source {
			if rank != 1 {
				return source
			}
			broken := madeInstances(50)
			broken[20].Positions[0] = 99
			return broken
		})
		for rank, err := range errs {
			if err == nil {
				t.Errorf("%v: rank %d has an evaluation of instances that rank 1 can't read", head, rank)
			}
		}
	}
}
