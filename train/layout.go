package train

import (
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/go-bert/bert"
)

// layout says which rank owns which parameters. The vector of all parameters is cut into chunks, which are exchanged one after the
// other, and each chunk into a range for each rank, between runs: so that every chunk comes from all ranks and goes to all ranks.
type layout struct {
	chunks []chunk // from the end of the vector to its beginning, as gradients become final
	owned  [][]bert.Range
	runs   int
	runsOf [][]int // the runs that each rank owns, ascending
}

// chunk is a range of the parameters, and what each rank owns of it.
type chunk struct {
	bert.Range
	owner []bert.Range
}

// chunkElements is about how many parameters are exchanged together: 16 MB take some milliseconds, beside which those of a call are
// little, and a layer of BERT-base is two of them.
const chunkElements = 1 << 22

// newLayout makes the layout of a model whose parameters have the given runs, for a number of ranks.
func newLayout(runs []bert.Range, ranks, elements int) *layout {
	l := &layout{runs: len(runs), owned: make([][]bert.Range, ranks), runsOf: make([][]int, ranks)}
	next := 0 // the rank of the next range, where a chunk has fewer runs than there are ranks
	for end := len(runs); end > 0; {
		first := end - 1
		for first > 0 && runs[end-1].To-runs[first-1].From <= elements {
			first--
		}
		c := chunk{bert.Range{From: runs[first].From, To: runs[end-1].To}, make([]bert.Range, ranks)}
		lengths := make([]int, end-first)
		for i := range lengths {
			lengths[i] = runs[first+i].Len()
		}
		from := first
		for i, n := range cut(lengths, ranks) {
			to := first + n
			rank := (next + i) % ranks
			if from < to {
				c.owner[rank] = bert.Range{From: runs[from].From, To: runs[to-1].To}
				l.owned[rank] = append(l.owned[rank], c.owner[rank])
				for r := from; r < to; r++ {
					l.runsOf[rank] = append(l.runsOf[rank], r)
				}
			}
			from = to
		}
		if len(lengths) < ranks {
			next = (next + len(lengths)) % ranks
		}
		l.chunks = append(l.chunks, c)
		end = first
	}
	for rank := range ranks {
		slices.SortFunc(l.owned[rank], func(a, b bert.Range) int { return a.From - b.From })
		slices.Sort(l.runsOf[rank])
		if l.owned[rank] == nil {
			l.owned[rank] = []bert.Range{} // nil would be all
		}
	}
	return l
}

// appendNumbers appends numbers as bytes.
func appendNumbers(b []byte, numbers []float64) []byte {
	for _, v := range numbers {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// takeNumbers reads numbers from the beginning of b and returns the rest.
func takeNumbers(b []byte, numbers []float64) []byte {
	for i := range numbers {
		numbers[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return b[8*len(numbers):]
}

// spread puts what the ranks say of their own runs, each numbers a run, into the order of all runs.
func (l *layout) spread(all []float64, rank, each int, own []float64) {
	for i, run := range l.runsOf[rank] {
		copy(all[run*each:(run+1)*each], own[i*each:])
	}
}

// within are the parts of a range that a rank owns, cut as bert.Trainer.OwnedMoments cuts them.
func (l *layout) within(rank int, at bert.Range) iter.Seq[bert.Range] {
	return func(yield func(bert.Range) bool) {
		for _, r := range l.owned[rank] {
			part := bert.Range{From: max(r.From, at.From), To: min(r.To, at.To)}
			if part.Len() > 0 && !yield(part) {
				return
			}
		}
	}
}
