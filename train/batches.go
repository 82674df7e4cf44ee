package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// Data are the examples to train on. Run selects and orders the examples of the batches, by the seed or, with Recipe.NoShuffle, as
// they come.
type Data interface {
	// Len returns the number of examples.
	Len() int
	// Length returns the number of tokens that example i adds to a batch. It is called often.
	Length(i int) int
	// Append adds example i with its labels to the batch: one sequence, or several for multiple choice.
	Append(b *bert.Batch, i int) error
}

// EpochData are Data whose examples change from epoch to epoch, as with dynamic masking (Liu et al. 2019,
// arXiv:1907.11692, §4.1).
type EpochData interface {
	Data
	// AppendEpoch is like Append, but adds the version of example i for an epoch, counted from 0. Each version has Length(i)
	// tokens.
	AppendEpoch(b *bert.Batch, i, epoch int) error
}

// batches determines the examples of each step. They depend on the step alone.
type batches interface {
	// steps returns the number of steps in a number of epochs.
	steps(epochs float64) int
	// batch returns the examples of a step, valid until the next call.
	batch(step int) []draw
	// epochs returns the number of epochs after a number of steps. An epoch of cutByTokens ends at a whole number, one of
	// cutBySize may end within a step.
	epochs(step int) float64
}

// A draw is an example of a batch, and the epoch in which it is drawn.
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
				return nil, fmt.Errorf("example %d has %d tokens, more than the limit of %d for a batch: truncate it or raise the limit", i, length, limit)
			}
		}
	}
	order := order{data: data, seed: *r.Seed, asIs: r.NoShuffle, group: r.GroupByLength, examples: make([]int32, n), epoch: -1}
	if budget := r.stepTokens(); budget > 0 {
		return &cutByTokens{order: order, budget: budget}, nil
	}
	size := r.stepExamples()
	if r.MaxSteps == 0 {
		// A batch larger than the data is all of it. A number of steps asks for batches of that size, from several epochs each.
		size = min(size, n)
	}
	return &cutBySize{order: order, size: size, out: make([]draw, size)}, nil
}

// tightest returns the smaller of two limits, where 0 means no limit.
func tightest(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// order is the order of the examples within an epoch: a permutation that depends on the seed and the epoch alone, or that of the
// data.
type order struct {
	data     Data
	seed     uint64
	asIs     bool // not shuffled
	group    bool
	examples []int32 // in the order of epoch
	epoch    int     // -1 if none yet
}

// arrange puts examples into the order of an epoch.
func (o *order) arrange(epoch int) {
	o.epoch = epoch
	for i := range o.examples {
		o.examples[i] = int32(i)
	}
	if o.asIs {
		return
	}
	s := random.New(o.seed, forOrder, uint64(epoch))
	s.Shuffle(len(o.examples), func(i, j int) { o.examples[i], o.examples[j] = o.examples[j], o.examples[i] })
}

// groupWindow is the number of batches whose examples are sorted by length together: 50, as in Hugging Face's
// LengthGroupedSampler. That is enough for nearly equal lengths within a batch, and little enough that batches stay random.
const groupWindow = 50

// sortByLength sorts examples by length; those of equal length keep their random order.
func (o *order) sortByLength(examples []int32) {
	slices.SortStableFunc(examples, func(a, b int32) int {
		return cmp.Compare(o.data.Length(int(a)), o.data.Length(int(b)))
	})
}

// cutBySize puts the epochs end to end and cuts a batch every size examples. run_classifier.py does the same by repeating the data
// before batching: a batch may contain the end of one epoch and the beginning of the next, all batches have the same size, and
// the rest of the last epoch is dropped.
type cutBySize struct {
	order
	size int
	out  []draw
}

// steps returns int(examples / size * epochs), as in run_classifier.py.
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
			c.arrange(epoch)
			if c.group {
				c.groupByLength()
			}
		}
		c.out[i] = draw{c.examples[p%n], int32(c.epoch)}
	}
	return c.out
}

// groupByLength changes the order of an epoch so that the batches entirely within it have examples of similar length. Batches
// shared with a neighbouring epoch are not changed.
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

// cutByTokens fills each batch with as many examples as the token budget allows. The last batch of an epoch may be small.
type cutByTokens struct {
	order
	budget int
	cuts   []span // the batches of the epoch, in the order of training
	starts []int  // starts[e] is the first step of epoch e, for the epochs computed so far
	out    []draw
}

// A span is a range of examples.
type span struct{ from, to int32 }

func (c *cutByTokens) steps(epochs float64) int {
	whole, part := math.Modf(epochs)
	first := c.start(int(whole))
	if part == 0 {
		return first
	}
	return first + int(part*float64(c.start(int(whole)+1)-first))
}

// start returns the first step of an epoch.
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

// find returns the epoch of a step.
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

// cut sets examples and cuts to those of an epoch.
func (c *cutByTokens) cut(epoch int) {
	c.arrange(epoch)
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

// fill returns the end of the longest range of examples that begins at from and fits into the budget of tokens.
func (c *cutByTokens) fill(from, budget int) int {
	tokens := 0
	for i, e := range c.examples[from:] {
		if tokens += c.data.Length(int(e)); tokens > budget {
			return from + i
		}
	}
	return len(c.examples)
}
