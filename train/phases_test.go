package train

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
)

// changing are data whose first token is the index of the example, and whose second is the epoch.
type changing struct{ lengths }

func (c changing) AppendEpoch(b *bert.Batch, i, epoch int) error {
	at := b.Tokens()
	if err := c.Append(b, i); err != nil {
		return err
	}
	if c.Length(i) > 1 {
		b.IDs[at+1] = int32(epoch)
	}
	return nil
}

// The loop uses the version of each example for the epoch in which it is drawn.
func TestEpochData(t *testing.T) {
	data := make(lengths, 10)
	for i := range data {
		data[i] = 2
	}
	f := newFakeRun(t.TempDir())
	f.data, f.BatchSize = changing{data}, 4
	r := &run{o: f.Options, data: f.data}
	batches := batchesOf(t, f.data, f.Options)
	var epochs []int32
	for step := range 5 { // the third batch contains the end of one epoch and the beginning of the next
		got, _, err := r.fill(&r.micro, batches.batch(step))
		if err != nil {
			t.Fatal(err)
		}
		for at := 1; at < got[0].Tokens(); at += 2 {
			epochs = append(epochs, got[0].IDs[at])
		}
	}
	if want := slices.Concat(make([]int32, 10), []int32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}); !slices.Equal(epochs, want) {
		t.Errorf("the examples are those of the epochs %v, want %v", epochs, want)
	}
}

// Each phase uses its own data, in its own order, from its first epoch, in batches of its own size.
func TestPhases(t *testing.T) {
	short, long := make(lengths, 6), lengths{30, 30, 30, 30}
	for i := range short {
		short[i] = 3
	}
	o := defaults()
	o.BatchSize = 3
	phases := Phases{{Data: short, Steps: 4}, {Data: changing{long}, Steps: 3, TokenBudget: 60}, {Data: short, Steps: 2, BatchSize: 6}}
	b := batchesOf(t, phases, o)
	if n := b.steps(99); n != 9 {
		t.Errorf("%d steps, want 9", n)
	}
	type stretch struct {
		from, to    int // steps
		first, last int32
		size        int
	}
	var orders [][]draw
	for _, s := range []stretch{{0, 4, 0, 5, 3}, {4, 7, 6, 9, 2}, {7, 9, 10, 15, 6}} {
		var order []draw
		for step := s.from; step < s.to; step++ {
			batch := b.batch(step)
			if len(batch) != s.size {
				t.Errorf("step %d has %d examples, want %d", step, len(batch), s.size)
			}
			for _, d := range batch {
				if d.example < s.first || d.example > s.last {
					t.Errorf("step %d has example %d, want %d to %d", step, d.example, s.first, s.last)
				}
				if want := int32(len(order)) / (s.last - s.first + 1); d.epoch != want {
					t.Errorf("step %d has an example of epoch %d, want %d", step, d.epoch, want)
				}
				order = append(order, draw{d.example - s.first, d.epoch})
			}
		}
		orders = append(orders, order)
	}
	if slices.Equal(orders[0], orders[2]) {
		t.Errorf("the first and the last phase, of the same data, have the same order %v", orders[0])
	}
	for step, want := range map[int]float64{2: 1, 4: 2, 5: 2.5, 7: 3.5, 8: 4.5, 9: 5.5} {
		if got := b.epochs(step); !within(got, want, 1e-12) {
			t.Errorf("%v epochs after %d steps, want %v", got, step, want)
		}
	}
	if n := phases.Len(); n != 16 {
		t.Errorf("%d examples, want 16", n)
	}
	batch := new(bert.Batch)
	if err := phases.AppendEpoch(batch, 7, 5); err != nil || batch.IDs[0] != 1 || batch.IDs[1] != 5 || phases.Length(7) != 30 || batch.Tokens() != 30 {
		t.Errorf("example 7 is %v, error %v; want number 1 of the second phase in epoch 5", batch.IDs, err)
	}
}

func TestPhasesErrors(t *testing.T) {
	data := lengths{3, 3, 40}
	for _, test := range []struct {
		phases Phases
		change func(*Options)
		want   string
	}{
		{Phases{}, nil, "there are no phases"},
		{Phases{{Data: data, Steps: 2}, {Data: data}}, nil, "phase 2 has 0 steps, want at least 1"},
		{Phases{{Data: data, Steps: 2}, {Data: lengths{}, Steps: 1}}, nil, "phase 2: there are no examples"},
		{Phases{{Data: data, Steps: 2}, {Data: data, Steps: 1, TokenBudget: 39}}, nil, "phase 2: example 2 has 40 tokens, more than the limit of 39"},
		{Phases{{Data: data, Steps: 2, BatchSize: 1, TokenBudget: 99}}, nil, "phase 1 has both a batch size and a token budget"},
		{Phases{{Data: Phases{}, Steps: 2}}, nil, "phase 1 consists of phases itself"},
		{Phases{{Data: data, Steps: 2}, {Data: data, Steps: 1}}, func(o *Options) { o.MaxSteps = 4 }, "the phases have 3 steps, but the number of steps is 4"},
	} {
		o := defaults()
		if test.change != nil {
			test.change(&o)
		}
		if _, err := newBatches(test.phases, &o.Recipe); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error is %v, want %q", err, test.want)
		}
	}
}

// A run can't be resumed with different phases.
func TestResumeOtherPhases(t *testing.T) {
	f := newFakeRun(t.TempDir())
	data := f.data
	f.data = Phases{{Data: data, Steps: 3}, {Data: data, Steps: 3}}
	f.mustRun(t)
	f.data, f.Resume = Phases{{Data: data, Steps: 4}, {Data: data, Steps: 2}}, true
	_, err := f.run()
	wantError(t, err, "can't be resumed with other options", "phases was ")
}
