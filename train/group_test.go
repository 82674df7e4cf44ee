package train_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert/train"
	"github.com/go-bert/bert/train/grouptest"
)

// onRanks calls do on each rank of a group of n at once.
func onRanks(n int, do func(g train.Group) error) []error {
	var (
		wait   sync.WaitGroup
		errors = make([]error, n)
	)
	for i, g := range train.NewLocalGroup(n) {
		wait.Go(func() { errors[i] = do(g) })
	}
	wait.Wait()
	return errors
}

func TestLocalGroup(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		if err := errors.Join(onRanks(n, grouptest.Check)...); err != nil {
			t.Error(err)
		}
	}
}

// A rank that gives up ends the calls of the others, those under way and later ones.
func TestAbort(t *testing.T) {
	for i, err := range onRanks(3, func(g train.Group) error {
		if g.Rank() == 1 {
			g.Abort(errors.New("lost"))
			g.Abort(errors.New("lost again"))
		}
		first := g.Barrier()
		if again := g.Sum(nil); again == nil || again.Error() != first.Error() {
			return fmt.Errorf("%v, and then %v", first, again)
		}
		return first
	}) {
		if e := (*train.RankError)(nil); !errors.As(err, &e) || e.Rank != 1 || e.Reason != "lost" {
			t.Errorf("rank %d: %v", i, err)
		}
	}
}

// Ranks that don't make the same call are told.
func TestLocalGroupMistakes(t *testing.T) {
	for want, do := range map[string]func(g train.Group) error{
		"rank 1 calls Barrier": func(g train.Group) error {
			if g.Rank() == 1 {
				return g.Barrier()
			}
			return g.Sum(make([]float32, 2))
		},
		"length 3":                         func(g train.Group) error { return g.Sum(make([]float32, 2+g.Rank())) },
		"which expects 1":                  func(g train.Group) error { return g.Exchange(make([][]byte, 2), [][]byte{{0}, {0}}) },
		"1 and 2 messages between 2 ranks": func(g train.Group) error { return g.Exchange(make([][]byte, 1), make([][]byte, 2)) },
		"from rank 2 of 2":                 func(g train.Group) error { return g.Broadcast(nil, 2) },
	} {
		errs := onRanks(2, do)
		if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAgree(t *testing.T) {
	if err := train.Agree(nil, nil); err != nil {
		t.Error(err)
	}
	lost := errors.New("lost")
	if err := train.Agree(nil, lost); err != lost {
		t.Error(err)
	}
	for i, err := range onRanks(3, func(g train.Group) error {
		if err := train.Agree(g, nil); err != nil {
			return err
		}
		if g.Rank() == 2 {
			return train.Agree(g, lost)
		}
		return train.Agree(g, nil)
	}) {
		if i == 2 && err != lost {
			t.Errorf("rank 2: %v", err)
		}
		if e := (*train.RankError)(nil); i != 2 && (!errors.As(err, &e) || *e != train.RankError{Rank: 2, Reason: "lost"}) {
			t.Errorf("rank %d: %v", i, err)
		}
	}
}
