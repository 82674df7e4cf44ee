package pretrain

import (
	"math"
	"math/bits"
	"slices"

	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// The purposes of random numbers. Each has its own streams.
const (
	forDocuments uint64 = iota + 1 // by group: the order of its documents
	forInstances                   // by group and duplicate: pairs, lengths and, in a static set, masks
	forOrder                       // by group: the order of its instances
	forMasks                       // by epoch and instance: the masks of a dynamic set
	forHolding                     // by instance: whether it is held out
)

// A text is a tokenized group of documents.
//
// Legend: T tokens, S sentences ("segments" in create_pretraining_data.py), D documents. No sentence or document is empty.
type text struct {
	ids       []int32 // [T]
	sentences []int32 // [S+1]: the beginning of each in ids, and the end
	documents []int32 // [D+1]: the first sentence of each, and the end
}

// sentence returns the range of ids of sentence i.
func (t *text) sentence(i int32) span { return span{t.sentences[i], t.sentences[i+1]} }

func (t *text) numDocuments() int { return len(t.documents) - 1 }

// A span is a half-open range of a text's ids. Consecutive sentences form a span.
type span struct{ start, end int32 }

func (s span) len() int { return int(s.end - s.start) }

// A maker makes the instances of one group of documents after another, with the same draws as google-research/bert
// create_pretraining_data.py, create_instances_from_document.
type maker struct {
	options *InstanceOptions
	masker  masker

	text  *text
	stats *Stats
	out   *instances

	ids []int32 // of the instance being masked
}

// make makes the instances of a group, with a random stream for each duplicate, and puts them into random order.
func (m *maker) make(t *text, group int, out *instances, stats *Stats) {
	m.text, m.out, m.stats = t, out, stats
	seed, number := m.options.Seed, uint64(group)
	out.grow(m.options, len(t.ids)*m.options.DupeFactor)

	order := make([]int32, t.numDocuments())
	for i := range order {
		order[i] = int32(i)
	}
	documents := random.New(seed, forDocuments, number)
	documents.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })

	for duplicate := range m.options.DupeFactor {
		rng := random.New(seed, forInstances, number, uint64(duplicate))
		for i := range order {
			if m.options.NextSentence {
				m.pairs(order, i, &rng)
			} else {
				m.packed(order[i], &rng)
			}
		}
	}
	shuffle := random.New(seed, forOrder, number)
	out.shuffle(&shuffle)
}

// targetLength draws the target length of a document's instances, without special tokens. It is most or, with probability
// short_seq_prob, less, because the sequences of tasks are often shorter than those of pre-training.
func (m *maker) targetLength(most int, rng *random.Stream) (length int, short bool) {
	if rng.Float64() < m.options.ShortSeqProb {
		return 2 + int(rng.Below(uint64(most-1))), true
	}
	return most, false
}

// pairs makes the instances of document order[index]: pairs of segments for next-sentence prediction. A segment is one or
// more sentences.
func (m *maker) pairs(order []int32, index int, rng *random.Stream) {
	most := m.options.MaxSeqLength - 3 // [CLS] a [SEP] b [SEP]
	target, short := m.targetLength(most, rng)
	t := m.text
	first, end := t.documents[order[index]], t.documents[order[index]+1]

	chunk, length := first, 0 // the current chunk is sentences [chunk, i]
	for i := first; i < end; i++ {
		length += t.sentence(i).len()
		if i != end-1 && length < target {
			continue
		}
		// The chunk is split after a random sentence, into a and possibly b.
		n := i + 1 - chunk
		cut := int32(1)
		if n >= 2 {
			cut = 1 + int32(rng.Below(uint64(n-1)))
		}
		a := span{t.sentences[chunk], t.sentences[chunk+cut]}
		var b span
		next := ActualNext
		// A chunk of one sentence has no actual next; therefore a little over half of all are random.
		if n == 1 || rng.Float64() < 0.5 {
			next = RandomNext
			b = m.randomNext(order, index, target-a.len(), rng)
			i -= n - cut // put back the sentences that would have been b
		} else {
			b = span{a.end, t.sentences[i+1]}
		}
		truncated := m.truncatePair(&a, &b, most, rng)
		m.emit(a, b, next, short, truncated, rng)
		chunk, length = i+1, 0
	}
}

