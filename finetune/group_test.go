package finetune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert/train"
)

// onRanks prepares and runs a recipe on n ranks, of which rank 0 alone has the folder. change is for a rank's own recipe and options.
func onRanks(t *testing.T, n int, r Recipe, output string, change func(rank int, r *Recipe, o *Options)) ([]*Result, []error) {
	t.Helper()
	var (
		results = make([]*Result, n)
		errs    = make([]error, n)
		wait    sync.WaitGroup
	)
	for rank, g := range train.NewLocalGroup(n) {
		own, o := r, Options{Output: output, Group: g, Threads: 1}
		if rank > 0 {
			o.Output = filepath.Join(t.TempDir(), "none")
		}
		change(rank, &own, &o)
		wait.Go(func() {
			j, err := own.Prepare(context.Background(), o)
			if err != nil {
				errs[rank] = err
				return
			}
			defer j.Close()
			results[rank], errs[rank] = j.Run(context.Background(), nil)
		})
	}
	wait.Wait()
	return results, errs
}

// Ranks fine-tune and evaluate as one process does that computes the same parts: all files of the model directory have the same bytes.
func TestRanks(t *testing.T) {
	dir, r := setting(t)
	r.BestMetric, r.BatchSize, r.MicroBatchSize = MainMetric, 4, 1
	whole := filepath.Join(dir, "whole")
	r.Parts = 6
	mustRun(t, r, Options{Output: whole, SaveOutcomes: true})
	for _, n := range []int{2, 3} {
		shared := filepath.Join(dir, fmt.Sprint("shared", n))
		results, errs := onRanks(t, n, r, shared, func(_ int, _ *Recipe, o *Options) { o.SaveOutcomes = true })
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if results[0].Evaluation == nil || results[n-1].Evaluation != nil {
			t.Errorf("evaluations are %v and %v, want that of rank 0 alone", results[0].Evaluation, results[n-1].Evaluation)
		}
		entries, err := os.ReadDir(whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasPrefix(e.Name(), "events.") || strings.HasPrefix(e.Name(), ".") { // these have times
				continue
			}
			if got, want := read(t, filepath.Join(shared, e.Name())), read(t, filepath.Join(whole, e.Name())); got != want {
				t.Errorf("%d ranks: %s is %.300s, want %.300s", n, e.Name(), got, want)
			}
		}
	}

	// Where nothing is said of parts there is one for each rank, and the recipe that is written says it.
	r.Parts = 0
	alone := filepath.Join(dir, "alone")
	if _, errs := onRanks(t, 2, r, filepath.Join(dir, "two"), func(int, *Recipe, *Options) {}); errors.Join(errs...) != nil {
		t.Fatal(errs)
	}
	written, err := ReadRecipe(filepath.Join(dir, "two", RecipeFile))
	if err != nil || written.Parts != 2 {
		t.Fatalf("the recipe has %d parts, %v", written.Parts, err)
	}
	mustRun(t, written, Options{Output: alone})
	if read(t, filepath.Join(alone, "model.safetensors")) != read(t, filepath.Join(dir, "two", "model.safetensors")) {
		t.Error("the written recipe gives another model")
	}
}

// What goes wrong on one rank before the run ends all, with its name.
func TestRanksPrepare(t *testing.T) {
	dir, r := setting(t)
	for name, c := range map[string]struct {
		change func(rank int, r *Recipe, o *Options)
		want   string
	}{
		"no data": {func(rank int, r *Recipe, _ *Options) {
			if rank == 1 {
				r.Path += "x"
			}
		}, "train.tsvx"},
		"a model in the folder": {func(rank int, r *Recipe, o *Options) {
			if rank == 0 {
				o.Output = r.Dir
			}
		}, "want another one to write to"},
		"other data": {func(rank int, r *Recipe, _ *Options) {
			if rank == 2 {
				r.MaxSeqLength = 4
			}
		}, `max_seq_length of rank 0 "16" and of rank 2 "4"`},
		"parts": {func(_ int, r *Recipe, _ *Options) { r.Parts = 4 }, "parts is 4, want a multiple of the 3 ranks"},
	} {
		_, errs := onRanks(t, 3, r, filepath.Join(dir, "out"), c.change)
		for rank, err := range errs {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: rank %d: %v", name, rank, err)
			}
		}
	}
}
