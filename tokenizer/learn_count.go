package tokenizer

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// wordCounts is a hash table of words and their frequencies. Its slices hold no pointers, so that the garbage collector need not
// scan them.
type wordCounts struct {
	seed  maphash.Seed
	slots []uint64 // the high half of the hash, and the index of the word plus 1; 0 if empty; at most half full
	words []wordCount
	text  []byte // all words, end to end
}

type wordCount struct {
	end   int // of the word in text; it begins where the previous one ends
	count int64
}

func newWordCounts(seed maphash.Seed) *wordCounts {
	return &wordCounts{seed: seed, slots: make([]uint64, 1<<10)}
}

func (c *wordCounts) word(i int) []byte {
	start := 0
	if i > 0 {
		start = c.words[i-1].end
	}
	return c.text[start:c.words[i].end]
}

// slot finds the slot of a word with this hash, or the empty slot where it belongs.
func (c *wordCounts) slot(word []byte, hash uint64) *uint64 {
	mask := uint64(len(c.slots) - 1)
	for i := hash >> 32; ; i++ {
		s := &c.slots[i&mask]
		if *s == 0 || *s>>32 == hash>>32 && bytes.Equal(c.word(int(uint32(*s))-1), word) {
			return s
		}
	}
}

// add adds n to the count of a word and reports whether the word is new.
func (c *wordCounts) add(word []byte, n int64) (isNew bool) {
	hash := maphash.Bytes(c.seed, word)
	s := c.slot(word, hash)
	if *s != 0 {
		c.words[uint32(*s)-1].count += n
		return false
	}
	c.text = append(c.text, word...)
	c.words = append(c.words, wordCount{len(c.text), n})
	*s = hash>>32<<32 | uint64(len(c.words))
	if 2*len(c.words) > len(c.slots) {
		c.enlarge()
	}
	return true
}

func (c *wordCounts) enlarge() {
	old := c.slots
	c.slots = make([]uint64, 2*len(old))
	mask := uint64(len(c.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := s >> 32
		for c.slots[i&mask] != 0 {
			i++
		}
		c.slots[i&mask] = s
	}
}

// memory returns the size of the table in bytes.
func (c *wordCounts) memory() int64 {
	const wordBytes, slotBytes = 16, 8
	return int64(cap(c.text)) + wordBytes*int64(cap(c.words)) + slotBytes*int64(len(c.slots))
}

func (c *wordCounts) reset() {
	c.words, c.text = c.words[:0], c.text[:0]
	clear(c.slots)
}

func (c *wordCounts) each(visit func(word []byte, n int64)) {
	for i, w := range c.words {
		visit(c.word(i), w.count)
	}
}

// eachSorted visits the words in the order of their bytes.
func (c *wordCounts) eachSorted(visit func(word []byte, n int64) error) error {
	order := make([]uint32, len(c.words))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(i, j uint32) int { return bytes.Compare(c.word(int(i)), c.word(int(j))) })
	for _, i := range order {
		if err := visit(c.word(int(i)), c.words[i].count); err != nil {
			return err
		}
	}
	return nil
}

// countedWords are the distinct words of all texts, in a table or in runs on disk.
type countedWords struct {
	table *wordCounts // nil if they are in runs
	runs  runs
}

// each visits every distinct word once, with its frequency. It can be called repeatedly.
func (w *countedWords) each(visit func(word []byte, n int64)) error {
	if w.table != nil {
		w.table.each(visit)
		return nil
	}
	return mergeRuns(w.runs.files, func(word []byte, n int64) error {
		visit(word, n)
		return nil
	})
}

// close frees the memory and removes the files.
func (w *countedWords) close() {
	w.table = nil
	w.runs.close()
}

// minTable is the size, in bytes, that a table may always have, to avoid many small runs.
const minTable = 1 << 16

// batchBytes is how much text a worker gets at a time: enough to make the cost of handing it over negligible.
const batchBytes = 1 << 18

