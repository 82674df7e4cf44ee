package tokenizer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// pair is a pair of neighbouring tokens: the left id in the high half, the right id in the low half. Ties are broken in the order
// of this number.
type pair uint64

func newPair(left, right int32) pair { return pair(left)<<32 | pair(right) }

func (p pair) left() int32  { return int32(p >> 32) }
func (p pair) right() int32 { return int32(uint32(p)) }

// merger merges pairs of tokens in all words.
type merger struct {
	tokens []string // by id
	ids    map[string]int32
	prefix string

	// Word k is symbols[starts[k]:] up to endOfWord, and occurs counts[k] times. Words of one symbol have no pairs and are
	// omitted.
	symbols []int32
	starts  []int
	counts  []int64

	pairs  map[pair]int64 // the frequency of each
	queue  candidates
	merges []merge // in order

	changes []changes // by thread
}

const endOfWord = -1

// merge is one step: a pair of tokens that occurred count times was merged into token.
type merge struct {
	pair  pair
	token int32
	count int64
}

// newMerger splits the words into characters. It closes words once they are read.
func newMerger(words *countedWords, fixed []string, prefix string, o *LearnOptions, stats *LearnStats) (*merger, error) {
	var (
		chars = new(alphabet)
		costs = map[int64]int64{} // by frequency of the words
		total int64
	)
	if err := words.each(func(word []byte, n int64) {
		stats.DistinctWords++
		chars.add(word, n)
		cost := mergingCost(word)
		costs[n] += cost
		total += cost
	}); err != nil {
		return nil, err
	}
	if stats.DistinctWords == 0 {
		return nil, ErrNoWords
	}
	if total > o.Memory {
		stats.RareFrequency = leaveOut(costs, total-o.Memory)
	}
	m := &merger{tokens: fixed, prefix: prefix, ids: map[string]int32{}, pairs: map[pair]int64{}, changes: make([]changes, o.Threads)}
	for id, s := range fixed {
		m.ids[s] = int32(id)
	}
	m.addAlphabet(chars, chars.limit(o.LimitAlphabet, stats))
	if len(m.tokens) > o.Size {
		return nil, &LearnSizeError{Size: o.Size, Least: len(m.tokens)}
	}
	err := words.each(func(word []byte, n int64) {
		start := len(m.symbols)
		for i, r := range string(word) {
			c := chars.at(r)
			if c.frequency == 0 {
				m.symbols = m.symbols[:start]
				stats.UnknownWords += n
				return
			}
			id := c.continuing
			if i == 0 {
				id = c.initial
			}
			m.symbols = append(m.symbols, id)
		}
		rare := n <= stats.RareFrequency
		if rare {
			stats.RareWords++
		}
		if rare || len(m.symbols) == start+1 {
			m.symbols = m.symbols[:start]
			return
		}
		m.symbols = append(m.symbols, endOfWord)
		m.starts = append(m.starts, start)
		m.counts = append(m.counts, n)
	})
	words.close()
	return m, err
}

// mergingCost estimates the memory, in bytes, that merging needs for a word.
func mergingCost(word []byte) int64 { return 32 + 16*int64(utf8.RuneCount(word)) }

// leaveOut returns the frequency up to which words must be left out to reduce the costs by excess.
func leaveOut(costs map[int64]int64, excess int64) int64 {
	var frequencies []int64
	for n := range costs {
		frequencies = append(frequencies, n)
	}
	slices.Sort(frequencies)
	for _, n := range frequencies {
		if excess -= costs[n]; excess <= 0 {
			return n
		}
	}
	return 0
}

// addAlphabet adds the tokens of single characters to the vocabulary: one for each character at the beginning of a word, and one
// for each that occurs within a word.
func (m *merger) addAlphabet(chars *alphabet, kept []rune) {
	for _, r := range kept {
		chars.at(r).initial = m.add(string(r))
	}
	for _, r := range kept {
		if chars.at(r).continues {
			chars.at(r).continuing = m.add(m.prefix + string(r))
		}
	}
}

// add returns the id of a token, which it adds if it is new.
func (m *merger) add(token string) int32 {
	id, ok := m.ids[token]
	if !ok {
		id = int32(len(m.tokens))
		m.ids[token] = id
		m.tokens = append(m.tokens, token)
	}
	return id
}

