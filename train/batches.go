package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// Data are the examples to train on. Which examples a batch has and in which order is decided here, from the seed.
type Data interface {
	// Len is the number of examples.
	Len() int
	// Length is the number of tokens that example i adds to a batch. It is asked for often.
	Length(i int) int
	// Append adds example i with its labels to the batch: one sequence, or several of multiple choice.
	Append(b *bert.Batch, i int) error
}

// EpochData are Data whose examples change from epoch to epoch, as with dynamic masking (Liu et al. 2019,
// arXiv:1907.11692, §4.1).
type EpochData interface {
	Data
	// AppendEpoch is Append of example i as it is in an epoch, counted from 0. It has Length(i) tokens in each.
	AppendEpoch(b *bert.Batch, i, epoch int) error
}

// batches says which examples each step trains on: a function of the step alone.
type batches interface {
	// steps is the number of steps of so many epochs.
	steps(epochs float64) int
	// batch is the examples of a step, good until the next call.
	batch(step int) []draw
	// epochs is how far into the data a run is after so many steps. It is whole at the end of an epoch of cutByTokens,
	// and passes the whole number there with cutBySize.
	epochs(step int) float64
}

// draw is an example of a batch, and the epoch that it is drawn in.
type draw struct{ example, epoch int32 }

func newBatches(data Data, r *Recipe) (batches, error) {
	if phases, ok := data.(Phases); ok {
		return newPhased(phases, r)
	}
	n := data.Len()
	switch {
	case n < 1:
		return nil, fmt.Errorf("there are no examples to train on")
	case n > math.MaxInt32:
		return nil, fmt.Errorf("there are %d examples, want at most %d", n, math.MaxInt32)
	}
	if limit := tightest(r.stepTokens(), r.microTokens()); limit > 0 || r.GroupByLength {
		for i := range n {
			switch length := data.Length(i); {
			case length < 1:
				return nil, fmt.Errorf("example %d has %d tokens, want at least 1", i, length)
			case limit > 0 && length > limit:
				return nil, fmt.Errorf("example %d has %d tokens, more than the %d that a batch may have: truncate it or allow more", i, length, limit)
			}
		}
	}
	order := order{data: data, seed: *r.Seed, group: r.GroupByLength, examples: make([]int32, n), epoch: -1}
	if budget := r.stepTokens(); budget > 0 {
		return &cutByTokens{order: order, budget: budget}, nil
	}
	size := r.stepExamples()
	return &cutBySize{order: order, size: size, out: make([]draw, size)}, nil
}