// wordCounter counts the words of its share of the texts.
type wordCounter struct {
	scanner scanner
	table   *wordCounts
	limit   int64 // for the table, in bytes
	runs    *runs // receive the table when it exceeds the limit
	err     error // from runs

	words, long, invalid int64 // as in LearnStats
}

// countWords counts the words of all texts.
func countWords(ctx context.Context, t *Tokenizer, texts iter.Seq2[string, error], o *LearnOptions, stats *LearnStats) (_ *countedWords, err error) {
	var (
		counted  = &countedWords{runs: runs{dir: o.TempDir}}
		counters = make([]*wordCounter, o.Threads)
		batches  = make(chan []string, o.Threads)
		ended    sync.WaitGroup
		seed     = maphash.MakeSeed()
		// A growing table doubles and briefly needs memory for both sizes.
		limit = max(minTable, o.Memory/2/int64(o.Threads)/2)
	)
	defer func() {
		if err != nil {
			counted.close()
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i := range counters {
		c := &wordCounter{scanner: scanner{t: t}, table: newWordCounts(seed), limit: limit, runs: &counted.runs}
		c.scanner.visit = c.count
		counters[i] = c
		ended.Go(func() {
			for batch := range batches {
				for _, text := range batch {
					c.text(text)
				}
				if c.err != nil {
					cancel(c.err)
					return
				}
			}
		})
	}
	err = sendBatches(ctx, texts, batches, o, stats)
	close(batches)
	ended.Wait()
	if err == nil {
		err = context.Cause(ctx) // the last batch may have failed
	}
	if err != nil {
		return nil, err
	}
	counted.table = counters[0].table
	for _, c := range counters {
		stats.Words += c.words
		stats.LongWords += c.long
		stats.InvalidBytes += c.invalid
	}
	if len(counted.runs.files) == 0 {
		for _, c := range counters[1:] {
			c.table.each(func(word []byte, n int64) { counted.table.add(word, n) })
		}
		return counted, nil
	}
	counted.table = nil
	for _, c := range counters {
		if err := counted.runs.add(c.table); err != nil {
			return nil, err
		}
		c.table = nil
	}
	stats.SpilledBytes = counted.runs.written
	return counted, nil
}

// sendBatches reads the texts and sends them to the workers in batches.
func sendBatches(ctx context.Context, texts iter.Seq2[string, error], batches chan<- []string, o *LearnOptions, stats *LearnStats) error {
	var (
		number   int64 // of the text
		batch    []string
		size     int
		reported = time.Now()
	)
	send := func() error {
		select {
		case batches <- batch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		stats.Bytes += int64(size)
		batch, size = nil, 0
		if now := time.Now(); o.Report != nil && now.Sub(reported) > time.Second/2 {
			reported = now
			o.Report(LearnProgress{Bytes: stats.Bytes, Size: o.Size})
		}
		return nil
	}
	for text, err := range texts {
		if err != nil {
			return textError{err}
		}
		number++
		if len(text) > math.MaxInt32 {
			return fmt.Errorf("text %d has %d bytes: want at most %d", number, len(text), math.MaxInt32)
		}
		batch, size = append(batch, text), size+len(text)
		if size >= batchBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

func (c *wordCounter) text(text string) {
	if !utf8.ValidString(text) {
		for i, r := range text {
			if r == utf8.RuneError && !strings.HasPrefix(text[i:], replacement) {
				c.invalid++
			}
		}
	}
	c.scanner.words(text)
}

// replacement is U+FFFD in UTF-8, which is valid, unlike the bytes that decode to it.
const replacement = string(utf8.RuneError)

func (c *wordCounter) count(word []byte) {
	c.words++
	if word == nil {
		c.long++
		return
	}
	// Checking the memory at every 256th word is enough.
	if isNew := c.table.add(word, 1); isNew && len(c.table.words)%256 == 0 && c.err == nil && c.table.memory() > c.limit {
		c.err = c.runs.add(c.table)
	}
}
