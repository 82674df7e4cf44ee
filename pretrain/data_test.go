package pretrain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/train"
)

func TestDataAppend(t *testing.T) {
	source := madeInstances(4)
	d, err := NewData(source, bert.PreTraining)
	if err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	for _, i := range []int{2, 0} {
		if err := d.AppendEpoch(&b, i, 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Append(&b, 1); err != nil {
		t.Fatal(err)
	}
	var ids, types, masked, positions, next []int32
	for k, i := range []int{2, 0, 1} {
		in, first := source[i], int32(len(ids))
		ids, types, masked = append(ids, in.IDs...), append(types, in.TypeIDs...), append(masked, in.MaskedIDs...)
		at := []int32{3, 3, 0}[k] // the epoch, by which the first position has moved
		positions, next = append(positions, first+in.Positions[0]+at, first+in.Positions[1]), append(next, int32(in.Next))
	}
	if !slices.Equal(b.IDs, ids) || !slices.Equal(b.TypeIDs, types) || !slices.Equal(b.MaskedIDs, masked) ||
		!slices.Equal(b.MaskedPositions, positions) || !slices.Equal(b.NextSentence, next) || b.Len() != 3 {
		t.Errorf("the batch is %+v", b)
	}
	if d.Len() != 4 || d.Length(2) != len(source[2].IDs) {
		t.Errorf("%d instances, number 2 of %d tokens", d.Len(), d.Length(2))
	}
}

// Every instance is in one of the parts, independent of the number of instances.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		share := rapid.Float64Range(0.05, 0.95).Draw(t, "share")
		source := madeInstances(1000)
		for i := range source {
			source[i].IDs[1] = int32(i)
		}
		numbers := func(s Source) (list []int32) {
			var in Instance
			for i := range s.Len() {
				if err := s.Instance(i, 0, &in); err != nil || s.Length(i) != len(in.IDs) {
					t.Fatal(err)
				}
				list = append(list, in.IDs[1])
			}
			return list
		}
		rest, held, err := Split(source, share, seed)
		if err != nil {
			t.Fatal(err)
		}
		// Six standard deviations of a binomial of 1,000.
		if n := float64(held.Len()); n < 1000*share-95 || n > 1000*share+95 {
			t.Errorf("%v of 1,000 for a share of %v", n, share)
		}
		all := append(numbers(rest), numbers(held)...)
		slices.Sort(all)
		for i, n := range all {
			if int(n) != i {
				t.Fatalf("the parts have %v", all)
			}
		}
		again, _, err := Split(source[:900], share, seed)
		if err != nil || !slices.Equal(numbers(again), numbers(rest)[:again.Len()]) {
			t.Errorf("of 900 instances, different ones are held out")
		}
	})
	if _, _, err := Split(madeInstances(3), 1e-9, 1); err == nil {
		t.Error("a share of nothing is held out")
	}
	if _, _, err := Split(madeInstances(3), 1, 1); err == nil {
		t.Error("everything is held out")
	}
	var in Instance
	if s := Spread(madeInstances(10), 4); s.Len() != 4 || s.Instance(3, 0, &in) != nil || len(in.IDs) != s.Length(3) || s.Length(3) != 7+7*5%14 {
		t.Errorf("4 of 10 at equal distances: %d, the last of %d tokens; want numbers 0, 2, 5, 7", s.Len(), s.Length(3))
	}
	if s := Spread(madeInstances(3), 4); s.Len() != 3 {
		t.Errorf("4 of 3 instances are %d", s.Len())
	}
}

// Pre-training in two phases with masks that change from epoch to epoch learns, and ends with the same bits when it was
// interrupted on either side of the change.
func TestPreTrainingResumes(t *testing.T) {
	short, long := madeInstances(40), madeInstances(9)
	run := func(dir string, threads, interruptAt int, resume bool) error {
		c := testModel(t, bert.PreTraining).Config()
		c.InitializerRange = 0.02
		m, err := bert.New(c, bert.Options{Head: bert.PreTraining, Threads: threads, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		a, err := NewData(short, bert.PreTraining)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewData(long, bert.PreTraining)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := train.Options{
			Recipe: train.Recipe{BatchSize: 8, LearningRate: 5e-3, SaveSteps: new(4), Optimizer: train.LAMB, EvalSteps: 15},
			Output: dir, Resume: resume,
		}
		first := 0.0
		o.Observer = func(e train.Event) {
			switch e := e.(type) {
			case train.Stepped:
				if e.Step == interruptAt {
					cancel()
				}
			case train.Evaluated:
				if first == 0 {
					first = e.Evaluation.Loss
				} else if e.Step == e.Steps && e.Evaluation.Loss >= first {
					t.Errorf("the loss was %v and is %v", first, e.Evaluation.Loss)
				}
			}
		}
		o.SaveModel = func(dir string) error { return m.Save(dir, bert.SaveOptions{}) }
		_, err = train.Run(ctx, m, train.Phases{{Data: a, Steps: 20}, {Data: b, Steps: 10, TokenBudget: 60}}, &measurer{source: short, results: make(map[int]*Evaluation)}, o)
		return err
	}
	whole := t.TempDir()
	if err := run(whole, 1, 0, false); err != nil {
		t.Fatal(err)
	}
	read := func(dir string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, at := range []int{7, 18, 20, 22} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			dir := t.TempDir()
			var interrupted *train.InterruptedError
			if err := run(dir, 2, at, false); !errors.As(err, &interrupted) {
				t.Fatalf("error is %v", err)
			}
			if err := run(dir, 3, 0, true); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(dir), read(whole)) {
				t.Errorf("interrupted after step %d, the model differs", at)
			}
		})
	}
}