// tightest is the smaller of two limits, of which 0 is none.
func tightest(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// order is the order of the examples within an epoch: a permutation that depends on the seed and the epoch.
type order struct {
	data     Data
	seed     uint64
	group    bool
	examples []int32 // of epoch
	epoch    int     // -1: none yet
}

// shuffle makes examples those of an epoch.
func (o *order) shuffle(epoch int) {
	for i := range o.examples {
		o.examples[i] = int32(i)
	}
	s := random.New(o.seed, forOrder, uint64(epoch))
	s.Shuffle(len(o.examples), func(i, j int) { o.examples[i], o.examples[j] = o.examples[j], o.examples[i] })
	o.epoch = epoch
}

// groupWindow is the number of batches whose examples are sorted by length together. Hugging Face's
// LengthGroupedSampler has 50 too: enough for batches of nearly equal lengths, few enough that batches stay random.
const groupWindow = 50

// sortByLength sorts examples by length; those of the same length stay in their random order.
func (o *order) sortByLength(examples []int32) {
	slices.SortStableFunc(examples, func(a, b int32) int {
		return cmp.Compare(o.data.Length(int(a)), o.data.Length(int(b)))
	})
}

// cutBySize puts the epochs end to end and cuts a batch every size examples, as run_classifier.py does by repeating the
// data before it batches them: a batch may hold the end of one epoch and the beginning of the next, all batches have
// the same size, and what is left of the last epoch is not trained on.
type cutBySize struct {
	order
	size int
	out  []draw
}

// steps is int(examples / size * epochs), as in run_classifier.py.
func (c *cutBySize) steps(epochs float64) int {
	return int(float64(len(c.examples)) / float64(c.size) * epochs)
}

func (c *cutBySize) epochs(step int) float64 {
	return float64(step) * float64(c.size) / float64(len(c.examples))
}

func (c *cutBySize) batch(step int) []draw {
	n := int64(len(c.examples))
	for i := range c.out {
		p := int64(step)*int64(c.size) + int64(i)
		if epoch := int(p / n); c.epoch != epoch {
			c.shuffle(epoch)
			if c.group {
				c.groupByLength()
			}
		}
		c.out[i] = draw{c.examples[p%n], int32(c.epoch)}
	}
	return c.out
}

// groupByLength changes the order of an epoch so that the batches that lie whole in it have examples of like length.
// The batches that it shares with its neighbours are left as they are.
func (c *cutBySize) groupByLength() {
	n, size := int64(len(c.examples)), int64(c.size)
	before := int64(c.epoch) * n % size // examples of the previous epoch in the first batch
	first := (size - before) % size
	if n-first < size {
		return
	}
	count := int((n - first) / size)
	whole := c.examples[first : first+int64(count)*size]
	for window := range slices.Chunk(whole, groupWindow*c.size) {
		c.sortByLength(window)
	}
	s := random.New(c.seed, forBatches, uint64(c.epoch))
	s.Shuffle(count, func(i, j int) {
		a, b := whole[i*c.size:(i+1)*c.size], whole[j*c.size:(j+1)*c.size]
		for k := range a {
			a[k], b[k] = b[k], a[k]
		}
	})
}

// cutByTokens fills each batch with as many examples as the budget of tokens holds. An epoch ends with a batch that may
// be small.
type cutByTokens struct {
	order
	budget int
	cuts   []span // the batches of the epoch, in the order of training
	starts []int  // starts[e] is the first step of epoch e, as far as known
	out    []draw
}

// span is a run of examples.
type span struct{ from, to int32 }

func (c *cutByTokens) steps(epochs float64) int {
	whole, part := math.Modf(epochs)
	first := c.start(int(whole))
	if part == 0 {
		return first
	}
	return first + int(part*float64(c.start(int(whole)+1)-first))
}

// start is the first step of an epoch.
func (c *cutByTokens) start(epoch int) int {
	for len(c.starts) <= epoch {
		if len(c.starts) == 0 {
			c.starts = append(c.starts, 0)
			continue
		}
		last := len(c.starts) - 1
		c.cut(last)
		c.starts = append(c.starts, c.starts[last]+len(c.cuts))
	}
	return c.starts[epoch]
}

// find is the epoch in which a step lies.
func (c *cutByTokens) find(step int) int {
	for c.start(0); c.starts[len(c.starts)-1] <= step; {
		c.start(len(c.starts))
	}
	epoch, found := slices.BinarySearch(c.starts, step)
	if !found {
		epoch--
	}
	return epoch
}

func (c *cutByTokens) epochs(step int) float64 {
	epoch := c.find(step)
	first := c.start(epoch)
	return float64(epoch) + float64(step-first)/float64(c.start(epoch+1)-first)
}

func (c *cutByTokens) batch(step int) []draw {
	epoch := c.find(step)
	if c.epoch != epoch {
		c.cut(epoch)
	}
	s := c.cuts[step-c.start(epoch)]
	c.out = c.out[:0]
	for _, e := range c.examples[s.from:s.to] {
		c.out = append(c.out, draw{e, int32(epoch)})
	}
	return c.out
}

// cut makes examples and cuts those of an epoch.
func (c *cutByTokens) cut(epoch int) {
	c.shuffle(epoch)
	if c.group {
		for from := 0; from < len(c.examples); {
			to := c.fill(from, groupWindow*c.budget)
			c.sortByLength(c.examples[from:to])
			from = to
		}
	}
	c.cuts = c.cuts[:0]
	for from := 0; from < len(c.examples); {
		to := c.fill(from, c.budget)
		c.cuts = append(c.cuts, span{int32(from), int32(to)})
		from = to
	}
	if c.group {
		s := random.New(c.seed, forBatches, uint64(epoch))
		s.Shuffle(len(c.cuts), func(i, j int) { c.cuts[i], c.cuts[j] = c.cuts[j], c.cuts[i] })
	}
}

// fill is the end of the longest run of examples from an index on that has no more tokens than the budget.
func (c *cutByTokens) fill(from, budget int) int {
	tokens := 0
	for i, e := range c.examples[from:] {
		if tokens += c.data.Length(int(e)); tokens > budget {
			return from + i
		}
	}
	return len(c.examples)
}