// randomNext draws a second segment of about length tokens from another document of the group.
func (m *maker) randomNext(order []int32, index, length int, rng *random.Stream) span {
	// If all ten draws hit the same document, which happens with few documents, it is used, as in Google's code.
	var other int
	for range 10 {
		if other = int(rng.Below(uint64(len(order)))); other != index {
			break
		}
	}
	t := m.text
	first, end := t.documents[order[other]], t.documents[order[other]+1]
	start := first + int32(rng.Below(uint64(end-first)))
	b := t.sentence(start)
	for i := start + 1; i < end && b.len() < length; i++ {
		b.end = t.sentences[i+1]
	}
	return b
}

// truncatePair removes tokens from the longer of two segments, each at the beginning or the end at random, until they fit. It
// returns how many it removed.
func (m *maker) truncatePair(a, b *span, most int, rng *random.Stream) int {
	excess := max(0, a.len()+b.len()-most)
	for range excess {
		longer := b
		if a.len() > b.len() {
			longer = a
		}
		// The highest bit of the draw is equivalent to Float64() ≥ 0.5, without an unpredictable branch.
		end := int32(rng.Next() >> 63)
		longer.start += 1 - end
		longer.end -= end
	}
	return excess
}

// packed makes the instances of a document without next-sentence prediction: as many consecutive whole sentences of the document
// as fit (Liu et al. 2019, arXiv:1907.11692, §4.2, DOC-SENTENCES). A sentence that is longer than an instance continues in the
// next one, so no token is lost.
func (m *maker) packed(document int32, rng *random.Stream) {
	target, short := m.targetLength(m.options.MaxSeqLength-2, rng) // [CLS] a [SEP]
	t := m.text
	first, end := t.documents[document], t.documents[document+1]
	var a span
	a.start, a.end = t.sentences[first], t.sentences[first]
	for i := first; i < end; i++ {
		s := t.sentence(i)
		if a.len() > 0 && a.len()+s.len() > target {
			m.emit(a, span{}, NotPaired, short, 0, rng)
			a = span{s.start, s.start}
		}
		for a.end = s.end; a.len() > target; {
			m.emit(span{a.start, a.start + int32(target)}, span{}, NotPaired, short, 0, rng)
			a.start += int32(target)
		}
	}
	if a.len() > 0 {
		m.emit(a, span{}, NotPaired, short, 0, rng)
	}
}

// emit writes an instance: [CLS] a [SEP] b [SEP], or [CLS] a [SEP], masked if the set is static.
func (m *maker) emit(a, b span, next Next, short bool, truncated int, rng *random.Stream) {
	r := composition{a: a, b: b, next: next}
	length, masked := r.len(), 0
	if m.options.Dynamic {
		masked = min(m.options.budget(length), a.len()+b.len())
		m.out.add(r, nil, nil)
	} else {
		m.ids = m.out.appendUnmasked(m.ids[:0], &r)
		positions, _ := m.masker.mask(m.ids, r.first(), rng)
		masked = len(positions)
		m.out.add(r, positions, m.ids)
	}

	m.stats.Instances++
	m.stats.Tokens += int64(length)
	m.stats.MaskedTokens += int64(masked)
	m.stats.TruncatedTokens += int64(truncated)
	m.stats.Lengths[(length-1)*lengthBins/m.options.MaxSeqLength]++
	if next == RandomNext {
		m.stats.RandomNext++
	}
	if short {
		m.stats.Short++
	}
}

// budget is how many tokens of a sequence of n, special ones counted, are masked at most. Python's round and this one take
// a half to the even number.
func (o *InstanceOptions) budget(n int) int {
	return min(o.MaxPredictions, max(1, int(math.RoundToEven(float64(n)*o.MaskedLMProb))))
}

