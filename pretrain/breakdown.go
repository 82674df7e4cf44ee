package pretrain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// Breakdown says which masked tokens an evaluation predicts well. It is made of what the evaluation computes anyway.
type Breakdown struct {
	// Width is that of a group of places, and of lengths, in tokens.
	Width int `json:"width"`
	// Places are the masked tokens by their place in the sequence: group i has the places from i·Width on. [CLS] is at place 0.
	Places Counts `json:"places"`
	// Lengths are the instances by their length: group i has lengths above i·Width and up to (i+1)·Width tokens.
	Lengths []int `json:"lengths"`
	// Frequencies are the masked tokens by how frequent they are in the instances of the evaluation, unmasked: ten groups, the most
	// frequent first, with about a tenth of the masked tokens each. Vocabulary is how many different ones a group has. A group may
	// be empty where a single token is masked more often than that.
	Frequencies Counts `json:"frequencies"`
	Vocabulary  []int  `json:"vocabulary"`
	// Pieces are the masked tokens that begin a word, and those that continue one, such as ##ing; nil where the tokenizer isn't known.
	Pieces *Counts `json:"pieces,omitempty"`
}

// Counts are masked tokens by group, and how many of them are predicted right.
type Counts struct {
	Masked []int `json:"masked"`
	Right  []int `json:"right"`
}

// breakdownGroups is how many groups of places there are, and frequencyGroups how many of frequencies.
const (
	breakdownGroups = 16
	frequencyGroups = 10
)

func newCounts(groups int) Counts { return Counts{make([]int, groups), make([]int, groups)} }

func (c *Counts) add(group, masked, right int) {
	c.Masked[group] += masked
	c.Right[group] += right
}

// check reports counts that can't be.
func (c *Counts) check(groups int) error {
	if len(c.Masked) != groups || len(c.Right) != groups {
		return fmt.Errorf("%d and %d counts, want %d", len(c.Masked), len(c.Right), groups)
	}
	for i, n := range c.Masked {
		if c.Right[i] < 0 || c.Right[i] > n {
			return fmt.Errorf("%d right of %d", c.Right[i], n)
		}
	}
	return nil
}

// check reports a breakdown that can't be, as a file may have it.
func (b *Breakdown) check() error {
	if b.Width < 1 || len(b.Lengths) == 0 || slices.Min(b.Lengths) < 0 {
		return errors.New("breakdown: no width or no lengths")
	}
	if len(b.Vocabulary) != frequencyGroups {
		return fmt.Errorf("breakdown: %d groups of the vocabulary, want %d", len(b.Vocabulary), frequencyGroups)
	}
	err := cmp.Or(b.Places.check(len(b.Lengths)), b.Frequencies.check(frequencyGroups))
	if b.Pieces != nil {
		err = cmp.Or(err, b.Pieces.check(2))
	}
	if err != nil {
		return fmt.Errorf("breakdown: %w", err)
	}
	return nil
}

// breakdown accumulates the counts for a Breakdown.
type breakdown struct {
	width   int
	places  Counts
	lengths []int
	// By token [V]: how often it is in the instances, how often it is masked, and how often then predicted right.
	seen, masked, right []int
	hits                []bool // by masked token of the batch
	next                []int32
}

func newBreakdown(s Source, vocabulary int) *breakdown {
	longest := 1
	for i := range s.Len() {
		longest = max(longest, s.Length(i))
	}
	width := (longest + breakdownGroups - 1) / breakdownGroups
	groups := (longest + width - 1) / width
	return &breakdown{
		width: width, places: newCounts(groups), lengths: make([]int, groups),
		seen: make([]int, vocabulary), masked: make([]int, vocabulary), right: make([]int, vocabulary),
	}
}

// rows is where the next batch's masked tokens [M] are marked that are predicted right.
func (b *breakdown) rows(masked int) []bool {
	b.hits = slices.Grow(b.hits[:0], masked)[:masked]
	return b.hits
}

// add counts a batch, whose masked tokens [M] hits says of whether they are predicted right.
func (b *breakdown) add(batch *bert.Batch, hits []bool) {
	b.next = append(b.next[:0], batch.IDs...)
	row := 0
	for i := range batch.Len() {
		from, to := batch.Sequence(i)
		b.lengths[min((to-from-1)/b.width, len(b.lengths)-1)]++
		for ; row < len(batch.MaskedPositions) && int(batch.MaskedPositions[row]) < to; row++ {
			at, id := int(batch.MaskedPositions[row]), batch.MaskedIDs[row]
			b.next[at] = id
			right := 0
			if hits[row] {
				right = 1
			}
			b.places.add(min((at-from)/b.width, len(b.lengths)-1), 1, right)
			b.masked[id]++
			b.right[id] += right
		}
	}
	for _, id := range b.next {
		b.seen[id]++
	}
}

// result is the Breakdown of all batches.
func (b *breakdown) result(t *tokenizer.Tokenizer) *Breakdown {
	out := &Breakdown{Width: b.width, Places: b.places, Lengths: b.lengths, Frequencies: newCounts(frequencyGroups), Vocabulary: make([]int, frequencyGroups)}
	var ids []int32
	all := 0
	for id, n := range b.masked {
		if n > 0 {
			ids = append(ids, int32(id))
			all += n
		}
	}
	slices.SortFunc(ids, func(x, y int32) int { return cmp.Or(cmp.Compare(b.seen[y], b.seen[x]), cmp.Compare(x, y)) })
	before := 0
	if t != nil {
		out.Pieces = new(newCounts(2))
	}
	for _, id := range ids {
		n := b.masked[id]
		// The group in which the middle one of these is.
		group := min(frequencyGroups-1, (2*before+n-1)*frequencyGroups/(2*all))
		out.Frequencies.add(group, n, b.right[id])
		out.Vocabulary[group]++
		before += n
		if t != nil {
			piece := 0
			if t.Continues(id) {
				piece = 1
			}
			out.Pieces.add(piece, n, b.right[id])
		}
	}
	return out
}
