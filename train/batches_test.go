package train

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// lengths are data without contents: just the number of tokens of each example.
type lengths []int

func (l lengths) Len() int         { return len(l) }
func (l lengths) Length(i int) int { return l[i] }

// Append adds an example whose first token is its index.
func (l lengths) Append(b *bert.Batch, i int) error {
	ids := make([]int32, l[i])
	ids[0] = int32(i)
	b.Add(ids, nil)
	b.Classes = append(b.Classes, int32(i%2))
	return nil
}

func drawLengths(t *rapid.T) lengths {
	return rapid.SliceOfN(rapid.IntRange(1, 40), 1, 300).Draw(t, "lengths")
}

func batchesOf(t interface{ Fatal(...any) }, data Data, o Options) batches {
	b, err := newBatches(data, &o.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func examplesOf(batch []draw) []int32 {
	var list []int32
	for _, d := range batch {
		list = append(list, d.example)
	}
	return list
}

// The step counts of run_classifier.py: MRPC, and the reference run on 5,000 reviews.
func TestStepCount(t *testing.T) {
	for _, test := range []struct {
		examples, batch int
		epochs          float64
		want            int
	}{{3668, 32, 3, 343}, {5000, 32, 2, 312}, {8551, 32, 3, 801}, {10, 32, 3, 3}, {10, 32, 0.5, 0}, {10, 10, 4, 4}, {7, 1, 0.5, 3}} {
		o := defaults()
		o.BatchSize = test.batch
		if got := batchesOf(t, make(lengths, test.examples), o).steps(test.epochs); got != test.want {
			t.Errorf("%d examples, batches of %d, %v epochs: %d steps, want %d", test.examples, test.batch, test.epochs, got, test.want)
		}
	}
}

// With any options, each epoch has every example once, with NoShuffle in the order of the data.
func TestEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := drawLengths(t)
		o := defaults()
		o.Seed = new(rapid.Uint64().Draw(t, "seed"))
		switch rapid.IntRange(0, 2).Draw(t, "order") {
		case 1:
			o.GroupByLength = true
		case 2:
			o.NoShuffle = true
		}
		if rapid.Bool().Draw(t, "by tokens") {
			o.BatchSize, o.TokenBudget = 0, rapid.IntRange(slices.Max(data), 200).Draw(t, "budget")
		} else {
			o.BatchSize = rapid.IntRange(1, 50).Draw(t, "size")
		}
		b := batchesOf(t, data, o)
		const epochs = 3
		var stream []int32
		step := 0
		for ; len(stream) < epochs*len(data); step++ {
			batch := b.batch(step)
			if size := min(o.BatchSize, len(data)); o.BatchSize > 0 && len(batch) != size {
				t.Fatalf("batch %d has %d examples, want %d", step, len(batch), size)
			}
			tokens := 0
			for i, d := range batch {
				tokens += data[d.example]
				if want := (len(stream) + i) / len(data); int(d.epoch) != want {
					t.Fatalf("batch %d has an example of epoch %d, want %d", step, d.epoch, want)
				}
			}
			if o.TokenBudget > 0 && (tokens > o.TokenBudget || len(batch) == 0) {
				t.Fatalf("batch %d has %d examples of %d tokens, want at most %d", step, len(batch), tokens, o.TokenBudget)
			}
			stream = append(stream, examplesOf(batch)...)
			if got, want := b.epochs(step+1), float64(len(stream))/float64(len(data)); o.BatchSize > 0 && math.Abs(got-want) > 1e-9 {
				t.Fatalf("%v epochs after %d examples of %d, want %v", got, len(stream), len(data), want)
			}
		}
		for e := range epochs {
			seen := slices.Clone(stream[e*len(data) : (e+1)*len(data)])
			if !o.NoShuffle {
				slices.Sort(seen)
			}
			for i, example := range seen {
				if int(example) != i {
					t.Fatalf("epoch %d has the examples %v, want each once", e, seen)
				}
			}
		}
		if o.TokenBudget > 0 {
			if got := b.steps(epochs); got != step {
				t.Fatalf("%d steps for %d epochs, want %d", got, epochs, step)
			}
			if got := b.epochs(step); got != epochs {
				t.Fatalf("%v epochs after %d steps, want %v", got, step, epochs)
			}
		}
	})
}

// A batch is a function of the step: starting at any step, as a resumed run does, gives the same batches.
func TestBatchesFromAnyStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := drawLengths(t)
		o := defaults()
		o.GroupByLength = rapid.Bool().Draw(t, "group")
		if o.BatchSize = 7; rapid.Bool().Draw(t, "by tokens") {
			o.BatchSize, o.TokenBudget = 0, 100
		}
		var inOrder [][]draw
		b := batchesOf(t, data, o)
		for step := range 60 {
			inOrder = append(inOrder, slices.Clone(b.batch(step)))
		}
		b = batchesOf(t, data, o)
		for range 5 {
			step := rapid.IntRange(0, 59).Draw(t, "step")
			if got := b.batch(step); !slices.Equal(got, inOrder[step]) {
				t.Fatalf("batch %d is %v, and %v when asked for in order", step, got, inOrder[step])
			}
		}
	})
}

