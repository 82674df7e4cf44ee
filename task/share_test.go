package task

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/train"
)

// brokenSequences can't be put into a batch.
type brokenSequences struct{ sequences }

func (brokenSequences) Append(*bert.Batch, int) error { return errors.New("unreadable") }

// The logits that several processes compute are those of one, by sequence and by token, on more processes than there are sequences too.
func TestSharedLogits(t *testing.T) {
	var all sequences
	for i := range 9 {
		s := sequence{cost: 3 + i*5%7}
		for j := range s.cost {
			s.ids = append(s.ids, int32(1+(i+j*j)%10))
		}
		s.typeIDs = make([]int32, s.cost)
		all = append(all, s)
	}
	for _, head := range []bert.Head{bert.SequenceClassification, bert.TokenClassification} {
		m := tinyModel(t, head, "a", "b", "c")
		share := func(n int, of func(rank int) features) ([][][]float32, []error) {
			var (
				wait   sync.WaitGroup
				logits = make([][][]float32, n)
				errs   = make([]error, n)
			)
			for rank, g := range train.NewLocalGroup(n) {
				wait.Go(func() {
					logits[rank], errs[rank] = sharedLogits(context.Background(), only(m.NewSession()), of(rank), head, 20, nil, train.NewShare(g))
				})
			}
			wait.Wait()
			return logits, errs
		}
		want, err := sharedLogits(context.Background(), only(m.NewSession()), all, head, 20, nil, nil)
		if err != nil || len(want) != len(all) {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, 4, 11} {
			logits, errs := share(n, func(int) features { return all })
			for rank := range n {
				if errs[rank] != nil || !reflect.DeepEqual(logits[rank], want) {
					t.Errorf("%v: rank %d of %d has other logits, %v", head, rank, n, errs[rank])
				}
			}
		}
		_, errs := share(3, func(rank int) features {
			if rank == 1 {
				return brokenSequences{all}
			}
			return all
		})
		for rank, err := range errs {
			if want := map[bool]string{true: "unreadable", false: "rank 1 has not evaluated its share"}[rank == 1]; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: rank %d: %v, want %s", head, rank, err, want)
			}
		}
	}
}