// word returns the symbols from the beginning of word k.
func (m *merger) word(k int32) []int32 { return m.symbols[m.starts[k]:] }

// run merges pairs until the vocabulary has its final size.
func (m *merger) run(ctx context.Context, o *LearnOptions, stats *LearnStats) error {
	least := max(1, o.MinFrequency)
	m.countPairs()
	for len(m.tokens) < o.Size {
		c, ok := m.queue.pop()
		if !ok {
			break
		}
		if n := m.pairs[c.pair]; n != c.count {
			if c.count = n; n > 0 {
				m.queue.push(c)
			}
			continue
		}
		if c.count < least {
			break
		}
		m.merge(c)
		if len(m.merges)%1000 == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if o.Report != nil {
				o.Report(LearnProgress{Bytes: stats.Bytes, Merged: true, Tokens: len(m.tokens), Size: o.Size})
			}
		}
	}
	stats.Merges, stats.Size = len(m.merges), len(m.tokens)
	if n := len(m.merges); n > 0 {
		stats.LastFrequency = m.merges[n-1].count
	}
	if len(m.tokens) < o.Size {
		return &LearnSizeError{Size: o.Size, Most: len(m.tokens), MinFrequency: least}
	}
	return nil
}

// A candidate is a pair that may be merged next, with its frequency when it was queued and the words in which it may occur, each
// once. A pair gets a new candidate, with other words, each time its frequency grows.
type candidate struct {
	count int64
	pair  pair
	born  int // the number of merges when it was queued
	words []int32
}

// countPairs counts the pairs of all words, with a range of words per thread, and fills the queue.
func (m *merger) countPairs() {
	type found struct {
		index map[pair]int
		list  []candidate
	}
	var (
		parts = make([]found, len(m.changes))
		ended sync.WaitGroup
	)
	for i := range parts {
		ended.Go(func() {
			f := &parts[i]
			f.index = map[pair]int{}
			for k := i * len(m.starts) / len(parts); k < (i+1)*len(m.starts)/len(parts); k++ {
				w := m.word(int32(k))
				for j := 0; w[j+1] != endOfWord; j++ {
					p := newPair(w[j], w[j+1])
					at, ok := f.index[p]
					if !ok {
						at = len(f.list)
						f.index[p] = at
						f.list = append(f.list, candidate{pair: p})
					}
					c := &f.list[at]
					c.count += m.counts[k]
					c.words = appendWord(c.words, int32(k))
				}
			}
		})
	}
	ended.Wait()
	all := &parts[0]
	for _, f := range parts[1:] {
		for _, c := range f.list {
			at, ok := all.index[c.pair]
			if !ok {
				all.index[c.pair] = len(all.list)
				all.list = append(all.list, c)
				continue
			}
			all.list[at].count += c.count
			all.list[at].words = append(all.list[at].words, c.words...)
		}
	}
	for _, c := range all.list {
		m.pairs[c.pair] = c.count
	}
	m.queue.fill(all.list)
}

// appendWord appends a word to a sorted list unless it is already the last element.
func appendWord(words []int32, k int32) []int32 {
	if n := len(words); n > 0 && words[n-1] == k {
		return words
	}
	return append(words, k)
}

// changes are the effects of a merge on other pairs: left[x] concerns (x, ·), right[y] concerns (·, y).
type changes struct {
	left, right neighbours
}

// neighbours are the tokens on one side of a merged pair.
type neighbours struct {
	by   []neighbour // by id
	seen []int32     // the ids with changes
}

// A neighbour counts the occurrences that its pair with the old token loses and its pair with the merged token gains, and lists
// the words in which that happens.
type neighbour struct {
	count int64
	words []int32
}

// add records that the pair with the token id changes in word k, which occurs count times.
func (n *neighbours) add(id, k int32, count int64) {
	if int(id) >= len(n.by) {
		n.by = append(n.by, make([]neighbour, int(id)+1-len(n.by))...)
	}
	c := &n.by[id]
	if c.count == 0 {
		n.seen = append(n.seen, id)
	}
	c.count += count
	c.words = appendWord(c.words, k)
}

// fewWords is a number of words that one thread processes faster than two.
const fewWords = 2048