// A masker draws masks as in create_pretraining_data.py, create_masked_lm_predictions.
type masker struct {
	options   *InstanceOptions
	maskID    int32
	vocabSize int
	continues []bool // [vocabulary]: whether the token begins with ##; nil unless whole words are masked

	singles           []word   // [length]: position i alone
	words             []word   // candidates
	label             []int32  // by position: the original id of a masked token
	isMasked          []uint64 // a bit for each position
	positions, masked []int32
}

// A word is a half-open range of positions that are masked together.
type word struct{ start, end uint16 }

func newMasker(o *InstanceOptions, t *tokenizer.Tokenizer) masker {
	m := masker{options: o, maskID: t.MaskID(), vocabSize: t.VocabSize()}
	if o.WholeWordMask {
		m.continues = make([]bool, m.vocabSize)
		for id := range m.continues {
			m.continues[id] = t.Continues(int32(id))
		}
	}
	return m
}

// mask masks tokens of a sequence in place. first is the length of the first segment, including [CLS] and [SEP]. It returns the
// masked positions in increasing order and their original ids, valid until the next call.
func (m *masker) mask(ids []int32, first int, rng *random.Stream) (positions, masked []int32) {
	sep := first - 1 // between the segments; the last position if there is one segment
	budget := m.options.budget(len(ids))
	words := m.candidates(ids, sep)
	needed := budget // the number of words that can be masked
	if m.continues != nil {
		needed = len(words) // words with more tokens than the rest of the budget are skipped
	}
	random.ShuffleHead(rng, words, needed)

	m.label = slices.Grow(m.label[:0], len(ids))[:len(ids)]
	m.isMasked = slices.Grow(m.isMasked[:0], len(ids)/64+1)[:len(ids)/64+1]
	clear(m.isMasked)
	left := budget
	for _, w := range words {
		if left == 0 {
			break
		}
		start, end := int(w.start), int(w.end)
		size := end - start
		if start < sep && sep < end {
			size--
		}
		if size > left {
			continue // a word is masked as a whole or not at all
		}
		left -= size
		for i := start; i < end; i++ {
			if i == sep {
				continue
			}
			m.label[i] = ids[i]
			m.isMasked[i/64] |= 1 << (i % 64)
			if rng.Float64() < 0.8 {
				ids[i] = m.maskID
			} else if rng.Float64() >= 0.5 {
				ids[i] = int32(rng.Below(uint64(m.vocabSize)))
			}
		}
	}
	m.positions, m.masked = slices.Grow(m.positions[:0], budget), slices.Grow(m.masked[:0], budget)
	for k, set := range m.isMasked {
		for ; set != 0; set &= set - 1 {
			i := int32(64*k + bits.TrailingZeros64(set))
			m.positions = append(m.positions, i)
			m.masked = append(m.masked, m.label[i])
		}
	}
	return m.positions, m.masked
}

// candidates returns the words of a sequence in order: single tokens, or whole words. [CLS], the [SEP] at position sep and the
// last [SEP] are excluded.
func (m *masker) candidates(ids []int32, sep int) []word {
	for i := len(m.singles); i < len(ids); i++ {
		m.singles = append(m.singles, word{uint16(i), uint16(i + 1)})
	}
	last := len(ids) - 1
	words := append(m.words[:0], m.singles[1:sep]...)
	if sep < last {
		words = append(words, m.singles[sep+1:last]...)
	}
	m.words = words
	if m.continues == nil {
		return words
	}
	whole := words[:0]
	for _, w := range words {
		if len(whole) > 0 && m.continues[ids[w.start]] {
			// As in Google's code, if truncation removed the beginning of b's first word, the rest of that word joins the last
			// word of a. The range then includes the [SEP].
			whole[len(whole)-1].end = w.end
			continue
		}
		whole = append(whole, w)
	}
	return whole
}