// Checkpoints depend on the order: if these values change, interrupted runs can't be resumed.
func TestOrderIsPinned(t *testing.T) {
	o := defaults()
	o.BatchSize = 10
	b := batchesOf(t, make(lengths, 10), o)
	for step, want := range [][]int32{{4, 6, 5, 3, 1, 9, 7, 8, 2, 0}, {2, 0, 1, 6, 9, 4, 7, 8, 3, 5}, {7, 8, 3, 5, 2, 6, 9, 4, 1, 0}} {
		if got := examplesOf(b.batch(step)); !slices.Equal(got, want) {
			t.Errorf("epoch %d has the order %v, want %v", step, got, want)
		}
	}
	for step, want := range []uint64{11804379611854536939, 1580207670549712629} {
		if got := dropoutKey(42, step); got != want {
			t.Errorf("step %d has the dropout key %d, want %d", step, got, want)
		}
	}
	// The first numbers of SplitMix64 from 1234567, as computed by its authors' C program.
	s := random.Stream(1234567)
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423} {
		if got := s.Next(); got != want {
			t.Errorf("SplitMix64 gives %d, want %d", got, want)
		}
	}
}

func TestSeedsAndEpochsDiffer(t *testing.T) {
	seen := map[string]string{}
	for seed := range uint64(20) {
		for epoch := range 20 {
			o := order{seed: seed, examples: make([]int32, 12)}
			o.arrange(epoch)
			key := strings.Join(strings.Fields(string(mustJSON(t, o.examples))), "")
			if _, twice := seen[key]; twice {
				t.Errorf("seed %d, epoch %d has an order that occurred before: %s", seed, epoch, key)
			}
			seen[key] = ""
		}
	}
}

// Every example is equally likely in every position: 99.99 % of the values of χ² lie below the bound.
func TestShuffleIsUniform(t *testing.T) {
	const n, epochs = 6, 6000
	var counts [n][n]float64
	o := order{seed: 1, examples: make([]int32, n)}
	for epoch := range epochs {
		o.arrange(epoch)
		for place, example := range o.examples {
			counts[place][example]++
		}
	}
	var chi2 float64
	for _, row := range counts {
		for _, c := range row {
			chi2 += square(c-epochs/n) / (epochs / n)
		}
	}
	if chi2 > 60.14 { // (n−1)² = 25 degrees of freedom
		t.Errorf("χ² of the places is %v: %v", chi2, counts)
	}
}

// The spread of lengths in grouped batches is a small fraction of that in random ones.
func TestGroupByLength(t *testing.T) {
	data := make(lengths, 4013) // not a multiple of the batch size, so that some batches span two epochs
	s := random.New(7, 0, 0)
	for i := range data {
		data[i] = 1 + int(s.Below(100))
	}
	spread := func(o Options) (mean float64, order []int) {
		b := batchesOf(t, data, o)
		const steps = 300
		for step := range steps {
			batch := examplesOf(b.batch(step))
			length := func(a, b int32) int { return cmp.Compare(data[a], data[b]) }
			lo, hi := slices.MinFunc(batch, length), slices.MaxFunc(batch, length)
			mean += float64(data[hi]-data[lo]) / steps
			order = append(order, data[lo])
		}
		return mean, order
	}
	o := defaults()
	for _, tokens := range []int{0, 1600} {
		o.BatchSize, o.TokenBudget = 32, tokens
		if tokens > 0 {
			o.BatchSize = 0
		}
		o.GroupByLength = false
		random, _ := spread(o)
		o.GroupByLength = true
		grouped, order := spread(o)
		if grouped > random/10 {
			t.Errorf("token budget %d: lengths within a batch spread over %v, in random batches over %v", tokens, grouped, random)
		}
		if slices.IsSorted(order) {
			t.Errorf("token budget %d: the batches come in the order of their lengths", tokens)
		}
	}
}

func TestDataErrors(t *testing.T) {
	for _, test := range []struct {
		data lengths
		o    func(*Options)
		want string
	}{
		{lengths{}, func(*Options) {}, "no examples"},
		{lengths{3, 0, 3}, func(o *Options) { o.GroupByLength = true }, "example 1 has 0 tokens"},
		{lengths{3, 3, 60}, func(o *Options) { o.BatchSize, o.TokenBudget = 0, 50 }, "example 2 has 60 tokens, more than the limit of 50"},
		{lengths{3, 70, 60}, func(o *Options) { o.MicroBatchTokens = 64 }, "example 1 has 70 tokens, more than the limit of 64"},
	} {
		o := defaults()
		test.o(&o)
		if _, err := newBatches(test.data, &o.Recipe); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error is %v, want %q", err, test.want)
		}
	}
}