// merge replaces a pair by one token in all words.
func (m *merger) merge(c candidate) {
	tail := strings.TrimPrefix(m.tokens[c.pair.right()], m.prefix)
	token := m.add(m.tokens[c.pair.left()] + tail)
	m.merges = append(m.merges, merge{c.pair, token, c.count})

	threads := max(1, min(len(m.changes), len(c.words)/fewWords))
	var ended sync.WaitGroup
	for i := 1; i < threads; i++ {
		ended.Go(func() {
			m.replace(c.words[i*len(c.words)/threads:(i+1)*len(c.words)/threads], c.pair, token, &m.changes[i])
		})
	}
	m.replace(c.words[:len(c.words)/threads], c.pair, token, &m.changes[0])
	ended.Wait()

	// Apply the losses and gains of each pair, and collect the words of the pairs that grew.
	grown := map[pair][]int32{}
	for i := range m.changes[:threads] {
		apply := func(n *neighbours, before, after func(int32) pair) {
			for _, id := range n.seen {
				c := &n.by[id]
				m.pairs[before(id)] -= c.count
				p := after(id)
				m.pairs[p] += c.count
				if words := grown[p]; words == nil {
					grown[p] = c.words
				} else {
					grown[p] = append(words, c.words...)
				}
				*c = neighbour{}
			}
			n.seen = n.seen[:0]
		}
		apply(&m.changes[i].left,
			func(x int32) pair { return newPair(x, c.pair.left()) }, func(x int32) pair { return newPair(x, token) })
		apply(&m.changes[i].right,
			func(y int32) pair { return newPair(c.pair.right(), y) }, func(y int32) pair { return newPair(token, y) })
	}
	// Only this pair can grow on both sides in the same word. No word may be in a list twice, because lists are divided among
	// threads.
	if twice := newPair(token, token); grown[twice] != nil {
		slices.Sort(grown[twice])
		grown[twice] = slices.Compact(grown[twice])
	}
	for p, words := range grown {
		if n := m.pairs[p]; n > 0 {
			m.queue.push(candidate{n, p, len(m.merges), words})
		}
	}
}

// replace replaces a pair by one token in some words and records the changes.
func (m *merger) replace(words []int32, p pair, token int32, to *changes) {
	left, right := p.left(), p.right()
	for _, k := range words {
		w, n := m.word(k), m.counts[k]
		out, before := 0, int32(endOfWord)
		for i := 0; w[i] != endOfWord; i++ {
			if w[i] != left || w[i+1] != right {
				before = w[i]
				w[out] = before
				out++
				continue
			}
			if before != endOfWord {
				to.left.add(before, k, n)
			}
			if after := w[i+2]; after != endOfWord {
				to.right.add(after, k, n)
			}
			before = token
			w[out] = token
			out++
			i++
		}
		w[out] = endOfWord
	}
}

// candidates is a heap of pairs: the most frequent first and, among equally frequent ones, the smallest. The order is total, so
// the result is deterministic.
type candidates []candidate

func (c *candidate) before(d *candidate) bool {
	switch {
	case c.count != d.count:
		return c.count > d.count
	case c.pair != d.pair:
		return c.pair < d.pair
	}
	return c.born < d.born
}

// fill turns a list into a heap. It takes ownership of the list.
func (q *candidates) fill(list []candidate) {
	*q = list
	for i := len(list)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *candidates) push(c candidate) {
	list := append(*q, c)
	*q = list
	for i := len(list) - 1; i > 0; {
		parent := (i - 1) / 2
		if !list[i].before(&list[parent]) {
			break
		}
		list[i], list[parent] = list[parent], list[i]
		i = parent
	}
}

func (q *candidates) pop() (candidate, bool) {
	list := *q
	if len(list) == 0 {
		return candidate{}, false
	}
	first, last := list[0], len(list)-1
	list[0], list[last] = list[last], candidate{}
	*q = list[:last]
	q.down(0)
	return first, true
}

func (q *candidates) down(i int) {
	list := *q
	for {
		child := 2*i + 1
		if child >= len(list) {
			return
		}
		if child+1 < len(list) && list[child+1].before(&list[child]) {
			child++
		}
		if !list[child].before(&list[i]) {
			return
		}
		list[i], list[child] = list[child], list[i]
		i = child
	}
}
